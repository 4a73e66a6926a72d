//! The HTTP contract, a module for each resource.

mod api_keys;
mod authentication;
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
mod tenants;
mod webhook_subscriptions;
