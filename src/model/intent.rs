//! What we are about to ask of a provider, written down before we ask.

use super::{
    BatchId, ClusterName, ClusterUid, Offering, Permit, PoolName, Taint, Template, Uid, WorkerId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A launch that was committed. Open until the provider's answer, or its list, settled it.
/// While one is open no other batch starts for its pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// When it was committed.
    pub at: Timestamp,
    /// The exact request; replayed with the same ids after a crash.
    pub request: LaunchRequest,
    /// What permits it; asked right before the call, and before the call is made again.
    pub permit: Permit,
    /// The pods it was launched for; empty when an alert, a query, `min` or a person asked.
    pub pods: Vec<Uid>,
}

/// A launch that leaves the provider no choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchRequest {
    /// The cluster's name, for tags that people read.
    pub cluster: ClusterName,
    /// The cluster's UID, for the tag that decides whose it is.
    pub cluster_uid: ClusterUid,
    /// The pool.
    pub pool: PoolName,
    /// The batch: tagged on every instance, and the idempotency token of the whole.
    pub batch: BatchId,
    /// One order per worker.
    pub orders: Vec<Order>,
    /// What to try next, in this order, for orders whose own offering has no capacity.
    pub fallback: Vec<Offering>,
    /// Labels of the new nodes.
    pub labels: BTreeMap<String, String>,
    /// Taints of the new nodes.
    pub taints: Vec<Taint>,
}

/// One worker to launch. Its id is the idempotency token of this one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The worker.
    pub worker: WorkerId,
    /// What to buy first.
    pub offering: Offering,
}

impl LaunchRequest {
    /// What its workers are launched as.
    pub fn template(&self) -> Template {
        Template { labels: self.labels.clone(), taints: self.taints.clone() }
    }
}
