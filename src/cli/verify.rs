//! `waxwing verify`: whether a delivery was signed with a secret, and if not, why; or a program that finds out.

use std::io::{self, IsTerminal};
use std::time::Duration;

use serde_json::json;

use super::{Context, Failure, Verdict, print, print_json, read_named};
use crate::app::Paint;
use crate::clock::Clock;
use crate::domain::header::{HeaderPrefix, PREFIX_EXPECTED};
use crate::domain::key_pair::{PUBLIC_KEY_FORM, PublicKey};
use crate::domain::profile::Profile;
use crate::domain::profile::verify::{Mismatch, TOLERANCE_DEFAULT, verify, verify_public};
use crate::domain::secret::Secret;
use crate::domain::snippet::{self, snippet};

/// Check the signature of a delivery
///
/// Takes the body exactly as it was received, the headers and the secret or public key; says whether they belong together, and if
/// not, why. Exit code 0: verified; 1: not. With --snippet it prints a program that does this in your receiver.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing verify --secret whsec_… --body body.json --headers headers.txt
  waxwing verify --secret @secret.txt --body - --tolerance off \\
    --header 'webhook-id: evt_…' --header 'webhook-timestamp: 1771416000' --header 'webhook-signature: v1,…'
  waxwing verify --profile mage --secret @secret.txt --body body.json --headers headers.txt
  waxwing verify --public-key whpk_… --body body.json --headers headers.txt
  waxwing verify --snippet python --profile marea > verify.py

The headers file has a line `name: value` for each header; other lines (as in the output of curl -v) are skipped.")]
pub(super) struct Verify {
    /// How the delivery was signed: standard, mage, marea or agentmessage
    #[arg(long, default_value = "standard", value_parser = read_profile)]
    profile: Profile,
    /// What the names of the profile's headers begin with, when its tenant has a brand of its own
    #[arg(long, value_name = "X-BRAND-", value_parser = read_prefix)]
    header_prefix: Option<HeaderPrefix>,
    /// Print a function for receivers instead, in node, python, go, ruby, php, rust, csharp or java
    #[arg(long, value_name = "LANGUAGE", value_parser = read_language, conflicts_with_all = ["secret", "body", "header", "headers"])]
    snippet: Option<snippet::Language>,
    /// The signing secret, or @FILE with it, which keeps it out of the list of processes
    #[arg(long, value_name = "SECRET|@FILE", required_unless_present_any = ["public_key", "snippet"])]
    secret: Option<String>,
    /// The public key of the subscription instead of its secret: one of the `v1a` signatures has to fit
    #[arg(long, value_name = "whpk_…", conflicts_with_all = ["secret", "snippet"], value_parser = read_public_key)]
    public_key: Option<PublicKey>,
    /// A file with the body's exact bytes (as @FILE, too), or - for the standard input
    #[arg(long, value_name = "FILE|-", required_unless_present = "snippet")]
    body: Option<String>,
    /// A header as it was received; can be given again
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// A file with the headers, one a line (as @FILE, too)
    #[arg(long, value_name = "FILE")]
    headers: Option<String>,
    /// Seconds that the timestamp may be away from now, or off
    #[arg(long, value_name = "SECONDS|off", default_value_t = Tolerance(Some(TOLERANCE_DEFAULT)), value_parser = read_tolerance)]
    tolerance: Tolerance,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// None: a timestamp of any age.
#[derive(Debug, Clone, Copy)]
struct Tolerance(Option<Duration>);

impl std::fmt::Display for Tolerance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(tolerance) => write!(f, "{}", tolerance.as_secs()),
            None => f.write_str("off"),
        }
    }
}

