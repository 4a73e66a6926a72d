//! Each sentence does what it says, once, or nothing.

use std::collections::HashSet;
use std::time::Duration;

use waxwing::domain::delivery::{CanceledReason, ErrorClass, ExhaustedReason, Outcome, RetryReason, ShownState, State};
use waxwing::domain::health::{Circuit, Health};
use waxwing::domain::id::{DeliveryId, KeyId, SessionId, SubscriptionId, TenantId};
use waxwing::domain::key::KeyHash;
use waxwing::domain::obstacle::{Limited, Obstacle};
use waxwing::domain::session::{Session, SignedIn};
use waxwing::domain::subscription::DisabledReason;
use waxwing::domain::time::Timestamp;
use waxwing::domain::token::TokenHash;
use waxwing::domain::user::{Invitation, Invited};
use waxwing::store::{Change, Recordings, RequestName, SecretOwner, StoreError};

use super::world::*;

const KEY: KeyId = KeyId::from_u128(77);

#[test]
fn an_event_and_all_its_deliveries_are_there_when_it_is_answered() {
    let mut world = World::new();
    let exact = world.subscribe(subscription_to("order.paid"));
    let below = world.subscribe(subscription_to("order.*"));
    world.subscribe(subscription_to("user.*"));
    let published = world.publish(event("order.paid")).unwrap();
    assert!(!published.is_duplicate);
    assert_eq!(published.event.deliveries, 2);

    let read = world.store.event(published.event.id).unwrap().unwrap();
    assert_eq!(read, published.event);
    assert_eq!(&world.store.event_data(read.id).unwrap().unwrap()[..], br#"{"a": 1.0e400}"#);
    let deliveries = world.deliveries_of(&read);
    let subscriptions: Vec<_> = deliveries.iter().map(|delivery| delivery.subscription).collect();
    assert_eq!(subscriptions, [exact.id, below.id]);
    let Some(Change::Accepted(fresh)) = world.changes.last() else { panic!("{:?}", world.changes) };
    assert_eq!(fresh.len(), 2);
    assert_eq!(fresh[0].delivery, deliveries[0].id);
    assert_eq!(fresh[0].next_attempt_at, world.now());
    assert_clean(world.check());
}

#[test]
fn an_event_that_nobody_wants_is_kept_without_deliveries() {
    let mut world = World::new();
    let published = world.publish(event("order.paid")).unwrap();
    assert_eq!(published.event.deliveries, 0);
    assert!(world.changes.is_empty());
    assert!(world.store.event(published.event.id).unwrap().is_some());
    assert_clean(world.check());
}

#[test]
fn a_batch_takes_what_it_can_in_order() {
    let mut world = World::new();
    let unknown = TenantId::from_u128(5);
    let mut of_nobody = event("a");
    of_nobody.tenant = unknown;
    let mut other_data = event_with_external_id("a", "one");
    other_data.data = "2".into();
    let batch = vec![
        event("a"),
        of_nobody,
        event_with_external_id("a", "one"),
        event_with_external_id("a", "one"),
        other_data,
        event_with_external_id("b", "one"),
    ];
    let store = world.store.clone();
    let all = world.run(store.accept(batch, None)).unwrap();
    assert_eq!(all[1].as_ref().unwrap_err(), &StoreError::NotFound);
    let first = all[2].as_ref().unwrap();
    assert!(!first.is_duplicate);
    let second = all[3].as_ref().unwrap();
    assert!(second.is_duplicate);
    assert_eq!(second.event, first.event);
    assert_eq!(all[4].as_ref().unwrap_err(), &StoreError::ExternalIdConflict, "other data");
    assert_eq!(all[5].as_ref().unwrap_err(), &StoreError::ExternalIdConflict, "another type");
    assert_eq!(world.store.sizes().events, 2);
    assert_clean(world.check());
}

#[test]
fn a_repeated_external_id_gives_the_first_event_also_after_a_restart_and_only_in_its_tenant() {
    let mut world = World::new();
    let first = world.publish(event_with_external_id("a", "order-1")).unwrap();
    let mut world = world.after_power_cut();
    let again = world.publish(event_with_external_id("a", "order-1")).unwrap();
    assert!(again.is_duplicate);
    assert_eq!(again.event, first.event);
    let store = world.store.clone();
    let other = world.run(store.create_tenant(tenant("acme"), None)).unwrap();
    let mut elsewhere = event_with_external_id("a", "order-1");
    elsewhere.tenant = other.id;
    assert!(!world.publish(elsewhere).unwrap().is_duplicate);
    assert_clean(world.check());
}

#[test]
fn an_inactive_subscription_keeps_its_deliveries_and_a_gone_one_gets_canceled_ones() {
    let mut world = World::new();
    let mut paused = subscription_to("*");
    paused.is_active = false;
    world.subscribe(paused);
    let gone = world.subscribe(subscription_to("*"));
    world.record(Recordings { disabled: vec![(gone.id, DisabledReason::Gone)], ..Recordings::default() });
    let known = world.store.catalogue().subscription(gone.id).unwrap().clone();
    assert_eq!((known.is_active, known.disabled_reason, known.revision), (false, Some(DisabledReason::Gone), 2));

    let published = world.publish(event("a")).unwrap();
    let deliveries = world.deliveries_of(&published.event);
    assert_eq!(deliveries[0].state, State::Pending { next_attempt_at: world.now() });
    assert_eq!(deliveries[1].state, State::Canceled { reason: CanceledReason::SubscriptionGone });
    let Some(Change::Accepted(fresh)) = world.changes.last() else { panic!("{:?}", world.changes) };
    assert_eq!(fresh.len(), 1, "a canceled delivery is not handed over");

    let store = world.store.clone();
    let enable = Box::new(|subscription: &mut waxwing::domain::subscription::Subscription| {
        subscription.is_active = true;
        Ok(())
    });
    let enabled = world.run(store.update_subscription(gone.id, enable, None)).unwrap();
    assert_eq!((enabled.is_active, enabled.disabled_reason, enabled.revision), (true, None, 3));
    let published = world.publish(event("a")).unwrap();
    assert!(world.deliveries_of(&published.event).iter().all(|delivery| !delivery.state.is_final()));
    assert_clean(world.check());
}

#[test]
fn an_attempt_moves_its_delivery_and_is_kept() {
    let mut world = World::new();
    world.subscribe(subscription_to("*"));
    let published = world.publish(event("a")).unwrap();
    let id = world.deliveries_of(&published.event)[0].id;
    let retry_at = world.now().plus(Duration::from_secs(5));
    let retrying = State::Retrying { next_attempt_at: retry_at, reason: RetryReason::Schedule };
    world.try_attempt(id, Outcome::Status(503), retrying).unwrap();
    let delivery = world.delivery(id);
    assert_eq!((delivery.state, delivery.attempts, delivery.last_http_status), (retrying, 1, Some(503)));
    assert_eq!(delivery.updated_at, world.now().plus(Duration::from_millis(20)));
    assert_eq!(world.lanes(), [(delivery.subscription, retry_at)]);

    world.wait(Duration::from_secs(5));
    world.succeed(id);
    assert_eq!(world.delivery(id).state, State::Succeeded);
    assert!(world.lanes().is_empty());
    let attempts = world.store.attempts(id).unwrap();
    let kept = |n: usize| {
        let response = attempts[n].response.as_ref().unwrap();
        (attempts[n].number, response.status, response.body.len(), response.body_truncated)
    };
    assert_eq!(kept(0), (1, 503, 16 * 1024, true));
    assert_eq!(kept(1), (2, 200, 1024, true));
    assert!(attempts[0].id < attempts[1].id);
    assert_eq!(attempts[0].remote_address, Some("203.0.113.7:443".parse().unwrap()));
    assert_clean(world.check());
}

#[test]
fn a_final_state_on_disk_is_not_changed_by_a_late_attempt() {
    let mut world = World::new();
    world.subscribe(subscription_to("*"));
    let published = world.publish(event("a")).unwrap();
    let id = world.deliveries_of(&published.event)[0].id;
    let store = world.store.clone();
    let canceled = world.run(store.cancel_delivery(id, None)).unwrap();
    assert_eq!(canceled.state, State::Canceled { reason: CanceledReason::Manual });
    assert!(matches!(world.changes.last(), Some(Change::Canceled(_, canceled)) if *canceled == id));
    assert_eq!(
        world.run(store.cancel_delivery(id, None)),
        Err(StoreError::InvalidState(Obstacle::Delivery(ShownState::Canceled)))
    );

    world.succeed(id);
    let delivery = world.delivery(id);
    assert_eq!(delivery.state, State::Canceled { reason: CanceledReason::Manual });
    assert_eq!(delivery.attempts, 1);
    assert_eq!(world.store.attempts(id).unwrap().len(), 1);
    assert_clean(world.check());
}

#[test]
fn a_manual_retry_is_due_now_unless_the_delivery_is_done() {
    let mut world = World::new();
    world.subscribe(subscription_to("*"));
    let published = world.publish(event("a")).unwrap();
    let delivery = world.deliveries_of(&published.event).remove(0);
    let store = world.store.clone();

    let pending = world.run(store.retry_delivery(delivery.id, None)).unwrap();
    assert_eq!(pending.state, State::Pending { next_attempt_at: world.now() });
    let gone = State::Exhausted { reason: ExhaustedReason::Aborted };
    world.try_attempt(delivery.id, Outcome::Status(500), gone).unwrap();
    assert!(world.lanes().is_empty());
    let retried = world.run(store.retry_delivery(delivery.id, None)).unwrap();
    let now = world.now();
    assert_eq!(retried.state, State::Retrying { next_attempt_at: now, reason: RetryReason::ManualOnce });
    assert!(
        matches!(world.changes.last(), Some(Change::Retry(id, retried)) if (*id, *retried) == (delivery.subscription, delivery.id))
    );
    assert_eq!(world.lanes(), [(delivery.subscription, now)]);
    world.succeed(delivery.id);
    assert_eq!(
        world.run(store.retry_delivery(delivery.id, None)),
        Err(StoreError::InvalidState(Obstacle::Delivery(ShownState::Succeeded)))
    );
    assert_eq!(world.run(store.retry_delivery(DeliveryId::from_u128(1), None)), Err(StoreError::NotFound));
    assert_clean(world.check());
}

#[test]
fn what_is_due_is_read_in_order_without_what_is_in_memory() {
    let mut world = World::new();
    let subscription = world.subscribe(subscription_to("*"));
    let mut ids = Vec::new();
    for seconds in [30, 10, 20, 500] {
        let published = world.publish(event("a")).unwrap();
        let id = world.deliveries_of(&published.event)[0].id;
        let next_attempt_at = world.now().plus(Duration::from_secs(seconds));
        let detail = "too slow".to_owned();
        let outcome = Outcome::Error { class: ErrorClass::Timeout, detail };
        world.try_attempt(id, outcome, State::Retrying { next_attempt_at, reason: RetryReason::Schedule }).unwrap();
        ids.push(id);
    }
    let until = world.now().plus(Duration::from_secs(60));
    let due = |in_memory: &[DeliveryId], limit| {
        let in_memory: HashSet<_> = in_memory.iter().copied().collect();
        let (due, next) = world.store.due(subscription.id, &[], until, &in_memory, limit).unwrap();
        let next = next.map(|at| at.since(world.now()).as_secs());
        (due.iter().map(|due| due.delivery.id).collect::<Vec<_>>(), next)
    };
    assert_eq!(due(&[], 10), (vec![ids[1], ids[2], ids[0]], Some(500)));
    assert_eq!(due(&[], 2), (vec![ids[1], ids[2]], Some(30)));
    assert_eq!(due(&[ids[1]], 1), (vec![ids[2]], Some(30)));
    assert_eq!(due(&ids, 1), (vec![], None));
    let (all, _) = world.store.due(subscription.id, &[], until, &HashSet::new(), 1).unwrap();
    assert_eq!(&all[0].event.as_ref().unwrap().data[..], br#"{"a": 1.0e400}"#);
    assert_eq!(world.store.lanes(Some(subscription.id), 10).unwrap(), []);
}

#[test]
fn fresh_deliveries_are_due_after_a_power_cut_and_done_ones_are_not() {
    let mut world = World::new();
    let first = world.subscribe(subscription_to("a"));
    let second = world.subscribe(subscription_to("b"));
    let done = world.publish(event("a")).unwrap();
    let parked = world.publish(event("a")).unwrap();
    let in_memory = world.publish(event("b")).unwrap();
    let id = |world: &World, published: &waxwing::store::Published| world.deliveries_of(&published.event)[0].id;
    let (done, parked, in_memory) = (id(&world, &done), id(&world, &parked), id(&world, &in_memory));
    world.succeed(done);
    world.record(Recordings { parked: vec![parked], settled_up_to: Some(parked), ..Recordings::default() });
    assert_eq!(world.lanes(), [(first.id, world.now())]);
    let world = world.after_power_cut();
    assert_eq!(world.lanes(), [(first.id, world.now()), (second.id, world.now())]);
    let due = |subscription| {
        let (due, _) = world.store.due(subscription, &[], world.now(), &HashSet::new(), 10).unwrap();
        due.into_iter().map(|due| due.delivery.id).collect::<Vec<_>>()
    };
    assert_eq!(due(first.id), [parked]);
    assert_eq!(due(second.id), [in_memory]);
    assert_clean(world.check());
}

#[test]
fn a_remembered_answer_comes_back_for_a_day_also_after_a_restart() {
    let mut world = World::new();
    let store = world.store.clone();
    world.run(store.accept(vec![event("a")], remember(1, KEY, None))).unwrap();
    drop(store);
    let mut world = world.after_power_cut();
    let recalled = |world: &World, n| world.store.recall(RequestName([n; 32])).unwrap();
    assert_eq!(recalled(&world, 1), Some(([9; 32], answer(None))));
    assert_eq!(recalled(&world, 2), None);
    world.wait(DAY - Duration::from_millis(1));
    assert!(recalled(&world, 1).is_some());
    world.wait(Duration::from_millis(1));
    assert_eq!(recalled(&world, 1), None, "expired before it is removed");
    let answers = |world: World| {
        let report = world.check();
        assert!(report.is_clean(), "{report:#?}");
        report.tables.iter().filter(|table| table.name.starts_with("answers")).map(|table| table.rows).sum::<u64>()
    };
    world.retain();
    assert_eq!(answers(world), 0);
}

#[test]
fn an_answer_goes_with_the_secret_that_it_shows_and_with_the_key_that_asked() {
    for (what, goes) in
        [("rotate", [true, false]), ("delete", [true, false]), ("revoke", [true, true]), ("no", [false; 2])]
    {
        let mut world = World::new();
        let store = world.store.clone();
        let asker = world.run(store.create_key(key("asker", None), None)).unwrap();
        let subscription = world.subscribe(subscription_to("*"));
        let owner = Some(SecretOwner::Subscription(subscription.id));
        world.run(store.remember(RequestName([1; 32]), [9; 32], asker.id, answer(owner))).unwrap();
        let made = world.run(store.create_key(key("made", None), None)).unwrap();
        let owner = Some(SecretOwner::Key(made.id));
        world.run(store.remember(RequestName([2; 32]), [9; 32], asker.id, answer(owner))).unwrap();
        world.run(store.remember(RequestName([3; 32]), [9; 32], asker.id, answer(None))).unwrap();
        match what {
            "rotate" => {
                let rotate = Box::new(|subscription: &mut waxwing::domain::subscription::Subscription| {
                    subscription.secret = secret("another secret of many bytes");
                    Ok(())
                });
                world.run(store.update_subscription(subscription.id, rotate, None)).unwrap();
            }
            "delete" => world.run(store.delete_subscription(subscription.id, None)).unwrap(),
            "revoke" => world.run(store.revoke_key(asker.id)).unwrap(),
            _ => {}
        }
        let is_gone = |n| world.store.recall(RequestName([n; 32])).unwrap().is_none();
        assert_eq!([is_gone(1), is_gone(2), is_gone(3)], [goes[0], goes[1], false], "{what}");
        drop(store);
        assert_clean(world.check());
    }
}

#[test]
fn a_change_moves_the_revision_only_when_it_changes_something() {
    let mut world = World::new();
    let store = world.store.clone();
    let subscription = world.subscribe(subscription_to("*"));
    world.wait(Duration::from_secs(1));
    let same = world.run(store.update_subscription(subscription.id, Box::new(|_| Ok(())), None)).unwrap();
    assert_eq!((same.revision, same.updated_at), (1, subscription.updated_at));
    let rename = Box::new(|it: &mut waxwing::domain::subscription::Subscription| {
        it.description = Some("new".to_owned());
        it.tenant = TenantId::SYSTEM;
        Ok(())
    });
    let renamed = world.run(store.update_subscription(subscription.id, rename, None)).unwrap();
    assert_eq!((renamed.revision, renamed.updated_at, renamed.tenant), (2, world.now(), TenantId::DEFAULT));
    let refuse = Box::new(|it: &mut waxwing::domain::subscription::Subscription| {
        it.description = None;
        Err(StoreError::PreconditionFailed)
    });
    let refused = world.run(store.update_subscription(subscription.id, refuse, remember(1, KEY, None)));
    assert_eq!(refused, Err(StoreError::PreconditionFailed));
    assert_eq!(*world.store.catalogue().subscription(subscription.id).unwrap().as_ref(), renamed);
    assert_eq!(world.store.recall(RequestName([1; 32])).unwrap(), None);

    let made = world.run(store.create_event_type(event_type("order.paid"), None)).unwrap();
    let same = world.run(store.update_event_type(made.name.clone(), Box::new(|_| Ok(())), None)).unwrap();
    assert_eq!(same.revision, 1);
    let archive = Box::new(|it: &mut waxwing::domain::event_type::EventType| {
        it.archived_at = Some(Timestamp::from_millis(5));
        Ok(())
    });
    assert_eq!(world.run(store.update_event_type(made.name.clone(), archive, None)).unwrap().revision, 2);
    let stale = world.run(store.delete_event_type(made.name.clone(), Some(1)));
    assert_eq!(stale, Err(StoreError::PreconditionFailed));
    drop(store);
    let world = world.after_power_cut();
    assert_eq!(*world.store.catalogue().subscription(subscription.id).unwrap().as_ref(), renamed);
    assert_eq!(world.store.catalogue().event_type("order.paid").unwrap().event_type.revision, 2);
    assert_clean(world.check());
}

#[test]
fn names_are_taken_once_and_free_after_deletion() {
    let mut world = World::new();
    let store = world.store.clone();
    world.run(store.create_event_type(event_type("a"), None)).unwrap();
    assert_eq!(world.run(store.create_event_type(event_type("a"), None)).unwrap_err(), StoreError::AlreadyExists);
    world.run(store.delete_event_type("a".parse().unwrap(), None)).unwrap();
    world.run(store.create_event_type(event_type("a"), None)).unwrap();

    let acme = world.run(store.create_tenant(tenant("acme"), None)).unwrap();
    assert_eq!(world.run(store.create_tenant(tenant("acme"), None)), Err(StoreError::AlreadyExists));
    let other = world.run(store.create_tenant(tenant("other"), None)).unwrap();
    let rename = |it: &mut waxwing::domain::tenant::Tenant| {
        it.external_id = Some("acme".parse().unwrap());
        Ok(())
    };
    assert_eq!(world.run(store.update_tenant(other.id, Box::new(rename), None)), Err(StoreError::AlreadyExists));
    world.run(store.delete_tenant(acme.id, Some(1))).unwrap();
    assert_eq!(world.run(store.update_tenant(other.id, Box::new(rename), None)).unwrap().revision, 2);
    for permanent in [TenantId::DEFAULT, TenantId::SYSTEM] {
        assert_eq!(
            world.run(store.delete_tenant(permanent, None)),
            Err(StoreError::InvalidState(Obstacle::PermanentTenant))
        );
    }
    world.run(store.create_key(key("k", None), None)).unwrap();
    assert_eq!(world.run(store.create_key(key("k", None), None)), Err(StoreError::AlreadyExists));
    assert_eq!(world.run(store.create_key(key("l", Some(acme.id)), None)), Err(StoreError::NotFound));
}

#[test]
fn a_tenant_has_no_more_subscriptions_than_it_may() {
    let mut world = World::new();
    let store = world.store.clone();
    let small = |it: &mut waxwing::domain::tenant::Tenant| {
        it.subscriptions_max = 2;
        Ok(())
    };
    world.run(store.update_tenant(TenantId::DEFAULT, Box::new(small), None)).unwrap();
    let first = world.subscribe(subscription_to("a"));
    world.subscribe(subscription_to("a"));
    let third = world.run(store.create_subscription(subscription_to("a"), None));
    assert_eq!(third, Err(StoreError::LimitExceeded { max: 2, of_what: Limited::Subscriptions }));
    world.run(store.delete_subscription(first.id, Some(1))).unwrap();
    world.subscribe(subscription_to("a"));
}

#[test]
fn health_survives_and_starts_anew_when_a_person_enables_it_again() {
    let mut world = World::new();
    let subscription = world.subscribe(subscription_to("*"));
    let at = world.now();
    let sick = Health {
        consecutive_failures: 12,
        failing_since: Some(at),
        last_delivery_at: Some(at),
        last_delivery_succeeded: Some(false),
        slots: Some(1),
        pace: Some(200),
        throttled_at: Some(at),
        quiet_until: Some(at),
        circuit: Circuit::Open { probe_at: at, probes: 3 },
        warnings: 1,
        is_announced: true,
        blocked_by: None,
    };
    let unknown = SubscriptionId::from_u128(1);
    world.record(Recordings { health: vec![(subscription.id, sick), (unknown, sick)], ..Recordings::default() });
    let mut world = world.after_power_cut();
    assert_eq!(world.store.health(subscription.id), sick);
    assert_eq!(world.store.health(unknown), Health::default());
    let store = world.store.clone();
    for is_active in [false, true] {
        let change = Box::new(move |it: &mut waxwing::domain::subscription::Subscription| {
            it.is_active = is_active;
            Ok(())
        });
        world.run(store.update_subscription(subscription.id, change, None)).unwrap();
    }
    assert_eq!(world.store.health(subscription.id), sick.reset());
    drop(store);
    assert_clean(world.check());
}

#[test]
fn a_key_remembers_when_it_was_used() {
    let mut world = World::new();
    let store = world.store.clone();
    let key = world.run(store.create_key(key("k", None), None)).unwrap();
    let used = world.now();
    store.actor_used(key.id.into(), used);
    assert_eq!(store.key_last_used(key.id), Some(used));
    world.publish(event("a")).unwrap();
    world.wait(Duration::from_secs(30));
    store.actor_used(key.id.into(), world.now());
    world.publish(event("a")).unwrap();
    drop(store);
    let world = world.after_power_cut();
    assert_eq!(world.store.key_last_used(key.id), Some(used), "the second use was within the minute");
    assert_clean(world.check());
}

/// A session of a key, whose cookie has this token.
fn session(token: u8) -> Session {
    Session {
        id: SessionId::from_u128(0),
        hash: TokenHash([token; 32]),
        of: SignedIn::Key(KeyHash([1; 32])),
        created_at: Timestamp::MIN,
        user_agent: None,
        remote_address: None,
    }
}

#[test]
fn what_lets_nobody_in_any_more_is_removed_and_a_session_in_use_stays() {
    let mut world = World::new();
    let store = world.store.clone();
    let [used, idle] = [1, 2].map(|token| world.run(store.begin_session(session(token), None)).unwrap().id);
    let expires_at = world.now().plus(DAY);
    world.run(store.invite(Invitation { hash: TokenHash([3; 32]), to: Invited::FirstOwner, expires_at })).unwrap();
    world.wait(5 * DAY);
    let used_at = world.now();
    store.actor_used(used.into(), used_at);
    world.publish(event("a")).unwrap();
    world.wait(2 * DAY);
    while world.writer.retention_pass().unwrap() {}
    drop(store);
    let world = world.after_power_cut();
    let catalogue = world.store.catalogue();
    assert_eq!(world.store.session_last_used(used), Some(used_at));
    assert!(catalogue.session(used).is_some() && catalogue.session(idle).is_none());
    assert!(catalogue.invitation(&TokenHash([3; 32])).is_none());
    assert_clean(world.check());
}

#[test]
fn without_room_new_work_is_refused_and_outcomes_still_commit() {
    let mut world = World::new();
    let subscription = world.subscribe(subscription_to("*"));
    let published = world.publish(event("a")).unwrap();
    let id = world.deliveries_of(&published.event)[0].id;
    world.set_free_bytes(1000);
    let store = world.store.clone();
    assert_eq!(world.run(store.accept(vec![event("a")], None)).unwrap_err(), StoreError::StorageFull);
    assert_eq!(world.run(store.create_tenant(tenant("t"), None)), Err(StoreError::StorageFull));
    assert_eq!(world.run(store.create_key(key("k", None), None)), Err(StoreError::StorageFull));
    assert_eq!(world.run(store.create_subscription(subscription_to("a"), None)), Err(StoreError::StorageFull));
    world.succeed(id);
    world.run(store.delete_subscription(subscription.id, None)).unwrap();
    assert_eq!(world.store.disk().free_bytes, 1000);
    world.set_free_bytes(PLENTY);
    world.publish(event("a")).unwrap();
}

#[test]
fn ids_grow_though_the_clock_goes_back_and_the_machine_restarts() {
    let mut world = World::new();
    let first = world.publish(event("a")).unwrap().event;
    world.clock.set(world.now().minus(DAY));
    let second = world.publish(event("a")).unwrap().event;
    assert!(second.id > first.id);
    assert_eq!(second.created_at, first.created_at.minus(DAY));
    let mut world = world.after_power_cut();
    let reserved = world.store.next_event_id();
    let third = world.publish(event("a")).unwrap().event;
    assert!(second.id < reserved && reserved < third.id);
    assert_clean(world.check());
}

#[test]
fn everything_in_the_queue_is_one_commit_and_a_refusal_harms_nobody() {
    let mut world = World::new();
    let before = world.disk.syncs();
    world.publish(event("a")).unwrap();
    let one = world.disk.syncs() - before;
    let store = world.store.clone();
    let before = world.disk.syncs();
    let all = async {
        let pending: Vec<_> = (0..50).map(|_| store.accept(vec![event("a")], None)).collect();
        let mut pending: Vec<_> = pending.into_iter().map(Box::pin).collect();
        let mut refused = Box::pin(store.revoke_key(KEY));
        std::future::poll_fn(|context| {
            assert!(refused.as_mut().poll(context).is_pending());
            for one in &mut pending {
                assert!(one.as_mut().poll(context).is_pending());
            }
            std::task::Poll::Ready(())
        })
        .await;
        let mut is_first = true;
        std::future::poll_fn(|_| match std::mem::take(&mut is_first) {
            true => std::task::Poll::Pending,
            false => std::task::Poll::Ready(()),
        })
        .await;
        assert_eq!(refused.await, Err(StoreError::NotFound));
        for one in pending {
            one.await.unwrap().remove(0).unwrap();
        }
    };
    world.run(all);
    assert_eq!(world.disk.syncs() - before, one);
    assert_eq!(world.store.sizes().events, 51);
}
