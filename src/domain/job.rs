//! A job: something that a person asks of many deliveries at once, and that is done in the background.

use std::time::Duration;

use super::delivery::{CanceledReason, DeliveryFilter, State};
use super::id::{JobId, KeyId, SubscriptionId, TenantId};
use super::time::Timestamp;

/// Jobs of one tenant that run at once.
pub const RUNNING_MAX: usize = 10;
/// Finished jobs of one tenant that can still be read: the newest …
pub const FINISHED_KEPT_MAX: usize = 100;
/// … and for so long.
pub const FINISHED_KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// It first counts what it concerns and keeps which deliveries these are; then each of them has its turn once. So it
/// misses none and takes none twice, whatever happens to them meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub tenant: TenantId,
    /// The restricted key that asked for it: it concerns only deliveries of the subscriptions that this key made.
    pub key: Option<KeyId>,
    pub kind: JobKind,
    pub state: JobState,
    /// Deliveries that it concerns, as far as they are counted.
    pub counted: u64,
    /// Whether all of them are.
    pub is_counted: bool,
    /// Deliveries that it changed.
    pub done: u64,
    /// Deliveries that were no longer what was asked for when their turn came.
    pub skipped: u64,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobKind {
    /// The whole schedule again for what failed at this subscription and was created since then.
    Recover { subscription: SubscriptionId, since: Timestamp },
    /// One attempt now.
    Retry(DeliveryFilter),
    /// No further attempt.
    Cancel(DeliveryFilter),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    Running,
    Done,
    /// A person canceled it: what it had not come to stays as it was.
    Canceled,
}

impl JobKind {
    pub const NAMES: [&'static str; 3] = ["recover", "retry", "cancel"];

    pub fn name(&self) -> &'static str {
        match self {
            Self::Recover { .. } => "recover",
            Self::Retry(_) => "retry",
            Self::Cancel(_) => "cancel",
        }
    }

    /// What it concerns, beside the state.
    pub fn filter(&self) -> DeliveryFilter {
        match self {
            Self::Recover { subscription, since } => {
                DeliveryFilter { subscription: Some(*subscription), since: Some(*since), ..DeliveryFilter::default() }
            }
            Self::Retry(filter) | Self::Cancel(filter) => filter.clone(),
        }
    }

    /// Whether it may change a delivery in that state. What a person canceled stays canceled.
    pub fn concerns(&self, state: State) -> bool {
        match (self, state) {
            (Self::Recover { .. } | Self::Retry(_), State::Exhausted { .. } | State::Expired { .. }) => true,
            (Self::Recover { .. }, State::Canceled { reason }) => match reason {
                CanceledReason::SubscriptionGone | CanceledReason::PayloadExpired => true,
                CanceledReason::Manual | CanceledReason::SubscriptionDeleted => false,
            },
            (Self::Retry(_) | Self::Cancel(_), State::Pending { .. } | State::Retrying { .. }) => true,
            (Self::Recover { .. }, State::Pending { .. } | State::Retrying { .. })
            | (Self::Cancel(_), State::Exhausted { .. } | State::Expired { .. })
            | (Self::Retry(_) | Self::Cancel(_), State::Canceled { .. })
            | (_, State::Succeeded) => false,
        }
    }

    /// Whether it makes requests follow.
    pub fn sends(&self) -> bool {
        match self {
            Self::Recover { .. } | Self::Retry(_) => true,
            Self::Cancel(_) => false,
        }
    }
}

impl JobState {
    pub const ALL: [Self; 3] = [Self::Running, Self::Done, Self::Canceled];

    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Canceled => "canceled",
        }
    }
}
