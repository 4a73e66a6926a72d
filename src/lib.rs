//! Waxwing sends webhooks: it accepts events, signs them, delivers them to who subscribed, retries, and remembers what
//! happened.
//!
//! The parts, from the outside in. [`cli`] is what was typed, [`config`] what it means, [`app`] starts and ends the rest
//! in order and is the only one that knows everyone. [`http`] is the API, [`dispatch`] decides what is sent when,
//! [`net`] sends it, [`backups`] copies what is kept to where it is safe, [`mail`] tells the operator, [`traces`] the operator's
//! collector, [`store`] keeps everything in one file, and
//! [`domain`] is the words and rules that all of them share: it knows nobody. [`clock`] tells the time, or what a test
//! wants it to be, and [`measure`] counts how long things take.
//!
//! Who may name whom is drawn in `docs/architecture.md` and held by `tests/it/layers.rs`.

pub mod app;
pub mod backups;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dispatch;
pub mod domain;
pub mod http;
pub mod mail;
pub mod measure;
pub mod net;
pub mod store;
pub mod traces;
