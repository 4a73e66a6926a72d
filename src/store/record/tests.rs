//! Every record reads back as what it was made from, its bytes are those of its version, and those of earlier versions
//! still read.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use bytes::Bytes;
use expect_test::{Expect, expect};
use serde_json::value::RawValue;

use super::*;
use crate::domain::audit::{AuditActor, AuditEntry, AuditObject};
use crate::domain::delivery::{Attempt, Delivery, DeliveryFilter, Outcome, Phases, Response, State};
use crate::domain::event::Event;
use crate::domain::event_type::EventType;
use crate::domain::header::CustomHeaders;
use crate::domain::health::{Circuit, Health};
use crate::domain::id::{
    AttemptId, DeliveryId, EventId, JobId, KeyId, PortalLinkId, SessionId, SubscriptionId, TenantId, UserId,
};
use crate::domain::job::{Job, JobKind};
use crate::domain::key::{ApiKey, KeyHash, Quota, RateLimits, Scopes};
use crate::domain::key_pair::{KeyPair, KeyPairs, PreviousKeyPair};
use crate::domain::password::{Password, PasswordCost, PasswordHash, SALT_BYTES};
use crate::domain::portal_link::{PortalLink, PortalSession};
use crate::domain::public_id::PublicIds;
use crate::domain::restriction::Restriction;
use crate::domain::retry::Schedule;
use crate::domain::secret::{PreviousSecret, Secret};
use crate::domain::session::{Session, SignedIn};
use crate::domain::setting::{SettingName, StoredSettings};
use crate::domain::subscription::{DeliveryOrder, Owner, Subscription};
use crate::domain::target::TargetUrl;
use crate::domain::tenant::{OwnRetention, Tenant, TenantSecret};
use crate::domain::token::TokenHash;
use crate::domain::totp::Totp;
use crate::domain::user::{Invitation, Invited, User};
use crate::store::crypt::Crypt;
use crate::store::{RequestName, SecretOwner, StoredAnswer};

const AT: Timestamp = Timestamp::from_millis(1_771_416_000_123);
const LATER: Timestamp = Timestamp::from_millis(1_771_416_000_124);

/// Encodes, compares with the bytes that the record's version wrote when it was made, and decodes.
#[track_caller]
fn bytes_of<R: Value + PartialEq + std::fmt::Debug>(record: R, golden: Expect) -> R {
    let bytes = record.encode();
    golden.assert_eq(&hex::encode(&bytes));
    let read = R::decode(&bytes).expect("it was just written");
    assert_eq!(read, record);
    assert!(R::decode(&[&bytes[..], &[0]].concat()).is_none_or(|longer| longer != record), "a byte too many passed");
    let newer = [&[bytes[0] + 1], &bytes[1..]].concat();
    assert!(R::decode(&newer).is_none(), "a newer version passed");
    read
}

fn crypt() -> Crypt {
    Crypt::seeded(&[1; 32], 2)
}

#[test]
fn a_setting_reads_back_also_one_of_an_earlier_version_and_secrets_only_where_they_belong() {
    let mut settings = StoredSettings::default();
    settings.put(SettingName::Language, &"pt".into()).unwrap();
    settings.put(SettingName::MailPassword, &"horse".into()).unwrap();
    let record = |name| SettingRecord::from_domain(&settings, name, &crypt()).unwrap();
    let plain = bytes_of(record(SettingName::Language), expect!["02000422707422"]);
    assert_eq!(plain.to_value(SettingName::Language, &crypt()), Some("pt".into()));
    let sealed = bytes_of(
        record(SettingName::MailPassword),
        expect!["02012d1fbec814b18b1d4c3eaa7cec41007e04bf0a98453b06ec757d1de6ed126f601c14653de2c56270fa81dbde0662"],
    );
    assert_eq!(sealed.to_value(SettingName::MailPassword, &crypt()), Some("horse".into()));
    assert_eq!(sealed.to_value(SettingName::Language, &crypt()), None, "it is no secret");
    assert_eq!(plain.to_value(SettingName::MailPassword, &crypt()), None, "it would be in the clear");
    let earlier = SettingRecord::decode(&hex::decode("010422707422").unwrap()).expect("version 1 still reads");
    assert_eq!(earlier, plain);
}

#[test]
fn small_values() {
    bytes_of(Payload(Bytes::from_static(b"{}")), expect!["017b7d"]);
    bytes_of(MetaValue(vec![0, 0, 0, 1]), expect!["0100000001"]);
    bytes_of(IdRecord([2; 16]), expect!["0102020202020202020202020202020202"]);
    bytes_of(UsedRecord { at: -1 }, expect!["0101"]);
    bytes_of(
        WorkRecord { stage: 1, cursor: [2; 16], until: [3; 16] },
        expect!["01010202020202020202020202020202020203030303030303030303030303030303"],
    );
    assert_eq!(<()>::decode(&[]), Some(()));
    assert_eq!(<()>::decode(&[1]), None);
}

fn a_secret(byte: u8) -> Secret {
    Secret::from_bytes(vec![byte; 32]).unwrap()
}

