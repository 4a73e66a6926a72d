//! The HTTP contract, a module for each resource.

mod agentmessage_deliveries;
mod agentmessage_endpoints;
mod agentmessage_rotate;
mod agentmessage_secret;
mod api_keys;
mod api_version;
mod authentication;
#[cfg(feature = "console")]
mod console;
mod deliveries;
mod document;
mod edge;
mod event_reach;
mod event_types;
mod events;
mod idempotency;
mod imported_subscriptions;
mod instance;
mod jobs;
mod key_pairs;
mod languages;
mod lists;
mod mage_create;
mod mage_rotate;
mod mage_update;
mod marea_endpoints;
mod marea_rotate;
mod rate_limits;
mod restricted_keys;
mod stats;
mod stream;
mod subscription_settings;
mod tenant_secret;
mod tenants;
mod webhook_subscriptions;
