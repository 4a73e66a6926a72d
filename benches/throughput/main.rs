//! How fast the whole program is, beside what the machine can do at best: `cargo bench --bench throughput [-- NAMES]`.
//!
//! The server, the receiver, the generator and the raw sender are processes of their own, on loopback, all of them children of
//! this one, which runs itself in another role for all but the server. What is measured and how to read it:
//! `docs/performance.md`.
//!
//! Its unit tests are run by `tests/it`, which takes this file in as a module. A benchmark without a harness is compiled with
//! `cfg(test)` and without its `#[test]` functions, so here the modules of tests look unused.

mod children;
mod clock;
mod figures;
mod link;
mod load;
mod rawsend;
mod report;
mod scenario;
mod sink;
mod template;
mod usage;
mod wire;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use children::{Disk, Role};
use link::Fault;
use report::{Machine, Report};
use scenario::Scenario;
use world::{Scale, World};

/// What all deliveries are signed with, so that the receiver can verify them.
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const RUNS_DEFAULT: u32 = 3;
const HISTORY_DEFAULT: u64 = 5_000_000;
const HISTORY_QUICK: u64 = 5_000;

/// Measures the whole program, and the raw sender beside it
///
/// Everything runs on this machine, over loopback. Progress goes to the standard error stream, the tables
/// (markdown) to the standard output.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo bench --bench throughput --")]
struct Arguments {
    /// Scenarios to run, in this order; none: all of them but `soak`
    #[arg(value_name = "SCENARIO", value_parser = read_scenario)]
    scenarios: Vec<Scenario>,
    /// Show the scenarios and end
    #[arg(long)]
    list: bool,
    /// Small counts and one run: shows that everything works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// How often each scenario is repeated; medians are shown [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: Option<u32>,
    /// Events of the long history [default: 5000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1000..=1_000_000_000))]
    history: Option<u64>,
    /// Where the servers keep their data: decides which disk is measured [default: the system's temporary folder]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Write everything that was found to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure this program instead of the one that was built with the benchmark
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn read_scenario(name: &str) -> Result<Scenario, String> {
    Scenario::from_name(name).ok_or_else(|| "there is no such scenario; see --list".to_owned())
}

pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, rest @ ..] = &arguments[..]
        && let Some(role) = Role::from_name(role)
    {
        return act(role, rest);
    }
    let arguments = Arguments::parse();
    if arguments.list {
        for scenario in Scenario::ALL {
            println!("{:28} {}", scenario.name(), scenario.about());
        }
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the system has epoll");
    // Whatever ends the run drops it, and with it every child and every folder.
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = measure(arguments) => ended,
            stopped = stopped() => stopped,
        }
    });
    match ended {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

/// What this program does when it is its own child.
fn act(role: Role, arguments: &[String]) -> ExitCode {
    children::end_with_parent();
    let failed = match role {
        Role::Sink => {
            sink::main();
            return ExitCode::SUCCESS;
        }
        Role::Load => {
            load::main();
            return ExitCode::SUCCESS;
        }
        Role::RawSend => {
            rawsend::main();
            return ExitCode::SUCCESS;
        }
        Role::Syncs => {
            match children::measure_syncs(arguments.first().map_or(".".as_ref(), |folder| folder.as_ref())) {
                Ok(microseconds) => {
                    println!("{microseconds}");
                    return ExitCode::SUCCESS;
                }
                Err(error) => error,
            }
        }
        Role::Become => children::become_another(arguments),
    };
    eprintln!("{failed}");
    ExitCode::FAILURE
}

/// Ctrl-C and SIGTERM.
async fn stopped() -> Result<ExitCode, Fault> {
    const INTERRUPTED: u8 = 130;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    eprintln!("stopped; nothing was kept");
    Ok(ExitCode::from(INTERRUPTED))
}

async fn measure(arguments: Arguments) -> Result<ExitCode, Fault> {
    let Arguments { scenarios, list: _, quick, runs, history, dir, json, binary, bench: _ } = arguments;
    let all = Scenario::ALL.into_iter().filter(|scenario| !scenario.is_by_name_only());
    let scenarios = if scenarios.is_empty() { all.collect() } else { scenarios };
    let scale = Scale {
        is_quick: quick,
        runs: runs.unwrap_or(if quick { 1 } else { RUNS_DEFAULT }),
        history: history.unwrap_or(if quick { HISTORY_QUICK } else { HISTORY_DEFAULT }),
    };
    let folder = dir.unwrap_or_else(std::env::temp_dir).canonicalize()?;
    let binary = binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_waxwing").into()).canonicalize()?;
    let mut report = Report {
        waxwing: env!("CARGO_PKG_VERSION").to_owned(),
        machine: Machine::this(children::sync_microseconds(&folder, Disk::AsItIs)?),
        is_quick: quick,
        runs: scale.runs,
        rows: Vec::new(),
        without_figures: Vec::new(),
    };
    let mut world = World::new(scale, &binary, &folder).await?;
    for scenario in scenarios {
        world.say(&format!("{}: {}", scenario.name(), scenario.about()));
        match scenario.run(&mut world).await {
            Ok(mut rows) => report.rows.append(&mut rows),
            Err(fault) => {
                world.say(&format!("{}: {fault}", scenario.name()));
                report.without_figures.push((scenario.name().to_owned(), fault.to_string()));
                // A helper may be in the middle of something.
                drop(world);
                world = World::new(scale, &binary, &folder).await?;
            }
        }
    }
    print!("{}", report.markdown());
    if let Some(file) = json {
        std::fs::write(file, report.json() + "\n")?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
