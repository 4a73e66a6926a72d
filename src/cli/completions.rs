//! `waxwing completions`: what a shell needs to complete commands and options.

use clap_complete::{Shell, generate};

use super::{Failure, Verdict, print, typed_command};

/// Print a script that completes commands and options in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing completions bash > /etc/bash_completion.d/waxwing
  waxwing completions zsh > \"${fpath[1]}/_waxwing\"
  waxwing completions fish > ~/.config/fish/completions/waxwing.fish")]
pub(super) struct Completions {
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let Self { shell } = self;
        let mut script = Vec::new();
        generate(shell, &mut typed_command(), "waxwing", &mut script);
        print(String::from_utf8_lossy(&script).trim_end())?;
        Ok(Verdict::Good)
    }
}
