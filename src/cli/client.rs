//! The command line's own client of a running server's API.

use std::fs::File;
use std::io::{self, Read, Write};
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

/// What is read of a download at once.
const DOWNLOAD_PART_BYTES: usize = 256 * 1024;

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

/// What the server answered with a status from 400 on.
#[derive(Debug)]
pub(super) struct Refused {
    pub status: u16,
    /// For people: code, place and detail of each problem.
    pub lines: Vec<String>,
    pub codes: Vec<String>,
    /// Seconds.
    retry_after: Option<u64>,
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
        let url = url_of(args.url.as_deref(), context, config)?;
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
        Ok(Self { agent: agent_for(&url), url, key })
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        Ok(self.ask_get(path, None)??)
    }

    pub(super) fn delete(&self, path: &str) -> Result<Answer, Failure> {
        Ok(self.ask_delete(path, None)??)
    }

    /// As [`Self::try_get`].
    pub(super) fn try_delete(&self, path: &str, tenant: Option<&str>) -> Result<Result<Answer, Refused>, Failure> {
        patiently(|| self.ask_delete(path, tenant))
    }

    /// `body` is JSON. `tenant` is an id or external id.
    pub(super) fn post(&self, path: &str, body: &str, tenant: Option<&str>) -> Result<Answer, Failure> {
        Ok(self.ask_post(path, body, tenant)??)
    }

    /// One of many requests: waits when the server says that they come too fast, and hands a refusal back.
    pub(super) fn try_get(&self, path: &str, tenant: Option<&str>) -> Result<Result<Answer, Refused>, Failure> {
        patiently(|| self.ask_get(path, tenant))
    }

    /// One of many requests, as [`Self::try_get`].
    pub(super) fn try_post(
        &self,
        path: &str,
        body: &str,
        tenant: Option<&str>,
    ) -> Result<Result<Answer, Refused>, Failure> {
        patiently(|| self.ask_post(path, body, tenant))
    }

    /// The objects of all pages.
    pub(super) fn list(&self, path: &str, tenant: Option<&str>) -> Result<Vec<Value>, Failure> {
        let mut objects = Vec::new();
        for page in 1.. {
            let answer = self.try_get(&format!("{path}?page[size]=100&page[number]={page}"), tenant)??.body;
            objects.extend(answer["data"].as_array().into_iter().flatten().cloned());
            if page >= answer["meta"]["total_pages"].as_u64().unwrap_or(1) {
                break;
            }
        }
        Ok(objects)
    }

    /// Writes the body of the answer into the file; answers how many bytes it had. `watch` hears how many came so far.
    pub(super) fn download(&self, path: &str, mut file: &File, watch: &mut dyn FnMut(u64)) -> Result<u64, Failure> {
        // What takes long here is the way, and not the server's thinking.
        let request = self.agent.get(self.address(path)).config().timeout_global(None).build();
        let request = request.header("authorization", self.authorization()).header("accept-language", LANGUAGE);
        let mut answer = match request.call() {
            Ok(answer) if answer.status().is_success() => answer,
            refused => return self.read(refused)?.map(|_| 0).map_err(Failure::from),
        };
        let mut body = answer.body_mut().as_reader();
        let failed = |error: io::Error| Failure::Failed(format!("the download stopped: {error}"));
        let mut part = vec![0; DOWNLOAD_PART_BYTES];
        let mut bytes = 0;
        loop {
            match body.read(&mut part).map_err(failed)? {
                0 => return Ok(bytes),
                read => {
                    file.write_all(&part[..read]).map_err(failed)?;
                    bytes += read as u64;
                    watch(bytes);
                }
            }
        }
    }

    fn ask_get(&self, path: &str, tenant: Option<&str>) -> Result<Result<Answer, Refused>, Failure> {
        let mut request = self.agent.get(self.address(path)).header("authorization", self.authorization());
        request = request.header("accept-language", LANGUAGE);
        if let Some(tenant) = tenant {
            request = request.header("waxwing-tenant", tenant);
        }
        self.read(request.call())
    }

    fn ask_delete(&self, path: &str, tenant: Option<&str>) -> Result<Result<Answer, Refused>, Failure> {
        let mut request = self.agent.delete(self.address(path)).header("authorization", self.authorization());
        request = request.header("accept-language", LANGUAGE);
        if let Some(tenant) = tenant {
            request = request.header("waxwing-tenant", tenant);
        }
        self.read(request.call())
    }

    fn ask_post(&self, path: &str, body: &str, tenant: Option<&str>) -> Result<Result<Answer, Refused>, Failure> {
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

    fn read(
        &self,
        answered: Result<http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Result<Answer, Refused>, Failure> {
        let unreachable = |error: ureq::Error| {
            let hint = if is_this_machine(&self.url) { "; is `waxwing serve` running?" } else { "" };
            Failure::Failed(format!("{} cannot be reached: {error}{hint}", self.url))
        };
        let mut answer = answered.map_err(unreachable)?;
        let status = answer.status();
        let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(unreachable)?;
        if status.is_client_error() || status.is_server_error() {
            return Ok(Err(Refused { retry_after, ..Refused::read(status.as_u16(), &body) }));
        }
        if body.is_empty() {
            return Ok(Ok(Answer { body: Value::Null }));
        }
        let not_ours = |_| Failure::Failed(format!("{} does not answer like a Waxwing server", self.url));
        Ok(Ok(Answer { body: serde_json::from_slice(&body).map_err(not_ours)? }))
    }
}

/// Where a server is, and whether it takes work; if not, why. Nobody needs a key to ask that.
pub(super) fn ask_ready(
    given: Option<&str>,
    context: &Context,
    config: &Config,
) -> Result<(Url, Result<(), String>), Failure> {
    let url = url_of(given, context, config)?;
    let path = format!("{}/readyz", url.as_str().trim_end_matches('/'));
    let ready = match agent_for(&url).get(path).call() {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("it answers {}", answer.status().as_u16())),
        Err(error) => Err(error.to_string()),
    };
    Ok((url, ready))
}

