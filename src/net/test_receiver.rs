//! The built-in receiver at `https://test-receiver.invalid/<id>`: answers in the process and shows what came.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::broadcast;

use crate::domain::id::SubscriptionId;
use crate::domain::time::Timestamp;

/// Requests kept for one id.
const REQUESTS_PER_ID_MAX: usize = 100;
/// Ids with at least one kept request; the one that was quiet for longest makes room.
const IDS_MAX: usize = 1_000;
/// Bodies and headers kept, over all ids.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// Requests that a slow subscriber may lag behind before it misses some.
const LIVE_REQUESTS_MAX: usize = 64;
/// Ids with a behaviour of their own.
pub const SWITCHES_MAX: u32 = 1_000;
/// What [`Behaviour::SlowDown`] asks for.
const SLOW_DOWN_SECONDS: u32 = 30;

/// A request that the test receiver got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The URL's path without its first slash.
    pub id: Arc<str>,
    /// Counts requests over all ids from 1.
    pub at_sequence: u64,
    pub received_at: Timestamp,
    /// Whose delivery it is.
    pub subscription: SubscriptionId,
    pub url: Arc<str>,
    pub headers: Arc<[(String, String)]>,
    pub body: Bytes,
    /// What it was answered; none: nothing at all.
    pub response_status: Option<u16>,
}

impl Received {
    fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.body.len() + self.url.len() + headers
    }
}

/// What a receiver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// 200.
    #[default]
    Accept,
    /// 500.
    Fail,
    /// Nothing, until the sender's time is over.
    Hang,
    /// 410, which disables the subscription.
    Gone,
    /// 429 with `Retry-After`.
    SlowDown,
}

impl Behaviour {
    pub const ALL: [Self; 5] = [Self::Accept, Self::Fail, Self::Hang, Self::Gone, Self::SlowDown];

    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Fail => "fail",
            Self::Hang => "hang",
            Self::Gone => "gone",
            Self::SlowDown => "slow_down",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|behaviour| behaviour.name() == name)
    }

    fn status(self) -> Option<u16> {
        match self {
            Self::Accept => Some(200),
            Self::Fail => Some(500),
            Self::Hang => None,
            Self::Gone => Some(410),
            Self::SlowDown => Some(429),
        }
    }
}

/// What is sent back.
pub(super) struct TestReply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

/// A request as it comes; its headers come beside it.
pub(super) struct Came<'a> {
    pub(super) at: Timestamp,
    pub(super) subscription: SubscriptionId,
    pub(super) url: &'a str,
    pub(super) body: Bytes,
}

/// One id of the test receiver, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    pub id: Arc<str>,
    pub behaviour: Behaviour,
    pub requests: usize,
    pub last_received_at: Option<Timestamp>,
}

/// [`SWITCHES_MAX`] other ids have a behaviour of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyReceivers;

/// Keeps what it got in memory, within bounds. Clones share it.
#[derive(Debug, Clone)]
pub struct TestReceiver {
    kept: Arc<Mutex<Kept>>,
    live: broadcast::Sender<Received>,
}

#[derive(Debug, Default)]
struct Kept {
    by_id: HashMap<Arc<str>, VecDeque<Received>>,
    /// The id of each kept request, oldest request first.
    order: BTreeMap<u64, Arc<str>>,
    /// The id of each last request, so that the first one was quiet for longest.
    quiet: BTreeMap<u64, Arc<str>>,
    bytes: usize,
    sequence: u64,
    /// Of ids that do not just accept.
    behaviours: BTreeMap<Arc<str>, Behaviour>,
}

impl Default for TestReceiver {
    fn default() -> Self {
        Self { kept: Arc::default(), live: broadcast::channel(LIVE_REQUESTS_MAX).0 }
    }
}

impl TestReceiver {
    /// The last requests of an id, oldest first.
    pub fn received(&self, id: &str) -> Vec<Received> {
        let kept = self.kept();
        kept.by_id.get(id).map(|requests| requests.iter().cloned().collect()).unwrap_or_default()
    }

