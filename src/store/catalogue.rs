//! The configuration in memory: tenants, keys, event types and subscriptions, as of the last commit.
//!
//! Read without a lock: a reader holds one whole version, the writer swaps in the next one. Versions share what did
//! not change, so a swap costs what changed and not what there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::{HashMap, OrdMap};
use jsonschema::ReferencingError;
use jsonschema::error::ValidationErrorKind;

use crate::domain::actor::ActorId;
use crate::domain::channel::Channel;
use crate::domain::delivery::{Delivery, ShownState};
use crate::domain::event_type::{EventPattern, EventType, EventTypeName};
use crate::domain::health::{Health, Hold};
use crate::domain::id::{KeyId, PortalLinkId, SessionId, SubscriptionId, TenantId, UserId};
use crate::domain::key::{ApiKey, KeyHash};
use crate::domain::portal_link::PortalLink;
use crate::domain::public_id::PublicId;
use crate::domain::session::Session;
use crate::domain::setting::StoredSettings;
use crate::domain::subscription::Subscription;
use crate::domain::tenant::{ExternalId, OwnRetention, Tenant};
use crate::domain::token::TokenHash;
use crate::domain::user::{Email, Invitation, Invited, User};

#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    tenants: OrdMap<TenantId, Arc<TenantEntry>>,
    tenants_by_external_id: HashMap<ExternalId, TenantId>,
    /// How many tenants keep something for so many days, of those with a retention of their own.
    own_days: OrdMap<u32, usize>,
    keys: OrdMap<KeyId, Arc<ApiKey>>,
    keys_by_hash: HashMap<KeyHash, KeyId>,
    users: OrdMap<UserId, Arc<User>>,
    users_by_email: HashMap<Email, UserId>,
    invitations: OrdMap<Invited, Arc<Invitation>>,
    invitations_by_hash: HashMap<TokenHash, Invited>,
    sessions: OrdMap<SessionId, Arc<Session>>,
    sessions_by_hash: HashMap<TokenHash, SessionId>,
    event_types: OrdMap<EventTypeName, Arc<EventTypeEntry>>,
    /// Which tenant a subscription belongs to.
    owners: HashMap<SubscriptionId, TenantId>,
    settings: Arc<StoredSettings>,
    portal_links: OrdMap<PortalLinkId, Arc<PortalLink>>,
    /// By the hash of the link's token, and by that of its session's bearer.
    portal_links_by_hash: HashMap<TokenHash, PortalLinkId>,
}

/// What a delivery's fate depends on besides itself: the configuration, and how subscriptions fare.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub catalogue: &'a Catalogue,
    pub health: &'a dyn Fn(SubscriptionId) -> Health,
}

impl Known<'_> {
    /// The state as the API shows it, and what holds the delivery up: what waits for a subscription that is sent
    /// nothing is held, what waits for a deleted one is canceled.
    pub fn shown_state(&self, delivery: &Delivery) -> (ShownState, Option<Hold>) {
        let state = ShownState::from(delivery.state);
        if delivery.state.is_final() {
            return (state, None);
        }
        let Some(subscription) = self.catalogue.subscription(delivery.subscription) else {
            return (ShownState::Canceled, None);
        };
        match Hold::of(subscription, &(self.health)(subscription.id)) {
            Some(hold) => (ShownState::Held, Some(hold)),
            None => (state, None),
        }
    }
}

/// A tenant with its subscriptions.
#[derive(Debug, Clone)]
pub struct TenantEntry {
    pub tenant: Tenant,
    subscriptions: OrdMap<SubscriptionId, Arc<Subscription>>,
    /// Subscriptions by what they are called in each published contract.
    by_public_id: HashMap<PublicId, SubscriptionId>,
    /// Subscriptions by each exact type that they name …
    by_type: HashMap<EventTypeName, imbl::OrdSet<SubscriptionId>>,
    /// … and those that have a pattern, which are asked one by one.
    with_patterns: imbl::OrdSet<SubscriptionId>,
}

/// An event type with its schema made ready for checking.
#[derive(Debug)]
pub struct EventTypeEntry {
    pub event_type: EventType,
    pub validator: Option<jsonschema::Validator>,
}

impl Catalogue {
    pub fn tenant(&self, id: TenantId) -> Option<&Arc<TenantEntry>> {
        self.tenants.get(&id)
    }

    pub fn tenant_by_external_id(&self, external_id: &ExternalId) -> Option<&Arc<TenantEntry>> {
        self.tenant(*self.tenants_by_external_id.get(external_id)?)
    }

    /// In the order of creation.
    pub fn tenants(&self) -> impl DoubleEndedIterator<Item = &Arc<TenantEntry>> {
        self.tenants.values()
    }

