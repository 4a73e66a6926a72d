//! Events at a fixed rate: alone, then while a backup of a long history is made and verified.

use std::time::Duration;

use tokio::time::sleep;

use super::super::children::{Disk, Server};
use super::super::clock::monotonic_ns;
use super::super::link::Fault;
use super::super::report::{Row, Unit};
use super::super::world::{Expected, World};
use super::latency::{Runs, alone_and_beside, shown, steady};
use super::{EVENT_TYPE, Scenario, facts, found, in_batches, subscribe_receiver};

const HISTORY: u64 = 300_000;
const HISTORY_QUICK: u64 = 2_000;
const PER_SECOND: f64 = 500.0;
/// How often it is asked whether the backup is there.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The backup that says how long one takes goes on while so many seconds of events come.
const REHEARSAL_SECONDS: u64 = 10;
const REHEARSAL_SECONDS_QUICK: u64 = 1;
/// Of the seconds that are measured beside a backup, the part that one has to take at least.
const COVERED_MIN: f64 = 0.75;
/// The history, twice as it is when it is copied and looked at, and the copy.
const DISK_BYTES_PER_EVENT: u64 = 3 * 4096;

pub async fn run(world: &mut World, scenario: Scenario) -> Result<Vec<Row>, Fault> {
    let history = world.scale.pick(HISTORY, HISTORY_QUICK);
    world.need_room(history * DISK_BYTES_PER_EVENT)?;
    let home = world.home(Disk::AsItIs).await?;
    let server = &home.server;
    subscribe_receiver(world, server, r#","max_in_flight":64"#).await?;
    world.rehearse(&in_batches(server, EVENT_TYPE, history), Expected { groups: 1, seqs: history }).await?;
    let rehearsal =
        steady(server, EVENT_TYPE, PER_SECOND, world.scale.pick(REHEARSAL_SECONDS, REHEARSAL_SECONDS_QUICK));
    let expected = Expected { groups: 1, seqs: rehearsal.requests };
    let (rehearsed, took) = tokio::join!(world.rehearse(&rehearsal, expected), back_up(server));
    rehearsed?;
    let seconds = took?.seconds.ceil() as u64;

    let (mut alone, mut beside, mut copies) = (Runs::default(), Runs::default(), Vec::new());
    for run in 1..=world.scale.runs {
        let plan = steady(server, EVENT_TYPE, PER_SECOND, seconds);
        let expected = Expected { groups: 1, seqs: plan.requests };
        let measured = world.measure(server, &plan, expected).await?;
        world.say(&format!("{}, run {run}, alone: {}", scenario.name(), shown(&measured.received.latencies)));
        alone.add(measured, server.process.memory().peak_bytes);

        let (measured, copy) = tokio::join!(world.measure(server, &plan, expected), back_up(server));
        let (mut measured, copy) = (measured?, copy?);
        world.say(&format!(
            "{}, run {run}, beside a backup of {:.1} s: {}",
            scenario.name(),
            copy.seconds,
            shown(&measured.received.latencies)
        ));
        // A backup of a small history is over before a second is.
        if !world.scale.is_quick && copy.seconds < COVERED_MIN * seconds as f64 {
            measured.doubts.push(format!("the backup took {:.1} s of the {seconds} s", copy.seconds));
        }
        beside.add(measured, server.process.memory().peak_bytes);
        copies.push(vec![
            found("a backup beside the events", Unit::Seconds, copy.seconds),
            found("its size", Unit::Bytes, copy.bytes),
        ]);
    }
    let mut rows =
        alone_and_beside(scenario, (alone, "alone".to_owned()), (beside, "beside a backup".to_owned()), PER_SECOND);
    rows.append(&mut facts(scenario, &copies, &[], None));
    Ok(rows)
}

struct Copy {
    seconds: f64,
    bytes: f64,
}

/// Has one made, and waits until it is there.
async fn back_up(server: &Server) -> Result<Copy, Fault> {
    let begun_ns = monotonic_ns();
    let id = server.must("POST", "/v1/backups", "{}").await?;
    loop {
        sleep(LOOK_EVERY).await;
        let answer = server.call("GET", "/v1/backups?page[size]=1", "").await?;
        let list: serde_json::Value = serde_json::from_slice(&answer.body)?;
        let newest = &list["data"][0];
        if newest["id"] != id.as_str() {
            return Err(format!("the backup is not the newest: {list}").into());
        }
        let attributes = &newest["attributes"];
        match attributes["state"].as_str() {
            Some("running") => {}
            Some("complete") => {
                let bytes = attributes["size_bytes"].as_f64().ok_or("a backup has no size")?;
                return Ok(Copy { seconds: (monotonic_ns() - begun_ns) as f64 / 1e9, bytes });
            }
            _ => return Err(format!("the backup was not made: {list}").into()),
        }
    }
}
