//! The shell around the dispatcher: a task that tells it what happened, and carries out what it decides.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{error, info};

use super::decided::{Decided, Finished, Happened, LateLane, ReadDue, Send};
use super::dispatcher::Dispatcher;
use super::feed::Feed;
use super::pulse::Pulse;
use super::sender::{Purpose, Sender};
use super::{Ask, Dispatch, Figures};
use crate::domain::id::SubscriptionId;
use crate::store::{Change, EventsRead, Known, Recordings, Store, StoreError};

/// Lanes read from disk in one step at the start.
const LANES_PER_READ: usize = 1000;
/// A wake-up is looked at again at least this often, so that a clock that was set is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Reports of finished work that may wait for the dispatcher. It is bounded by what it decided before: requests under
/// way and reads.
const REPORTS_MAX: usize = super::slots::IN_FLIGHT_MAX + 64;
/// Who may wait for an answer to what is late; the others wait for a place.
const ASKS_MAX: usize = 16;
/// What is late is looked up at most so often: it takes a look at every lane.
const LATE_EVERY: Duration = Duration::from_secs(1);
/// Reports taken in before the next decisions are carried out.
const REPORTS_PER_TURN: usize = 256;

/// The running dispatcher, to be stopped.
pub struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    /// Sends nothing more, waits for what is under way (each within its subscription's time-out) and records it.
    pub async fn stop(self) {
        // An error means that it ended by itself: the store closed.
        let _ = self.stop.send(());
        if let Err(failure) = self.task.await {
            error!(%failure, "the dispatcher ended badly");
        }
    }
}

/// Begins to send what is due.
pub fn start(store: Store, changes: mpsc::Receiver<Vec<Change>>, sender: Sender, seed: u64) -> (Dispatch, Running) {
    let figures = Arc::new(Mutex::new(Figures::default()));
    let feed = Feed::new(sender.clock.clone());
    let pulse = Arc::new(Pulse::begin(&sender.clock));
    let (asks, asked) = mpsc::channel(ASKS_MAX);
    let dispatch = Dispatch {
        sender: sender.clone(),
        figures: Arc::clone(&figures),
        feed: feed.clone(),
        pulse: Arc::clone(&pulse),
        asks,
    };
    let (stop, stopped) = oneshot::channel();
    let (reports, reported) = mpsc::channel(REPORTS_MAX);
    let shell = Shell {
        store,
        sender,
        reports,
        figures,
        feed,
        pulse,
        late: None,
        events: Arc::default(),
        dispatcher: Dispatcher::new(seed),
    };
    let task = tokio::spawn(shell.run(changes, reported, asked, stopped));
    (dispatch, Running { stop, task })
}

struct Shell {
    store: Store,
    sender: Sender,
    reports: mpsc::Sender<Happened>,
    figures: Arc<Mutex<Figures>>,
    feed: Feed,
    pulse: Arc<Pulse>,
    /// What was late when somebody asked last.
    late: Option<(Instant, Arc<Vec<LateLane>>)>,
    /// What the reads of queues share.
    events: Arc<EventsRead>,
    dispatcher: Dispatcher,
}

impl Drop for Shell {
    /// Nothing happens any more.
    fn drop(&mut self) {
        self.feed.close();
    }
}

impl Shell {
    async fn run(
        mut self,
        mut changes: mpsc::Receiver<Vec<Change>>,
        mut reported: mpsc::Receiver<Happened>,
        mut asked: mpsc::Receiver<Ask>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        tokio::spawn(find_lanes(self.store.clone(), self.reports.clone()));
        let mut is_stopping = false;
        while !(is_stopping && self.dispatcher.is_drained()) {
            let sleep = match self.dispatcher.wake_at() {
                Some(at) => at.since(self.sender.clock.now()).min(SLEEP_MAX),
                None => SLEEP_MAX,
            };
            tokio::select! {
                biased;
                _ = &mut stopped, if !is_stopping => {
                    is_stopping = true;
                    info!(in_flight = self.dispatcher.in_flight(), "waiting for attempts under way");
                    self.take([Happened::ShutDown]);
                }
                Some(first) = reported.recv() => {
                    let rest = std::iter::from_fn(|| reported.try_recv().ok()).take(REPORTS_PER_TURN);
                    self.take(std::iter::once(first).chain(rest));
                }
                // While stopping, what is accepted stays on disk.
                Some(committed) = changes.recv() => {
                    self.feed.committed(&committed, &self.store);
                    if !is_stopping {
                        self.take([Happened::Changed(committed)]);
                    }
                }
                Some(ask) = asked.recv() => {
                    // Whoever asked may have gone away.
                    _ = ask.send(self.late());
                }
                () = tokio::time::sleep(sleep) => self.take([Happened::TimePassed]),
            }
            self.pulse.look_at_clock(&self.sender.clock);
        }
        // What was recorded last is told before it is known to be durable.
        while let Ok(committed) = changes.try_recv() {
            self.feed.committed(&committed, &self.store);
        }
    }

