//! What is shown in the end: tables in markdown, and JSON with the same figures.

use std::fmt::Write;

use serde::Serialize;

use super::figures::{Latencies, median};
use super::usage;
use super::world::{Cpu, RawPerSecond};

/// More of the machine than this in other hands, and figures say little.
const OTHERS_NOTED_FROM: f64 = 0.03;

/// Everything that one call of the benchmark found.
#[derive(Debug, Serialize)]
pub struct Report {
    pub waxwing: String,
    pub machine: Machine,
    pub is_quick: bool,
    pub runs: u32,
    pub rows: Vec<Row>,
    /// Scenarios that gave no figures, each with the reason.
    pub without_figures: Vec<(String, String)>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
    /// Of 4 KiB, in the folder that was used.
    pub sync_us: f64,
    /// Processes that wanted to run in the minute before.
    pub load_before: f64,
}

#[derive(Debug, Serialize)]
pub struct Row {
    pub scenario: &'static str,
    /// What was measured, in a few words.
    pub what: String,
    #[serde(flatten)]
    pub figures: Figures,
    /// Why a ratio would mean nothing.
    pub doubts: Vec<String>,
    /// The greatest part of the machine that others used during a run, 0 to 1. Absent where it was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Figures {
    Throughput(Throughput),
    Latency(Latency),
    Fact(Fact),
}

#[derive(Debug, Serialize)]
pub struct Throughput {
    /// Of each run, in order.
    pub deliveries_per_second: Vec<f64>,
    /// Before the first run, between the runs, and after the last.
    pub raw_per_second: Vec<RawPerSecond>,
    pub cpu_seconds_per_1000: CpuPer1000,
    pub peak_rss_bytes: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct CpuPer1000 {
    pub waxwing: f64,
    pub receiver: f64,
    pub generator: f64,
}

#[derive(Debug, Serialize)]
pub struct Latency {
    pub events_per_second: f64,
    /// From when an event was due to its receipt.
    pub received: Latencies,
    /// From when an event was due to its 202.
    pub answered: Latencies,
    pub cpu_seconds_per_1000: CpuPer1000,
    pub peak_rss_bytes: f64,
}

/// Anything else that has one value; the median when there were several runs.
#[derive(Debug, Serialize)]
pub struct Fact {
    pub value: f64,
    pub unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Seconds,
    Microseconds,
    Bytes,
    PerSecond,
    Ratio,
    Count,
}

impl Throughput {
    /// Each run's rate to the mean of the raw sender before and after it; the median of those. None when what was received
    /// is not what should have been.
    pub fn ratio(&self, doubts: &[String], raw_of: fn(&RawPerSecond) -> f64) -> Option<f64> {
        if !doubts.is_empty() {
            return None;
        }
        let around = self.raw_per_second.windows(2).map(|raw| (raw_of(&raw[0]) + raw_of(&raw[1])) / 2.0);
        let ratios: Vec<f64> = self.deliveries_per_second.iter().zip(around).map(|(rate, raw)| rate / raw).collect();
        median(&ratios)
    }

    fn raw_median(&self, raw_of: fn(&RawPerSecond) -> f64) -> Option<f64> {
        median(&self.raw_per_second.iter().map(raw_of).collect::<Vec<_>>())
    }
}

fn library(raw: &RawPerSecond) -> f64 {
    raw.library
}

fn by_hand(raw: &RawPerSecond) -> f64 {
    raw.by_hand
}

impl Machine {
    /// This machine, with what a sync was measured to take. What the system does not tell is empty or 0.
    pub fn this(sync_us: f64) -> Self {
        let about = usage::about_machine();
        Self {
            processor: about.processor,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: about.memory_bytes,
            kernel: about.kernel,
            sync_us,
            load_before: about.load,
        }
    }
}

impl CpuPer1000 {
    pub fn of(cpu: &Cpu, deliveries: u64) -> Self {
        let thousands = deliveries.max(1) as f64 / 1000.0;
        let Cpu { waxwing, receiver, generator, others: _ } = cpu;
        Self { waxwing: waxwing / thousands, receiver: receiver / thousands, generator: generator / thousands }
    }

