//! The two-pass crash test: each sentence, and a checkpoint after it, runs once to count its syncs, then again and again
//! with the power going off at each of them. What is found afterwards is the state before it or the state after it, and
//! nothing in between; the state after it as soon as it was answered.

use std::time::Duration;

use serde_json::json;
use waxwing::domain::audit::AuditEntry;
use waxwing::domain::delivery::{CanceledReason, Outcome, RetryReason, State};
use waxwing::domain::event::NewEvent;
use waxwing::domain::event_type::EventType;
use waxwing::domain::health::Health;
use waxwing::domain::id::{
    DeliveryId, EventId, JobId, KeyId, PortalLinkId, SessionId, SubscriptionId, TenantId, UserId,
};
use waxwing::domain::job::JobKind;
use waxwing::domain::key::{ApiKey, KeyHash};
use waxwing::domain::key_pair::KeyPair;
use waxwing::domain::operational::{Announcement, What};
use waxwing::domain::password::{Password, PasswordCost, PasswordHash, SALT_BYTES};
use waxwing::domain::portal_link::PortalLink;
use waxwing::domain::restriction::Restriction;
use waxwing::domain::retry::Schedule;
use waxwing::domain::session::{Session, SignedIn};
use waxwing::domain::setting::SettingName;
use waxwing::domain::subscription::{DisabledReason, Owner, Signing, Subscription};
use waxwing::domain::tenant::Tenant;
use waxwing::domain::time::Timestamp;
use waxwing::domain::token::TokenHash;
use waxwing::domain::totp::Totp;
use waxwing::domain::user::{Invitation, Invited, Role, User};
use waxwing::store::{
    Checked, Chosen, DeliveryFilter, Recorded, Recordings, Redelivery, RequestName, SecretOwner, StoreError,
};

use super::world::*;
use crate::support::disk::SimDisk;

/// How differently unsynced writes survive at each sync.
const SEEDS: u64 = 6;
const START: &str = "2026-02-18T12:00:00Z";

