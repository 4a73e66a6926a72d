//! The built-in receiver at `https://test-receiver.invalid/<id>`: answers in the process and shows what came.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::broadcast;

/// Requests kept for one id.
const REQUESTS_PER_ID_MAX: usize = 100;
/// Ids with at least one kept request; the one that was quiet for longest makes room.
const IDS_MAX: usize = 1_000;
/// Bodies and headers kept, over all ids.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// Requests that a slow subscriber may lag behind before it misses some.
const LIVE_REQUESTS_MAX: usize = 64;

/// A request that the test receiver got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The URL's path without its first slash.
    pub id: Arc<str>,
    pub headers: Arc<[(String, String)]>,
    pub body: Bytes,
    /// Counts requests over all ids from 1.
    pub at_sequence: u64,
}

impl Received {
    fn bytes(&self) -> usize {
        self.body.len() + self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}

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
}

impl Default for TestReceiver {
    fn default() -> Self {
        Self { kept: Arc::default(), live: broadcast::channel(LIVE_REQUESTS_MAX).0 }
    }
}

impl TestReceiver {
    /// The last requests of an id, oldest first.
    pub fn received(&self, id: &str) -> Vec<Received> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_id.get(id).map(|requests| requests.iter().cloned().collect()).unwrap_or_default()
    }

    /// Everything that comes from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Received> {
        self.live.subscribe()
    }

    pub(super) fn receive(&self, id: &str, headers: &[(String, String)], body: Bytes) {
        let received = self.kept.lock().unwrap_or_else(PoisonError::into_inner).keep(id, headers, body);
        // Nobody watching is no failure.
        let _ = self.live.send(received);
    }
}

impl Kept {
    fn keep(&mut self, id: &str, headers: &[(String, String)], body: Bytes) -> Received {
        self.sequence += 1;
        let id = self.by_id.get_key_value(id).map_or_else(|| Arc::from(id), |(known, _)| Arc::clone(known));
        let received = Received { id: Arc::clone(&id), headers: headers.into(), body, at_sequence: self.sequence };
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
            let (_, quiet) = self.quiet.pop_first().expect("every id has a last request");
            while self.by_id.contains_key(&quiet) {
                self.forget_oldest_of(&quiet);
            }
        }
        while self.bytes > BYTES_MAX {
            let (_, oldest) = self.order.first_key_value().expect("bytes are only counted for kept requests");
            let oldest = Arc::clone(oldest);
            self.forget_oldest_of(&oldest);
        }
        received
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

#[cfg(test)]
mod tests {
    use super::*;

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
            receiver.receive("orders", &[], Bytes::from_static(b"{}"));
        }
        assert_eq!(sequences(&receiver, "orders"), (6..=105).collect::<Vec<u64>>());
        check_books(&receiver);
    }

    #[test]
    fn the_id_that_was_quiet_for_longest_makes_room_for_a_new_one() {
        let receiver = TestReceiver::default();
        for id in 0..IDS_MAX {
            receiver.receive(&id.to_string(), &[], Bytes::new());
        }
        receiver.receive("0", &[], Bytes::new());
        receiver.receive("new", &[], Bytes::new());
        assert_eq!(sequences(&receiver, "1"), [] as [u64; 0]);
        assert_eq!(sequences(&receiver, "0"), [1, 1001]);
        assert_eq!(sequences(&receiver, "new"), [1002]);
        check_books(&receiver);
    }

    #[test]
    fn large_bodies_push_out_the_oldest_ones() {
        let receiver = TestReceiver::default();
        let third = Bytes::from(vec![b' '; BYTES_MAX / 3]);
        for id in ["a", "b", "c", "d"] {
            receiver.receive(id, &[], third.clone());
        }
        assert_eq!(sequences(&receiver, "a"), [] as [u64; 0]);
        assert_eq!(sequences(&receiver, "b"), [2]);
        check_books(&receiver);
    }

    #[tokio::test]
    async fn a_subscriber_sees_what_comes() {
        let receiver = TestReceiver::default();
        let mut live = receiver.subscribe();
        receiver.receive("orders", &[("webhook-id".into(), "evt_1".into())], Bytes::from_static(b"{}"));
        assert_eq!(live.recv().await.unwrap(), receiver.received("orders")[0]);
    }
}
