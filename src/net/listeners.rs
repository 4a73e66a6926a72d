//! Listeners: whoever fetches what is sent to `https://listener.invalid/<anything>`, and says what came of it. A developer's
//! machine receives so without an address of its own.
//!
//! What is sent waits here until a listener of its subscription has answered it, at most for the subscription's time-out. So
//! it is bounded by what the dispatcher has under way at once, and shares the bytes with that.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::client::Subject;
use super::failure::Failure;
use super::response::Head;
use crate::domain::actor::ActorId;
use crate::domain::delivery::{ErrorClass, RESPONSE_BODY_BYTES_MAX};
use crate::domain::id::{ListenerId, SubscriptionId};

/// Listeners of the whole instance …
pub const LISTENERS_MAX: usize = 64;
/// … and of one key.
pub const LISTENERS_PER_KEY_MAX: usize = 8;
/// A listener that has not asked for so long is gone.
pub const LISTENER_LAPSES_AFTER: Duration = Duration::from_secs(10);
/// Of one fetch. The rest comes with the next one.
const REQUESTS_PER_FETCH_MAX: usize = 100;
/// Bodies of one fetch; a single one may be larger.
const BODY_BYTES_PER_FETCH_MAX: usize = 4 * 1024 * 1024;

/// Why there is no new listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotBegun {
    /// Somebody else listens to that subscription.
    Taken,
    /// [`LISTENERS_PER_KEY_MAX`] are the key's already.
    TooManyOfKey,
    /// [`LISTENERS_MAX`].
    TooMany,
}

/// There is no such listener (any more), or nothing of that number waits (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// What is sent, as a receiver would see it.
#[derive(Debug, Clone)]
pub struct Listened {
    /// Names it among all of this process; grows.
    pub number: u64,
    pub subject: Subject,
    /// Everything that goes out, with lower-case names; values of the subscription's own headers too.
    pub headers: Arc<[(String, String)]>,
    pub body: Bytes,
    /// When nobody waits for its answer any more.
    pub deadline: Instant,
}

/// What came of a request on the listener's machine.
#[derive(Debug)]
pub struct ListenerAnswer {
    /// A response, or why none came.
    pub came: Result<ListenerResponse, (ErrorClass, String)>,
    /// Between the two over there.
    pub took: Duration,
}

#[derive(Debug)]
pub struct ListenerResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Whether there was more of it.
    pub body_truncated: bool,
}

/// Everyone who listens, and what waits for them. Clones share it.
#[derive(Clone, Default)]
pub struct Listeners(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something was sent, a listener ended, or all of them are asked to say what they have.
    moved: Notify,
}

#[derive(Default)]
struct State {
    listeners: HashMap<ListenerId, Listener>,
    waiting: HashMap<SubscriptionId, BTreeMap<u64, Waiting>>,
    last_number: u64,
    /// Nobody is left to wait: the process ends.
    is_closing: bool,
}

struct Listener {
    subscription: SubscriptionId,
    actor: ActorId,
    /// How many fetches are open.
    fetching: usize,
    /// When the last one ended.
    seen: Instant,
}

impl Listener {
    fn has_lapsed(&self) -> bool {
        self.fetching == 0 && self.seen.elapsed() >= LISTENER_LAPSES_AFTER
    }
}

struct Waiting {
    listened: Listened,
    is_fetched: bool,
    answer: oneshot::Sender<ListenerAnswer>,
}

impl Listeners {
    /// A listener of its own for a subscription. Another one that has lapsed gives way.
    pub fn begin(&self, id: ListenerId, subscription: SubscriptionId, actor: ActorId) -> Result<(), NotBegun> {
        let mut state = self.state();
        state.listeners.retain(|_, listener| !(listener.subscription == subscription && listener.has_lapsed()));
        if state.listeners.values().any(|listener| listener.subscription == subscription) {
            return Err(NotBegun::Taken);
        }
        if state.listeners.values().filter(|listener| listener.actor == actor).count() >= LISTENERS_PER_KEY_MAX {
            return Err(NotBegun::TooManyOfKey);
        }
        if state.listeners.len() >= LISTENERS_MAX {
            return Err(NotBegun::TooMany);
        }
        state.listeners.insert(id, Listener { subscription, actor, fetching: 0, seen: Instant::now() });
        Ok(())
    }

    /// Whose deliveries it gets.
    pub fn subscription(&self, id: ListenerId) -> Option<SubscriptionId> {
        self.state().listeners.get(&id).map(|listener| listener.subscription)
    }

