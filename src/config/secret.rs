//! Secrets, which never show.

use std::fmt;

/// What is shown instead. Refused as a secret, so that a printed configuration is never taken for one.
pub const MASK: &str = "<secret>";

/// A secret text. Neither `Debug` nor any serialiser shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, at the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}
