//! The command line's own client of a running server's API.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::{Context, Failure};
use crate::app;
use crate::config::Config;

/// Longer than the longest time-out of a test delivery.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// A full page of the largest objects.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Which server, and with which key.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ServerArgs {
    /// The server's address [default: WAXWING_URL, else the address that `serve` would listen on]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// An API key [default: WAXWING_API_KEY, else, for a server on this machine, WAXWING_ADMIN_KEY or the key in
    /// <data-dir>/admin-key]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

pub(super) struct Server {
    agent: ureq::Agent,
    url: Url,
    key: Zeroizing<String>,
}

/// What the server answered with a status below 400.
#[derive(Debug)]
pub(super) struct Answer {
    pub body: Value,
}

/// The error body of contract 3.1, as far as it is shown.
#[derive(Deserialize)]
struct Problems {
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    detail: String,
    source: Option<Source>,
}

#[derive(Deserialize)]
struct Source {
    pointer: Option<String>,
    parameter: Option<String>,
}

/// As everything that the command line prints, whatever the server's own is.
const LANGUAGE: &str = "en";

impl Server {
    pub(super) fn find(args: &ServerArgs, context: &Context, config: &Config) -> Result<Self, Failure> {
        let given = args.url.as_deref().or(context.variable("WAXWING_URL"));
        let text = given.map_or_else(|| app::url_of(config.listen.value), str::to_owned);
        let url = read_url(&text)?;
        let key = args.key.as_deref().or(context.variable("WAXWING_API_KEY"));
        let key = match key {
            Some(key) => Zeroizing::new(key.to_owned()),
            // The key of this machine's server is for this machine only.
            None if is_this_machine(&url) => key_at_hand(config).ok_or_else(|| {
                let place = app::admin_key_path(&config.data_dir.value);
                Failure::Usage(format!(
                    "no API key: give --key or WAXWING_API_KEY ({} is not there or not readable)",
                    place.display()
                ))
            })?,
            None => return Err(Failure::Usage(format!("no API key for {url}: give --key or WAXWING_API_KEY"))),
        };
        let mut settings = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_WITHIN))
            .http_status_as_error(false)
            .user_agent(concat!("waxwing-cli/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(&url) {
            // A proxy for the outside world does not know this machine's loopback address.
            settings = settings.proxy(None);
        }
        Ok(Self { agent: settings.build().into(), url, key })
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        let request = self.agent.get(self.address(path)).header("authorization", self.authorization());
        let request = request.header("accept-language", LANGUAGE);
        self.read(request.call())
    }

    pub(super) fn delete(&self, path: &str) -> Result<Answer, Failure> {
        let request = self.agent.delete(self.address(path)).header("authorization", self.authorization());
        let request = request.header("accept-language", LANGUAGE);
        self.read(request.call())
    }

    /// `body` is JSON. `tenant` is an id or external id.
    pub(super) fn post(&self, path: &str, body: &str, tenant: Option<&str>) -> Result<Answer, Failure> {
        let mut request = self.agent.post(self.address(path)).header("authorization", self.authorization());
        request = request.header("accept-language", LANGUAGE);
        if let Some(tenant) = tenant {
            request = request.header("waxwing-tenant", tenant);
        }
        self.read(request.content_type("application/json").send(body))
    }

    /// `path` begins with `/`; a path in the server's own address (behind a proxy) stays in front of it.
    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_str().trim_end_matches('/'))
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", *self.key)
    }

    fn read(&self, answered: Result<http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, Failure> {
        let unreachable = |error: ureq::Error| {
            let hint = if is_this_machine(&self.url) { "; is `waxwing serve` running?" } else { "" };
            Failure::Failed(format!("{} cannot be reached: {error}{hint}", self.url))
        };
        let mut answer = answered.map_err(unreachable)?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(unreachable)?;
        if status.is_client_error() || status.is_server_error() {
            return Err(Failure::Failed(explain(status.as_u16(), &body)));
        }
        if body.is_empty() {
            return Ok(Answer { body: Value::Null });
        }
        let not_ours = |_| Failure::Failed(format!("{} does not answer like a Waxwing server", self.url));
        Ok(Answer { body: serde_json::from_slice(&body).map_err(not_ours)? })
    }
}

fn read_url(text: &str) -> Result<Url, Failure> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(Failure::Usage(format!("`{text}` is not a server's address; write it like http://127.0.0.1:8620"))),
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

fn key_at_hand(config: &Config) -> Option<Zeroizing<String>> {
    match &config.admin_key.value {
        Some(key) => Some(Zeroizing::new(key.as_str().to_owned())),
        None => app::read_admin_key(&config.data_dir.value),
    }
}

/// The server's refusal in lines that a person can act on.
fn explain(status: u16, body: &[u8]) -> String {
    let Ok(Problems { errors }) = serde_json::from_slice(body) else {
        return format!("the server answered {status}");
    };
    let line = |problem: &Problem| {
        let Problem { code, detail, source } = problem;
        let place = source.as_ref().and_then(|source| source.pointer.as_ref().or(source.parameter.as_ref()));
        let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
        format!("{code}{place}: {detail}")
    };
    let lines: Vec<String> = errors.iter().map(line).collect();
    format!("the server answered {status}, {}", lines.join("\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_code_place_and_detail() {
        let body = br#"{"errors":[{"id":"01","status":"400","code":"unknown_event_type","title":"Bad Request",
            "detail":"there is no event type order.payed","source":{"pointer":"/type"}},
            {"id":"01","status":"400","code":"unknown_field","title":"Bad Request","detail":"no field colour"}]}"#;
        expect_test::expect![[r"
            the server answered 400, unknown_event_type at /type: there is no event type order.payed
              unknown_field: no field colour"]]
        .assert_eq(&explain(400, body));
        assert_eq!(explain(502, b"<html>"), "the server answered 502");
    }

    #[test]
    fn the_key_of_this_machine_goes_to_this_machine_only() {
        for (url, expected) in [
            ("http://127.0.0.1:8620", true),
            ("http://localhost:8620", true),
            ("http://[::1]:8620", true),
            ("https://hooks.example.com", false),
            ("http://10.0.0.1:8620", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(is_this_machine(&read_url(url).unwrap()), expected, "{url}");
        }
    }
}
