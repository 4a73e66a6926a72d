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

/// The types that tenant `system` can subscribe to.
pub const TYPES: [&str; 9] = [
    "subscription.degraded",
    "subscription.failing",
    "subscription.disabled",
    "subscription.recovered",
    "delivery.exhausted",
    "storage.low",
    "storage.full",
    "storage.recovered",
    BACKUP_FAILED,
];

impl What {
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Degraded => "subscription.degraded",
            Self::Failing => "subscription.failing",
            Self::Disabled => "subscription.disabled",
            Self::Recovered => "subscription.recovered",
            Self::Exhausted { .. } => "delivery.exhausted",
        }
    }
}

/// What became of the room that is left on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageNews {
    /// New events are refused soon.
    Low,
    /// New events are refused.
    Full,
    /// There is room again.
    Recovered,
}

impl StorageNews {
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Low => "storage.low",
            Self::Full => "storage.full",
            Self::Recovered => "storage.recovered",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_can_be_subscribed_to() {
        let last = DeliveryId::from_u128(1);
        let exhausted = What::Exhausted { count: 1, last };
        let told = [What::Degraded, What::Failing, What::Disabled, What::Recovered, exhausted].map(What::event_type);
        let news = [StorageNews::Low, StorageNews::Full, StorageNews::Recovered].map(StorageNews::event_type);
        assert_eq!([told.as_slice(), news.as_slice(), &[BACKUP_FAILED]].concat(), TYPES);
    }
}
