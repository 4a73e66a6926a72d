//! What the service manager hears (systemd's `sd_notify`): when the server takes work, and when it ends. Without
//! `NOTIFY_SOCKET` nobody hears it.

use std::net::SocketAddr;

use sd_notify::NotifyState;
use tracing::warn;

/// What `/readyz` calls ready: the port is open, the store is recovered, deliveries go out.
pub(super) fn ready(address: SocketAddr) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("listens on {address}"))]);
}

/// The process lives on, and asks for patience.
pub(super) fn store_broke() {
    tell(&[NotifyState::Status("a commit failed: nothing is accepted until the store is open again")]);
}

/// What is under way is finished.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing the attempts under way")]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "the service manager cannot be told");
    }
}
