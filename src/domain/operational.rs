//! What Waxwing itself has to say: events of tenant `system` (contract 5.10).

use super::id::{DeliveryId, SubscriptionId};

/// What is told when a backup failed: it is about no subscription.
pub const BACKUP_FAILED: &str = "backup.failed";

/// Something that the operator may want to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    pub subscription: SubscriptionId,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It gets less at once, or more slowly.
    Degraded,
    /// Its deliveries are held, or have been for long.
    Failing,
    /// Waxwing made it inactive.
    Disabled,
    Recovered,
    /// So many of its deliveries used up their attempts, the last of them named: all within a minute.
    Exhausted {
        count: u32,
        last: DeliveryId,
    },
}

impl What {
    /// The types that tenant `system` can subscribe to.
    pub const TYPES: [&'static str; 6] = [
        "subscription.degraded",
        "subscription.failing",
        "subscription.disabled",
        "subscription.recovered",
        "delivery.exhausted",
        BACKUP_FAILED,
    ];

    pub fn event_type(self) -> &'static str {
        let [degraded, failing, disabled, recovered, exhausted, _] = Self::TYPES;
        match self {
            Self::Degraded => degraded,
            Self::Failing => failing,
            Self::Disabled => disabled,
            Self::Recovered => recovered,
            Self::Exhausted { .. } => exhausted,
        }
    }
}
