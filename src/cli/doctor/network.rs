//! What lies outside of the process: addresses to listen at, names, certificates, the way out, and the time of others.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;
use url::{Host, Url};

use super::Finding;
use super::folder::Use;
use crate::app::{self, DoorSeen, DoorState};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::time::Timestamp;
use crate::net::{self, ProbeError, Resolver, Roots};

/// What is asked of whoever listens at our address.
const READY_PATH: &str = "/readyz";
const READY_WITHIN: Duration = Duration::from_secs(5);
/// Of an answer to that: more is none of ours.
const READY_BYTES_MAX: u64 = 64 * 1024;
/// Deliveries wait for names: slower than this is felt.
const LOOKUP_SLOW: Duration = Duration::from_secs(1);
/// A second is lost in rounding, and some on the way.
const SKEW_WARNED: u64 = 5;
/// What receivers tolerate in a signature's timestamp (Standard Webhooks).
const SKEW_MAX: u64 = 300;

/// Who answers at an address that is taken.
enum Answering {
    Ready,
    /// One of ours that takes no work; its status.
    NotReady(u16),
    Stranger,
}

pub(super) fn doors(config: &Config, store: Use) -> Vec<Finding> {
    let seen = app::look_at_doors(config);
    let mut is_ours = false;
    seen.into_iter()
        .map(|DoorSeen { address, flag, state }| match (flag, state) {
            (_, DoorState::Free) => free(flag, address, store),
            (_, DoorState::Unusable(why)) => {
                Finding::fail(about(flag), why, "see there, or ask your administrator").with("state", "unusable")
            }
            ("--listen", DoorState::Taken) => {
                let answering = who_answers(&app::url_of(address));
                is_ours = !matches!(answering, Answering::Stranger);
                taken(flag, address, &answering)
            }
            (_, DoorState::Taken) if is_ours => {
                let line = format!("{address} is taken, and the server that answers at --listen runs");
                Finding::ok(about(flag), line).with("state", "beside_ours")
            }
            (_, DoorState::Taken) => taken(flag, address, &Answering::Stranger),
        })
        .collect()
}

fn about(flag: &str) -> &'static str {
    match flag {
        "--listen-https" => "listen https",
        "--listen-http" => "listen http",
        _ => "listen",
    }
}

fn free(flag: &str, address: SocketAddr, store: Use) -> Finding {
    let finding = match store {
        Use::Idle => Finding::ok(about(flag), format!("{address} is free")),
        Use::InUse => Finding::warn(
            about(flag),
            format!("nobody listens at {address}, and a process has the store open"),
            format!("give {flag} (or WAXWING_{}) as the server has it", flag[2..].replace('-', "_").to_uppercase()),
        ),
    };
    finding.with("state", "free").with("port", address.port())
}

fn taken(flag: &str, address: SocketAddr, answering: &Answering) -> Finding {
    let about = about(flag);
    let finding = match answering {
        Answering::Ready => Finding::ok(about, format!("a server of ours answers at {address}, and takes work")),
        Answering::NotReady(status) => Finding::fail(
            about,
            format!("a server of ours answers at {address}, and takes no work ({READY_PATH}: {status})"),
            "see its log; it may be ending, or wait for its disk",
        )
        .with("status", *status),
        Answering::Stranger => Finding::fail(
            about,
            format!("something else listens at {address}"),
            format!("stop it, or choose another address with {flag} ADDR; `ss -ltnp` shows who it is"),
        ),
    };
    let state = match answering {
        Answering::Ready => "ready",
        Answering::NotReady(_) => "not_ready",
        Answering::Stranger => "stranger",
    };
    finding.with("state", state).with("port", address.port())
}

fn who_answers(url: &str) -> Answering {
    let settings = ureq::Agent::config_builder()
        .timeout_global(Some(READY_WITHIN))
        .http_status_as_error(false)
        // A proxy for the outside world does not know this machine's addresses.
        .proxy(None)
        .user_agent(concat!("waxwing-cli/", env!("CARGO_PKG_VERSION")));
    let agent: ureq::Agent = settings.build().into();
    let Ok(mut answer) = agent.get(format!("{url}{READY_PATH}")).call() else { return Answering::Stranger };
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(READY_BYTES_MAX).read_to_vec().unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match status {
        200 if body["status"] == "ok" => Answering::Ready,
        503 if body["errors"][0]["code"].is_string() => Answering::NotReady(status),
        _ => Answering::Stranger,
    }
}

