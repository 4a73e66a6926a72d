use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use fluent_syntax::ast::{Expression, InlineExpression, Pattern, PatternElement};

use super::*;
use crate::domain::actor::ActorKind;
use crate::domain::delivery::ShownState;
use crate::domain::key::Scope;
use crate::domain::obstacle::{Limited, Obstacle};

/// Every ground and every rule, and what the API says about it in English.
fn all() -> Vec<(Ground, &'static str)> {
    let (rule, state) = (Ground::Rule, Ground::InvalidState);
    vec![
        (Ground::MissingApiKey, "Missing Authorization header"),
        (Ground::InvalidApiKey, "Invalid API key"),
        (Ground::SessionExpired, "This session is over: sign in again"),
        (Ground::InvalidCredentials, "The e-mail address, the password or the code is wrong"),
        (Ground::TotpRequired, "The code of the authenticator app is needed"),
        (Ground::InvalidInvitation, "This link was used, is over, or never was: ask for a new one"),
        (
            Ground::InsecureTransport,
            "A password would come in the clear: use https, or sign in on the server's own machine (an SSH tunnel will do)",
        ),
        (
            Ground::CrossSiteRequest,
            "A request with a session's cookie must come from the console itself, with the header Waxwing-Console",
        ),
        (Ground::OwnPasswordOnly, "Nobody sets another user's password: make a link for the user instead"),
        (Ground::OneselfOnly, "Only the user can do this"),
        (Ground::EmailTaken, "Another user has this e-mail address"),
        (
            Ground::InvalidAuthorizationFormat,
            "The API key must come as `Authorization: Bearer <key>` or `X-API-Key: <key>`",
        ),
        (Ground::KeyExpired, "This API key has expired"),
        (Ground::KeyRevoked, "This API key was revoked"),
        (Ground::InvalidPortalLink, "This link cannot be followed, or not any more: ask for a new one"),
        (Ground::PortalSessionOver, "The session in the portal is over: ask for a new link"),
        (Ground::ReadOnlyKey(ActorKind::Key), "This API key is read-only and cannot perform write operations"),
        (Ground::ReadOnlyKey(ActorKind::Portal), "This visit of the portal is read-only and cannot change anything"),
        (Ground::MissingScope(ActorKind::Key, Scope::EventsWrite), "This API key lacks the scope events:write"),
        (Ground::MissingScope(ActorKind::User, Scope::EventsWrite), "Your role lacks the scope events:write"),
        (Ground::MissingScope(ActorKind::Portal, Scope::KeysRead), "The portal does not give the scope keys:read"),
        (
            Ground::InstanceKeyOnly(ActorKind::Key),
            "This concerns the whole instance, and this API key is bound to one tenant",
        ),
        (
            Ground::InstanceKeyOnly(ActorKind::Portal),
            "This concerns the whole instance, and the portal is about one tenant",
        ),
        (Ground::UnrestrictedKeyOnly, "This concerns the whole tenant, and this API key is restricted to a part of it"),
        (
            Ground::BeyondOwnKey { whose: ActorKind::Key, what: "it expires earlier" },
            "A key cannot give more than it has itself: it expires earlier",
        ),
        (
            Ground::BeyondOwnKey { whose: ActorKind::User, what: "it lacks some of these scopes" },
            "A role cannot give more than it has itself: it lacks some of these scopes",
        ),
        (Ground::NoSuchPath, "There is nothing at this path"),
        (Ground::NotFound { thing: "Event", id: "evt_1".to_owned() }, "Event 'evt_1' not found"),
        (Ground::UnknownTenant { name: "acme".to_owned() }, "Tenant 'acme' not found"),
        (Ground::MethodNotAllowed, "This path does not take this method; the Allow header says which"),
        (Ground::UnsupportedMediaType { expected: "application/json" }, "The body must be sent as application/json"),
        (Ground::BodyTooLarge { bytes_max: 1_048_576 }, "The body is larger than 1048576 bytes"),
        (Ground::InvalidIdempotencyKey, "An Idempotency-Key has 1 to 200 printable ASCII characters"),
        (Ground::IdempotencyConflict, "This Idempotency-Key was used with another body"),
        (Ground::IdempotencyInProgress, "A request with this Idempotency-Key is still running"),
        (
            Ground::IdempotencySnapshotUnavailable,
            "The first answer to this Idempotency-Key was too large to be kept; the request was not carried out again",
        ),
        (Ground::AlreadyExists, "The name is taken"),
        (Ground::TenantIdTaken, "Another tenant has this external_id"),
        (Ground::KeyExists, "There is a key with this text already"),
        (Ground::PublicIdTaken, "Another subscription has this id"),
        (
            Ground::EventNotAllowed,
            "A named subscription was made by a restricted API key, which may not have this event",
        ),
        (Ground::ExternalIdConflict, "An event with this external_id was published with another type or other data"),
        (state(Obstacle::Delivery(ShownState::Succeeded)), "This cannot be done to a delivery that is succeeded"),
        (state(Obstacle::SubscriptionDeleted), "The delivery's subscription was deleted: nobody would get it"),
        (state(Obstacle::JobOver), "The job has ended already"),
        (state(Obstacle::PermanentTenant), "The tenants 'default' and 'system' cannot be removed"),
        (state(Obstacle::NoBackupFile), "This backup has no file: it is being made, or it failed"),
        (state(Obstacle::RestoreRunning), "A backup is being restored already"),
        (
            state(Obstacle::UserExists),
            "There is a user already: `waxwing users reset-password EMAIL` makes a link for them",
        ),
        (state(Obstacle::LastOwner), "The last owner cannot go: make another user an owner first"),
        (state(Obstacle::TotpExists), "There is an authenticator app already: remove it first"),
        (state(Obstacle::TotpMissing), "No authenticator app waits to be confirmed: add one first"),
        (state(Obstacle::Changed), "It is no longer as it was: read it again, then try again"),
        (Ground::EventExpired, "The event's data was removed when its time was over: it cannot be sent again"),
        (
            Ground::SettingFixed { name: "language", place: "WAXWING_LANGUAGE".to_owned() },
            "WAXWING_LANGUAGE sets 'language': it can only be changed there",
        ),
        (
            Ground::InstanceNotEmpty,
            "This instance holds something already: a backup is restored onto one that holds nothing",
        ),
        (Ground::BackupRunning, "A backup is being made: only one is at once"),
        (
            Ground::BackupsUnavailable { detail: "s3://b: no answer".to_owned() },
            "Backups cannot be used where they are kept: s3://b: no answer",
        ),
        (Ground::SystemTenant, "Nobody publishes into the tenant 'system'"),
        (Ground::PreconditionFailed, "It was changed since it was read: its ETag is no longer the one in If-Match"),
        (
            Ground::LimitExceeded { max: 50, of_what: Limited::Subscriptions },
            "No more than 50 subscriptions of one tenant are allowed",
        ),
        (Ground::RateLimited, "Rate limit exceeded. Please retry after a short delay."),
        (
            Ground::TooManyTargets,
            "This tenant tried too many addresses, or too many that are not allowed. Please retry when Retry-After says.",
        ),
        (Ground::Loop, "This request is a delivery of this very server: it would go round in a circle"),
        (
            Ground::RateWindowExceeded { bucket: "rpm_exceeded" },
            "Rate limit exceeded (rpm_exceeded). Please retry when Retry-After says.",
        ),
        (
            Ground::TooManyViewers { max: 5, of_what: "one key" },
            "No more than 5 viewers of one key can watch at once: close one, then try again",
        ),
        (
            Ground::TooManyListeners { max: 5, of_what: "one key" },
            "No more than 5 listeners of one key are possible at once: end one, then try again",
        ),
        (Ground::ListenerTaken, "Somebody else listens to this subscription"),
        (Ground::StorageFull, "Storage is full: nothing new is accepted until space is free"),
        (Ground::CompactionRunning, "A compaction is under way"),
        (
            Ground::NoRoomToCompact { needed_bytes: 2000, free_bytes: 1000 },
            "The copy needs about 2000 bytes above the reserve, and 1000 are free",
        ),
        (
            Ground::StorageUnavailable,
            "The store cannot be used at the moment, and nothing is accepted until it is open again",
        ),
        (Ground::ShuttingDown, "The server is shutting down: please try again"),
        (Ground::Internal, "Something went wrong here; the request id finds it in the log"),
        (
            Ground::StoreUnavailable { detail: "the disk is gone".to_owned() },
            "Something went wrong here; the request id finds it in the log",
        ),
        (
            rule(Rule::InvalidJson("EOF while parsing a value at line 1 column 5".to_owned())),
            "The body is not valid JSON: EOF while parsing a value at line 1 column 5",
        ),
        (rule(Rule::UnknownField { name: "colour".to_owned() }), "There is no field 'colour' here"),
        (rule(Rule::MissingField { name: "url".into() }), "The field 'url' is required"),
        (rule(Rule::InvalidType { expected: "an array of strings" }), "This must be an array of strings"),
        (
            rule(Rule::InvalidParameter { name: "page[size]".to_owned(), expected: "1 to 100".into() }),
            "'page[size]' must be 1 to 100",
        ),
        (rule(Rule::OutOfRange { min: -1, max: 10_000, unit: "" }), "This must be -1 to 10000"),
        (rule(Rule::OutOfRange { min: 1, max: 30, unit: "seconds" }), "This must be 1 to 30 seconds"),
        (rule(Rule::TooFarAhead { days_max: 30 }), "This may lie at most 30 days ahead"),
        (rule(Rule::TooShort { min: 1 }), "This must not be empty"),
        (rule(Rule::TooShort { min: 2 }), "This must have at least 2 characters"),
        (rule(Rule::TooLong { max: 2048 }), "This must have at most 2048 characters"),
        (rule(Rule::InvalidFormat { expected: "'none' or 'fifo'" }), "This must be 'none' or 'fifo'"),
        (rule(Rule::DuplicateItem), "This occurs twice"),
        (rule(Rule::TooManyItems { max: 50 }), "There may be at most 50"),
        (
            rule(Rule::BatchOverRate { max: 10 }),
            "There may be at most 10: so many events may be published a second with these credentials",
        ),
        (rule(Rule::InvalidUrl("the host is missing")), "This is not a usable URL: the host is missing"),
        (rule(Rule::UrlNotHttps), "The URL must begin with https://"),
        (
            rule(Rule::UrlBlocked),
            "Deliveries to this address are allowed only where the operator of the server opens it",
        ),
        (rule(Rule::UrlTooLong { max: 2048 }), "A URL has at most 2048 characters"),
        (
            rule(Rule::HeaderNotAllowed(InvalidHeaderName::Malformed)),
            "The name of a header has 1 to 64 characters of A-Z a-z 0-9 ! # $ % & ' * + - . ^ _ ` | ~",
        ),
        (
            rule(Rule::HeaderNotAllowed(InvalidHeaderName::Reserved)),
            "Waxwing or HTTP itself sets this header: it cannot be a custom one",
        ),
        (
            rule(Rule::InvalidSecret { expected: "64 lower-case hexadecimal characters" }),
            "A secret of this profile is 64 lower-case hexadecimal characters",
        ),
        (
            rule(Rule::KeyPairNotSupported { profile: "mage" }),
            "Deliveries of the profile 'mage' have no room for the signature of a key pair",
        ),
        (
            rule(Rule::OverlapNotSupported { profile: "mage" }),
            "Deliveries of the profile 'mage' carry one signature: two secrets cannot overlap",
        ),
        (rule(Rule::EventsEmpty), "At least one event type or pattern is needed"),
        (rule(Rule::ArchivedEventType { name: "order.lost".to_owned() }), "The event type 'order.lost' is archived"),
        (rule(Rule::UnknownEventType { name: "order.lost".to_owned() }), "There is no event type 'order.lost'"),
        (
            rule(Rule::EventNotAllowed { name: "order.paid".to_owned() }),
            "'order.paid' is beyond what the API key is restricted to",
        ),
        (rule(Rule::ChannelNotAllowed), "This is not a channel of the restricted API key"),
        (rule(Rule::DescriptionTooLong { max: 256 }), "A description has at most 256 characters"),
        (rule(Rule::PayloadTooLarge { max: 262_144 }), "This must have at most 262144 bytes"),
        (rule(Rule::PayloadTooDeep { max: 100 }), "This nests deeper than 100 levels"),
        (
            rule(Rule::InvalidSchema { why: "\"strng\" is no type".to_owned() }),
            "This is not a JSON Schema that can be used: \"strng\" is no type",
        ),
        (
            rule(Rule::PayloadSchemaMismatch { detail: "\"total\" is a required property".to_owned() }),
            "This does not fit the event type's schema: \"total\" is a required property",
        ),
    ]
}

