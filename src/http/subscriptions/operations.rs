//! Makes, changes, shows and tries subscriptions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use poem::http::StatusCode;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use super::rules::{check_api_version, check_events, check_overlap, check_profile, check_public_ids};
use super::settings::{Creation, NewSubscription, SubscriptionChange};
use super::wire::{
    CreateAnswer, CreateSubscription, MakeKeyPair, RotateSecret, SendTest, SnippetsAttributes, SubscriptionAttributes,
    SubscriptionList, TestDeliveryAttributes, UpdateSubscription, attributes, snippets_attributes, test_attributes,
    would_be_made,
};
use crate::domain::delivery::Attempt;
use crate::domain::event::{Event, EventWithData, NewEvent};
use crate::domain::event_type::{EventTypeName, WEBHOOK_TEST};
use crate::domain::header::CustomHeaders;
use crate::domain::health::Health;
use crate::domain::id::{DeliveryId, SubscriptionId};
use crate::domain::key_pair::KeyPair;
use crate::domain::obstacle::Obstacle;
use crate::domain::profile::Profile;
use crate::domain::public_id::{PublicId, PublicIds};
use crate::domain::secret::{PreviousSecret, Secret};
use crate::domain::subscription::{
    DeliveryOrder, Envelope, MAX_IN_FLIGHT_DEFAULT, Signing, Subscription, TIMEOUT_SECONDS_DEFAULT,
};
use crate::domain::target::TargetUrl;
use crate::domain::tenant::Metadata;
use crate::domain::time::Timestamp;
use crate::domain::violation::Rule;
use crate::http::audit::Ending;
use crate::http::auth::{Call, Caller, scope};
use crate::http::body::{Body, Findings};
use crate::http::etag::{self, IfMatch};
use crate::http::idempotency::{Fingerprint, once};
use crate::http::page::{Listed, Query};
use crate::http::problem::{Ground, Refusal, Source};
use crate::http::reply::{Answer, Object as ResourceObject, One, Reply};
use crate::http::{App, Tag};
use crate::store::{Edit, SecretOwner, StoreError, Whose};

const THING: &str = "Webhook subscription";
/// What a test says.
const TEST_DATA: &str = r#"{"message":"Hello from Waxwing"}"#;

