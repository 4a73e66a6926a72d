//! Whether an event costs more after millions of others: the same batches after 10 thousand events and after 5 million.
//!
//! The history goes to one subscription and is delivered, so that every table grows: events, payloads, deliveries, attempts.

use super::super::children::{Disk, Server};
use super::super::figures::median;
use super::super::link::Fault;
use super::super::report::{Row, Unit};
use super::super::world::{Expected, World};
use super::{DATA_BYTES, EVENT_TYPE, Scenario, facts, found, in_batches, subscribe_receiver};

const SHORT: u64 = 10_000;
const SHORT_QUICK: u64 = 1_000;
/// Events whose cost is measured.
const WORKLOAD: u64 = 50_000;
const WORKLOAD_QUICK: u64 = 2_000;
/// With its rows, indices and what the store keeps free.
const DISK_BYTES_PER_EVENT: u64 = 4096;

/// The cost of an event, medians of the runs.
struct Cost {
    cpu_us: f64,
    time_us: f64,
    raw_per_second: f64,
}

pub async fn run(world: &mut World, scenario: Scenario) -> Result<Vec<Row>, Fault> {
    let short = world.scale.pick(SHORT, SHORT_QUICK);
    let long = world.scale.history;
    world.need_room((short + long) * DISK_BYTES_PER_EVENT)?;
    let (mut doubts, mut others) = (Vec::new(), 0.0_f64);
    let home = world.home(Disk::AsItIs).await?;
    let server = &home.server;
    subscribe_receiver(world, server, r#","max_in_flight":64"#).await?;

    world.rehearse(&in_batches(server, EVENT_TYPE, short), Expected { groups: 1, seqs: short }).await?;
    let young = cost(world, server, &mut doubts, &mut others).await?;
    world.say(&format!("{}: publishing {long} events", scenario.name()));
    world.rehearse(&in_batches(server, EVENT_TYPE, long), Expected { groups: 1, seqs: long }).await?;
    let old = cost(world, server, &mut doubts, &mut others).await?;

    let memory = server.process.memory();
    let figures = vec![
        found("events of history before the second measurement", Unit::Count, (short + long) as f64),
        found("CPU of waxwing for an event after 10 thousand", Unit::Microseconds, young.cpu_us),
        found("CPU of waxwing for an event after the history", Unit::Microseconds, old.cpu_us),
        found("CPU: after the history ÷ after 10 thousand", Unit::Ratio, old.cpu_us / young.cpu_us),
        found("time for an event after 10 thousand", Unit::Microseconds, young.time_us),
        found("time for an event after the history", Unit::Microseconds, old.time_us),
        found("time: after the history ÷ after 10 thousand", Unit::Ratio, old.time_us / young.time_us),
        found("raw sender at the first measurement", Unit::PerSecond, young.raw_per_second),
        found("raw sender at the second measurement", Unit::PerSecond, old.raw_per_second),
        found("peak RSS", Unit::Bytes, memory.peak_bytes as f64),
    ];
    let figures = if doubts.is_empty() {
        figures
    } else {
        figures.into_iter().filter(|found| found.unit != Unit::Ratio).collect()
    };
    Ok(facts(scenario, &[figures], &doubts, Some(others)))
}

async fn cost(world: &mut World, server: &Server, doubts: &mut Vec<String>, others: &mut f64) -> Result<Cost, Fault> {
    let events = world.scale.pick(WORKLOAD, WORKLOAD_QUICK);
    let (mut cpu_us, mut time_us) = (Vec::new(), Vec::new());
    let mut raw_per_second = vec![world.raw(DATA_BYTES).await?.library];
    for run in 1..=world.scale.runs {
        let plan = in_batches(server, EVENT_TYPE, events);
        let mut measured = world.measure(server, &plan, Expected { groups: 1, seqs: events }).await?;
        cpu_us.push(measured.cpu.waxwing / events as f64 * 1e6);
        time_us.push(measured.seconds / events as f64 * 1e6);
        world.say(&format!(
            "  run {run}: {:.1} µs of CPU, {:.1} µs for an event",
            cpu_us[cpu_us.len() - 1],
            time_us[time_us.len() - 1]
        ));
        doubts.append(&mut measured.doubts);
        *others = others.max(measured.cpu.others);
        raw_per_second.push(world.raw(DATA_BYTES).await?.library);
    }
    let of = |values: &[f64]| median(values).unwrap_or_default();
    Ok(Cost { cpu_us: of(&cpu_us), time_us: of(&time_us), raw_per_second: of(&raw_per_second) })
}