/// Names, roots, the way out and the time, with one request to `probe_url`.
pub(super) async fn outside(probe_url: Option<&Url>, clock: &Clock) -> Vec<Finding> {
    let roots = tokio::task::spawn_blocking(net::roots).await;
    let mut findings = vec![match roots {
        Ok(roots) => certificates(&roots),
        Err(error) => Finding::warn("certificates", format!("they cannot be read: {error}"), "see SSL_CERT_FILE"),
    }];
    let Some(url) = probe_url else {
        findings.push(Finding::ok("names", "not looked at: --probe-url is off").with("is_off", true));
        return findings;
    };
    let began = Instant::now();
    let found = match url.host() {
        Some(Host::Ipv4(ip)) => Ok(vec![IpAddr::V4(ip)]),
        Some(Host::Ipv6(ip)) => Ok(vec![IpAddr::V6(ip)]),
        _ => look_up(url.host_str().unwrap_or_default()).await,
    };
    let took = began.elapsed();
    findings.push(names(url, &found, took));
    let Ok(addresses) = found else { return findings };
    let (began, before) = (Instant::now(), clock.now());
    let probed = net::probe(url, &addresses).await;
    let date = probed.as_ref().ok().and_then(|probed| probed.date.clone());
    let is_dated = probed.is_ok();
    findings.push(way_out(url, &probed.map(|probed| probed.status), began.elapsed()));
    if is_dated {
        findings.push(time_of_others(url, date.as_deref(), before, clock.now()));
    }
    findings
}

async fn look_up(name: &str) -> Result<Vec<IpAddr>, String> {
    let resolver = Resolver::system().map_err(|error| error.to_string())?;
    resolver.addresses(name).await.map_err(|error| error.to_string())
}

fn certificates(roots: &Roots) -> Finding {
    const ABOUT: &str = "certificates";
    let Roots { of_this_machine, built_in, errors } = roots;
    let line = format!("{of_this_machine} roots of this machine and {built_in} of Mozilla's are trusted");
    let finding = match errors.first() {
        None => Finding::ok(ABOUT, line),
        Some(error) => {
            let advice = "install the package ca-certificates, or correct SSL_CERT_FILE; Mozilla's roots work without";
            Finding::warn(ABOUT, format!("{line}; some of this machine cannot be read: {error}"), advice)
        }
    };
    finding.with("of_this_machine", *of_this_machine).with("built_in", *built_in).with("errors", errors.len())
}

fn names(url: &Url, found: &Result<Vec<IpAddr>, String>, took: Duration) -> Finding {
    const ABOUT: &str = "names";
    let (host, millis) = (url.host_str().unwrap_or_default(), took.as_millis());
    let finding = match found {
        Err(why) => Finding::fail(
            ABOUT,
            format!("{host} cannot be found: {why}"),
            "see /etc/resolv.conf, and whether UDP and TCP port 53 to those servers are open",
        ),
        Ok(_) if matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_))) => {
            Finding::ok(ABOUT, "not looked at: --probe-url holds an address")
        }
        Ok(_) if took > LOOKUP_SLOW => Finding::warn(
            ABOUT,
            format!("{host} was found after {millis} ms: deliveries wait that long for each new name"),
            "see /etc/resolv.conf: a server in it may not answer",
        ),
        Ok(found) => Finding::ok(ABOUT, format!("{host} was found in {millis} ms ({} addresses)", found.len())),
    };
    finding.with("millis", u64::try_from(millis).unwrap_or(u64::MAX)).with("is_found", found.is_ok())
}

