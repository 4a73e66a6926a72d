//! 100,000 subscriptions of 2,000 tenants: memory at rest, after a start, and when every one of them gets an event.

use super::super::children::Disk;
use super::super::clock::monotonic_ns;
use super::super::link::Fault;
use super::super::report::{Row, Unit};
use super::super::world::{Expected, World, event};
use super::{DATA_BYTES, EVENT_TYPE, Scenario, facts, found, make_event_type, making, subscription};

const TENANTS: u64 = 2_000;
const TENANTS_QUICK: u64 = 20;
/// What a tenant may have by default.
const SUBSCRIPTIONS_PER_TENANT: u64 = 50;

pub async fn run(world: &mut World, scenario: Scenario) -> Result<Vec<Row>, Fault> {
    let (mut runs, mut doubts, mut others) = (Vec::new(), Vec::new(), 0.0_f64);
    let tenants = world.scale.pick(TENANTS, TENANTS_QUICK);
    for run in 1..=world.scale.runs {
        let home = world.home(Disk::AsItIs).await?;
        let server = &home.server;
        let idle_bytes = server.process.memory().rss_bytes;
        make_event_type(server, EVENT_TYPE).await?;
        let tenant = r#"{"name":"Bench {{seq}}","external_id":"bench-{{seq}}"}"#.to_owned();
        world.publish(&making(server, "/v1/tenants", &[], tenant, 0, tenants)).await?;
        let of_tenant = format!("waxwing-tenant: bench-{{{{lane {tenants}}}}}");
        let begun_ns = monotonic_ns();
        for group in 0..SUBSCRIPTIONS_PER_TENANT {
            let url = format!("http://{}/ok/{group}?n={{{{seq}}}}", world.receiver.address);
            let body = subscription(&url, EVENT_TYPE, "");
            let plan = making(server, "/v1/webhook-subscriptions", &[&of_tenant], body, group * tenants, tenants);
            world.publish(&plan).await?;
        }
        let count = tenants * SUBSCRIPTIONS_PER_TENANT;
        let made_per_second = count as f64 / ((monotonic_ns() - begun_ns) as f64 / 1e9);
        world.settle().await;
        let made_bytes = server.process.memory().rss_bytes;

        let home = home.restart_after_kill().await?;
        let server = &home.server;
        let start_seconds = (monotonic_ns() - server.started_ns) as f64 / 1e9;
        world.settle().await;
        let started_bytes = server.process.memory().rss_bytes;

        // An event for each tenant, so that each subscription has something to do.
        let mut plan = making(server, "/v1/events", &[&of_tenant], event(EVENT_TYPE, DATA_BYTES), 0, tenants);
        plan.connections = 64;
        let expected = Expected { groups: SUBSCRIPTIONS_PER_TENANT, seqs: tenants };
        let mut measured = world.measure(server, &plan, expected).await?;
        let memory = server.process.memory();
        world.say(&format!(
            "{}, run {run}: {} MiB at rest, {} MiB at the most",
            scenario.name(),
            started_bytes >> 20,
            memory.peak_bytes >> 20
        ));
        doubts.append(&mut measured.doubts);
        others = others.max(measured.cpu.others);
        runs.push(vec![
            found("RSS of an empty server", Unit::Bytes, idle_bytes as f64),
            found("RSS after making 100,000 subscriptions", Unit::Bytes, made_bytes as f64),
            found("RSS after a start with them", Unit::Bytes, started_bytes as f64),
            found("peak RSS while each of them gets an event", Unit::Bytes, memory.peak_bytes as f64),
            found("start after kill -9 until it listens", Unit::Seconds, start_seconds),
            found("subscriptions made through the API", Unit::PerSecond, made_per_second),
            found(
                "deliveries, one to each of them",
                Unit::PerSecond,
                measured.received.unique as f64 / measured.seconds,
            ),
        ]);
    }
    Ok(facts(scenario, &runs, &doubts, Some(others)))
}
