//! The line for whoever helps: what was found, without anything that is somebody's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Finding, Row};
use crate::cli::Failure;
use crate::config::Origin;
use crate::domain::time::Timestamp;

/// Of the line, so that a later program can read it.
const VERSION: u32 = 1;
/// Far longer than any of ours.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Settings whose values are numbers, switches and words of ours. Of the others only is told that they are set.
const SHOWN_SETTINGS: [&str; 12] = [
    "dev",
    "allow_http_targets",
    "allow_metadata_targets",
    "management_rate",
    "publish_rate",
    "language",
    "compat",
    "payload_days",
    "metadata_days",
    "free_space_reserve",
    "log",
    "log_level",
];

pub(super) fn encode(findings: &[Finding], settings: &[Row], now: Timestamp) -> String {
    let checks: Map<String, Value> = findings.iter().map(fact).collect();
    let is_set = |row: &&Row| row.origin != Origin::Default;
    let setting = |row: &Row| {
        let value = if SHOWN_SETTINGS.contains(&row.name) { row.value.clone() } else { json!("set") };
        (row.name.to_owned(), json!([row.origin.kind(), value]))
    };
    let settings: Map<String, Value> = settings.iter().filter(is_set).map(setting).collect();
    let line = json!({
        "v": VERSION,
        "waxwing": env!("CARGO_PKG_VERSION"),
        "system": std::env::consts::OS,
        "machine": std::env::consts::ARCH,
        "at": now.to_string(),
        "checks": checks,
        "settings": settings,
    });
    STANDARD.encode(line.to_string())
}

fn fact(finding: &Finding) -> (String, Value) {
    let Finding { about, level, line: _, advice: _, facts } = finding;
    let mut fact = facts.clone();
    fact.insert("level".to_owned(), json!(level.name()));
    ((*about).to_owned(), Value::Object(fact))
}

/// What such a line says, also when `support:` stands before it.
pub(super) fn decode(line: &str) -> Result<Value, Failure> {
    let text = line.trim();
    let text = text.strip_prefix("support:").unwrap_or(text).trim();
    let read = || {
        let bytes = STANDARD.decode(text).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok().filter(|said| said["v"].is_number() && said["checks"].is_object())
    };
    let said = if text.len() > LINE_BYTES_MAX { None } else { read() };
    said.ok_or_else(|| Failure::Usage("that is no support line of `waxwing doctor`, or not all of it".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Args, Config};

    #[test]
    fn a_support_line_says_what_was_found_and_nothing_that_is_somebodys() {
        let findings = [
            Finding::fail("disk", "/srv/acme-corp has 5 bytes", "make room").with("free_bytes", 5),
            Finding::ok("clock", "right"),
        ];
        let environment = [
            ("WAXWING_DATA_DIR", "/srv/acme-corp"),
            ("WAXWING_ADMIN_KEY", "a-secret-of-thirty-two-characters"),
            ("WAXWING_DOMAIN", "hooks.acme-corp.example"),
            ("WAXWING_ALLOW_TARGET_HOST", "erp.acme-corp.example"),
            ("WAXWING_BACKUP_TO", "s3://acme-corp/here"),
            ("WAXWING_PAYLOAD_DAYS", "7"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::resolve(&Args::default(), environment, None).unwrap();
        let line = encode(&findings, &config.rows(), Timestamp::from_millis(0));
        let said = decode(&format!("support: {line}\n")).unwrap();
        assert_eq!(said["checks"], json!({"disk": {"level": "fail", "free_bytes": 5}, "clock": {"level": "ok"}}));
        assert_eq!(said["settings"]["payload_days"], json!(["env", 7]));
        assert_eq!(said["settings"]["domain"], json!(["env", "set"]));
        assert_eq!(said["settings"].as_object().unwrap().get("listen"), None, "nobody set it");
        for private in ["acme-corp", "a-secret", "make room"] {
            assert!(!said.to_string().contains(private), "{private} is in {said}");
        }
    }

    #[test]
    fn what_is_no_support_line_is_refused() {
        for text in ["", "support:", "eyJ2Ij", "e30=", "bnVsbA==", "?"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
