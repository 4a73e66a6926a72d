//! Making and checking hashes of passwords, off the threads that answer, and few at once: each takes 19 MiB and time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Ground, Refusal};
use crate::domain::password::{Password, PasswordCost, PasswordHash, SALT_BYTES};

/// Hashes in the making. More would not be sooner done on the small machines that this is for.
const AT_ONCE_MAX: usize = 2;
/// Requests that wait for their turn or have it. Further ones are told to come again.
const WAITING_MAX: usize = 32;

pub struct Passwords {
    cost: PasswordCost,
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Passwords {
    pub fn new(cost: PasswordCost) -> Self {
        Self { cost, turns: Arc::new(Semaphore::new(AT_ONCE_MAX)), waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    pub async fn hash(&self, password: Password) -> Result<PasswordHash, Refusal> {
        let cost = self.cost;
        self.run(move || PasswordHash::of(&password, cost, rand::random::<[u8; SALT_BYTES]>())).await
    }

    /// Whether it is the password of the hash. Without a hash it is of nobody, and that takes as long to say.
    pub async fn check(&self, password: Password, hash: Option<PasswordHash>) -> Result<bool, Refusal> {
        match hash {
            Some(hash) => self.run(move || hash.is_of(&password)).await,
            None => self.hash(password).await.map(|_| false),
        }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let busy = || Refusal::new(Ground::RateLimited).retry_after(1);
        let place: OwnedSemaphorePermit = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| busy())?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Ground::Internal)?;
        let done = tokio::task::spawn_blocking(move || {
            // Held here: whoever asked may go away, and the work goes on.
            let _held = (place, turn);
            work()
        });
        Ok(done.await.map_err(|_| Ground::Internal)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_wait_than_there_are_places_for() {
        let passwords = Arc::new(Passwords::new(PasswordCost::LEAST));
        let all = (0..=WAITING_MAX).map(|_| {
            let passwords = Arc::clone(&passwords);
            async move { passwords.hash(Password::new("correct horse".to_owned())).await.is_ok() }
        });
        // All ask before the first one is polled again.
        let taken: Vec<_> =
            (0..WAITING_MAX).map(|_| Arc::clone(&passwords.waiting).try_acquire_owned().unwrap()).collect();
        for asks in all.take(2) {
            assert!(!asks.await);
        }
        drop(taken);
        let hash = passwords.hash(Password::new("correct horse".to_owned())).await.unwrap();
        assert!(passwords.check(Password::new("correct horse".to_owned()), Some(hash)).await.unwrap());
        assert!(!passwords.check(Password::new("correct horse".to_owned()), None).await.unwrap());
    }
}