    /// What waits and has a greater number, oldest first; when there is nothing, what comes within the time. The same
    /// question again has the same answer: an answer that was lost on its way costs nothing.
    pub async fn fetch(&self, id: ListenerId, after: u64, wait: Duration) -> Result<Vec<Listened>, Gone> {
        let deadline = Instant::now() + wait;
        let _fetching = Fetching::begin(self, id)?;
        loop {
            let moved = self.0.moved.notified();
            tokio::pin!(moved);
            // Before the look, so that what comes in between is not missed.
            moved.as_mut().enable();
            let found = self.state().take_after(id, after)?;
            if !found.is_empty() || self.state().is_closing || timeout_at(deadline, moved).await.is_err() {
                return Ok(found);
            }
        }
    }

    /// Hands over what came of a request.
    pub fn answer(&self, id: ListenerId, number: u64, answer: ListenerAnswer) -> Result<(), Gone> {
        let mut state = self.state();
        let subscription = state.listeners.get(&id).ok_or(Gone)?.subscription;
        let waiting = state.waiting.get_mut(&subscription).and_then(|waiting| waiting.remove(&number)).ok_or(Gone)?;
        // Whoever waited may be gone since a moment.
        waiting.answer.send(answer).map_err(|_| Gone)
    }

    /// Ends a listener. What waits for its subscription has failed: nobody is there who could receive it.
    pub fn end(&self, id: ListenerId) -> Option<SubscriptionId> {
        let mut state = self.state();
        let Listener { subscription, .. } = state.listeners.remove(&id)?;
        state.waiting.remove(&subscription);
        drop(state);
        self.0.moved.notify_waiters();
        Some(subscription)
    }

    /// Whether it has not asked for [`LISTENER_LAPSES_AFTER`]; one that ended has, too.
    pub fn has_lapsed(&self, id: ListenerId) -> bool {
        self.state().listeners.get(&id).is_none_or(Listener::has_lapsed)
    }

    /// From now on nobody who fetches has to wait: the end of the process would wait for them.
    pub fn close(&self) {
        self.state().is_closing = true;
        self.0.moved.notify_waiters();
    }

    /// Waits for the answer of whoever listens.
    pub(super) async fn deliver(
        &self,
        subscription: SubscriptionId,
        subject: Subject,
        headers: Vec<(String, String)>,
        body: Bytes,
        deadline: Instant,
    ) -> Result<ListenerAnswer, Failure> {
        let (answer, answered) = oneshot::channel();
        let waiting = self.state().put(subscription, subject, headers, body, deadline, answer)?;
        let number = waiting.number;
        let _waiting = Place { listeners: self, subscription, number };
        self.0.moved.notify_waiters();
        match timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            // It was dropped: the listener ended.
            Ok(Err(_)) => Err(nobody_listens()),
            Err(_) if self.state().is_fetched(subscription, number) => {
                Err(Failure::timeout("waiting for what the listener's machine answers"))
            }
            Err(_) => Err(nobody_listens()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nobody_listens() -> Failure {
    Failure::new(ErrorClass::Connect, "nobody listens: `waxwing listen` receives what is sent here")
}

impl State {
    fn put(
        &mut self,
        subscription: SubscriptionId,
        subject: Subject,
        headers: Vec<(String, String)>,
        body: Bytes,
        deadline: Instant,
        answer: oneshot::Sender<ListenerAnswer>,
    ) -> Result<Listened, Failure> {
        if !self.listeners.values().any(|listener| listener.subscription == subscription) {
            return Err(nobody_listens());
        }
        self.last_number += 1;
        let listened = Listened { number: self.last_number, subject, headers: headers.into(), body, deadline };
        let waiting = Waiting { listened: listened.clone(), is_fetched: false, answer };
        self.waiting.entry(subscription).or_default().insert(self.last_number, waiting);
        Ok(listened)
    }

    fn take_after(&mut self, id: ListenerId, after: u64) -> Result<Vec<Listened>, Gone> {
        let subscription = self.listeners.get(&id).ok_or(Gone)?.subscription;
        let (mut found, mut bytes) = (Vec::new(), 0);
        let waiting = self.waiting.get_mut(&subscription);
        let waiting = waiting.into_iter().flat_map(|waiting| waiting.range_mut(after.saturating_add(1)..));
        for (_, waiting) in waiting.take(REQUESTS_PER_FETCH_MAX) {
            bytes += waiting.listened.body.len();
            if bytes > BODY_BYTES_PER_FETCH_MAX && !found.is_empty() {
                break;
            }
            waiting.is_fetched = true;
            found.push(waiting.listened.clone());
        }
        Ok(found)
    }

    fn is_fetched(&self, subscription: SubscriptionId, number: u64) -> bool {
        let waiting = self.waiting.get(&subscription).and_then(|waiting| waiting.get(&number));
        waiting.is_some_and(|waiting| waiting.is_fetched)
    }
}

/// A request that waits; nothing of it stays when nobody does.
struct Place<'a> {
    listeners: &'a Listeners,
    subscription: SubscriptionId,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.listeners.state();
        if let Some(waiting) = state.waiting.get_mut(&self.subscription) {
            waiting.remove(&self.number);
            if waiting.is_empty() {
                state.waiting.remove(&self.subscription);
            }
        }
    }
}

/// An open fetch: its listener is there.
struct Fetching<'a> {
    listeners: &'a Listeners,
    id: ListenerId,
}

