//! What tests share.

pub mod disk;