    pub fn median_of(runs: &[Self]) -> Self {
        let of = |part: fn(&Self) -> f64| median(&runs.iter().map(part).collect::<Vec<_>>()).unwrap_or_default();
        Self { waxwing: of(|run| run.waxwing), receiver: of(|run| run.receiver), generator: of(|run| run.generator) }
    }
}

impl Report {
    /// Whether everything that was asked for has figures that can be trusted.
    pub fn is_good(&self) -> bool {
        self.without_figures.is_empty() && self.rows.iter().all(|row| row.doubts.is_empty())
    }

    pub fn json(&self) -> String {
        let mut value = serde_json::to_value(self).expect("a report is plain data");
        // Derived, but what a reader looks for first.
        for (row, shown) in self.rows.iter().zip(value["rows"].as_array_mut().expect("rows are a list")) {
            if let Figures::Throughput(throughput) = &row.figures {
                shown["deliveries_per_second_median"] = median(&throughput.deliveries_per_second).into();
                shown["raw_per_second_median"] = throughput.raw_median(library).into();
                shown["ratio"] = throughput.ratio(&row.doubts, library).into();
                shown["ratio_by_hand"] = throughput.ratio(&row.doubts, by_hand).into();
            }
        }
        serde_json::to_string_pretty(&value).expect("a value is JSON")
    }

    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let Machine { processor, cores, memory_bytes, kernel, sync_us, load_before } = &self.machine;
        let gib = *memory_bytes as f64 / f64::from(1 << 30);
        let runs = if self.runs == 1 { "one run".to_owned() } else { format!("medians of {} runs", self.runs) };
        let quick = if self.is_quick { " Small counts (`--quick`): **not figures to quote.**" } else { "" };
        let _ = writeln!(
            out,
            "Waxwing {}, {cores} cores of {processor}, {gib:.0} GiB, Linux {kernel}; a sync of 4 KiB takes {sync_us:.0} µs; \
             load before: {load_before:.2}; {runs}.{quick}",
            self.waxwing
        );
        self.throughput(&mut out);
        self.latency(&mut out);
        self.facts(&mut out);
        self.notes(&mut out);
        out
    }

    fn throughput(&self, out: &mut String) {
        let rows = self.rows.iter().filter_map(|row| match &row.figures {
            Figures::Throughput(throughput) => Some((row, throughput)),
            Figures::Latency(_) | Figures::Fact(_) => None,
        });
        let rows = rows.map(|(row, throughput)| {
            let Throughput { deliveries_per_second, raw_per_second: _, cpu_seconds_per_1000, peak_rss_bytes } =
                throughput;
            let ratio = |raw_of| throughput.ratio(&row.doubts, raw_of).map(|ratio| format!("{ratio:.2}"));
            let raw = |raw_of| throughput.raw_median(raw_of).map_or("—".to_owned(), thousands);
            let none = || "—".to_owned();
            let least = deliveries_per_second.iter().copied().fold(f64::INFINITY, f64::min);
            let most = deliveries_per_second.iter().copied().fold(0.0, f64::max);
            [
                format!("`{}`", row.scenario),
                row.what.clone(),
                median(deliveries_per_second).map_or("—".to_owned(), thousands),
                format!("{}–{}", thousands(least), thousands(most)),
                raw(library),
                ratio(library).map_or_else(none, |ratio| format!("**{ratio}**")),
                format!("{} ({})", raw(by_hand), ratio(by_hand).unwrap_or_else(none)),
                cpu(cpu_seconds_per_1000),
                mib(*peak_rss_bytes),
            ]
        });
        let head = [
            "scenario",
            "what",
            "deliveries/s",
            "least–most",
            "raw sender/s",
            "ratio",
            "raw by hand/s (ratio)",
            "CPU s per 1,000: waxwing + receiver + generator",
            "peak RSS",
        ];
        table(out, head, rows);
    }