    /// The fewest days for which a tenant with a retention of its own keeps something.
    pub fn own_days_min(&self) -> Option<u32> {
        self.own_days.get_min().map(|(days, _)| *days)
    }

    pub fn key(&self, id: KeyId) -> Option<&Arc<ApiKey>> {
        self.keys.get(&id)
    }

    pub fn key_by_hash(&self, hash: &KeyHash) -> Option<&Arc<ApiKey>> {
        self.key(*self.keys_by_hash.get(hash)?)
    }

    /// In the order of creation.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Arc<ApiKey>> {
        self.keys.values()
    }

    /// Whether there is such an actor, of use or not.
    pub fn knows(&self, actor: ActorId) -> bool {
        match actor {
            ActorId::Key(id) => self.keys.contains_key(&id),
            ActorId::Portal(id) => self.portal_links.contains_key(&id),
            ActorId::Session(id) => self.sessions.contains_key(&id),
        }
    }

    pub fn actors_count(&self) -> usize {
        self.keys.len() + self.sessions.len() + self.portal_links.len()
    }

    pub fn user(&self, id: UserId) -> Option<&Arc<User>> {
        self.users.get(&id)
    }

    pub fn user_by_email(&self, email: &Email) -> Option<&Arc<User>> {
        self.user(*self.users_by_email.get(email)?)
    }

    /// In the order of creation.
    pub fn users(&self) -> impl DoubleEndedIterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// Of use or not.
    pub fn invitation(&self, hash: &TokenHash) -> Option<&Arc<Invitation>> {
        self.invitation_to(*self.invitations_by_hash.get(hash)?)
    }

    pub fn invitation_to(&self, to: Invited) -> Option<&Arc<Invitation>> {
        self.invitations.get(&to)
    }

    pub fn invitations(&self) -> impl Iterator<Item = &Arc<Invitation>> {
        self.invitations.values()
    }

    /// Of use or not.
    pub fn session(&self, id: SessionId) -> Option<&Arc<Session>> {
        self.sessions.get(&id)
    }

    pub fn session_by_hash(&self, hash: &TokenHash) -> Option<&Arc<Session>> {
        self.session(*self.sessions_by_hash.get(hash)?)
    }

    /// In the order of creation.
    pub fn sessions(&self) -> impl DoubleEndedIterator<Item = &Arc<Session>> {
        self.sessions.values()
    }

    pub fn event_type(&self, name: &str) -> Option<&Arc<EventTypeEntry>> {
        self.event_types.get(name)
    }

    /// In the order of names.
    pub fn event_types(&self) -> impl DoubleEndedIterator<Item = &Arc<EventTypeEntry>> {
        self.event_types.values()
    }

    /// A subscription that was not deleted, whoever owns it.
    pub fn subscription(&self, id: SubscriptionId) -> Option<&Arc<Subscription>> {
        self.tenant(*self.owners.get(&id)?)?.subscription(id)
    }

    pub fn subscriptions_count(&self) -> usize {
        self.owners.len()
    }

    /// Of use or not.
    pub fn portal_link(&self, id: PortalLinkId) -> Option<&Arc<PortalLink>> {
        self.portal_links.get(&id)
    }

    /// The link with this token.
    pub fn portal_link_by_token(&self, hash: &TokenHash) -> Option<&Arc<PortalLink>> {
        self.portal_link(*self.portal_links_by_hash.get(hash)?).filter(|link| link.hash == *hash)
    }

    /// The link whose session has this bearer. Of use or not.
    pub fn portal_link_by_bearer(&self, hash: &TokenHash) -> Option<&Arc<PortalLink>> {
        let link = self.portal_link(*self.portal_links_by_hash.get(hash)?)?;
        link.session.as_ref().is_some_and(|session| session.hash == *hash).then_some(link)
    }

    /// In the order of creation.
    pub fn portal_links(&self) -> impl DoubleEndedIterator<Item = &Arc<PortalLink>> {
        self.portal_links.values()
    }

    /// Adds it, or replaces the one with its id.
    pub(super) fn put_portal_link(&mut self, link: PortalLink) {
        self.portal_links_by_hash.insert(link.hash, link.id);
        if let Some(session) = &link.session {
            self.portal_links_by_hash.insert(session.hash, link.id);
        }
        self.portal_links.insert(link.id, Arc::new(link));
    }

    pub(super) fn remove_portal_link(&mut self, id: PortalLinkId) {
        let Some(link) = self.portal_links.remove(&id) else { return };
        self.portal_links_by_hash.remove(&link.hash);
        if let Some(session) = &link.session {
            self.portal_links_by_hash.remove(&session.hash);
        }
    }

    /// What is stored, and decided nowhere else.
    pub fn settings(&self) -> &StoredSettings {
        &self.settings
    }

    /// Deliveries of a tenant per 1,000 seconds: its own limit, or what the instance has.
    pub fn pace_of(&self, tenant: TenantId) -> Option<u32> {
        let own = self.tenant(tenant).and_then(|entry| entry.tenant.rate_limit);
        let limit = own.or(self.settings.delivery_rate.flatten());
        limit.map(|per_second| per_second.get().saturating_mul(1000))
    }

    pub(super) fn put_settings(&mut self, settings: StoredSettings) {
        self.settings = Arc::new(settings);
    }

    pub(super) fn put_tenant(&mut self, tenant: Tenant) {
        let id = tenant.id;
        let entry = match self.tenants.get(&id) {
            Some(known) => {
                let known = TenantEntry::clone(known);
                if let Some(old) = &known.tenant.external_id {
                    self.tenants_by_external_id.remove(old);
                }
                self.forget_days(known.tenant.retention);
                TenantEntry { tenant, ..known }
            }
            None => TenantEntry::new(tenant),
        };
        for days in days_of(entry.tenant.retention) {
            *self.own_days.entry(days).or_default() += 1;
        }
        if let Some(external_id) = &entry.tenant.external_id {
            self.tenants_by_external_id.insert(external_id.clone(), id);
        }
        self.tenants.insert(id, Arc::new(entry));
    }

    pub(super) fn remove_tenant(&mut self, id: TenantId) {
        let Some(entry) = self.tenants.remove(&id) else { return };
        if let Some(external_id) = &entry.tenant.external_id {
            self.tenants_by_external_id.remove(external_id);
        }
        self.forget_days(entry.tenant.retention);
        for subscription in entry.subscriptions.keys() {
            self.owners.remove(subscription);
        }
    }

    fn forget_days(&mut self, retention: OwnRetention) {
        for days in days_of(retention) {
            match self.own_days.get_mut(&days) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) | None => drop(self.own_days.remove(&days)),
            }
        }
    }

    pub(super) fn put_key(&mut self, key: ApiKey) {
        self.keys_by_hash.insert(key.hash, key.id);
        self.keys.insert(key.id, Arc::new(key));
    }

    pub(super) fn remove_key(&mut self, id: KeyId) {
        if let Some(key) = self.keys.remove(&id) {
            self.keys_by_hash.remove(&key.hash);
        }
    }

    /// Adds it, or replaces the one with its id.
    pub(super) fn put_user(&mut self, user: User) {
        self.users_by_email.insert(user.email.clone(), user.id);
        self.users.insert(user.id, Arc::new(user));
    }

    pub(super) fn remove_user(&mut self, id: UserId) {
        if let Some(user) = self.users.remove(&id) {
            self.users_by_email.remove(&user.email);
        }
    }

    pub(super) fn put_invitation(&mut self, invitation: Invitation) {
        self.invitations_by_hash.insert(invitation.hash, invitation.to);
        self.invitations.insert(invitation.to, Arc::new(invitation));
    }

    pub(super) fn remove_invitation(&mut self, to: Invited) {
        if let Some(invitation) = self.invitations.remove(&to) {
            self.invitations_by_hash.remove(&invitation.hash);
        }
    }

    pub(super) fn put_session(&mut self, session: Session) {
        self.sessions_by_hash.insert(session.hash, session.id);
        self.sessions.insert(session.id, Arc::new(session));
    }

    pub(super) fn remove_session(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            self.sessions_by_hash.remove(&session.hash);
        }
    }

    pub(super) fn put_event_type(&mut self, entry: EventTypeEntry) {
        self.event_types.insert(entry.event_type.name.clone(), Arc::new(entry));
    }

    pub(super) fn remove_event_type(&mut self, name: &EventTypeName) {
        self.event_types.remove(name);
    }

    /// Adds it, or replaces the one with its id.
    pub(super) fn put_subscription(&mut self, subscription: Subscription) {
        let (id, owner) = (subscription.id, subscription.tenant);
        let Some(entry) = self.tenants.get(&owner) else { return };
        let mut entry = TenantEntry::clone(entry);
        entry.remove(id);
        entry.insert(Arc::new(subscription));
        self.tenants.insert(owner, Arc::new(entry));
        self.owners.insert(id, owner);
    }

    pub(super) fn remove_subscription(&mut self, id: SubscriptionId) {
        let Some(owner) = self.owners.remove(&id) else { return };
        let Some(entry) = self.tenants.get(&owner) else { return };
        let mut entry = TenantEntry::clone(entry);
        entry.remove(id);
        self.tenants.insert(owner, Arc::new(entry));
    }
}

