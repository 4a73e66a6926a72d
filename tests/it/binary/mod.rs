//! The whole binary over loopback, with real clients, real receivers and real input.

mod conformance;
mod crash;
mod full_disk;
mod health;
mod isolation;
mod listen;
mod profiles;
mod real_input;
mod recovery;
mod settings;
mod snippets;
mod stream;
mod systemd;
mod tls;
mod upgrade;
