//! The whole binary over loopback, with real clients, real receivers and real input.

mod compaction;
mod conformance;
mod crash;
mod full_disk;
mod health;
mod isolation;
mod profiles;
mod real_input;
mod recovery;
mod settings;
mod snippets;
mod stream;
mod tls;