pub(in crate::store) fn a_full_tenant() -> Tenant {
    Tenant {
        id: TenantId::from_u128(1),
        external_id: Some("acme".parse().unwrap()),
        name: "Acme".to_owned(),
        profile: Profile::Mage,
        header_prefix: Some("X-Acme-".parse().unwrap()),
        secret: Some(TenantSecret {
            secret: a_secret(5),
            version: 2,
            previous: Some(PreviousSecret { secret: a_secret(6), expires_at: LATER }),
        }),
        metadata: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        subscriptions_max: 300,
        retention: OwnRetention { payload_days: Some(7), metadata_days: Some(300) },
        rate_limit: NonZeroU32::new(300),
        revision: 2,
        created_at: AT,
        updated_at: LATER,
    }
}

#[test]
fn a_tenant() {
    let tenant = a_full_tenant();
    let record = bytes_of(
        TenantRecord::from_domain(&tenant, &crypt()),
        expect![
            "05010461636d650441636d650101016b0176ac0202f6d9f8898e67f8d9f8898e670107782d61636d652d014882aa29882c52eb7eb232b4635812333125e8b5ae3d8e7e45ec56ced9cd82dcb666bb0e3c59061e0fd47a32072bc502143f9d9ec2a916138b645f73c32da6e6c34926733ccabb94070201481fbec814b18b1d4c3eaa7cec41007e04bf0a98453b06ec751374929871a48d7c6c08396ca5f6c9cda03c07cd711db94d02adabf783bb76b782a5c7fd4134aed23e53972fb83aad97f8d9f8898e67010701ac0201ac02"
        ],
    );
    assert_eq!(record.clone().into_domain(tenant.id, &crypt()), Some(tenant));
    let elsewhere = TenantId::from_u128(9);
    assert_eq!(record.into_domain(elsewhere, &crypt()), None, "a row that was copied to another id");
}

#[test]
fn a_tenant_of_an_earlier_version_still_reads() {
    let version_1 = "01010461636d650441636d650101016b0176ac0202f6d9f8898e67f8d9f8898e67";
    let version_2 = "02010461636d650441636d650101016b0176ac0202f6d9f8898e67f8d9f8898e670107782d61636d652d";
    let version_3 = "03010461636d650441636d650101016b0176ac0202f6d9f8898e67f8d9f8898e670107782d61636d652d014882aa29882c52eb7eb232b4635812333125e8b5ae3d8e7e45ec56ced9cd82dcb666bb0e3c59061e0fd47a32072bc502143f9d9ec2a916138b645f73c32da6e6c34926733ccabb94070201481fbec814b18b1d4c3eaa7cec41007e04bf0a98453b06ec751374929871a48d7c6c08396ca5f6c9cda03c07cd711db94d02adabf783bb76b782a5c7fd4134aed23e53972fb83aad97f8d9f8898e67";
    let version_4 = "04010461636d650441636d650101016b0176ac0202f6d9f8898e67f8d9f8898e670107782d61636d652d014882aa29882c52eb7eb232b4635812333125e8b5ae3d8e7e45ec56ced9cd82dcb666bb0e3c59061e0fd47a32072bc502143f9d9ec2a916138b645f73c32da6e6c34926733ccabb94070201481fbec814b18b1d4c3eaa7cec41007e04bf0a98453b06ec751374929871a48d7c6c08396ca5f6c9cda03c07cd711db94d02adabf783bb76b782a5c7fd4134aed23e53972fb83aad97f8d9f8898e67010701ac02";
    let fourth = Tenant { rate_limit: None, ..a_full_tenant() };
    let third = Tenant { retention: OwnRetention::default(), ..fourth.clone() };
    let second = Tenant { secret: None, ..third.clone() };
    let first = Tenant { header_prefix: None, ..second.clone() };
    for (written, expected) in [(version_1, first), (version_2, second), (version_3, third), (version_4, fourth)] {
        let record = TenantRecord::decode(&hex::decode(written).unwrap()).unwrap();
        assert_eq!(record.into_domain(expected.id, &crypt()), Some(expected));
    }
}

#[test]
fn profiles_keep_their_numbers() {
    let numbers: Vec<u8> =
        Profile::ALL.map(|profile| postcard::to_allocvec(&ProfileRecord::from(profile)).unwrap()[0]).into();
    assert_eq!(numbers, [0, 1, 2, 3], "standard, mage, marea, agentmessage");
}

#[test]
fn what_a_subscription_may_choose_keeps_its_number() {
    let versions = ApiVersion::ALL.map(|version| postcard::to_allocvec(&ApiVersionRecord::from(version)).unwrap()[0]);
    assert_eq!(versions, [0, 1, 2], "2026-04-01, 2026-05-12, 2026-11-01");
    let signings = Signing::NAMES.map(|name| SigningRecord::from(Signing::from_name(name).unwrap()));
    let signings = signings.map(|signing| postcard::to_allocvec(&signing).unwrap()[0]);
    assert_eq!(signings, [0, 1], "subscription, tenant");
}

#[test]
fn a_custom_header_whose_name_is_no_longer_free_does_not_hide_its_subscription() {
    let mut subscription = a_full_subscription();
    let name = crate::domain::header::HeaderName::from_stored("x-marea-shop").unwrap();
    subscription.headers.insert(name, "1".parse().unwrap());
    let record = SubscriptionRecord::from_domain(&subscription, &crypt());
    assert_eq!(record.to_domain(subscription.id, &crypt()), Some(subscription));
}

