//! What can happen to the dispatcher, and what it wants done.

use std::collections::HashSet;
use std::sync::Arc;

use super::outgoing::Outgoing;
use crate::domain::delivery::{Attempt, Trigger};
use crate::domain::id::{DeliveryId, SubscriptionId, TenantId};
use crate::domain::subscription::Subscription;
use crate::domain::time::Timestamp;
use crate::store::{Change, Due, Recordings};

/// Everything that can happen to the dispatcher.
#[derive(Debug)]
pub enum Happened {
    /// The store committed changes.
    Changed(Vec<Change>),
    /// The store told which subscriptions have something on disk (at the start).
    LanesFound(Vec<(SubscriptionId, Timestamp)>),
    /// A read that was asked for came back.
    DueRead {
        subscription: SubscriptionId,
        /// What was asked for by name.
        asked: Vec<DeliveryId>,
        rows: Vec<Due>,
        next: Option<Timestamp>,
    },
    /// A request that was asked for is over.
    Finished(Box<Finished>),
    /// The recordings that were asked for are durable.
    Recorded,
    TimePassed,
    /// Nothing more is sent; what is under way is waited for and recorded.
    ShutDown,
}

/// What the dispatcher wants done.
#[derive(Debug)]
#[must_use = "a decision that is not carried out leaves a delivery hanging"]
pub enum Decided {
    Send(Send),
    Record(Recordings),
    ReadDue(ReadDue),
}

/// A part of one subscription's queue on disk: see [`crate::store::Store::due`].
#[derive(Debug)]
pub struct ReadDue {
    pub subscription: SubscriptionId,
    pub asked: Vec<DeliveryId>,
    pub until: Timestamp,
    pub in_memory: HashSet<DeliveryId>,
    pub rows_max: usize,
}

/// One request to be made.
#[derive(Debug, Clone)]
pub struct Send {
    pub delivery: DeliveryId,
    pub tenant: TenantId,
    pub subscription: Arc<Subscription>,
    pub event: Arc<Outgoing>,
    /// From 1.
    pub number: u16,
    pub trigger: Trigger,
}

/// A request that is over.
#[derive(Debug, Clone)]
pub struct Finished {
    pub subscription: SubscriptionId,
    pub attempt: Attempt,
}

/// What could go to a subscription by now and did not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LateLane {
    pub subscription: SubscriptionId,
    /// Deliveries in memory.
    pub in_memory: u64,
    /// There is, or may be, more on disk.
    pub is_on_disk: bool,
    /// Since when the oldest one is due; none until the disk was looked at.
    pub oldest: Option<Timestamp>,
}