#[test]
fn every_error_is_told_in_english_as_it_always_was() {
    for (ground, expected) in all() {
        let status = ground.status();
        let Text { title, detail } = text(&ground, Language::English);
        assert_eq!((title.as_str(), detail.as_str()), (status.canonical_reason().unwrap(), expected));
    }
}

/// A new ground or rule stops here until `all` has it, since every message of the files must be said by one of them.
#[test]
fn each_message_is_said_by_an_error_and_each_error_has_its_messages() {
    let mut said: BTreeSet<String> = BTreeSet::new();
    for (ground, _) in all() {
        said.insert(detail(&ground).id.into_owned());
        said.insert(title(ground.status()).id.into_owned());
    }
    let named: BTreeSet<String> = include_str!("../text.rs")
        .split("Message::new(\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    let said_details: BTreeSet<String> = said.iter().filter(|id| !id.starts_with("title-")).cloned().collect();
    assert_eq!(said_details, named, "`all` has every ground and rule");
    for language in Language::ALL {
        let in_file: BTreeSet<String> = ids(language).into_iter().filter(|id| !id.starts_with(PHRASE)).collect();
        assert_eq!(in_file, said, "{language}");
    }
}

#[test]
fn every_language_has_the_same_messages_with_the_same_arguments() {
    let english = arguments_by_id(Language::English);
    for language in Language::ALL {
        let there = arguments_by_id(language);
        assert_eq!(ids(language).len(), there.len(), "{language} has a message twice");
        let all: BTreeSet<&String> = there.keys().chain(english.keys()).collect();
        let unlike: Vec<_> = all.into_iter().filter(|id| there.get(*id) != english.get(*id)).collect();
        assert!(
            unlike.is_empty(),
            "{language} lacks these, alone has them, or says them with other arguments: {unlike:#?}"
        );
    }
}

#[test]
fn every_error_reads_well_to_its_end_in_every_language() {
    for (ground, english) in all() {
        let arguments: Vec<String> = detail(&ground)
            .arguments
            .into_iter()
            .filter_map(|(_, argument)| match argument {
                Argument::Plain(text) => Some(text.into_owned()),
                Argument::Phrase(_) => None,
            })
            .collect();
        for language in [Language::Spanish, Language::Portuguese] {
            let Text { title, detail } = text(&ground, language);
            assert_ne!(detail, english, "{language}");
            assert!(!title.is_empty() && title != ground.status().canonical_reason().unwrap(), "{language}: {title}");
            for argument in &arguments {
                assert!(detail.contains(argument), "{argument:?} is not in {detail:?}");
            }
            for left_over in ['{', '}', '\u{2068}', '\u{2069}'] {
                assert!(!detail.contains(left_over), "{detail:?}");
            }
        }
    }
}

#[test]
fn what_a_user_wrote_is_told_as_it_was_written() {
    for written in ["{ $max }", "\u{202e}evil", "ñ\"'", "{\"a\"}", "-term", "a\nb = c", ""] {
        for language in Language::ALL {
            let ground = Ground::Rule(Rule::UnknownField { name: written.to_owned() });
            let detail = text(&ground, language).detail;
            assert!(detail.contains(&format!("'{written}'")), "{detail:?}");
        }
    }
}

#[test]
fn some_sentences_as_people_read_them() {
    let said = |ground: Ground| {
        let lines = Language::ALL.map(|language| {
            let Text { title, detail } = text(&ground, language);
            format!("{language} {title}: {detail}\n")
        });
        lines.concat()
    };
    let too_long = Rule::OutOfRange { min: 1, max: 30, unit: "seconds" };
    let size = Rule::InvalidParameter { name: "page[size]".to_owned(), expected: "1 to 100".into() };
    let shown: String = [
        Ground::NotFound { thing: "Webhook subscription", id: "whsub_1".to_owned() },
        Ground::TooManyViewers { max: 100, of_what: "the whole instance" },
        Ground::Rule(too_long),
        Ground::Rule(size),
    ]
    .map(said)
    .concat();
    expect_test::expect![[r#"
        en Not Found: Webhook subscription 'whsub_1' not found
        es No encontrado: No se encontró la suscripción de webhook 'whsub_1'
        pt Não encontrado: Não foi possível encontrar a assinatura de webhook 'whsub_1'
        en Too Many Requests: No more than 100 viewers of the whole instance can watch at once: close one, then try again
        es Demasiadas solicitudes: El máximo es de 100 conexiones simultáneas en toda la instancia: cierra una y vuelve a intentarlo
        pt Muitas requisições: O máximo é de 100 conexões simultâneas em toda a instância: feche uma e tente novamente
        en Bad Request: This must be 1 to 30 seconds
        es Solicitud incorrecta: Debe estar entre 1 y 30 segundos
        pt Requisição inválida: Deve estar entre 1 e 30 segundos
        en Bad Request: 'page[size]' must be 1 to 100
        es Solicitud incorrecta: 'page[size]' debe ser un número de 1 a 100
        pt Requisição inválida: 'page[size]' deve ser um número de 1 a 100
    "#]]
    .assert_eq(&shown);
}

/// The phrases stand where the rules are checked. Each literal there that looks like one has its message, and each
/// message its literal.
#[test]
fn every_phrase_of_the_program_has_a_message_and_every_message_a_phrase() {
    let sources = sources();
    let known: BTreeSet<&str> = PHRASES.keys().map(String::as_str).collect();
    let count = ids(Language::English).iter().filter(|id| id.starts_with(PHRASE)).count();
    assert_eq!(known.len(), count, "no phrase has two names");
    let found: BTreeSet<String> = sources.iter().flat_map(|source| phrases_in(source)).collect();
    assert!(found.len() > 50, "they were found: {found:#?}");
    let unknown: Vec<&String> = found.iter().filter(|phrase| !known.contains(phrase.as_str())).collect();
    assert!(unknown.is_empty(), "locales/ lack {unknown:#?}");
    let unused = known.iter().filter(|phrase| !sources.iter().any(|source| source.contains(&format!("\"{phrase}\""))));
    let unused: Vec<_> = unused.collect();
    assert!(unused.is_empty(), "nothing says {unused:#?}");
}

/// What stands before a phrase.
const BEFORE_PHRASES: [&str; 10] = [
    "expected: \"",
    "expected = \"",
    "EXPECTED: &str = \"",
    "EXPECTED: &'static str = \"",
    "THING: &str = \"",
    "InvalidUrl(\"",
    "unit: \"",
    "range, \"",
    "beyond(\"",
    "refuse(VIEWERS_MAX, \"",
];
/// Calls whose second argument is one.
const SECOND_OF: [&str; 5] = ["take_with(", ".take(", "refuse(", "wrong(", "read("];

fn phrases_in(source: &str) -> Vec<String> {
    let literal = |rest: &str| rest.split('"').next().unwrap_or_default().to_owned();
    let named = BEFORE_PHRASES.iter().flat_map(|before| source.split(before).skip(1)).map(literal);
    let second = SECOND_OF.iter().flat_map(|before| source.split(before).skip(1)).filter_map(|rest| {
        let (_, second) = rest.split(')').next()?.split_once(", ")?;
        Some(literal(second.trim_start().strip_prefix('"')?))
    });
    // Arms of a match: names and codes are one word, media types have a slash, and a text of its own begins with a capital.
    let is_phrase = |arm: &String| {
        arm.contains(' ') && !arm.contains("; charset=") && !arm.starts_with(|first: char| first.is_uppercase())
    };
    let arms = source.split("=> \"").skip(1).map(literal).filter(is_phrase);
    // An empty one is a unit that is none.
    named.chain(second).chain(arms).filter(|phrase| !phrase.is_empty()).collect()
}

/// Of `http` and `domain`, without tests, each on one line.
fn sources() -> Vec<String> {
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for part in ["http", "domain"] {
        collect(&root.join(part), &mut files);
    }
    let read = |file: &PathBuf| {
        let source = fs::read_to_string(file).expect("a source file is readable");
        let program = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        program.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(")
    };
    // What a receiver expects of a signature is told on the command line, in English.
    files.iter().filter(|file| !file.ends_with("profile/verify.rs")).map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the source folder is readable") {
        let path = entry.expect("its entries are too").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

/// Messages by their names, with the arguments that they use. A file with anything else in it is not read.
fn arguments_by_id(language: Language) -> BTreeMap<String, BTreeSet<String>> {
    let resource = resource(language);
    let messages = resource.entries().filter_map(|entry| match entry {
        Entry::Message(message) => {
            assert!(message.attributes.is_empty(), "{language}: {}", message.id.name);
            let value = message.value.as_ref().expect("a message says something");
            Some((message.id.name.to_owned(), arguments_of(value)))
        }
        Entry::Comment(_) | Entry::GroupComment(_) | Entry::ResourceComment(_) => None,
        other => panic!("{language}: {other:?}"),
    });
    messages.collect()
}

fn arguments_of(pattern: &Pattern<&str>) -> BTreeSet<String> {
    let argument = |element: &PatternElement<&str>| match element {
        PatternElement::TextElement { .. } => None,
        PatternElement::Placeable { expression: Expression::Inline(InlineExpression::VariableReference { id }) } => {
            Some(id.name.to_owned())
        }
        PatternElement::Placeable { expression } => panic!("not an argument: {expression:?}"),
    };
    pattern.elements.iter().filter_map(argument).collect()
}
