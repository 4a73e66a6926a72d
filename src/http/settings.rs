//! `/v1/settings` (contract 4.4): every setting with its value and where that came from; some can be changed here.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::MaybeUndefined;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use serde_json::{Value, json};

use super::auth::{Caller, OfInstance, scope};
use super::body::{Body, Fields, Wire, pointer_of};
use super::problem::{Ground, Refusal, Source};
use super::reply::{
    Answer, Attributes, Object as ResourceObject, One, Reply, Shape, array_schema, object_schema, reference,
    register_object,
};
use super::value::{Nullable, Raw, choice, documented};
use super::{App, Tag};
use crate::domain::backup::KEPT_DEFAULT;
use crate::domain::base_url::BaseUrl;
use crate::domain::mail::{MINUTES_DEFAULT, MailTls};
use crate::domain::setting::{CompactionPlan, SettingName, StoredSettings, show_hour};
use crate::domain::violation::Rule;
use crate::mail;
use crate::store::Retention;

choice!(OriginName, "setting_origin", ["flag", "environment", "file", "stored", "default"]);

/// A setting of the process, as it was when it started.
#[derive(Debug, Clone)]
pub struct Configured {
    /// That of a [`SettingName`] when it is one.
    pub name: &'static str,
    pub description: &'static str,
    pub value: Value,
    pub default: Value,
    pub origin: ConfiguredOrigin,
}

/// Where the value of a setting of the process came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfiguredOrigin {
    /// `--listen`
    Flag(String),
    /// `WAXWING_LISTEN`
    Environment(String),
    /// `waxwing.toml line 3`
    File(String),
    Default,
}

impl ConfiguredOrigin {
    fn name(&self) -> &'static str {
        match self {
            Self::Flag(_) => "flag",
            Self::Environment(_) => "environment",
            Self::File(_) => "file",
            Self::Default => "default",
        }
    }

    /// Where somebody wrote it.
    fn place(&self) -> Option<&str> {
        match self {
            Self::Flag(place) | Self::Environment(place) | Self::File(place) => Some(place),
            Self::Default => None,
        }
    }
}

impl Configured {
    /// The stored setting that it leaves no say.
    pub fn fixes(&self) -> Option<SettingName> {
        self.origin.place().and_then(|_| SettingName::from_name(self.name))
    }
}

/// Any value of a setting.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct AnyValue(Value);

documented!(AnyValue, "setting_value", poem_openapi::registry::MetaSchema::ANY);

/// A setting, as it stands
#[derive(Debug, Serialize, Object)]
struct SettingAttributes {
    /// What holds now. Secrets are only told as `set` or `not set`
    value: AnyValue,
    /// What would hold if nobody said anything
    default: AnyValue,
    /// What set the value; `stored`: it was set here
    origin: OriginName,
    /// The flag, the variable, or the line of the file
    origin_name: Nullable<String>,
    /// Whether it can be changed here
    is_changeable: bool,
    description: String,
}

impl Attributes for SettingAttributes {
    const TYPE: &'static str = "setting";
    const NAME: &'static str = "Setting";
    const ONE: &'static str = "The setting";
    const PAGE: &'static str = "Every setting";
}

/// What became of a test mail
#[derive(Debug, Serialize, Object)]
struct TestMailAttributes {
    /// Whether the mail server took it
    is_sent: bool,
    /// Why it did not, in English
    error: Nullable<String>,
}

impl Attributes for TestMailAttributes {
    const TYPE: &'static str = "test_mail";
    const NAME: &'static str = "TestMail";
    const ONE: &'static str = "What became of it";
    const PAGE: &'static str = "";
}

/// All settings.
#[derive(Serialize)]
struct SettingsBody {
    data: Vec<ResourceObject<SettingAttributes>>,
}

impl Shape for SettingsBody {
    const DESCRIPTION: &'static str = SettingAttributes::PAGE;

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(object_schema(vec![("data", array_schema(reference(SettingAttributes::NAME)))]))
    }

    fn register(registry: &mut Registry) {
        register_object::<SettingAttributes>(registry);
    }
}

