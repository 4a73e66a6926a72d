//! What the tests share.

pub mod acme;
pub mod app;
pub mod binary;
pub mod client;
pub mod disk;
pub mod https;
#[cfg(target_os = "linux")]
pub mod network;
pub mod picture;
pub mod receiver;
pub mod rough;
pub mod smtp;
