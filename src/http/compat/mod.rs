//! The published contracts that are spoken beside the own API: which one answers at a path, and what is its own there (the
//! body of errors, its language, ids of requests, keys, quotas). Everything else is the own API's.
//!
//! Each contract has a folder. Another one is a variant of [`Contract`]: the compiler names the places.

pub mod agentmessage;
pub mod marea;

use poem::http::{HeaderMap, HeaderName, HeaderValue, header};
use poem::{Endpoint, IntoResponse, Request, Response, Result};
use serde_json::Value;
use ulid::Ulid;

use super::auth;
use super::document::Place;
use super::language::accepted;
use super::limit::{Allowance, whole_seconds};
use super::problem::{Ground, Refusal};
use super::reply::Reply;
use super::visit::Visit;
use crate::domain::actor::Actor;
use crate::domain::contract::{Contract, Contracts};
use crate::domain::key::{KeyKind, Scope};
use crate::domain::language::Language;
use crate::store::Catalogue;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// The contract whose path this is, if it is one and the instance speaks it.
pub fn contract_at(path: &str, spoken: Contracts) -> Option<Contract> {
    let is_below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    spoken.iter().find(|contract| roots(*contract).iter().any(|root| is_below(root)))
}

/// Every path of the contract is one of these, or below it.
fn roots(contract: Contract) -> &'static [&'static str] {
    match contract {
        Contract::Marea => &marea::ROOTS,
        Contract::AgentMessage => &agentmessage::ROOTS,
    }
}

/// The routes of the own API and of each contract: the visit says whose they are.
pub struct Routes<N, M, A> {
    pub native: N,
    pub marea: M,
    pub agentmessage: A,
}

impl<N: Endpoint, M: Endpoint, A: Endpoint> Endpoint for Routes<N, M, A> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        // In boxes, as `Shortcut` does it.
        match Visit::of(&request).contract {
            None => Ok(Box::pin(self.native.call(request)).await?.into_response()),
            Some(Contract::Marea) => Ok(Box::pin(self.marea.call(request)).await?.into_response()),
            Some(Contract::AgentMessage) => Ok(Box::pin(self.agentmessage.call(request)).await?.into_response()),
        }
    }
}

/// The contract's own OpenAPI document.
pub fn document(contract: Contract) -> Value {
    match contract {
        Contract::Marea => marea::document(),
        Contract::AgentMessage => agentmessage::document(),
    }
}

/// Where its document and the page of it are.
pub fn place(contract: Contract) -> Place {
    match contract {
        Contract::Marea => marea::PLACE,
        Contract::AgentMessage => agentmessage::PLACE,
    }
}

/// What a refusal looks like at this visit.
pub fn render(refusal: &Refusal, visit: &Visit) -> Reply {
    match visit.contract {
        None => refusal.render(&visit.id, visit.language()),
        Some(Contract::Marea) => marea::render(refusal, visit),
        Some(Contract::AgentMessage) => agentmessage::render(refusal, visit),
    }
}

/// In which language errors are told to who sent these `Accept-Language`. `default` is the instance's.
pub fn language(contract: Option<Contract>, wishes: &[HeaderValue], default: Language) -> Language {
    match contract {
        None => accepted(wishes, default),
        Some(Contract::Marea) => accepted(wishes, marea::LANGUAGE_DEFAULT),
        Some(Contract::AgentMessage) => agentmessage::LANGUAGE,
    }
}

/// How the request is called in answers and in the log.
pub fn request_id(contract: Option<Contract>, id: Ulid) -> String {
    match contract {
        None | Some(Contract::AgentMessage) => id.to_string(),
        Some(Contract::Marea) => marea::request_id(id),
    }
}

/// The key that a request brings, in one of the forms of the contract.
pub fn key_text(contract: Option<Contract>, headers: &HeaderMap) -> Result<&str, Ground> {
    match contract {
        None => auth::key_text(headers).ok_or(Ground::MissingApiKey),
        Some(Contract::Marea) => bearer(headers, true),
        Some(Contract::AgentMessage) => bearer(headers, false),
    }
}

