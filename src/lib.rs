//! Waxwing sends webhooks.

pub mod clock;
pub mod config;
pub mod dispatch;
pub mod domain;
pub mod net;
pub mod store;
