//! The console in a real browser: the tests of `ui/tests`, which are run by Node against the binary of this build.

use std::path::Path;
use std::process::Command;

/// Each file has a server and a browser of its own; more of them at once only wait for each other.
const FILES_AT_ONCE: &str = "--test-concurrency=2";

#[test]
fn people_can_do_in_a_browser_what_the_console_is_for() {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    let folder = ui.join("tests").read_dir().expect("the tests are there");
    let names = folder.map(|entry| entry.expect("it can be read").path());
    let mut files: Vec<_> = names.filter(|path| path.to_string_lossy().ends_with(".test.mjs")).collect();
    assert!(!files.is_empty(), "ui/tests has no tests");
    files.sort();
    // The packages are there: `build.rs` installed them to build the console.
    let answer = Command::new("node")
        .args(["--test", "--test-reporter=spec", FILES_AT_ONCE])
        .args(&files)
        .current_dir(ui)
        .env("WAXWING_BINARY", env!("CARGO_BIN_EXE_waxwing"))
        .output()
        .expect("Node.js, which built the console, runs");
    let said = format!("{}{}", String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    assert!(answer.status.success(), "{said}");
    // What was measured on the way is worth a look: `cargo test browser -- --nocapture`.
    println!("{said}");
}