type Sentence = (&'static str, fn(&mut World, &Setting) -> Result<(), StoreError>);

/// What exists before each sentence.
struct Setting {
    subscription: SubscriptionId,
    /// In the order of age: retrying, pending and parked, pending, pending.
    deliveries: Vec<DeliveryId>,
    tenant: TenantId,
    key: KeyId,
    /// Of the tenant, with a subscription that has a delivery.
    restricted_key: KeyId,
    of_restricted_key: SubscriptionId,
    /// One that was delivered twice already.
    event: EventId,
    /// It has done nothing yet.
    job: JobId,
    /// Nobody has followed it: its token has the hash of nines.
    link: PortalLinkId,
    /// The only owner, with a session and a link.
    owner: UserId,
    session: SessionId,
    /// An invited one.
    leaving: UserId,
}

fn portal_link(tenant: TenantId, hash: u8, now: Timestamp) -> PortalLink {
    PortalLink {
        id: PortalLinkId::from_u128(0),
        tenant,
        hash: TokenHash([hash; 32]),
        is_read_only: false,
        session_seconds: 300,
        expires_at: now.plus(DAY),
        revoked_at: None,
        session: None,
        created_at: now,
    }
}

fn set_up() -> (SimDisk, Setting) {
    let mut world = World::new();
    let store = world.store.clone();
    let subscription = world.subscribe(subscription_to("*")).id;
    let tenant = world.run(store.create_tenant(tenant("acme"), None)).unwrap().id;
    let mut of_tenant = subscription_to("*");
    of_tenant.tenant = tenant;
    world.subscribe(of_tenant);
    let key = world.run(store.create_key(key("k", Some(tenant)), None)).unwrap().id;
    let restricted_key = ApiKey { restriction: restriction(), ..self::key("r", Some(tenant)) };
    let restricted_key = world.run(store.create_key(restricted_key, None)).unwrap().id;
    let owner = Owner::Key { id: restricted_key, restriction: Box::new(restriction()) };
    let of_restricted_key = world.subscribe(Subscription { owner, tenant, ..subscription_to("*") }).id;
    world.run(store.create_event_type(event_type("order.paid"), None)).unwrap();
    let (mut deliveries, mut of_others) = (Vec::new(), Vec::new());
    for n in 0..4 {
        let published = world.publish(event_with_external_id("a", &format!("e{n}"))).unwrap().event;
        deliveries.push(world.deliveries_of(&published)[0].id);
        let mut elsewhere = event("a");
        elsewhere.tenant = tenant;
        let published = world.publish(elsewhere).unwrap().event;
        of_others.extend(world.deliveries_of(&published).iter().map(|delivery| delivery.id));
    }
    let done = world.publish(event("a")).unwrap().event;
    let done = world.deliveries_of(&done)[0].id;
    world.succeed(done);
    world.try_attempt(deliveries[0], Outcome::Status(503), retrying(world.now())).unwrap();
    world.index();
    let parked = vec![of_others[0], of_others[1], deliveries[1]];
    world.record(Recordings { parked, settled_up_to: Some(deliveries[1]), ..Recordings::default() });
    let owner = Some(SecretOwner::Subscription(subscription));
    world.run(store.remember(RequestName([8; 32]), [9; 32], key, answer(owner))).unwrap();
    let owner = Some(SecretOwner::Tenant(tenant));
    world.run(store.remember(RequestName([7; 32]), [9; 32], key, answer(owner))).unwrap();
    let event = world.publish(event("b")).unwrap().event.id;
    world.run(store.redeliver(TenantId::DEFAULT, event, Redelivery::ToMatching, None)).unwrap();
    let kind = JobKind::Recover { subscription, since: Timestamp::MIN };
    let job = world.run(store.start_job(TenantId::DEFAULT, kind, None)).unwrap().id;
    world.run(store.start_job(tenant, JobKind::Cancel(DeliveryFilter::default()), None)).unwrap();
    let link = portal_link(tenant, 9, world.now());
    let link = world.run(store.create_portal_link(link, None)).unwrap().id;
    let (owner, session) = sign_up(&mut world);
    let leaving =
        world.run(store.create_user(user("leaving@example.com"), TokenHash([8; 32]), Timestamp::MAX)).unwrap().id;
    let disk = world.disk.clone();
    drop(store);
    drop(world);
    (
        disk,
        Setting {
            subscription,
            deliveries,
            tenant,
            key,
            restricted_key,
            of_restricted_key,
            event,
            job,
            link,
            owner,
            session,
            leaving,
        },
    )
}

/// The first owner, in a session, with a link to a new password and an answer that showed it.
fn sign_up(world: &mut World) -> (UserId, SessionId) {
    let (store, now) = (world.store.clone(), world.now());
    let first = Invitation { hash: TokenHash([1; 32]), to: Invited::FirstOwner, expires_at: now.plus(DAY) };
    world.run(store.invite(first)).unwrap();
    let chosen = Chosen { email: Some("ann@example.com".parse().unwrap()), name: None, password: password() };
    let followed = world.run(store.follow_invitation(TokenHash([1; 32]), chosen, session(2))).unwrap();
    let (User { id, .. }, session) = followed;
    let again = Invitation { hash: TokenHash([3; 32]), to: Invited::User(id), expires_at: now.plus(DAY) };
    world.run(store.invite(again)).unwrap();
    let owner = Some(SecretOwner::User(id));
    world.run(store.remember(RequestName([6; 32]), [9; 32], session.id, answer(owner))).unwrap();
    (id, session.id)
}

fn user(email: &str) -> User {
    User {
        id: UserId::from_u128(0),
        email: email.parse().unwrap(),
        name: String::new(),
        role: Role::Viewer,
        password: None,
        totp: Some(Totp { secret: [7; 20].into(), is_confirmed: false, last_step: 0 }),
        last_signed_in_at: None,
        created_at: Timestamp::MIN,
        updated_at: Timestamp::MIN,
    }
}

fn password() -> PasswordHash {
    PasswordHash::of(&Password::new("correct horse".to_owned()), PasswordCost::LEAST, [7; SALT_BYTES])
}

fn session(token: u8) -> Session {
    Session {
        id: SessionId::from_u128(0),
        hash: TokenHash([token; 32]),
        of: SignedIn::Key(KeyHash([token; 32])),
        created_at: Timestamp::MIN,
        user_agent: Some("a browser".to_owned()),
        remote_address: None,
    }
}

/// To `a` alone.
fn restriction() -> Restriction {
    Restriction { allowed_events: vec!["a".parse().unwrap()], channels: Vec::new() }
}

fn retrying(now: Timestamp) -> State {
    State::Retrying { next_attempt_at: now.plus(Duration::from_secs(5)), reason: RetryReason::Schedule }
}

const SENTENCES: &[Sentence] = &[
    ("accept a batch", |world, setting| {
        let store = world.store.clone();
        let mut batch = vec![event_with_external_id("a", "e1"), event_with_external_id("a", "new"), event("b")];
        batch[2].data = vec![b'1'; 40_000].into();
        world.run(store.accept(batch, remember(1, setting.key, None))).map(drop)
    }),
    ("accept a scheduled event", |world, setting| {
        let store = world.store.clone();
        let scheduled = NewEvent {
            channels: vec!["shop:1".parse().unwrap()],
            deliver_at: Some(world.now().plus(DAY)),
            ..event_with_external_id("a", "scheduled")
        };
        world.run(store.accept(vec![scheduled, event("b")], remember(1, setting.key, None))).map(drop)
    }),
    ("record everything", |world, setting| {
        let Setting { subscription, deliveries, .. } = setting;
        let now = world.now();
        let health = Health { consecutive_failures: 1, failing_since: Some(now), ..Health::default() };
        let recordings = Recordings {
            announced: vec![Announcement { subscription: *subscription, what: What::Failing }],
            attempts: vec![
                Recorded {
                    attempt: attempt(deliveries[0], Outcome::Success, now),
                    state: State::Succeeded,
                    is_counted: true,
                },
                Recorded {
                    attempt: attempt(deliveries[2], Outcome::Status(500), now),
                    state: retrying(now),
                    is_counted: true,
                },
            ],
            parked: vec![deliveries[3]],
            canceled: vec![(deliveries[1], CanceledReason::PayloadExpired)],
            health: vec![(*subscription, health)],
            disabled: vec![(*subscription, DisabledReason::Gone)],
            settled_up_to: Some(deliveries[3]),
            are_told: true,
        };
        let store = world.store.clone();
        world.run(store.record(recordings))
    }),
    ("remember", |world, setting| {
        let store = world.store.clone();
        world.run(store.remember(RequestName([8; 32]), [7; 32], setting.key, answer(None)))
    }),
    ("create a subscription", |world, setting| {
        let store = world.store.clone();
        let owner = Some(SecretOwner::Subscription(setting.subscription));
        world.run(store.create_subscription(subscription_to("x"), remember(1, setting.key, owner))).map(drop)
    }),
    ("change settings", |world, _| {
        let store = world.store.clone();
        let changes = vec![(SettingName::Language, json!("pt")), (SettingName::PayloadDays, json!(7))];
        world.run(store.change_settings(changes))
    }),
    ("make a portal link", |world, setting| {
        let store = world.store.clone();
        world.run(store.create_portal_link(portal_link(setting.tenant, 1, world.now()), None)).map(drop)
    }),
    ("follow a portal link", |world, _| {
        let store = world.store.clone();
        world.run(store.follow_portal_link(TokenHash([9; 32]), TokenHash([8; 32]))).map(drop)
    }),
    ("revoke a portal link", |world, setting| {
        let store = world.store.clone();
        world.run(store.revoke_portal_link(setting.link))
    }),
    ("append to the audit log", |world, setting| {
        let store = world.store.clone();
        let entry = AuditEntry {
            action: "tenants.update".to_owned(),
            actor: None,
            tenant: Some(setting.tenant),
            object: None,
            request_id: "1".to_owned(),
            remote_address: None,
            status: 200,
        };
        world.run(store.append_audit(entry)).map(drop)
    }),
    ("rotate a secret", |world, setting| {
        let store = world.store.clone();
        let rotate = Box::new(|it: &mut Subscription| {
            it.secret = secret("another secret of many bytes");
            Ok(())
        });
        world.run(store.update_subscription(setting.subscription, rotate, None)).map(drop)
    }),
    ("rotate a tenant's secret", |world, setting| {
        let (store, now) = (world.store.clone(), world.now());
        let owner = Some(SecretOwner::Tenant(setting.tenant));
        let rotate = Box::new(move |it: &mut Tenant| {
            it.rotate_secret(secret("another secret of many bytes"), DAY, now);
            Ok(())
        });
        world.run(store.update_tenant(setting.tenant, rotate, remember(1, setting.key, owner))).map(drop)
    }),
    ("sign with the tenant's secret", |world, setting| {
        let store = world.store.clone();
        let sign = Box::new(|it: &mut Subscription| {
            it.signing = Signing::Tenant;
            Ok(())
        });
        world.run(store.update_subscription(setting.subscription, sign, None)).map(drop)
    }),
    ("replace a key pair", |world, setting| {
        let (store, now) = (world.store.clone(), world.now());
        let replace = Box::new(move |it: &mut Subscription| {
            for byte in [1, 2] {
                it.replace_key_pair(KeyPair::from_private(&[byte; 32]), DAY, now);
            }
            Ok(())
        });
        world.run(store.update_subscription(setting.subscription, replace, None)).map(drop)
    }),
    ("set headers", |world, setting| {
        let store = world.store.clone();
        let set = Box::new(|it: &mut Subscription| {
            it.headers = [("x-shop".parse().unwrap(), "hush".parse().unwrap())].into();
            it.retry_schedule = Some(Schedule::of_retries(&[1, 2]).unwrap());
            Ok(())
        });
        world.run(store.update_subscription(setting.subscription, set, None)).map(drop)
    }),
    ("delete a subscription", |world, setting| {
        let store = world.store.clone();
        world.run(store.delete_subscription(setting.subscription, Some(1)))
    }),
    ("create an event type", |world, setting| {
        let store = world.store.clone();
        world.run(store.create_event_type(event_type("x"), remember(1, setting.key, None))).map(drop)
    }),
    ("archive an event type", |world, _| {
        let store = world.store.clone();
        let archive = Box::new(|it: &mut EventType| {
            it.archived_at = Some(Timestamp::from_millis(1));
            Ok(())
        });
        world.run(store.update_event_type("order.paid".parse().unwrap(), archive, None)).map(drop)
    }),
    ("delete an event type", |world, _| {
        let store = world.store.clone();
        world.run(store.delete_event_type("order.paid".parse().unwrap(), None))
    }),
    ("create a tenant", |world, setting| {
        let store = world.store.clone();
        world.run(store.create_tenant(tenant("x"), remember(1, setting.key, None))).map(drop)
    }),
    ("rename a tenant", |world, setting| {
        let store = world.store.clone();
        let rename = Box::new(|it: &mut Tenant| {
            it.external_id = None;
            Ok(())
        });
        world.run(store.update_tenant(setting.tenant, rename, None)).map(drop)
    }),
    ("delete a tenant", |world, setting| {
        let store = world.store.clone();
        world.run(store.delete_tenant(setting.tenant, None))
    }),
    ("create a key", |world, setting| {
        let store = world.store.clone();
        world.run(store.create_key(key("x", None), remember(1, setting.key, None))).map(drop)
    }),
    ("create a restricted key", |world, setting| {
        let store = world.store.clone();
        let restricted = ApiKey { restriction: restriction(), ..key("x", Some(setting.tenant)) };
        world.run(store.create_key(restricted, remember(1, setting.key, None))).map(drop)
    }),
    ("a restricted key creates a subscription", |world, setting| {
        let store = world.store.clone();
        let owner = Owner::Key { id: setting.restricted_key, restriction: Box::new(restriction()) };
        let subscription = Subscription { owner, tenant: setting.tenant, ..subscription_to("x") };
        world.run(store.create_subscription(subscription, remember(1, setting.key, None))).map(drop)
    }),
    ("accept an event that a restricted key's subscription may not have", |world, setting| {
        let store = world.store.clone();
        let event = NewEvent { tenant: setting.tenant, ..event("b") };
        world.run(store.accept(vec![event], remember(1, setting.key, None))).map(drop)
    }),
    ("revoke a restricted key", |world, setting| {
        let store = world.store.clone();
        world.run(store.revoke_key(setting.restricted_key))
    }),
    ("delete a restricted key's subscription", |world, setting| {
        let store = world.store.clone();
        world.run(store.delete_subscription(setting.of_restricted_key, None))
    }),
    ("revoke a key", |world, setting| {
        let store = world.store.clone();
        world.run(store.revoke_key(setting.key))
    }),
    ("retry a delivery", |world, setting| {
        let store = world.store.clone();
        world.run(store.retry_delivery(setting.deliveries[0], remember(1, setting.key, None))).map(drop)
    }),
    ("cancel a delivery", |world, setting| {
        let store = world.store.clone();
        world.run(store.cancel_delivery(setting.deliveries[0], remember(1, setting.key, None))).map(drop)
    }),
    ("start a job", |world, setting| {
        let store = world.store.clone();
        let kind = JobKind::Retry(DeliveryFilter::default());
        world.run(store.start_job(TenantId::DEFAULT, kind, remember(1, setting.key, None))).map(drop)
    }),
    ("cancel a job", |world, setting| {
        let store = world.store.clone();
        world.run(store.cancel_job(setting.job, remember(1, setting.key, None))).map(drop)
    }),
    ("a step of a job that counts", |world, _| world.writer.work_pass().map(drop)),
    ("deliver an event again", |world, setting| {
        let (store, kept) = (world.store.clone(), remember(1, setting.key, None));
        world.run(store.redeliver(TenantId::DEFAULT, setting.event, Redelivery::ToMatching, kept)).map(drop)
    }),
    ("deliver an event again as a new one", |world, setting| {
        let (store, kept) = (world.store.clone(), remember(1, setting.key, None));
        let how = Redelivery::AsNewEvent(vec![setting.subscription]);
        world.run(store.redeliver(TenantId::DEFAULT, setting.event, how, kept)).map(drop)
    }),
    ("begin a test that is kept", |world, setting| {
        let store = world.store.clone();
        world.run(store.begin_test(event("webhook.test"), setting.subscription)).map(drop)
    }),
    ("invite a user", |world, _| {
        let store = world.store.clone();
        world.run(store.create_user(user("bob@example.com"), TokenHash([9; 32]), Timestamp::MAX)).map(drop)
    }),
    ("follow an invitation", |world, _| {
        let store = world.store.clone();
        let chosen = Chosen { email: None, name: Some("Ann".to_owned()), password: password() };
        world.run(store.follow_invitation(TokenHash([3; 32]), chosen, session(4))).map(drop)
    }),
    ("change a password", |world, setting| {
        let store = world.store.clone();
        let change = Box::new(|user: &mut User| {
            let other = Password::new("battery staple".to_owned());
            user.password = Some(PasswordHash::of(&other, PasswordCost::LEAST, [8; SALT_BYTES]));
            Ok(())
        });
        world.run(store.update_user(setting.owner, change, None)).map(drop)
    }),
    ("sign in", |world, setting| {
        let store = world.store.clone();
        let session = Session { of: SignedIn::User(setting.owner), ..session(5) };
        let checked = Checked { password: password(), totp_step: None };
        world.run(store.begin_session(session, Some(checked))).map(drop)
    }),
    ("sign out", |world, setting| {
        let store = world.store.clone();
        world.run(store.end_session(setting.session))
    }),
    ("remove a user", |world, setting| {
        let store = world.store.clone();
        world.run(store.delete_user(setting.leaving))
    }),
    ("retention", |world, _| {
        world.wait(100 * DAY);
        world.writer.retention_pass().map(drop)
    }),
];

#[test]
fn after_a_power_cut_a_sentence_happened_or_it_did_not() {
    let now = START.parse().unwrap();
    let (disk, setting) = set_up();
    let before = recovered(&disk.copy(0), now);
    // Before, after, and after since it was answered.
    let mut outcomes = [0; 3];
    for (name, sentence) in SENTENCES {
        // The first pass counts, and shows what "after" looks like.
        let whole = disk.copy(0);
        let mut world = World::on(whole.clone(), now);
        let syncs_before = whole.syncs();
        sentence(&mut world, &setting).unwrap();
        assert!(whole.syncs() > syncs_before, "{name} was answered before it was durable");
        world.writer.checkpoint().unwrap();
        let syncs = whole.syncs() - syncs_before;
        whole.power_cut();
        drop(world);
        let after = recovered(&whole, now);
        assert!(before != after, "{name} wrote nothing");

        for sync in 0..syncs {
            for seed in 0..SEEDS {
                let dying = disk.copy(seed * 1000 + sync);
                let mut world = World::on(dying.clone(), now);
                dying.die_after(sync);
                let answer = sentence(&mut world, &setting);
                let is_answered = answer.is_ok();
                if is_answered {
                    assert!(!dying.is_dead());
                    assert!(matches!(world.writer.checkpoint(), Err(StoreError::Unavailable(_))));
                } else {
                    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{name} answered {answer:?}");
                    assert!(world.changes.is_empty(), "{name} handed over what was not committed");
                }
                assert!(dying.is_dead() && world.store.is_broken());
                let later = world.store.clone();
                assert!(matches!(world.run(later.revoke_key(setting.key)), Err(StoreError::Unavailable(_))));
                drop(later);
                dying.power_cut();
                drop(world);
                let found = recovered(&dying, now);
                match found {
                    found if found == before && !is_answered => outcomes[0] += 1,
                    found if found == after => outcomes[1 + usize::from(is_answered)] += 1,
                    found if found == before => panic!("{name} was answered, and lost at sync {sync}, seed {seed}"),
                    _ => panic!("{name} was torn by a power cut at sync {sync}, seed {seed}"),
                }
                assert_clean(check_disk(&dying));
            }
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "one side was never seen: {outcomes:?}");
}

#[test]
fn background_work_goes_on_from_any_power_cut_to_the_same_end() {
    let now = START.parse().unwrap();
    let (disk, setting) = set_up();
    let finish = |world: &mut World| {
        world.index();
        world.work();
    };
    let begin = |disk: &SimDisk| {
        let mut world = World::on(disk.clone(), now);
        let store = world.store.clone();
        world.run(store.delete_subscription(setting.subscription, None)).unwrap();
        world.run(store.delete_tenant(setting.tenant, None)).unwrap();
        world
    };
    let whole = disk.copy(0);
    let mut world = begin(&whole);
    let syncs_before = whole.syncs();
    while world.writer.work_pass().unwrap() {
        world.writer.checkpoint().unwrap();
    }
    let syncs = whole.syncs() - syncs_before;
    finish(&mut world);
    whole.power_cut();
    drop(world);
    let end = recovered(&whole, now);
    for sync in 0..syncs {
        for seed in 0..SEEDS {
            let dying = disk.copy(seed * 1000 + sync);
            let mut world = begin(&dying);
            dying.die_after(sync);
            while world.writer.work_pass().unwrap_or(false) && world.writer.checkpoint().is_ok() {}
            dying.power_cut();
            drop(world);
            assert_clean(check_disk(&dying));
            let mut world = World::on(dying.clone(), now);
            finish(&mut world);
            drop(world);
            assert_eq!(recovered(&dying, now), end, "sync {sync}, seed {seed}");
        }
    }
}

#[test]
fn an_opening_that_loses_power_is_finished_by_the_next_one() {
    let now = START.parse().unwrap();
    let (disk, _) = set_up();
    let whole = disk.copy(0);
    drop(World::on(whole.clone(), now));
    let (syncs, end) = (whole.syncs(), recovered(&whole, now));
    for sync in 0..syncs {
        for seed in 0..SEEDS {
            let dying = disk.copy(seed * 1000 + sync);
            dying.die_after(sync);
            drop(World::try_on(dying.clone(), now));
            dying.power_cut();
            assert_eq!(recovered(&dying, now), end, "sync {sync}, seed {seed}");
            assert_clean(check_disk(&dying));
        }
    }
}
