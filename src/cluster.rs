//! Kubernetes: seeing a cluster, and the few things we change in it.
//!
//! No method waits for anything to finish: a drain is a series of short steps over several passes.
//! Nodes are named by name *and* UID; a node that was re-created under its old name is another one.

pub mod fence;
pub mod kube;

use crate::model::{ClusterView, NodeRef, Note, PassId, PoolName, View, WorkerId};
use async_trait::async_trait;
use std::fmt;

/// One cluster.
#[async_trait]
pub trait Cluster: fmt::Debug + Send + Sync + 'static {
    /// Nodes and pods. Never partial: what is not seen whole is unknown.
    async fn observe(&self) -> View<ClusterView>;

    /// Waits until something is seen that was not before. One that cannot tell waits for ever: it is looked at from time
    /// to time anyway.
    async fn changed(&self) {
        std::future::pending::<()>().await;
    }

    /// Keeps new pods off and leaves our mark. Cordoning twice is one cordon.
    async fn cordon(&self, node: &NodeRef, mark: &Mark) -> Result<()>;

    /// Takes our mark and cordon away. Somebody else's cordon stays. Absent mark is success.
    async fn uncordon(&self, node: &NodeRef) -> Result<()>;

    /// One round: asks every pod that is to go and is not going yet. A refusal (`PodDisruptionBudget`) is an answer, not an
    /// error.
    async fn evict_step(&self, node: &NodeRef, manner: Manner) -> Result<Eviction>;

    /// Tells people what was done, and why, where they look at pods and nodes. Not waited for, and lost where the cluster
    /// does not take it: the history holds all of it.
    fn tell(&self, _: Vec<Note>) {}

    /// Deletes the node object, UID as precondition, and before it what would hang on it: its machine is proven gone.
    /// Absent, or another UID, is success.
    async fn remove_node(&self, node: &NodeRef) -> Result<()>;
}

/// Our mark on a node: who, and why, for people who look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The pool.
    pub pool: PoolName,
    /// The worker.
    pub worker: WorkerId,
    /// The decision, in words.
    pub why: String,
    /// The pass that it was made in, by which the history and the log have it.
    pub pass: PassId,
}

/// How pods are asked to go; either way each with its own grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Through the Eviction API, as far as budgets allow.
    Evict,
    /// By deletion, whatever budgets say: the provider takes the machine in a moment.
    Force,
}

/// What one round of evictions found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// Nothing is left that matters: only daemon and mirror pods.
    Empty,
    /// Pods are on their way out.
    Evicting {
        /// How many are left.
        left: u32,
    },
    /// At least one eviction is refused for now.
    Blocked {
        /// How many pods are left.
        left: u32,
        /// What refuses, for people.
        by: String,
    },
}

/// What went wrong, as far as the caller can act on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such node, or another UID under that name.
    #[error("no such node")]
    NotFound,
    /// The credentials do not allow it.
    #[error("denied: {0}")]
    Denied(String),
    /// Somebody changed it at the same time; look again.
    #[error("conflict")]
    Conflict,
    /// The apiserver did not answer, or with an error of its own.
    #[error("apiserver unavailable: {0}")]
    Unavailable(String),
}

/// A cluster's answer.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Its word in metrics: a closed set.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Denied(_) => "denied",
            Self::Conflict => "conflict",
            Self::Unavailable(_) => "unavailable",
        }
    }
}
