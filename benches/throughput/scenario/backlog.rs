//! 1,000,000 pending deliveries of paused subscriptions: memory, kill -9, the first delivery after it, the drain.
//!
//! A paused subscription keeps 100,000 deliveries at most, so there are 20 of them with 50,000 each.

use super::super::children::Disk;
use super::super::clock::monotonic_ns;
use super::super::link::Fault;
use super::super::report::{Row, Unit};
use super::super::world::{Expected, World};
use super::{Scenario, facts, found, in_batches, make_event_type, make_subscription, subscription};

const DELIVERIES: u64 = 1_000_000;
const DELIVERIES_QUICK: u64 = 10_000;
const SUBSCRIPTIONS: u64 = 20;
/// This part is delivered before the server is killed under way.
const KILLED_AFTER_PART: u64 = 4;
/// What one kill -9 may let come twice: attempts whose outcome was not recorded yet (8,192 of them wait at most)
/// and those under way (4,096).
pub(super) const DUPLICATES_OF_A_KILL_MAX: u64 = 8192 + 4096;
/// With its rows, indices and what the store keeps free.
const DISK_BYTES_PER_EVENT: u64 = 4096;

pub async fn run(world: &mut World, scenario: Scenario) -> Result<Vec<Row>, Fault> {
    let all = world.scale.pick(DELIVERIES, DELIVERIES_QUICK);
    world.need_room(all * DISK_BYTES_PER_EVENT)?;
    let (mut runs, mut doubts) = (Vec::new(), Vec::new());
    for run in 1..=world.scale.runs {
        let raw_before = world.raw(super::DATA_BYTES).await?.library;
        let home = world.home(Disk::AsItIs).await?;
        let server = &home.server;
        let mut paused = Vec::new();
        for number in 0..SUBSCRIPTIONS {
            let event_type = format!("bench.t{number:010}");
            make_event_type(server, &event_type).await?;
            let url = format!("http://{}/ok/0?n={number}", world.receiver.address);
            let body = subscription(&url, &event_type, r#","is_active":false"#);
            paused.push(make_subscription(server, &body).await?);
        }
        world.receiver.expect(Expected { groups: 1, seqs: all }).await?;
        world.say(&format!("{}, run {run}: publishing {all} events for paused subscriptions", scenario.name()));
        let event_type = format!("bench.t{{{{lane {SUBSCRIPTIONS}}}}}");
        let loaded = world.publish(&in_batches(server, &event_type, all)).await?;
        let published_per_second = all as f64 / ((loaded.ended_ns - loaded.begun_ns) as f64 / 1e9);
        world.settle().await;
        let (pending, early) = (server.process.memory(), world.receiver.report().await?.unique);
        if early > 0 {
            doubts.push(format!("{early} were delivered while paused"));
        }

        world.say("  kill -9, and a start with everything pending");
        let home = home.restart_after_kill().await?;
        let server = &home.server;
        let start_paused_seconds = (monotonic_ns() - server.started_ns) as f64 / 1e9;
        world.settle().await;
        let restarted = server.process.memory();
        let resumed_ns = monotonic_ns();
        for id in &paused {
            server.must("PATCH", &format!("/v1/webhook-subscriptions/{id}"), r#"{"is_active":true}"#).await?;
        }
        let delivered = world.wait(all / KILLED_AFTER_PART, all).await?;
        let first_resumed_ns = world.receiver.report().await?.first_ns;

        world.say(&format!("  kill -9 after {delivered} deliveries, and a start while active"));
        let dead = home.kill();
        // What the dead process had written into its connections is read before the next first delivery counts.
        world.settle().await;
        world.receiver.mark().await?;
        let before = world.receiver.report().await?;
        let home = dead.start().await?;
        let server = &home.server;
        let unique = world.wait(all, all).await?;
        world.settle().await;
        let after = world.receiver.report().await?;
        let peak_bytes = server.process.memory().peak_bytes;
        let drain_seconds = after.last_new_ns.saturating_sub(after.first_ns) as f64 / 1e9;
        let drained_per_second = (unique - before.unique) as f64 / drain_seconds;
        let raw_after = world.raw(super::DATA_BYTES).await?.library;

        if unique < all {
            doubts.push(format!("{} of {all} deliveries did not come", all - unique));
        }
        if after.duplicates > DUPLICATES_OF_A_KILL_MAX {
            doubts.push(format!("{} came twice: more than a kill -9 explains", after.duplicates));
        }
        if after.strangers + after.signatures_wrong > 0 || after.signatures_checked == 0 {
            doubts.push(format!("what came is not what was expected: {after:?}"));
        }
        let since = |from_ns: u64, to_ns: u64| to_ns.saturating_sub(from_ns) as f64 / 1e9;
        let mut figures = vec![
            found("published in batches while paused", Unit::PerSecond, published_per_second),
            found("RSS with the backlog pending", Unit::Bytes, pending.rss_bytes as f64),
            found("peak RSS until then", Unit::Bytes, pending.peak_bytes as f64),
            found("start after kill -9, paused, until it listens", Unit::Seconds, start_paused_seconds),
            found("RSS after that start", Unit::Bytes, restarted.rss_bytes as f64),
            found("resuming → first delivery", Unit::Seconds, since(resumed_ns, first_resumed_ns)),
            found(
                "start after kill -9 while draining → first delivery",
                Unit::Seconds,
                since(server.started_ns, after.first_ns),
            ),
            found("drain after that start", Unit::PerSecond, drained_per_second),
            found("peak RSS while draining", Unit::Bytes, peak_bytes as f64),
            found("came twice because of kill -9", Unit::Count, after.duplicates as f64),
        ];
        if doubts.is_empty() {
            let raw = (raw_before + raw_after) / 2.0;
            figures.push(found("drain ÷ raw sender", Unit::Ratio, drained_per_second / raw));
        }
        let lines: Vec<_> = figures.iter().map(|found| format!("{} {:.3}", found.what, found.value)).collect();
        world.say(&format!("  {}", lines.join("; ")));
        runs.push(figures);
    }
    Ok(facts(scenario, &runs, &doubts, None))
}
