//! What is measured, by name.

mod backlog;
mod backup;
mod history;
mod latency;
mod publishing;
mod sick;
mod soak;
mod subscriptions;

use super::children::Server;
use super::link::{Fault, Plan};
use super::report::{Fact, Figures, Row, Unit};
use super::world::{Receiver, World, event};

/// The type of events where there is only one.
const EVENT_TYPE: &str = "bench.event";
/// Connections for making things.
const MAKING_CONNECTIONS: u32 = 32;
/// `data` of an event unless a scenario says otherwise.
const DATA_BYTES: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    Single,
    Batches,
    FanOut5,
    FanOut50,
    Subscriptions10000,
    Payload64k,
    Steady200,
    Steady1000,
    Sick500,
    Backup,
    SlowSync,
    Subscriptions100000Memory,
    Backlog1000000,
    History,
    Soak,
}

impl Scenario {
    pub const ALL: [Self; 15] = [
        Self::Single,
        Self::Batches,
        Self::FanOut5,
        Self::FanOut50,
        Self::Subscriptions10000,
        Self::Payload64k,
        Self::Steady200,
        Self::Steady1000,
        Self::Sick500,
        Self::Backup,
        Self::SlowSync,
        Self::Subscriptions100000Memory,
        Self::Backlog1000000,
        Self::History,
        Self::Soak,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Batches => "batches",
            Self::FanOut5 => "fanout-5",
            Self::FanOut50 => "fanout-50",
            Self::Subscriptions10000 => "subscriptions-10000",
            Self::Payload64k => "payload-64k",
            Self::Steady200 => "steady-200",
            Self::Steady1000 => "steady-1000",
            Self::Sick500 => "sick-500",
            Self::Backup => "backup",
            Self::SlowSync => "slow-sync",
            Self::Subscriptions100000Memory => "subscriptions-100000-memory",
            Self::Backlog1000000 => "backlog-1000000",
            Self::History => "history",
            Self::Soak => "soak",
        }
    }

    /// One line for `--list`.
    pub fn about(self) -> &'static str {
        match self {
            Self::Single => "one event a request, 64 connections, 1 subscription",
            Self::Batches => "100 events a request, 4 connections, 1 subscription",
            Self::FanOut5 => "one event a request, each to 5 subscriptions",
            Self::FanOut50 => "one event a request, each to 50 subscriptions",
            Self::Subscriptions10000 => "10,000 subscriptions, each event for one of them",
            Self::Payload64k => "as `single`, with 64 KiB of data in each event",
            Self::Steady200 => "latency at 200 events a second, open loop",
            Self::Steady1000 => "latency at 1,000 events a second, open loop",
            Self::Sick500 => "latency of a healthy subscription alone, then beside 500 sick ones",
            Self::Backup => "latency alone, then while a backup is made and verified",
            Self::SlowSync => "as `single` and `batches`, on a disk whose sync takes 5 ms longer (needs strace)",
            Self::Subscriptions100000Memory => "memory with 100,000 subscriptions of 2,000 tenants",
            Self::Backlog1000000 => "1,000,000 pending deliveries: memory, kill -9, first delivery, drain",
            Self::History => "cost of an event after 10 thousand and after 5 million others",
            Self::Soak => {
                "30 minutes at 1,000 events a second beside failing receivers, killed now and then (only by name)"
            }
        }
    }

    /// Whether it has to be named to be run.
    pub fn is_by_name_only(self) -> bool {
        self == Self::Soak
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.name() == name)
    }

    pub async fn run(self, world: &mut World) -> Result<Vec<Row>, Fault> {
        match self {
            Self::Single => publishing::run(world, self, &[publishing::SINGLE]).await,
            Self::Batches => publishing::run(world, self, &[publishing::BATCHES]).await,
            Self::FanOut5 => publishing::run(world, self, &[publishing::FAN_OUT_5]).await,
            Self::FanOut50 => publishing::run(world, self, &[publishing::FAN_OUT_50]).await,
            Self::Subscriptions10000 => publishing::run(world, self, &publishing::SUBSCRIPTIONS_10000).await,
            Self::Payload64k => publishing::run(world, self, &[publishing::PAYLOAD_64K]).await,
            Self::Steady200 => latency::run(world, self, 200.0).await,
            Self::Steady1000 => latency::run(world, self, 1000.0).await,
            Self::Sick500 => sick::run(world, self).await,
            Self::Backup => backup::run(world, self).await,
            Self::SlowSync => publishing::run_on_slow_disk(world, self, &publishing::SLOW_SYNC).await,
            Self::Subscriptions100000Memory => subscriptions::run(world, self).await,
            Self::Backlog1000000 => backlog::run(world, self).await,
            Self::History => history::run(world, self).await,
            Self::Soak => soak::run(world, self).await,
        }
    }
}

