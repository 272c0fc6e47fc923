//! How the running configuration stands to the file it came from.

use super::error::ConfigErrors;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a reload, or the start, made of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// When a good file was last taken.
    pub loaded: Timestamp,
    /// What is wrong with the file now; the running configuration stays as it is until it is mended.
    pub wrong: Option<Wrong>,
    /// Paths of fields that the file sets to something else than what runs, and that only a start reads.
    pub at_next_start: Vec<String>,
}

/// A file that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// Since when no good file was found.
    pub since: Timestamp,
    /// Every fault of it. Never holds a secret.
    pub errors: ConfigErrors,
}

impl Standing {
    /// The standing of a process that has just read its file.
    pub fn started(at: Timestamp) -> Self {
        Self { loaded: at, wrong: None, at_next_start: Vec::new() }
    }

    /// A file that cannot be taken was found.
    pub fn refuse(&mut self, at: Timestamp, errors: ConfigErrors) {
        let since = self.wrong.as_ref().map_or(at, |wrong| wrong.since);
        self.wrong = Some(Wrong { since, errors });
    }

    /// What there is to say about it, for people, a line each: nothing where the file is what runs.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(Wrong { since, errors }) = &self.wrong {
            lines.push(format!("configuration: wrong since {since}; the running one stays"));
            lines.extend(errors.0.iter().map(|error| format!("  {error}")));
        }
        if !self.at_next_start.is_empty() {
            let fields = self.at_next_start.join(", ");
            lines.push(format!("configuration: takes effect at the next start: {fields}"));
        }
        lines
    }
}
