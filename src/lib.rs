//! Waxwing sends webhooks.

pub mod clock;
pub mod dispatch;
pub mod domain;
pub mod http;
pub mod net;
pub mod store;
