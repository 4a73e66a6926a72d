//! Attempts as the answer about a delivery shows them.

use std::time::Duration;

use poem_openapi::Object;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::domain::delivery::{Attempt, ErrorClass, Outcome, Phases, Trigger};
use crate::domain::event::{Event, EventWithData};
use crate::domain::profile::{Message, Profile};
use crate::domain::subscription::Envelope;
use crate::domain::tenant::Tenant;
use crate::http::value::{Nullable, Time, choice};

choice!(OutcomeName, "attempt_outcome", ["success", "failure"]);
choice!(TriggerName, "attempt_trigger", ["schedule", "manual", "probe"]);
choice!(ErrorClassName, "error_class", ErrorClass::ALL.map(ErrorClass::name));

/// One HTTP request
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Attempt")]
pub(super) struct AttemptView {
    id: String,
    /// From 1
    number: u16,
    /// Whether the schedule or a person asked for it, or it tried whether a failing receiver is well again
    trigger: TriggerName,
    started_at: Time,
    outcome: OutcomeName,
    request: RequestView,
    /// Null when no usable answer came
    response: Nullable<ResponseView>,
    /// Null when an answer came
    error: Nullable<AttemptError>,
    duration_ms: DurationView,
    remote_address: Nullable<String>,
    /// The version of the secret that signed it
    secret_version: u32,
}

/// What was sent
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AttemptRequest")]
struct RequestView {
    headers: Vec<HeaderView>,
    /// The bytes that were signed; null when the event's data is gone
    body: Nullable<String>,
    /// SHA-256 of the body, in hex
    body_sha256: String,
    body_bytes: u32,
}

/// What came back
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AttemptResponse")]
struct ResponseView {
    status: u16,
    headers: Vec<HeaderView>,
    /// The beginning: 16 KiB of a failure, 1 KiB of a success
    body: String,
    /// Whether there was more
    body_truncated: bool,
}

/// A header as it was on the wire
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Header")]
struct HeaderView {
    name: String,
    value: String,
}

/// Why no usable answer came
#[derive(Debug, Serialize, Object)]
struct AttemptError {
    class: ErrorClassName,
    /// For the operator: null for a key that is bound to a tenant
    detail: Nullable<String>,
}

/// Where the time went, in milliseconds; a phase that did not happen (a connection that was open already) is null
#[derive(Debug, Serialize, Object)]
#[oai(rename = "AttemptDuration")]
struct DurationView {
    dns: Nullable<f64>,
    connect: Nullable<f64>,
    tls: Nullable<f64>,
    /// From the request's first byte to the answer's head
    first_byte: Nullable<f64>,
    total: f64,
}

/// Bodies are not kept: they follow from the event, and the SHA-256 of an attempt says which form it had then.
pub(super) struct Rebuild(Vec<([u8; 32], String)>);

impl Rebuild {
    pub(super) fn new(event: Option<&EventWithData>, tenant: &Tenant) -> Self {
        let Some(EventWithData { event, data }) = event else { return Self(Vec::new()) };
        let event: &Event = event;
        let message = Message { event, data, tenant };
        let profiles = Profile::ALL.into_iter().flat_map(|profile| {
            // A profile without versions has one form, too.
            let versions = profile.api_versions().iter().copied().map(Some);
            let unversioned = profile.api_versions().is_empty().then_some(None);
            versions.chain(unversioned).map(move |version| (profile, version))
        });
        let forms = profiles.map(|(profile, version)| profile.body(&message, Envelope::Profile, version));
        let raw = Profile::default().body(&message, Envelope::Raw, None);
        let forms = forms.chain([raw]);
        Self(forms.map(|body| (Sha256::digest(&body).into(), String::from_utf8_lossy(&body).into_owned())).collect())
    }

    fn body(&self, sha256: &[u8; 32]) -> Option<String> {
        self.0.iter().find(|(known, _)| known == sha256).map(|(_, body)| body.clone())
    }
}

pub fn trigger_name(trigger: Trigger) -> TriggerName {
    TriggerName(match trigger {
        Trigger::Schedule => "schedule",
        Trigger::Manual => "manual",
        Trigger::Probe => "probe",
    })
}

pub(super) fn attempt_view(attempt: Attempt, rebuild: &Rebuild, shows_details: bool) -> AttemptView {
    let Attempt {
        id,
        delivery: _,
        number,
        trigger,
        started_at,
        outcome,
        phases,
        request_headers,
        request_body_sha256,
        request_body_bytes,
        secret_version,
        response,
        remote_address,
    } = attempt;
    let headers = |headers: Vec<(String, String)>| {
        headers.into_iter().map(|(name, value)| HeaderView { name, value }).collect::<Vec<_>>()
    };
    let is_success = outcome.is_success();
    let error = match outcome {
        Outcome::Success | Outcome::Status(_) => None,
        Outcome::Error { class, detail } => {
            Some(AttemptError { class: ErrorClassName(class.name()), detail: shows_details.then_some(detail).into() })
        }
    };
    AttemptView {
        id: id.to_string(),
        number,
        trigger: trigger_name(trigger),
        started_at: Time(started_at),
        outcome: OutcomeName(if is_success { "success" } else { "failure" }),
        request: RequestView {
            headers: headers(request_headers),
            body: rebuild.body(&request_body_sha256).into(),
            body_sha256: hex::encode(request_body_sha256),
            body_bytes: request_body_bytes,
        },
        response: response
            .map(|response| ResponseView {
                status: response.status,
                headers: headers(response.headers),
                body: String::from_utf8_lossy(&response.body).into_owned(),
                body_truncated: response.body_truncated,
            })
            .into(),
        error: error.into(),
        duration_ms: durations(phases),
        remote_address: remote_address.map(|address| address.to_string()).into(),
        secret_version,
    }
}

fn durations(Phases { dns, connect, tls, first_byte, total }: Phases) -> DurationView {
    let millis = |duration: Duration| duration.as_micros() as f64 / 1000.0;
    DurationView {
        dns: dns.map(millis).into(),
        connect: connect.map(millis).into(),
        tls: tls.map(millis).into(),
        first_byte: first_byte.map(millis).into(),
        total: millis(total),
    }
}
