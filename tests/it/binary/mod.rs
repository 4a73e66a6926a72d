//! The whole binary over loopback, with real clients, real receivers and real input.

mod backup;
mod compaction;
mod conformance;
mod crash;
#[cfg(target_os = "linux")]
mod fence;
mod floods;
mod full_disk;
mod health;
mod isolation;
mod listen;
mod loops;
mod mail;
mod profiles;
mod real_input;
mod recovery;
mod settings;
mod snippets;
mod stream;
mod systemd;
mod tls;
mod traces;
mod upgrade;
