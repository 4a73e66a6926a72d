//! Ids and names as they stand in paths and bodies: what is read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing::domain::attempt_uuid::AttemptUuid;
use waxwing::domain::channel::Channel;
use waxwing::domain::event_type::{EventPattern, EventTypeName};
use waxwing::domain::id::*;
use waxwing::domain::public_id::MareaEndpointId;
use waxwing::domain::tenant::ExternalId;
use waxwing::domain::time::Timestamp;
use waxwing::domain::uuid::Uuid;

macro_rules! read_back {
    ($text:ident: $($name:ty),*) => {$(
        if let Ok(id) = $text.parse::<$name>() {
            assert_eq!(id.to_string(), $text);
        }
    )*};
}

fuzz_target!(|text: &str| {
    read_back!(text: AuditId, PortalLinkId, PortalSessionId, TenantId, KeyId, SubscriptionId, EventId, DeliveryId,
        AttemptId, JobId, UserId, SessionId, Channel, EventTypeName, EventPattern, ExternalId);
    if let Ok(uuid) = text.parse::<Uuid>() {
        assert_eq!(uuid.to_string().parse(), Ok(uuid));
        if let Some(attempt) = AttemptUuid::from_uuid(uuid) {
            assert_eq!(attempt.uuid(), uuid);
            assert!(!attempt.deliveries().is_empty() && attempt.number() > 0);
        }
    }
    if let Ok(id) = text.parse::<MareaEndpointId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        assert_eq!(at.to_string().parse(), Ok(at));
    }
});
