//! What goes on to its end although nobody waits for its answer any more.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// Requests at once on one connection: those that are answered (as streams of HTTP/2), and those that are carried out, whether
/// or not they were given up meanwhile.
pub const REQUESTS_MAX: u32 = 200;

/// The requests of one connection that are carried out. Clones share it.
#[derive(Clone)]
pub struct UnderWay(Arc<Semaphore>);

impl Default for UnderWay {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(REQUESTS_MAX as usize)))
    }
}

impl UnderWay {
    /// Does the work, also when the future is dropped, as it is when the client hangs up: once it has begun.
    pub async fn carry_out<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        // Nobody closes the semaphore.
        let place = self.0.clone().acquire_owned().await;
        let done = tokio::spawn(async move {
            let done = work.await;
            drop(place);
            done
        });
        match done.await.map_err(JoinError::try_into_panic) {
            Ok(done) => done,
            Err(Ok(panic)) => resume_unwind(panic),
            // The runtime ends, and this with it.
            Err(Err(_)) => pending().await,
        }
    }

    /// Returns once nothing is carried out any more.
    pub async fn over(&self) {
        // Nobody closes the semaphore.
        _ = self.0.acquire_many(REQUESTS_MAX).await;
    }
}
