//! What the operator can change while the server runs: the name of each setting, what it may be, and what is stored of it.

use std::net::IpAddr;
use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use url::{Host, Origin, Url};

use super::base_url::BaseUrl;
use super::key::RATE_CEILING;
use super::language::Language;
use super::mail::{
    HOST_LENGTH_MAX, MINUTES_CEILING, MailPassword, MailTls, RECIPIENTS_MAX, StoredMail, USER_LENGTH_MAX,
};
use super::user::Email;

pub const DAYS_CEILING: u32 = 36_500;
/// How long the audit log is kept (contract 9).
pub const AUDIT_DAYS_DEFAULT: u32 = 90;
/// When space is given back: in the night of most who run one machine, and hardly noticed at any other time.
const COMPACTION_HOUR_DEFAULT: StoredHour = Some(3);
/// Copying the rest should be worth it.
const COMPACTION_PERCENT_DEFAULT: u8 = 50;
const NAME_LENGTH_MAX: usize = 64;
const LOGO_BYTES_MAX: usize = 64 * 1024;
const FRAME_ANCESTORS_MAX: usize = 20;
/// Of a schedule: a year.
const HOURS_CEILING: u32 = 8760;
/// Backups that are kept.
const KEPT_CEILING: u32 = 1000;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SettingName { $($(#[$doc])* $name,)* }

        impl SettingName {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

names! {
    PayloadDays = "retention.payload_days";
    MetadataDays = "retention.metadata_days";
    AuditDays = "retention.audit_days";
    ManagementRate = "rate_limits.management";
    PublishRate = "rate_limits.publish";
    /// Of a tenant without a limit of its own.
    DeliveryRate = "rate_limits.deliveries";
    CompactionHour = "compaction.at_hour";
    CompactionPercent = "compaction.reclaimable_percent";
    Language = "language";
    /// Where links that people get begin.
    ConsoleUrl = "console.url";
    PortalName = "portal.name";
    PortalColor = "portal.color";
    PortalLogo = "portal.logo";
    /// Which sites may show the portal in a frame.
    PortalFrameAncestors = "portal.frame_ancestors";
    BackupHours = "backups.every_hours";
    BackupsKept = "backups.keep";
    MailHost = "mail.host";
    MailPort = "mail.port";
    MailTls = "mail.tls";
    MailUser = "mail.user";
    /// Shown as set or not set.
    MailPassword = "mail.password";
    MailFrom = "mail.from";
    MailTo = "mail.to";
    MailMinutes = "mail.every_minutes";
}

impl SettingName {
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == name)
    }

    /// Whether its value is encrypted where it is stored, and never shown.
    pub fn is_secret(self) -> bool {
        matches!(self, Self::MailPassword)
    }

    /// What a value of it is, in words.
    pub fn expected(self) -> &'static str {
        match self {
            Self::PayloadDays | Self::MetadataDays | Self::AuditDays => "a number of days from 1 to 36,500",
            Self::ManagementRate | Self::PublishRate | Self::DeliveryRate => {
                "a number per second from 1 to 1,000,000, or off"
            }
            Self::CompactionHour => "an hour of the day in UTC from 0 to 23, or off",
            Self::CompactionPercent => "a number from 1 to 99",
            Self::Language => "en, es or pt",
            Self::ConsoleUrl => "an http or https URL without query and fragment, at most 512 characters",
            Self::PortalName => "a text of 1 to 64 characters",
            Self::PortalColor => "a colour like #0a7d5a",
            Self::PortalLogo => "a data: URL in base64 of a PNG, SVG or WebP picture of at most 64 KiB",
            Self::PortalFrameAncestors => "a list of at most 20 origins like https://shop.example",
            Self::BackupHours => "a number of hours from 1 to 8,760, or off",
            Self::BackupsKept => "a number from 1 to 1,000",
            Self::MailHost => "a host name or an address",
            Self::MailPort => "a port from 1 to 65,535",
            Self::MailTls => "starttls, tls or none",
            Self::MailUser => "a text of 1 to 320 characters",
            Self::MailPassword => "a text of 1 to 512 bytes",
            Self::MailFrom => "an e-mail address",
            Self::MailTo => "a list of 1 to 20 e-mail addresses",
            Self::MailMinutes => "a number of minutes from 1 to 1,440",
        }
    }
}

/// Per second; none: not limited.
pub type StoredRate = Option<NonZeroU32>;

/// None: off.
pub type StoredHours = Option<NonZeroU32>;
/// Of the day, in UTC; none: never.
pub type StoredHour = Option<u8>;

/// When space is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionPlan {
    pub hour: StoredHour,
    /// Not when less of the file than this could be given back.
    pub reclaimable_percent: u8,
}

