//! Waxwing sends webhooks.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dispatch;
pub mod domain;
pub mod http;
pub mod net;
pub mod store;
