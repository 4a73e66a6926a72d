//! Plain values and pure rules. Nothing here knows HTTP, the store, the clock or a source of chance.

pub mod channel;
pub mod contract;
pub mod delivery;
pub mod event;
pub mod event_type;
pub mod header;
pub mod health;
pub mod id;
pub mod job;
pub mod key;
pub mod language;
pub mod operational;
pub mod profile;
pub mod public_id;
pub mod restriction;
pub mod retry;
pub mod secret;
pub mod snippet;
pub mod stats;
pub mod subscription;
pub mod target;
pub mod tenant;
pub mod time;
pub mod uuid;
pub mod violation;
