//! A healthy subscription at 100 events a second: alone, then beside 500 whose receivers hang, drip, refuse or answer 503.

use std::time::Duration;

use tokio::time::sleep;

use super::super::children::Disk;
use super::super::link::Fault;
use super::super::report::Row;
use super::super::world::{Expected, Generator, Receiver, World};
use super::latency::{Runs, alone_and_beside, shown, steady};
use super::{EVENT_TYPE, Scenario, allow_many_subscriptions, make_sick_subscriptions, subscribe_receiver};

const HEALTHY_PER_SECOND: f64 = 100.0;
const SICK: u64 = 500;
const SICK_QUICK: u64 = 40;
/// Each sick subscription gets an event a second.
const EVENTS_PER_SICK_AND_SECOND: f64 = 1.0;
const ALONE_SECONDS: u64 = 20;
/// Longer than the time-out of an attempt (15 s), so that attempts end and begin again meanwhile.
const BESIDE_SECONDS: u64 = 40;
const SECONDS_QUICK: u64 = 2;
/// The sick ones get traffic before the healthy one is looked at, so that their slots are taken.
const SICK_LEAD_SECONDS: u64 = 5;
const SICK_LEAD_SECONDS_QUICK: u64 = 1;
/// The healthy lane's first events open its connections.
const WARM_UP_SECONDS: u64 = 1;

pub async fn run(world: &mut World, scenario: Scenario) -> Result<Vec<Row>, Fault> {
    let (mut alone, mut beside) = (Runs::default(), Runs::default());
    // The sick ones are another process: the healthy receiver has no share in their trouble.
    let (sick_receiver, mut sick_generator) = (Receiver::start().await?, Generator::start().await?);
    let sick = world.scale.pick(SICK, SICK_QUICK);
    for run in 1..=world.scale.runs {
        let home = world.home(Disk::AsItIs).await?;
        let server = &home.server;
        allow_many_subscriptions(server).await?;
        subscribe_receiver(world, server, "").await?;
        make_sick_subscriptions(world, server, &sick_receiver, sick).await?;

        let warm_up = steady(server, EVENT_TYPE, HEALTHY_PER_SECOND, WARM_UP_SECONDS);
        world.rehearse(&warm_up, Expected { groups: 1, seqs: warm_up.requests }).await?;
        let seconds = world.scale.pick(ALONE_SECONDS, SECONDS_QUICK);
        let plan = steady(server, EVENT_TYPE, HEALTHY_PER_SECOND, seconds);
        let measured = world.measure(server, &plan, Expected { groups: 1, seqs: plan.requests }).await?;
        world.say(&format!("{}, run {run}, alone: {}", scenario.name(), shown(&measured.received.latencies)));
        alone.add(measured, server.process.memory().peak_bytes);

        let lead_seconds = world.scale.pick(SICK_LEAD_SECONDS, SICK_LEAD_SECONDS_QUICK);
        let seconds = world.scale.pick(BESIDE_SECONDS, SECONDS_QUICK);
        let sick_rate = sick as f64 * EVENTS_PER_SICK_AND_SECOND;
        let sick_plan = steady(server, &format!("bench.t{{{{lane {sick}}}}}"), sick_rate, lead_seconds + seconds);
        sick_generator.begin(&sick_plan).await?;
        sleep(Duration::from_secs(lead_seconds)).await;
        let plan = steady(server, EVENT_TYPE, HEALTHY_PER_SECOND, seconds);
        let measured = world.measure(server, &plan, Expected { groups: 1, seqs: plan.requests }).await?;
        sick_generator.finish(|_| ()).await?;
        world.say(&format!("{}, run {run}, beside {sick}: {}", scenario.name(), shown(&measured.received.latencies)));
        beside.add(measured, server.process.memory().peak_bytes);
    }
    let beside = (beside, format!("the healthy one beside {sick} sick ones"));
    Ok(alone_and_beside(scenario, (alone, "the healthy one alone".to_owned()), beside, HEALTHY_PER_SECOND))
}