#[test]
fn a_key() {
    let key = ApiKey {
        id: KeyId::from_u128(1),
        kind: KeyKind::MareaUser,
        name: "k".to_owned(),
        hash: KeyHash([4; 32]),
        tenant: Some(TenantId::from_u128(2)),
        scopes: Preset::Subscriber.scopes(),
        preset: Some(Preset::Subscriber),
        restriction: a_restriction(),
        rate_limits: RateLimits {
            management: Quota::PerSecond(NonZeroU32::new(6).unwrap()),
            publish: Quota::Unlimited,
        },
        expires_at: Some(LATER),
        revoked_at: None,
        created_at: AT,
    };
    let record = bytes_of(
        KeyRecord::from(&key),
        expect![
            "02016b0404040404040404040404040404040404040404040404040404040404040404010000000000000000000000000000000277010301060201f8d9f8898e6700f6d9f8898e670202076f726465722e2a0161010673686f703a31"
        ],
    );
    assert_eq!(record.into_domain(key.id), Some(key.clone()));

    let version_1 = "01016b0404040404040404040404040404040404040404040404040404040404040404010000000000000000000000000000000277010301060201f8d9f8898e6700f6d9f8898e67";
    let record = KeyRecord::decode(&hex::decode(version_1).unwrap()).unwrap();
    let expected = ApiKey { kind: KeyKind::Native, restriction: Restriction::default(), ..key };
    assert_eq!(record.into_domain(expected.id), Some(expected));
}

#[test]
fn a_key_with_full_access_may_do_what_came_after_it_and_others_may_not() {
    let before = Scopes::from_bits((1 << 14) - 1);
    for (preset, expected) in
        [(Some(Preset::FullAccess), Preset::FullAccess.scopes()), (Some(Preset::ReadOnly), before), (None, before)]
    {
        let key = ApiKey { scopes: before, preset, ..full_access() };
        assert_eq!(KeyRecord::from(&key).into_domain(key.id).unwrap().scopes, expected, "{preset:?}");
    }
}

fn full_access() -> ApiKey {
    ApiKey {
        id: KeyId::from_u128(1),
        kind: KeyKind::Native,
        name: "k".to_owned(),
        hash: KeyHash([4; 32]),
        tenant: None,
        scopes: Preset::FullAccess.scopes(),
        preset: Some(Preset::FullAccess),
        restriction: Restriction::default(),
        rate_limits: RateLimits::default(),
        expires_at: None,
        revoked_at: None,
        created_at: AT,
    }
}

fn a_restriction() -> Restriction {
    Restriction {
        allowed_events: vec!["order.*".parse().unwrap(), "a".parse().unwrap()],
        channels: vec!["shop:1".parse().unwrap()],
    }
}

#[test]
fn an_event_type() {
    let raw = |text: &str| Some(RawValue::from_string(text.to_owned()).unwrap());
    let event_type = EventType {
        name: "order.paid".parse().unwrap(),
        description: Some("d".to_owned()),
        schema: raw("{ }"),
        example: raw("1.0"),
        archived_at: Some(LATER),
        revision: 3,
        created_at: AT,
        updated_at: AT,
    };
    let record = bytes_of(
        EventTypeRecord::from(&event_type),
        expect!["0101016401037b207d0103312e3001f8d9f8898e6703f6d9f8898e67f6d9f8898e67"],
    );
    let read = record.clone().into_domain(event_type.name.clone()).unwrap();
    assert_eq!(EventTypeRecord::from(&read), record);
    assert_eq!(read.schema.unwrap().get(), "{ }", "as it came");
}

pub(in crate::store) fn a_full_subscription() -> Subscription {
    let header = |name: &str, value: &str| (name.parse().unwrap(), value.parse().unwrap());
    Subscription {
        id: SubscriptionId::from_u128(1),
        tenant: TenantId::from_u128(2),
        url: TargetUrl::from_stored("https://example.com/h").unwrap(),
        events: vec!["*".parse().unwrap(), "order.*".parse().unwrap(), "a".parse().unwrap()],
        description: Some("d".to_owned()),
        is_active: false,
        disabled_reason: Some(DisabledReason::Gone),
        max_in_flight: 10,
        timeout_seconds: 15,
        rate_limit: NonZeroU16::new(300),
        retry_schedule: Some(Schedule::of_retries(&[0, 604_800]).unwrap()),
        ordering: DeliveryOrder::Fifo,
        circuit_breaker: true,
        headers: [header("X-A", "1"), header("x-b", "Bearer 2")].into(),
        channels: vec!["shop:1".parse().unwrap()],
        public_ids: PublicIds::default(),
        owner: Owner::Key { id: KeyId::from_u128(5), restriction: Box::new(a_restriction()) },
        profile: Profile::Standard,
        envelope: Envelope::Raw,
        api_version: Some(ApiVersion::V2026_11_01),
        metadata: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        signing: Signing::Tenant,
        secret: a_secret(7),
        secret_version: 2,
        previous_secret: Some(PreviousSecret { secret: a_secret(8), expires_at: LATER }),
        key_pairs: Some(Box::new(KeyPairs {
            current: KeyPair::from_private(&[9; 32]),
            previous: Some(PreviousKeyPair { pair: KeyPair::from_private(&[10; 32]), expires_at: LATER }),
        })),
        revision: 3,
        created_at: AT,
        updated_at: LATER,
    }
}

