//! What people are told where they look at pods and nodes: Kubernetes' Events.

use super::{NodeRef, Uid};
use std::fmt;

/// One thing that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it is about.
    pub about: About,
    /// Whether somebody should do something.
    pub is_warning: bool,
    /// What happened, a word or two in `PascalCase`: from a closed set (`docs/kubernetes.md`).
    pub reason: &'static str,
    /// Why, in words.
    pub words: String,
}

/// What a note is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A node.
    Node(NodeRef),
    /// A pod.
    Pod(PodRef),
}

/// Which pod is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: Uid,
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
