//! What the tests share.

pub mod app;
pub mod binary;
pub mod client;
pub mod disk;
pub mod picture;
pub mod receiver;
pub mod rough;
