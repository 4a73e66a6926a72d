//! What a request may say of a subscription.

use super::wire::{EnvelopeText, ProfileText};
use crate::domain::event_type::EventPattern;
use crate::domain::profile::Profile;
use crate::domain::subscription::{
    DESCRIPTION_LENGTH_MAX, EVENTS_MAX, Envelope, MAX_IN_FLIGHT_CEILING, TIMEOUT_SECONDS_CEILING,
};
use crate::domain::tenant::{METADATA_KEY_LENGTH_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_LENGTH_MAX, Metadata};
use crate::domain::violation::Rule;
use crate::http::body::{Findings, pointer_of};
use crate::store::Catalogue;

pub(super) fn check_events(catalogue: &Catalogue, events: &[String], findings: &mut Findings) -> Vec<EventPattern> {
    if findings.has_at("/events") {
        return Vec::new();
    }
    if events.is_empty() {
        findings.add(Rule::EventsEmpty, "/events");
    }
    if events.len() > EVENTS_MAX {
        findings.add(Rule::TooManyItems { max: EVENTS_MAX }, "/events");
        return Vec::new();
    }
    let mut patterns = Vec::with_capacity(events.len());
    for (index, text) in events.iter().enumerate() {
        let pointer = format!("/events/{index}");
        if findings.has_at(&pointer) {
            continue;
        }
        let known = text.parse().ok().filter(|pattern| match pattern {
            EventPattern::All => true,
            // A test is sent when somebody asks for it, never because somebody subscribed to it.
            EventPattern::Below(prefix) => prefix.as_str() != "webhook",
            EventPattern::Exact(name) => {
                catalogue.event_type(name.as_str()).is_some_and(|entry| entry.event_type.archived_at.is_none())
            }
        });
        match known {
            None => findings.add(Rule::UnknownEventType { name: text.clone() }, pointer),
            Some(pattern) if patterns.contains(&pattern) => findings.add(Rule::DuplicateItem, pointer),
            Some(pattern) => patterns.push(pattern),
        }
    }
    patterns
}

pub(super) fn check_description(description: Option<&str>, findings: &mut Findings) {
    if description.is_some_and(|text| text.chars().count() > DESCRIPTION_LENGTH_MAX) {
        findings.add(Rule::DescriptionTooLong { max: DESCRIPTION_LENGTH_MAX }, "/description");
    }
}

/// A number within `min..=max`, or a finding.
pub(super) fn check_range(
    value: Option<i64>,
    (min, max): (i64, i64),
    unit: &'static str,
    pointer: &str,
    findings: &mut Findings,
) -> Option<i64> {
    let value = value?;
    if (min..=max).contains(&value) {
        return Some(value);
    }
    findings.add(Rule::OutOfRange { min, max, unit }, pointer);
    None
}

pub(super) fn check_max_in_flight(value: Option<i64>, findings: &mut Findings) -> Option<u8> {
    let range = (1, i64::from(MAX_IN_FLIGHT_CEILING));
    check_range(value, range, "", "/max_in_flight", findings).and_then(|value| value.try_into().ok())
}

pub(super) fn check_timeout(value: Option<i64>, findings: &mut Findings) -> Option<u8> {
    let range = (1, i64::from(TIMEOUT_SECONDS_CEILING));
    check_range(value, range, "seconds", "/timeout_seconds", findings).and_then(|value| value.try_into().ok())
}

pub(super) fn check_envelope(name: Option<EnvelopeText>, findings: &mut Findings) -> Option<Envelope> {
    let envelope = Envelope::from_name(&name?.0);
    if envelope.is_none() {
        findings.add(Rule::InvalidFormat { expected: "'profile' or 'raw'" }, "/envelope");
    }
    envelope
}

pub fn check_metadata(pairs: &Metadata, findings: &mut Findings) {
    if pairs.len() > METADATA_PAIRS_MAX {
        findings.add(Rule::TooManyItems { max: METADATA_PAIRS_MAX }, "/metadata");
        return;
    }
    for (name, value) in pairs {
        let pointer = format!("/metadata{}", pointer_of(name));
        if name.is_empty() {
            findings.add(Rule::TooShort { min: 1 }, pointer.clone());
        } else if name.chars().count() > METADATA_KEY_LENGTH_MAX {
            findings.add(Rule::TooLong { max: METADATA_KEY_LENGTH_MAX }, pointer.clone());
        }
        if value.chars().count() > METADATA_VALUE_LENGTH_MAX {
            findings.add(Rule::TooLong { max: METADATA_VALUE_LENGTH_MAX }, pointer);
        }
    }
}

pub fn check_profile(name: Option<ProfileText>, findings: &mut Findings) -> Option<Profile> {
    let profile = Profile::from_name(&name?.0);
    if profile.is_none() {
        findings.add(Rule::InvalidFormat { expected: "'standard' or 'mage'" }, "/profile");
    }
    profile
}
