//! `waxwing doctor`: looks at everything that a server needs from its machine, and says what to do about what is wrong.

mod certificate;
mod folder;
mod network;
mod support;

use std::collections::BTreeMap;
use std::io::IsTerminal;

use serde_json::{Map, Value, json};
use url::Url;

use super::config::to_json;
use super::{Context, Failure, Verdict, print, print_json, read_named};
use crate::app::{self, Exposed, Paint};
use crate::clock::Clock;
use crate::config::{ACME_DIRECTORY_DEFAULT, Args, Config, ConfigError, Origin, Row};

/// Listeners take 8,192 connections, and each receiver that is talked to is one more.
const OPEN_FILES_ENOUGH: u64 = 16_384;
/// With fewer than this, the first busy minute fails.
const OPEN_FILES_MIN: u64 = 1024;

/// Look at what a server needs, and say what is wrong
///
/// Configuration, data folder, secret key, disk, store (a quick look: `waxwing check` reads all of it), addresses to listen
/// at, open files, names, certificates, outgoing HTTPS and the clock. Beside a running server or without one; give it the
/// flags of `serve`. Changes nothing. Exit code 0: nothing failed; 1: something did.
///
/// The last line is for whoever helps you: base64 of the findings as numbers and words of Waxwing, without paths, names,
/// addresses or secrets. `--decode` shows what is in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing doctor
  waxwing doctor --data-dir /var/lib/waxwing --domain hooks.example.com --json
  waxwing doctor --probe-url https://www.example.com/    another host to ask for the way out and for the time
  waxwing doctor --probe-url off                         without a network
  waxwing doctor --decode eyJ2IjoxLCJ3…                  what a support line says")]
pub(super) struct Doctor {
    #[command(flatten)]
    args: Args,
    /// Is sent one HEAD request, to see that names, HTTPS and the clock work
    /// [default: Let's Encrypt, https://acme-v02.api.letsencrypt.org/directory]
    #[arg(long, value_name = "URL|off")]
    probe_url: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show what a support line says, and do nothing else; - for the standard input
    #[arg(long, value_name = "LINE", conflicts_with_all = ["probe_url"])]
    decode: Option<String>,
}

/// One thing that was looked at.
#[derive(Debug)]
struct Finding {
    about: &'static str,
    level: Level,
    /// One line, for the operator.
    line: String,
    /// What to do.
    advice: Option<String>,
    /// What strangers may see of it: numbers, switches and words of ours.
    facts: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    /// It works, and something should be done.
    Warn,
    /// A server could not do its work.
    Fail,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl Finding {
    fn ok(about: &'static str, line: impl Into<String>) -> Self {
        Self { about, level: Level::Ok, line: line.into(), advice: None, facts: Map::new() }
    }

    fn warn(about: &'static str, line: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warn, advice: Some(advice.into()), ..Self::ok(about, line) }
    }

    fn fail(about: &'static str, line: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Fail, advice: Some(advice.into()), ..Self::ok(about, line) }
    }

    fn with(mut self, fact: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(fact.to_owned(), value.into());
        self
    }
}

impl Doctor {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let Self { args, probe_url, json, decode } = self;
        if let Some(line) = decode {
            let line = if line == "-" { String::from_utf8_lossy(&read_named("-")?).into_owned() } else { line };
            print_json(&support::decode(&line)?)?;
            return Ok(Verdict::Good);
        }
        let probe_url = read_probe_url(probe_url.as_deref())?;
        let config = context.resolve(&args)?;
        let findings = examine(config.as_ref(), probe_url.as_ref())?;
        let settings = config.as_ref().map_or_else(|_| Vec::new(), Config::rows);
        let line = support::encode(&findings, &settings, Clock::System.now());
        if json {
            let settings: BTreeMap<&str, Value> = settings.iter().map(|row| (row.name, to_json(row))).collect();
            let checks: Vec<Value> = findings.iter().map(shown).collect();
            let verdict = worst(&findings).name();
            print_json(&json!({ "verdict": verdict, "checks": checks, "settings": settings, "support": line }))?;
        } else {
            show(&findings, &line)?;
        }
        Ok(if worst(&findings) == Level::Fail { Verdict::Wrong } else { Verdict::Good })
    }
}

fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}

/// Everything, in the order in which it is best mended. What needs a configuration is left out when there is none.
fn examine(config: Result<&Config, &Vec<ConfigError>>, probe_url: Option<&Url>) -> Result<Vec<Finding>, Failure> {
    let mut findings = vec![version(), configuration(config)];
    if let Ok(config) = config {
        let (of_folder, store) = folder::examine(config);
        findings.extend(of_folder);
        findings.extend(certificate::examine(config, Clock::System.now()));
        findings.extend(network::doors(config, store));
    }
    findings.push(match app::open_files_limit() {
        Ok((_, hard)) => open_files(hard),
        Err(error) => Finding::warn("open files", format!("the limit cannot be read: {error}"), "see `ulimit -Hn`"),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("no threads can be started: {error}")))?;
    findings.extend(runtime.block_on(network::outside(probe_url, &Clock::System)));
    Ok(findings)
}

