//! Sends what is due: decides without clock, socket or tokio; a thin shell of tasks carries out what was decided.

mod decided;
mod dispatcher;
mod exhausted;
pub mod feed;
mod ids;
mod lane;
mod memory;
mod outcome;
mod outgoing;
mod paces;
mod pulse;
mod queue;
mod rate;
mod reads;
mod recorder;
mod sender;
mod slots;
mod timers;
mod turns;
mod worker;

use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};

use crate::clock::ClockState;
use crate::domain::delivery::{Attempt, Trigger};
use crate::domain::event::EventWithData;
use crate::domain::id::DeliveryId;
use crate::domain::subscription::Subscription;
use crate::domain::tenant::Tenant;

pub use decided::{Decided, Finished, Happened, LateLane, ReadDue, Send};
pub use dispatcher::Dispatcher;
use feed::Feed;
pub use pulse::Attempts;
use pulse::Pulse;

pub use outgoing::Outgoing;
pub use sender::{Purpose, Sender};
pub use worker::{Running, start};

/// A handle on the running dispatcher. Clones share it.
#[derive(Clone)]
pub struct Dispatch {
    sender: Sender,
    figures: Arc<Mutex<Figures>>,
    feed: Feed,
    pulse: Arc<Pulse>,
    asks: mpsc::Sender<Ask>,
}

/// Asks the running dispatcher what is late.
type Ask = oneshot::Sender<Arc<Vec<LateLane>>>;

impl Dispatch {
    /// Sends an event to a subscription now, past its queue and whether or not it is active, as the first attempt of that
    /// delivery. Nothing is recorded.
    pub async fn test(
        &self,
        tenant: &Tenant,
        subscription: &Subscription,
        delivery: DeliveryId,
        event: &EventWithData,
    ) -> Attempt {
        let purpose = Purpose { delivery, number: 1, trigger: Trigger::Manual };
        let event = Outgoing::new(Arc::new(event.clone()));
        self.sender.send(purpose, tenant, subscription, &event).await
    }

    /// What happens, as it happens.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    pub fn figures(&self) -> Figures {
        *self.figures.lock().expect("no one panics while holding it")
    }

    /// Which subscriptions have something that could go by now and did not yet, as of the last second. Nothing once the
    /// dispatcher has ended.
    pub async fn late(&self) -> Arc<Vec<LateLane>> {
        let (ask, answered) = oneshot::channel();
        // An error is its end.
        _ = self.asks.send(ask).await;
        answered.await.unwrap_or_default()
    }

    pub fn attempts(&self) -> Attempts {
        self.pulse.attempts()
    }

    /// How the clock has fared since the start.
    pub fn clock(&self) -> ClockState {
        self.pulse.look_at_clock(&self.sender.clock);
        self.pulse.clock()
    }
}

/// What the dispatcher has to do now. Counters count from the start of the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    pub deliveries_exhausted: u64,
    pub in_flight: u64,
    /// Deliveries that wait in memory.
    pub waiting_in_memory: u64,
    /// Subscriptions with something to do.
    pub lanes: u64,
}

impl Figures {
    fn of(dispatcher: &Dispatcher) -> Self {
        Self {
            deliveries_exhausted: dispatcher.exhausted_count,
            in_flight: dispatcher.in_flight() as u64,
            waiting_in_memory: dispatcher.waiting() as u64,
            lanes: dispatcher.lanes() as u64,
        }
    }
}
