//! A restriction: the events and channels that a restricted key is held to. It goes along with everything that the key makes.

use std::sync::LazyLock;

use super::channel::Channel;
use super::event_type::{EventPattern, EventTypeName};

/// Patterns of one key; as many as a subscription may have.
pub const ALLOWED_EVENTS_MAX: usize = super::subscription::EVENTS_MAX;
/// Channels of one key; as many as a subscription may have, since they are forced onto those that it makes.
pub const RESTRICTION_CHANNELS_MAX: usize = super::channel::SUBSCRIPTION_CHANNELS_MAX;

/// All that a merchant, who has one storefront, gets events of.
pub static MERCHANT_EVENTS: LazyLock<EventPattern> = LazyLock::new(|| "order.*".parse().expect("it is a pattern"));

/// An empty part restricts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restriction {
    /// Only events whose type fits one of these. Each once, at most [`ALLOWED_EVENTS_MAX`].
    pub allowed_events: Vec<EventPattern>,
    /// Only events that have one of these. Each once, at most [`RESTRICTION_CHANNELS_MAX`].
    pub channels: Vec<Channel>,
}

/// Why a restriction cannot be a merchant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotForAMerchant {
    /// It has none, or several.
    Channels,
    /// None of them is of orders.
    Events,
}

impl Restriction {
    /// Whether it restricts nothing at all.
    pub fn is_empty(&self) -> bool {
        self.allowed_events.is_empty() && self.channels.is_empty()
    }

    /// Whether it is a merchant's: one channel, the storefront, and nothing but events of orders.
    pub fn is_of_a_merchant(&self) -> bool {
        let is_of_orders = |pattern: &EventPattern| pattern.is_within(&MERCHANT_EVENTS);
        self.channels.len() == 1 && !self.allowed_events.is_empty() && self.allowed_events.iter().all(is_of_orders)
    }

    /// What is left of it for a merchant, who has one storefront and gets events of orders alone.
    pub fn for_a_merchant(self) -> Result<Self, NotForAMerchant> {
        let Self { allowed_events, channels } = self;
        if channels.len() != 1 {
            return Err(NotForAMerchant::Channels);
        }
        match merchant_events(&allowed_events) {
            Some(allowed_events) => Ok(Self { allowed_events, channels }),
            None => Err(NotForAMerchant::Events),
        }
    }

    /// Whether an event of this type with these channels is within it.
    pub fn admits(&self, event_type: &EventTypeName, channels: &[Channel]) -> bool {
        self.allows(event_type)
            && (self.channels.is_empty() || self.channels.iter().any(|channel| channels.contains(channel)))
    }

    pub fn allows(&self, event_type: &EventTypeName) -> bool {
        self.allowed_events.is_empty() || self.allowed_events.iter().any(|allowed| allowed.matches(event_type))
    }

    /// Whether some event type fits both the pattern and this. A pattern that fits only in part gets that part.
    pub fn allows_some_of(&self, pattern: &EventPattern) -> bool {
        self.allowed_events.is_empty() || self.allowed_events.iter().any(|allowed| allowed.overlaps(pattern))
    }

    pub fn has_channel(&self, channel: &Channel) -> bool {
        self.channels.is_empty() || self.channels.contains(channel)
    }

    /// The channels of something that is made under this: those that were asked for, or all when none were.
    pub fn forced_onto(&self, asked: Vec<Channel>) -> Vec<Channel> {
        if asked.is_empty() { self.channels.clone() } else { asked }
    }

    /// Whether all that it allows is allowed by the other one, too.
    pub fn events_are_within(&self, other: &Self) -> bool {
        let is_within = |pattern: &EventPattern| other.allowed_events.iter().any(|outer| pattern.is_within(outer));
        other.allowed_events.is_empty()
            || (!self.allowed_events.is_empty() && self.allowed_events.iter().all(is_within))
    }

    pub fn channels_are_within(&self, other: &Self) -> bool {
        other.channels.is_empty()
            || (!self.channels.is_empty() && self.channels.iter().all(|channel| other.channels.contains(channel)))
    }

    pub fn is_within(&self, other: &Self) -> bool {
        self.events_are_within(other) && self.channels_are_within(other)
    }
}

