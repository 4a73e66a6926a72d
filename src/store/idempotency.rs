//! Remembered answers: what a repeat of a request with the same `Idempotency-Key` gets, for 24 hours.

use std::time::Duration;

use super::commit::{Store, Transaction};
use super::record::AnswerRecord;
use super::schema::{Answers, AnswersBySecret, AnswersByTime, Holder, Key};
use super::tables::{Read, damaged};
use super::{Remember, RequestName, SecretOwner, StoreError, StoredAnswer};
use crate::domain::actor::ActorId;
use crate::domain::time::Timestamp;

/// How long an answer is remembered (contract 3).
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Expired answers that one step of retention removes.
pub(super) const EXPIRED_PER_STEP_MAX: usize = 256;

impl Store {
    /// The body's hash and the answer, unless it expired. Reads the disk, usually its cache.
    pub fn recall(&self, request: RequestName) -> Result<Option<([u8; 32], StoredAnswer)>, StoreError> {
        let Some(record) = self.shared.snapshot()?.get::<Answers>(&request)? else { return Ok(None) };
        if is_expired(Timestamp::from_millis(record.created_at), self.shared.clock.now()) {
            return Ok(None);
        }
        let body_sha256 = record.body_sha256;
        let answer = record.into_domain(request, &self.shared.crypt);
        Ok(Some((body_sha256, answer.ok_or_else(|| damaged::<Answers>(&request.to_key()))?)))
    }

    /// Keeps an answer whose request changed nothing (a 4xx), or whose sentence could not keep it itself. `StorageFull`.
    pub async fn remember(
        &self,
        request: RequestName,
        body_sha256: [u8; 32],
        asker: impl Into<ActorId>,
        answer: StoredAnswer,
    ) -> Result<(), StoreError> {
        let (bytes, asker) = (answer.body.len(), asker.into());
        self.sentence(bytes, move |transaction| {
            transaction.check_space()?;
            transaction.put_answer(request, body_sha256, asker, answer)
        })
        .await
    }
}

fn is_expired(created_at: Timestamp, now: Timestamp) -> bool {
    now.since(created_at) >= KEPT_FOR
}

/// What it goes with.
pub(super) fn holders(record: &AnswerRecord) -> Vec<Holder> {
    match record.shows_secret_of() {
        None => Vec::new(),
        Some(owner) => {
            let shown = match owner {
                SecretOwner::Subscription(id) => Holder::Subscription(id),
                SecretOwner::Key(id) => Holder::Key(id),
                SecretOwner::Tenant(id) => Holder::Tenant(id),
                SecretOwner::User(id) => Holder::User(id),
            };
            vec![shown, Holder::Asker(record.asker)]
        }
    }
}

impl Transaction<'_> {
    /// Keeps the answer to the request that this sentence carries out, if it wants one kept.
    pub(super) fn remember<T: ?Sized>(&mut self, remember: Option<Remember<T>>, done: &T) -> Result<(), StoreError> {
        let Some(Remember { request, body_sha256, asker, render }) = remember else { return Ok(()) };
        self.put_answer(request, body_sha256, asker, render(done))
    }

    fn put_answer(
        &mut self,
        request: RequestName,
        body_sha256: [u8; 32],
        asker: ActorId,
        answer: StoredAnswer,
    ) -> Result<(), StoreError> {
        self.forget(request)?;
        let record = AnswerRecord::from_domain(answer, request, body_sha256, asker, self.now, &self.shared.crypt);
        for holder in holders(&record) {
            self.tables.put::<AnswersBySecret>(&(holder, request), &())?;
        }
        self.tables.put::<AnswersByTime>(&(self.now, request), &())?;
        self.tables.put::<Answers>(&request, &record)
    }

    fn forget(&mut self, request: RequestName) -> Result<(), StoreError> {
        let Some(record) = self.tables.get::<Answers>(&request)? else { return Ok(()) };
        for holder in holders(&record) {
            self.tables.remove::<AnswersBySecret>(&(holder, request))?;
        }
        self.tables.remove::<AnswersByTime>(&(Timestamp::from_millis(record.created_at), request))?;
        self.tables.remove::<Answers>(&request)?;
        Ok(())
    }

    /// Forgets the answers that show a secret which is no more, or that a revoked key asked for.
    pub(super) fn forget_secrets(&mut self, holder: Holder) -> Result<(), StoreError> {
        let range = (holder, RequestName([0; 32]))..=(holder, RequestName([0xff; 32]));
        let requests = self.tables.scan::<AnswersBySecret>(range)?;
        let requests = requests.map(|row| row.map(|((_, request), ())| request)).collect::<Result<Vec<_>, _>>()?;
        requests.into_iter().try_for_each(|request| self.forget(request))
    }

    /// One step of forgetting what expired. Answers whether there may be more.
    pub(super) fn forget_expired(&mut self) -> Result<bool, StoreError> {
        let until = self.now.minus(KEPT_FOR);
        let range = ..=(until, RequestName([0xff; 32]));
        let expired = self.tables.scan::<AnswersByTime>(range)?.take(EXPIRED_PER_STEP_MAX);
        let expired = expired.map(|row| row.map(|((_, request), ())| request)).collect::<Result<Vec<_>, _>>()?;
        let is_full = expired.len() == EXPIRED_PER_STEP_MAX;
        expired.into_iter().try_for_each(|request| self.forget(request))?;
        Ok(is_full)
    }
}
