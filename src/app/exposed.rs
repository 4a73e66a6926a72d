//! Secrets in a configuration file that every user of this machine can read.

use std::os::unix::fs::MetadataExt;

use crate::config::{Config, FILE_NAME};

/// Of the mode of a file.
const OTHERS_READ: u32 = 0o004;

/// In words.
pub struct Exposed {
    /// Which they are.
    pub secrets: String,
    /// What to do.
    pub advice: String,
}

impl Exposed {
    pub fn find(config: &Config) -> Option<Self> {
        let secrets = config.secrets_in_file();
        if secrets.is_empty() {
            return None;
        }
        let mode = std::fs::metadata(FILE_NAME).ok()?.mode() & 0o777;
        let exposed = || Self {
            secrets: format!("{FILE_NAME} holds {}, and every user can read it (mode {mode:04o})", secrets.join(", ")),
            advice: format!("`chmod o= {FILE_NAME}`, and make new ones if somebody may have read them"),
        };
        (mode & OTHERS_READ != 0).then(exposed)
    }
}
