//! `waxwing man`: the manual, as pages for `man`.

use std::io;
use std::path::{Path, PathBuf};

use clap_mangen::Man as Page;

use super::{Failure, Verdict, print, typed_command};

/// Print the manual page, or write those of all commands
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing man | man -l -
  waxwing man --write /usr/local/share/man/man1")]
pub(super) struct Man {
    /// Write the page of each command into this folder
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let Self { write } = self;
        let command = typed_command();
        match write {
            Some(folder) => write_all(command, &folder)
                .map_err(|error| Failure::Failed(format!("{} cannot be written: {error}", folder.display())))?,
            None => print(first_page(command).trim_end())?,
        }
        Ok(Verdict::Good)
    }
}

fn first_page(command: clap::Command) -> String {
    let mut page = Vec::new();
    Page::new(command).render(&mut page).expect("memory can be written to");
    String::from_utf8_lossy(&page).into_owned()
}

/// `waxwing.1`, `waxwing-serve.1`, `waxwing-keys-create.1` and so on.
fn write_all(command: clap::Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)
}
