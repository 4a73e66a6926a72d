//! Sends deliveries over HTTP: resolves names, judges every address, connects to exactly the judged one, keeps connections.
//!
//! [`Client::send`] never fails: what went wrong is the outcome of the [`Exchange`]. Redirects are not followed, proxies of
//! the environment are not asked, responses are not decompressed.

mod client;
mod connection;
mod failure;
mod guard;
mod http1;
mod listeners;
mod pace;
mod pool;
mod probe;
mod resolver;
mod response;
mod stream;
mod test_receiver;
mod tls;

pub use client::{Client, Exchange, Options, Request, StartError, Subject};
pub use listeners::{
    Gone, LISTENER_LAPSES_AFTER, LISTENERS_MAX, LISTENERS_PER_KEY_MAX, Listened, ListenerAnswer, ListenerResponse,
    Listeners, NotBegun,
};
pub use probe::{ProbeError, Probed, Roots, post_json, probe, roots};
pub use resolver::Resolver;
pub use test_receiver::{Behaviour, Received, Receiver, SWITCHES_MAX, TestReceiver, TooManyReceivers};
pub use tls::{Tls, native_roots, use_one_cryptography};

#[cfg(test)]
mod tests;