impl Default for CompactionPlan {
    fn default() -> Self {
        Self { hour: COMPACTION_HOUR_DEFAULT, reclaimable_percent: COMPACTION_PERCENT_DEFAULT }
    }
}

/// What is stored. None: nothing is, and something else decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredSettings {
    pub payload_days: Option<u32>,
    pub metadata_days: Option<u32>,
    pub audit_days: Option<u32>,
    pub management_rate: Option<StoredRate>,
    pub publish_rate: Option<StoredRate>,
    pub delivery_rate: Option<StoredRate>,
    pub compaction_hour: Option<StoredHour>,
    pub compaction_percent: Option<u8>,
    pub language: Option<Language>,
    pub console_url: Option<BaseUrl>,
    pub portal: Portal,
    /// Between two backups.
    pub backup_hours: Option<StoredHours>,
    pub backups_kept: Option<u32>,
    pub mail: StoredMail,
}

/// How the portal looks, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Portal {
    pub name: Option<String>,
    /// `#rrggbb`
    pub color: Option<String>,
    /// A `data:` URL.
    pub logo: Option<String>,
    /// `https://shop.example`
    pub frame_ancestors: Option<Vec<String>>,
}

/// The value is none of the setting's: see [`SettingName::expected`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnfitValue;

impl StoredSettings {
    /// Takes a value as it stands in JSON. Null: nothing is stored.
    pub fn put(&mut self, name: SettingName, value: &Value) -> Result<(), UnfitValue> {
        fn read<T>(value: &Value, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>, UnfitValue> {
            if value.is_null() { Ok(None) } else { read(value).map(Some).ok_or(UnfitValue) }
        }
        let Self { payload_days, metadata_days, audit_days, management_rate, publish_rate, language, .. } = self;
        let (compaction_hour, compaction_percent) = (&mut self.compaction_hour, &mut self.compaction_percent);
        let Portal { name: portal_name, color, logo, frame_ancestors } = &mut self.portal;
        match name {
            SettingName::PayloadDays => *payload_days = read(value, days)?,
            SettingName::MetadataDays => *metadata_days = read(value, days)?,
            SettingName::AuditDays => *audit_days = read(value, days)?,
            SettingName::ManagementRate => *management_rate = read(value, rate)?,
            SettingName::PublishRate => *publish_rate = read(value, rate)?,
            SettingName::DeliveryRate => self.delivery_rate = read(value, rate)?,
            SettingName::CompactionHour => *compaction_hour = read(value, hour)?,
            SettingName::CompactionPercent => *compaction_percent = read(value, percent)?,
            SettingName::Language => *language = read(value, |value| Language::from_tag(value.as_str()?))?,
            SettingName::ConsoleUrl => self.console_url = read(value, |value| value.as_str()?.parse().ok())?,
            SettingName::PortalName => *portal_name = read(value, label)?,
            SettingName::PortalColor => *color = read(value, hex_color)?,
            SettingName::PortalLogo => *logo = read(value, picture)?,
            SettingName::PortalFrameAncestors => *frame_ancestors = read(value, origins)?,
            SettingName::BackupHours => self.backup_hours = read(value, hours)?,
            SettingName::BackupsKept => self.backups_kept = read(value, kept)?,
            SettingName::MailHost => self.mail.host = read(value, host)?,
            SettingName::MailPort => self.mail.port = read(value, port)?,
            SettingName::MailTls => self.mail.tls = read(value, |value| MailTls::from_name(value.as_str()?))?,
            SettingName::MailUser => self.mail.user = read(value, mail_user)?,
            SettingName::MailPassword => {
                self.mail.password = read(value, |value| MailPassword::new(value.as_str()?.to_owned()))?;
            }
            SettingName::MailFrom => self.mail.from = read(value, mail_address)?,
            SettingName::MailTo => self.mail.to = read(value, mail_addresses)?,
            SettingName::MailMinutes => self.mail.minutes = read(value, minutes)?,
        }
        Ok(())
    }

    /// As [`Self::put`] takes it, but for a secret, of which is told that it is set; none: nothing is stored.
    pub fn value(&self, name: SettingName) -> Option<Value> {
        let Self {
            payload_days,
            metadata_days,
            audit_days,
            management_rate,
            publish_rate,
            delivery_rate,
            compaction_hour,
            compaction_percent,
            language,
            console_url,
            portal: Portal { name: portal_name, color, logo, frame_ancestors },
            backup_hours,
            backups_kept,
            mail: StoredMail { host, port, tls, user, password, from, to, minutes },
        } = self;
        match name {
            SettingName::PayloadDays => payload_days.map(|days| json!(days)),
            SettingName::MetadataDays => metadata_days.map(|days| json!(days)),
            SettingName::AuditDays => audit_days.map(|days| json!(days)),
            SettingName::ManagementRate => management_rate.map(show_rate),
            SettingName::PublishRate => publish_rate.map(show_rate),
            SettingName::DeliveryRate => delivery_rate.map(show_rate),
            SettingName::CompactionHour => compaction_hour.map(show_hour),
            SettingName::CompactionPercent => compaction_percent.map(|percent| json!(percent)),
            SettingName::Language => language.map(|language| json!(language.tag())),
            SettingName::ConsoleUrl => console_url.as_ref().map(|url| json!(url.as_str())),
            SettingName::PortalName => portal_name.as_ref().map(|name| json!(name)),
            SettingName::PortalColor => color.as_ref().map(|color| json!(color)),
            SettingName::PortalLogo => logo.as_ref().map(|logo| json!(logo)),
            SettingName::PortalFrameAncestors => frame_ancestors.as_ref().map(|origins| json!(origins)),
            SettingName::BackupHours => backup_hours.map(show_rate),
            SettingName::BackupsKept => backups_kept.map(|kept| json!(kept)),
            SettingName::MailHost => host.as_ref().map(|host| json!(host)),
            SettingName::MailPort => port.map(|port| json!(port)),
            SettingName::MailTls => tls.map(|tls| json!(tls.name())),
            SettingName::MailUser => user.as_ref().map(|user| json!(user)),
            SettingName::MailPassword => password.as_ref().map(|_| json!("set")),
            SettingName::MailFrom => from.as_ref().map(|from| json!(from.as_str())),
            SettingName::MailTo => to.as_ref().map(|to| to.iter().map(|one| json!(one.as_str())).collect()),
            SettingName::MailMinutes => minutes.map(|minutes| json!(minutes)),
        }
    }

    /// What is stored of a setting that is a secret.
    pub fn secret(&self, name: SettingName) -> Option<&str> {
        match name {
            SettingName::MailPassword => self.mail.password.as_ref().map(MailPassword::as_str),
            _ => None,
        }
    }
}

impl StoredSettings {
    /// What holds, stored or not.
    pub fn compaction(&self) -> CompactionPlan {
        let CompactionPlan { hour, reclaimable_percent } = CompactionPlan::default();
        CompactionPlan {
            hour: self.compaction_hour.unwrap_or(hour),
            reclaimable_percent: self.compaction_percent.unwrap_or(reclaimable_percent),
        }
    }
}

fn hour(value: &Value) -> Option<StoredHour> {
    if value == "off" {
        return Some(None);
    }
    value.as_u64().and_then(|hour| u8::try_from(hour).ok()).filter(|hour| *hour < 24).map(Some)
}

pub fn show_hour(hour: StoredHour) -> Value {
    hour.map_or_else(|| json!("off"), |hour| json!(hour))
}

fn percent(value: &Value) -> Option<u8> {
    value.as_u64().and_then(|percent| u8::try_from(percent).ok()).filter(|percent| (1..=99).contains(percent))
}

fn days(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|days| u32::try_from(days).ok()).filter(|days| (1..=DAYS_CEILING).contains(days))
}