impl<'a> Fetching<'a> {
    fn begin(listeners: &'a Listeners, id: ListenerId) -> Result<Self, Gone> {
        listeners.state().listeners.get_mut(&id).ok_or(Gone)?.fetching += 1;
        Ok(Self { listeners, id })
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        if let Some(listener) = self.listeners.state().listeners.get_mut(&self.id) {
            listener.fetching -= 1;
            listener.seen = Instant::now();
        }
    }
}

impl ListenerResponse {
    /// What is kept of it, within the bounds of any response.
    pub(super) fn within_bounds(self) -> (Head, Bytes, bool) {
        let Self { status, headers, body, body_truncated } = self;
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let headers = super::response::kept_headers(pairs);
        let is_longer = body.len() > RESPONSE_BODY_BYTES_MAX;
        let body = body.slice(..body.len().min(RESPONSE_BODY_BYTES_MAX));
        (Head { status, headers }, body, body_truncated || is_longer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{DeliveryId, EventId, KeyId};

    const SUBSCRIPTION: SubscriptionId = SubscriptionId::from_u128(1);
    const LISTENER: ListenerId = ListenerId::from_u128(1);
    const TIMEOUT: Duration = Duration::from_secs(15);

    fn begin(listeners: &Listeners, id: u128, subscription: u128, key: u128) -> Result<(), NotBegun> {
        let actor = KeyId::from_u128(key).into();
        listeners.begin(ListenerId::from_u128(id), SubscriptionId::from_u128(subscription), actor)
    }

    /// Sends a body of so many bytes, and answers what it came to.
    async fn send(listeners: Listeners, bytes: usize) -> Result<u16, String> {
        let subject = Subject {
            event: EventId::from_u128(1),
            event_type: "order.paid".parse().unwrap(),
            delivery: DeliveryId::from_u128(1),
            attempt: 1,
        };
        let (body, deadline) = (Bytes::from(vec![0; bytes]), Instant::now() + TIMEOUT);
        let answered = listeners.deliver(SUBSCRIPTION, subject, Vec::new(), body, deadline).await;
        let answer = answered.map_err(|failure| format!("{}: {}", failure.class.name(), failure.detail))?;
        answer.came.map(|response| response.status).map_err(|(class, _)| class.name().to_owned())
    }

    fn accepted() -> ListenerAnswer {
        let response = ListenerResponse { status: 204, headers: Vec::new(), body: Bytes::new(), body_truncated: false };
        ListenerAnswer { came: Ok(response), took: Duration::ZERO }
    }

    fn numbers(fetched: &[Listened]) -> Vec<u64> {
        fetched.iter().map(|listened| listened.number).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken_by_what_is_sent_and_who_sent_it_by_the_answer() {
        let listeners = Listeners::default();
        begin(&listeners, 1, 1, 1).unwrap();
        let waiting = tokio::spawn({
            let listeners = listeners.clone();
            async move { listeners.fetch(LISTENER, 0, TIMEOUT).await.unwrap() }
        });
        tokio::task::yield_now().await;
        let sent = tokio::spawn(send(listeners.clone(), 1));
        assert_eq!(numbers(&waiting.await.unwrap()), [1]);
        listeners.answer(LISTENER, 1, accepted()).unwrap();
        assert_eq!(listeners.answer(LISTENER, 1, accepted()), Err(Gone));
        assert_eq!(sent.await.unwrap(), Ok(204));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_answers_fails_by_who_is_to_blame() {
        let nobody = "connect: nobody listens: `waxwing listen` receives what is sent here";
        let listeners = Listeners::default();
        assert_eq!(send(listeners.clone(), 1).await, Err(nobody.to_owned()), "nobody is there");
        begin(&listeners, 1, 1, 1).unwrap();
        assert_eq!(send(listeners.clone(), 1).await, Err(nobody.to_owned()), "nobody fetched it");
        let sent = tokio::spawn(send(listeners.clone(), 1));
        assert_eq!(listeners.fetch(LISTENER, 0, TIMEOUT).await.unwrap().len(), 1);
        let late = "timeout: no time left while waiting for what the listener's machine answers";
        assert_eq!(sent.await.unwrap(), Err(late.to_owned()), "it was fetched and not answered");
        let sent = tokio::spawn(send(listeners.clone(), 1));
        listeners.fetch(LISTENER, 0, TIMEOUT).await.unwrap();
        assert_eq!(listeners.end(LISTENER), Some(SUBSCRIPTION));
        assert_eq!(sent.await.unwrap(), Err(nobody.to_owned()), "the listener ended");
        assert!(listeners.state().waiting.is_empty(), "nothing of them is left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_takes_so_much_and_the_next_one_the_rest() {
        let listeners = Listeners::default();
        begin(&listeners, 1, 1, 1).unwrap();
        let third = BODY_BYTES_PER_FETCH_MAX / 3;
        for bytes in [third, third, third, third, BODY_BYTES_PER_FETCH_MAX + 1] {
            tokio::spawn(send(listeners.clone(), bytes));
        }
        for _ in 0..REQUESTS_PER_FETCH_MAX + 1 {
            tokio::spawn(send(listeners.clone(), 0));
        }
        while listeners.state().last_number < 5 + REQUESTS_PER_FETCH_MAX as u64 + 1 {
            tokio::task::yield_now().await;
        }
        let (mut fetched, mut counts) = (Vec::<u64>::new(), Vec::new());
        for _ in 0..5 {
            let after = fetched.last().copied().unwrap_or(0);
            let next = numbers(&listeners.fetch(LISTENER, after, Duration::ZERO).await.unwrap());
            counts.push(next.len());
            fetched.extend(next);
        }
        assert_eq!(counts, [3, 1, 1, 100, 1]);
        assert_eq!(fetched, (1..=106).collect::<Vec<u64>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_does_not_ask_lapses_and_gives_way() {
        let listeners = Listeners::default();
        begin(&listeners, 1, 1, 1).unwrap();
        tokio::time::advance(LISTENER_LAPSES_AFTER - Duration::from_secs(1)).await;
        listeners.fetch(LISTENER, 0, TIMEOUT).await.unwrap();
        assert!(!listeners.has_lapsed(LISTENER));
        assert_eq!(begin(&listeners, 2, 1, 1), Err(NotBegun::Taken));
        tokio::time::advance(LISTENER_LAPSES_AFTER).await;
        assert!(listeners.has_lapsed(LISTENER));
        assert_eq!(begin(&listeners, 2, 1, 1), Ok(()));
        assert!(listeners.fetch(LISTENER, 0, TIMEOUT).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_and_the_instance_have_only_so_many() {
        let listeners = Listeners::default();
        for n in 0..LISTENERS_MAX as u128 {
            assert_eq!(begin(&listeners, n, n, n / LISTENERS_PER_KEY_MAX as u128), Ok(()));
        }
        assert_eq!(begin(&listeners, 100, 100, 0), Err(NotBegun::TooManyOfKey));
        assert_eq!(begin(&listeners, 100, 100, 100), Err(NotBegun::TooMany));
        listeners.end(LISTENER);
        assert_eq!(begin(&listeners, 100, 100, 100), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_once_it_is_over() {
        let listeners = Listeners::default();
        begin(&listeners, 1, 1, 1).unwrap();
        let begun = Instant::now();
        let waiting = tokio::spawn({
            let listeners = listeners.clone();
            async move { listeners.fetch(LISTENER, 0, TIMEOUT).await.unwrap().len() }
        });
        tokio::task::yield_now().await;
        listeners.close();
        assert_eq!((waiting.await.unwrap(), begun.elapsed()), (0, Duration::ZERO));
    }
}
