//! Deliveries that used up their attempts, told once a minute for each subscription and not one by one.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::domain::id::{DeliveryId, SubscriptionId};
use crate::domain::operational::{Announcement, What};
use crate::domain::time::Timestamp;

/// Contract 5.10.
const WINDOW: Duration = Duration::from_secs(60);

/// The first one is told at once, with its outcome; those that follow within a minute are told together when it ends.
#[derive(Debug, Default)]
pub(super) struct Exhausted {
    open: HashMap<SubscriptionId, (u32, DeliveryId)>,
    /// When each window ends; as many as there are in `open`.
    ends: VecDeque<(Timestamp, SubscriptionId)>,
}

impl Exhausted {
    /// What is to be told now.
    pub fn note(&mut self, subscription: SubscriptionId, last: DeliveryId, now: Timestamp) -> Option<Announcement> {
        if let Some(window) = self.open.get_mut(&subscription) {
            *window = (window.0.saturating_add(1), last);
            return None;
        }
        self.open.insert(subscription, (0, last));
        self.ends.push_back((now.plus(WINDOW), subscription));
        Some(Announcement { subscription, what: What::Exhausted { count: 1, last } })
    }

    /// What is to be told because its minute is over, or, at the end of the program, because there is no other time.
    pub fn take_ended(&mut self, now: Timestamp, is_the_end: bool) -> Vec<Announcement> {
        let mut ended = Vec::new();
        while let Some((at, subscription)) = self.ends.front().copied()
            // A clock that was set back ends a window early.
            && (at <= now || at > now.plus(WINDOW) || is_the_end)
        {
            self.ends.pop_front();
            if let Some((count, last)) = self.open.remove(&subscription)
                && count > 0
            {
                ended.push(Announcement { subscription, what: What::Exhausted { count, last } });
            }
        }
        ended
    }

    /// When the next window ends that has something to tell.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let has_any = |(_, id): &&(Timestamp, SubscriptionId)| self.open.get(id).is_some_and(|(count, _)| *count > 0);
        self.ends.iter().find(has_any).map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_rest_of_its_minute_together() {
        let id = SubscriptionId::from_u128;
        let delivery = DeliveryId::from_u128;
        let at = |seconds: i64| Timestamp::from_millis(1_771_416_000_000 + seconds * 1000);
        let told = |subscription, count, last| Announcement {
            subscription: id(subscription),
            what: What::Exhausted { count, last: delivery(last) },
        };
        let mut exhausted = Exhausted::default();
        assert_eq!(exhausted.note(id(1), delivery(1), at(0)), Some(told(1, 1, 1)));
        assert_eq!(exhausted.wake_at(), None, "nothing is left to tell");
        assert_eq!(exhausted.note(id(1), delivery(2), at(1)), None);
        assert_eq!(exhausted.note(id(2), delivery(3), at(2)), Some(told(2, 1, 3)));
        assert_eq!(exhausted.note(id(1), delivery(4), at(59)), None);
        assert_eq!(exhausted.wake_at(), Some(at(60)));
        assert_eq!(exhausted.take_ended(at(59), false), []);
        assert_eq!(exhausted.take_ended(at(60), false), [told(1, 2, 4)]);
        assert_eq!(exhausted.note(id(1), delivery(5), at(61)), Some(told(1, 1, 5)));
        assert_eq!(exhausted.note(id(1), delivery(6), at(62)), None);
        assert_eq!(exhausted.take_ended(at(62), true), [told(1, 1, 6)], "at the end of the program");
    }
}