impl Verify {
    pub(super) fn run(self, _context: &Context) -> Result<Verdict, Failure> {
        let Self {
            profile,
            header_prefix,
            snippet: language,
            secret,
            public_key,
            body,
            header,
            headers,
            tolerance,
            json,
        } = self;
        if let Some(language) = language {
            return show_snippet(language, profile, header_prefix.as_ref(), json);
        }
        let Some(body) = body else {
            unreachable!("it is required when no snippet is asked for");
        };
        let Tolerance(tolerance) = tolerance;
        let proof = match (public_key, secret) {
            (Some(key), _) if profile.has_key_pairs() => Proof::PublicKey(key),
            (Some(_), _) => {
                let name = profile.name();
                return Err(Failure::Usage(format!("--public-key: the profile {name} signs with a secret only")));
            }
            (None, secret) => Proof::Secret(read_secret(profile, &secret.unwrap_or_default())?),
        };
        let body = read_file(&body)?;
        let mut lines = header;
        if let Some(file) = headers {
            lines.extend(String::from_utf8_lossy(&read_file(&file)?).lines().map(str::to_owned));
        }
        let headers: Vec<(String, String)> = lines.iter().filter_map(|line| read_header(line)).collect();
        let find = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let now = Clock::System.now();
        let judge = |body: &[u8], tolerance| match &proof {
            Proof::Secret(secret) => verify(profile, header_prefix.as_ref(), secret, find, body, now, tolerance),
            Proof::PublicKey(key) => verify_public(key, find, body, now, tolerance),
        };
        let verdict = judge(&body, tolerance);
        let fits = |body: &[u8]| judge(body, None).is_ok();
        let hint = verdict.as_ref().err().and_then(|mismatch| hint(mismatch, &body, fits));
        if json {
            let (reason, is_verified) = (verdict.as_ref().err().map(ToString::to_string), verdict.is_ok());
            print_json(&json!({ "verified": is_verified, "profile": profile.name(), "reason": reason, "hint": hint }))?;
        } else {
            print(&shown(&verdict, hint, body.len()))?;
        }
        Ok(if verdict.is_ok() { Verdict::Good } else { Verdict::Wrong })
    }
}

/// What a delivery is verified with.
enum Proof {
    Secret(Secret),
    PublicKey(PublicKey),
}

/// Whoever comes from curl, or has just written `--secret @FILE`, writes @FILE here, too.
fn read_file(name: &str) -> Result<Vec<u8>, Failure> {
    read_named(name.strip_prefix('@').unwrap_or(name))
}

fn read_secret(profile: Profile, text: &str) -> Result<Secret, Failure> {
    let text = match text.strip_prefix('@') {
        Some(file) => String::from_utf8_lossy(&read_named(file)?).trim().to_owned(),
        None => text.to_owned(),
    };
    profile.read_secret(&text).ok_or_else(|| {
        let (name, expected) = (profile.name(), profile.secret_expected());
        Failure::Usage(format!("--secret: a secret of profile {name} is {expected}"))
    })
}

fn show_snippet(
    language: snippet::Language,
    profile: Profile,
    prefix: Option<&HeaderPrefix>,
    json: bool,
) -> Result<Verdict, Failure> {
    let code = snippet(language, profile, prefix);
    if json {
        print_json(&json!({ "language": language.name(), "profile": profile.name(), "code": code }))?;
    } else {
        print(code.trim_end())?;
    }
    Ok(Verdict::Good)
}

fn shown(verdict: &Result<(), Mismatch>, hint: Option<&str>, body_bytes: usize) -> String {
    let paint = Paint::for_stream(io::stdout().is_terminal());
    match verdict {
        Ok(()) => format!(
            "{} the signature fits these headers and this body of {body_bytes} bytes",
            paint.green("verified ✓")
        ),
        Err(mismatch) => {
            let hint = hint.map(|hint| format!("\n  {hint}")).unwrap_or_default();
            format!("{} {mismatch}{hint}", paint.red("not verified:"))
        }
    }
}

