//! The file on one page: every table, its key and its record.
//!
//! Keys are big-endian and of fixed width (a text only as the last part), so the order of bytes is the order of
//! parts. Values are a version byte and what [`super::record`] writes; an index row has an empty value.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `meta` | name | what [`MetaName`] says |
//! | `tenants`, `keys`, `subscriptions` | id | configuration; deleted subscriptions stay until their deliveries go |
//! | `event_types` | name | configuration |
//! | `keys_used` | key | when it was last used |
//! | `health` | subscription | how it fares |
//! | `events` | event | all but its data |
//! | `payloads` | event | its data, byte for byte |
//! | `external_ids` | tenant, external id | event |
//! | `deliveries` | delivery | where it stands; the deliveries that an event began with follow its own id |
//! | `redeliveries` | event, delivery | – (the deliveries of an event that were made later, when somebody asked for them) |
//! | `attempts` | delivery, number | one request and its response |
//! | `due` | subscription, next attempt, delivery | – (exactly the parked deliveries) |
//! | `open` | tenant, delivery | – (exactly the parked deliveries) |
//! | `failed` | tenant, delivery | – (exactly the exhausted and canceled ones) |
//! | `events_by_tenant`, `deliveries_by_tenant` | tenant, first id | up to 256 ids (see [`super::postings`]) |
//! | `deliveries_by_subscription` | subscription, first id | the same |
//! | `answers` | request | a remembered answer |
//! | `answers_by_time` | created, request | – |
//! | `answers_by_secret` | what must go for it to go, request | – |
//! | `jobs` | job | what was asked of many deliveries at once, and how far it came |
//! | `jobs_by_tenant` | tenant, job | – |
//! | `job_deliveries` | job, first id | up to 256 deliveries that it has still to deal with |
//! | `work` | what is being done | how far it came |
//! | `stats` | resolution, start, scope | what was counted there; all of a time are neighbours, so that adding touches few pages |
//! | `stats_log` | number of the commit | what it counted, not yet added to `stats` and `state_counts` |
//! | `users` | user | who signs in at the console |
//! | `invitations` | hash of its token | who may choose a password with it, and until when |
//! | `sessions` | session | where somebody is signed in |
//! | `sessions_used` | session | when it was last used |
//! | `state_counts` | subscription | how many of its deliveries are in each state |
//! | `settings` | name | the value that is stored |
//! | `portal_links` | link | who may enter the portal of a tenant, or has; hashes only |
//! | `audit_log` | entry | who changed what; what a deleted tenant did stays, too |

use redb::TableDefinition;

use super::RequestName;
use super::postings::Chunk;
use super::record::{
    AnswerRecord, AttemptRecord, AuditRecord, DeliveryRecord, EventRecord, EventTypeRecord, HealthRecord, IdRecord,
    InvitationRecord, JobRecord, KeyRecord, MetaValue, Payload, PortalLinkRecord, SessionRecord, SettingRecord,
    StateCountsRecord, StatsLogRecord, StatsRecord, SubscriptionRecord, TenantRecord, UsedRecord, UserRecord, Value,
    WorkRecord,
};
use crate::domain::event_type::{EventTypeKey, EventTypeName};
use crate::domain::id::{
    AuditId, DeliveryId, EventId, JobId, KeyId, PortalLinkId, SessionId, SubscriptionId, TenantId, UserId,
};
use crate::domain::setting::SettingName;
use crate::domain::stats::{Resolution, Scope};
use crate::domain::tenant::ExternalId;
use crate::domain::time::Timestamp;
use crate::domain::token::TokenHash;

pub(super) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// A table: what its keys and values are.
pub(super) trait Kind {
    type Key: Key;
    type Value: Value;
    const NAME: &'static str;
    /// Its place in [`NAMES`].
    const PLACE: usize;
}

