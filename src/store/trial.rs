//! A test that is kept: an event of its own with one delivery, which is tried at once and aside from the queue.

use std::time::Duration;

use super::commit::Store;
use super::events::FirstState;
use super::{Recorded, Recordings, StoreError};
use crate::domain::delivery::{Attempt, ExhaustedReason, State};
use crate::domain::event::{Event, NewEvent};
use crate::domain::id::{DeliveryId, SubscriptionId};

/// Whoever began a test records it by then, or is gone: then the queue makes the attempt. The longest time-out and the
/// commit lie well within.
pub const TEST_RECORDED_WITHIN: Duration = Duration::from_secs(5 * 60);

impl Store {
    /// Makes the event and its delivery to this subscription alone, which the queue leaves to the caller. `NotFound`
    /// when there is no such subscription (any more), `StorageFull` when storage is low.
    pub async fn begin_test(
        &self,
        event: NewEvent,
        subscription: SubscriptionId,
    ) -> Result<(Event, DeliveryId), StoreError> {
        self.sentence(event.data.len(), move |transaction| {
            transaction.check_space()?;
            let is_there = |catalogue: &super::Catalogue| {
                catalogue.subscription(subscription).is_some_and(|known| known.tenant == event.tenant)
            };
            if !transaction.with_catalogue(is_there) {
                return Err(StoreError::NotFound);
            }
            let until = transaction.now.plus(TEST_RECORDED_WITHIN);
            let receivers = vec![(subscription, FirstState::TriedAside { until })];
            let (event, deliveries) = transaction.put_event_with_deliveries(event, None, receivers, None)?;
            Ok((event, *deliveries.first().expect("each receiver gets one")))
        })
        .await
    }

    /// Keeps the attempt that a test came to. It is the only one of its delivery, which has ended.
    pub async fn record_test(&self, attempt: Attempt) -> Result<(), StoreError> {
        let state = if attempt.outcome.is_success() {
            State::Succeeded
        } else {
            State::Exhausted { reason: ExhaustedReason::Schedule }
        };
        let attempts = vec![Recorded { attempt, state, is_counted: true }];
        self.record(Recordings { attempts, ..Recordings::default() }).await
    }
}
