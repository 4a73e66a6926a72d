//! What the tests share.

pub mod binary;
pub mod disk;
pub mod receiver;
