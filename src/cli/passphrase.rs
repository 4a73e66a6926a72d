//! The passphrase of a backup, from where nobody else on the machine reads it.

use super::{Context, Failure, read_named};
use crate::config::Config;
use crate::domain::backup::{PASSPHRASE_EXPECTED, Passphrase};
use zeroize::Zeroizing;

#[derive(Debug, clap::Args)]
pub(super) struct PassphraseArgs {
    /// Where the backup's passphrase stands: @FILE, or - for the standard input [default: WAXWING_BACKUP_PASSPHRASE]
    #[arg(long = "passphrase", value_name = "@FILE|-")]
    place: Option<String>,
}

impl PassphraseArgs {
    pub(super) fn read(&self, config: &Config) -> Result<Option<Passphrase>, Failure> {
        let Some(place) = &self.place else { return Ok(config.backup_passphrase.value.clone()) };
        let name = match place.strip_prefix('@') {
            Some(file) => file,
            None if place == "-" => "-",
            None => {
                let why = "--passphrase takes @FILE or -: what is typed there, everyone on this machine can read";
                return Err(Failure::Usage(why.to_owned()));
            }
        };
        let bytes = Zeroizing::new(read_named(name)?);
        let text = std::str::from_utf8(&bytes).map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        let unfit = || Failure::Usage(format!("what is in `{name}` is not {PASSPHRASE_EXPECTED}"));
        Passphrase::new(text.map_err(|_| unfit())?).map(Some).map_err(|_| unfit())
    }
}

impl Context {
    /// What else finds the secret key of an instance: none when it is in its folder, or in the backup.
    pub(super) fn secret_key(config: &Config) -> Option<[u8; 32]> {
        config.secret_key.value.as_ref().map(|key| key.bytes())
    }
}
