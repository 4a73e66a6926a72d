//! Sends what is due: decides without clock, socket or tokio; a thin shell of tasks carries out what was decided.

use crate::domain::delivery::Attempt;
use crate::domain::event::EventWithData;
use crate::domain::subscription::Subscription;
use crate::domain::tenant::Tenant;

/// A handle on the running dispatcher. Clones share it.
#[derive(Clone)]
pub struct Dispatch {/* being built */}

#[allow(unused_variables, reason = "being built")]
impl Dispatch {
    /// Sends an event to a subscription now, past its queue and whether or not it is active. Nothing is recorded.
    pub async fn test(&self, tenant: &Tenant, subscription: &Subscription, event: &EventWithData) -> Attempt {
        unimplemented!()
    }

    pub fn figures(&self) -> Figures {
        unimplemented!()
    }
}

/// What `/metrics` shows. Counters count from the start of the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    pub attempts_succeeded: u64,
    pub attempts_failed: u64,
    pub deliveries_exhausted: u64,
    pub in_flight: u64,
    /// Fresh deliveries that wait in memory.
    pub fresh_in_memory: u64,
    /// Subscriptions with something to do.
    pub lanes: u64,
}