    fn latency(&self, out: &mut String) {
        let rows = self.rows.iter().filter_map(|row| match &row.figures {
            Figures::Latency(latency) => Some((row, latency)),
            Figures::Throughput(_) | Figures::Fact(_) => None,
        });
        let rows = rows.map(|(row, latency)| {
            let Latency { events_per_second, received, answered, cpu_seconds_per_1000, peak_rss_bytes } = latency;
            [
                format!("`{}`", row.scenario),
                row.what.clone(),
                thousands(*events_per_second),
                milliseconds(received.p50_us),
                milliseconds(received.p99_us),
                milliseconds(received.max_us),
                format!("{} / {}", milliseconds(answered.p50_us), milliseconds(answered.p99_us)),
                cpu(cpu_seconds_per_1000),
                mib(*peak_rss_bytes),
            ]
        });
        let head = [
            "scenario",
            "what",
            "events/s",
            "due → received p50",
            "p99",
            "max",
            "due → 202 p50 / p99",
            "CPU s per 1,000: waxwing + receiver + generator",
            "peak RSS",
        ];
        table(out, head, rows);
    }

    fn facts(&self, out: &mut String) {
        let rows = self.rows.iter().filter_map(|row| match &row.figures {
            Figures::Fact(Fact { value, unit }) => {
                Some([format!("`{}`", row.scenario), row.what.clone(), unit.show(*value)])
            }
            Figures::Throughput(_) | Figures::Latency(_) => None,
        });
        table(out, ["scenario", "what", "figure"], rows);
    }

    fn notes(&self, out: &mut String) {
        let mut notes = Vec::new();
        for row in &self.rows {
            for doubt in &row.doubts {
                notes.push(format!("`{}`, {}: {doubt}; no ratio", row.scenario, row.what));
            }
            if let Some(others) = row.others.filter(|others| *others > OTHERS_NOTED_FROM) {
                let share = others * 100.0;
                notes
                    .push(format!("`{}`, {}: other programs used {share:.0} % of the machine", row.scenario, row.what));
            }
        }
        notes.extend(self.without_figures.iter().map(|(scenario, why)| format!("`{scenario}` has no figures: {why}")));
        if !notes.is_empty() {
            out.push('\n');
            for note in notes {
                let _ = writeln!(out, "- {note}");
            }
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 1.0 => milliseconds(value * 1e6),
            Self::Seconds => format!("{value:.2} s"),
            Self::Microseconds => format!("{value:.1} µs"),
            Self::Bytes => mib(value),
            Self::PerSecond => format!("{}/s", thousands(value)),
            Self::Ratio => format!("**{value:.2}**"),
            Self::Count => thousands(value),
        }
    }
}

/// A table in markdown; nothing when it has no rows.
fn table<const N: usize>(out: &mut String, head: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let _ = writeln!(out, "\n| {} |\n|{}", head.join(" | "), " --- |".repeat(N));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
}

fn cpu(cpu: &CpuPer1000) -> String {
    format!("{:.3} + {:.3} + {:.3}", cpu.waxwing, cpu.receiver, cpu.generator)
}

fn mib(bytes: f64) -> String {
    format!("{:.0} MiB", bytes / f64::from(1 << 20))
}

fn milliseconds(microseconds: f64) -> String {
    format!("{:.2} ms", microseconds / 1000.0)
}

/// `61,500`
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{sign}{}", groups.join(","))
}

#[cfg(test)]
#[allow(unused)]
mod tests {
    use super::*;

    fn report(doubts: &[&str]) -> Report {
        let cpu_seconds_per_1000 = CpuPer1000 { waxwing: 0.07, receiver: 0.02, generator: 0.01 };
        let throughput = Throughput {
            deliveries_per_second: vec![10_000.0, 20_000.0, 30_000.0],
            raw_per_second: [50_000.0, 30_000.0, 10_000.0, 90_000.0]
                .map(|library| RawPerSecond { library, by_hand: 2.0 * library })
                .to_vec(),
            cpu_seconds_per_1000,
            peak_rss_bytes: 123.0 * 1024.0 * 1024.0,
        };
        let latency = Latency {
            events_per_second: 200.0,
            received: Latencies { count: 4000, p50_us: 1234.0, p99_us: 2500.0, max_us: 9000.0 },
            answered: Latencies { count: 4000, p50_us: 900.0, p99_us: 1900.0, max_us: 5000.0 },
            cpu_seconds_per_1000,
            peak_rss_bytes: 20.0 * 1024.0 * 1024.0,
        };
        let row = |scenario, what: &str, figures| Row {
            scenario,
            what: what.to_owned(),
            figures,
            doubts: Vec::new(),
            others: Some(0.0),
        };
        let mut rows = vec![
            row("batches", "of 100", Figures::Throughput(throughput)),
            row("steady-200", "1 subscription", Figures::Latency(latency)),
            row("history", "cost", Figures::Fact(Fact { value: 1.25, unit: Unit::Ratio })),
        ];
        rows[0].doubts = doubts.iter().map(|doubt| (*doubt).to_owned()).collect();
        rows[0].others = Some(0.31);
        let machine = Machine {
            processor: "Some CPU".to_owned(),
            cores: 2,
            memory_bytes: 24 << 30,
            kernel: "6.1".to_owned(),
            sync_us: 140.4,
            load_before: 0.1,
        };
        Report { waxwing: "0.1.0".to_owned(), machine, is_quick: false, runs: 3, rows, without_figures: Vec::new() }
    }