/// `Authorization: Bearer <key>` and nothing else, or `X-API-Key: <key>` where that is known.
fn bearer(headers: &HeaderMap, takes_own_header: bool) -> Result<&str, Ground> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        let own = headers.get("x-api-key").filter(|_| takes_own_header);
        let text = own.and_then(|value| value.to_str().ok()).map(str::trim);
        return text.filter(|key| !key.is_empty()).ok_or(Ground::MissingApiKey);
    };
    let (scheme, key) = value.to_str().ok().and_then(|text| text.trim().split_once(' ')).unwrap_or_default();
    let key = key.trim();
    let is_bearer = scheme.eq_ignore_ascii_case("bearer") && !key.is_empty();
    is_bearer.then_some(key).ok_or(Ground::InvalidAuthorizationFormat)
}

/// Whether keys of this kind work here: the own API takes all, a contract its own and native ones.
pub fn takes(contract: Option<Contract>, kind: KeyKind) -> bool {
    contract.is_none() || kind.contract().is_none() || kind.contract() == contract
}

/// The contract's scopes, each with what it grants here. One without a counterpart grants nothing.
pub fn scopes(contract: Contract) -> &'static [(&'static str, &'static [Scope])] {
    match contract {
        Contract::Marea => &marea::SCOPES,
        Contract::AgentMessage => &agentmessage::SCOPES,
    }
}

/// Charges an actor where the contract has quotas of its own. None: the own API's quotas hold.
pub fn charge(visit: &Visit, catalogue: &Catalogue, actor: &Actor) -> Option<Result<(), Refusal>> {
    match visit.contract {
        Some(Contract::Marea) => marea::charge(visit, catalogue, actor.key()?),
        None | Some(Contract::AgentMessage) => None,
    }
}

/// Says in headers what is left of the caller's quota.
pub fn show_allowance(visit: &Visit, allowance: &Allowance, headers: &mut HeaderMap) {
    match visit.contract {
        None => {
            let Allowance { limit, remaining, reset } = *allowance;
            headers.insert(LIMIT, limit.into());
            headers.insert(REMAINING, remaining.into());
            headers.insert(RESET, whole_seconds(reset).into());
        }
        Some(Contract::Marea) => marea::show_allowance(visit, allowance, headers),
        // It publishes none.
        Some(Contract::AgentMessage) => {}
    }
}

/// What every answer to the request has besides.
pub fn headers_for(visit: &Visit, request: &Request) -> Vec<(HeaderName, HeaderValue)> {
    match visit.contract {
        Some(Contract::Marea) => marea::recommendation(request).into_iter().collect(),
        None | Some(Contract::AgentMessage) => Vec::new(),
    }
}

/// The longest body that an idempotency key repeats. None: any.
pub fn answer_bytes_max(contract: Option<Contract>) -> Option<usize> {
    match contract {
        Some(Contract::Marea) => Some(marea::SNAPSHOT_BYTES_MAX),
        None | Some(Contract::AgentMessage) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_contracts_whose_it_is_and_only_when_that_is_spoken() {
        let only = |contract| [contract].into_iter().collect::<Contracts>();
        for (path, expected) in [
            ("/v1/webhook_endpoints", Some(Contract::Marea)),
            ("/v1/webhook_endpoints/", Some(Contract::Marea)),
            ("/v1/webhook_endpoints/x/y/z", Some(Contract::Marea)),
            ("/v1/webhooks", Some(Contract::AgentMessage)),
            ("/v1/webhooks/deliveries", Some(Contract::AgentMessage)),
            ("/v1/webhook-secret/rotate", Some(Contract::AgentMessage)),
            ("/v1/webhook-subscriptions", None),
            ("/v1/webhook_endpoints_", None),
            ("/v1/webhooksx", None),
            ("/webhooks", None),
            ("/v1", None),
        ] {
            assert_eq!(contract_at(path, Contracts::ALL), expected, "{path}");
            assert_eq!(contract_at(path, Contracts::NONE), None, "{path}");
            for contract in Contract::ALL {
                assert_eq!(contract_at(path, only(contract)), expected.filter(|one| *one == contract), "{path}");
            }
        }
    }

    #[test]
    fn no_contract_has_two_scopes_of_one_name_or_one_of_the_own_api() {
        for contract in Contract::ALL {
            let names: Vec<&str> = scopes(contract).iter().map(|(name, _)| *name).collect();
            for (place, name) in names.iter().enumerate() {
                assert!(!names[..place].contains(name) && Scope::from_name(name).is_none(), "{name}");
            }
        }
    }
}
