//! Why one pod or node is as it is, for people.

use super::NodeName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A pod.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A node.
    Node(NodeName),
}

/// What is said of it, in words a person can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// What it is about.
    pub subject: String,
    /// What it is doing.
    pub state: String,
    /// Why: what forbids a pod each node, what keeps a worker.
    pub why: Vec<String>,
    /// What would change it.
    pub helps: Vec<String>,
    /// What was decided last, pool by pool.
    pub decided: Vec<String>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { namespace, name } => write!(f, "pod {namespace}/{name}"),
            Self::Node(name) => write!(f, "node {name}"),
        }
    }
}