/// The usual accident behind a wrong signature, when trying shows that it is the one.
fn hint(mismatch: &Mismatch, body: &[u8], fits: impl Fn(&[u8]) -> bool) -> Option<&'static str> {
    if *mismatch != Mismatch::WrongSignature {
        return None;
    }
    let without_line_end = body.strip_suffix(b"\r\n").or_else(|| body.strip_suffix(b"\n"));
    if without_line_end.is_some_and(&fits) {
        return Some("it fits without the line end at the end of the body: an editor or `echo` added it");
    }
    if fits(&without_spaces(body)) {
        return Some(
            "it fits the same JSON without spaces: the body was parsed and written again; verify its raw bytes",
        );
    }
    None
}

/// A JSON text without the spaces and line ends that stand between its parts.
fn without_spaces(json: &[u8]) -> Vec<u8> {
    let (mut in_text, mut is_escaped) = (false, false);
    let is_kept = |byte: &u8| {
        if in_text {
            in_text = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            return true;
        }
        in_text = *byte == b'"';
        !byte.is_ascii_whitespace()
    };
    json.iter().copied().filter(is_kept).collect()
}

/// `Name: value`; none for a line that is no header. The `> ` and `< ` of `curl -v` are taken off.
fn read_header(line: &str) -> Option<(String, String)> {
    let line = line.trim_start_matches(['>', '<', ' ']);
    let (name, value) = line.split_once(':')?;
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_name(name).then(|| (name.to_ascii_lowercase(), value.trim().to_owned()))
}

fn read_profile(text: &str) -> Result<Profile, String> {
    Profile::from_name(text).ok_or_else(|| format!("it is {}", Profile::NAMES_EXPECTED))
}

fn read_public_key(text: &str) -> Result<PublicKey, String> {
    text.parse().map_err(|_| format!("it is {PUBLIC_KEY_FORM}"))
}

fn read_language(text: &str) -> Result<snippet::Language, String> {
    let names = || snippet::Language::ALL.map(snippet::Language::name).join(", ");
    snippet::Language::from_name(text).ok_or_else(|| format!("it is one of {}", names()))
}

fn read_prefix(text: &str) -> Result<HeaderPrefix, String> {
    text.parse().map_err(|_| format!("it is {PREFIX_EXPECTED}"))
}

fn read_tolerance(text: &str) -> Result<Tolerance, String> {
    if text == "off" {
        return Ok(Tolerance(None));
    }
    let seconds = text.parse().map_err(|_| "give whole seconds, or off".to_owned())?;
    Ok(Tolerance(Some(Duration::from_secs(seconds))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_are_found_in_what_tools_print() {
        for (line, expected) in [
            ("webhook-id: evt_1", Some(("webhook-id", "evt_1"))),
            ("< Webhook-Signature: v1,a=:b ", Some(("webhook-signature", "v1,a=:b"))),
            ("POST /hook HTTP/1.1", None),
            ("* Connected to 127.0.0.1 (127.0.0.1) port 80: ok", None),
            ("", None),
        ] {
            let found = read_header(line);
            assert_eq!(found.as_ref().map(|(name, value)| (name.as_str(), value.as_str())), expected, "{line}");
        }
    }

    #[test]
    fn the_usual_accidents_are_recognised() {
        let sent: &[u8] = br#"{"b":"\" ,","a":1}"#;
        let hint = |body: &[u8]| hint(&Mismatch::WrongSignature, body, |body| body == sent).unwrap_or("none");
        for (body, expected) in [
            (&b"{\"b\":\"\\\" ,\",\"a\":1}\n"[..], "it fits without the line end"),
            (b"{\"b\":\"\\\" ,\",\"a\":1}\r\n", "it fits without the line end"),
            (b"{ \"b\": \"\\\" ,\",\n \"a\": 1 }", "it fits the same JSON without spaces"),
            (b"{\"a\":2}", "none"),
        ] {
            assert!(hint(body).starts_with(expected), "{}", hint(body));
        }
    }
}
