//! Events published as fast as they are taken: how many are accepted durably, delivered and recorded in a second.

use super::super::children::{Disk, sync_microseconds};
use super::super::figures::median;
use super::super::link::{Fault, Plan};
use super::super::report::{CpuPer1000, Figures, Row, Throughput};
use super::super::world::{Expected, Home, Measured, World, event};
use super::{
    DATA_BYTES, EVENT_TYPE, Scenario, allow_many_subscriptions, make_event_type, make_subscription, making,
    subscription,
};

/// What a sync takes longer on the slow disk.
const SLOW_SYNC_MICROSECONDS: u32 = 5000;
/// One event of so many is published before the others are counted: connections, caches and threads are there then.
const WARM_UP_PART: u64 = 20;

pub struct Publishing {
    what: &'static str,
    subscribed: Subscribed,
    data_bytes: usize,
    events_per_request: u32,
    connections: u32,
    events: u64,
    events_quick: u64,
}

#[derive(Clone, Copy)]
enum Subscribed {
    /// Each event goes to each of so many.
    All { count: u64, max_in_flight: Option<u8> },
    /// Each event goes to one of so many: each has an event type of its own.
    OneOf { count: u64, count_quick: u64 },
}

const ONE: Subscribed = Subscribed::All { count: 1, max_in_flight: Some(64) };

pub const SINGLE: Publishing = Publishing {
    what: "1 event a request, 64 connections",
    subscribed: ONE,
    data_bytes: DATA_BYTES,
    events_per_request: 1,
    connections: 64,
    events: 80_000,
    events_quick: 2_000,
};

pub const BATCHES: Publishing = Publishing {
    what: "100 events a request, 4 connections",
    events_per_request: 100,
    connections: 4,
    events: 200_000,
    events_quick: 5_000,
    ..SINGLE
};

pub const FAN_OUT_5: Publishing = Publishing {
    what: "each event to 5 subscriptions",
    subscribed: Subscribed::All { count: 5, max_in_flight: None },
    events: 30_000,
    events_quick: 500,
    ..SINGLE
};

pub const FAN_OUT_50: Publishing = Publishing {
    what: "each event to 50 subscriptions",
    subscribed: Subscribed::All { count: 50, max_in_flight: None },
    events: 4_000,
    events_quick: 60,
    ..SINGLE
};

const ONE_OF_10000: Subscribed = Subscribed::OneOf { count: 10_000, count_quick: 200 };

pub const SUBSCRIPTIONS_10000: [Publishing; 2] = [
    Publishing { what: "1 event a request, each for one of 10,000 subscriptions", subscribed: ONE_OF_10000, ..SINGLE },
    Publishing {
        what: "100 events a request, each for one of 10,000 subscriptions",
        subscribed: ONE_OF_10000,
        ..BATCHES
    },
];

pub const PAYLOAD_64K: Publishing = Publishing {
    what: "64 KiB of data, 1 event a request, 64 connections",
    data_bytes: 64 * 1024,
    events: 8_000,
    events_quick: 200,
    ..SINGLE
};

pub const SLOW_SYNC: [Publishing; 2] = [
    Publishing { what: "1 event a request, sync 5 ms slower", events: 40_000, ..SINGLE },
    Publishing { what: "100 events a request, sync 5 ms slower", events: 100_000, ..BATCHES },
];

pub async fn run(world: &mut World, scenario: Scenario, all: &[Publishing]) -> Result<Vec<Row>, Fault> {
    run_on(world, scenario, all, Disk::AsItIs).await
}

/// Says why when the slow disk cannot be had.
pub async fn run_on_slow_disk(world: &mut World, scenario: Scenario, all: &[Publishing]) -> Result<Vec<Row>, Fault> {
    let disk = Disk::SlowSync { microseconds: SLOW_SYNC_MICROSECONDS };
    let measured = sync_microseconds(world.folder(), disk).map_err(|fault| {
        format!("SKIPPED: the slow disk is made by strace, which is not installed or may not trace here ({fault})")
    })?;
    if measured < f64::from(SLOW_SYNC_MICROSECONDS) {
        return Err(format!("SKIPPED: strace did not slow syncs down: one takes {measured:.0} µs").into());
    }
    world.say(&format!("a sync on the slow disk takes {measured:.0} µs"));
    run_on(world, scenario, all, disk).await
}

async fn run_on(world: &mut World, scenario: Scenario, all: &[Publishing], disk: Disk) -> Result<Vec<Row>, Fault> {
    let mut rows = Vec::new();
    for publishing in all {
        rows.push(publishing.repeated(world, scenario, disk).await?);
    }
    Ok(rows)
}

