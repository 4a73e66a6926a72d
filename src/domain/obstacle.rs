//! What stands in the way of something that could be asked for: the state of what it is about, or a limit.

use super::delivery::ShownState;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The delivery is in this state.
    Delivery(ShownState),
    /// The delivery has nobody who would get it.
    SubscriptionDeleted,
    /// The job has ended.
    JobOver,
    /// It is one of the tenants that cannot be removed.
    PermanentTenant,
    /// The backup is being made, or failed.
    NoBackupFile,
    /// A restore has begun.
    RestoreRunning,
    /// There is a user already.
    UserExists,
    /// No owner would be left.
    LastOwner,
    /// The user has an authenticator app.
    TotpExists,
    /// The user has no authenticator app that is to be confirmed.
    TotpMissing,
    /// It is no longer, or never was, what it was taken for.
    Changed,
}

/// What there may be only so many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    Users,
    Subscriptions,
    Jobs,
    PortalLinks,
    EventDeliveries,
    Backlog,
    TestReceivers,
}

impl Limited {
    /// In English, after a number.
    pub fn words(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Subscriptions => "subscriptions of one tenant",
            Self::Jobs => "jobs of one tenant at once",
            Self::PortalLinks => "portal links of one tenant at once",
            Self::EventDeliveries => "deliveries of one event",
            Self::Backlog => "deliveries that wait for a paused subscription",
            Self::TestReceivers => "test receivers that do other than accept",
        }
    }
}
