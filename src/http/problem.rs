//! What an error answer says, before it becomes bytes (contract 3.1): every problem of a request, all at once.

use poem::http::{Method, StatusCode};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaResponses, Registry};
use serde::Serialize;

use super::reply::Reply;
use super::text::{Text, text};
use crate::domain::actor::ActorKind;
use crate::domain::key::Scope;
use crate::domain::language::Language;
use crate::domain::obstacle::{Limited, Obstacle};
use crate::domain::violation::{Rule, VIOLATIONS_MAX, Violation};
use crate::store::StoreError;

/// Why a request is not carried out. It becomes an answer at the edge, which knows the request's id.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Never empty; the status of the answer is the first one's.
    problems: Vec<Problem>,
    retry_after_seconds: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Problem {
    ground: Ground,
    source: Option<Source>,
}

/// Where in the request the problem is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// JSON pointer into the body.
    Pointer(String),
    /// A query parameter.
    Parameter(String),
    Header(&'static str),
}

/// Everything that can be wrong, validation being one kind of it.
#[derive(Debug, Clone)]
pub enum Ground {
    Rule(Rule),
    MissingApiKey,
    InvalidApiKey,
    /// The key came in another form than the contract knows.
    InvalidAuthorizationFormat,
    KeyExpired,
    KeyRevoked,
    /// The token is of no portal link, or of one that was used, revoked, or is over.
    InvalidPortalLink,
    /// The session that a portal link gave is over, or the link was revoked.
    PortalSessionOver,
    /// The cookie is of no session, or of one that is over.
    SessionExpired,
    /// Whether the e-mail address, the password or the code is wrong is not told.
    InvalidCredentials,
    /// The password is right, and a code of the second factor is needed besides.
    TotpRequired,
    /// The token is of no invitation, or of one that was used or is over.
    InvalidInvitation,
    /// A password would come in the clear from elsewhere.
    InsecureTransport,
    /// With a session's cookie, and perhaps from a page of another site.
    CrossSiteRequest,
    ReadOnlyKey(ActorKind),
    MissingScope(ActorKind, Scope),
    /// The operation concerns the whole instance, and who asks is bound to a tenant.
    InstanceKeyOnly(ActorKind),
    /// The operation concerns a whole tenant, and the key is restricted to a part of it.
    UnrestrictedKeyOnly,
    /// Nobody sets another's password.
    OwnPasswordOnly,
    /// Nobody but the user.
    OneselfOnly,
    /// Somebody would give more than they have themselves.
    BeyondOwnKey {
        whose: ActorKind,
        what: &'static str,
    },
    NoSuchPath,
    /// `thing` with a capital: it begins the sentence.
    NotFound {
        thing: &'static str,
        id: String,
    },
    UnknownTenant {
        name: String,
    },
    MethodNotAllowed,
    UnsupportedMediaType {
        expected: &'static str,
    },
    BodyTooLarge {
        bytes_max: usize,
    },
    InvalidIdempotencyKey,
    IdempotencyConflict,
    IdempotencyInProgress,
    /// The answer was too large for its contract to be given again.
    IdempotencySnapshotUnavailable,
    AlreadyExists,
    /// Another tenant has the `external_id`.
    TenantIdTaken,
    /// A key has the text that is imported.
    KeyExists,
    /// Another subscription has the public id that is imported.
    PublicIdTaken,
    /// A subscription that was named is not for this event.
    EventNotAllowed,
    ExternalIdConflict,
    InvalidState(Obstacle),
    /// Another user has the e-mail address.
    EmailTaken,
    EventExpired,
    /// A flag, a variable or the file decides it.
    SettingFixed {
        name: &'static str,
        place: String,
    },
    /// Nobody publishes into the tenant that hears about the instance itself.
    SystemTenant,
    PreconditionFailed,
    /// `of_what`: what there are so many of.
    LimitExceeded {
        max: u32,
        of_what: Limited,
    },
    RateLimited,
    /// The tenant tried too many targets, or too many that are forbidden.
    TooManyTargets,
    /// This process sent the request itself, as a delivery.
    Loop,
    /// Over a quota by the minute or the day; `bucket` is its published name.
    RateWindowExceeded {
        bucket: &'static str,
    },
    /// `of_what`: of one key, or of the whole instance.
    TooManyViewers {
        max: usize,
        of_what: &'static str,
    },
    /// `of_what`: as above.
    TooManyListeners {
        max: usize,
        of_what: &'static str,
    },
    /// Somebody else listens to the subscription.
    ListenerTaken,
    StorageFull,
    /// Only one is made at once.
    BackupRunning,
    /// A backup comes onto an instance that holds nothing.
    InstanceNotEmpty,
    /// Where backups are kept cannot be used.
    BackupsUnavailable {
        detail: String,
    },
    CompactionRunning,
    /// What is in use has to be copied.
    NoRoomToCompact {
        needed_bytes: u64,
        free_bytes: u64,
    },
    ShuttingDown,
    /// The store is closed, and is being opened again.
    StorageUnavailable,
    /// A part of this program broke. The log has the details.
    Internal,
    /// What the disk did. It is for the log, and not shown.
    StoreUnavailable {
        detail: String,
    },
}

