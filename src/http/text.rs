//! Every sentence that the API says about an error: which message, with which arguments. The messages are in `locales/`,
//! a file for each language.
//!
//! Errors are named by the program in whole (`Ground`, `Rule`) and their parts by short English phrases ("an array of
//! strings"). `locales/en.ftl` lists these phrases, and so leads from each to its words in another language.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use fluent_syntax::ast::Entry;
use poem::http::StatusCode;

use super::problem::Ground;
use crate::domain::actor::ActorKind;
use crate::domain::header::{InvalidHeaderName, NAME_EXPECTED};
use crate::domain::language::Language;
use crate::domain::obstacle::Obstacle;
use crate::domain::violation::Rule;

/// What people read about an error, in one language.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    pub title: String,
    pub detail: String,
}

pub fn text(ground: &Ground, language: Language) -> Text {
    Text { title: title(ground.status()).say(language), detail: detail(ground).say(language) }
}

/// A message by its name in `locales/`, with its arguments.
struct Message<'a> {
    id: Cow<'static, str>,
    arguments: Vec<(&'static str, Argument<'a>)>,
}

enum Argument<'a> {
    /// The same in every language: what the user wrote, a number, a name.
    Plain(Cow<'a, str>),
    /// English words of the program's own, to be said in the language.
    Phrase(&'a str),
}

impl<'a> Message<'a> {
    fn new(id: &'static str) -> Self {
        Self { id: id.into(), arguments: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        self.arguments.push((name, Argument::Plain(value.into())));
        self
    }

    /// In plain digits, whatever the language: clients may compare them.
    fn number(self, name: &'static str, number: impl ToString) -> Self {
        self.with(name, number.to_string())
    }

    fn phrase(mut self, name: &'static str, english: &'a str) -> Self {
        self.arguments.push((name, Argument::Phrase(english)));
        self
    }

    fn say(&self, language: Language) -> String {
        let mut arguments = FluentArgs::with_capacity(self.arguments.len());
        for (name, argument) in &self.arguments {
            let words = match argument {
                Argument::Plain(text) => text.clone(),
                Argument::Phrase(english) => phrase(english, language),
            };
            arguments.set(*name, words);
        }
        format(&self.id, &arguments, language).expect("a test says every message in every language")
    }
}

fn title(status: StatusCode) -> Message<'static> {
    Message { id: format!("title-{}", status.as_u16()).into(), arguments: Vec::new() }
}

fn detail(ground: &Ground) -> Message<'_> {
    match ground {
        Ground::Rule(rule) => rule_detail(rule),
        Ground::MissingApiKey => Message::new("missing-api-key"),
        Ground::InvalidApiKey => Message::new("invalid-api-key"),
        Ground::InvalidAuthorizationFormat => Message::new("invalid-authorization-format"),
        Ground::KeyExpired => Message::new("key-expired"),
        Ground::KeyRevoked => Message::new("key-revoked"),
        Ground::InvalidPortalLink => Message::new("invalid-portal-link"),
        Ground::PortalSessionOver => Message::new("portal-session-over"),
        Ground::SessionExpired => Message::new("session-expired"),
        Ground::InvalidCredentials => Message::new("invalid-credentials"),
        Ground::TotpRequired => Message::new("totp-required"),
        Ground::InvalidInvitation => Message::new("invalid-invitation"),
        Ground::InsecureTransport => Message::new("insecure-transport"),
        Ground::CrossSiteRequest => Message::new("cross-site-request"),
        Ground::OwnPasswordOnly => Message::new("own-password-only"),
        Ground::OneselfOnly => Message::new("oneself-only"),
        Ground::EmailTaken => Message::new("email-taken"),
        Ground::ReadOnlyKey(ActorKind::Portal) => Message::new("read-only-portal"),
        Ground::ReadOnlyKey(ActorKind::Key | ActorKind::User) => Message::new("read-only-key"),
        Ground::MissingScope(ActorKind::Key, scope) => Message::new("missing-scope").with("scope", scope.name()),
        Ground::MissingScope(ActorKind::User, scope) => {
            Message::new("missing-scope-of-role").with("scope", scope.name())
        }
        Ground::MissingScope(ActorKind::Portal, scope) => {
            Message::new("missing-scope-of-portal").with("scope", scope.name())
        }
        Ground::InstanceKeyOnly(ActorKind::Portal) => Message::new("not-in-portal"),
        Ground::InstanceKeyOnly(ActorKind::Key | ActorKind::User) => Message::new("instance-key-only"),
        Ground::UnrestrictedKeyOnly => Message::new("unrestricted-key-only"),
        Ground::BeyondOwnKey { whose: ActorKind::User, what } => Message::new("beyond-own-role").phrase("what", what),
        Ground::BeyondOwnKey { whose: ActorKind::Key | ActorKind::Portal, what } => {
            Message::new("beyond-own-key").phrase("what", what)
        }
        Ground::NoSuchPath => Message::new("no-such-path"),
        Ground::NotFound { thing, id } => Message::new("not-found").phrase("thing", thing).with("id", id),
        Ground::UnknownTenant { name } => Message::new("unknown-tenant").with("name", name),
        Ground::MethodNotAllowed => Message::new("method-not-allowed"),
        Ground::UnsupportedMediaType { expected } => {
            Message::new("unsupported-media-type").phrase("expected", expected)
        }
        Ground::BodyTooLarge { bytes_max } => Message::new("body-too-large").number("bytes_max", bytes_max),
        Ground::InvalidIdempotencyKey => Message::new("invalid-idempotency-key"),
        Ground::IdempotencyConflict => Message::new("idempotency-conflict"),
        Ground::IdempotencyInProgress => Message::new("idempotency-in-progress"),
        Ground::IdempotencySnapshotUnavailable => Message::new("idempotency-snapshot-unavailable"),
        Ground::AlreadyExists => Message::new("already-exists"),
        Ground::TenantIdTaken => Message::new("tenant-id-taken"),
        Ground::KeyExists => Message::new("key-exists"),
        Ground::PublicIdTaken => Message::new("public-id-taken"),
        Ground::EventNotAllowed => Message::new("subscription-not-for-event"),
        Ground::ExternalIdConflict => Message::new("external-id-conflict"),
        Ground::InvalidState(obstacle) => obstacle_detail(*obstacle),
        Ground::EventExpired => Message::new("event-expired"),
        Ground::SettingFixed { name, place } => Message::new("setting-fixed").with("name", *name).with("place", place),
        Ground::SystemTenant => Message::new("system-tenant"),
        Ground::PreconditionFailed => Message::new("precondition-failed"),
        Ground::LimitExceeded { max, of_what } => {
            Message::new("limit-exceeded").number("max", max).phrase("of_what", of_what.words())
        }
        Ground::RateLimited => Message::new("rate-limited"),
        Ground::TooManyTargets => Message::new("too-many-targets"),
        Ground::Loop => Message::new("loop-detected"),
        Ground::RateWindowExceeded { bucket } => Message::new("rate-window-exceeded").with("bucket", *bucket),
        Ground::TooManyViewers { max, of_what } => {
            Message::new("too-many-viewers").number("max", max).phrase("of_what", of_what)
        }
        Ground::TooManyListeners { max, of_what } => {
            Message::new("too-many-listeners").number("max", max).phrase("of_what", of_what)
        }
        Ground::ListenerTaken => Message::new("listener-taken"),
        Ground::StorageFull => Message::new("storage-full"),
        Ground::InstanceNotEmpty => Message::new("instance-not-empty"),
        Ground::BackupRunning => Message::new("backup-running"),
        Ground::BackupsUnavailable { detail } => Message::new("backups-unavailable").with("why", detail),
        Ground::CompactionRunning => Message::new("compaction-running"),
        Ground::NoRoomToCompact { needed_bytes, free_bytes } => {
            Message::new("no-room-to-compact").number("needed_bytes", needed_bytes).number("free_bytes", free_bytes)
        }
        Ground::ShuttingDown => Message::new("shutting-down"),
        Ground::StorageUnavailable => Message::new("storage-unavailable"),
        Ground::Internal | Ground::StoreUnavailable { .. } => Message::new("internal"),
    }
}

