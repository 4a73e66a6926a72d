//! `waxwing.toml` and `WAXWING_…`: whatever stands there is read or refused with its place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing::config::{Args, Config};

// The lines above `---` are variables of the environment, those below it the file.
fuzz_target!(|text: &str| {
    let (variables, file) = text.split_once("---\n").unwrap_or(("", text));
    let environment = variables.lines().filter_map(|line| line.split_once('='));
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    match Config::resolve(&Args::default(), environment, Some(file)) {
        Ok(config) => {
            assert!(!config.rows().is_empty());
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            assert!(errors.iter().all(|error| !error.place.is_empty() && !error.what.is_empty()));
        }
    }
});