    /// At most `count` of the kept requests, of one id or of all, with sequence numbers in `range`: the newest ones, newest
    /// first; or, with `from_oldest`, the oldest ones, oldest first.
    pub fn requests(&self, id: Option<&str>, range: Range<u64>, from_oldest: bool, count: usize) -> Vec<Received> {
        let kept = self.kept();
        if range.is_empty() {
            return Vec::new();
        }
        let is_wanted = |(_, known): &(&u64, &Arc<str>)| id.is_none_or(|id| known.as_ref() == id);
        let found = kept.order.range(range).filter(is_wanted);
        let request = |(sequence, id): (&u64, &Arc<str>)| {
            let requests = kept.by_id.get(id).expect("what is in the order is kept");
            let place = requests.binary_search_by_key(sequence, |request| request.at_sequence);
            requests[place.expect("what is in the order is kept")].clone()
        };
        if from_oldest {
            found.take(count).map(request).collect()
        } else {
            found.rev().take(count).map(request).collect()
        }
    }

    /// Every id that has a kept request or a behaviour of its own, by name.
    pub fn receivers(&self) -> Vec<Receiver> {
        let kept = self.kept();
        let ids: BTreeSet<&Arc<str>> = kept.by_id.keys().chain(kept.behaviours.keys()).collect();
        ids.into_iter().map(|id| kept.receiver(id)).collect()
    }

    /// Any id is one, also when nothing came to it yet.
    pub fn receiver(&self, id: &str) -> Receiver {
        self.kept().receiver(id)
    }

    /// From the next request on.
    pub fn behave(&self, id: &str, behaviour: Behaviour) -> Result<Receiver, TooManyReceivers> {
        let mut kept = self.kept();
        if behaviour == Behaviour::Accept {
            kept.behaviours.remove(id);
        } else if kept.behaviours.len() < SWITCHES_MAX as usize || kept.behaviours.contains_key(id) {
            kept.behaviours.insert(id.into(), behaviour);
        } else {
            return Err(TooManyReceivers);
        }
        Ok(kept.receiver(id))
    }

    /// Its requests, and how it behaves.
    pub fn forget(&self, id: &str) {
        let mut kept = self.kept();
        kept.behaviours.remove(id);
        kept.forget_all_of(&id.into());
    }

