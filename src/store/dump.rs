//! All that is kept of a cluster as one value: for backups, and for moving to another store.

use crate::model::{Entry, Memory, Signal, Token};
use serde::{Deserialize, Serialize};

/// All that is kept of one cluster, but who holds the claim: that ends with the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dump {
    /// The last token that was given out; the next is larger.
    pub token: Token,
    /// The number of the last entry of the history, which may be gone by now; the next is larger.
    pub last_entry: u64,
    /// What the loop remembers.
    pub memory: Memory,
    /// Signals, by id.
    pub signals: Vec<Signal>,
    /// History, oldest first.
    pub history: Vec<Entry>,
}
