//! What jobs were asked for and what they did: each step of one is held against both.

use std::collections::{BTreeMap, BTreeSet};

use waxwing::domain::delivery::{CanceledReason, Delivery, State};
use waxwing::domain::event::Event;
use waxwing::domain::id::{DeliveryId, JobId};
use waxwing::domain::job::{Job, JobKind, JobState};
use waxwing::store::Store;

#[derive(Default)]
pub struct Jobs(BTreeMap<JobId, Account>);

struct Account {
    /// As it was last seen.
    job: Job,
    /// What it has to change, unless something else does before its turn comes.
    owed: BTreeSet<DeliveryId>,
    changed: BTreeSet<DeliveryId>,
}

impl Jobs {
    /// A job was answered with 202, after these events were.
    pub fn started(&mut self, job: Job, acknowledged: &[Event], store: &Store) {
        let of_tenant = acknowledged.iter().filter(|event| event.tenant == job.tenant);
        let all = of_tenant.flat_map(|event| store.deliveries_of(event).expect("the disk reads"));
        let owed = all.filter(|delivery| fits(&job.kind, delivery)).map(|delivery| delivery.id).collect();
        self.0.insert(job.id, Account { job, owed, changed: BTreeSet::new() });
    }

    pub fn running(&self) -> Vec<JobId> {
        self.0.values().filter(|it| it.job.state == JobState::Running).map(|it| it.job.id).collect()
    }

    /// A person ended it.
    pub fn canceled(&mut self, job: Job) {
        let known = self.0.get_mut(&job.id).expect("it was started");
        assert!(job.done + job.skipped <= job.counted, "{job:?}");
        known.job = job;
    }

    /// Something that is no job changed this delivery, so that no job needs to.
    pub fn touched(&mut self, delivery: DeliveryId) {
        self.0.values_mut().for_each(|known| _ = known.owed.remove(&delivery));
    }

    /// A step of the background is over, and changed these deliveries.
    pub fn stepped(&mut self, moved: &[Delivery], store: &Store) {
        let mut whose = None;
        for known in self.0.values_mut() {
            let job = store.job(known.job.id).expect("the disk reads").expect("a job is kept for longer than this run");
            if job == known.job {
                continue;
            }
            assert_eq!(whose.replace(job.id), None, "one step is of one job");
            assert_eq!(known.job.state, JobState::Running, "{job:?} goes on after its end");
            assert_eq!(job.done - known.job.done, moved.len() as u64, "{job:?} counts wrong");
            assert!(!known.job.is_counted || job.counted == known.job.counted, "{job:?} counts on");
            for delivery in moved {
                assert!(known.changed.insert(delivery.id), "{} is changed twice by {job:?}", delivery.id);
                known.owed.remove(&delivery.id);
                follows(&job, delivery);
            }
            known.job = job;
            if known.job.state != JobState::Running {
                known.has_ended(store);
            }
        }
        assert!(moved.is_empty() || whose.is_some(), "{moved:?} were changed, and no job counts them");
        for delivery in moved {
            self.touched(delivery.id);
        }
    }

    pub fn settle(&self, store: &Store) {
        for known in self.0.values() {
            let kept = store.job(known.job.id).expect("the disk reads");
            assert_eq!(kept.as_ref(), Some(&known.job));
            assert_ne!(known.job.state, JobState::Running, "{kept:?} never ends");
        }
    }
}

impl Account {
    fn has_ended(&self, store: &Store) {
        let Job { kind, state, counted, is_counted, done, skipped, .. } = &self.job;
        assert_eq!(*state, JobState::Done, "nobody canceled {:?}", self.job);
        assert!(*is_counted && done + skipped == *counted, "{:?}", self.job);
        assert_eq!(self.changed.len() as u64, *done, "{:?}", self.job);
        let catalogue = store.catalogue();
        for id in &self.owed {
            let delivery = store.delivery(*id).expect("the disk reads").expect("it was there");
            let has_receiver = catalogue.subscription(delivery.subscription).is_some();
            assert!(!has_receiver || !fits(kind, &delivery), "{:?} missed {delivery:?}", self.job);
        }
    }
}

/// Whether the job has to change this delivery as it stands.
fn fits(kind: &JobKind, delivery: &Delivery) -> bool {
    let filter = kind.filter();
    kind.concerns(delivery.state)
        && filter.subscription.is_none_or(|wanted| wanted == delivery.subscription)
        && filter.event.is_none_or(|wanted| wanted == delivery.event)
        && filter.since.is_none_or(|since| delivery.created_at >= since)
}

/// What a job made of a delivery is what was asked for.
fn follows(job: &Job, delivery: &Delivery) {
    let filter = job.kind.filter();
    assert_eq!(delivery.tenant, job.tenant, "{delivery:?} is another tenant's");
    assert!(filter.subscription.is_none_or(|wanted| wanted == delivery.subscription), "{delivery:?} by {job:?}");
    assert!(filter.event.is_none_or(|wanted| wanted == delivery.event), "{delivery:?} by {job:?}");
    assert!(filter.since.is_none_or(|since| delivery.created_at >= since), "{delivery:?} by {job:?}");
    assert!(delivery.created_at <= job.created_at || delivery.id.as_u128() < job.id.as_u128(), "{delivery:?}");
    let is_asked_for = match job.kind {
        JobKind::Recover { .. } | JobKind::Retry(_) => !delivery.state.is_final(),
        JobKind::Cancel(_) => delivery.state == State::Canceled { reason: CanceledReason::Manual },
    };
    assert!(is_asked_for, "{delivery:?} by {job:?}");
}
