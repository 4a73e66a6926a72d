//! `Idempotency-Key`: a request that is sent again gets the answer that it got the first time (contract 3).
//!
//! The answer is kept in the same commit as what it tells about: the store's sentences take a [`Remember`].

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use poem::http::StatusCode;
use sha2::{Digest, Sha256};

use super::App;
use super::auth::Call;
use super::compat;
use super::json::canonical;
use super::problem::{Ground, Refusal, Source};
use super::reply::Reply;
use crate::domain::actor::ActorId;
use crate::store::{Remember, RequestName, StoreError};

pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
const KEY_LENGTH_MAX: usize = 200;

/// What makes two bodies the same one.
pub enum Fingerprint<'a> {
    /// Each byte: publish routes.
    Bytes(&'a [u8]),
    /// The JSON that they say.
    Json(&'a [u8]),
}

/// Handed to the work of a request, so that its answer is kept together with what it did.
#[derive(Clone)]
pub struct Memory(Option<Named>);

#[derive(Clone)]
struct Named {
    request: RequestName,
    body_sha256: [u8; 32],
    asker: ActorId,
    /// A sentence took the answer with it.
    is_kept: Arc<AtomicBool>,
}

impl Memory {
    /// For the store: keep what `render` writes. The caller renders the same value again for its answer.
    pub fn keep<T: ?Sized>(&self, render: impl FnOnce(&T) -> Reply + Send + 'static) -> Option<Remember<T>> {
        let Named { request, body_sha256, asker, is_kept } = self.0.clone()?;
        is_kept.store(true, Ordering::Release);
        Some(Remember { request, body_sha256, asker, render: Box::new(move |made| render(made).to_stored()) })
    }
}

/// Requests with an idempotency key that are running now; one entry each, so there are no more than open requests.
#[derive(Default)]
pub struct Running(Mutex<HashSet<RequestName>>);

struct Turn<'a> {
    running: &'a Running,
    request: RequestName,
}

impl Running {
    /// None: the same request is running already.
    fn enter(&self, request: RequestName) -> Option<Turn<'_>> {
        let is_new = self.0.lock().expect("no holder of it panics").insert(request);
        // Not `then_some`: a turn that is made leaves when it goes, and with it the one that is running.
        is_new.then(|| Turn { running: self, request })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.running.0.lock().expect("no holder of it panics").remove(&self.request);
    }
}

/// Does the work, unless it was done before for the same key: then the first answer comes again.
pub async fn once<F, W>(call: &Call, fingerprint: Fingerprint<'_>, work: F) -> Result<Reply, Refusal>
where
    F: FnOnce(Memory) -> W,
    W: Future<Output = Result<Reply, Refusal>>,
{
    match key_of(call)? {
        None => work(Memory(None)).await,
        // In a box: beside the other way it would double what each request carries along.
        Some(value) => Box::pin(once_named(call, value, fingerprint, work)).await,
    }
}

async fn once_named<F, W>(call: &Call, value: &str, fingerprint: Fingerprint<'_>, work: F) -> Result<Reply, Refusal>
where
    F: FnOnce(Memory) -> W,
    W: Future<Output = Result<Reply, Refusal>>,
{
    let app: &App = &call.visit.app;
    let request = name(call, value);
    let body_sha256: [u8; 32] = match fingerprint {
        Fingerprint::Bytes(bytes) => Sha256::digest(bytes).into(),
        Fingerprint::Json(bytes) => Sha256::digest(canonical(bytes)).into(),
    };
    // Before the look-up: whoever comes while the first one commits must find either the turn or the answer.
    let Some(_turn) = app.running.enter(request) else {
        return Err(Refusal::new(Ground::IdempotencyInProgress).retry_after(1));
    };
    let store = app.store.clone();
    let known = tokio::task::spawn_blocking(move || store.recall(request)).await.map_err(|_| Ground::Internal)??;
    if let Some((known_sha256, answer)) = known {
        if known_sha256 != body_sha256 {
            return Err(Ground::IdempotencyConflict.into());
        }
        if compat::answer_bytes_max(call.visit.contract).is_some_and(|max| answer.body.len() > max) {
            return Err(Ground::IdempotencySnapshotUnavailable.into());
        }
        return Ok(Reply::replayed(answer));
    }
    let is_kept = Arc::new(AtomicBool::new(false));
    let named = Named { request, body_sha256, asker: call.actor.id(), is_kept: is_kept.clone() };
    let result = work(Memory(Some(named))).await;
    let late = match &result {
        Ok(reply) => (!is_kept.load(Ordering::Acquire)).then(|| reply.to_stored()),
        Err(refusal) if refusal.is_lasting() => Some(compat::render(refusal, &call.visit).to_stored()),
        Err(_) => None,
    };
    if let Some(answer) = late
        && answer.status < StatusCode::INTERNAL_SERVER_ERROR.as_u16()
    {
        match app.store.remember(request, body_sha256, call.actor.id(), answer).await {
            // Who asks again is judged again.
            Ok(()) | Err(StoreError::StorageFull) => {}
            Err(error) => return Err(error.into()),
        }
    }
    result
}

fn key_of(call: &Call) -> Result<Option<&str>, Refusal> {
    let mut values = call.headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let is_printable = |text: &&str| {
        (1..=KEY_LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
    };
    match value.to_str().ok().filter(is_printable) {
        Some(text) if values.next().is_none() => Ok(Some(text)),
        _ => Err(Refusal::at(Ground::InvalidIdempotencyKey, Source::Header("Idempotency-Key"))),
    }
}

/// Lengths go before the parts, so that no two requests have one name.
fn name(call: &Call, value: &str) -> RequestName {
    let mut hasher = Sha256::new();
    let (asker, tenant) = (call.actor.id().to_bytes(), call.tenant().id.to_bytes());
    let parts = [
        &asker[..],
        &tenant,
        call.method.as_str().as_bytes(),
        call.path_and_query.as_str().as_bytes(),
        value.as_bytes(),
    ];
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    RequestName(hasher.finalize().into())
}
