//! `/metrics`: figures of the whole instance for Prometheus. Labels are from short fixed lists.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use poem::http::StatusCode;
use poem_openapi::OpenApi;
use poem_openapi::payload::{PlainText, Response};

use super::auth::{Caller, scope};
use super::problem::Refusal;
use super::{App, Tag, read_disk};
use crate::dispatch::Figures;
use crate::store::Sizes;

/// How many answers were given, by the first digit of their status.
#[derive(Default)]
pub struct Answers([AtomicU64; 5]);

impl Answers {
    pub fn count(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.0[class - 1].fetch_add(1, Ordering::Relaxed);
    }
}

pub struct MetricsApi {
    pub app: Arc<App>,
}

#[OpenApi(tag = "Tag::Instance")]
impl MetricsApi {
    /// Figures for Prometheus
    ///
    /// In the text format. Only for instance keys.
    #[oai(path = "/metrics", method = "get", operation_id = "metrics.read")]
    async fn read(&self, caller: Caller<scope::SettingsRead>) -> Result<Response<PlainText<String>>, Refusal> {
        caller.instance_key_only()?;
        let sizes = read_disk(&self.app.store, |store| Ok(store.sizes())).await?;
        let mut text =
            write(&self.app.answers, self.app.dispatch.figures(), sizes, caller.catalogue.subscriptions_count());
        if let Some(at) = self.app.backups.newest_at() {
            let name = "waxwing_backup_last_success_timestamp_seconds";
            let seconds = at.as_millis() / 1000;
            let _ = writeln!(
                text,
                "# HELP {name} When the newest backup was begun.\n# TYPE {name} gauge\n{name} {seconds}"
            );
        }
        Ok(Response::new(PlainText(text)).header("content-type", "text/plain; version=0.0.4"))
    }
}

fn write(Answers(answers): &Answers, figures: Figures, sizes: Sizes, subscriptions: usize) -> String {
    let Figures { attempts_succeeded, attempts_failed, deliveries_exhausted, in_flight, waiting_in_memory, lanes } =
        figures;
    let Sizes { file_bytes, free_bytes, events, deliveries, deliveries_due, attempts } = sizes;
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, u64)]| {
        let _ = writeln!(text, "# HELP waxwing_{name} {help}\n# TYPE waxwing_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "waxwing_{name}{labels} {value}");
        }
    };
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| format!("{{status=\"{class}\"}}"));
    let answers: Vec<(&str, u64)> =
        classes.iter().map(String::as_str).zip(answers.iter().map(|count| count.load(Ordering::Relaxed))).collect();
    family("http_answers_total", "counter", "Answers of this API.", &answers);
    let attempts_made = [("{outcome=\"success\"}", attempts_succeeded), ("{outcome=\"failure\"}", attempts_failed)];
    family("attempts_total", "counter", "Requests to receivers.", &attempts_made);
    family("deliveries_exhausted_total", "counter", "Deliveries that were given up.", &[("", deliveries_exhausted)]);
    for (name, help, value) in [
        ("attempts_in_flight", "Requests to receivers that are open.", in_flight),
        ("deliveries_waiting_in_memory", "Fresh deliveries that wait in memory.", waiting_in_memory),
        ("lanes", "Subscriptions with something to do.", lanes),
        ("subscriptions", "Subscriptions that are not deleted.", subscriptions as u64),
        ("store_file_bytes", "The size of the store's file.", file_bytes),
        ("store_free_bytes", "Bytes in the file that can be used again.", free_bytes),
        ("store_events", "Events kept.", events),
        ("store_deliveries", "Deliveries kept.", deliveries),
        ("store_deliveries_due", "Deliveries that wait on disk for their next attempt.", deliveries_due),
        ("store_attempts", "Attempts kept.", attempts),
    ] {
        family(name, "gauge", help, &[("", value)]);
    }
    text
}
