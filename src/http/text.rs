//! Every sentence that the API says about an error: the one place to translate.

use poem::http::StatusCode;

use super::problem::Ground;
use crate::domain::header::{InvalidHeaderName, NAME_EXPECTED};
use crate::domain::violation::Rule;

pub fn title(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

pub fn detail(ground: &Ground) -> String {
    match ground {
        Ground::Rule(rule) => rule_detail(rule),
        Ground::MissingApiKey => "Missing Authorization header".to_owned(),
        Ground::InvalidApiKey => "Invalid API key".to_owned(),
        Ground::KeyExpired => "This API key has expired".to_owned(),
        Ground::KeyRevoked => "This API key was revoked".to_owned(),
        Ground::ReadOnlyKey => "This API key is read-only and cannot perform write operations".to_owned(),
        Ground::MissingScope(scope) => format!("This API key lacks the scope {}", scope.name()),
        Ground::InstanceKeyOnly => {
            "This concerns the whole instance, and this API key is bound to one tenant".to_owned()
        }
        Ground::BeyondOwnKey { what } => format!("A key cannot give more than it has itself: {what}"),
        Ground::NoSuchPath => "There is nothing at this path".to_owned(),
        Ground::NotFound { thing, id } => format!("{thing} '{id}' not found"),
        Ground::UnknownTenant { name } => format!("Tenant '{name}' not found"),
        Ground::MethodNotAllowed => "This path does not take this method; the Allow header says which".to_owned(),
        Ground::UnsupportedMediaType { expected } => format!("The body must be sent as {expected}"),
        Ground::BodyTooLarge { bytes_max } => format!("The body is larger than {bytes_max} bytes"),
        Ground::InvalidIdempotencyKey => "An Idempotency-Key has 1 to 200 printable ASCII characters".to_owned(),
        Ground::IdempotencyConflict => "This Idempotency-Key was used with another body".to_owned(),
        Ground::IdempotencyInProgress => "A request with this Idempotency-Key is still running".to_owned(),
        Ground::AlreadyExists => "The name is taken".to_owned(),
        Ground::KeyExists => "There is a key with this text already".to_owned(),
        Ground::EventNotAllowed => {
            "A named subscription was made by a restricted API key, which may not have this event".to_owned()
        }
        Ground::ExternalIdConflict => {
            "An event with this external_id was published with another type or other data".to_owned()
        }
        Ground::InvalidState => "Its state does not allow this".to_owned(),
        Ground::EventExpired => {
            "The event's data was removed when its time was over: it cannot be sent again".to_owned()
        }
        Ground::SystemTenant => "Nobody publishes into the tenant 'system'".to_owned(),
        Ground::PreconditionFailed => {
            "It was changed since it was read: its ETag is no longer the one in If-Match".to_owned()
        }
        Ground::LimitExceeded { max } => format!("No more than {max} are allowed"),
        Ground::RateLimited => "Rate limit exceeded. Please retry after a short delay.".to_owned(),
        Ground::TooManyViewers { max, of_what } => {
            format!("No more than {max} viewers of {of_what} can watch at once: close one, then try again")
        }
        Ground::StorageFull => "Storage is full: nothing new is accepted until space is free".to_owned(),
        Ground::ShuttingDown => "The server is shutting down: please try again".to_owned(),
        Ground::Internal | Ground::StoreUnavailable { .. } => {
            "Something went wrong here; the request id finds it in the log".to_owned()
        }
    }
}

fn rule_detail(rule: &Rule) -> String {
    match rule {
        Rule::InvalidJson(where_it_stops) => format!("The body is not valid JSON: {where_it_stops}"),
        Rule::UnknownField { name } => format!("There is no field '{name}' here"),
        Rule::MissingField { name } => format!("The field '{name}' is required"),
        Rule::InvalidType { expected } => format!("This must be {expected}"),
        Rule::InvalidParameter { name, expected } => format!("'{name}' must be {expected}"),
        Rule::OutOfRange { min, max, unit: "" } => format!("This must be {min} to {max}"),
        Rule::OutOfRange { min, max, unit } => format!("This must be {min} to {max} {unit}"),
        Rule::TooFarAhead { days_max } => format!("This may lie at most {days_max} days ahead"),
        Rule::TooShort { min: 1 } => "This must not be empty".to_owned(),
        Rule::TooShort { min } => format!("This must have at least {min} characters"),
        Rule::TooLong { max } => format!("This must have at most {max} characters"),
        Rule::InvalidFormat { expected } => format!("This must be {expected}"),
        Rule::DuplicateItem => "This occurs twice".to_owned(),
        Rule::TooManyItems { max } => format!("There may be at most {max}"),
        Rule::InvalidUrl(why) => format!("This is not a usable URL: {why}"),
        Rule::UrlNotHttps => "The URL must begin with https://".to_owned(),
        Rule::UrlBlocked => "Deliveries to this address are not allowed".to_owned(),
        Rule::UrlTooLong { max } => format!("A URL has at most {max} characters"),
        Rule::HeaderNotAllowed(InvalidHeaderName::Malformed) => format!("The name of a header has {NAME_EXPECTED}"),
        Rule::HeaderNotAllowed(InvalidHeaderName::Reserved) => {
            "Waxwing or HTTP itself sets this header: it cannot be a custom one".to_owned()
        }
        Rule::InvalidSecret { expected } => format!("A secret of this profile is {expected}"),
        Rule::OverlapNotSupported { profile } => {
            format!("Deliveries of the profile '{profile}' carry one signature: two secrets cannot overlap")
        }
        Rule::EventsEmpty => "At least one event type or pattern is needed".to_owned(),
        Rule::UnknownEventType { name } => format!("There is no event type '{name}'"),
        Rule::EventNotAllowed { name } => format!("'{name}' is beyond what the API key is restricted to"),
        Rule::ChannelNotAllowed => "This is not a channel of the restricted API key".to_owned(),
        Rule::DescriptionTooLong { max } => format!("A description has at most {max} characters"),
        Rule::PayloadTooLarge { max } => format!("This must have at most {max} bytes"),
        Rule::PayloadTooDeep { max } => format!("This nests deeper than {max} levels"),
        Rule::PayloadSchemaMismatch { detail } => format!("This does not fit the event type's schema: {detail}"),
    }
}
