//! What is wrong with a configuration: always all of it, never with a secret in it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One fault of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConfigError {
    /// Which field: `clusters.default.pools.workers.max`. For text that is no YAML, the line; for a
    /// file that cannot be read, its path.
    pub path: String,
    /// What stands there, if anything does; masked where it is a secret.
    pub found: Option<String>,
    /// What is wrong and how it is mended.
    pub mend: String,
}

/// Every fault of a configuration, in the order of the paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(transparent)]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// Something that is no fault, and that its owner should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Warning {
    /// The variable or field it is about.
    pub name: String,
    /// What to do instead.
    pub mend: String,
}

/// Why a value is refused, and how it is mended. Never holds the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mend(pub(super) String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{}: found {found}; {}", self.path, self.mend),
            None => write!(f, "{}: {}", self.path, self.mend),
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} error{}", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.mend)
    }
}

impl From<&str> for Mend {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Mend {
    fn from(text: String) -> Self {
        Self(text)
    }
}