    #[test]
    fn a_report_reads_as_tables() {
        let mut report = report(&[]);
        report.without_figures.push(("slow-sync".to_owned(), "strace is not installed".to_owned()));
        expect_test::expect![[r#"
            Waxwing 0.1.0, 2 cores of Some CPU, 24 GiB, Linux 6.1; a sync of 4 KiB takes 140 µs; load before: 0.10; medians of 3 runs.

            | scenario | what | deliveries/s | least–most | raw sender/s | ratio | raw by hand/s (ratio) | CPU s per 1,000: waxwing + receiver + generator | peak RSS |
            | --- | --- | --- | --- | --- | --- | --- | --- | --- |
            | `batches` | of 100 | 20,000 | 10,000–30,000 | 40,000 | **0.60** | 80,000 (0.30) | 0.070 + 0.020 + 0.010 | 123 MiB |

            | scenario | what | events/s | due → received p50 | p99 | max | due → 202 p50 / p99 | CPU s per 1,000: waxwing + receiver + generator | peak RSS |
            | --- | --- | --- | --- | --- | --- | --- | --- | --- |
            | `steady-200` | 1 subscription | 200 | 1.23 ms | 2.50 ms | 9.00 ms | 0.90 ms / 1.90 ms | 0.070 + 0.020 + 0.010 | 20 MiB |

            | scenario | what | figure |
            | --- | --- | --- |
            | `history` | cost | **1.25** |

            - `batches`, of 100: other programs used 31 % of the machine
            - `slow-sync` has no figures: strace is not installed
        "#]]
        .assert_eq(&report.markdown());
    }

    #[test]
    fn no_ratio_is_shown_of_a_run_in_doubt() {
        let report = report(&["3 came twice"]);
        assert!(!report.is_good());
        let markdown = report.markdown();
        assert!(markdown.contains("| 40,000 | — | 80,000 (—) |"), "{markdown}");
        assert!(markdown.contains("3 came twice; no ratio"), "{markdown}");
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["rows"][0]["ratio"], serde_json::Value::Null);
    }

    #[test]
    fn the_json_holds_every_run_and_the_ratio() {
        let report = report(&[]);
        assert!(report.is_good());
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["rows"][0]["kind"], "throughput");
        assert_eq!(json["rows"][0]["deliveries_per_second"].as_array().unwrap().len(), 3);
        // 10,000 to 40,000, 20,000 to 20,000, 30,000 to 50,000.
        assert_eq!(json["rows"][0]["ratio"], 0.6);
        assert_eq!(json["rows"][0]["ratio_by_hand"], 0.3);
        assert_eq!(json["rows"][1]["received"]["p99_us"], 2500.0);
        assert_eq!(json["rows"][2]["unit"], "ratio");
    }

    #[test]
    fn figures_are_shown_in_units_that_people_read() {
        for (unit, value, shown) in [
            (Unit::Seconds, 0.0314, "31.40 ms"),
            (Unit::Seconds, 12.345, "12.35 s"),
            (Unit::Bytes, 1024.0 * 1024.0 * 200.4, "200 MiB"),
            (Unit::PerSecond, 1_234_567.0, "1,234,567/s"),
            (Unit::Count, 999.0, "999"),
            (Unit::Count, 0.0, "0"),
            (Unit::Microseconds, 45.67, "45.7 µs"),
        ] {
            assert_eq!(unit.show(value), shown);
        }
    }
}
