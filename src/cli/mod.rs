//! The command line: one file a command.
//!
//! Exit codes: 0 done; 1 the thing asked about is wrong, or it could not be done; 2 what was typed or configured has to
//! be changed.

mod backup;
mod check;
mod client;
mod compact;
mod completions;
mod config;
mod csv;
mod doctor;
mod export;
mod health;
mod import;
mod keys;
mod listen;
mod man;
mod openapi;
mod passphrase;
mod place;
mod progress;
mod restore;
mod rows;
mod secret_key;
mod send;
mod serve;
mod stopped;
mod table;
mod users;
mod verify;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::app::Paint;
use crate::config::{Args, Config, ConfigError, FILE_NAME};

/// Webhooks as one binary: publish an event, and it is signed, delivered and retried until it arrives.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "\
First steps:
  waxwing serve --dev      try it: prints a key, curl lines and the first signed delivery
  waxwing serve            run it: data in ./waxwing-data, documentation at http://127.0.0.1:8620/docs
  waxwing help COMMAND     what a command does, with examples"
)]
struct Typed {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Send(send::Send),
    Listen(listen::Listen),
    Verify(verify::Verify),
    Keys(keys::Keys),
    Users(users::Users),
    SetupLink(users::SetupLink),
    Import(import::Import),
    Export(export::Export),
    Config(config::ShowConfig),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Health(health::Health),
    Check(check::Check),
    Doctor(doctor::Doctor),
    SecretKey(secret_key::SecretKey),
    Compact(compact::Compact),
    Openapi(openapi::Openapi),
    Completions(completions::Completions),
    Man(man::Man),
}

/// What a command was given besides its own arguments.
pub(crate) struct Context {
    environment: BTreeMap<String, String>,
}

/// How a command ended that could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// What was asked about is wrong, and the reason was printed.
    Wrong,
}

/// Why a command could not do its work; a sentence for the person who typed it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was typed or configured has to be changed: exit code 2.
    Usage(String),
    /// Something else is in the way: exit code 1.
    Failed(String),
    /// Whoever read our output has read enough.
    OutputClosed,
}

/// Runs what was typed and says how it ended. `environment` holds every variable.
pub fn run(typed: impl IntoIterator<Item = OsString>, environment: BTreeMap<String, String>) -> ExitCode {
    let typed = match Typed::try_parse_from(typed) {
        Ok(typed) => typed,
        // Help and the version are "errors" too; clap knows which stream and code each has.
        Err(error) => {
            let _ = error.print();
            return code(error.exit_code());
        }
    };
    let context = Context { environment };
    let ended = match typed.command {
        Command::Serve(command) => command.run(&context),
        Command::Send(command) => command.run(&context),
        Command::Listen(command) => command.run(&context),
        Command::Verify(command) => command.run(&context),
        Command::Keys(command) => command.run(&context),
        Command::Users(command) => command.run(&context),
        Command::SetupLink(command) => command.run(&context),
        Command::Import(command) => command.run(&context),
        Command::Export(command) => command.run(&context),
        Command::Config(command) => command.run(&context),
        Command::Backup(command) => command.run(&context),
        Command::Restore(command) => command.run(&context),
        Command::Health(command) => command.run(&context),
        Command::Check(command) => command.run(&context),
        Command::Doctor(command) => command.run(&context),
        Command::SecretKey(command) => command.run(&context),
        Command::Compact(command) => command.run(&context),
        Command::Openapi(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    match ended {
        Ok(Verdict::Good) | Err(Failure::OutputClosed) => code(0),
        Ok(Verdict::Wrong) => code(1),
        Err(Failure::Failed(why)) => {
            complain(&why);
            code(1)
        }
        Err(Failure::Usage(why)) => {
            complain(&why);
            code(2)
        }
    }
}

/// Everything that can be typed, as it is declared.
fn typed_command() -> clap::Command {
    Typed::command()
}

fn code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn complain(why: &str) {
    let paint = Paint::for_stream(io::stderr().is_terminal());
    // When even this cannot be written, the exit code has to say it.
    let _ = writeln!(io::stderr(), "{} {why}", paint.red("error:"));
}

impl Context {
    /// The configuration with these flags, this environment and the file in the working directory.
    fn config(&self, args: &Args) -> Result<Config, Failure> {
        Ok(self.resolve(args)??)
    }

    /// The same, or everything that is wrong with it.
    fn resolve(&self, args: &Args) -> Result<Result<Config, Vec<ConfigError>>, Failure> {
        let file = match std::fs::read_to_string(FILE_NAME) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::Usage(format!("{FILE_NAME} cannot be read: {error}"))),
        };
        let environment = self.environment.iter().map(|(name, text)| (name.clone(), text.clone()));
        Ok(Config::resolve(args, environment, file.as_deref()))
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }
}

/// Prints a line, or ends the command quietly when nobody reads any more (`waxwing … | head`).
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Failed(format!("the output cannot be written: {error}")),
    })
}

fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&serde_json::to_string_pretty(value).expect("a JSON value is always JSON"))
}

/// Reads what an argument names: a file, or `-` for the standard input.
fn read_named(name: &str) -> Result<Vec<u8>, Failure> {
    let read = if name == "-" {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::stdin().lock(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(name)
    };
    read.map_err(|error| Failure::Usage(format!("`{name}` cannot be read: {error}")))
}

impl From<Vec<ConfigError>> for Failure {
    fn from(errors: Vec<ConfigError>) -> Self {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Self::Usage(match lines.as_slice() {
            [line] => line.clone(),
            lines => format!("the configuration cannot be used:\n  {}", lines.join("\n  ")),
        })
    }
}