fn way_out(url: &Url, probed: &Result<u16, ProbeError>, took: Duration) -> Finding {
    const ABOUT: &str = "outgoing https";
    let host = url.host_str().unwrap_or_default();
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (finding, state) = match probed {
        Ok(status) => (Finding::ok(ABOUT, format!("{host} answered {status} in {millis} ms")), "answered"),
        Err(error @ ProbeError::Connect { .. }) => (
            Finding::fail(
                ABOUT,
                format!("{host} cannot be reached: {error}"),
                "open the way out to port 443: deliveries use no proxy (https_proxy is not asked)",
            ),
            "connect",
        ),
        Err(error @ ProbeError::Tls(_)) => (
            Finding::fail(
                ABOUT,
                format!("{host} is not believed: {error}"),
                "if something on the way opens TLS, its root certificate belongs into this machine's; a wrong clock does this, too",
            ),
            "tls",
        ),
        Err(error @ ProbeError::Http(_)) => {
            let line = format!("{host} gives no answer: {error}");
            (Finding::fail(ABOUT, line, "try another host with --probe-url"), "http")
        }
    };
    finding.with("state", state).with("millis", millis)
}

/// `date` is the header of an answer that came between the two moments.
fn time_of_others(url: &Url, date: Option<&str>, before: Timestamp, after: Timestamp) -> Finding {
    const ABOUT: &str = "clock";
    let host = url.host_str().unwrap_or_default();
    let said = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let said = said.and_then(|said| said.duration_since(std::time::UNIX_EPOCH).ok());
    let Some(said) = said.map(|said| i64::try_from(said.as_secs()).unwrap_or(i64::MAX)) else {
        let line = format!("{host} does not say what time it is");
        return Finding::warn(ABOUT, line, "try another host with --probe-url").with("is_known", false);
    };
    // The header has whole seconds, and was written at some moment in between.
    let behind = said.saturating_sub(after.as_seconds());
    let ahead = before.as_seconds().saturating_sub(said.saturating_add(1));
    let (seconds, direction) = if behind > 0 { (behind, "behind") } else { (ahead.max(0), "ahead of") };
    let off = seconds.unsigned_abs();
    let advice = "have a time service set it: `timedatectl set-ntp true`, or chrony";
    let line = format!("{off} s {direction} what {host} says");
    let finding = if off == 0 {
        Finding::ok(ABOUT, format!("fits what {host} says"))
    } else if off <= SKEW_WARNED {
        Finding::ok(ABOUT, line)
    } else if off <= SKEW_MAX {
        Finding::warn(ABOUT, line, advice)
    } else {
        let why = format!("receivers refuse signatures that are more than {SKEW_MAX} s off");
        Finding::fail(ABOUT, format!("{line}: {why}"), advice)
    };
    finding.with("is_known", true).with("off_seconds", if direction == "behind" { -seconds } else { seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-05-12T19:00:00Z
    const SAID: i64 = 1_778_612_400_000;

    #[test]
    fn a_clock_is_off_by_what_neither_the_way_nor_rounding_explains() {
        let url = Url::parse("https://example.com").unwrap();
        for (own_millis, took_millis, expected) in [
            (0, 0, ("ok", 0)),
            (999, 0, ("ok", 0)),
            // Written when the request had hardly begun.
            (-2000, 3000, ("ok", 0)),
            (-3000, 0, ("ok", -3)),
            (-60_000, 0, ("warn", -60)),
            (61_000, 0, ("warn", 60)),
            (301_000, 0, ("warn", 300)),
            (302_000, 0, ("fail", 301)),
            (-301_000, 0, ("fail", -301)),
        ] {
            let before = Timestamp::from_millis(SAID + own_millis);
            let after = before.plus(Duration::from_millis(took_millis));
            let finding = time_of_others(&url, Some("Tue, 12 May 2026 19:00:00 GMT"), before, after);
            assert_eq!(
                (finding.level.name(), finding.facts["off_seconds"].as_i64().unwrap()),
                expected,
                "{own_millis}"
            );
        }
        for unreadable in [None, Some("yesterday")] {
            let now = Timestamp::from_millis(SAID);
            assert_eq!(time_of_others(&url, unreadable, now, now).level.name(), "warn");
        }
    }

    #[test]
    fn a_resolver_that_is_slow_is_told_before_it_fails() {
        let url = Url::parse("https://example.com").unwrap();
        let found = Ok(vec![IpAddr::from([192, 0, 2, 1])]);
        for (found, millis, expected) in
            [(&found, 20, "ok"), (&found, 1001, "warn"), (&Err("no server".to_owned()), 5000, "fail")]
        {
            assert_eq!(names(&url, found, Duration::from_millis(millis)).level.name(), expected);
        }
    }
}
