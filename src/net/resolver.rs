//! Turns a host name into addresses: absolute names only, in bounded time, remembered within bounds.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use tokio::time::timeout;

use crate::domain::target::is_localhost;

/// How long one look-up may take, all servers and repetitions together.
const LOOKUP_TIME_MAX: Duration = Duration::from_secs(5);
/// How long one server is waited for.
const SERVER_TIME_MAX: Duration = Duration::from_secs(2);
/// Answers remembered, positive and negative ones.
const ANSWERS_REMEMBERED_MAX: u64 = 16_384;
/// A record with a shorter life than this is not asked for again with each delivery.
const ANSWER_AGE_MIN: Duration = Duration::from_secs(1);
/// So that a receiver that moves is found again, whatever its records say.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(5 * 60);
const FAILURE_AGE_MAX: Duration = Duration::from_secs(30);

/// Who is asked. Clones share their memory.
#[derive(Clone)]
pub enum Resolver {
    /// The name servers that the operating system names.
    System(Box<TokioResolver>),
    /// A table that can be changed while it is used.
    Table(Arc<Mutex<HashMap<String, Vec<IpAddr>>>>),
    /// One that tells each look-up something else, whatever the name.
    #[cfg(test)]
    Turns(Arc<Mutex<std::collections::VecDeque<Vec<IpAddr>>>>),
}

/// Why a name has no addresses; for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unresolved(pub String);

impl Resolver {
    /// The servers of `/etc/resolv.conf`, or the one on this machine when there is no such file (resolv.conf(5)).
    pub fn system() -> Result<Self, NetError> {
        let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|_| {
            let own = NameServerConfig::udp_and_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![own]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        });
        let options = builder.options_mut();
        options.timeout = SERVER_TIME_MAX;
        options.cache_size = ANSWERS_REMEMBERED_MAX;
        options.positive_min_ttl = Some(ANSWER_AGE_MIN);
        options.positive_max_ttl = Some(ANSWER_AGE_MAX);
        options.negative_min_ttl = Some(ANSWER_AGE_MIN);
        options.negative_max_ttl = Some(FAILURE_AGE_MAX);
        Ok(Self::System(Box::new(builder.build()?)))
    }

    pub fn table<'a>(rows: impl IntoIterator<Item = (&'a str, Vec<IpAddr>)>) -> Self {
        Self::Table(Arc::new(Mutex::new(rows.into_iter().map(|(name, ips)| (name.to_owned(), ips)).collect())))
    }

    #[cfg(test)]
    pub fn turns(answers: impl IntoIterator<Item = Vec<IpAddr>>) -> Self {
        Self::Turns(Arc::new(Mutex::new(answers.into_iter().collect())))
    }

    /// All addresses of a name, in the order of the answer; never none.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
        if is_localhost(name) {
            return Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
        }
        let found: Vec<IpAddr> = match self {
            Self::System(resolver) => {
                let name = absolute(name)?;
                let answer = timeout(LOOKUP_TIME_MAX, resolver.lookup_ip(name)).await;
                let answer = answer.map_err(|_| Unresolved("no name server answered in time".into()))?;
                answer.map_err(|error| Unresolved(error.to_string()))?.iter().collect()
            }
            Self::Table(table) => {
                let table = table.lock().unwrap_or_else(PoisonError::into_inner);
                table.get(name).cloned().unwrap_or_default()
            }
            #[cfg(test)]
            Self::Turns(turns) => turns.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or_default(),
        };
        if found.is_empty() { Err(Unresolved("the name has no address".into())) } else { Ok(found) }
    }
}

/// With the dot of the root understood, so that no search list is tried.
fn absolute(name: &str) -> Result<Name, Unresolved> {
    let mut name = Name::from_ascii(name).map_err(|error| Unresolved(error.to_string()))?;
    name.set_fqdn(true);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SG-10
    #[test]
    fn a_name_is_asked_for_as_it_is_and_never_below_a_domain_of_the_machine() {
        for name in ["hooks.example.com", "receiver"] {
            let asked = absolute(name).unwrap();
            assert!(asked.is_fqdn(), "{name}");
            assert_eq!(asked.to_string(), format!("{name}."));
        }
    }
}