macro_rules! tables {
    ($($table:ident = $name:literal: $key:ty => $value:ty;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "only counts the tables")]
        enum Place { $($table,)* }

        $(
            pub(super) enum $table {}

            impl Kind for $table {
                type Key = $key;
                type Value = $value;
                const NAME: &'static str = $name;
                const PLACE: usize = Place::$table as usize;
            }
        )*

        pub(super) const NAMES: &[&str] = &[$($name,)*];

        /// Reads a row of the table at a place as [`super::fuzzing`] does.
        #[cfg(feature = "fuzzing")]
        pub(super) fn read_any(place: usize, key: &[u8], value: &[u8]) {
            $(if place == $table::PLACE {
                super::fuzzing::read::<$table>(key, value);
            })*
        }
    };
}

// A new table comes last: the journal names a table by its place.
tables! {
    Meta = "meta": MetaName => MetaValue;
    Tenants = "tenants": TenantId => TenantRecord;
    Keys = "keys": KeyId => KeyRecord;
    KeysUsed = "keys_used": KeyId => UsedRecord;
    EventTypes = "event_types": EventTypeName => EventTypeRecord;
    Subscriptions = "subscriptions": SubscriptionId => SubscriptionRecord;
    HealthOf = "health": SubscriptionId => HealthRecord;
    Events = "events": EventId => EventRecord;
    Payloads = "payloads": EventId => Payload;
    ExternalIds = "external_ids": (TenantId, ExternalId) => IdRecord;
    Deliveries = "deliveries": DeliveryId => DeliveryRecord;
    Redeliveries = "redeliveries": (EventId, DeliveryId) => ();
    Attempts = "attempts": (DeliveryId, u16) => AttemptRecord;
    DueRows = "due": (SubscriptionId, Timestamp, DeliveryId) => ();
    OpenRows = "open": (TenantId, DeliveryId) => ();
    FailedRows = "failed": (TenantId, DeliveryId) => ();
    EventsByTenant = "events_by_tenant": (TenantId, EventId) => Chunk;
    DeliveriesByTenant = "deliveries_by_tenant": (TenantId, DeliveryId) => Chunk;
    DeliveriesBySubscription = "deliveries_by_subscription": (SubscriptionId, DeliveryId) => Chunk;
    Answers = "answers": RequestName => AnswerRecord;
    AnswersByTime = "answers_by_time": (Timestamp, RequestName) => ();
    AnswersBySecret = "answers_by_secret": (Holder, RequestName) => ();
    Jobs = "jobs": JobId => JobRecord;
    JobsByTenant = "jobs_by_tenant": (TenantId, JobId) => ();
    JobDeliveries = "job_deliveries": (JobId, DeliveryId) => Chunk;
    Work = "work": WorkName => WorkRecord;
    Stats = "stats": (Resolution, Timestamp, Scope) => StatsRecord;
    StatsLog = "stats_log": u64 => StatsLogRecord;
    StateCountsOf = "state_counts": SubscriptionId => StateCountsRecord;
    Users = "users": UserId => UserRecord;
    Invitations = "invitations": TokenHash => InvitationRecord;
    Sessions = "sessions": SessionId => SessionRecord;
    SessionsUsed = "sessions_used": SessionId => UsedRecord;
    Settings = "settings": SettingName => SettingRecord;
    AuditLog = "audit_log": AuditId => AuditRecord;
    PortalLinks = "portal_links": PortalLinkId => PortalLinkRecord;
}

pub(super) const fn definition(name: &'static str) -> Definition {
    TableDefinition::new(name)
}

/// Single values about the whole file, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetaName {
    /// u32: the format of the file.
    Format,
    /// A known text, encrypted: shows whether the secret key is the right one.
    KeyCheck,
    /// Delivery id: every delivery up to it is parked or final.
    SettledUpTo,
    /// Id: every event and delivery up to it is in its postings.
    IndexedUpTo,
    /// Id: no greater one was assigned before the commit that wrote it.
    AssignedUpTo,
    /// i64 milliseconds: how far an event's id ever lay after its `created_at`.
    IdLagMax,
    /// Event id: where the walk of retention stands.
    RetentionCursor,
    /// u64: number of the last frame of the journal that is in here.
    JournalUpTo,
}