/// One figure of one run.
struct Found {
    what: &'static str,
    unit: Unit,
    value: f64,
}

fn found(what: &'static str, unit: Unit, value: f64) -> Found {
    Found { what, unit, value }
}

/// A row for each figure: its median over the runs, which all found the same ones.
fn facts(scenario: Scenario, runs: &[Vec<Found>], doubts: &[String], others: Option<f64>) -> Vec<Row> {
    let Some(first) = runs.first() else { return Vec::new() };
    let rows = first.iter().enumerate().map(|(index, Found { what, unit, .. })| {
        let values: Vec<f64> = runs.iter().map(|run| run[index].value).collect();
        let value = super::figures::median(&values).expect("there is a run");
        Row {
            scenario: scenario.name(),
            what: (*what).to_owned(),
            figures: Figures::Fact(Fact { value, unit: *unit }),
            // Said once.
            doubts: if index == 0 { doubts.to_vec() } else { Vec::new() },
            others: others.filter(|_| index == 0),
        }
    });
    rows.collect()
}

/// Requests that make things: one for each number from `first_seq`. `extra` are more lines of the head.
fn making(server: &Server, path: &str, extra: &[&str], body: String, first_seq: u64, requests: u64) -> Plan {
    let mut head = server.head("POST", path);
    head.extend(extra.iter().map(|line| (*line).to_owned()));
    Plan {
        address: server.address,
        head,
        event: body,
        events_per_request: 1,
        requests,
        first_seq,
        connections: MAKING_CONNECTIONS,
        requests_per_second: None,
    }
}

/// Events published in batches of 100 on 4 connections: the fastest way in.
fn in_batches(server: &Server, event_type: &str, events: u64) -> Plan {
    const EVENTS_PER_REQUEST: u32 = 100;
    Plan {
        address: server.address,
        head: server.head("POST", "/v1/events/batch"),
        event: event(event_type, DATA_BYTES),
        events_per_request: EVENTS_PER_REQUEST,
        requests: events / u64::from(EVENTS_PER_REQUEST),
        first_seq: 0,
        connections: 4,
        requests_per_second: None,
    }
}

/// A subscription's body for the API. All sign with the same secret, so that the receiver can verify.
fn subscription(url: &str, event_type: &str, more: &str) -> String {
    format!(r#"{{"url":"{url}","events":["{event_type}"],"secret":"{}"{more}}}"#, super::SECRET)
}

async fn make_event_type(server: &Server, name: &str) -> Result<(), Fault> {
    server.must("POST", "/v1/event-types", &format!(r#"{{"name":"{name}"}}"#)).await.map(drop)
}

async fn make_subscription(server: &Server, body: &str) -> Result<String, Fault> {
    server.must("POST", "/v1/webhook-subscriptions", body).await
}

/// The one event type, and one subscription of the receiver to it; `more` are further members of its body.
async fn subscribe_receiver(world: &World, server: &Server, more: &str) -> Result<(), Fault> {
    make_event_type(server, EVENT_TYPE).await?;
    let url = format!("http://{}/ok/0", world.receiver.address);
    make_subscription(server, &subscription(&url, EVENT_TYPE, more)).await.map(drop)
}

/// So many subscriptions, each to an event type of its own, whose receivers hang, drip, answer 503 or refuse.
async fn make_sick_subscriptions(world: &mut World, server: &Server, sick: &Receiver, count: u64) -> Result<(), Fault> {
    let types = making(server, "/v1/event-types", &[], r#"{"name":"bench.t{{seq}}"}"#.to_owned(), 0, count);
    world.publish(&types).await?;
    let (address, refusing) = (sick.address, sick.refusing);
    let urls = [
        format!("http://{address}/hang/{{{{seq}}}}"),
        format!("http://{address}/drip/{{{{seq}}}}"),
        format!("http://{address}/unavailable/{{{{seq}}}}"),
        format!("http://{refusing}/{{{{seq}}}}"),
    ];
    let each = count / urls.len() as u64;
    for (number, url) in urls.iter().enumerate() {
        let body = subscription(url, "bench.t{{seq}}", "");
        let first = number as u64 * each;
        world.publish(&making(server, "/v1/webhook-subscriptions", &[], body, first, each)).await?;
    }
    Ok(())
}

/// The default tenant may have as many subscriptions as can be set.
async fn allow_many_subscriptions(server: &Server) -> Result<(), Fault> {
    server.must("PATCH", "/v1/tenants/default", r#"{"subscriptions_max":1000000}"#).await.map(drop)
}
