//! `waxwing openapi`: the documents of the API and of the published contracts, as this binary serves them.

use std::path::{Path, PathBuf};

use super::{Failure, Verdict, print};
use crate::domain::contract::Contract;
use crate::http;

const FILE_NAME: &str = "openapi.json";

/// Print the OpenAPI document, or write it to a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing openapi | jq '.paths | keys'
  waxwing openapi --contract marea       the document of Marea's API
  waxwing openapi --write openapi/       writes openapi/openapi.json, openapi/marea.json, …")]
pub(super) struct Openapi {
    /// A published contract instead of the own API: marea or agentmessage
    #[arg(long, value_name = "NAME", value_parser = read_contract)]
    contract: Option<Contract>,
    /// Write into this folder instead of printing: all documents, or that of the contract
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "openapi")]
    write: Option<PathBuf>,
    /// Accepted like everywhere; the document is JSON anyway
    #[arg(long, hide = true)]
    json: bool,
}

impl Openapi {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let Some(folder) = self.write else {
            print(text_of(self.contract).trim_end())?;
            return Ok(Verdict::Good);
        };
        let all = [None].into_iter().chain(Contract::ALL.map(Some));
        for contract in all.filter(|contract| self.contract.is_none() || *contract == self.contract) {
            let path = write(&folder, contract)
                .map_err(|error| Failure::Failed(format!("{} cannot be written: {error}", folder.display())))?;
            print(&path.display().to_string())?;
        }
        Ok(Verdict::Good)
    }
}

fn read_contract(name: &str) -> Result<Contract, String> {
    Contract::from_name(name).ok_or_else(|| "give marea or agentmessage".to_owned())
}

fn text_of(contract: Option<Contract>) -> String {
    let document = contract.map_or_else(http::document, http::contract_document);
    let mut text = serde_json::to_string_pretty(&document).expect("a JSON value is always JSON");
    text.push('\n');
    text
}

fn write(folder: &Path, contract: Option<Contract>) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let name = contract.map_or_else(|| FILE_NAME.to_owned(), |contract| format!("{}.json", contract.name()));
    let path = folder.join(name);
    std::fs::write(&path, text_of(contract))?;
    Ok(path)
}
