//! The whole API over a store in memory, for the targets that ask it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use poem::endpoint::BoxEndpoint;
use poem::{Endpoint, EndpointExt, Request, Response};
use redb::backends::InMemoryBackend;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use waxwing::backups::{self, Backups, Place};
use waxwing::clock::{Clock, ManualClock};
use waxwing::dispatch::{self, Sender};
use waxwing::domain::key::KeyHash;
use waxwing::domain::target::TargetRules;
use waxwing::http::{Api, Defaults, Settings, endpoint};
use waxwing::net;
use waxwing::store::{Location, Opened, Options, Retention, Store};

const ADMIN_KEY: &str = "the-admin-key-of-the-targets-0123456789";
/// Requests before everything begins anew: what was accepted stays in memory.
const REQUESTS_MAX: u32 = 20_000;

pub struct App {
    runtime: Runtime,
    endpoint: BoxEndpoint<'static, Response>,
    store: Store,
    writing: std::thread::JoinHandle<()>,
    running: dispatch::Running,
    requests: u32,
}

impl App {
    /// With the event types `a`, and `checked`, whose data is an object with a number `n`.
    pub fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let clock = Clock::Manual(ManualClock::at("2026-02-18T12:00:00Z".parse().expect("it is a moment")));
        let (endpoint, store, writing, running) = runtime.block_on(async {
            let memory = || Box::new(InMemoryBackend::new());
            let Opened { store, writer, changes } = Store::open(Options {
                location: Location::Backend {
                    database: memory(),
                    journal: [memory(), memory()],
                    free_bytes: Arc::new(AtomicU64::new(1 << 40)),
                },
                secret_key: Some([7; 32]),
                clock: clock.clone(),
                seed: 1,
                retention: Retention::default(),
                settings_fixed: Default::default(),
                free_bytes_min: None,
                cache_bytes: 4 * 1024 * 1024,
            })
            .expect("an empty storage opens");
            let writing = writer.spawn().expect("a thread can be started");
            let nobody = net::Resolver::table([]);
            let options = net::Options { clock: clock.clone(), ..net::Options::new(TargetRules::default(), nobody) };
            let client = net::Client::new(options).expect("it starts");
            let sender = Sender { net: client.clone(), clock: clock.clone() };
            let (dispatch, running) = dispatch::start(store.clone(), changes, sender, 1);
            let settings = Settings {
                rate_limits: Defaults { management: None, publish: None },
                admin_key: Some(KeyHash::of(ADMIN_KEY)),
                ..Settings::default()
            };
            // No target makes a backup.
            let nowhere = std::env::temp_dir().join("waxwing-fuzz-nowhere");
            let backups = backups::Options {
                place: Place::Folder(nowhere.clone()),
                folder: nowhere.clone(),
                secret_key: None,
                data_dir: nowhere,
                passphrase: None,
            };
            let backups = Backups::new(store.clone(), clock.clone(), backups);
            let api = Api { store: store.clone(), dispatch, net: client, clock, backups, settings };
            (endpoint(api).map_to_response().boxed(), store, writing, running)
        });
        let app = Self { runtime, endpoint, store, writing, running, requests: 0 };
        let schema = json!({ "type": "object", "required": ["n"], "properties": { "n": { "type": "number" } } });
        for body in [json!({ "name": "a" }), json!({ "name": "checked", "schema": schema })] {
            let status = app.send("POST", "/v1/event-types", "application/json", body.to_string().as_bytes());
            assert_eq!(status, Some(201), "the event types are there");
        }
        app
    }

    /// The status of the answer; none when it is no request. An answer that tells of a fault of ours is a finding.
    pub fn ask(&mut self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Option<u16> {
        if self.requests == REQUESTS_MAX {
            std::mem::replace(self, Self::start()).end();
        }
        self.requests += 1;
        let status = self.send(method, path, content_type, body);
        assert!(status.is_none_or(|status| status < 500), "{method} {path} was answered with {status:?}");
        status
    }

    fn send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Option<u16> {
        let request = Request::builder()
            .method(method.parse().ok()?)
            .uri(path.parse().ok()?)
            .header("authorization", format!("Bearer {ADMIN_KEY}"))
            .header("content-type", content_type)
            .body(body.to_vec());
        Some(self.runtime.block_on(self.endpoint.get_response(request)).status().as_u16())
    }

    fn end(self) {
        let Self { runtime, endpoint, store, writing, running, requests: _ } = self;
        runtime.block_on(async {
            running.stop().await;
            store.close().await;
        });
        drop(endpoint);
        writing.join().expect("the writer ends well");
    }
}

// Built with the tests of the project, so that what changes there is not found here only when somebody fuzzes.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_targets_ask_answers_and_begins_anew() {
        let mut app = App::start();
        app.requests = REQUESTS_MAX;
        assert_eq!(app.ask("POST", "/v1/events", "application/json", br#"{"type":"a","data":{}}"#), Some(202));
        assert_eq!(app.requests, 1);
    }
}