fn rate(value: &Value) -> Option<StoredRate> {
    if value == "off" {
        return Some(None);
    }
    let rate = value.as_u64().and_then(|rate| u32::try_from(rate).ok()).filter(|rate| *rate <= RATE_CEILING)?;
    NonZeroU32::new(rate).map(Some)
}

fn hours(value: &Value) -> Option<StoredHours> {
    if value == "off" {
        return Some(None);
    }
    let hours = value.as_u64().and_then(|hours| u32::try_from(hours).ok()).filter(|hours| *hours <= HOURS_CEILING)?;
    NonZeroU32::new(hours).map(Some)
}

fn kept(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|kept| u32::try_from(kept).ok()).filter(|kept| (1..=KEPT_CEILING).contains(kept))
}

fn host(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| text.len() <= HOST_LENGTH_MAX)?;
    // Without the brackets that a URL puts around one.
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    Host::parse(text).ok().map(|host| host.to_string())
}

fn port(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

fn minutes(value: &Value) -> Option<u32> {
    let minutes = value.as_u64().and_then(|minutes| u32::try_from(minutes).ok());
    minutes.filter(|minutes| (1..=MINUTES_CEILING).contains(minutes))
}

fn mail_user(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let is_fit = (1..=USER_LENGTH_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    is_fit.then(|| text.to_owned())
}

/// As mail servers take one without extensions, and as it can stand in a header.
fn mail_address(value: &Value) -> Option<Email> {
    let text = value.as_str()?;
    let is_fit = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>()[],;:\\\"".contains(&byte));
    text.parse().ok().filter(|_| is_fit)
}

fn mail_addresses(value: &Value) -> Option<Vec<Email>> {
    let all = value.as_array().filter(|all| (1..=RECIPIENTS_MAX).contains(&all.len()))?;
    all.iter().map(mail_address).collect()
}

fn show_rate(rate: StoredRate) -> Value {
    rate.map_or_else(|| json!("off"), |rate| json!(rate))
}

fn label(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let is_fit = (1..=NAME_LENGTH_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    is_fit.then(|| text.to_owned())
}

fn hex_color(value: &Value) -> Option<String> {
    let digits = value.as_str()?.strip_prefix('#')?;
    let is_fit = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_fit.then(|| format!("#{}", digits.to_ascii_lowercase()))
}

fn picture(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let kinds = ["data:image/png;base64,", "data:image/svg+xml;base64,", "data:image/webp;base64,"];
    let encoded = kinds.into_iter().find_map(|kind| text.strip_prefix(kind))?;
    // Decoded bytes are three quarters of what is written: nothing longer is looked at.
    if encoded.len() > LOGO_BYTES_MAX / 3 * 4 + 4 {
        return None;
    }
    let bytes = STANDARD.decode(encoded).ok()?;
    (1..=LOGO_BYTES_MAX).contains(&bytes.len()).then(|| text.to_owned())
}

fn origins(value: &Value) -> Option<Vec<String>> {
    let origins = value.as_array().filter(|origins| origins.len() <= FRAME_ANCESTORS_MAX)?;
    origins.iter().map(|origin| frame_origin(origin.as_str()?)).collect()
}

/// What it is written into is a header of HTTP: nothing but scheme, host and port gets through. Plain http is for the reader's own machine,
/// where a site is being made.
fn frame_origin(text: &str) -> Option<String> {
    let is_own_machine = |url: &Url| matches!(url.host_str(), Some("localhost" | "127.0.0.1"));
    let url = Url::parse(text).ok().filter(|url| match url.scheme() {
        "https" => true,
        "http" => is_own_machine(url),
        _ => false,
    })?;
    let origin = match url.origin() {
        origin @ Origin::Tuple(..) => origin.ascii_serialization(),
        Origin::Opaque(_) => return None,
    };
    (text.trim_end_matches('/').eq_ignore_ascii_case(&origin)).then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_takes_what_it_expects_and_shows_it_again() {
        for (name, value, expected) in [
            (SettingName::PayloadDays, json!(1), Some(json!(1))),
            (SettingName::PayloadDays, json!(0), None),
            (SettingName::MetadataDays, json!(36_500), Some(json!(36_500))),
            (SettingName::AuditDays, json!(36_501), None),
            (SettingName::AuditDays, json!(1.5), None),
            (SettingName::ManagementRate, json!("off"), Some(json!("off"))),
            (SettingName::PublishRate, json!(1000), Some(json!(1000))),
            (SettingName::PublishRate, json!(0), None),
            (SettingName::DeliveryRate, json!(50), Some(json!(50))),
            (SettingName::DeliveryRate, json!(1.5), None),
            (SettingName::PublishRate, json!(RATE_CEILING), Some(json!(RATE_CEILING))),
            (SettingName::PublishRate, json!(RATE_CEILING + 1), None),
            (SettingName::CompactionHour, json!(0), Some(json!(0))),
            (SettingName::CompactionHour, json!("off"), Some(json!("off"))),
            (SettingName::CompactionHour, json!(24), None),
            (SettingName::CompactionHour, json!("3"), None),
            (SettingName::CompactionPercent, json!(99), Some(json!(99))),
            (SettingName::CompactionPercent, json!(0), None),
            (SettingName::CompactionPercent, json!(100), None),
            (SettingName::Language, json!("pt"), Some(json!("pt"))),
            (SettingName::Language, json!("de"), None),
            (SettingName::ConsoleUrl, json!("https://Hooks.example/a/"), Some(json!("https://hooks.example/a"))),
            (SettingName::ConsoleUrl, json!("http://127.0.0.1:8620"), Some(json!("http://127.0.0.1:8620"))),
            (SettingName::ConsoleUrl, json!("https://hooks.example/?a=b"), None),
            (SettingName::ConsoleUrl, json!("javascript:alert(1)"), None),
            (SettingName::ConsoleUrl, json!("https://user@hooks.example"), None),
            (SettingName::PortalName, json!("Acme"), Some(json!("Acme"))),
            (SettingName::PortalName, json!(""), None),
            (SettingName::PortalName, json!("x".repeat(65)), None),
            (SettingName::PortalName, json!("a\nb"), None),
            (SettingName::PortalColor, json!("#0A7d5a"), Some(json!("#0a7d5a"))),
            (SettingName::PortalColor, json!("red"), None),
            (SettingName::PortalColor, json!("#0a7d5"), None),
            (
                SettingName::PortalLogo,
                json!("data:image/png;base64,iVBORw=="),
                Some(json!("data:image/png;base64,iVBORw==")),
            ),
            (SettingName::PortalLogo, json!("data:image/gif;base64,iVBORw=="), None),
            (SettingName::PortalLogo, json!("data:image/png;base64,?"), None),
            (SettingName::PortalLogo, json!("https://shop.example/logo.png"), None),
            (SettingName::PortalFrameAncestors, json!([]), Some(json!([]))),
            (
                SettingName::PortalFrameAncestors,
                json!(["https://Shop.example", "https://a.example:8443/"]),
                Some(json!(["https://shop.example", "https://a.example:8443"])),
            ),
            (
                SettingName::PortalFrameAncestors,
                json!(["http://localhost:3000", "http://127.0.0.1/"]),
                Some(json!(["http://localhost:3000", "http://127.0.0.1"])),
            ),
            (SettingName::PortalFrameAncestors, json!(["http://shop.example"]), None),
            (SettingName::PortalFrameAncestors, json!(["http://localhost.example"]), None),
            (SettingName::PortalFrameAncestors, json!(["http://localhost@shop.example"]), None),
            (SettingName::PortalFrameAncestors, json!(["ws://localhost"]), None),
            (SettingName::PortalFrameAncestors, json!(["https://shop.example/path"]), None),
            (SettingName::PortalFrameAncestors, json!(["https://a.example; script-src *"]), None),
            (SettingName::PortalFrameAncestors, json!(["https://a.example *"]), None),
            (SettingName::PortalFrameAncestors, json!(vec!["https://a.example"; 21]), None),
            (SettingName::BackupHours, json!(24), Some(json!(24))),
            (SettingName::BackupHours, json!("off"), Some(json!("off"))),
            (SettingName::BackupHours, json!(0), None),
            (SettingName::BackupHours, json!(8761), None),
            (SettingName::BackupsKept, json!(1000), Some(json!(1000))),
            (SettingName::BackupsKept, json!(0), None),
            (SettingName::MailHost, json!("Mail.example.com"), Some(json!("mail.example.com"))),
            (SettingName::MailHost, json!("::1"), Some(json!("::1"))),
            (SettingName::MailHost, json!("mail.example.com:25"), None),
            (SettingName::MailHost, json!(""), None),
            (SettingName::MailPort, json!(465), Some(json!(465))),
            (SettingName::MailPort, json!(65_536), None),
            (SettingName::MailTls, json!("tls"), Some(json!("tls"))),
            (SettingName::MailTls, json!("ssl"), None),
            (SettingName::MailUser, json!("a\r\nb"), None),
            (SettingName::MailPassword, json!("correct horse"), Some(json!("set"))),
            (SettingName::MailPassword, json!(""), None),
            (SettingName::MailFrom, json!("Ops@example.com"), Some(json!("ops@example.com"))),
            (SettingName::MailFrom, json!("Ops <ops@example.com>"), None),
            (SettingName::MailFrom, json!("ops@example.com,more@example.com"), None),
            (SettingName::MailTo, json!(["ops@example.com"]), Some(json!(["ops@example.com"]))),
            (SettingName::MailTo, json!([]), None),
            (SettingName::MailTo, json!(vec!["ops@example.com"; 21]), None),
            (SettingName::MailMinutes, json!(1440), Some(json!(1440))),
            (SettingName::MailMinutes, json!(0), None),
        ] {
            let mut settings = StoredSettings::default();
            let taken = settings.put(name, &value).ok().and_then(|()| settings.value(name));
            assert_eq!(taken, expected, "{name:?} {value}");
            settings.put(name, &Value::Null).unwrap();
            assert_eq!(settings, StoredSettings::default(), "{name:?}");
        }
    }

    #[test]
    fn a_logo_has_at_most_64_kib() {
        let logo = |bytes: usize| json!(format!("data:image/png;base64,{}", STANDARD.encode(vec![0; bytes])));
        let mut settings = StoredSettings::default();
        assert_eq!(settings.put(SettingName::PortalLogo, &logo(64 * 1024)), Ok(()));
        assert_eq!(settings.put(SettingName::PortalLogo, &logo(64 * 1024 + 1)), Err(UnfitValue));
    }
}
