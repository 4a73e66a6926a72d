//! Half an hour at 1,000 events a second, beside receivers that fail, with kill -9 now and then: latency and memory by the
//! minute, and nothing lost.

use super::super::children::{Disk, Server};
use super::super::figures::median;
use super::super::link::Fault;
use super::super::report::{Fact, Figures, Row, Unit};
use super::super::world::{Expected, Generator, Home, Receiver, World};
use super::backlog::DUPLICATES_OF_A_KILL_MAX;
use super::latency::{Runs, shown, steady};
use super::{EVENT_TYPE, Scenario, allow_many_subscriptions, in_batches, make_sick_subscriptions, subscribe_receiver};

const EVENTS_PER_SECOND: f64 = 1000.0;
const MINUTES: u64 = 30;
const MINUTES_QUICK: u64 = 3;
const SECONDS_OF_A_MINUTE: u64 = 60;
const SECONDS_OF_A_MINUTE_QUICK: u64 = 2;
/// Subscriptions whose receivers hang, drip, answer 503 or refuse; each gets an event a second.
const SICK: u64 = 40;
/// Killed after every so many minutes, …
const MINUTES_OF_A_LIFE: u64 = 5;
const MINUTES_OF_A_LIFE_QUICK: u64 = 2;
/// … with so many deliveries on their way.
const BURST: u64 = 20_000;
const BURST_QUICK: u64 = 500;
/// An event with its rows and indices, and what the sick ones keep.
const DISK_BYTES_PER_EVENT: u64 = 4096;
/// Memory is compared from here on: caches are full, and pools open.
const WARM_AFTER_MINUTES: usize = 2;

pub async fn run(world: &mut World, scenario: Scenario) -> Result<Vec<Row>, Fault> {
    let minutes = world.scale.pick(MINUTES, MINUTES_QUICK);
    let seconds = world.scale.pick(SECONDS_OF_A_MINUTE, SECONDS_OF_A_MINUTE_QUICK);
    let minutes_of_a_life = world.scale.pick(MINUTES_OF_A_LIFE, MINUTES_OF_A_LIFE_QUICK);
    world.need_room((EVENTS_PER_SECOND as u64 * seconds + BURST) * minutes * DISK_BYTES_PER_EVENT)?;
    let (sick_receiver, mut sick_generator) = (Receiver::start().await?, Generator::start().await?);
    let mut home = world.home(Disk::AsItIs).await?;
    prepare(world, &home.server, &sick_receiver).await?;
    let (mut rows, mut p99s, mut resident, mut doubts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut kills, mut duplicates) = (0, 0);
    for minute in 1..=minutes {
        let server = &home.server;
        let sick = steady(server, &format!("bench.t{{{{lane {SICK}}}}}"), SICK as f64, seconds);
        sick_generator.begin(&sick).await?;
        let plan = steady(server, EVENT_TYPE, EVENTS_PER_SECOND, seconds);
        let measured = world.measure(server, &plan, Expected { groups: 1, seqs: plan.requests }).await?;
        sick_generator.finish(|_| ()).await?;
        let memory = server.process.memory();
        let mebibytes = memory.rss_bytes >> 20;
        world.say(&format!("minute {minute}: {}; RSS {mebibytes} MiB", shown(&measured.received.latencies)));
        p99s.push(measured.received.latencies.p99_us);
        resident.push(memory.rss_bytes as f64);
        let mut one = Runs::default();
        one.add(measured, memory.peak_bytes);
        rows.push(one.row(scenario, &format!("minute {minute}, after {kills} kills"), EVENTS_PER_SECOND));
        if minute % minutes_of_a_life == 0 && minute < minutes {
            let again;
            (home, again) = kill_under_way(world, home, &mut doubts).await?;
            (kills, duplicates) = (kills + 1, duplicates + again);
        }
    }
    let fact = |what: &str, value: f64, unit: Unit, doubts: Vec<String>| Row {
        scenario: scenario.name(),
        what: what.to_owned(),
        figures: Figures::Fact(Fact { value, unit }),
        doubts,
        others: None,
    };
    let (first, last) = halves(&p99s);
    rows.push(fact(
        "p99 of the second half of the minutes ÷ of the first (medians)",
        last / first,
        Unit::Ratio,
        doubts,
    ));
    let (first, last) = halves(&resident[WARM_AFTER_MINUTES.min(resident.len() - 1)..]);
    // Small counts have too few minutes.
    if (last / first).is_finite() {
        rows.push(fact("RSS, likewise, from minute 3 on", last / first, Unit::Ratio, Vec::new()));
    }
    rows.push(fact("kill -9", f64::from(kills), Unit::Count, Vec::new()));
    rows.push(fact("came twice because of that", duplicates as f64, Unit::Count, Vec::new()));
    Ok(rows)
}

async fn prepare(world: &mut World, server: &Server, sick_receiver: &Receiver) -> Result<(), Fault> {
    allow_many_subscriptions(server).await?;
    subscribe_receiver(world, server, r#","max_in_flight":64"#).await?;
    make_sick_subscriptions(world, server, sick_receiver, SICK).await
}

/// Publishes a burst, kills the server as soon as all of it was accepted, and waits until the next one has delivered it.
/// How many deliveries came twice.
async fn kill_under_way(world: &mut World, home: Home, doubts: &mut Vec<String>) -> Result<(Home, u64), Fault> {
    let burst = world.scale.pick(BURST, BURST_QUICK);
    world.receiver.expect(Expected { groups: 1, seqs: burst }).await?;
    world.publish(&in_batches(&home.server, EVENT_TYPE, burst)).await?;
    let home = home.restart_after_kill().await?;
    let unique = world.wait(burst, burst).await?;
    world.settle().await;
    let received = world.receiver.report().await?;
    world.say(&format!("kill -9: {unique} of {burst} came, {} twice", received.duplicates));
    if unique < burst {
        doubts.push(format!("{} of {burst} accepted before a kill -9 did not come", burst - unique));
    }
    if received.duplicates > DUPLICATES_OF_A_KILL_MAX {
        doubts.push(format!("{} came twice: more than a kill -9 explains", received.duplicates));
    }
    Ok((home, received.duplicates))
}

/// The median of the first half of the values, and of the second.
fn halves(values: &[f64]) -> (f64, f64) {
    let (first, second) = values.split_at(values.len() / 2);
    let of = |half: &[f64]| median(half).unwrap_or(f64::NAN);
    (of(first), of(second))
}

#[cfg(test)]
#[allow(unused)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_shows_in_the_halves() {
        assert_eq!(halves(&[1.0, 1.0, 9.0, 1.0, 2.0, 2.0, 2.0]), (1.0, 2.0));
        assert_eq!(halves(&[1.0, 3.0]), (1.0, 3.0));
    }
}