impl MetaName {
    const ALL: [Self; 8] = [
        Self::Format,
        Self::KeyCheck,
        Self::SettledUpTo,
        Self::IndexedUpTo,
        Self::AssignedUpTo,
        Self::IdLagMax,
        Self::RetentionCursor,
        Self::JournalUpTo,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::KeyCheck => "key_check",
            Self::SettledUpTo => "settled_up_to",
            Self::IndexedUpTo => "indexed_up_to",
            Self::AssignedUpTo => "assigned_up_to",
            Self::IdLagMax => "id_lag_max",
            Self::RetentionCursor => "retention_cursor",
            Self::JournalUpTo => "journal_up_to",
        }
    }
}

/// What has to go for a remembered answer to go: a secret that it shows, or whoever asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    Subscription(SubscriptionId),
    Key(KeyId),
    /// Whoever asked, of any kind.
    Asker([u8; 16]),
    Tenant(TenantId),
    User(UserId),
}

/// Work that is done in the background, in steps, also after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WorkName {
    /// Cancels what waits for a deleted subscription.
    Cancel(SubscriptionId),
    /// Removes all that a deleted tenant had.
    Erase(TenantId),
    /// Does what was asked of many deliveries.
    Job(JobId),
    /// Removes the statistics of something deleted.
    EraseStats(Scope),
}

/// A key, as bytes that sort like its parts.
pub(super) trait Key: Clone + PartialEq + std::fmt::Debug {
    fn write(&self, bytes: &mut Vec<u8>);
    /// Takes its part from the front; none when the bytes are no such key.
    fn read(bytes: &mut &[u8]) -> Option<Self>;

    fn to_key(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(48);
        self.write(&mut bytes);
        bytes
    }

    fn from_key(mut bytes: &[u8]) -> Option<Self> {
        let key = Self::read(&mut bytes)?;
        bytes.is_empty().then_some(key)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (part, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*part)
}

macro_rules! id_keys {
    ($($id:ident)*) => {$(
        impl Key for $id {
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_bytes());
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                take(bytes).map(Self::from_bytes)
            }
        }
    )*};
}

id_keys! { AuditId PortalLinkId TenantId KeyId SubscriptionId EventId DeliveryId JobId UserId SessionId }

macro_rules! number_keys {
    ($($number:ident)*) => {$(
        impl Key for $number {
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_be_bytes());
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                take(bytes).map(Self::from_be_bytes)
            }
        }
    )*};
}

number_keys! { u16 u64 }

impl Key for Resolution {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(match self {
            Self::Minute => 1,
            Self::Hour => 2,
            Self::Day => 3,
        });
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        match take(bytes)? {
            [1] => Some(Self::Minute),
            [2] => Some(Self::Hour),
            [3] => Some(Self::Day),
            _ => None,
        }
    }
}

impl Key for Scope {
    fn write(&self, bytes: &mut Vec<u8>) {
        let (kind, id) = match self {
            Self::Instance => (0, [0; 16]),
            Self::Tenant(id) => (1, id.to_bytes()),
            Self::Subscription(id) => (2, id.to_bytes()),
            Self::EventType(EventTypeKey(key)) => (3, *key),
        };
        bytes.push(kind);
        bytes.extend_from_slice(&id);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        match (take(bytes)?, take(bytes)?) {
            ([0], id) if id == [0; 16] => Some(Self::Instance),
            ([1], id) => Some(Self::Tenant(TenantId::from_bytes(id))),
            ([2], id) => Some(Self::Subscription(SubscriptionId::from_bytes(id))),
            ([3], key) => Some(Self::EventType(EventTypeKey(key))),
            _ => None,
        }
    }
}

/// The sign bit is turned over, so that times before 1970 sort before the others.
const SIGN: u64 = 1 << 63;

impl Key for Timestamp {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&(self.as_millis().cast_unsigned() ^ SIGN).to_be_bytes());
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let millis = (u64::from_be_bytes(take(bytes)?) ^ SIGN).cast_signed();
        let at = Self::from_millis(millis);
        (at.as_millis() == millis).then_some(at)
    }
}

impl Key for TokenHash {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        take(bytes).map(Self)
    }
}