pub struct SubscriptionsApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/webhook-subscriptions", tag = "Tag::Subscriptions")]
impl SubscriptionsApi {
    /// Create a subscription
    ///
    /// Deliveries start with the next event that it asks for. The answer is one of the two that show the secret. A
    /// subscription of another sender keeps its secret (`secret`, in the form of `profile`) and its ids (`marea_id`,
    /// `agentmessage_id`), so that its receiver need not change anything. With `dry_run` everything is checked and nothing
    /// made.
    #[oai(path = "/", method = "post", operation_id = "subscriptions.create")]
    async fn create(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        body: Body<Creation, CreateSubscription>,
    ) -> Result<CreateAnswer, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let (wire, mut findings) = body.read()?;
            let Creation { mut new, profile, marea_id, agentmessage_id, dry_run } = wire;
            let profile = check_profile(profile, &mut findings).unwrap_or(caller.tenant().profile);
            if !findings.is_sound("profile") {
                // Nobody knows what its form would be.
                new.secret = None;
            }
            let public_ids = check_public_ids(marea_id, agentmessage_id, &mut findings);
            let subscription = self.new_subscription(&caller, profile, new, findings).await?;
            let subscription = Subscription { public_ids, ..subscription };
            check_ids_are_free(&caller, &public_ids)?;
            if dry_run == Some(true) {
                let _ = caller.visit.ending.set(Ending::DryRun);
                self.app.store.try_subscription(subscription).await.map_err(refused)?;
                return Ok(would_be_made());
            }
            let render = |made: &Subscription| {
                let attributes = attributes(made, &Health::default(), true);
                Reply::json(StatusCode::CREATED, &One::new(made.id.to_string(), attributes))
                    .header("location", format!("/v1/webhook-subscriptions/{}", made.id))
                    .header("etag", etag::of(made.revision))
                    .shows_secret_of(SecretOwner::Subscription(made.id))
            };
            let made = self.app.store.create_subscription(subscription, memory.keep(render)).await.map_err(refused)?;
            Ok(render(&made))
        })
        .await
        .map(CreateAnswer)
    }

    /// List subscriptions
    #[oai(path = "/", method = "get", operation_id = "subscriptions.list")]
    async fn list(
        &self,
        caller: Caller<scope::SubscriptionsRead>,
        query: Query<SubscriptionList>,
    ) -> Result<Answer<Listed<SubscriptionAttributes>, 200>, Refusal> {
        let Query(list) = query;
        let all: Vec<&Arc<Subscription>> = match caller.whose(list.is_of_the_instance)? {
            Whose::Everyone => {
                let mut all: Vec<_> = caller.catalogue.tenants().flat_map(|entry| entry.subscriptions()).collect();
                all.sort_unstable_by_key(|subscription| subscription.id);
                all
            }
            Whose::Of(_) => {
                let all = caller.tenant_entry().subscriptions();
                all.filter(|subscription| caller.sees(subscription)).collect()
            }
        };
        let rows: Vec<(&Arc<Subscription>, Health)> = all
            .into_iter()
            .map(|subscription| (subscription, self.app.store.health(subscription.id)))
            .filter(|(subscription, health)| list.takes(subscription, health))
            .collect();
        let page = list.page.cut(&caller, rows, |(subscription, health)| {
            ResourceObject::new(subscription.id.to_string(), attributes(subscription, &health, false))
        });
        Ok(Reply::json(StatusCode::OK, &page).into())
    }

    /// Get a subscription
    #[oai(path = "/:id", method = "get", operation_id = "subscriptions.get")]
    async fn get(
        &self,
        caller: Caller<scope::SubscriptionsRead>,
        id: Path<String>,
    ) -> Result<Answer<One<SubscriptionAttributes>, 200>, Refusal> {
        let subscription = find(&caller, &id)?;
        Ok(self.show(subscription).into())
    }

    /// Change a subscription
    ///
    /// Only what is sent changes; the secret never does. The same as PATCH.
    #[oai(path = "/:id", method = "put", operation_id = "subscriptions.put")]
    async fn put(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
        body: Body<SubscriptionChange, UpdateSubscription>,
    ) -> Result<Answer<One<SubscriptionAttributes>, 200>, Refusal> {
        self.change(&caller, &id, &body).await
    }

    /// Change a subscription
    ///
    /// Only what is sent changes; the secret never does.
    #[oai(path = "/:id", method = "patch", operation_id = "subscriptions.update")]
    async fn update(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
        body: Body<SubscriptionChange, UpdateSubscription>,
    ) -> Result<Answer<One<SubscriptionAttributes>, 200>, Refusal> {
        self.change(&caller, &id, &body).await
    }

    /// Delete a subscription
    ///
    /// Deliveries stop at once, and those that wait are canceled. What was delivered stays readable.
    #[oai(path = "/:id", method = "delete", operation_id = "subscriptions.delete")]
    async fn delete(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
    ) -> Result<Answer<(), 204>, Refusal> {
        let subscription = find(&caller, &id)?;
        let expected = IfMatch::of(&caller).expect(subscription.revision)?;
        self.app.store.delete_subscription(subscription.id, expected).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }

    /// Replace the signing secret
    ///
    /// The old secret stops at once unless an overlap is asked for. The answer is one of the two that show the secret.
    #[oai(path = "/:id/rotate-secret", method = "post", operation_id = "subscriptions.rotate_secret")]
    async fn rotate_secret(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
        body: Body<RotateSecret>,
    ) -> Result<Answer<One<SubscriptionAttributes>, 200>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let subscription = find(&caller, &id)?;
            let (wire, findings) = body.read()?;
            let rotation = self.rotation(wire, findings, subscription)?;
            let id = subscription.id;
            let health = self.app.store.health(id);
            let render = move |made: &Subscription| {
                Reply::json(StatusCode::OK, &One::new(made.id.to_string(), attributes(made, &health, true)))
                    .header("etag", etag::of(made.revision))
                    .shows_secret_of(SecretOwner::Subscription(made.id))
            };
            let made = self.app.store.update_subscription(id, rotation, memory.keep(render)).await?;
            Ok(render(&made))
        })
        .await
        .map(Into::into)
    }

    /// Make a key pair
    ///
    /// An ed25519 pair, with which deliveries are signed beside the secret (`v1a`, profile `standard` only). The private half is
    /// never shown; the public one is in the answer and at `/.well-known/webhook-keys/{id}`. Asked again, the pair is replaced,
    /// and the old one stops at once unless an overlap is asked for. A change to a profile without `v1a` removes it.
    #[oai(path = "/:id/key-pair", method = "post", operation_id = "subscriptions.make_key_pair")]
    async fn make_key_pair(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
        body: Body<MakeKeyPair>,
    ) -> Result<Answer<One<SubscriptionAttributes>, 200>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let subscription = find(&caller, &id)?;
            let (MakeKeyPair { overlap_seconds }, mut findings) = body.read()?;
            let overlap = check_overlap(overlap_seconds, &mut findings).unwrap_or_default();
            if !subscription.profile.has_key_pairs() {
                findings.add(Rule::KeyPairNotSupported { profile: subscription.profile.name() }, "");
            }
            findings.finish()?;
            let pair = KeyPair::generate(&mut rand::rng());
            let (id, now) = (subscription.id, self.app.clock.now());
            let health = self.app.store.health(id);
            let render = move |made: &Subscription| {
                Reply::json(StatusCode::OK, &One::new(made.id.to_string(), attributes(made, &health, false)))
                    .header("etag", etag::of(made.revision))
            };
            let change = Box::new(move |subscription: &mut Subscription| {
                // Its profile may have changed since it was looked at.
                if !subscription.profile.has_key_pairs() {
                    return Err(StoreError::InvalidState(Obstacle::Changed));
                }
                subscription.replace_key_pair(pair, overlap, now);
                Ok(())
            });
            let made = self.app.store.update_subscription(id, change, memory.keep(render)).await?;
            Ok(render(&made))
        })
        .await
        .map(Into::into)
    }

    /// Remove the key pair
    ///
    /// Deliveries are signed by the secret alone from now on. Without a pair nothing changes.
    #[oai(path = "/:id/key-pair", method = "delete", operation_id = "subscriptions.remove_key_pair")]
    async fn remove_key_pair(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
    ) -> Result<Answer<(), 204>, Refusal> {
        let subscription = find(&caller, &id)?;
        let if_match = IfMatch::of(&caller);
        let change = Box::new(move |subscription: &mut Subscription| {
            if_match.check(subscription.revision)?;
            subscription.key_pairs = None;
            Ok(())
        });
        self.app.store.update_subscription(subscription.id, change, None).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }

    /// Get programs that verify its deliveries
    ///
    /// One function in each language, for the subscription's profile and the names of its tenant's headers. The secret is not
    /// in it.
    #[oai(path = "/:id/snippets", method = "get", operation_id = "subscriptions.snippets")]
    async fn snippets(
        &self,
        caller: Caller<scope::SubscriptionsRead>,
        id: Path<String>,
    ) -> Result<Answer<One<SnippetsAttributes>, 200>, Refusal> {
        let subscription = find(&caller, &id)?;
        let attributes = snippets_attributes(subscription.profile, caller.tenant().header_prefix.as_ref());
        Ok(Reply::json(StatusCode::OK, &One::new(subscription.id.to_string(), attributes)).into())
    }

    /// Send a test
    ///
    /// Sends `webhook.test`, or the example of an event type, now: past the queue, and also to a paused subscription.
    /// Nothing of it is kept. When the receiver answers 2xx, deliveries that are held because it failed go on.
    #[oai(path = "/:id/test", method = "post", operation_id = "subscriptions.test")]
    async fn test(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
        body: Body<SendTest>,
    ) -> Result<Answer<One<TestDeliveryAttributes>, 200>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |_memory| {
            let subscription = find(&caller, &id)?;
            let (wire, findings) = body.read()?;
            self.try_target(&caller)?;
            let event = self.test_event(&caller, subscription, wire, findings)?;
            let nothing_is_kept = DeliveryId::from_u128(0);
            let attempt = self.app.dispatch.test(caller.tenant(), subscription, nothing_is_kept, &event).await;
            if attempt.outcome.is_success() {
                self.app.store.receiver_is_well(subscription.id).await?;
            }
            let one = One::new(event.event.id.to_string(), test_attributes(&attempt));
            Ok(Reply::json(StatusCode::OK, &one))
        })
        .await
        .map(Into::into)
    }
}

