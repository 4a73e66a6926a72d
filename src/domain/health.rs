//! How a subscription fares. It moves with each delivery, so it is kept apart from the configuration.

use super::delivery::Outcome;
use super::subscription::Subscription;
use super::time::Timestamp;

/// Failures in a row from which a subscription counts as failing (contract 5.6).
pub const FAILING_AFTER: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    pub consecutive_failures: u32,
    /// When the first of those failures was.
    pub failing_since: Option<Timestamp>,
    pub last_delivery_at: Option<Timestamp>,
    /// Whether the last attempt was a success; none before the first.
    pub last_delivery_succeeded: Option<bool>,
}

impl Health {
    pub fn after(self, outcome: &Outcome, at: Timestamp) -> Self {
        let succeeded = outcome.is_success();
        Self {
            consecutive_failures: if succeeded { 0 } else { self.consecutive_failures.saturating_add(1) },
            failing_since: if succeeded { None } else { self.failing_since.or(Some(at)) },
            last_delivery_at: self.last_delivery_at.max(Some(at)),
            last_delivery_succeeded: Some(succeeded),
        }
    }

    /// What remains after a person re-enabled the subscription: the counters start anew.
    pub fn reset(self) -> Self {
        Self { consecutive_failures: 0, failing_since: None, ..self }
    }

    pub fn status(&self, subscription: &Subscription) -> HealthStatus {
        if !subscription.is_active && subscription.disabled_reason.is_some() {
            HealthStatus::Disabled
        } else if self.consecutive_failures >= FAILING_AFTER {
            HealthStatus::Failing
        } else if self.consecutive_failures > 0 {
            HealthStatus::Degraded
        } else {
            HealthStatus::Healthy
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthStatus {
    Healthy,
    Degraded,
    Failing,
    Disabled,
}

impl HealthStatus {
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Degraded, Self::Failing, Self::Disabled];

    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
            Self::Disabled => "disabled",
        }
    }
}