/// The part of these that a merchant may have; none when there is no such part.
fn merchant_events(allowed: &[EventPattern]) -> Option<Vec<EventPattern>> {
    if allowed.is_empty() {
        return Some(vec![MERCHANT_EVENTS.clone()]);
    }
    let mut part: Vec<EventPattern> = Vec::with_capacity(allowed.len());
    for pattern in allowed {
        let within = if pattern.is_within(&MERCHANT_EVENTS) {
            pattern.clone()
        } else if pattern.overlaps(&MERCHANT_EVENTS) {
            MERCHANT_EVENTS.clone()
        } else {
            continue;
        };
        if !part.contains(&within) {
            part.push(within);
        }
    }
    (!part.is_empty()).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restriction(events: &str, channels: &str) -> Restriction {
        Restriction {
            allowed_events: events.split_whitespace().map(|text| text.parse().unwrap()).collect(),
            channels: self::channels(channels),
        }
    }

    fn channels(text: &str) -> Vec<Channel> {
        text.split_whitespace().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_event_is_within_when_its_type_fits_and_it_shares_a_channel() {
        for (events, own, event_type, of_event, expected) in [
            ("", "", "order.paid", "", true),
            ("order.*", "", "order.paid", "", true),
            ("order.*", "", "user.left", "", false),
            ("order.paid user.*", "", "user.left", "x", true),
            ("", "shop:1", "order.paid", "shop:1 shop:2", true),
            ("", "shop:1", "order.paid", "shop:2", false),
            ("", "shop:1", "order.paid", "", false),
            ("order.*", "shop:1", "order.paid", "shop:1", true),
            ("order.*", "shop:1", "user.left", "shop:1", false),
            ("order.*", "shop:1", "order.paid", "shop:2", false),
        ] {
            let restriction = restriction(events, own);
            let is_within = restriction.admits(&event_type.parse().unwrap(), &channels(of_event));
            assert_eq!(is_within, expected, "{restriction:?} {event_type} {of_event}");
        }
    }

    #[test]
    fn a_merchant_has_one_channel_and_events_of_orders_alone() {
        for (events, channels, part, expected) in [
            ("", "sf:1", Some("order.*"), false),
            ("*", "sf:1", Some("order.*"), false),
            ("order.*", "sf:1", Some("order.*"), true),
            ("order.paid order.item.*", "sf:1", Some("order.paid order.item.*"), true),
            ("order.paid *", "sf:1", Some("order.paid order.*"), false),
            ("* order.*", "sf:1", Some("order.*"), false),
            ("order.paid user.*", "sf:1", Some("order.paid"), false),
            ("user.*", "sf:1", None, false),
            ("order", "sf:1", None, false),
            ("order.*", "", Some("order.*"), false),
            ("order.*", "sf:1 sf:2", Some("order.*"), false),
        ] {
            let asked = restriction(events, channels);
            assert_eq!(asked.is_of_a_merchant(), expected, "{events} {channels}");
            let left = match (asked.channels.len(), part) {
                (1, Some(part)) => Ok(restriction(part, channels)),
                (1, None) => Err(NotForAMerchant::Events),
                _ => Err(NotForAMerchant::Channels),
            };
            assert_eq!(asked.for_a_merchant(), left, "{events} {channels}");
        }
    }

    #[test]
    fn a_pattern_that_overlaps_only_in_part_is_allowed_some_events() {
        for (events, pattern, expected) in [
            ("", "anything", true),
            ("order.*", "*", true),
            ("order.*", "order.item.*", true),
            ("order.item.*", "order.*", true),
            ("order.paid", "order.*", true),
            ("order.*", "order.paid", true),
            ("order.*", "order", false),
            ("order.*", "orders.*", false),
            ("order.*", "user.*", false),
            ("order.paid", "order.sent", false),
            ("order.paid user.*", "user.left", true),
        ] {
            assert_eq!(
                restriction(events, "").allows_some_of(&pattern.parse().unwrap()),
                expected,
                "{events} {pattern}"
            );
        }
    }

    #[test]
    fn a_restriction_is_within_another_only_when_it_allows_nothing_more() {
        for (inner, outer, expected) in [
            (("", ""), ("", ""), true),
            (("order.paid", "a"), ("", ""), true),
            (("order.paid order.item.*", "a"), ("order.*", "a b"), true),
            (("order.*", ""), ("order.*", ""), true),
            (("order.*", ""), ("order.item.*", ""), false),
            (("*", ""), ("order.*", ""), false),
            (("order", ""), ("order.*", ""), false),
            (("orders.*", ""), ("order.*", ""), false),
            (("order.paid user.left", ""), ("order.*", ""), false),
            (("", ""), ("*", ""), false),
            (("", "a"), ("", "b"), false),
            (("", "a b"), ("", "a"), false),
            (("order.paid", ""), ("order.*", "a"), false),
        ] {
            let is_within = restriction(inner.0, inner.1).is_within(&restriction(outer.0, outer.1));
            assert_eq!(is_within, expected, "{inner:?} in {outer:?}");
        }
    }
}