fn days_of(OwnRetention { payload_days, metadata_days }: OwnRetention) -> impl Iterator<Item = u32> {
    payload_days.into_iter().chain(metadata_days)
}

impl TenantEntry {
    fn new(tenant: Tenant) -> Self {
        Self {
            tenant,
            subscriptions: OrdMap::new(),
            by_public_id: HashMap::new(),
            by_type: HashMap::new(),
            with_patterns: imbl::OrdSet::new(),
        }
    }

    pub fn subscription(&self, id: SubscriptionId) -> Option<&Arc<Subscription>> {
        self.subscriptions.get(&id)
    }

    /// By what it is called in a published contract.
    pub fn subscription_by_public_id(&self, id: &PublicId) -> Option<&Arc<Subscription>> {
        self.subscription(*self.by_public_id.get(id)?)
    }

    /// In the order of creation.
    pub fn subscriptions(&self) -> impl DoubleEndedIterator<Item = &Arc<Subscription>> {
        self.subscriptions.values()
    }

    pub fn subscriptions_count(&self) -> usize {
        self.subscriptions.len()
    }

    /// How many subscriptions ask for this type.
    pub fn subscribers_count(&self, event_type: &EventTypeName) -> usize {
        let exact = self.by_type.get(event_type);
        let by_pattern = |id: &&SubscriptionId| {
            !exact.is_some_and(|exact| exact.contains(*id))
                && self.subscriptions.get(*id).is_some_and(|subscription| subscription.wants(event_type))
        };
        exact.map_or(0, imbl::OrdSet::len) + self.with_patterns.iter().filter(by_pattern).count()
    }

