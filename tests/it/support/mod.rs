//! What the tests share.

pub mod app;
pub mod disk;
pub mod picture;
