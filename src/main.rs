use std::process::ExitCode;

/// An event makes some hundred small allocations on three threads: the system's allocator spent a sixth of all
/// processor time on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    waxwing::cli::run(std::env::args_os(), environment.collect())
}