impl Publishing {
    async fn repeated(&self, world: &mut World, scenario: Scenario, disk: Disk) -> Result<Row, Fault> {
        let mut raw_per_second = vec![world.raw(self.data_bytes).await?];
        let (mut deliveries_per_second, mut cpu, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
        let (mut doubts, mut others) = (Vec::new(), 0.0_f64);
        for run in 1..=world.scale.runs {
            let (measured, peak_bytes) = self.once(world, disk).await?;
            let Measured { received, loaded, seconds, cpu: spent, doubts: mut run_doubts } = measured;
            let per_second = received.unique as f64 / seconds;
            world.say(&format!(
                "{}, {}, run {run}: {per_second:.0} deliveries/s; all published after {:.2} s, received after {seconds:.2} s",
                scenario.name(),
                self.what,
                (loaded.ended_ns - loaded.begun_ns) as f64 / 1e9,
            ));
            deliveries_per_second.push(per_second);
            cpu.push(CpuPer1000::of(&spent, received.unique));
            peaks.push(peak_bytes as f64);
            doubts.append(&mut run_doubts);
            others = others.max(spent.others);
            raw_per_second.push(world.raw(self.data_bytes).await?);
        }
        let throughput = Throughput {
            deliveries_per_second,
            raw_per_second,
            cpu_seconds_per_1000: CpuPer1000::median_of(&cpu),
            peak_rss_bytes: median(&peaks).unwrap_or_default(),
        };
        let figures = Figures::Throughput(throughput);
        Ok(Row { scenario: scenario.name(), what: self.what.to_owned(), figures, doubts, others: Some(others) })
    }

    /// On a server of its own: what was measured, and the most memory it ever had.
    async fn once(&self, world: &mut World, disk: Disk) -> Result<(Measured, u64), Fault> {
        let home = world.home(disk).await?;
        let groups = self.subscribe(world, &home).await?;
        let events = world.scale.pick(self.events, self.events_quick);
        let per_request = u64::from(self.events_per_request);
        let warm_up = self.plan(world, &home, (events / WARM_UP_PART).next_multiple_of(per_request));
        world.rehearse(&warm_up, Expected { groups, seqs: warm_up.requests * per_request }).await?;
        let plan = self.plan(world, &home, events);
        let measured = world.measure(&home.server, &plan, Expected { groups, seqs: events }).await?;
        Ok((measured, home.server.process.memory().peak_bytes))
    }

    /// Makes the subscriptions. How many deliveries an event makes: each group of the receiver gets it once.
    async fn subscribe(&self, world: &mut World, home: &Home) -> Result<u64, Fault> {
        let server = &home.server;
        match self.subscribed {
            Subscribed::All { count, max_in_flight } => {
                make_event_type(server, EVENT_TYPE).await?;
                let more = max_in_flight.map_or(String::new(), |n| format!(r#","max_in_flight":{n}"#));
                for group in 0..count {
                    let url = format!("http://{}/ok/{group}", world.receiver.address);
                    make_subscription(server, &subscription(&url, EVENT_TYPE, &more)).await?;
                }
                Ok(count)
            }
            Subscribed::OneOf { count, count_quick } => {
                let count = world.scale.pick(count, count_quick);
                allow_many_subscriptions(server).await?;
                let types = making(server, "/v1/event-types", &[], r#"{"name":"bench.t{{seq}}"}"#.to_owned(), 0, count);
                world.publish(&types).await?;
                let url = format!("http://{}/ok/0?n={{{{seq}}}}", world.receiver.address);
                let body = subscription(&url, "bench.t{{seq}}", "");
                world.publish(&making(server, "/v1/webhook-subscriptions", &[], body, 0, count)).await?;
                Ok(1)
            }
        }
    }

    fn plan(&self, world: &World, home: &Home, events: u64) -> Plan {
        let event_type = match self.subscribed {
            Subscribed::All { .. } => EVENT_TYPE.to_owned(),
            Subscribed::OneOf { count, count_quick } => {
                format!("bench.t{{{{lane {}}}}}", world.scale.pick(count, count_quick))
            }
        };
        let path = if self.events_per_request == 1 { "/v1/events" } else { "/v1/events/batch" };
        Plan {
            address: home.server.address,
            head: home.server.head("POST", path),
            event: event(&event_type, self.data_bytes),
            events_per_request: self.events_per_request,
            requests: events / u64::from(self.events_per_request),
            first_seq: 0,
            connections: self.connections,
            requests_per_second: None,
        }
    }
}