/// What changes: an absent setting stays, null is back to what holds without
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct ChangeSettings {
    /// Days that the data of events and what was sent are kept
    #[oai(rename = "retention.payload_days", nullable)]
    payload_days: MaybeUndefined<Raw>,
    /// Days that events and deliveries are kept; not fewer than those of payloads
    #[oai(rename = "retention.metadata_days", nullable)]
    metadata_days: MaybeUndefined<Raw>,
    /// Days that the audit log is kept
    #[oai(rename = "retention.audit_days", nullable)]
    audit_days: MaybeUndefined<Raw>,
    /// Calls per second for each key that has no quota of its own: a number, or `off`
    #[oai(rename = "rate_limits.management", nullable)]
    management_rate: MaybeUndefined<Raw>,
    /// Published events per second for each key that has no quota of its own: a number, or `off`
    #[oai(rename = "rate_limits.publish", nullable)]
    publish_rate: MaybeUndefined<Raw>,
    /// Deliveries per second to all receivers of a tenant together, for each tenant that has no limit of its own: a
    /// number, or `off`
    #[oai(rename = "rate_limits.deliveries", nullable)]
    delivery_rate: MaybeUndefined<Raw>,
    /// The hour of the day, in UTC, at which space of the store is given back: 0 to 23, or `off`
    #[oai(rename = "compaction.at_hour", nullable)]
    compaction_hour: MaybeUndefined<Raw>,
    /// Per cent of the store's file that have to be reclaimable for that: 1 to 99
    #[oai(rename = "compaction.reclaimable_percent", nullable)]
    compaction_percent: MaybeUndefined<Raw>,
    /// Of errors, for who asks for none that is spoken: `en`, `es` or `pt`
    #[oai(nullable)]
    language: MaybeUndefined<Raw>,
    /// Where links for people begin: `https://hooks.example`
    #[oai(rename = "console.url", nullable)]
    console_url: MaybeUndefined<Raw>,
    /// What the portal calls itself
    #[oai(rename = "portal.name", nullable)]
    portal_name: MaybeUndefined<Raw>,
    /// `#rrggbb`
    #[oai(rename = "portal.color", nullable)]
    portal_color: MaybeUndefined<Raw>,
    /// A `data:` URL of a PNG, SVG or WebP picture, at most 64 KiB
    #[oai(rename = "portal.logo", nullable)]
    portal_logo: MaybeUndefined<Raw>,
    /// At most 20 origins whose pages may show the portal in a frame: `https://shop.example`, or `http://localhost:3000` while a site is made
    #[oai(rename = "portal.frame_ancestors", nullable)]
    portal_frame_ancestors: MaybeUndefined<Raw>,
    /// Hours between two backups: a number, or `off`
    #[oai(rename = "backups.every_hours", nullable)]
    backup_hours: MaybeUndefined<Raw>,
    /// How many backups are kept: older ones are removed when a newer one is verified
    #[oai(rename = "backups.keep", nullable)]
    backups_kept: MaybeUndefined<Raw>,
    /// The server that mail goes to: a name or an address. No mail is sent before it, `mail.from` and `mail.to` are set
    #[oai(rename = "mail.host", nullable)]
    mail_host: MaybeUndefined<Raw>,
    /// 587 unless given; 465 with `tls`, 25 with `none`
    #[oai(rename = "mail.port", nullable)]
    mail_port: MaybeUndefined<Raw>,
    /// `starttls`, `tls` (from the first byte) or `none` (in the clear, the password too)
    #[oai(rename = "mail.tls", nullable)]
    mail_tls: MaybeUndefined<Raw>,
    /// With `mail.password`, when the server wants to know who sends
    #[oai(rename = "mail.user", nullable)]
    mail_user: MaybeUndefined<Raw>,
    /// Kept encrypted, and never shown. Forgotten when `mail.host` changes, or `mail.tls` to `none`, unless it is sent again
    #[oai(rename = "mail.password", nullable)]
    mail_password: MaybeUndefined<Raw>,
    /// From whom mail comes: an address
    #[oai(rename = "mail.from", nullable)]
    mail_from: MaybeUndefined<Raw>,
    /// To whom it goes: 1 to 20 addresses
    #[oai(rename = "mail.to", nullable)]
    mail_to: MaybeUndefined<Raw>,
    /// Minutes between two mails of one kind: 1 to 1,440
    #[oai(rename = "mail.every_minutes", nullable)]
    mail_minutes: MaybeUndefined<Raw>,
}

