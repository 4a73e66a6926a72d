//! Mail to the operator about what Waxwing itself has to say.
//!
//! The events of tenant `system` are the queue: they are read as they come and gathered by kind, and of each kind a mail
//! goes at most as often as the setting says. A mail server that is down holds up nothing but mail. What was gathered and
//! not sent is forgotten at the end of the process: who must not miss anything subscribes to the events.

mod digest;
mod smtp;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use digest::{Digest, Line};
pub use smtp::SendError;

use crate::clock::Clock;
use crate::domain::base_url::BaseUrl;
use crate::domain::id::{EventId, TenantId};
use crate::domain::mail::{MailRoute, StoredMail};
use crate::domain::time::Timestamp;
use crate::store::{EventFilter, From, Store, StoreError, Walk};

/// How often it is looked whether there is something new.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Events of one look: what is beyond is read at the next one.
const EVENTS_PER_LOOK: usize = 1000;
const EVENTS_PER_PAGE: usize = 100;
/// After a failure; twice as long after each further one …
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// … up to this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// A text with its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Unlike that of any other mail, in letters that a header takes.
    id: String,
    subject: String,
    text: String,
}

/// Sends what there is to say, for as long as it is kept.
pub struct Mailer {
    store: Store,
    clock: Clock,
    /// What links begin with, unless `console.url` is stored.
    public_url: Option<BaseUrl>,
    /// The newest event that was read.
    read_up_to: EventId,
    /// By event type: there are as many as Waxwing has kinds of news.
    digests: BTreeMap<String, Digest>,
    retry: Option<Retry>,
}

struct Retry {
    at: Timestamp,
    failures: u32,
    /// By which it failed: another one is tried at once.
    route: MailRoute,
}

impl Mailer {
    /// From the events that come from now on.
    pub fn begin(store: Store, clock: Clock, public_url: Option<BaseUrl>) -> Result<Self, StoreError> {
        let walk = Walk { from: From::Newest, size: 1 };
        let newest = store.events(TenantId::SYSTEM, &EventFilter::default(), walk)?;
        let read_up_to = newest.rows.first().map_or(EventId::from_u128(0), |event| event.id);
        Ok(Self { store, clock, public_url, read_up_to, digests: BTreeMap::new(), retry: None })
    }

    pub async fn keep(mut self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look().await;
        }
    }

    /// Gathers what is new, and sends what may go.
    pub async fn look(&mut self) {
        let lines = match self.read_news().await {
            Ok(lines) => lines,
            Err(error) => {
                warn!(%error, "news for mail cannot be read; the next try comes soon");
                return;
            }
        };
        let catalogue = self.store.catalogue();
        let settings = catalogue.settings();
        let Some(route) = settings.mail.route() else {
            self.digests.clear();
            self.retry = None;
            return;
        };
        for (kind, line) in lines {
            self.digests.entry(kind).or_default().take(line);
        }
        let instance = settings.console_url.as_ref().or(self.public_url.as_ref()).cloned();
        self.send(&route, &settings.mail, instance.as_ref().map(BaseUrl::as_str)).await;
    }

    async fn send(&mut self, route: &MailRoute, settings: &StoredMail, instance: Option<&str>) {
        let now = self.clock.now();
        self.retry.take_if(|retry| retry.route != *route);
        if self.retry.as_ref().is_some_and(|retry| now < retry.at) {
            return;
        }
        let mut failed = None;
        for (kind, digest) in &mut self.digests {
            let Some(mail) = digest.due(kind, settings.pause(), now, instance) else { continue };
            match smtp::send(route, &mail, now).await {
                Ok(()) => {
                    info!(kind, events = digest.count(), "news went by mail");
                    digest.sent(now);
                    self.retry = None;
                }
                Err(error) => {
                    let failures = self.retry.as_ref().map_or(0, |retry| retry.failures);
                    let pause = RETRY_AFTER.saturating_mul(1 << failures.min(10)).min(RETRY_AFTER_MAX);
                    let (waiting, left_out) = (digest.count(), digest.left_out());
                    warn!(%error, kind, waiting, left_out, again_in = ?pause, "mail cannot be sent");
                    failed = Some(Retry { at: now.plus(pause), failures: failures + 1, route: route.clone() });
                    if error.is_of_message {
                        digest.refused();
                    } else {
                        // The server is the same for all kinds.
                        break;
                    }
                }
            }
        }
        if failed.is_some() {
            self.retry = failed;
        }
    }

    /// What came since the last look, the oldest first.
    async fn read_news(&mut self) -> Result<Vec<(String, Line)>, StoreError> {
        let (store, from) = (self.store.clone(), self.read_up_to);
        let read = move || {
            let (mut news, mut last) = (Vec::new(), from);
            while news.len() < EVENTS_PER_LOOK {
                let walk = Walk { from: From::Before(last), size: EVENTS_PER_PAGE };
                let page = store.events(TenantId::SYSTEM, &EventFilter::default(), walk)?;
                let Some(newest) = page.rows.first() else { break };
                last = newest.id;
                for event in page.rows.into_iter().rev() {
                    let data = store.event_data(event.id)?.unwrap_or_default();
                    let line = Line { id: event.id, at: event.occurred_at, data };
                    news.push((event.event_type.to_string(), line));
                }
            }
            Ok((news, last))
        };
        let read = tokio::task::spawn_blocking(read).await;
        let (news, last) = read.unwrap_or_else(|failure| Err(StoreError::Unavailable(failure.to_string())))?;
        self.read_up_to = last;
        Ok(news)
    }
}

/// Sends a mail that says nothing but that mail arrives.
pub async fn send_test(route: &MailRoute, now: Timestamp) -> Result<(), SendError> {
    let mail = Mail {
        id: format!("test.{}", now.as_millis()),
        subject: "[Waxwing] A test".to_owned(),
        text:
            "Mail from Waxwing arrives here. Somebody asked for this one in the settings of the console, or by API.\n"
                .to_owned(),
    };
    smtp::send(route, &mail, now).await
}
