//! One test program: its modules mirror the URL tree, and the edges of the program.

mod api;
mod simulation;
mod storage;
mod support;
