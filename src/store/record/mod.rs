//! What a value looks like on disk: a version byte, then postcard of a private struct; and how it becomes a domain value.
//!
//! Conversions take every struct apart completely, so that a new field cannot be forgotten. A record that changes gets
//! a new version; the old struct stays to read old rows.

mod answer;
mod audit;
mod configuration;
mod earlier;
mod health;
mod history;
mod job;
mod portal_link;
mod setting;
mod stats;
#[cfg(test)]
pub(in crate::store) mod tests;
mod user;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::delivery::{
    CanceledReason, ErrorClass, ExhaustedReason, ExpiredReason, RetryReason, ShownState, Trigger,
};
use crate::domain::job::JobState;
use crate::domain::key::{KeyKind, Preset};
use crate::domain::profile::{ApiVersion, Profile};
use crate::domain::subscription::{DeliveryOrder, DisabledReason, Envelope, Signing};
use crate::domain::time::Timestamp;
use crate::domain::user::Role;

pub(super) use answer::AnswerRecord;
pub(super) use audit::AuditRecord;
pub(super) use configuration::{EventTypeRecord, KeyRecord, SubscriptionRecord, TenantRecord};
pub(super) use health::HealthRecord;
pub(super) use history::{AttemptRecord, DeliveryRecord, EventRecord};
pub(super) use job::JobRecord;
pub(super) use portal_link::PortalLinkRecord;
pub(super) use setting::SettingRecord;
pub(super) use stats::{LogSubject, Measures, StateCountsRecord, StatsLogEntry, StatsLogRecord, StatsRecord};
pub(super) use user::{InvitationRecord, SessionRecord, UserRecord};

/// Something that can be the value of a row.
pub(super) trait Value: Sized {
    fn encode(&self) -> Vec<u8>;
    /// None when the bytes are no such value.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// A record, and the version that is written today.
pub(super) trait Record: Serialize + DeserializeOwned {
    const VERSION: u8 = 1;

    /// Reads what an earlier version wrote after its version byte.
    fn decode_earlier(_version: u8, _rest: &[u8]) -> Option<Self> {
        None
    }
}

/// Reads one postcard struct that takes up all the bytes.
fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        Ok(_) | Err(_) => None,
    }
}

impl<R: Record> Value for R {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        bytes.push(R::VERSION);
        postcard::serialize_with_flavor(self, Buffer(bytes)).expect("a record has nothing that postcard cannot write")
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version == R::VERSION { whole(rest) } else { R::decode_earlier(*version, rest) }
    }
}

/// Takes what postcard writes: ids go byte by byte, and `postcard::to_extend` makes an iterator of each.
struct Buffer(Vec<u8>);

impl postcard::ser_flavors::Flavor for Buffer {
    type Output = Vec<u8>;

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

impl Value for () {
    fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }
}

/// The version byte of values that are plain bytes.
pub(super) const RAW_VERSION: u8 = 1;

macro_rules! raw_values {
    ($($(#[$doc:meta])* $name:ident($bytes:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(super) struct $name(pub $bytes);

        impl Value for $name {
            fn encode(&self) -> Vec<u8> {
                let mut bytes = Vec::with_capacity(1 + self.0.len());
                bytes.push(RAW_VERSION);
                bytes.extend_from_slice(&self.0);
                bytes
            }

            fn decode(bytes: &[u8]) -> Option<Self> {
                match bytes.split_first()? {
                    (&RAW_VERSION, rest) => Some(Self(rest.to_vec().into())),
                    _ => None,
                }
            }
        }
    )*};
}

raw_values! {
    /// The data of an event, byte for byte.
    Payload(Bytes);
    MetaValue(Vec<u8>);
}

type IdBytes = [u8; 16];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IdRecord(pub IdBytes);
impl Record for IdRecord {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UsedRecord {
    pub at: i64,
}
impl Record for UsedRecord {}

/// How far a piece of background work came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WorkRecord {
    pub stage: u8,
    pub cursor: IdBytes,
    /// Where the stage ends.
    pub until: IdBytes,
}
impl Record for WorkRecord {}

/// A domain enum without fields and its twin on disk, converted by exhaustive `match`. The order is the format:
/// new members go to the end.
macro_rules! twins {
    ($($domain:ident = $record:ident { $($member:ident),* $(,)? })*) => {$(
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub(super) enum $record { $($member),* }

        impl From<$domain> for $record {
            fn from(value: $domain) -> Self {
                match value { $($domain::$member => Self::$member),* }
            }
        }

        impl From<$record> for $domain {
            fn from(value: $record) -> Self {
                match value { $($record::$member => Self::$member),* }
            }
        }
    )*};
}

twins! {
    RetryReason = RetryReasonRecord { Schedule, RetryAfter, Manual, ManualOnce }
    ExhaustedReason = ExhaustedReasonRecord { Schedule, Gone, Aborted }
    CanceledReason = CanceledReasonRecord { Manual, SubscriptionDeleted, SubscriptionGone, PayloadExpired }
    ExpiredReason = ExpiredReasonRecord { BacklogFull, BacklogAge }
    Trigger = TriggerRecord { Schedule, Manual, Probe }
    ShownState = ShownStateRecord { Pending, Retrying, Held, Succeeded, Exhausted, Canceled, Expired }
    JobState = JobStateRecord { Running, Done, Canceled }
    ErrorClass = ErrorClassRecord { BlockedAddress, Dns, Connect, Tls, Timeout, Http }
    Profile = ProfileRecord { Standard, Mage, Marea, AgentMessage }
    Envelope = EnvelopeRecord { Profile, Raw }
    DeliveryOrder = DeliveryOrderRecord { None, Fifo }
    DisabledReason = DisabledReasonRecord { Gone, Failing }
    Signing = SigningRecord { Subscription, Tenant }
    ApiVersion = ApiVersionRecord { V2026_04_01, V2026_05_12, V2026_11_01 }
    Preset = PresetRecord { FullAccess, ReadOnly, PublishOnly, Subscriber }
    KeyKind = KeyKindRecord { Native, MareaDeveloper, MareaUser, Agentmessage }
    Role = RoleRecord { Owner, Operator, Viewer }
}

fn millis(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_millis)
}

fn timestamp(millis: Option<i64>) -> Option<Timestamp> {
    millis.map(Timestamp::from_millis)
}
