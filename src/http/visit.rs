//! One request as it passes through: what the edge knows before the operation runs, and learns while it does.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use poem::Request;
use poem::http::HeaderValue;

use super::App;
use super::audit::Ending;
use super::compat;
use super::limit::Allowance;
use crate::domain::actor::Actor;
use crate::domain::contract::Contract;
use crate::domain::id::TenantId;
use crate::domain::language::Language;
use crate::domain::time::Timestamp;

/// Put into the request by the edge, found there by every extractor.
pub struct Visit {
    pub app: Arc<App>,
    /// Which published contract answers; none: the own API.
    pub contract: Option<Contract>,
    pub came_at: Timestamp,
    /// A ULID, or what the contract makes of one: in `X-Request-Id`, in each error, in the log.
    pub id: String,
    /// Who asks, as far as the trusted proxies say.
    pub client: Option<IpAddr>,
    pub body_bytes_max: usize,
    /// Each line of the header, unread: most requests are answered without words.
    pub accept_language: Vec<HeaderValue>,
    /// Who asks, once that is known.
    pub actor: OnceLock<Actor>,
    /// For which tenant, once that is known.
    pub tenant: OnceLock<TenantId>,
    /// For the audit log, when it is not simply done or refused.
    pub ending: OnceLock<Ending>,
    /// What is left of the caller's quota, once the caller is known.
    pub allowance: OnceLock<Allowance>,
}

impl Visit {
    pub fn of(request: &Request) -> &Arc<Self> {
        request.data::<Arc<Self>>().expect("the edge puts it into every request")
    }

    /// In which the caller reads what is wrong.
    pub fn language(&self) -> Language {
        let stored = self.app.store.catalogue().settings().language;
        compat::language(self.contract, &self.accept_language, stored.unwrap_or(self.app.settings.language))
    }
}
