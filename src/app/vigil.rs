//! What nobody asks about, and the operator should hear of: certificates that nobody renews, and a clock that was set.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::clock::{Clock, Jump};
use crate::dispatch::Dispatch;
use crate::domain::operational::{News, certificate_news};
use crate::http::{Certificates, Expiry};
use crate::store::Store;

/// The clock is told of at most so often, with its last jump.
const LOOK_EVERY: Duration = Duration::from_secs(60);

pub struct Vigil {
    store: Store,
    dispatch: Dispatch,
    clock: Clock,
    certificates: Option<Arc<Certificates>>,
    told_jump: Option<Jump>,
    /// The last of each domain.
    told_certificates: BTreeMap<Option<String>, News>,
}

impl Vigil {
    pub fn new(store: Store, dispatch: Dispatch, clock: Clock, certificates: Option<Arc<Certificates>>) -> Self {
        Self { store, dispatch, clock, certificates, told_jump: None, told_certificates: BTreeMap::new() }
    }

    /// Looks until it is dropped.
    pub async fn keep(mut self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look().await;
        }
    }

    /// Tells tenant `system` what is new since the last look.
    pub async fn look(&mut self) {
        let jump = self.dispatch.clock().jump;
        if jump != self.told_jump
            && let Some(Jump { at, by_millis }) = jump
            && self.tell(News::ClockJumped { noticed_at: at, by_millis }).await
        {
            self.told_jump = jump;
        }
        let now = self.clock.now();
        for Expiry { domain, begins, at } in self.certificates.iter().flat_map(|certificates| certificates.expiries()) {
            let Some(news) = certificate_news(domain.as_deref(), begins, at, now) else { continue };
            if self.told_certificates.get(&domain) != Some(&news) && self.tell(news.clone()).await {
                self.told_certificates.insert(domain, news);
            }
        }
    }

    /// Whether it is kept: if not, it is told at the next look.
    async fn tell(&self, news: News) -> bool {
        match self.store.tell(news).await {
            Ok(()) => true,
            Err(error) => {
                warn!(%error, "news for tenant system cannot be kept; the next try comes soon");
                false
            }
        }
    }
}
