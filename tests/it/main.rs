//! One test program: its modules mirror the URL tree, and the edges of the program.

mod binary;
mod cli;
mod layers;
mod simulation;
mod storage;
mod support;
