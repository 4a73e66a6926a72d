//! Waxwing sends webhooks.

pub mod clock;
pub mod domain;