    /// Who gets an event of this type with these channels: active or not (an inactive one holds it), in the order of creation.
    pub fn matching(&self, event_type: &EventTypeName, channels: &[Channel]) -> Vec<&Arc<Subscription>> {
        let exact = self.by_type.get(event_type);
        let mut matching: BTreeMap<SubscriptionId, &Arc<Subscription>> =
            exact.into_iter().flatten().filter_map(|id| Some((*id, self.subscriptions.get(id)?))).collect();
        for id in &self.with_patterns {
            if let Some(subscription) = self.subscriptions.get(id)
                && subscription.wants(event_type)
            {
                matching.insert(*id, subscription);
            }
        }
        let gets = |subscription: &&Arc<Subscription>| {
            subscription.listens_to(channels) && subscription.may_have(event_type, channels)
        };
        matching.into_values().filter(gets).collect()
    }

    fn insert(&mut self, subscription: Arc<Subscription>) {
        let id = subscription.id;
        for pattern in &subscription.events {
            match pattern {
                EventPattern::Exact(name) => {
                    self.by_type.entry(name.clone()).or_default().insert(id);
                }
                EventPattern::All | EventPattern::Below(_) => {
                    self.with_patterns.insert(id);
                }
            }
        }
        for public_id in subscription.public_ids.all_of(id) {
            self.by_public_id.insert(public_id, id);
        }
        self.subscriptions.insert(id, subscription);
    }

    fn remove(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.remove(&id) else { return };
        self.with_patterns.remove(&id);
        for public_id in subscription.public_ids.all_of(id) {
            self.by_public_id.remove(&public_id);
        }
        for pattern in &subscription.events {
            let EventPattern::Exact(name) = pattern else { continue };
            let Some(ids) = self.by_type.get_mut(name) else { continue };
            ids.remove(&id);
            if ids.is_empty() {
                self.by_type.remove(name);
            }
        }
    }
}

/// A schema by which nothing can be checked.
#[derive(Debug, thiserror::Error)]
#[error("{why}, at '{at}'")]
pub struct UnusableSchema {
    /// JSON pointer into the schema.
    pub at: String,
    /// In the words of the library that reads schemas.
    pub why: String,
}

impl From<jsonschema::ValidationError<'_>> for UnusableSchema {
    fn from(error: jsonschema::ValidationError<'_>) -> Self {
        let why = match error.kind() {
            ValidationErrorKind::Referencing(ReferencingError::Unretrievable { uri, .. }) => {
                format!("it refers to '{uri}', and nothing is fetched from elsewhere")
            }
            _ => error.to_string(),
        };
        Self { at: error.instance_path().to_string(), why }
    }
}

impl EventTypeEntry {
    /// Compiles the schema.
    pub fn new(event_type: EventType) -> Result<Self, UnusableSchema> {
        let validator = match &event_type.schema {
            None => None,
            Some(schema) => {
                let unreadable =
                    |error: serde_json::Error| UnusableSchema { at: String::new(), why: error.to_string() };
                let schema = serde_json::from_str(schema.get()).map_err(unreadable)?;
                Some(jsonschema::validator_for(&schema).map_err(UnusableSchema::from)?)
            }
        };
        Ok(Self { event_type, validator })
    }
}