impl SubscriptionsApi {
    fn show(&self, subscription: &Subscription) -> Reply {
        let attributes = attributes(subscription, &self.app.store.health(subscription.id), false);
        Reply::json(StatusCode::OK, &One::new(subscription.id.to_string(), attributes))
            .header("etag", etag::of(subscription.revision))
    }

    /// What the caller asks for, once it breaks no rule.
    pub async fn new_subscription(
        &self,
        call: &Call,
        profile: Profile,
        wire: NewSubscription,
        mut findings: Findings,
    ) -> Result<Subscription, Refusal> {
        let NewSubscription { url, events, settings, secret, api_version } = wire;
        let url = self.check_url(call, &url, &mut findings).await?;
        let owner = call.owner();
        let events = check_events(call, &owner, &events, &mut findings);
        let changes = settings.check(None, None, &owner, call.tenant().header_prefix.as_ref(), &mut findings);
        let secret = match secret {
            None => Some(Secret::generate(&mut rand::rng())),
            Some(text) => profile.read_secret(&text),
        };
        let api_version = check_api_version(api_version, profile, &mut findings);
        if secret.is_none() {
            findings.add(Rule::InvalidSecret { expected: profile.secret_expected() }, "/secret");
        }
        findings.finish()?;
        let (Some(url), Some(secret)) = (url, secret) else {
            unreachable!("a missing one is among the findings");
        };
        let now = self.app.clock.now();
        let mut subscription = Subscription {
            // The store assigns it.
            id: SubscriptionId::from_u128(0),
            tenant: call.tenant().id,
            url,
            events,
            description: None,
            is_active: true,
            disabled_reason: None,
            max_in_flight: MAX_IN_FLIGHT_DEFAULT,
            timeout_seconds: TIMEOUT_SECONDS_DEFAULT,
            rate_limit: None,
            retry_schedule: None,
            ordering: DeliveryOrder::default(),
            circuit_breaker: profile.has_circuit_breaker(),
            headers: CustomHeaders::new(),
            channels: Vec::new(),
            public_ids: PublicIds::default(),
            owner,
            profile,
            envelope: Envelope::default(),
            api_version,
            metadata: Metadata::new(),
            signing: Signing::default(),
            secret,
            secret_version: 1,
            previous_secret: None,
            key_pairs: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        changes.apply(&mut subscription)?;
        Ok(subscription)
    }

    async fn change(
        &self,
        call: &Call,
        id: &str,
        body: &Body<SubscriptionChange, UpdateSubscription>,
    ) -> Result<Answer<One<SubscriptionAttributes>, 200>, Refusal> {
        let subscription = find(call, id)?;
        let (wire, findings) = body.read()?;
        let edit = self.edit(call, Some(subscription), wire, findings).await?;
        let changed = self.app.store.update_subscription(subscription.id, edit, None).await?;
        Ok(self.show(&changed).into())
    }

    /// The change that the caller asks for, once it breaks no rule. `known` is what is changed, if there is such a one.
    pub async fn edit(
        &self,
        call: &Call,
        known: Option<&Subscription>,
        wire: SubscriptionChange,
        mut findings: Findings,
    ) -> Result<Edit<Subscription>, Refusal> {
        let SubscriptionChange { url, events, settings } = wire;
        let url = match url {
            Some(url) => self.check_url(call, &url, &mut findings).await?,
            None => None,
        };
        let owner = known.map_or_else(|| call.owner(), |known| known.owner.clone());
        let events = events.map(|events| check_events(call, &owner, &events, &mut findings));
        let prefix = call.tenant().header_prefix.as_ref();
        let changes = settings.check(url, known, &owner, prefix, &mut findings);
        findings.finish()?;
        let if_match = IfMatch::of(call);
        Ok(Box::new(move |subscription: &mut Subscription| {
            if_match.check(subscription.revision)?;
            if let Some(events) = events {
                subscription.events = events;
            }
            changes.apply(subscription)
        }))
    }

    /// A new secret for the subscription, once what is asked for breaks no rule.
    pub fn rotation(
        &self,
        wire: RotateSecret,
        findings: Findings,
        subscription: &Subscription,
    ) -> Result<Edit<Subscription>, Refusal> {
        let rotation = rotation(wire, findings, subscription)?;
        let (secret, now) = (Secret::generate(&mut rand::rng()), self.app.clock.now());
        Ok(Box::new(move |subscription: &mut Subscription| {
            rotation.apply(subscription, secret, now);
            Ok(())
        }))
    }

    /// Sends a test as [`Self::test`] does, and keeps it: an event of its own with one delivery and this attempt. Goes on
    /// to its end also when nobody waits for it any more.
    pub async fn kept_test(&self, call: &Call, subscription: &Arc<Subscription>) -> Result<TestKept, Refusal> {
        self.try_target(call)?;
        let (app, tenant, subscription) = (self.app.clone(), call.tenant().clone(), subscription.clone());
        let test = async move {
            let data = Bytes::from_static(TEST_DATA.as_bytes());
            let new = NewEvent {
                tenant: tenant.id,
                event_type: WEBHOOK_TEST.parse().expect("it is a name"),
                external_id: None,
                occurred_at: None,
                channels: Vec::new(),
                deliver_at: None,
                data: data.clone(),
            };
            let (event, delivery) = app.store.begin_test(new, subscription.id).await?;
            let event = EventWithData { event, data };
            let attempt = app.dispatch.test(&tenant, &subscription, delivery, &event).await;
            app.store.record_test(attempt.clone()).await?;
            if attempt.outcome.is_success() {
                app.store.receiver_is_well(subscription.id).await?;
            }
            Ok(TestKept { event: event.event, attempt })
        };
        let kept: Result<TestKept, StoreError> = tokio::spawn(test).await.map_err(|_| Ground::Internal)?;
        Ok(kept?)
    }

    /// The grammar, then the addresses behind the name (contract 8).
    async fn check_url(&self, call: &Call, text: &str, findings: &mut Findings) -> Result<Option<TargetUrl>, Refusal> {
        if !findings.is_sound("url") {
            return Ok(None);
        }
        self.try_target(call)?;
        let url = match TargetUrl::parse(text, &self.app.settings.targets) {
            Ok(url) => url,
            Err(rule) => {
                if rule == Rule::UrlBlocked {
                    self.app.tried_targets.was_forbidden(call.tenant().id, call.visit.came_at);
                }
                findings.add(rule, "/url");
                return Ok(None);
            }
        };
        let is_allowed =
            if url.is_test_receiver() { call.is_of_the_instance() } else { self.app.net.vet(&url).await.is_ok() };
        if !is_allowed {
            self.app.tried_targets.was_forbidden(call.tenant().id, call.visit.came_at);
            findings.add(Rule::UrlBlocked, "/url");
        }
        Ok(Some(url))
    }

    /// Before a caller has us look at a URL or send to one. Callers of the whole instance may do so as often as they like:
    /// they are its operator's.
    fn try_target(&self, call: &Call) -> Result<(), Refusal> {
        if call.is_of_the_instance() {
            return Ok(());
        }
        self.app.tried_targets.try_one(call.tenant().id, call.visit.came_at)
    }

    fn test_event(
        &self,
        call: &Call,
        subscription: &Subscription,
        wire: SendTest,
        mut findings: Findings,
    ) -> Result<EventWithData, Refusal> {
        let is_allowed =
            |name: &EventTypeName| subscription.owner.restriction().is_none_or(|restriction| restriction.allows(name));
        let (event_type, data) = match wire.event_type {
            None => (WEBHOOK_TEST.parse().ok(), TEST_DATA.to_owned()),
            Some(name) => match call.catalogue.event_type(&name) {
                Some(entry) if !is_allowed(&entry.event_type.name) => {
                    findings.add(Rule::EventNotAllowed { name }, "/event_type");
                    (None, String::new())
                }
                Some(entry) => {
                    let example = entry.event_type.example.as_ref();
                    (Some(entry.event_type.name.clone()), example.map_or("{}", |example| example.get()).to_owned())
                }
                None => {
                    findings.add(Rule::UnknownEventType { name }, "/event_type");
                    (None, String::new())
                }
            },
        };
        findings.finish()?;
        let event_type: EventTypeName = event_type.expect("a missing one is among the findings");
        let now = self.app.clock.now();
        let event = Event {
            id: self.app.store.next_event_id(),
            tenant: call.tenant().id,
            event_type,
            external_id: None,
            occurred_at: now,
            created_at: now,
            deliveries: 1,
            data_bytes: u32::try_from(data.len()).unwrap_or(u32::MAX),
            channels: Vec::new(),
            deliver_at: None,
            replay_of: None,
        };
        Ok(EventWithData { event, data: data.into() })
    }
}

/// Tells which of the ids is taken; the store looks again in its transaction.
fn check_ids_are_free(call: &Call, ids: &PublicIds) -> Result<(), Refusal> {
    let PublicIds { marea, agentmessage } = ids;
    let ids =
        [(marea.map(PublicId::Marea), "/marea_id"), (agentmessage.map(PublicId::AgentMessage), "/agentmessage_id")];
    let is_taken = |id: &PublicId| call.tenant_entry().subscription_by_public_id(id).is_some();
    match ids.into_iter().find(|(id, _)| id.as_ref().is_some_and(is_taken)) {
        Some((_, pointer)) => Err(Refusal::at(Ground::PublicIdTaken, Source::Pointer(pointer.to_owned()))),
        None => Ok(()),
    }
}

fn refused(error: StoreError) -> Refusal {
    match error {
        StoreError::AlreadyExists => Ground::PublicIdTaken.into(),
        error => error.into(),
    }
}

pub fn find<'a>(call: &'a Call, id: &str) -> Result<&'a Arc<Subscription>, Refusal> {
    find_visible(call, id).ok_or_else(|| Refusal::not_found(THING, id))
}