fn before_version_4() -> Subscription {
    let api_version = Some(ApiVersion::V2026_04_01);
    Subscription { signing: Signing::Subscription, api_version, key_pairs: None, ..a_full_subscription() }
}

#[test]
fn the_imported_ids_of_a_subscription() {
    let public_ids = PublicIds {
        marea: "mk_we_0123456789abcdef".parse().ok(),
        agentmessage: "018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e0f".parse().ok(),
    };
    let subscription = Subscription { public_ids, ..a_full_subscription() };
    let record = SubscriptionRecord::from_domain(&subscription, &crypt());
    assert_eq!(
        record.public_ids,
        [(1, "mk_we_0123456789abcdef".to_owned()), (2, "018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e0f".to_owned())]
    );
    assert_eq!(record.to_domain(subscription.id, &crypt()), Some(subscription));
}

#[test]
fn a_subscription() {
    let subscription = a_full_subscription();
    let record = bytes_of(
        SubscriptionRecord::from_domain(&subscription, &crypt()),
        expect![
            "04000000000000000000000000000000021568747470733a2f2f6578616d706c652e636f6d2f6803012a076f726465722e2a01610101640001000a0f000101016b01764852a514862f455448ecbe90b8ba9a1ba47f3a114eb4a4d7386ef80227a4b5e2369010998917209037e6e61c450a5d0aa0b05c16a4c279f2700200cc66cc05114d7d9af73aebc720dc0201481fbec814b18b1d4c3eaa7cec41007e04bf0a98453b06ec751d7a9c967faa837262063762abf8c7c3ae3209c37f13b7430ca3a5f98db578b9a5f866cdb9a5ae11b5fb7e96dec09dc3f8d9f8898e6703f6d9f8898e67f8d9f8898e67000001ac0201020080f524010203782d612982aa29882c52eb7eb232b4635812333125e8b5ae3d8e7e45d8296008d2c3a22521fccea16bce1ee0f903782d623099a0df8274e488fc58e06320e32f28cb1ade3723ec82323ddda5aa2b8806f103b8e59368fcf0f9ebac00812bcb4631f2010673686f703a3101010000000000000000000000000000000502076f726465722e2a0161010673686f703a3101010201488fa2f616d974fa94fda193a7eef8c7dfc9149ba0879c336e712b952bb46e1daa8d7f568351db4ff1b3d8470bd71458ddd214a7f46f54a22510262f9fd9b0bcb6c5de64ef6e5c9ea501486017bc601bc97fc7a2a1592f8078c77681a02d99795a35bb6b74ac25b13fdf7aab79d8fcfd1d69d5c8cc24d3fff60a07d975a6b7074915290ad020c362f791e9043aa1ea64e7410ef8d9f8898e67"
        ],
    );
    assert_eq!(record.to_domain(subscription.id, &crypt()), Some(subscription.clone()));
    let elsewhere = SubscriptionId::from_u128(9);
    assert_eq!(record.to_domain(elsewhere, &crypt()), None, "a row that was copied to another id");
}

#[test]
fn a_subscription_of_version_2_still_reads() {
    let written = "02000000000000000000000000000000021568747470733a2f2f6578616d706c652e636f6d2f6803012a076f726465722e2a01610101640001000a0f000101016b01764852a514862f455448ecbe90b8ba9a1ba47f3a114eb4a4d7386ef80227a4b5e2369010998917209037e6e61c450a5d0aa0b05c16a4c279f2700200cc66cc05114d7d9af73aebc720dc0201481fbec814b18b1d4c3eaa7cec41007e04bf0a98453b06ec751d7a9c967faa837262063762abf8c7c3ae3209c37f13b7430ca3a5f98db578b9a5f866cdb9a5ae11b5fb7e96dec09dc3f8d9f8898e6703f6d9f8898e67f8d9f8898e67000001ac0201020080f524010203782d612982aa29882c52eb7eb232b4635812333125e8b5ae3d8e7e45d8296008d2c3a22521fccea16bce1ee0f903782d623099a0df8274e488fc58e06320e32f28cb1ade3723ec82323ddda5aa2b8806f103b8e59368fcf0f9ebac00812bcb4631f2010673686f703a3101";
    let record = SubscriptionRecord::decode(&hex::decode(written).unwrap()).unwrap();
    let expected = Subscription { owner: Owner::Tenant, ..before_version_4() };
    assert_eq!(record.to_domain(expected.id, &crypt()), Some(expected));
}

