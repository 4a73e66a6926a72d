//! One test program: its modules mirror the URL tree, and the edges of the program.

mod cli;
mod layers;
mod simulation;
mod support;
