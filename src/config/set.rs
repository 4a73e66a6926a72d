//! A value of the configuration with where it came from.

use std::fmt;

use serde_json::Value;

use super::FILE_NAME;

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set<T> {
    pub value: T,
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `--listen`
    Flag(&'static str),
    /// `WAXWING_LISTEN`
    Environment(String),
    /// The line in `waxwing.toml`, from 1.
    File {
        line: usize,
    },
    /// `--dev` decides it, since nothing else did.
    ImpliedByDev,
    Default,
}

/// One line of `waxwing config`.
#[derive(Debug, Clone)]
pub struct Row {
    pub name: &'static str,
    /// One line, for people.
    pub description: &'static str,
    pub value: Value,
    pub origin: Origin,
}

impl<T> Set<T> {
    pub(super) fn row(&self, name: &'static str, description: &'static str, show: impl FnOnce(&T) -> Value) -> Row {
        Row { name, description, value: show(&self.value), origin: self.origin.clone() }
    }

    pub(super) fn imply(&mut self, change: impl FnOnce(&T) -> T) {
        self.value = change(&self.value);
        if self.origin == Origin::Default {
            self.origin = Origin::ImpliedByDev;
        }
    }
}

impl Origin {
    /// `flag`, `env`, `file`, `dev` or `default`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Flag(_) => "flag",
            Self::Environment(_) => "env",
            Self::File { .. } => "file",
            Self::ImpliedByDev => "dev",
            Self::Default => "default",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Environment(variable) => f.write_str(variable),
            Self::File { line } => write!(f, "{FILE_NAME} line {line}"),
            Self::ImpliedByDev => f.write_str("--dev"),
            Self::Default => f.write_str("default"),
        }
    }
}