impl Ground {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Rule(_) | Self::InvalidIdempotencyKey | Self::EventNotAllowed | Self::Loop => StatusCode::BAD_REQUEST,
            Self::MissingApiKey
            | Self::InvalidApiKey
            | Self::InvalidAuthorizationFormat
            | Self::KeyExpired
            | Self::KeyRevoked
            | Self::SessionExpired
            | Self::InvalidCredentials
            | Self::TotpRequired
            | Self::InvalidInvitation
            | Self::InvalidPortalLink
            | Self::PortalSessionOver => StatusCode::UNAUTHORIZED,
            Self::InsecureTransport
            | Self::CrossSiteRequest
            | Self::OwnPasswordOnly
            | Self::OneselfOnly
            | Self::ReadOnlyKey(_)
            | Self::MissingScope(..)
            | Self::InstanceKeyOnly(_)
            | Self::UnrestrictedKeyOnly
            | Self::BeyondOwnKey { .. } => StatusCode::FORBIDDEN,
            Self::NoSuchPath | Self::NotFound { .. } | Self::UnknownTenant { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::IdempotencyConflict
            | Self::IdempotencyInProgress
            | Self::AlreadyExists
            | Self::TenantIdTaken
            | Self::KeyExists
            | Self::PublicIdTaken
            | Self::ExternalIdConflict
            | Self::InvalidState(_)
            | Self::BackupRunning
            | Self::CompactionRunning
            | Self::InstanceNotEmpty
            | Self::ListenerTaken
            | Self::SettingFixed { .. }
            | Self::EmailTaken
            | Self::SystemTenant
            | Self::LimitExceeded { .. } => StatusCode::CONFLICT,
            Self::EventExpired | Self::IdempotencySnapshotUnavailable => StatusCode::GONE,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::RateLimited
            | Self::TooManyTargets
            | Self::RateWindowExceeded { .. }
            | Self::TooManyViewers { .. }
            | Self::TooManyListeners { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::StorageFull | Self::NoRoomToCompact { .. } => StatusCode::INSUFFICIENT_STORAGE,
            Self::ShuttingDown | Self::StorageUnavailable | Self::BackupsUnavailable { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal | Self::StoreUnavailable { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Stable: clients decide by it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rule(rule) => rule.code(),
            Self::MissingApiKey => "missing_api_key",
            Self::InvalidApiKey => "invalid_api_key",
            Self::InvalidAuthorizationFormat => "invalid_authorization_format",
            Self::KeyExpired => "key_expired",
            Self::KeyRevoked => "key_revoked",
            Self::InvalidPortalLink => "invalid_portal_link",
            Self::PortalSessionOver => "session_expired",
            Self::SessionExpired => "session_expired",
            Self::InvalidCredentials => "invalid_credentials",
            Self::TotpRequired => "totp_required",
            Self::InvalidInvitation => "invalid_invitation",
            Self::InsecureTransport => "insecure_transport",
            Self::CrossSiteRequest => "cross_site_request",
            Self::ReadOnlyKey(_) => "read_only_key",
            Self::MissingScope(..)
            | Self::InstanceKeyOnly(_)
            | Self::UnrestrictedKeyOnly
            | Self::OwnPasswordOnly
            | Self::OneselfOnly
            | Self::BeyondOwnKey { .. } => "missing_scope",
            Self::NoSuchPath | Self::NotFound { .. } => "not_found",
            Self::UnknownTenant { .. } => "unknown_tenant",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType { .. } => "unsupported_media_type",
            Self::BodyTooLarge { .. } => "payload_too_large",
            Self::InvalidIdempotencyKey => "invalid_idempotency_key",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::IdempotencyInProgress => "idempotency_in_progress",
            Self::IdempotencySnapshotUnavailable => "idempotency_snapshot_unavailable",
            Self::AlreadyExists | Self::TenantIdTaken | Self::KeyExists | Self::PublicIdTaken | Self::EmailTaken => {
                "already_exists"
            }
            Self::EventNotAllowed => "event_not_allowed",
            Self::ExternalIdConflict => "external_id_conflict",
            Self::InvalidState(_)
            | Self::BackupRunning
            | Self::InstanceNotEmpty
            | Self::ListenerTaken
            | Self::SettingFixed { .. }
            | Self::SystemTenant
            | Self::CompactionRunning => "invalid_state",
            Self::EventExpired => "event_expired",
            Self::PreconditionFailed => "precondition_failed",
            Self::LimitExceeded { .. } | Self::TooManyViewers { .. } | Self::TooManyListeners { .. } => {
                "limit_exceeded"
            }
            Self::RateLimited | Self::TooManyTargets | Self::RateWindowExceeded { .. } => "rate_limited",
            Self::Loop => "loop_detected",
            Self::StorageFull | Self::NoRoomToCompact { .. } => "storage_full",
            Self::BackupsUnavailable { .. } => "backups_unavailable",
            Self::ShuttingDown => "shutting_down",
            Self::StorageUnavailable => "storage_unavailable",
            Self::Internal | Self::StoreUnavailable { .. } => "internal_error",
        }
    }
}

impl Refusal {
    pub fn new(ground: Ground) -> Self {
        Self { problems: vec![Problem { ground, source: None }], retry_after_seconds: None }
    }

    pub fn at(ground: Ground, source: Source) -> Self {
        Self { problems: vec![Problem { ground, source: Some(source) }], retry_after_seconds: None }
    }

    pub fn not_found(thing: &'static str, id: impl Into<String>) -> Self {
        Self::new(Ground::NotFound { thing, id: id.into() })
    }

    /// None when there is nothing to refuse. Tells the first [`VIOLATIONS_MAX`].
    pub fn from_violations(violations: Vec<Violation>) -> Option<Self> {
        let problems: Vec<Problem> = violations.into_iter().take(VIOLATIONS_MAX).map(Problem::from).collect();
        (!problems.is_empty()).then_some(Self { problems, retry_after_seconds: None })
    }

    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    pub fn status(&self) -> StatusCode {
        self.problems[0].ground.status()
    }

    /// Never empty; the first one gives the status.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after_seconds
    }

    /// The same with other names for members of the body, `(ours, theirs)`. A field that is refused since nobody knows it
    /// keeps the name that it came with.
    pub fn renamed(mut self, names: &[(&str, &str)]) -> Self {
        for Problem { ground, source } in &mut self.problems {
            let Some(Source::Pointer(pointer)) = source else { continue };
            if matches!(ground, Ground::Rule(Rule::UnknownField { .. })) {
                continue;
            }
            let rest = |ours: &str| {
                let rest = pointer.strip_prefix('/')?.strip_prefix(ours)?;
                (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
            };
            if let Some((theirs, rest)) = names.iter().find_map(|(ours, theirs)| Some((theirs, rest(ours)?))) {
                *pointer = format!("/{theirs}{rest}");
            }
        }
        self
    }

    /// Whether a repetition with the same idempotency key gets this again: what follows from the request, and not
    /// from who asks or from the moment (contract 3).
    pub fn is_lasting(&self) -> bool {
        let is_of_the_moment = |ground: &Ground| {
            matches!(
                ground,
                Ground::IdempotencyInProgress
                    | Ground::IdempotencyConflict
                    | Ground::InvalidIdempotencyKey
                    | Ground::BackupRunning
                    | Ground::CompactionRunning
                    | Ground::ListenerTaken
                    | Ground::LimitExceeded { .. }
                    | Ground::InvalidState(Obstacle::RestoreRunning | Obstacle::Changed)
            )
        };
        let status = self.status();
        status.is_client_error()
            && ![StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS].contains(&status)
            && !self.problems.iter().any(|problem| is_of_the_moment(&problem.ground))
    }

    /// Tells the log what went wrong on this side, under the id that the answer shows.
    pub fn log(&self, id: &str, method: &Method, path: &str) {
        let status = self.status();
        if !status.is_server_error() {
            return;
        }
        match &self.problems[0].ground {
            Ground::StoreUnavailable { detail } => {
                tracing::error!(id, %method, path, detail, "the store could not be used");
            }
            // It was told when the disk filled up, and writing more about it does not help.
            Ground::StorageFull => tracing::debug!(id, %method, path, "a request was refused: storage is full"),
            _ => tracing::error!(id, %method, path, %status, "a request failed"),
        }
    }

    /// The answer of the own API, with the request's id in each error.
    pub fn render(&self, request_id: &str, language: Language) -> Reply {
        let reply = Reply::json(self.status(), &ErrorsBody { errors: self.views(request_id, language) });
        let reply = reply.in_language(language);
        match self.retry_after_seconds {
            Some(seconds) => reply.header("retry-after", seconds.to_string()),
            None => reply,
        }
    }

    /// The members of `errors`, for one item of a batch.
    pub fn views<'a>(&'a self, request_id: &'a str, language: Language) -> Vec<ProblemView<'a>> {
        self.problems.iter().map(|problem| problem.view(request_id, language)).collect()
    }
}

impl Problem {
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    pub fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    fn view<'a>(&'a self, request_id: &'a str, language: Language) -> ProblemView<'a> {
        let Text { title, detail } = text(&self.ground, language);
        ProblemView {
            id: request_id,
            status: self.ground.status().as_u16().to_string(),
            code: self.ground.code(),
            title,
            detail,
            source: self.source.as_ref(),
        }
    }
}

impl From<Violation> for Problem {
    fn from(Violation { rule, pointer }: Violation) -> Self {
        let source = match &rule {
            Rule::InvalidParameter { name, .. } if pointer.is_empty() => Some(Source::Parameter(name.clone())),
            _ if pointer.is_empty() => None,
            _ => Some(Source::Pointer(pointer)),
        };
        Self { ground: Ground::Rule(rule), source }
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Self { problems: vec![violation.into()], retry_after_seconds: None }
    }
}

impl From<Ground> for Refusal {
    fn from(ground: Ground) -> Self {
        Self::new(ground)
    }
}

impl From<&StoreError> for Refusal {
    fn from(error: &StoreError) -> Self {
        let ground = match error {
            StoreError::NotFound => Ground::NoSuchPath,
            StoreError::AlreadyExists => Ground::AlreadyExists,
            StoreError::EventNotAllowed => Ground::EventNotAllowed,
            StoreError::ExternalIdConflict => Ground::ExternalIdConflict,
            StoreError::LimitExceeded { max, of_what } => Ground::LimitExceeded { max: *max, of_what: *of_what },
            StoreError::InvalidState(obstacle) => Ground::InvalidState(*obstacle),
            StoreError::PayloadExpired => Ground::EventExpired,
            StoreError::PreconditionFailed => Ground::PreconditionFailed,
            StoreError::StorageFull => Ground::StorageFull,
            StoreError::Unavailable(detail) => Ground::StoreUnavailable { detail: detail.clone() },
        };
        Self::new(ground)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

/// The extension carries the refusal through poem to the edge: poem drops what an error's own response holds.
impl From<Refusal> for poem::Error {
    fn from(refusal: Refusal) -> Self {
        let mut error = poem::Error::from_status(refusal.status());
        error.set_data(refusal);
        error
    }
}

/// Documented by `document`, which knows from an operation's shape which refusals it can meet.
impl ApiResponse for Refusal {
    fn meta() -> MetaResponses {
        MetaResponses { responses: Vec::new() }
    }

    fn register(_registry: &mut Registry) {}
}

#[derive(Serialize)]
struct ErrorsBody<'a> {
    errors: Vec<ProblemView<'a>>,
}

#[derive(Serialize)]
pub struct ProblemView<'a> {
    id: &'a str,
    status: String,
    code: &'static str,
    title: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a Source>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_whose_data_is_gone_is_told_apart_from_one_that_never_was() {
        let refusal = Refusal::from(StoreError::PayloadExpired);
        assert_eq!((refusal.status(), refusal.problems[0].ground.code()), (StatusCode::GONE, "event_expired"));
        let unknown = Refusal::from(StoreError::NotFound);
        assert_eq!((unknown.status(), unknown.problems[0].ground.code()), (StatusCode::NOT_FOUND, "not_found"));
    }
}
