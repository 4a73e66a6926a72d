//! What the targets of `fuzz/` call: reads bytes as rows of the file, as one that was damaged or tampered with has them.

use super::RequestName;
use super::crypt::Crypt;
use super::record::{
    AnswerRecord, AttemptRecord, AuditRecord, DeliveryRecord, EventRecord, EventTypeRecord, InvitationRecord,
    JobRecord, KeyRecord, PortalLinkRecord, SessionRecord, SubscriptionRecord, TenantRecord, UserRecord, Value,
};
use super::schema::{Key, Kind, NAMES, read_any};
use crate::domain::id::{DeliveryId, EventId, JobId, KeyId, PortalLinkId, SessionId, SubscriptionId, TenantId, UserId};
use crate::domain::token::TokenHash;

/// The key that the records' golden bytes are sealed with.
const SECRET_KEY: [u8; 32] = [1; 32];

/// Reads a row of one of the tables, by its number.
///
/// # Panics
/// When what was read does not read back the same from what is written of it.
pub fn row(table: u8, key: &[u8], value: &[u8]) {
    read_any(usize::from(table) % NAMES.len(), key, value);
    into_domain(value);
}

pub(super) fn read<K: Kind>(key: &[u8], value: &[u8]) {
    if let Some(read) = K::Key::from_key(key) {
        assert_eq!(read.to_key(), key, "{}: a key is written as it was read", K::NAME);
    }
    if let Some(read) = K::Value::decode(value) {
        let written = read.encode();
        let again = K::Value::decode(&written).expect("what was written can be read").encode();
        assert_eq!(written, again, "{}: a value is written as it was read", K::NAME);
    }
}

/// Takes the bytes for each kind of record, and makes of it what the program works with.
fn into_domain(value: &[u8]) {
    let crypt = Crypt::new(&SECRET_KEY);
    let id = 1;
    _ = TenantRecord::decode(value).map(|record| record.into_domain(TenantId::from_u128(id), &crypt));
    _ = KeyRecord::decode(value).map(|record| record.into_domain(KeyId::from_u128(id)));
    _ = SubscriptionRecord::decode(value).map(|record| record.to_domain(SubscriptionId::from_u128(id), &crypt));
    _ = EventTypeRecord::decode(value)
        .map(|record| record.into_domain("order.paid".parse().expect("it is the name of an event type")));
    _ = EventRecord::decode(value).map(|record| record.into_domain(EventId::from_u128(id)));
    _ = DeliveryRecord::decode(value).map(|record| record.into_domain(DeliveryId::from_u128(id)));
    _ = AttemptRecord::decode(value).map(|record| record.into_domain(DeliveryId::from_u128(id), 1));
    _ = JobRecord::decode(value).map(|record| record.into_domain(JobId::from_u128(id)));
    _ = AuditRecord::decode(value).map(AuditRecord::into_domain);
    _ = PortalLinkRecord::decode(value).map(|record| record.into_domain(PortalLinkId::from_u128(id)));
    _ = UserRecord::decode(value).map(|record| record.into_domain(UserId::from_u128(id), &crypt));
    _ = InvitationRecord::decode(value).map(|record| record.into_domain(TokenHash([1; 32])));
    _ = SessionRecord::decode(value).map(|record| record.into_domain(SessionId::from_u128(id)));
    _ = AnswerRecord::decode(value).map(|record| record.into_domain(RequestName([1; 32]), &crypt));
}