fn version() -> Finding {
    let (version, system, machine) = (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    let is_debug = cfg!(debug_assertions);
    let kind = if is_debug { ", built for development" } else { "" };
    Finding::ok("version", format!("Waxwing {version} on {system} {machine}{kind}")).with("is_debug", is_debug)
}

fn configuration(config: Result<&Config, &Vec<ConfigError>>) -> Finding {
    const ABOUT: &str = "configuration";
    let config = match config {
        Ok(config) => config,
        Err(errors) => {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let advice = "change it there; what depends on the configuration was not looked at";
            return Finding::fail(ABOUT, texts.join("; "), advice).with("errors", errors.len());
        }
    };
    let rows = config.rows();
    let set = rows.iter().filter(|row| row.origin != Origin::Default).count();
    let found = |finding: Finding| finding.with("set", set).with("unknown_variables", config.unknown_variables.len());
    if !config.unknown_variables.is_empty() {
        return found(Finding::warn(ABOUT, config.unknown_variables.join("; "), "correct the variable, or remove it"));
    }
    if let Some(Exposed { secrets, advice }) = Exposed::find(config) {
        return found(Finding::warn(ABOUT, secrets, advice));
    }
    let line = format!("{} settings, {set} of them set; `waxwing config` shows each", rows.len());
    found(Finding::ok(ABOUT, line))
}

fn open_files(hard: u64) -> Finding {
    const ABOUT: &str = "open files";
    let advice = "raise it: LimitNOFILE=65536 in the systemd unit, --ulimit nofile=65536 for a container";
    let finding = if hard >= OPEN_FILES_ENOUGH {
        Finding::ok(ABOUT, format!("up to {hard}"))
    } else if hard >= OPEN_FILES_MIN {
        Finding::warn(
            ABOUT,
            format!("up to {hard}, fewer than the connections that may come ({OPEN_FILES_ENOUGH})"),
            advice,
        )
    } else {
        Finding::fail(ABOUT, format!("up to {hard}, too few for a busy minute ({OPEN_FILES_MIN})"), advice)
    };
    finding.with("limit", hard)
}

/// None: nobody is asked.
fn read_probe_url(text: Option<&str>) -> Result<Option<Url>, Failure> {
    let text = text.unwrap_or(ACME_DIRECTORY_DEFAULT);
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    match Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.has_host() => Ok(Some(url)),
        _ => Err(Failure::Usage(format!("--probe-url: `{text}` is not an https:// URL; off asks nobody"))),
    }
}

fn shown(finding: &Finding) -> Value {
    let Finding { about, level, line, advice, facts } = finding;
    json!({ "about": about, "level": level.name(), "line": line, "advice": advice, "facts": facts })
}

fn show(findings: &[Finding], support: &str) -> Result<(), Failure> {
    let paint = Paint::for_stream(std::io::stdout().is_terminal());
    let width = findings.iter().map(|finding| finding.about.len()).max().unwrap_or(0);
    for Finding { about, level, line, advice, facts: _ } in findings {
        let padded = format!("{:4}", level.name());
        let level = match level {
            Level::Ok => paint.green(&padded),
            Level::Warn => paint.bold(&padded),
            Level::Fail => paint.red(&padded),
        };
        print(&format!("{level}  {about:width$}  {line}"))?;
        if let Some(advice) = advice {
            print(&format!("{:6}{:width$}  → {advice}", "", ""))?;
        }
    }
    let count = |wanted: Level| findings.iter().filter(|finding| finding.level == wanted).count();
    print(&match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => "everything is well".to_owned(),
        (failed, warned) => format!("failed: {failed}, to be looked at: {warned}"),
    })?;
    print(&format!("support: {support}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_open_files_is_judged_by_the_connections_that_may_come() {
        let judged = [512, 1023, 1024, 4096, 16_383, 16_384, u64::MAX].map(|hard| open_files(hard).level.name());
        assert_eq!(judged, ["fail", "fail", "warn", "warn", "warn", "ok", "ok"]);
    }

    #[test]
    fn only_https_is_probed() {
        for (typed, expected) in [
            (None, Some(Some(ACME_DIRECTORY_DEFAULT))),
            (Some("off"), Some(None)),
            (Some("https://example.com"), Some(Some("https://example.com/"))),
            (Some("http://example.com"), None),
            (Some("example.com"), None),
        ] {
            let read = read_probe_url(typed).ok();
            assert_eq!(read.as_ref().map(|url| url.as_ref().map(Url::as_str)), expected, "{typed:?}");
        }
    }
}
