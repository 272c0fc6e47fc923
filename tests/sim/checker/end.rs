//! What must hold when all faults are over.

use super::Checker;
use super::identity::{is_live, is_on, is_ours};
use crate::scenario::CLUSTER;
use crate::secrets;
use bellwether::model::{ClusterName, Node, WorkerState};

impl Checker {
    /// I10: no secret shows in what leaves a process, wherever it is shown.
    pub(crate) fn shows(&self, place: &str, text: &str) {
        if let Some(secret) = secrets::shown(text) {
            self.violated("I10", format!("{place} shows {secret:?}"));
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
