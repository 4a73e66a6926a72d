//! Builds the console of `ui/` into `OUT_DIR`, from where `src/http/console.rs` takes it: `cargo build` alone is enough.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What Vite needs: 20.19, or 22.12 and later.
const NODE_MIN: [(u32, u32); 2] = [(20, 19), (22, 12)];
const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };
const WITHOUT: &str = "or build without the console: cargo build --no-default-features";

/// Everything that the console is made of. What the build itself writes is not among them, or each build would ask for another.
const SOURCES: [&str; 11] = [
    "build.rs",
    "openapi/openapi.json",
    "ui/.npmrc",
    "ui/index.html",
    "ui/package-lock.json",
    "ui/package.json",
    "ui/public",
    "ui/src",
    "ui/svelte.config.js",
    "ui/tsconfig.json",
    "ui/vite.config.ts",
];

fn main() -> ExitCode {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    if env::var_os("CARGO_FEATURE_CONSOLE").is_none() {
        return ExitCode::SUCCESS;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("console");
    match build(Path::new("ui"), &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            for line in trouble.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build(ui: &Path, out: &Path) -> Result<(), String> {
    judge_node()?;
    // Two builds at once (of two profiles, say) would install over each other.
    let lock = File::open(ui.join("package-lock.json")).map_err(|error| format!("ui/package-lock.json: {error}"))?;
    lock.lock().map_err(|error| format!("ui/package-lock.json cannot be locked: {error}"))?;
    // npm writes a copy of the lock file at the end of an installation.
    if is_newer(&ui.join("package-lock.json"), &ui.join("node_modules/.package-lock.json"))? {
        // No package needs to run a program of its own to be installed.
        let meaning = "the packages of ui/package-lock.json could not be installed: is the registry of npm reachable?";
        npm(ui, &["ci", "--ignore-scripts", "--no-audit", "--no-fund"], meaning)?;
    }
    // A change of the contract that the console does not follow ends here, and not before its user.
    let document = Path::new("openapi/openapi.json");
    let checked = ui.join("generated/checked");
    if is_newer(document, &checked)? {
        npm(ui, &["run", "types"], "openapi/openapi.json is no document that types can be made of")?;
        npm(ui, &["run", "check"], "the console does not fit openapi/openapi.json, or its own types: see above")?;
        fs::write(&checked, "").map_err(|error| format!("{}: {error}", checked.display()))?;
    }
    let out = out.to_str().ok_or("the path of the target folder is not UTF-8")?;
    npm(ui, &["run", "build", "--", "--outDir", out, "--emptyOutDir"], "the console could not be built: see above")
}

fn judge_node() -> Result<(), String> {
    let remedy =
        format!("Install Node.js {}.{} or newer from https://nodejs.org, {WITHOUT}", NODE_MIN[0].0, NODE_MIN[0].1);
    let answer = Command::new("node").arg("--version").output();
    let Some(answer) = answer.ok().filter(|answer| answer.status.success()) else {
        return Err(format!("The console is built with Node.js, and there is no `node`.\n{remedy}"));
    };
    let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let is_new_enough = NODE_MIN.contains(&(major, minor))
        || NODE_MIN.iter().any(|(least, from)| major == *least && minor >= *from)
        || major > NODE_MIN[1].0;
    if is_new_enough {
        return Ok(());
    }
    Err(format!("The console is built with Node.js, and `node` is too old ({version}).\n{remedy}"))
}

/// Whether what is made of the source is older than it, or not there.
fn is_newer(source: &Path, made: &Path) -> Result<bool, String> {
    let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified());
    let source_at = modified(source).map_err(|error| format!("{}: {error}", source.display()))?;
    match modified(made) {
        Ok(made_at) => Ok(source_at > made_at),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(format!("{}: {error}", made.display())),
    }
}

/// What the program said is shown only when it failed.
fn npm(ui: &Path, arguments: &[&str], meaning: &str) -> Result<(), String> {
    let answer = Command::new(NPM).args(arguments).current_dir(ui).output();
    let answer = answer.map_err(|error| {
        format!("{NPM} cannot be run ({error}): it comes with Node.js from https://nodejs.org, {WITHOUT}")
    })?;
    if answer.status.success() {
        return Ok(());
    }
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Err(format!("{}{}\nnpm {}: {meaning}\n{WITHOUT}", said(&answer.stdout), said(&answer.stderr), arguments.join(" ")))
}
