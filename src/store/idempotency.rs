//! Remembered answers: what a request with an `Idempotency-Key` was answered, for 24 hours.

use std::time::Duration;

use redb::{ReadableDatabase, ReadableTable};

use super::group::{Group, keys_with, put, remove};
use super::record::{self, KeptAnswer};
use super::{Remember, RequestName, SecretOwner, Store, StoreError, StoredAnswer, schema};
use crate::domain::id::KeyId;

/// How long an answer is given again (contract 3).
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Answers removed in one step.
const EXPIRED_PER_STEP: usize = 500;

impl SecretOwner {
    fn number(self) -> u128 {
        match self {
            Self::Subscription(id) => id.as_u128(),
            Self::Key(id) => id.as_u128(),
        }
    }
}

impl Store {
    /// The SHA-256 of the body that came with the first such request, and what it was answered.
    pub fn recall(&self, request: RequestName) -> Result<Option<([u8; 32], StoredAnswer)>, StoreError> {
        let read = self.shared.database.begin_read()?;
        let answers = read.open_table(schema::ANSWERS)?;
        let Some(row) = answers.get(request.0.as_slice())? else { return Ok(None) };
        let KeptAnswer { body_sha256, key: _, created_at, answer } =
            record::read_answer(&request.0, row.value(), &self.shared.cipher)?;
        let is_alive = self.shared.clock.now() < created_at.plus(KEPT_FOR);
        Ok(is_alive.then_some((body_sha256, answer)))
    }

    /// Keeps an answer whose request changed nothing (a 4xx), or whose sentence could not keep it itself.
    pub async fn remember(
        &self,
        request: RequestName,
        body_sha256: [u8; 32],
        key: KeyId,
        answer: StoredAnswer,
    ) -> Result<(), StoreError> {
        self.sentence(move |group| group.keep_answer(request, body_sha256, key, answer)).await
    }
}

impl Group<'_, '_> {
    /// Keeps the answer that a sentence asked for, when it asked.
    pub fn remember<T: ?Sized>(&mut self, remember: Option<Remember<T>>, outcome: &T) -> Result<(), StoreError> {
        let Some(Remember { request, body_sha256, key, render }) = remember else { return Ok(()) };
        self.keep_answer(request, body_sha256, key, render(outcome))
    }

    fn keep_answer(
        &mut self,
        request: RequestName,
        body_sha256: [u8; 32],
        key: KeyId,
        answer: StoredAnswer,
    ) -> Result<(), StoreError> {
        self.forget_answer(&request.0)?;
        let created_at = self.now;
        // Removed with the secret's owner, and with the key that asked.
        if let Some(owner) = answer.shows_secret_of {
            for owner in [owner.number(), key.as_u128()] {
                put(&mut self.tables.answers_by_secret, &schema::answer_by_secret(owner, &request.0), &[])?;
            }
        }
        let kept = KeptAnswer { body_sha256, key, created_at, answer };
        put(&mut self.tables.answers, &request.0, &record::write_answer(&request.0, &kept, self.cipher))?;
        put(&mut self.tables.answers_by_time, &schema::answer_by_time(created_at, &request.0), &[])
    }

    fn forget_answer(&mut self, request: &[u8; 32]) -> Result<(), StoreError> {
        let Some(bytes) = self.tables.answers.remove(request.as_slice())?.map(|row| row.value().to_vec()) else {
            return Ok(());
        };
        let KeptAnswer { body_sha256: _, key, created_at, answer } = record::read_answer(request, &bytes, self.cipher)?;
        remove(&mut self.tables.answers_by_time, &schema::answer_by_time(created_at, request))?;
        if let Some(owner) = answer.shows_secret_of {
            for owner in [owner.number(), key.as_u128()] {
                remove(&mut self.tables.answers_by_secret, &schema::answer_by_secret(owner, request))?;
            }
        }
        Ok(())
    }

    /// Removes every answer that shows a secret of this owner, or that this key asked for.
    pub fn forget_secrets_of(&mut self, owner: u128) -> Result<(), StoreError> {
        let prefix = owner.to_be_bytes();
        for key in keys_with(&self.tables.answers_by_secret, &prefix, &prefix, usize::MAX)? {
            if let Some(request) = key.last_chunk::<32>() {
                self.forget_answer(request)?;
            }
        }
        Ok(())
    }

    /// Removes some of the answers that are no longer given; whether there may be more.
    pub fn expire_answers(&mut self) -> Result<bool, StoreError> {
        let until = schema::time(self.now.minus(KEPT_FOR));
        let mut expired = Vec::new();
        for row in self.tables.answers_by_time.range::<&[u8]>(..=&until[..])?.take(EXPIRED_PER_STEP) {
            expired.push(row?.0.value().to_vec());
        }
        for key in &expired {
            if let Some(request) = key.last_chunk::<32>() {
                self.forget_answer(request)?;
            }
        }
        Ok(expired.len() == EXPIRED_PER_STEP)
    }
}
