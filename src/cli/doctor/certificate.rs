//! The certificates that HTTPS is served with: the operator's own, or those that ACME made.

use std::time::Duration;

use super::{Finding, Level};
use crate::app;
use crate::config::Config;
use crate::domain::time::Timestamp;
use crate::http::{BadCertificate, Certificate, CertificateFiles, EXPIRY_WARNED_BEFORE, KeptCertificate, Tried};

const ABOUT: &str = "https certificate";
const LEADS_HERE: &str = "the name has to lead to this machine and port 80 to the server, whose log says what the \
                          authority saw";

/// None: there is no HTTPS.
pub(super) fn examine(config: &Config, now: Timestamp) -> Option<Finding> {
    let https = &config.https;
    if let (Some(certificate), Some(key)) = (&https.tls_cert.value, &https.tls_key.value) {
        let read = CertificateFiles::new(certificate.clone(), key.clone()).look()?;
        return Some(match read {
            Ok(read) => {
                judge(&certificate.display().to_string(), &read, now, "renew it: a running server reads it by itself")
            }
            Err(error) => {
                Finding::fail(ABOUT, error.to_string(), "no server starts with it: see --tls-cert and --tls-key")
            }
        });
    }
    let findings = app::acme(config).kept().into_iter().map(|kept| judge_kept(&kept, now)).collect();
    worst_of(findings)
}

fn judge(name: &str, certificate: &Certificate, now: Timestamp, renewing: &str) -> Finding {
    let (begins, ends) = (certificate.not_before, certificate.not_after);
    let finding = if ends <= now {
        Finding::fail(ABOUT, format!("{name} ended at {ends}: clients refuse it"), renewing)
    } else if begins > now {
        let line = format!("{name} begins at {begins}: clients refuse it until then");
        Finding::fail(ABOUT, line, "wait, or look at the clock of this machine")
    } else if ends.since(now) <= EXPIRY_WARNED_BEFORE {
        Finding::warn(ABOUT, format!("{name} ends at {ends}"), renewing)
    } else {
        Finding::ok(ABOUT, format!("{name} fits its key, and ends at {ends}"))
    };
    finding.with("days_left", ends.since(now).as_secs() / Duration::from_secs(24 * 60 * 60).as_secs())
}

/// One that ACME made, or has not made yet.
fn judge_kept(kept: &KeptCertificate, now: Timestamp) -> Finding {
    let KeptCertificate { domain, certificate, tried } = kept;
    let finding = match certificate {
        Ok(Some(certificate)) => judge(&format!("that of {domain}"), certificate, now, LEADS_HERE),
        Ok(None) => Finding::ok(ABOUT, format!("{domain} has none yet: a server orders it")),
        // It may be as good as any.
        Err(error @ BadCertificate::Unreadable { .. }) => {
            Finding::warn(ABOUT, error.to_string(), "run this as the user that the server runs as")
        }
        Err(error) => {
            Finding::warn(ABOUT, error.to_string(), "remove the file: a server orders another when it starts")
        }
    };
    let Some(Tried { failures, again_at }) = tried else { return finding };
    let orders = match failures {
        // It is counted before it is made.
        1 => "the last order failed, or is being made".to_owned(),
        failures => format!("the last {failures} orders failed"),
    };
    let line = format!("{}; {orders}, the next is made at {again_at}", finding.line);
    let level = finding.level.max(Level::Warn);
    let finding = Finding { line, level, advice: Some(LEADS_HERE.to_owned()), ..finding };
    finding.with("failed_orders", *failures)
}

/// The lines of all, with the advice and the facts of the worst.
fn worst_of(findings: Vec<Finding>) -> Option<Finding> {
    let line = findings.iter().map(|finding| finding.line.as_str()).collect::<Vec<_>>().join("; ");
    let worst = findings.into_iter().reduce(|worst, next| if next.level > worst.level { next } else { worst })?;
    Some(Finding { line, ..worst })
}
