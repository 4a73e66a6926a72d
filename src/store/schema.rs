//! Every table, its keys and what it holds, on one page.
//!
//! Keys are fixed-width big-endian bytes, so that their order is the order of what they mean; values are records
//! (`record.rs`): a version byte, then postcard. Bytes on both sides, because a typed value of redb cannot fail to
//! decode and a file can.

use redb::TableDefinition;

use crate::domain::id::{DeliveryId, SubscriptionId};
use crate::domain::time::Timestamp;

/// The version of this page. A file with a greater one is refused, a lesser one is migrated at open.
pub(super) const FORMAT_VERSION: u32 = 1;

pub(super) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub(super) const $name: Definition = TableDefinition::new($text);)*

        /// All of them, in the order of this page.
        pub(super) const ALL: &[(&str, Definition)] = &[$(($text, $name),)*];
    };
}

tables! {
    /// name → number or bytes: see [`meta`]
    META = "meta";

    /// tenant → TenantRecord
    TENANTS = "tenants";
    /// key id → KeyRecord
    KEYS = "keys";
    /// name → EventTypeRecord
    EVENT_TYPES = "event_types";
    /// subscription → SubscriptionRecord (deleted ones too, while their history is kept)
    SUBSCRIPTIONS = "subscriptions";
    /// subscription → HealthRecord: apart, because it moves with each delivery
    HEALTH = "health";
    /// key id → time of last use (8)
    KEYS_USED = "keys_used";

    /// event → EventRecord. The deliveries that an event makes have the ids that follow its own.
    EVENTS = "events";
    /// event → the bytes of `data`, as they came: apart, because they are kept for a shorter time
    PAYLOADS = "payloads";
    /// delivery → DeliveryRecord
    DELIVERIES = "deliveries";
    /// delivery (16), number (2) → AttemptRecord
    ATTEMPTS = "attempts";

    /// subscription (16), next attempt (8), delivery (16) → nothing. What waits on disk for its time. A delivery above
    /// the watermark `settled_up_to` may be open without a row here: it is in the dispatcher's memory.
    DUE = "due";
    /// tenant (16), delivery (16) → nothing. Open deliveries that have a row in `due`.
    OPEN = "open_by_tenant";
    /// tenant (16), delivery (16) → nothing. Exhausted and canceled deliveries.
    FAILED = "failed_by_tenant";

    /// owner (16), first id (16) → ids, ascending (16 each): see `postings.rs`
    EVENTS_BY_TENANT = "events_by_tenant";
    DELIVERIES_BY_TENANT = "deliveries_by_tenant";
    DELIVERIES_BY_SUBSCRIPTION = "deliveries_by_subscription";

    /// tenant (16), external id → event (16)
    EXTERNAL_IDS = "external_ids";

    /// request name (32) → AnswerRecord
    ANSWERS = "answers";
    /// time (8), request name (32) → nothing
    ANSWERS_BY_TIME = "answers_by_time";
    /// whose secret (16), request name (32) → nothing
    ANSWERS_BY_SECRET = "answers_by_secret";

    /// kind (1), id (16) → nothing. Deletions that are carried out in the background.
    SWEEPS = "sweeps";
}

/// Names in the table `meta`.
pub(super) mod meta {
    /// [`super::FORMAT_VERSION`]
    pub const FORMAT: &[u8] = b"format";
    /// A ciphertext of a known text: tells a wrong key.
    pub const KEY_CHECK: &[u8] = b"key_check";
    /// Deliveries up to this id are final or have a row in `due`.
    pub const SETTLED_UP_TO: &[u8] = b"settled_up_to";
    /// Events and deliveries up to this id are in the postings.
    pub const INDEXED_UP_TO: &[u8] = b"indexed_up_to";
    /// Where the retention walk stands.
    pub const RETAINED_UP_TO: &[u8] = b"retained_up_to";
    /// By how many milliseconds an id was ever ahead of its `created_at`: bounds a walk by time.
    pub const AHEAD_MAX: &[u8] = b"ahead_max";
}

/// Kinds of background deletion.
pub(super) mod sweep {
    pub const SUBSCRIPTION: u8 = 1;
    pub const TENANT: u8 = 2;
}

/// Two ids, one after the other.
pub(super) fn pair(first: u128, second: u128) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(&first.to_be_bytes());
    key[16..].copy_from_slice(&second.to_be_bytes());
    key
}

/// The ids of a key made by [`pair`].
pub(super) fn split_pair(key: &[u8]) -> Option<(u128, u128)> {
    let key: &[u8; 32] = key.try_into().ok()?;
    let (first, second) = key.split_at(16);
    Some((u128::from_be_bytes(first.try_into().ok()?), u128::from_be_bytes(second.try_into().ok()?)))
}

pub(super) fn id(key: &[u8]) -> Option<u128> {
    Some(u128::from_be_bytes(key.try_into().ok()?))
}

/// Order-preserving bytes of a time: the sign is flipped, so that times before 1970 come first.
pub(super) fn time(at: Timestamp) -> [u8; 8] {
    ((at.as_millis() as u64) ^ (1 << 63)).to_be_bytes()
}

pub(super) fn read_time(bytes: &[u8]) -> Option<Timestamp> {
    let millis = u64::from_be_bytes(bytes.try_into().ok()?) ^ (1 << 63);
    Some(Timestamp::from_millis(millis as i64))
}

pub(super) fn due(subscription: SubscriptionId, at: Timestamp, delivery: DeliveryId) -> [u8; 40] {
    let mut key = [0; 40];
    key[..16].copy_from_slice(&subscription.to_bytes());
    key[16..24].copy_from_slice(&time(at));
    key[24..].copy_from_slice(&delivery.to_bytes());
    key
}

pub(super) fn read_due(key: &[u8]) -> Option<(SubscriptionId, Timestamp, DeliveryId)> {
    let key: &[u8; 40] = key.try_into().ok()?;
    Some((SubscriptionId::from_u128(id(&key[..16])?), read_time(&key[16..24])?, DeliveryId::from_u128(id(&key[24..])?)))
}

pub(super) fn attempt(delivery: DeliveryId, number: u16) -> [u8; 18] {
    let mut key = [0; 18];
    key[..16].copy_from_slice(&delivery.to_bytes());
    key[16..].copy_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn answer_by_time(at: Timestamp, request: &[u8; 32]) -> [u8; 40] {
    let mut key = [0; 40];
    key[..8].copy_from_slice(&time(at));
    key[8..].copy_from_slice(request);
    key
}

pub(super) fn answer_by_secret(owner: u128, request: &[u8; 32]) -> [u8; 48] {
    let mut key = [0; 48];
    key[..16].copy_from_slice(&owner.to_be_bytes());
    key[16..].copy_from_slice(request);
    key
}

pub(super) fn external_id(tenant: u128, text: &str) -> Vec<u8> {
    [&tenant.to_be_bytes(), text.as_bytes()].concat()
}

pub(super) fn sweep_of(kind: u8, id: u128) -> [u8; 17] {
    let mut key = [kind; 17];
    key[1..].copy_from_slice(&id.to_be_bytes());
    key
}