impl Wire for ChangeSettings {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        let mut take = |name: SettingName| fields.take(name.as_str());
        Self {
            payload_days: take(SettingName::PayloadDays),
            metadata_days: take(SettingName::MetadataDays),
            audit_days: take(SettingName::AuditDays),
            management_rate: take(SettingName::ManagementRate),
            publish_rate: take(SettingName::PublishRate),
            delivery_rate: take(SettingName::DeliveryRate),
            compaction_hour: take(SettingName::CompactionHour),
            compaction_percent: take(SettingName::CompactionPercent),
            language: take(SettingName::Language),
            console_url: take(SettingName::ConsoleUrl),
            portal_name: take(SettingName::PortalName),
            portal_color: take(SettingName::PortalColor),
            portal_logo: take(SettingName::PortalLogo),
            portal_frame_ancestors: take(SettingName::PortalFrameAncestors),
            backup_hours: take(SettingName::BackupHours),
            backups_kept: take(SettingName::BackupsKept),
            mail_host: take(SettingName::MailHost),
            mail_port: take(SettingName::MailPort),
            mail_tls: take(SettingName::MailTls),
            mail_user: take(SettingName::MailUser),
            mail_password: take(SettingName::MailPassword),
            mail_from: take(SettingName::MailFrom),
            mail_to: take(SettingName::MailTo),
            mail_minutes: take(SettingName::MailMinutes),
        }
    }
}

impl ChangeSettings {
    /// What was sent, null among it.
    fn changes(self) -> Vec<(SettingName, Value)> {
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
            portal_name,
            portal_color,
            portal_logo,
            portal_frame_ancestors,
            backup_hours,
            backups_kept,
            mail_host,
            mail_port,
            mail_tls,
            mail_user,
            mail_password,
            mail_from,
            mail_to,
            mail_minutes,
        } = self;
        let all = [
            (SettingName::PayloadDays, payload_days),
            (SettingName::MetadataDays, metadata_days),
            (SettingName::AuditDays, audit_days),
            (SettingName::ManagementRate, management_rate),
            (SettingName::PublishRate, publish_rate),
            (SettingName::DeliveryRate, delivery_rate),
            (SettingName::CompactionHour, compaction_hour),
            (SettingName::CompactionPercent, compaction_percent),
            (SettingName::Language, language),
            (SettingName::ConsoleUrl, console_url),
            (SettingName::PortalName, portal_name),
            (SettingName::PortalColor, portal_color),
            (SettingName::PortalLogo, portal_logo),
            (SettingName::PortalFrameAncestors, portal_frame_ancestors),
            (SettingName::BackupHours, backup_hours),
            (SettingName::BackupsKept, backups_kept),
            (SettingName::MailHost, mail_host),
            (SettingName::MailPort, mail_port),
            (SettingName::MailTls, mail_tls),
            (SettingName::MailUser, mail_user),
            (SettingName::MailPassword, mail_password),
            (SettingName::MailFrom, mail_from),
            (SettingName::MailTo, mail_to),
            (SettingName::MailMinutes, mail_minutes),
        ];
        let value = |value| match value {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(Value::Null),
            // A number that no reader takes is no value of any setting.
            MaybeUndefined::Value(Raw(raw)) => Some(serde_json::from_str(raw.get()).unwrap_or(Value::Bool(false))),
        };
        all.into_iter().filter_map(|(name, sent)| Some((name, value(sent)?))).collect()
    }
}

pub struct SettingsApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/settings", tag = "Tag::Instance")]
impl SettingsApi {
    /// List all settings
    ///
    /// What the process was started with, and what is stored.
    #[oai(path = "/", method = "get", operation_id = "settings.list")]
    async fn list(
        &self,
        _caller: Caller<OfInstance<scope::SettingsRead>>,
    ) -> Result<Answer<SettingsBody, 200>, Refusal> {
        Ok(self.all().into())
    }