    /// Everything that comes from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Received> {
        self.live.subscribe()
    }

    /// None: the sender is left to wait.
    pub(super) fn receive(&self, came: Came<'_>, headers: &[(String, String)]) -> Option<TestReply> {
        let (received, reply) = self.kept().take(came, headers);
        // Nobody watching is no failure.
        let _ = self.live.send(received);
        reply
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reply(behaviour: Behaviour) -> Option<TestReply> {
    let status = behaviour.status()?;
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    if behaviour == Behaviour::SlowDown {
        headers.push(("retry-after".to_owned(), SLOW_DOWN_SECONDS.to_string()));
    }
    let body: &[u8] = if status == 200 { br#"{"received":true}"# } else { br#"{"received":false}"# };
    Some(TestReply { status, headers, body: Bytes::from_static(body) })
}

impl Kept {
    fn receiver(&self, id: &str) -> Receiver {
        let requests = self.by_id.get_key_value(id);
        let known = requests.map(|(known, _)| known).or(self.behaviours.get_key_value(id).map(|(known, _)| known));
        Receiver {
            id: known.map_or_else(|| Arc::from(id), Arc::clone),
            behaviour: self.behaviours.get(id).copied().unwrap_or_default(),
            requests: requests.map_or(0, |(_, requests)| requests.len()),
            last_received_at: requests.and_then(|(_, requests)| requests.back()).map(|request| request.received_at),
        }
    }

    /// Keeps a request, and answers it as its id behaves.
    fn take(&mut self, came: Came<'_>, headers: &[(String, String)]) -> (Received, Option<TestReply>) {
        self.sequence += 1;
        let Came { at, subscription, url, body } = came;
        let id = id_of(url);
        let behaviour = self.behaviours.get(id).copied().unwrap_or_default();
        let id = self.by_id.get_key_value(id).map_or_else(|| Arc::from(id), |(known, _)| Arc::clone(known));
        let received = Received {
            id: Arc::clone(&id),
            at_sequence: self.sequence,
            received_at: at,
            subscription,
            url: url.into(),
            headers: headers.into(),
            body,
            response_status: behaviour.status(),
        };
        let requests = self.by_id.entry(Arc::clone(&id)).or_default();
        if let Some(last) = requests.back() {
            self.quiet.remove(&last.at_sequence);
        }
        requests.push_back(received.clone());
        let is_full = requests.len() > REQUESTS_PER_ID_MAX;
        self.order.insert(self.sequence, Arc::clone(&id));
        self.quiet.insert(self.sequence, Arc::clone(&id));
        self.bytes += received.bytes();
        if is_full {
            self.forget_oldest_of(&id);
        }
        while self.by_id.len() > IDS_MAX {
            let (_, quiet) = self.quiet.first_key_value().expect("every id has a last request");
            let quiet = Arc::clone(quiet);
            self.forget_all_of(&quiet);
        }
        while self.bytes > BYTES_MAX {
            let (_, oldest) = self.order.first_key_value().expect("bytes are only counted for kept requests");
            let oldest = Arc::clone(oldest);
            self.forget_oldest_of(&oldest);
        }
        (received, reply(behaviour))
    }

    fn forget_all_of(&mut self, id: &Arc<str>) {
        while self.by_id.contains_key(id) {
            self.forget_oldest_of(id);
        }
    }

    fn forget_oldest_of(&mut self, id: &Arc<str>) {
        let Some(requests) = self.by_id.get_mut(id) else { return };
        if let Some(oldest) = requests.pop_front() {
            self.order.remove(&oldest.at_sequence);
            self.bytes -= oldest.bytes();
            if requests.is_empty() {
                self.quiet.remove(&oldest.at_sequence);
            }
        }
        if requests.is_empty() {
            self.by_id.remove(id);
        }
    }
}

/// The path without its first slash.
fn id_of(url: &str) -> &str {
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    path.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(receiver: &TestReceiver, id: &str, body: Bytes) -> Option<u16> {
        let url = format!("https://test-receiver.invalid/{id}?a=b");
        let came = Came { at: Timestamp::from_millis(5), subscription: SubscriptionId::from_u128(1), url: &url, body };
        receiver.receive(came, &[("webhook-id".into(), "evt_1".into())]).map(|reply| reply.status)
    }

    fn sequences(receiver: &TestReceiver, id: &str) -> Vec<u64> {
        receiver.received(id).iter().map(|received| received.at_sequence).collect()
    }

    fn check_books(receiver: &TestReceiver) {
        let kept = receiver.kept.lock().unwrap();
        let all: Vec<&Received> = kept.by_id.values().flatten().collect();
        assert_eq!(kept.order.len(), all.len());
        assert_eq!(kept.quiet.len(), kept.by_id.len());
        assert_eq!(kept.bytes, all.iter().map(|received| received.bytes()).sum::<usize>());
    }

    #[test]
    fn an_id_keeps_its_last_hundred_requests() {
        let receiver = TestReceiver::default();
        for _ in 0..REQUESTS_PER_ID_MAX + 5 {
            receive(&receiver, "orders", Bytes::from_static(b"{}"));
        }
        assert_eq!(sequences(&receiver, "orders"), (6..=105).collect::<Vec<u64>>());
        check_books(&receiver);
    }

    #[test]
    fn the_id_that_was_quiet_for_longest_makes_room_for_a_new_one() {
        let receiver = TestReceiver::default();
        for id in 0..IDS_MAX {
            receive(&receiver, &id.to_string(), Bytes::new());
        }
        receive(&receiver, "0", Bytes::new());
        receive(&receiver, "new", Bytes::new());
        assert_eq!(sequences(&receiver, "1"), [] as [u64; 0]);
        assert_eq!(sequences(&receiver, "0"), [1, 1001]);
        assert_eq!(sequences(&receiver, "new"), [1002]);
        check_books(&receiver);
    }

    #[test]
    fn large_bodies_push_out_the_oldest_ones() {
        let receiver = TestReceiver::default();
        // Three of them and their headers fit.
        let third = Bytes::from(vec![b' '; BYTES_MAX / 3 - 1024]);
        for id in ["a", "b", "c", "d"] {
            receive(&receiver, id, third.clone());
        }
        assert_eq!(sequences(&receiver, "a"), [] as [u64; 0]);
        assert_eq!(sequences(&receiver, "b"), [2]);
        check_books(&receiver);
    }

    #[test]
    fn an_id_answers_as_it_was_told_to() {
        let receiver = TestReceiver::default();
        let statuses = Behaviour::ALL.map(|behaviour| {
            receiver.behave("orders", behaviour).unwrap();
            assert_eq!(Behaviour::from_name(behaviour.name()), Some(behaviour));
            let status = receive(&receiver, "orders", Bytes::new());
            assert_eq!(receiver.received("orders").last().unwrap().response_status, status);
            assert_eq!(receive(&receiver, "others", Bytes::new()), Some(200));
            status
        });
        assert_eq!(statuses, [Some(200), Some(500), None, Some(410), Some(429)]);
        assert_eq!(receiver.receiver("orders").behaviour, Behaviour::SlowDown);
        receiver.forget("orders");
        assert_eq!(receiver.received("orders"), []);
        assert_eq!(receive(&receiver, "orders", Bytes::new()), Some(200));
        check_books(&receiver);
    }

    #[test]
    fn only_so_many_ids_behave_in_their_own_way() {
        let receiver = TestReceiver::default();
        for id in 0..SWITCHES_MAX {
            receiver.behave(&id.to_string(), Behaviour::Fail).unwrap();
        }
        assert_eq!(receiver.behave("new", Behaviour::Hang), Err(TooManyReceivers));
        receiver.behave("0", Behaviour::Hang).unwrap();
        receiver.behave("0", Behaviour::Accept).unwrap();
        receiver.behave("new", Behaviour::Hang).unwrap();
        assert_eq!(receiver.receivers().len(), SWITCHES_MAX as usize);
    }

    #[test]
    fn requests_are_found_from_both_ends() {
        let receiver = TestReceiver::default();
        for id in ["a", "b", "a", "a"] {
            receive(&receiver, id, Bytes::new());
        }
        for (id, range, from_oldest, count, expected) in [
            (None, 0..u64::MAX, false, 9, vec![4, 3, 2, 1]),
            (None, 0..u64::MAX, false, 2, vec![4, 3]),
            (None, 0..3, false, 1, vec![2]),
            (None, 2..u64::MAX, true, 2, vec![2, 3]),
            (Some("a"), 0..u64::MAX, false, 9, vec![4, 3, 1]),
            (Some("a"), 2..2, false, 9, vec![]),
            (Some("c"), 0..u64::MAX, false, 9, vec![]),
        ] {
            let found = receiver.requests(id, range.clone(), from_oldest, count);
            let found: Vec<u64> = found.iter().map(|request| request.at_sequence).collect();
            assert_eq!(found, expected, "{id:?} {range:?}");
        }
    }

    #[tokio::test]
    async fn a_subscriber_sees_what_comes() {
        let receiver = TestReceiver::default();
        let mut live = receiver.subscribe();
        receive(&receiver, "orders", Bytes::from_static(b"{}"));
        assert_eq!(live.recv().await.unwrap(), receiver.received("orders")[0]);
    }
}