impl Key for RequestName {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        take(bytes).map(Self)
    }
}

macro_rules! text_keys {
    ($($name:ident)*) => {$(
        /// A text of any length: only ever the last part of a key.
        impl Key for $name {
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(self.as_str().as_bytes());
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                std::str::from_utf8(std::mem::take(bytes)).ok()?.parse().ok()
            }
        }
    )*};
}

text_keys! { EventTypeName ExternalId }

impl Key for SettingName {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_str().as_bytes());
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Self::from_name(std::str::from_utf8(std::mem::take(bytes)).ok()?)
    }
}

impl Key for MetaName {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.name().as_bytes());
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let name = std::mem::take(bytes);
        Self::ALL.into_iter().find(|known| known.name().as_bytes() == name)
    }
}

impl Key for Holder {
    fn write(&self, bytes: &mut Vec<u8>) {
        let (kind, id) = match self {
            Self::Subscription(id) => (1, id.to_bytes()),
            Self::Key(id) => (2, id.to_bytes()),
            Self::Asker(id) => (3, *id),
            Self::Tenant(id) => (4, id.to_bytes()),
            Self::User(id) => (5, id.to_bytes()),
        };
        bytes.push(kind);
        bytes.extend_from_slice(&id);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        match take(bytes)? {
            [1] => Key::read(bytes).map(Self::Subscription),
            [2] => Key::read(bytes).map(Self::Key),
            [3] => take(bytes).map(Self::Asker),
            [4] => Key::read(bytes).map(Self::Tenant),
            [5] => Key::read(bytes).map(Self::User),
            _ => None,
        }
    }
}

impl Key for WorkName {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Cancel(id) => {
                bytes.push(1);
                id.write(bytes);
            }
            Self::Erase(id) => {
                bytes.push(2);
                id.write(bytes);
            }
            Self::Job(id) => {
                bytes.push(3);
                id.write(bytes);
            }
            Self::EraseStats(scope) => {
                bytes.push(4);
                scope.write(bytes);
            }
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        match take(bytes)? {
            [1] => Key::read(bytes).map(Self::Cancel),
            [2] => Key::read(bytes).map(Self::Erase),
            [3] => Key::read(bytes).map(Self::Job),
            [4] => Key::read(bytes).map(Self::EraseStats),
            _ => None,
        }
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::read(bytes)?, B::read(bytes)?))
    }
}

impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
        self.1.write(bytes);
        self.2.write(bytes);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::read(bytes)?, B::read(bytes)?, C::read(bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_sorts_like_its_parts_and_reads_back() {
        let subscription = SubscriptionId::from_u128;
        let delivery = DeliveryId::from_u128;
        let at = Timestamp::from_millis;
        let sorted = [
            (subscription(1), at(-5), delivery(9)),
            (subscription(1), at(-4), delivery(8)),
            (subscription(1), at(0), delivery(7)),
            (subscription(1), at(256), delivery(1)),
            (subscription(1), at(256), delivery(1 << 100)),
            (subscription(256), at(-9), delivery(0)),
        ];
        assert!(sorted.is_sorted_by_key(Key::to_key));
        for key in sorted {
            assert_eq!(<(SubscriptionId, Timestamp, DeliveryId)>::from_key(&key.to_key()), Some(key));
        }
    }

    #[test]
    fn bytes_that_are_no_key_are_refused() {
        assert_eq!(EventId::from_key(&[0; 15]), None);
        assert_eq!(EventId::from_key(&[0; 17]), None);
        assert_eq!(WorkName::from_key(&[9; 17]), None);
        assert_eq!(<(TenantId, ExternalId)>::from_key(&[0; 16]), None, "an external id is never empty");
        // No moment that can be written: it would be read as another key than the row has.
        for outside in [[0; 8], [u8::MAX; 8]] {
            assert_eq!(Timestamp::from_key(&outside), None);
        }
        for at in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(Timestamp::from_key(&at.to_key()), Some(at));
        }
    }

    #[test]
    fn every_table_has_its_own_name() {
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
        assert_eq!(NAMES[Work::PLACE], Work::NAME);
    }
}