    /// Change settings
    ///
    /// In effect at once, also after a restart. What a flag, a variable or the file sets is changed there.
    #[oai(path = "/", method = "patch", operation_id = "settings.update")]
    async fn update(
        &self,
        caller: Caller<OfInstance<scope::SettingsWrite>>,
        body: Body<ChangeSettings>,
    ) -> Result<Answer<SettingsBody, 200>, Refusal> {
        let (wire, mut findings) = body.read()?;
        let mut changes = wire.changes();
        let stored = &caller.catalogue.settings().mail;
        let mut changed = caller.catalogue.settings().clone();
        for (name, value) in &changes {
            if changed.put(*name, value).is_err() {
                findings.add(Rule::InvalidFormat { expected: name.expected() }, pointer_of(name.as_str()));
            }
        }
        let (payload_days, metadata_days) =
            (self.days(&changed, SettingName::PayloadDays), self.days(&changed, SettingName::MetadataDays));
        if payload_days > metadata_days {
            let place = if changes.iter().any(|(name, _)| *name == SettingName::PayloadDays) {
                SettingName::PayloadDays
            } else {
                SettingName::MetadataDays
            };
            let expected = "such that payloads are not kept for longer than metadata";
            findings.add(Rule::InvalidFormat { expected }, pointer_of(place.as_str()));
        }
        findings.finish()?;
        // It was given for one server, over a connection that nobody else reads.
        let goes_elsewhere = stored.host != changed.mail.host
            || (stored.tls != changed.mail.tls && changed.mail.tls == Some(MailTls::None));
        if goes_elsewhere
            && changes.iter().all(|(name, _)| *name != SettingName::MailPassword)
            && stored.password.is_some()
        {
            changes.push((SettingName::MailPassword, Value::Null));
        }
        for (name, _) in &changes {
            if let Some(place) = self.configured(*name).and_then(|configured| configured.origin.place()) {
                let ground = Ground::SettingFixed { name: name.as_str(), place: place.to_owned() };
                return Err(Refusal::at(ground, Source::Pointer(pointer_of(name.as_str()))));
            }
        }
        self.app.store.change_settings(changes).await?;
        Ok(self.all().into())
    }

    /// Send a test mail
    ///
    /// By the settings `mail.*`, as they are stored, and at once. The answer comes when the mail server has taken it or
    /// refused it, after 30 s at most. An `Idempotency-Key` is ignored: each request sends one.
    #[oai(path = "/test-mail", method = "post", operation_id = "settings.test_mail")]
    async fn test_mail(
        &self,
        caller: Caller<OfInstance<scope::SettingsWrite>>,
    ) -> Result<Answer<One<TestMailAttributes>, 200>, Refusal> {
        let now = self.app.clock.now();
        let error = match caller.catalogue.settings().mail.route() {
            None => Some("mail.host, mail.from and mail.to have to be set".to_owned()),
            Some(route) => mail::send_test(&route, now).await.err().map(|error| error.to_string()),
        };
        let attributes = TestMailAttributes { is_sent: error.is_none(), error: error.into() };
        Ok(Reply::json(StatusCode::OK, &One::new(format!("test.{}", now.as_millis()), attributes)).into())
    }
}

impl SettingsApi {
    fn configured(&self, name: SettingName) -> Option<&Configured> {
        self.app.settings.configured.iter().find(|configured| configured.name == name.as_str())
    }

    /// What holds when nothing is stored.
    fn otherwise(&self, name: SettingName) -> Value {
        let Retention { payloads_days, metadata_days, audit_days } = self.app.store.retention_configured();
        let rate = |rate: super::PerSecond| rate.map_or_else(|| json!("off"), |rate| json!(rate));
        match name {
            SettingName::PayloadDays => json!(payloads_days),
            SettingName::MetadataDays => json!(metadata_days),
            SettingName::AuditDays => json!(audit_days),
            SettingName::ManagementRate => rate(self.app.settings.rate_limits.management),
            SettingName::PublishRate => rate(self.app.settings.rate_limits.publish),
            SettingName::CompactionHour => show_hour(CompactionPlan::default().hour),
            SettingName::CompactionPercent => json!(CompactionPlan::default().reclaimable_percent),
            SettingName::Language => json!(self.app.settings.language.tag()),
            SettingName::ConsoleUrl => json!(self.app.settings.public_url.as_ref().map(BaseUrl::as_str)),
            SettingName::PortalName
            | SettingName::PortalColor
            | SettingName::PortalLogo
            | SettingName::PortalFrameAncestors
            | SettingName::MailHost
            | SettingName::MailUser
            | SettingName::MailFrom
            | SettingName::MailTo => Value::Null,
            SettingName::MailPassword => json!("not set"),
            SettingName::MailTls => json!(MailTls::default().name()),
            // What it is depends on how the server is talked to.
            SettingName::MailPort => {
                json!(self.app.store.catalogue().settings().mail.tls.unwrap_or_default().port())
            }
            SettingName::MailMinutes => json!(MINUTES_DEFAULT),
            SettingName::DeliveryRate | SettingName::BackupHours => json!("off"),
            SettingName::BackupsKept => json!(KEPT_DEFAULT),
        }
    }