#[test]
fn a_subscription_of_version_3_still_reads() {
    let written = "03000000000000000000000000000000021568747470733a2f2f6578616d706c652e636f6d2f6803012a076f726465722e2a01610101640001000a0f000101016b01764852a514862f455448ecbe90b8ba9a1ba47f3a114eb4a4d7386ef80227a4b5e2369010998917209037e6e61c450a5d0aa0b05c16a4c279f2700200cc66cc05114d7d9af73aebc720dc0201481fbec814b18b1d4c3eaa7cec41007e04bf0a98453b06ec751d7a9c967faa837262063762abf8c7c3ae3209c37f13b7430ca3a5f98db578b9a5f866cdb9a5ae11b5fb7e96dec09dc3f8d9f8898e6703f6d9f8898e67f8d9f8898e67000001ac0201020080f524010203782d612982aa29882c52eb7eb232b4635812333125e8b5ae3d8e7e45d8296008d2c3a22521fccea16bce1ee0f903782d623099a0df8274e488fc58e06320e32f28cb1ade3723ec82323ddda5aa2b8806f103b8e59368fcf0f9ebac00812bcb4631f2010673686f703a3101010000000000000000000000000000000502076f726465722e2a0161010673686f703a31";
    let record = SubscriptionRecord::decode(&hex::decode(written).unwrap()).unwrap();
    let expected = before_version_4();
    assert_eq!(record.to_domain(expected.id, &crypt()), Some(expected));
}

#[test]
fn the_values_of_headers_are_not_readable_and_cannot_be_swapped() {
    let subscription = a_full_subscription();
    let record = SubscriptionRecord::from_domain(&subscription, &crypt());
    let bytes = record.encode();
    assert!(!bytes.windows(8).any(|window| window == b"Bearer 2"), "a value is in the file as it is");
    let mut swapped = record;
    let [(_, first), (_, second)] = &mut swapped.headers[..] else { panic!("two headers") };
    std::mem::swap(first, second);
    assert_eq!(swapped.to_domain(subscription.id, &crypt()), None);
}

#[test]
fn a_subscription_of_version_1_still_reads() {
    let written = "01000000000000000000000000000000021568747470733a2f2f6578616d706c652e636f6d2f6803012a076f726465722e2a01610101640001000a0f000101016b01764882aa29882c52eb7eb232b4635812333125e8b5ae3d8e7e45ee54ccdbcf80deb464b90c3e5b041c0dd678300529c700163d9f9cc0ab141189a1af368e209694bee51676a9a15bdbdd0201481fbec814b18b1d4c3eaa7cec41007e04bf0a98453b06ec751d7a9c967faa837262063762abf8c7c3ae3209c37f13b7430ca3a5f98db578b9a5f866cdb9a5ae11b5fb7e96dec09dc3f8d9f8898e6703f6d9f8898e67f8d9f8898e670000";
    let record = SubscriptionRecord::decode(&hex::decode(written).unwrap()).unwrap();
    let expected = Subscription {
        rate_limit: None,
        retry_schedule: None,
        ordering: DeliveryOrder::None,
        circuit_breaker: true,
        headers: CustomHeaders::new(),
        channels: Vec::new(),
        owner: Owner::Tenant,
        ..before_version_4()
    };
    assert_eq!(record.to_domain(expected.id, &crypt()), Some(expected));
}

#[test]
fn health() {
    let health = Health {
        consecutive_failures: 300,
        failing_since: Some(AT),
        last_delivery_at: Some(LATER),
        last_delivery_succeeded: Some(false),
        slots: Some(3),
        pace: Some(200),
        throttled_at: Some(AT),
        quiet_until: Some(LATER),
        circuit: Circuit::Open { probe_at: AT, probes: 300 },
        warnings: 2,
        is_announced: true,
        blocked_by: Some(DeliveryId::from_u128(9)),
    };
    let golden = expect![
        "02ac0201f6d9f8898e6701f8d9f8898e670100010301c80101f6d9f8898e6701f8d9f8898e6701f6d9f8898e67ac0202010100000000000000000000000000000009"
    ];
    assert_eq!(Health::from(bytes_of(HealthRecord::from(health), golden)), health);
    let earlier = HealthRecord::decode(&hex::decode("01ac0201f6d9f8898e6701f8d9f8898e670100").unwrap());
    let Health { consecutive_failures, failing_since, last_delivery_at, last_delivery_succeeded, .. } = health;
    let expected =
        Health { consecutive_failures, failing_since, last_delivery_at, last_delivery_succeeded, ..Health::default() };
    assert_eq!(earlier.map(Health::from), Some(expected), "version 1 still reads");
}

fn a_full_event() -> Event {
    Event {
        id: EventId::from_u128(1),
        tenant: TenantId::from_u128(2),
        event_type: "a.b".parse().unwrap(),
        external_id: Some("e".parse().unwrap()),
        occurred_at: AT,
        created_at: LATER,
        deliveries: 300,
        data_bytes: 70_000,
        channels: vec!["shop:1".parse().unwrap(), "eu".parse().unwrap()],
        deliver_at: Some(LATER),
        replay_of: Some(EventId::from_u128(3)),
    }
}

#[test]
fn an_event() {
    let event = a_full_event();
    let record = bytes_of(
        EventRecord::from_domain(&event, Some([5; 32])),
        expect![
            "020000000000000000000000000000000203612e62010165f6d9f8898e67f8d9f8898e67ac02f0a204010505050505050505050505050505050505050505050505050505050505050505020673686f703a3102657501f8d9f8898e670100000000000000000000000000000003"
        ],
    );
    assert_eq!(record.into_domain(event.id), Some(event));
}