/// None when there is none, or none that the caller sees.
pub fn find_visible<'a>(call: &'a Call, id: &str) -> Option<&'a Arc<Subscription>> {
    let found = id.parse().ok().and_then(|id| call.tenant_entry().subscription(id));
    found.filter(|subscription| call.sees(subscription))
}

/// A test that was kept, and what it came to.
pub struct TestKept {
    pub event: Event,
    pub attempt: Attempt,
}

struct Rotation {
    profile: Profile,
    overlap: Duration,
}

impl Rotation {
    fn apply(&self, subscription: &mut Subscription, secret: Secret, now: Timestamp) {
        let old = std::mem::replace(&mut subscription.secret, secret);
        let expires_at = now.plus(self.overlap);
        subscription.previous_secret = (!self.overlap.is_zero()).then_some(PreviousSecret { secret: old, expires_at });
        subscription.secret_version += 1;
        if subscription.profile != self.profile {
            subscription.profile = self.profile;
            subscription.api_version = self.profile.api_version_default();
        }
        if !self.profile.has_key_pairs() {
            subscription.key_pairs = None;
        }
    }
}

fn rotation(wire: RotateSecret, mut findings: Findings, subscription: &Subscription) -> Result<Rotation, Refusal> {
    let RotateSecret { overlap_seconds, profile } = wire;
    let overlap = check_overlap(overlap_seconds, &mut findings).unwrap_or_default();
    let profile = check_profile(profile, &mut findings).unwrap_or(subscription.profile);
    if !overlap.is_zero() && !profile.can_overlap() {
        findings.add(Rule::OverlapNotSupported { profile: profile.name() }, "/overlap_seconds");
    }
    findings.finish()?;
    Ok(Rotation { profile, overlap })
}