    fn days(&self, stored: &StoredSettings, name: SettingName) -> Option<u64> {
        stored.value(name).unwrap_or_else(|| self.otherwise(name)).as_u64()
    }

    /// In the order of names; first those that are stored, then those of the process alone.
    fn all(&self) -> Reply {
        let catalogue = self.app.store.catalogue();
        let stored = SettingName::ALL.iter().map(|name| {
            let configured = self.configured(*name);
            let (value, otherwise) = (catalogue.settings().value(*name), self.otherwise(*name));
            let place = configured.and_then(|configured| configured.origin.place());
            let origin = match (&value, configured) {
                (Some(_), _) => "stored",
                (None, Some(configured)) => configured.origin.name(),
                (None, None) => "default",
            };
            let attributes = SettingAttributes {
                value: AnyValue(value.unwrap_or_else(|| otherwise.clone())),
                default: AnyValue(configured.map_or(otherwise, |configured| configured.default.clone())),
                origin: OriginName(origin),
                origin_name: place.map(str::to_owned).into(),
                is_changeable: place.is_none(),
                description: description(*name).to_owned(),
            };
            ResourceObject::new(name.as_str(), attributes)
        });
        let of_process = self.app.settings.configured.iter().filter(|one| SettingName::from_name(one.name).is_none());
        let of_process = of_process.map(|Configured { name, description, value, default, origin }| {
            let attributes = SettingAttributes {
                value: AnyValue(value.clone()),
                default: AnyValue(default.clone()),
                origin: OriginName(origin.name()),
                origin_name: origin.place().map(str::to_owned).into(),
                is_changeable: false,
                description: (*description).to_owned(),
            };
            ResourceObject::new(*name, attributes)
        });
        Reply::json(StatusCode::OK, &SettingsBody { data: stored.chain(of_process).collect() })
    }
}

fn description(name: SettingName) -> &'static str {
    match name {
        SettingName::PayloadDays => "Days that the data of events and what was sent are kept",
        SettingName::MetadataDays => "Days that events and deliveries are kept",
        SettingName::AuditDays => "Days that the audit log is kept",
        SettingName::ManagementRate => "Calls per second for each key that has no quota of its own",
        SettingName::PublishRate => "Published events per second for each key that has no quota of its own",
        SettingName::DeliveryRate => {
            "Deliveries per second to all receivers of a tenant together, for each tenant that has no limit of its own"
        }
        SettingName::CompactionHour => "The hour of the day, in UTC, at which space of the store is given back, or off",
        SettingName::CompactionPercent => "Per cent of the store's file that have to be reclaimable for that",
        SettingName::Language => "The language of errors for who asks for none that is spoken",
        SettingName::ConsoleUrl => "Where links for people begin; otherwise at the address that the request came to",
        SettingName::PortalName => "What the portal calls itself",
        SettingName::PortalColor => "The colour of the portal",
        SettingName::PortalLogo => "The picture of the portal",
        SettingName::PortalFrameAncestors => "Sites whose pages may show the portal in a frame",
        SettingName::BackupHours => "Hours between two backups",
        SettingName::BackupsKept => "How many backups are kept",
        SettingName::MailHost => {
            "The server that mail to the operator goes to; with mail.from and mail.to, mail is sent"
        }
        SettingName::MailPort => "The port of that server",
        SettingName::MailTls => "How it is talked to: starttls, tls from the first byte, or none, in the clear",
        SettingName::MailUser => "Who sends, when the server wants to know",
        SettingName::MailPassword => "The password for that; kept encrypted",
        SettingName::MailFrom => "From whom mail comes",
        SettingName::MailTo => "To whom mail goes",
        SettingName::MailMinutes => "Minutes between two mails of one kind of news",
    }
}
