//! One test program: its modules mirror the URL tree, and the edges of the program.

mod api;
mod binary;
#[cfg(feature = "console")]
mod browser;
mod bucket;
mod cli;
#[cfg(feature = "fuzzing")]
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;
mod https;
mod layers;
mod security;
mod simulation;
mod storage;
mod support;
#[path = "../../benches/throughput/main.rs"]
#[expect(dead_code, reason = "the benchmark's own `main` uses the rest; its unit tests are run here")]
mod throughput;
