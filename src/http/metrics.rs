//! `/metrics`: figures of the whole instance for Prometheus. Labels are from short fixed lists.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use poem::http::{Method, StatusCode};
use poem_openapi::OpenApi;
use poem_openapi::payload::{PlainText, Response};

use super::auth::{Caller, OfInstance, scope};
use super::problem::Refusal;
use super::shortcut::is_publish;
use super::status::{self, Seen};
use super::tls::{Certificates, Expiry};
use super::{App, Tag, read_disk};
use crate::clock::ClockState;
use crate::dispatch::{Attempts, Figures};
use crate::domain::contract::Contract;
use crate::domain::stats::AttemptKind;
use crate::domain::time::Timestamp;
use crate::measure::Distribution;
use crate::store::{Commits, Disk, DiskLevel, Files, JournalState, Queue, Sizes, Store, Subscribers, Whose};

/// What a request is about, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Publish,
    Read,
    Write,
    /// Anything of a published contract.
    Contract,
    /// Health and metrics.
    Probe,
    /// The console, the documents, and what leads nowhere.
    Page,
}

impl About {
    const ALL: [Self; 6] = [Self::Publish, Self::Read, Self::Write, Self::Contract, Self::Probe, Self::Page];

    fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Read => "read",
            Self::Write => "write",
            Self::Contract => "contract",
            Self::Probe => "probe",
            Self::Page => "page",
        }
    }

    fn of(contract: Option<Contract>, method: &Method, path: &str) -> Self {
        match method {
            _ if contract.is_some() => Self::Contract,
            _ if is_publish(method, path) => Self::Publish,
            _ if ["/healthz", "/readyz", "/metrics"].contains(&path) => Self::Probe,
            _ if !path.starts_with("/v1/") => Self::Page,
            &Method::GET | &Method::HEAD => Self::Read,
            _ => Self::Write,
        }
    }
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// How many answers were given: by what was asked, and by the first digit of the status.
#[derive(Default)]
pub struct Answers {
    by_class: [[AtomicU64; CLASSES.len()]; About::ALL.len()],
    unauthorized: AtomicU64,
    rate_limited: AtomicU64,
}

impl Answers {
    pub fn count(&self, contract: Option<Contract>, method: &Method, path: &str, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len());
        let about = About::of(contract, method, path);
        self.by_class[about as usize][class - 1].fetch_add(1, Ordering::Relaxed);
        match status {
            StatusCode::UNAUTHORIZED => _ = self.unauthorized.fetch_add(1, Ordering::Relaxed),
            StatusCode::TOO_MANY_REQUESTS => _ = self.rate_limited.fetch_add(1, Ordering::Relaxed),
            _ => {}
        }
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
    async fn read(
        &self,
        _caller: Caller<OfInstance<scope::SettingsRead>>,
    ) -> Result<Response<PlainText<String>>, Refusal> {
        let app = &self.app;
        let seen = status::look(app, Whose::Everyone).await?;
        let read = |store: &Store| Ok((store.sizes(), store.disk(), store.files(), Process::read()));
        let (sizes, disk, files, process) = read_disk(&app.store, read).await?;
        let mut text = Text::default();
        text.instance(app.started_at, app.dispatch.clock(), process);
        text.http(&app.answers);
        text.queue(&seen, app.dispatch.figures());
        text.attempts(app.dispatch.attempts());
        text.store(sizes, disk, files, app.store.journal(), app.store.commits());
        if let Some(at) = app.backups.newest_at() {
            let name = "waxwing_backup_last_success_timestamp_seconds";
            text.gauge(name, "When the newest backup was begun.", seconds_of(at));
        }
        if let Some(certificates) = &app.settings.certificates {
            text.certificates(certificates);
        }
        Ok(Response::new(PlainText(text.0)).header("content-type", "text/plain; version=0.0.4"))
    }
}

/// What the operating system says of this process; none where it does not.
struct Process {
    resident_bytes: Option<u64>,
    open_files: Option<usize>,
}

impl Process {
    fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Self {
            resident_bytes: resident.and_then(|kib| kib.trim().parse::<u64>().ok()).map(|kib| kib * 1024),
            open_files: std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
        }
    }
}