    fn take(&mut self, all: impl IntoIterator<Item = Happened>) {
        let mut decided = Vec::new();
        let catalogue = self.store.catalogue();
        let health = |id: SubscriptionId| self.store.health(id);
        let known = Known { catalogue: &catalogue, health: &health };
        let now = self.sender.clock.now();
        for happened in all {
            self.dispatcher.take_in(happened, now, &known);
        }
        self.dispatcher.decide(now, &known, &mut decided);
        for decided in decided {
            self.carry_out(decided);
        }
        *self.figures.lock().expect("no one panics while holding it") = Figures::of(&self.dispatcher);
    }

    fn late(&mut self) -> Arc<Vec<LateLane>> {
        if let Some((at, late)) = &self.late
            && at.elapsed() < LATE_EVERY
        {
            return Arc::clone(late);
        }
        let late = Arc::new(self.dispatcher.late(self.sender.clock.now()));
        self.late = Some((Instant::now(), Arc::clone(&late)));
        late
    }

    fn carry_out(&self, decided: Decided) {
        let reports = self.reports.clone();
        let store = self.store.clone();
        match decided {
            Decided::Send(send) => {
                let (sender, pulse) = (self.sender.clone(), Arc::clone(&self.pulse));
                tokio::spawn(async move {
                    let is_scheduled_event = send.event.event.deliver_at.is_some();
                    let finished = attempt(&store, &sender, send).await;
                    pulse.attempted(&finished.attempt, is_scheduled_event);
                    report(&reports, Happened::Finished(Box::new(finished))).await;
                });
            }
            Decided::Record(recordings) => {
                let recordings = Recordings { are_told: self.feed.is_watched(), ..recordings };
                tokio::spawn(async move {
                    match store.record(recordings).await {
                        Ok(()) => report(&reports, Happened::Recorded).await,
                        // Without this report nothing more is sent whose outcome could not be kept.
                        Err(failure) => error!(%failure, "outcomes could not be recorded; sending stops"),
                    }
                });
            }
            Decided::ReadDue(ReadDue { subscription, asked, until, in_memory, rows_max }) => {
                let events = Arc::clone(&self.events);
                tokio::spawn(async move {
                    let read = move || {
                        let (rows, next) =
                            store.due_with(&events, subscription, &asked, until, &in_memory, rows_max)?;
                        Ok(Happened::DueRead { subscription, asked, rows, next })
                    };
                    match in_background(read).await {
                        Ok(read) => report(&reports, read).await,
                        Err(failure) => error!(%failure, %subscription, "its queue could not be read; it stands still"),
                    }
                });
            }
        }
    }
}

async fn attempt(store: &Store, sender: &Sender, send: Send) -> Finished {
    let Send { delivery, tenant, subscription, event, number, trigger } = send;
    let purpose = Purpose { delivery, number, trigger };
    let catalogue = store.catalogue();
    // The secret and the URL of this moment, not of when it was decided: a rotated secret is dead at once.
    let subscription = catalogue.subscription(subscription.id).cloned().unwrap_or(subscription);
    let tenant = catalogue.tenant(tenant).or_else(|| catalogue.tenant(crate::domain::id::TenantId::DEFAULT));
    let tenant = &tenant.expect("the default tenant is always there").tenant;
    let attempt = sender.send(purpose, tenant, &subscription, &event).await;
    Finished { subscription: subscription.id, attempt }
}

/// Tells the dispatcher which subscriptions had something to do when the store was opened.
async fn find_lanes(store: Store, reports: mpsc::Sender<Happened>) {
    let mut after = None;
    loop {
        let store = store.clone();
        match in_background(move || store.lanes(after, LANES_PER_READ)).await {
            Ok(lanes) => {
                let Some((last, _)) = lanes.last() else { return };
                after = Some(*last);
                report(&reports, Happened::LanesFound(lanes)).await;
            }
            Err(failure) => {
                error!(%failure, "the queue on disk could not be read; older deliveries stand still");
                return;
            }
        }
    }
}

async fn in_background<T: std::marker::Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + std::marker::Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|failure| Err(StoreError::Unavailable(failure.to_string())))
}

async fn report(reports: &mpsc::Sender<Happened>, happened: Happened) {
    // The shell is gone only when the process is ending.
    let _ = reports.send(happened).await;
}
