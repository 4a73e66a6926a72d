//! What a request may say of a subscription.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Duration;

use super::wire::{ApiVersionText, EnvelopeText, OrderingText, ProfileText, RetryWaits, SigningText};
use crate::domain::event_type::EventPattern;
use crate::domain::header::{
    CustomHeaders, HEADERS_MAX, HeaderName, HeaderPrefix, HeaderValue, InvalidHeaderName, InvalidHeaderValue, MASK,
    VALUE_EXPECTED,
};
use crate::domain::id::TenantId;
use crate::domain::operational;
use crate::domain::profile::{ApiVersion, Profile};
use crate::domain::public_id::PublicIds;
use crate::domain::retry::{RETRIES_MAX, RETRY_WAIT_SECONDS_MAX, Schedule};
use crate::domain::subscription::{
    DESCRIPTION_LENGTH_MAX, DeliveryOrder, EVENTS_MAX, Envelope, MAX_IN_FLIGHT_CEILING, OVERLAP_SECONDS_MAX, Owner,
    RATE_LIMIT_CEILING, Signing, TIMEOUT_SECONDS_CEILING,
};
use crate::domain::tenant::{METADATA_KEY_LENGTH_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_LENGTH_MAX, Metadata};
use crate::domain::violation::Rule;
use crate::http::auth::Call;
use crate::http::body::{Findings, pointer_of};
use crate::http::event_types::open_type;

/// What is asked for must meet what the subscription's owner is restricted to, if only in part.
pub(super) fn check_events(
    call: &Call,
    owner: &Owner,
    events: &[String],
    findings: &mut Findings,
) -> Vec<EventPattern> {
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
        match check_pattern(call, text) {
            Err(rule) => findings.add(rule, pointer),
            Ok(pattern) if patterns.contains(&pattern) => findings.add(Rule::DuplicateItem, pointer),
            Ok(pattern) if owner.restriction().is_some_and(|restriction| !restriction.allows_some_of(&pattern)) => {
                findings.add(Rule::EventNotAllowed { name: text.clone() }, pointer);
            }
            Ok(pattern) => patterns.push(pattern),
        }
    }
    patterns
}

