//! What must hold when all faults are over.

use super::Checker;
use super::identity::{is_live, is_on, is_ours};
use crate::scenario::{CLUSTER, SECRET};
use bellwether::model::{ClusterName, Node, WorkerState};

impl Checker {
    /// I10: the secret shows in nothing that leaves the process.
    pub(crate) async fn no_secret(&self, shown: &[String]) {
        let history = serde_json::to_string(&self.history().await).unwrap();
        if shown.iter().chain([&history]).any(|text| text.contains(SECRET)) {
            self.violated("I10", "the token shows".to_owned());
        }
    }

    /// I4 and I7, when the faults are over: every pod that could be is placed, every machine of ours is a Ready node, and
    /// no node is left without one.
    pub(crate) async fn unsettled(&self) -> Option<String> {
        let (memory, view) = (self.memory().await, self.view());
        let waiting = view.pods.iter().find(|pod| pod.node().is_none());
        if let Some(pod) = waiting {
            return Some(format!("pod {} is not placed", pod.name));
        }
        let config = self.config.borrow().clone();
        for pool in config.clusters[&ClusterName::from(CLUSTER)].pools.keys() {
            for machine in self.machines(pool) {
                if !is_live(&machine) || !is_ours(&machine, &memory) {
                    continue;
                }
                let mut nodes = view.nodes().filter(|node| is_on(node, &machine));
                if !nodes.any(Node::is_ready) {
                    return Some(format!("machine {} has no Ready node", machine.id));
                }
            }
        }
        let stuck = memory
            .workers
            .values()
            .find(|worker| !matches!(worker.state, WorkerState::Ready | WorkerState::Gone));
        stuck.map(|worker| format!("worker {} is still {}", worker.id, worker.state))
    }
}
