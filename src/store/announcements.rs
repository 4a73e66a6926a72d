//! What Waxwing itself has to say becomes an event of tenant `system`, in the commit that has the cause.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::StoreError;
use super::commit::{Store, Transaction};
use super::space::{Disk, DiskLevel};
use crate::domain::event::NewEvent;
use crate::domain::health::DISABLE_AFTER;
use crate::domain::id::TenantId;
use crate::domain::operational::{Announcement, News, StorageNews, What};

impl Transaction<'_> {
    /// Nothing when its subscription is gone, or is one of tenant `system` itself.
    pub(super) fn announce(&mut self, announcement: Announcement) -> Result<(), StoreError> {
        let Announcement { subscription: id, what } = announcement;
        let known = self.with_catalogue(|catalogue| catalogue.subscription(id).cloned());
        let Some(subscription) = known.filter(|subscription| subscription.tenant != TenantId::SYSTEM) else {
            return Ok(());
        };
        let health = self.health(id);
        let disables_at = health.failing_since.filter(|_| subscription.circuit_breaker && subscription.is_active);
        let mut data = json!({
            "subscription_id": id.to_string(),
            "tenant_id": subscription.tenant.to_string(),
            "url": subscription.url.as_str(),
            "health": health.status(&subscription).name(),
            "disabled_reason": subscription.disabled_reason.map(|reason| reason.name()),
            "consecutive_failures": health.consecutive_failures,
            "failing_since": health.failing_since.map(|at| at.to_string()),
            "disables_at": disables_at.map(|since| since.plus(DISABLE_AFTER).to_string()),
        });
        if let What::Exhausted { count, last } = what {
            data["count"] = count.into();
            data["last_delivery_id"] = last.to_string().into();
        }
        self.accept(event(what.event_type(), &data), None).map(drop)
    }

    /// What became of the room on the disk since somebody was last told. It goes into the reserve, if need be.
    pub(super) fn announce_disk(&mut self) -> Result<(), StoreError> {
        let (space, told) = (&self.shared.space, self.told_disk());
        let level = space.level_after(told);
        let news = match level {
            _ if level == told => return Ok(()),
            DiskLevel::Enough => StorageNews::Recovered,
            DiskLevel::Low => StorageNews::Low,
            DiskLevel::Refusing => StorageNews::Full,
        };
        let Disk { free_bytes, reserve_bytes, warning_bytes, .. } = space.disk();
        // The others have their line at the moment itself.
        if news == StorageNews::Low {
            tracing::warn!(free_bytes, reserve_bytes, "storage will soon be low");
        }
        let data = json!({
            "free_bytes": free_bytes,
            "reserve_bytes": reserve_bytes,
            "warning_bytes": warning_bytes,
        });
        self.set_told_disk(level);
        self.accept(event(news.event_type(), &data), None).map(drop)
    }
}

impl Store {
    /// Tells tenant `system`. What it was told before becomes no second event.
    pub async fn tell(&self, news: News) -> Result<(), StoreError> {
        let data = match &news {
            News::BackupFailed { id, error } => json!({ "backup_id": id.to_string(), "error": error }),
            News::CertificateExpiring { domain, ends_at, within_days } => {
                json!({ "domain": domain, "ends_at": ends_at.to_string(), "within_days": within_days })
            }
            News::CertificateExpired { domain, ended_at } => {
                json!({ "domain": domain, "ended_at": ended_at.to_string() })
            }
            News::ClockJumped { noticed_at, by_millis } => {
                json!({ "noticed_at": noticed_at.to_string(), "by_seconds": *by_millis as f64 / 1000.0 })
            }
        };
        // A name that is too long for an external id is told again after a restart.
        let external_id = news.once().and_then(|text| text.parse().ok());
        let event = NewEvent { external_id, ..event(news.event_type(), &data) };
        let sha256 = event.external_id.is_some().then(|| Sha256::digest(&event.data).into());
        self.sentence(event.data.len(), move |transaction| transaction.accept(event, sha256).map(drop)).await
    }
}

fn event(event_type: &str, data: &Value) -> NewEvent {
    NewEvent {
        tenant: TenantId::SYSTEM,
        event_type: event_type.parse().expect("a name of ours is a name"),
        external_id: None,
        occurred_at: None,
        channels: Vec::new(),
        deliver_at: None,
        data: data.to_string().into(),
    }
}
