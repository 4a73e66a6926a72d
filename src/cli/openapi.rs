//! `waxwing openapi`: the document of the API, as this binary serves it.

use std::path::{Path, PathBuf};

use super::{Failure, Verdict, print};
use crate::http;

const FILE_NAME: &str = "openapi.json";

/// Print the OpenAPI document, or write it to a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing openapi | jq '.paths | keys'
  waxwing openapi --write openapi/       writes openapi/openapi.json")]
pub(super) struct Openapi {
    /// Write openapi.json into this folder instead of printing it
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "openapi")]
    write: Option<PathBuf>,
    /// Accepted like everywhere; the document is JSON anyway
    #[arg(long, hide = true)]
    json: bool,
}

impl Openapi {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let mut document = serde_json::to_string_pretty(&http::document()).expect("a JSON value is always JSON");
        document.push('\n');
        match self.write {
            None => print(document.trim_end())?,
            Some(folder) => {
                let path = write(&folder, &document)
                    .map_err(|error| Failure::Failed(format!("{} cannot be written: {error}", folder.display())))?;
                print(&path.display().to_string())?;
            }
        }
        Ok(Verdict::Good)
    }
}

fn write(folder: &Path, document: &str) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(FILE_NAME);
    std::fs::write(&path, document)?;
    Ok(path)
}
