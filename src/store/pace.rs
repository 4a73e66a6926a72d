//! How fast work goes that nobody waits for.

use std::time::Duration;

/// What else goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A server's work, which should not notice.
    BesideWork,
    /// Nothing.
    Alone,
}

/// Beside the work, a step is followed by a rest of so many times as long as it took: they share processor and disk.
const REST_FACTOR: u32 = 2;
/// And for no longer than this: a step that took long had to wait for others, which was a rest.
const REST_MAX: Duration = Duration::from_millis(250);

impl Pace {
    /// Waits as long as is fitting after a step that took so long.
    pub fn rest_after(self, step: Duration) {
        match self {
            Self::BesideWork => rest((step * REST_FACTOR).min(REST_MAX)),
            Self::Alone => {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own leaves processor and disk to others for a while")]
pub(super) fn rest(duration: Duration) {
    std::thread::sleep(duration);
}
