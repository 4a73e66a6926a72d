//! What Waxwing itself has to say: events of tenant `system` (contract 5.10).

use std::time::Duration;

use super::id::{BackupId, DeliveryId, SubscriptionId};
use super::time::Timestamp;

/// The types that tenant `system` can subscribe to.
pub const TYPES: [&str; 12] = [
    "subscription.degraded",
    "subscription.failing",
    "subscription.disabled",
    "subscription.recovered",
    "delivery.exhausted",
    "storage.low",
    "storage.full",
    "storage.recovered",
    "backup.failed",
    "certificate.expiring",
    "certificate.expired",
    "clock.jumped",
];

/// Something about a subscription that the operator may want to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    pub subscription: SubscriptionId,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It gets less at once, or more slowly.
    Degraded,
    /// Its deliveries are held, or have been for long.
    Failing,
    /// Waxwing made it inactive.
    Disabled,
    Recovered,
    /// So many of its deliveries used up their attempts, the last of them named: all within a minute.
    Exhausted {
        count: u32,
        last: DeliveryId,
    },
}

impl What {
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Degraded => "subscription.degraded",
            Self::Failing => "subscription.failing",
            Self::Disabled => "subscription.disabled",
            Self::Recovered => "subscription.recovered",
            Self::Exhausted { .. } => "delivery.exhausted",
        }
    }
}

/// What became of the room that is left on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageNews {
    /// New events are refused soon.
    Low,
    /// New events are refused.
    Full,
    /// There is room again.
    Recovered,
}

impl StorageNews {
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Low => "storage.low",
            Self::Full => "storage.full",
            Self::Recovered => "storage.recovered",
        }
    }
}

/// Something else about the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    BackupFailed {
        id: BackupId,
        error: String,
    },
    /// Nobody renewed a certificate of HTTPS. No domain: it is the operator's own.
    CertificateExpiring {
        domain: Option<String>,
        ends_at: Timestamp,
        within_days: u32,
    },
    CertificateExpired {
        domain: Option<String>,
        ended_at: Timestamp,
    },
    /// It was set, or the machine slept.
    ClockJumped {
        noticed_at: Timestamp,
        /// Below 0 when it was set back.
        by_millis: i64,
    },
}

impl News {
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::BackupFailed { .. } => "backup.failed",
            Self::CertificateExpiring { .. } => "certificate.expiring",
            Self::CertificateExpired { .. } => "certificate.expired",
            Self::ClockJumped { .. } => "clock.jumped",
        }
    }

    /// What the same news have when they are told again after a restart: they become one event.
    pub fn once(&self) -> Option<String> {
        let of = |domain: &Option<String>| domain.clone().unwrap_or_else(|| "own".to_owned());
        match self {
            Self::CertificateExpiring { domain, ends_at, within_days } => {
                Some(format!("certificate.expiring:{}:{}:{within_days}", of(domain), ends_at.as_seconds()))
            }
            Self::CertificateExpired { domain, ended_at } => {
                Some(format!("certificate.expired:{}:{}", of(domain), ended_at.as_seconds()))
            }
            Self::BackupFailed { .. } | Self::ClockJumped { .. } => None,
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// So many days before its end a certificate is told of.
const CERTIFICATE_NOTICE_DAYS: [u32; 4] = [1, 3, 7, 14];
/// Who renews by themselves do so with a third of the life left: with this part left, nobody did.
const CERTIFICATE_UNRENEWED_PART: u32 = 4;

/// What there is to say of a certificate that is served.
pub fn certificate_news(
    domain: Option<&str>,
    begins_at: Timestamp,
    ends_at: Timestamp,
    now: Timestamp,
) -> Option<News> {
    let domain = domain.map(str::to_owned);
    if ends_at <= now {
        return Some(News::CertificateExpired { domain, ended_at: ends_at });
    }
    let (left, life) = (ends_at.since(now), ends_at.since(begins_at));
    let within_days = CERTIFICATE_NOTICE_DAYS.into_iter().find(|days| left <= DAY * *days)?;
    (left <= life / CERTIFICATE_UNRENEWED_PART).then_some(News::CertificateExpiring { domain, ends_at, within_days })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_can_be_subscribed_to() {
        let last = DeliveryId::from_u128(1);
        let exhausted = What::Exhausted { count: 1, last };
        let told = [What::Degraded, What::Failing, What::Disabled, What::Recovered, exhausted].map(What::event_type);
        let (at, domain) = (Timestamp::from_millis(0), None::<String>);
        let news = [
            News::BackupFailed { id: BackupId::from_u128(1), error: String::new() },
            News::CertificateExpiring { domain: domain.clone(), ends_at: at, within_days: 1 },
            News::CertificateExpired { domain, ended_at: at },
            News::ClockJumped { noticed_at: at, by_millis: 1 },
        ];
        let news = news.map(|news| news.event_type());
        let disk = [StorageNews::Low, StorageNews::Full, StorageNews::Recovered].map(StorageNews::event_type);
        assert_eq!([told.as_slice(), disk.as_slice(), news.as_slice()].concat(), TYPES);
    }

    #[test]
    fn a_certificate_is_told_of_when_who_renews_should_have_done_so() {
        let begin = Timestamp::from_millis(0);
        // Days that it lives, days that are left, and what is said: within so many days, 0 when it has ended.
        for (life, left, expected) in [
            (90, 15, None),
            (90, 14, Some(14)),
            (90, 8, Some(14)),
            (90, 7, Some(7)),
            (90, 2, Some(3)),
            (90, 1, Some(1)),
            (90, 0, Some(0)),
            // Of six days: renewed with two left.
            (6, 6, None),
            (6, 2, None),
            (6, 1, Some(1)),
        ] {
            let end = begin.plus(DAY * life);
            let news = certificate_news(None, begin, end, end.minus(DAY * left));
            let said = news.map(|news| match news {
                News::CertificateExpiring { within_days, .. } => within_days,
                News::CertificateExpired { .. } => 0,
                other => panic!("{other:?}"),
            });
            assert_eq!(said, expected, "{left} of {life} days");
        }
    }
}
