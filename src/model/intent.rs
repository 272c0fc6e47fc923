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
    /// The batch: tagged on every instance.
    pub batch: BatchId,
    /// What the provider's idempotency tokens begin with: other clusters may ask in the same account, with batches of the same
    /// name. `None` where it was stored before there was one: then the batch is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
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

    /// The idempotency token of the whole: the same as long as it is stored.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or(self.batch.as_str())
    }

    /// The token of a batch of a cluster, which no other cluster has: 32 digits, for a provider may take few letters.
    pub fn token_of(uid: &ClusterUid, batch: &BatchId) -> String {
        // FNV-1a. Neither part has a blank in it.
        let mix = |hash: u128, byte| (hash ^ u128::from(byte)).wrapping_mul((1 << 88) + 0x13b);
        let name = format!("{uid} {batch}");
        format!("{:032x}", name.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, mix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stored() -> serde_json::Value {
        json!({
            "cluster": "c", "cluster_uid": "uid-1", "pool": "workers", "batch": "workers-1",
            "orders": [], "fallback": [], "labels": {}, "taints": [],
        })
    }

    /// Asked again with another token it would be another launch.
    #[test]
    fn a_launch_that_was_stored_before_there_were_tokens_keeps_its_batch_as_one() {
        let request: LaunchRequest = serde_json::from_value(stored()).unwrap();
        assert_eq!(request.token(), "workers-1");
        assert_eq!(serde_json::to_value(&request).unwrap(), stored());
    }

    #[test]
    fn a_token_is_stored_with_its_launch() {
        let token = Some(LaunchRequest::token_of(&"uid-1".into(), &"workers-1".into()));
        let request: LaunchRequest = serde_json::from_value(stored()).unwrap();
        let request = LaunchRequest { token, ..request };
        let text = serde_json::to_string(&request).unwrap();
        let again: LaunchRequest = serde_json::from_str(&text).unwrap();
        assert_eq!((again.token(), &again), (request.token(), &request));
    }

    #[test]
    fn tokens_of_other_clusters_and_batches_are_others() {
        let token = |uid: &str, batch: &str| LaunchRequest::token_of(&uid.into(), &batch.into());
        assert_eq!(token("uid-1", "workers-1"), token("uid-1", "workers-1"));
        let all =
            [token("uid-1", "workers-1"), token("uid-2", "workers-1"), token("uid-1", "workers-2")];
        assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2], "{all:?}");
        assert!(all.iter().all(|one| one.len() == 32 && one.is_ascii()), "{all:?}");
    }
}
