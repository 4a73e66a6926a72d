//! Traces for a collector of the operator's: what was published, and each attempt to deliver it.
//!
//! They are made of what the feed tells every viewer, so that neither publishing nor delivering knows of them. What comes
//! faster than it can be sent is forgotten, and counted.

mod otlp;

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, warn};
use url::{Host, Url};

use crate::dispatch::feed::{Feed, Item, Shown, Viewer, What};
use crate::domain::id::EventId;
use crate::net::{self, Resolver};
use otlp::Span;

/// How often spans are sent, unless a batch is full before.
const SEND_EVERY: Duration = Duration::from_secs(5);
/// Spans of one request: about 400 KiB.
const BATCH_MAX: usize = 512;
/// Spans that wait while the collector takes none: about 6 MiB.
const WAITING_MAX: usize = 8192;
/// One request, from the name to the answer.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// After a failure; twice as long after each further one …
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// … up to this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// What is sent at the end of the process.
const LAST_BATCHES_MAX: usize = 4;
/// A delivery that was made longer than this after its event was asked for by somebody: the event is not new.
const MADE_WITH_EVENT_WITHIN: Duration = Duration::from_secs(1);

/// Sends what the feed tells.
pub struct Exporter {
    /// With `/v1/traces` at its end.
    url: Url,
    resolver: Resolver,
    viewer: Viewer,
    waiting: Vec<Span>,
    forgotten: u64,
    /// Of which the span is made already, as far as it was the last one.
    newest_event: Option<EventId>,
    retry: Option<Retry>,
}

struct Retry {
    at: Instant,
    failures: u32,
}

impl Exporter {
    /// `endpoint` is the collector, without `/v1/traces`.
    pub fn begin(endpoint: &Url, resolver: Resolver, feed: &Feed) -> Self {
        let mut url = endpoint.clone();
        url.set_path(&format!("{}/v1/traces", endpoint.path().trim_end_matches('/')));
        let viewer = feed.watch(None);
        Self { url, resolver, viewer, waiting: Vec::new(), forgotten: 0, newest_event: None, retry: None }
    }

    /// Until the feed ends.
    pub async fn keep(mut self) {
        let mut ticks = tokio::time::interval(SEND_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                shown = self.viewer.next() => match shown {
                    Some(Shown::Items(items)) => {
                        for item in items {
                            self.take(&item);
                        }
                        if self.waiting.len() >= BATCH_MAX {
                            self.send().await;
                        }
                    }
                    Some(Shown::Gap { up_to: _ }) => {
                        debug!("what happened came faster than traces could be made of it");
                        self.newest_event = None;
                    }
                    None => break,
                },
                _ = ticks.tick() => self.send().await,
            }
        }
        self.retry = None;
        for _ in 0..LAST_BATCHES_MAX {
            if self.waiting.is_empty() || self.retry.is_some() {
                break;
            }
            self.send().await;
        }
    }

    fn take(&mut self, item: &Item) {
        match &item.what {
            What::Created(shown) => {
                let is_new = self.newest_event.replace(shown.event) != Some(shown.event);
                let waited = shown.delivery.assigned_at().since(shown.event.assigned_at());
                if is_new && waited <= MADE_WITH_EVENT_WITHIN {
                    self.put(Span::publish(item, shown));
                }
            }
            What::Attempted(shown, attempt) => self.put(Span::attempt(item, shown, attempt)),
            What::Changed(_) | What::Subscription { .. } => {}
        }
    }

    fn put(&mut self, span: Span) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(span);
        } else {
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }

    /// One batch, when there is one and its time has come.
    async fn send(&mut self) {
        if self.waiting.is_empty() || self.retry.as_ref().is_some_and(|retry| Instant::now() < retry.at) {
            return;
        }
        let batch = self.waiting.len().min(BATCH_MAX);
        let body = otlp::request(&self.waiting[..batch]).to_string();
        let posted = tokio::time::timeout(REQUEST_TIME_MAX, self.post(body)).await;
        match posted.unwrap_or_else(|_| Err(format!("no answer in {} s", REQUEST_TIME_MAX.as_secs()))) {
            Ok(()) => {
                self.waiting.drain(..batch);
                self.retry = None;
                let forgotten = std::mem::take(&mut self.forgotten);
                if forgotten > 0 {
                    warn!(forgotten, "the collector takes traces again; some were forgotten");
                }
            }
            Err(error) => {
                let failures = self.retry.as_ref().map_or(0, |retry| retry.failures);
                let pause = RETRY_AFTER.saturating_mul(1 << failures.min(10)).min(RETRY_AFTER_MAX);
                warn!(error, waiting = self.waiting.len(), forgotten = self.forgotten, again_in = ?pause, "traces cannot be sent");
                self.retry = Some(Retry { at: Instant::now() + pause, failures: failures + 1 });
            }
        }
    }

    async fn post(&self, body: String) -> Result<(), String> {
        let addresses = match self.url.host() {
            Some(Host::Ipv4(ip)) => vec![ip.into()],
            Some(Host::Ipv6(ip)) => vec![ip.into()],
            Some(Host::Domain(name)) => self.resolver.addresses(name).await.map_err(|error| error.to_string())?,
            None => return Err("the address has no host".to_owned()),
        };
        let status = net::post_json(&self.url, &addresses, body).await.map_err(|error| error.to_string())?;
        if (200..300).contains(&status) { Ok(()) } else { Err(format!("the collector answered {status}")) }
    }
}
