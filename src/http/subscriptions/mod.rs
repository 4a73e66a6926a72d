//! `/v1/webhook-subscriptions` (contract 4.1).

mod operations;
mod rules;
mod settings;
mod wire;

pub use operations::{SubscriptionsApi, TestKept, find, find_visible};
pub use rules::{check_metadata, check_overlap, check_profile};
pub use settings::{NewSubscription, Settings, SubscriptionChange};
pub use wire::{
    ApiVersionText, DeliveryStatusName, DisabledReasonName, HealthName, ProfileName, ProfileText, RotateSecret,
};