fn obstacle_detail(obstacle: Obstacle) -> Message<'static> {
    match obstacle {
        Obstacle::Delivery(state) => Message::new("delivery-state").with("state", state.name()),
        Obstacle::SubscriptionDeleted => Message::new("subscription-deleted"),
        Obstacle::JobOver => Message::new("job-over"),
        Obstacle::PermanentTenant => Message::new("permanent-tenant"),
        Obstacle::NoBackupFile => Message::new("no-backup-file"),
        Obstacle::RestoreRunning => Message::new("restore-running"),
        Obstacle::UserExists => Message::new("user-exists"),
        Obstacle::LastOwner => Message::new("last-owner"),
        Obstacle::TotpExists => Message::new("totp-exists"),
        Obstacle::TotpMissing => Message::new("totp-missing"),
        Obstacle::Changed => Message::new("changed"),
    }
}

fn rule_detail(rule: &Rule) -> Message<'_> {
    match rule {
        Rule::InvalidJson(where_it_stops) => Message::new("invalid-json").with("why", where_it_stops),
        Rule::UnknownField { name } => Message::new("unknown-field").with("name", name),
        Rule::MissingField { name } => Message::new("missing-field").with("name", &**name),
        Rule::InvalidType { expected } => Message::new("invalid-type").phrase("expected", expected),
        Rule::InvalidParameter { name, expected } => {
            Message::new("invalid-parameter").with("name", name).phrase("expected", expected)
        }
        Rule::OutOfRange { min, max, unit: "" } => Message::new("out-of-range").number("min", min).number("max", max),
        Rule::OutOfRange { min, max, unit } => {
            Message::new("out-of-range-in").number("min", min).number("max", max).phrase("unit", unit)
        }
        Rule::TooFarAhead { days_max } => Message::new("too-far-ahead").number("days_max", days_max),
        Rule::TooShort { min: 1 } => Message::new("empty"),
        Rule::TooShort { min } => Message::new("too-short").number("min", min),
        Rule::TooLong { max } => Message::new("too-long").number("max", max),
        Rule::InvalidFormat { expected } => Message::new("invalid-format").phrase("expected", expected),
        Rule::DuplicateItem => Message::new("duplicate-item"),
        Rule::TooManyItems { max } => Message::new("too-many-items").number("max", max),
        Rule::BatchOverRate { max } => Message::new("batch-over-rate").number("max", max),
        Rule::InvalidUrl(why) => Message::new("invalid-url").phrase("why", why),
        Rule::UrlNotHttps => Message::new("url-not-https"),
        Rule::UrlBlocked => Message::new("url-blocked"),
        Rule::UrlTooLong { max } => Message::new("url-too-long").number("max", max),
        Rule::HeaderNotAllowed(InvalidHeaderName::Malformed) => {
            Message::new("header-malformed").phrase("expected", NAME_EXPECTED)
        }
        Rule::HeaderNotAllowed(InvalidHeaderName::Reserved) => Message::new("header-reserved"),
        Rule::InvalidSecret { expected } => Message::new("invalid-secret").phrase("expected", expected),
        Rule::OverlapNotSupported { profile } => Message::new("overlap-not-supported").with("profile", *profile),
        Rule::KeyPairNotSupported { profile } => Message::new("key-pair-not-supported").with("profile", *profile),
        Rule::EventsEmpty => Message::new("events-empty"),
        Rule::UnknownEventType { name } => Message::new("unknown-event-type").with("name", name),
        Rule::ArchivedEventType { name } => Message::new("archived-event-type").with("name", name),
        Rule::EventNotAllowed { name } => Message::new("event-not-allowed").with("name", name),
        Rule::ChannelNotAllowed => Message::new("channel-not-allowed"),
        Rule::DescriptionTooLong { max } => Message::new("description-too-long").number("max", max),
        Rule::PayloadTooLarge { max } => Message::new("payload-too-large").number("max", max),
        Rule::PayloadTooDeep { max } => Message::new("payload-too-deep").number("max", max),
        Rule::InvalidSchema { why } => Message::new("invalid-schema").with("why", why),
        Rule::PayloadSchemaMismatch { detail } => Message::new("payload-schema-mismatch").with("detail", detail),
    }
}