/// The answer in the making: families of samples, each with its help and type.
#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        _ = writeln!(self.0, "{name} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, "gauge", help);
        _ = writeln!(self.0, "{name} {value}");
    }

    /// A sample for each value of one label.
    fn labelled<'a>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        label: &str,
        samples: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.head(name, kind, help);
        for (value, number) in samples {
            _ = writeln!(self.0, "{name}{{{label}=\"{value}\"}} {number}");
        }
    }

    /// `unit` is how many of what was counted are one of the metric's name: 1,000,000 for microseconds.
    fn histogram(&mut self, name: &str, help: &str, unit: f64, distribution: &Distribution) {
        let Distribution { bounds, counts, sum } = distribution;
        self.head(name, "histogram", help);
        let mut count = 0;
        for (bound, of_bucket) in bounds.iter().zip(counts) {
            count += of_bucket;
            _ = writeln!(self.0, "{name}_bucket{{le=\"{}\"}} {count}", *bound as f64 / unit);
        }
        let total: u64 = counts.iter().sum();
        _ = writeln!(self.0, "{name}_bucket{{le=\"+Inf\"}} {total}");
        _ = writeln!(self.0, "{name}_sum {}\n{name}_count {total}", *sum as f64 / unit);
    }

    fn instance(&mut self, started_at: Timestamp, clock: ClockState, process: Process) {
        let info = ("waxwing_build_info", "gauge", "Always 1; the label says which version this is.");
        self.labelled(info, "version", [(env!("CARGO_PKG_VERSION"), 1)]);
        let started = seconds_of(started_at);
        self.gauge("process_start_time_seconds", "When the process opened its store.", started);
        let Process { resident_bytes, open_files } = process;
        if let Some(bytes) = resident_bytes {
            self.gauge("process_resident_memory_bytes", "Memory that is in use.", bytes);
        }
        if let Some(files) = open_files {
            self.gauge("process_open_fds", "Open files and connections.", files);
        }
        let ClockState { jump, drift_millis } = clock;
        let drift = drift_millis as f64 / 1000.0;
        self.gauge(
            "waxwing_clock_drift_seconds",
            "How far the clock moved beyond the time that passed since the start.",
            drift,
        );
        let jumped_at = jump.map_or(0.0, |jump| seconds_of(jump.at));
        let help = "When it was last noticed that the clock had been set; 0: not since the start.";
        self.gauge("waxwing_clock_jump_timestamp_seconds", help, jumped_at);
    }

    fn http(&mut self, answers: &Answers) {
        let Answers { by_class, unauthorized, rate_limited } = answers;
        let name = "waxwing_http_answers_total";
        self.head(name, "counter", "Answers of this server, by what was asked and the class of the status.");
        for (about, counts) in About::ALL.into_iter().zip(by_class) {
            for (class, count) in CLASSES.into_iter().zip(counts) {
                let count = count.load(Ordering::Relaxed);
                _ = writeln!(self.0, "{name}{{about=\"{}\",status=\"{class}\"}} {count}", about.name());
            }
        }
        let unauthorized = unauthorized.load(Ordering::Relaxed);
        self.counter("waxwing_http_unauthorized_total", "Answers 401: no valid key or password.", unauthorized);
        let rate_limited = rate_limited.load(Ordering::Relaxed);
        self.counter("waxwing_http_rate_limited_total", "Answers 429: too many requests.", rate_limited);
    }

    fn queue(&mut self, seen: &Seen, figures: Figures) {
        let Seen { queue, due, oldest_due_at: _, lag, subscribers } = seen;
        let Queue { pending, retrying, held, exhausted } = *queue;
        let deliveries = ("waxwing_queue_deliveries", "gauge", "Deliveries that are not final, by why they wait.");
        self.labelled(deliveries, "state", [("pending", pending), ("retrying", retrying), ("held", held)]);
        let help = "Deliveries that could go by now; of those on disk about 10,000 are counted.";
        self.gauge("waxwing_queue_due", help, due);
        let help = "How long the oldest delivery that could go by now has been due.";
        self.gauge("waxwing_queue_lag_seconds", help, lag.as_secs_f64());
        self.gauge("waxwing_deliveries_exhausted", "Deliveries that were given up and are kept.", exhausted);
        let Figures { deliveries_exhausted, in_flight, waiting_in_memory, lanes } = figures;
        self.counter("waxwing_deliveries_exhausted_total", "Deliveries that were given up.", deliveries_exhausted);
        self.gauge("waxwing_attempts_in_flight", "Requests to receivers that are open.", in_flight);
        self.gauge("waxwing_deliveries_waiting_in_memory", "Deliveries that wait in memory.", waiting_in_memory);
        self.gauge("waxwing_lanes", "Subscriptions with something to do.", lanes);
        let Subscribers { healthy, paused, degraded, failing, disabled, longest: _ } = *subscribers;
        let by_health = ("waxwing_subscriptions", "gauge", "Subscriptions that are not deleted, by how they fare.");
        let samples = [
            ("healthy", healthy),
            ("degraded", degraded),
            ("failing", failing),
            ("disabled", disabled),
            ("paused", paused),
        ];
        self.labelled(by_health, "health", samples);
    }

    fn attempts(&mut self, attempts: Attempts) {
        let Attempts { counts, answer_times, first_attempt_times } = attempts;
        let of_kind = |kind| (outcome_name(kind), counts[kind]);
        let made = ("waxwing_attempts_total", "counter", "Requests to receivers, by what they came to.");
        self.labelled(made, "outcome", AttemptKind::ALL.map(of_kind));
        let help = "How long receivers took to answer, whatever they said.";
        self.histogram("waxwing_attempt_seconds", help, 1e6, &answer_times);
        let help = "From the making of a delivery to the beginning of its first attempt.";
        self.histogram("waxwing_first_attempt_seconds", help, 1e6, &first_attempt_times);
    }

    fn store(&mut self, sizes: Sizes, disk: Disk, files: Files, journal: JournalState, commits: Commits) {
        let Commits { times, sentences } = commits;
        let help = "How long groups of writes took to be durable.";
        self.histogram("waxwing_store_commit_seconds", help, 1e6, &times);
        let help = "Writes that became durable together.";
        self.histogram("waxwing_store_commit_sentences", help, 1.0, &sentences);
        let Files { store_bytes, journal_bytes } = files;
        let by_file = ("waxwing_store_file_bytes", "gauge", "What the store's files take on the disk.");
        self.labelled(by_file, "file", [("store", store_bytes), ("journal", journal_bytes)]);
        let JournalState { bytes, checkpoint_at } = journal;
        let help = "What came into the journal since the last checkpoint began.";
        self.gauge("waxwing_store_journal_pending_bytes", help, bytes);
        let help = "When the last checkpoint was durable; 0: none since the start.";
        let checkpoint_at = checkpoint_at.map_or(0.0, seconds_of);
        self.gauge("waxwing_store_checkpoint_timestamp_seconds", help, checkpoint_at);
        let Disk { free_bytes, reserve_bytes, warning_bytes, total_bytes, level } = disk;
        self.gauge("waxwing_disk_free_bytes", "Free bytes of the file system that the store is on.", free_bytes);
        self.gauge("waxwing_disk_reserve_bytes", "New events are refused when less is free.", reserve_bytes);
        let help = "A warning is given when less is free: two reserves, or a tenth of all.";
        self.gauge("waxwing_disk_warning_bytes", help, warning_bytes);
        self.gauge("waxwing_disk_total_bytes", "The size of that file system; 0: not known.", total_bytes);
        let is_refusing = u64::from(level == DiskLevel::Refusing);
        self.gauge("waxwing_disk_refusing", "1 while new events are refused because the disk is full.", is_refusing);
        let Sizes { events, deliveries, deliveries_due, attempts } = sizes;
        let rows = ("waxwing_store_rows", "gauge", "What is kept. `due`: deliveries that wait on disk.");
        let samples = [("events", events), ("deliveries", deliveries), ("due", deliveries_due), ("attempts", attempts)];
        self.labelled(rows, "of", samples);
    }

    /// A domain is one of the few that are configured.
    fn certificates(&mut self, certificates: &Certificates) {
        let name = "waxwing_tls_certificate_expiry_timestamp_seconds";
        self.head(name, "gauge", "When the certificate of HTTPS ends.");
        for Expiry { domain, begins: _, at } in certificates.expiries() {
            let labels = domain.map_or_else(String::new, |domain| format!("{{domain=\"{domain}\"}}"));
            _ = writeln!(self.0, "{name}{labels} {}", at.as_seconds());
        }
    }
}

fn seconds_of(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}

/// As in `/v1/stats`.
fn outcome_name(kind: AttemptKind) -> &'static str {
    match kind {
        AttemptKind::Success => "success",
        AttemptKind::Status3xx => "status_3xx",
        AttemptKind::Status4xx => "status_4xx",
        AttemptKind::Status5xx => "status_5xx",
        AttemptKind::BlockedAddress => "blocked_address",
        AttemptKind::Dns => "dns",
        AttemptKind::Connect => "connect",
        AttemptKind::Tls => "tls",
        AttemptKind::Timeout => "timeout",
        AttemptKind::Http => "http",
    }
}
