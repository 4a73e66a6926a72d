//! `/v1/events` (contract 4.2).

mod answer;
mod operations;
mod publication;
mod redelivery;
mod wire;

pub use operations::{EventsApi, refuse_system_tenant};
pub use publication::{check_schema, shortened};
pub use redelivery::RedeliveryApi;