#[test]
fn an_event_of_version_1_still_reads() {
    let written = "010000000000000000000000000000000203612e62010165f6d9f8898e67f8d9f8898e67ac02f0a204010505050505050505050505050505050505050505050505050505050505050505";
    let record = EventRecord::decode(&hex::decode(written).unwrap()).unwrap();
    assert_eq!(record.data_sha256, Some([5; 32]));
    let expected = Event { channels: Vec::new(), deliver_at: None, replay_of: None, ..a_full_event() };
    assert_eq!(record.into_domain(expected.id), Some(expected));
}

#[test]
fn a_delivery_in_every_state() {
    let in_state = |state| Delivery {
        id: DeliveryId::from_u128(1),
        event: EventId::from_u128(2),
        subscription: SubscriptionId::from_u128(3),
        tenant: TenantId::from_u128(4),
        event_type: "a".parse().unwrap(),
        state,
        attempts: 300,
        attempts_uncounted: 2,
        last_http_status: Some(503),
        created_at: AT,
        updated_at: LATER,
    };
    let pending = in_state(State::Pending { next_attempt_at: AT });
    let record = bytes_of(
        DeliveryRecord::from_domain(&pending, true),
        expect![
            "02000000000000000000000000000000020000000000000000000000000000000300000000000000000000000000000004016100f6d9f8898e67ac0201f703f6d9f8898e67f8d9f8898e670102"
        ],
    );
    assert_eq!(record.into_domain(pending.id), Some(pending.clone()));
    let earlier = "01000000000000000000000000000000020000000000000000000000000000000300000000000000000000000000000004016100f6d9f8898e67ac0201f703f6d9f8898e67f8d9f8898e6701";
    let earlier = DeliveryRecord::decode(&hex::decode(earlier).unwrap()).expect("version 1 still reads");
    assert!(earlier.is_parked);
    assert_eq!(earlier.into_domain(pending.id), Some(Delivery { attempts_uncounted: 0, ..pending }));

    let mut states = vec![State::Succeeded];
    let reasons = [RetryReason::Schedule, RetryReason::RetryAfter, RetryReason::Manual, RetryReason::ManualOnce];
    states.extend(reasons.map(|reason| State::Retrying { next_attempt_at: AT, reason }));
    let reasons = [ExhaustedReason::Schedule, ExhaustedReason::Gone, ExhaustedReason::Aborted];
    states.extend(reasons.map(|reason| State::Exhausted { reason }));
    let reasons = [
        CanceledReason::Manual,
        CanceledReason::SubscriptionDeleted,
        CanceledReason::SubscriptionGone,
        CanceledReason::PayloadExpired,
    ];
    states.extend(reasons.map(|reason| State::Canceled { reason }));
    let reasons = [ExpiredReason::BacklogFull, ExpiredReason::BacklogAge];
    states.extend(reasons.map(|reason| State::Expired { reason }));
    let mut shown = String::new();
    for state in states {
        let record = DeliveryRecord::from_domain(&in_state(state), false);
        let bytes = postcard::to_allocvec(&record.state).unwrap();
        shown += &format!("{} {state:?}\n", hex::encode(bytes));
        assert_eq!(
            DeliveryRecord::decode(&record.encode()).unwrap().into_domain(DeliveryId::from_u128(1)),
            Some(in_state(state))
        );
    }
    expect![[r#"
        02 Succeeded
        01f6d9f8898e6700 Retrying { next_attempt_at: 2026-02-18T12:00:00.123Z, reason: Schedule }
        01f6d9f8898e6701 Retrying { next_attempt_at: 2026-02-18T12:00:00.123Z, reason: RetryAfter }
        01f6d9f8898e6702 Retrying { next_attempt_at: 2026-02-18T12:00:00.123Z, reason: Manual }
        01f6d9f8898e6703 Retrying { next_attempt_at: 2026-02-18T12:00:00.123Z, reason: ManualOnce }
        0300 Exhausted { reason: Schedule }
        0301 Exhausted { reason: Gone }
        0302 Exhausted { reason: Aborted }
        0400 Canceled { reason: Manual }
        0401 Canceled { reason: SubscriptionDeleted }
        0402 Canceled { reason: SubscriptionGone }
        0403 Canceled { reason: PayloadExpired }
        0500 Expired { reason: BacklogFull }
        0501 Expired { reason: BacklogAge }
    "#]]
    .assert_eq(&shown);
}

#[test]
fn a_job_of_every_kind() {
    let filter = DeliveryFilter {
        state: Some(ShownState::Expired),
        subscription: Some(SubscriptionId::from_u128(3)),
        event: Some(EventId::from_u128(4)),
        event_type: Some("a".parse().unwrap()),
        since: Some(AT),
        until: Some(LATER),
        http_status: Some(503),
    };
    let of_kind = |kind| Job {
        id: JobId::from_u128(1),
        tenant: TenantId::from_u128(2),
        key: Some(KeyId::from_u128(9)),
        kind,
        state: JobState::Canceled,
        counted: 300,
        is_counted: true,
        done: 200,
        skipped: 1,
        created_at: AT,
        finished_at: Some(LATER),
    };
    let recover = of_kind(JobKind::Recover { subscription: SubscriptionId::from_u128(3), since: AT });
    let record = bytes_of(
        JobRecord::from(&recover),
        expect![
            "02000000000000000000000000000000020000000000000000000000000000000003f6d9f8898e6702ac0201c80101f6d9f8898e6701f8d9f8898e670100000000000000000000000000000009"
        ],
    );
    assert_eq!(record.into_domain(recover.id), Some(recover.clone()));
    let version_1 = "01000000000000000000000000000000020000000000000000000000000000000003f6d9f8898e6702ac0201c80101f6d9f8898e6701f8d9f8898e67";
    let record = JobRecord::decode(&hex::decode(version_1).unwrap()).unwrap();
    assert_eq!(record.into_domain(recover.id), Some(Job { key: None, ..recover }));
    let retry = of_kind(JobKind::Retry(filter.clone()));
    let record = bytes_of(
        JobRecord::from(&retry),
        expect![
            "02000000000000000000000000000000020101060100000000000000000000000000000003010000000000000000000000000000000401016101f6d9f8898e6701f8d9f8898e6701f70302ac0201c80101f6d9f8898e6701f8d9f8898e670100000000000000000000000000000009"
        ],
    );
    assert_eq!(record.into_domain(retry.id), Some(retry));
    for kind in [JobKind::Cancel(filter), JobKind::Retry(DeliveryFilter::default())] {
        let job = of_kind(kind);
        assert_eq!(JobRecord::decode(&JobRecord::from(&job).encode()).unwrap().into_domain(job.id), Some(job));
    }
}

#[test]
fn an_attempt_of_every_outcome() {
    let with = |outcome, response| Attempt {
        id: AttemptId::from_u128(1),
        delivery: DeliveryId::from_u128(2),
        number: 3,
        trigger: Trigger::Manual,
        started_at: AT,
        outcome,
        phases: Phases {
            dns: Some(Duration::from_micros(1)),
            connect: Some(Duration::from_micros(300)),
            tls: None,
            first_byte: Some(Duration::from_millis(3)),
            total: Duration::from_millis(4),
        },
        request_headers: vec![("a".to_owned(), "b".to_owned())],
        request_body_sha256: [6; 32],
        request_body_bytes: 7,
        secret_version: 8,
        response,
        remote_address: Some("[::1]:443".parse().unwrap()),
    };
    let response = Response {
        status: 200,
        headers: vec![("c".to_owned(), "d".to_owned())],
        body: Bytes::from_static(b"ok"),
        body_truncated: true,
    };
    let success = with(Outcome::Success, Some(response));
    let record = bytes_of(
        AttemptRecord::from(success.clone()),
        expect![
            "010000000000000000000000000000000101f6d9f8898e6700010101ac020001b817a01f01016101620606060606060606060606060606060606060606060606060606060606060606070801c8010101630164026f6b01010100000000000000000000000000000001bb03"
        ],
    );
    assert_eq!(record.into_domain(success.delivery, success.number), success);
    let mut outcomes = vec![Outcome::Status(410)];
    let error = |class| Outcome::Error { class, detail: "x".to_owned() };
    outcomes.extend(ErrorClass::ALL.map(error));
    for outcome in outcomes {
        let attempt = with(outcome, None);
        let record = AttemptRecord::decode(&AttemptRecord::from(attempt.clone()).encode()).unwrap();
        assert_eq!(record.into_domain(attempt.delivery, attempt.number), attempt);
    }
}

#[test]
fn an_answer() {
    let request = RequestName([1; 32]);
    let of = |shows_secret_of| StoredAnswer {
        status: 201,
        headers: vec![("etag".to_owned(), "\"1\"".to_owned())],
        body: Bytes::from_static(b"{}"),
        shows_secret_of,
    };
    let record = |answer| AnswerRecord::from_domain(answer, request, [2; 32], KeyId::from_u128(3).into(), AT, &crypt());
    let plain = bytes_of(
        record(of(None)),
        expect![
            "01020202020202020202020202020202020202020202020202020202020202020200000000000000000000000000000003f6d9f8898e67c9010104657461670322312200027b7d"
        ],
    );
    assert_eq!(plain.into_domain(request, &crypt()), Some(of(None)));
    let owner = Some(SecretOwner::Subscription(SubscriptionId::from_u128(4)));
    let sealed = bytes_of(
        record(of(owner)),
        expect![
            "01020202020202020202020202020202020202020202020202020202020202020200000000000000000000000000000003f6d9f8898e67c901010465746167032231220100000000000000000000000000000000042a1fbec814b18b1d4c3eaa7cec41007e04bf0a98453b06ec756e0fc378d50863faacd6a87277467013879c"
        ],
    );
    assert_eq!(sealed.clone().into_domain(request, &crypt()), Some(of(owner)));
    assert_eq!(sealed.into_domain(RequestName([9; 32]), &crypt()), None, "a row that was copied");
    let owner = Some(SecretOwner::Tenant(TenantId::from_u128(4)));
    let of_a_tenant = bytes_of(
        record(of(owner)),
        expect![
            "01020202020202020202020202020202020202020202020202020202020202020200000000000000000000000000000003f6d9f8898e67c901010465746167032231220102000000000000000000000000000000042a1fbec814b18b1d4c3eaa7cec41007e04bf0a98453b06ec756e0fc378d50863faacd6a87277467013879c"
        ],
    );
    assert_eq!(of_a_tenant.into_domain(request, &crypt()), Some(of(owner)));
}

#[test]
fn an_entry_of_the_audit_log() {
    let entry = AuditEntry {
        action: "tenants.update".to_owned(),
        actor: Some(AuditActor { kind: "key".to_owned(), id: "key_1".to_owned(), name: "k".to_owned() }),
        tenant: Some(TenantId::from_u128(2)),
        object: Some(AuditObject { kind: "tenant".to_owned(), id: "tnt_2".to_owned() }),
        request_id: "01".to_owned(),
        remote_address: Some([127, 0, 0, 1].into()),
        status: 200,
    };
    let read = bytes_of(
        AuditRecord::from(entry.clone()),
        expect![
            "010e74656e616e74732e75706461746501036b6579056b65795f31016b0100000000000000000000000000000002010674656e616e7405746e745f3202303101007f000001c801"
        ],
    );
    assert_eq!(read.into_domain(), entry);
}

#[test]
fn a_portal_link() {
    let session = PortalSession { hash: TokenHash([4; 32]), began_at: AT, expires_at: LATER };
    let link = PortalLink {
        id: PortalLinkId::from_u128(1),
        tenant: TenantId::from_u128(2),
        hash: TokenHash([3; 32]),
        is_read_only: true,
        session_seconds: 600,
        expires_at: LATER,
        revoked_at: Some(AT),
        session: Some(session),
        created_at: AT,
    };
    let read = bytes_of(
        PortalLinkRecord::from(&link),
        expect![
            "0100000000000000000000000000000002030303030303030303030303030303030303030303030303030303030303030301d804f8d9f8898e6701f6d9f8898e67010404040404040404040404040404040404040404040404040404040404040404f6d9f8898e67f8d9f8898e67f6d9f8898e67"
        ],
    );
    assert_eq!(read.into_domain(link.id), link);
}

pub(in crate::store) fn a_full_user() -> User {
    User {
        id: UserId::from_u128(1),
        email: "ann@example.com".parse().unwrap(),
        name: "Ann".to_owned(),
        role: Role::Operator,
        password: Some(PasswordHash::of(&Password::new("x".to_owned()), PasswordCost::LEAST, [7; SALT_BYTES])),
        totp: Some(Totp { secret: [5; 20].into(), is_confirmed: true, last_step: 6 }),
        last_signed_in_at: Some(AT),
        created_at: AT,
        updated_at: LATER,
    }
}

#[test]
fn a_user() {
    let user = a_full_user();
    let record = bytes_of(
        UserRecord::from_domain(&user, &crypt()),
        expect![
            "010f616e6e406578616d706c652e636f6d03416e6e01015d246172676f6e32696424763d3139246d3d382c743d312c703d3124427763484277634842776348427763484277634842772456444d6a675a486c6251446c6c7649797772797178536a4f6b5a6c2b65646e6764504b4c79664e776c494d013c1fbec814b18b1d4c3eaa7cec41007e04bf0a98453b06ec751077919b72a78e7f6f0b3a6fa6f5cacea33f04cef2356da5bda5d15b59d8bd85bc9392a2010c01f6d9f8898e67f6d9f8898e67f8d9f8898e67"
        ],
    );
    assert_eq!(record.clone().into_domain(user.id, &crypt()), Some(user));
    assert_eq!(record.into_domain(UserId::from_u128(9), &crypt()), None, "a row that was copied to another id");
}

#[test]
fn an_invitation() {
    let hash = TokenHash([2; 32]);
    for (to, golden) in [
        (Invited::FirstOwner, expect!["0100f6d9f8898e67"]),
        (Invited::User(UserId::from_u128(1)), expect!["010100000000000000000000000000000001f6d9f8898e67"]),
    ] {
        let invitation = Invitation { hash, to, expires_at: AT };
        assert_eq!(bytes_of(InvitationRecord::from(&invitation), golden).into_domain(hash), invitation);
    }
}

#[test]
fn a_session() {
    let of_user = Session {
        id: SessionId::from_u128(1),
        hash: TokenHash([2; 32]),
        of: SignedIn::User(UserId::from_u128(3)),
        created_at: AT,
        user_agent: Some("a browser".to_owned()),
        remote_address: Some([203, 0, 113, 9].into()),
    };
    let of_key = Session {
        of: SignedIn::Key(KeyHash([4; 32])),
        user_agent: None,
        remote_address: Some(std::net::Ipv6Addr::LOCALHOST.into()),
        ..of_user.clone()
    };
    for (session, golden) in [
        (
            of_user,
            expect![
                "0102020202020202020202020202020202020202020202020202020202020202020000000000000000000000000000000003f6d9f8898e670109612062726f777365720100cb007109"
            ],
        ),
        (
            of_key,
            expect![
                "010202020202020202020202020202020202020202020202020202020202020202010404040404040404040404040404040404040404040404040404040404040404f6d9f8898e6700010100000000000000000000000000000001"
            ],
        ),
    ] {
        assert_eq!(bytes_of(SessionRecord::from(&session), golden).into_domain(session.id), session);
    }
}