fn url_of(given: Option<&str>, context: &Context, config: &Config) -> Result<Url, Failure> {
    let given = given.or(context.variable("WAXWING_URL"));
    read_url(&given.map_or_else(|| app::url_of(config.listen.value), str::to_owned))
}

fn agent_for(url: &Url) -> ureq::Agent {
    let settings = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_WITHIN))
        .http_status_as_error(false)
        .user_agent(concat!("waxwing-cli/", env!("CARGO_PKG_VERSION")));
    // A proxy for the outside world does not know this machine's loopback address.
    let settings = if is_this_machine(url) { settings.proxy(None) } else { settings };
    settings.build().into()
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

/// How often a request that comes too fast is sent again: far more often than a limit by the second can need.
const TRIES_MAX: u32 = 100;
/// The longest wait between two of them, whatever the server asks for.
const WAIT_SECONDS_MAX: u64 = 60;

/// Asks again while the server says that requests come too fast.
#[expect(clippy::disallowed_methods, reason = "the server names the time to wait; nothing else happens meanwhile")]
fn patiently(ask: impl Fn() -> Result<Result<Answer, Refused>, Failure>) -> Result<Result<Answer, Refused>, Failure> {
    for _ in 1..TRIES_MAX {
        match ask()? {
            Err(Refused { status: 429, retry_after: Some(seconds), .. }) => {
                std::thread::sleep(Duration::from_secs(seconds.min(WAIT_SECONDS_MAX)));
            }
            answered => return Ok(answered),
        }
    }
    ask()
}

impl Refused {
    fn read(status: u16, body: &[u8]) -> Self {
        let problems = serde_json::from_slice(body).map_or_else(|_| Vec::new(), |Problems { errors }| errors);
        let line = |problem: &Problem| {
            let Problem { code, detail, source } = problem;
            let place = source.as_ref().and_then(|source| source.pointer.as_ref().or(source.parameter.as_ref()));
            let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
            format!("{code}{place}: {detail}")
        };
        let lines = problems.iter().map(line).collect();
        Self { status, lines, codes: problems.into_iter().map(|problem| problem.code).collect(), retry_after: None }
    }
}

impl From<Refused> for Failure {
    fn from(Refused { status, lines, codes: _, retry_after: _ }: Refused) -> Self {
        let lines = if lines.is_empty() { String::new() } else { format!(", {}", lines.join("\n  ")) };
        Self::Failed(format!("the server answered {status}{lines}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_comes_too_fast_is_sent_again_a_limited_number_of_times() {
        for (refusals, expected) in [(0, 1), (3, 4), (1000, TRIES_MAX)] {
            let asked = std::cell::Cell::new(0);
            let answered = patiently(|| {
                asked.set(asked.get() + 1);
                let refused = Refused { retry_after: Some(0), ..Refused::read(429, b"") };
                Ok(if asked.get() > refusals { Ok(Answer { body: Value::Null }) } else { Err(refused) })
            });
            assert_eq!((asked.get(), answered.unwrap().is_ok()), (expected, refusals < TRIES_MAX));
        }
        // What says nothing of a time is no matter of waiting.
        assert!(patiently(|| Ok(Err(Refused::read(429, b"")))).unwrap().is_err());
    }

    fn explained(status: u16, body: &[u8]) -> String {
        match Refused::read(status, body).into() {
            Failure::Failed(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_names_code_place_and_detail() {
        let body = br#"{"errors":[{"id":"01","status":"400","code":"unknown_event_type","title":"Bad Request",
            "detail":"there is no event type order.payed","source":{"pointer":"/type"}},
            {"id":"01","status":"400","code":"unknown_field","title":"Bad Request","detail":"no field colour"}]}"#;
        expect_test::expect![[r"
            the server answered 400, unknown_event_type at /type: there is no event type order.payed
              unknown_field: no field colour"]]
        .assert_eq(&explained(400, body));
        assert_eq!(explained(502, b"<html>"), "the server answered 502");
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
