//! Events at a fixed rate: how long from when one was due until its receiver had it.

use super::super::children::Disk;
use super::super::children::Server;
use super::super::figures::{Latencies, median};
use super::super::link::{Fault, Plan};
use super::super::report::{CpuPer1000, Fact, Figures, Latency, Row, Unit};
use super::super::world::{Expected, Measured, World, event};
use super::{DATA_BYTES, EVENT_TYPE, Scenario, subscribe_receiver};

const CONNECTIONS: u32 = 16;
const SECONDS: u64 = 20;
const SECONDS_QUICK: u64 = 1;
const WARM_UP_SECONDS: u64 = 2;

/// The same with a median of each figure over the runs.
#[derive(Default)]
pub struct Runs {
    received: Vec<Latencies>,
    answered: Vec<Latencies>,
    cpu: Vec<CpuPer1000>,
    peaks: Vec<f64>,
    doubts: Vec<String>,
    others: f64,
}

pub async fn run(world: &mut World, scenario: Scenario, rate: f64) -> Result<Vec<Row>, Fault> {
    let mut runs = Runs::default();
    for run in 1..=world.scale.runs {
        let home = world.home(Disk::AsItIs).await?;
        let server = &home.server;
        subscribe_receiver(world, server, r#","max_in_flight":64"#).await?;
        let seconds = world.scale.pick(SECONDS, SECONDS_QUICK);
        let warm_up = steady(server, EVENT_TYPE, rate, world.scale.pick(WARM_UP_SECONDS, SECONDS_QUICK));
        world.rehearse(&warm_up, Expected { groups: 1, seqs: warm_up.requests }).await?;
        let plan = steady(server, EVENT_TYPE, rate, seconds);
        let measured = world.measure(server, &plan, Expected { groups: 1, seqs: plan.requests }).await?;
        world.say(&format!("{}, run {run}: {}", scenario.name(), shown(&measured.received.latencies)));
        runs.add(measured, server.process.memory().peak_bytes);
    }
    Ok(vec![runs.row(scenario, "1 subscription", rate)])
}

/// Open loop: each second has its events, whatever became of those before.
pub fn steady(server: &Server, event_type: &str, rate: f64, seconds: u64) -> Plan {
    Plan {
        address: server.address,
        head: server.head("POST", "/v1/events"),
        event: event(event_type, DATA_BYTES),
        events_per_request: 1,
        requests: (rate * seconds as f64) as u64,
        first_seq: 0,
        connections: CONNECTIONS,
        requests_per_second: Some(rate),
    }
}

pub fn shown(latencies: &Latencies) -> String {
    let Latencies { count, p50_us, p99_us, max_us } = latencies;
    format!("{count} received, p50 {p50_us:.0} µs, p99 {p99_us:.0} µs, max {max_us:.0} µs after they were due")
}

impl Runs {
    pub fn add(&mut self, measured: Measured, peak_bytes: u64) {
        let Measured { received, loaded, seconds: _, cpu, mut doubts } = measured;
        self.received.push(received.latencies);
        self.answered.push(loaded.answers);
        self.cpu.push(CpuPer1000::of(&cpu, received.unique));
        self.peaks.push(peak_bytes as f64);
        self.doubts.append(&mut doubts);
        self.others = self.others.max(cpu.others);
    }

    /// Each run's 99th percentile.
    fn p99s(&self) -> Vec<f64> {
        self.received.iter().map(|latencies| latencies.p99_us).collect()
    }

    pub fn row(self, scenario: Scenario, what: &str, events_per_second: f64) -> Row {
        let Self { received, answered, cpu, peaks, doubts, others } = self;
        let latency = Latency {
            events_per_second,
            received: Latencies::median_of(&received),
            answered: Latencies::median_of(&answered),
            cpu_seconds_per_1000: CpuPer1000::median_of(&cpu),
            peak_rss_bytes: median(&peaks).unwrap_or_default(),
        };
        let figures = Figures::Latency(latency);
        Row { scenario: scenario.name(), what: what.to_owned(), figures, doubts, others: Some(others) }
    }
}

/// The same without and with something beside it, run by run, each with what it is called; and how much that costs the slowest.
pub fn alone_and_beside(
    scenario: Scenario,
    (alone, alone_name): (Runs, String),
    (beside, beside_name): (Runs, String),
    events_per_second: f64,
) -> Vec<Row> {
    let ratios: Vec<f64> = beside.p99s().iter().zip(alone.p99s()).map(|(beside, alone)| beside / alone).collect();
    let mut rows = Vec::new();
    if alone.doubts.is_empty() && beside.doubts.is_empty() {
        let value = median(&ratios).unwrap_or_default();
        rows.push(Row {
            scenario: scenario.name(),
            what: format!("p99: {beside_name} ÷ {alone_name}"),
            figures: Figures::Fact(Fact { value, unit: Unit::Ratio }),
            doubts: Vec::new(),
            others: None,
        });
    }
    rows.push(alone.row(scenario, &alone_name, events_per_second));
    rows.push(beside.row(scenario, &beside_name, events_per_second));
    rows
}
