//! Stored settings on disk.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Record, whole};
use crate::domain::setting::{SettingName, StoredSettings};
use crate::store::crypt::{Crypt, KeyChange, Sealed};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct SettingRecord {
    value: SettingValueRecord,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum SettingValueRecord {
    /// As JSON.
    Shown(String),
    /// The text of a secret.
    Secret(Sealed),
}

impl Record for SettingRecord {
    const VERSION: u8 = 2;

    fn decode_earlier(version: u8, rest: &[u8]) -> Option<Self> {
        match version {
            // Before there were secrets: the text alone.
            1 => whole::<String>(rest).map(|value| Self { value: SettingValueRecord::Shown(value) }),
            _ => None,
        }
    }
}

/// What a secret is sealed for, so that it cannot be swapped among rows.
fn label(name: SettingName) -> Vec<u8> {
    [b"settings/", name.as_str().as_bytes()].concat()
}

impl SettingRecord {
    /// None when nothing is stored of it.
    pub(in crate::store) fn from_domain(settings: &StoredSettings, name: SettingName, crypt: &Crypt) -> Option<Self> {
        let value = match settings.secret(name) {
            Some(secret) => SettingValueRecord::Secret(crypt.seal(secret.as_bytes(), &label(name))),
            None => SettingValueRecord::Shown(settings.value(name)?.to_string()),
        };
        Some(Self { value })
    }

    /// As [`StoredSettings::put`] takes it. None when it cannot be read, or is kept in the clear and should not be.
    pub(in crate::store) fn to_value(&self, name: SettingName, crypt: &Crypt) -> Option<Value> {
        match &self.value {
            SettingValueRecord::Shown(text) if !name.is_secret() => serde_json::from_str(text).ok(),
            SettingValueRecord::Secret(sealed) if name.is_secret() => {
                let text = crypt.open(sealed, &label(name))?;
                std::str::from_utf8(&text).ok().map(Value::from)
            }
            SettingValueRecord::Shown(_) | SettingValueRecord::Secret(_) => None,
        }
    }

    pub(in crate::store) fn reseal(&mut self, name: SettingName, change: &KeyChange<'_>) -> Option<()> {
        match &mut self.value {
            SettingValueRecord::Shown(_) => Some(()),
            SettingValueRecord::Secret(sealed) => change.reseal(sealed, &label(name)),
        }
    }
}