/// The file of each language.
fn source(language: Language) -> &'static str {
    match language {
        Language::English => include_str!("locales/en.ftl"),
        Language::Spanish => include_str!("locales/es.ftl"),
        Language::Portuguese => include_str!("locales/pt.ftl"),
    }
}

/// What phrases are called in the files.
const PHRASE: &str = "phrase-";

type Bundle = FluentBundle<FluentResource>;

/// In the order of `Language::ALL`. Made when the first error is told, and once.
static BUNDLES: LazyLock<[Bundle; Language::ALL.len()]> = LazyLock::new(|| Language::ALL.map(bundle));

/// English phrases, and their names.
static PHRASES: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let ids = ids(Language::English).into_iter().filter(|id| id.starts_with(PHRASE));
    let english = |id: &str| format(id, &FluentArgs::new(), Language::English).expect("it is in the file");
    ids.map(|id| (english(&id), id)).collect()
});

fn resource(language: Language) -> FluentResource {
    FluentResource::try_new(source(language).to_owned()).expect("a test reads every file")
}

fn bundle(language: Language) -> Bundle {
    let tag = language.tag().parse().expect("en, es and pt are language tags");
    let mut bundle = FluentBundle::new_concurrent(vec![tag]);
    // The marks would stand in JSON, around what clients and people copy.
    bundle.set_use_isolating(false);
    bundle.add_resource(resource(language)).expect("a test finds no message twice");
    bundle
}

/// The names of all messages of a file.
fn ids(language: Language) -> Vec<String> {
    let id = |entry: &Entry<&str>| match entry {
        Entry::Message(message) => Some(message.id.name.to_owned()),
        _ => None,
    };
    resource(language).entries().filter_map(id).collect()
}

/// None when there is no such message.
fn format(id: &str, arguments: &FluentArgs<'_>, language: Language) -> Option<String> {
    let place = Language::ALL.iter().position(|known| *known == language)?;
    let bundle = &BUNDLES[place];
    let pattern = bundle.get_message(id)?.value()?;
    let mut errors = Vec::new();
    let text = bundle.format_pattern(pattern, Some(arguments), &mut errors).into_owned();
    debug_assert!(errors.is_empty(), "{id} in {language}: {errors:?}");
    Some(text)
}

/// English words of the program's own, outside of a sentence.
pub fn said(english: &str, language: Language) -> String {
    phrase(english, language).into_owned()
}

/// A phrase that nobody has translated is said in English: half an answer is better than none.
fn phrase(english: &str, language: Language) -> Cow<'_, str> {
    let id = PHRASES.get(english);
    debug_assert!(id.is_some(), "locales/en.ftl lacks the phrase \"{english}\"");
    let said = id.and_then(|id| format(id, &FluentArgs::new(), language));
    said.map_or(Cow::Borrowed(english), Cow::Owned)
}

#[cfg(test)]
mod tests;
