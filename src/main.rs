use std::process::ExitCode;

fn main() -> ExitCode {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    waxwing::cli::run(std::env::args_os(), environment.collect())
}
