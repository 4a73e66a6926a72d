//! The certificate that HTTPS is served with, when it is the operator's own.

use std::path::Path;
use std::time::Duration;

use super::Finding;
use crate::config::Config;
use crate::domain::time::Timestamp;
use crate::http::{Certificate, CertificateFiles, EXPIRY_WARNED_BEFORE};

const ABOUT: &str = "own certificate";

/// None: HTTPS is served with no files, or not at all.
pub(super) fn examine(config: &Config, now: Timestamp) -> Option<Finding> {
    let (certificate, key) = (config.https.tls_cert.value.as_ref()?, config.https.tls_key.value.as_ref()?);
    let read = CertificateFiles::new(certificate.clone(), key.clone()).look()?;
    Some(match read {
        Ok(read) => judge(certificate, &read, now),
        Err(error) => Finding::fail(ABOUT, error.to_string(), "no server starts with it: see --tls-cert and --tls-key"),
    })
}

fn judge(file: &Path, certificate: &Certificate, now: Timestamp) -> Finding {
    let (shown, begins, ends) = (file.display(), certificate.not_before, certificate.not_after);
    let finding = if ends <= now {
        Finding::fail(ABOUT, format!("{shown} ended at {ends}: clients refuse it"), "renew it")
    } else if begins > now {
        let line = format!("{shown} begins at {begins}: clients refuse it until then");
        Finding::fail(ABOUT, line, "wait, or look at the clock of this machine")
    } else if ends.since(now) <= EXPIRY_WARNED_BEFORE {
        Finding::warn(ABOUT, format!("{shown} ends at {ends}"), "renew it: a running server reads it by itself")
    } else {
        Finding::ok(ABOUT, format!("{shown} fits its key, and ends at {ends}"))
    };
    finding.with("days_left", ends.since(now).as_secs() / Duration::from_secs(24 * 60 * 60).as_secs())
}