fn check_pattern(call: &Call, text: &str) -> Result<EventPattern, Rule> {
    let unknown = || Rule::UnknownEventType { name: text.to_owned() };
    let pattern = text.parse().map_err(|_| unknown())?;
    match &pattern {
        // A test is sent when somebody asks for it, never because somebody subscribed to it.
        EventPattern::Below(prefix) if prefix.as_str() == "webhook" => Err(unknown()),
        EventPattern::All | EventPattern::Below(_) => Ok(pattern),
        // What Waxwing itself has to say goes to tenant `system` alone.
        EventPattern::Exact(name) if call.tenant().id == TenantId::SYSTEM => {
            if operational::TYPES.contains(&name.as_str()) { Ok(pattern) } else { Err(unknown()) }
        }
        EventPattern::Exact(name) => {
            open_type(&call.catalogue, name.as_str())?;
            Ok(pattern)
        }
    }
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

pub(super) fn check_signing(name: Option<SigningText>, findings: &mut Findings) -> Option<Signing> {
    let signing = Signing::from_name(&name?.0);
    if signing.is_none() {
        findings.add(Rule::InvalidFormat { expected: "'subscription' or 'tenant'" }, "/signing");
    }
    signing
}

/// One of the profile's; its default when nothing is asked for.
pub(super) fn check_api_version(
    name: Option<ApiVersionText>,
    profile: Profile,
    findings: &mut Findings,
) -> Option<ApiVersion> {
    let Some(ApiVersionText(name)) = name else { return profile.api_version_default() };
    let version = profile.api_versions().iter().copied().find(|version| version.name() == name);
    if version.is_none() {
        findings.add(Rule::InvalidFormat { expected: profile.api_versions_expected() }, "/api_version");
    }
    version
}

/// How long a rotated secret goes on signing. None when nothing is said of it.
pub fn check_overlap(seconds: Option<i64>, findings: &mut Findings) -> Option<Duration> {
    let range = (0, i64::from(OVERLAP_SECONDS_MAX));
    let seconds = check_range(seconds, range, "seconds", "/overlap_seconds", findings)?;
    Some(Duration::from_secs(seconds.unsigned_abs()))
}

/// Deliveries per second.
pub(super) fn check_rate_limit(limit: i64, findings: &mut Findings) -> Option<NonZeroU16> {
    let range = (1, i64::from(RATE_LIMIT_CEILING));
    let limit = check_range(Some(limit), range, "deliveries per second", "/rate_limit", findings)?;
    NonZeroU16::new(limit.try_into().ok()?)
}

pub(super) fn check_retry_schedule(RetryWaits(waits): &RetryWaits, findings: &mut Findings) -> Option<Schedule> {
    if waits.is_empty() {
        findings.add(Rule::InvalidFormat { expected: "null, or 1 to 20 delays in seconds" }, "/retry_schedule");
    }
    if waits.len() > RETRIES_MAX {
        findings.add(Rule::TooManyItems { max: RETRIES_MAX }, "/retry_schedule");
        return None;
    }
    let range = (0, i64::from(RETRY_WAIT_SECONDS_MAX));
    let checked = waits.iter().enumerate().map(|(index, wait)| {
        let wait = check_range(Some(*wait), range, "seconds", &format!("/retry_schedule/{index}"), findings)?;
        u32::try_from(wait).ok()
    });
    // All of them are looked at, so that every problem is told.
    let checked: Vec<Option<u32>> = checked.collect();
    Schedule::of_retries(&checked.into_iter().collect::<Option<Vec<u32>>>()?).ok()
}

pub(super) fn check_ordering(name: Option<OrderingText>, findings: &mut Findings) -> Option<DeliveryOrder> {
    let ordering = DeliveryOrder::from_name(&name?.0);
    if ordering.is_none() {
        findings.add(Rule::InvalidFormat { expected: "'none' or 'fifo'" }, "/ordering");
    }
    ordering
}

/// Each with its value, or none: the value is kept.
pub(super) type WantedHeaders = BTreeMap<HeaderName, Option<HeaderValue>>;

/// A client that sends back what it was shown sends `***`: that means the value in `kept`, and must not become one.
/// `prefix` is the tenant's brand part, whose names are not free either.
pub(super) fn check_headers(
    pairs: BTreeMap<String, String>,
    kept: &CustomHeaders,
    prefix: Option<&HeaderPrefix>,
    findings: &mut Findings,
) -> WantedHeaders {
    let mut wanted = WantedHeaders::new();
    if pairs.len() > HEADERS_MAX {
        findings.add(Rule::TooManyItems { max: HEADERS_MAX }, "/headers");
        return wanted;
    }
    for (name, value) in pairs {
        let pointer = format!("/headers{}", pointer_of(&name));
        let name: HeaderName = match name.parse() {
            Ok(name) => name,
            Err(why) => {
                findings.add(Rule::HeaderNotAllowed(why), pointer);
                continue;
            }
        };
        if prefix.is_some_and(|prefix| prefix.takes(&name)) {
            findings.add(Rule::HeaderNotAllowed(InvalidHeaderName::Reserved), pointer);
            continue;
        }
        let value = match value.parse() {
            Ok(_) if value == MASK && kept.contains_key(&name) => None,
            Ok(_) if value == MASK => {
                findings.add(Rule::InvalidFormat { expected: "the value itself: none is kept" }, pointer.clone());
                None
            }
            Ok(value) => Some(value),
            Err(InvalidHeaderValue) => {
                findings.add(Rule::InvalidFormat { expected: VALUE_EXPECTED }, pointer.clone());
                None
            }
        };
        // `X-Shop` and `x-shop` are one header.
        if wanted.insert(name, value).is_some() {
            findings.add(Rule::DuplicateItem, pointer);
        }
    }
    wanted
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

/// The ids that receivers know from another sender.
pub(super) fn check_public_ids(
    marea: Option<String>,
    agentmessage: Option<String>,
    findings: &mut Findings,
) -> PublicIds {
    let marea = marea.and_then(|text| {
        let id = text.parse().ok();
        if id.is_none() {
            let expected = "mk_we_ followed by 16 lower-case hexadecimal digits";
            findings.add(Rule::InvalidFormat { expected }, "/marea_id");
        }
        id
    });
    let agentmessage = agentmessage.and_then(|text| {
        let id = text.parse().ok();
        if id.is_none() {
            findings.add(Rule::InvalidFormat { expected: "a UUID" }, "/agentmessage_id");
        }
        id
    });
    PublicIds { marea, agentmessage }
}

pub fn check_profile(name: Option<ProfileText>, findings: &mut Findings) -> Option<Profile> {
    let profile = Profile::from_name(&name?.0);
    if profile.is_none() {
        findings.add(Rule::InvalidFormat { expected: Profile::NAMES_EXPECTED }, "/profile");
    }
    profile
}
