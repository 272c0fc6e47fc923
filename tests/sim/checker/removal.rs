//! What must hold before anything is taken away.

use super::identity::{is_live, is_on, is_ours, record_of_node};
use super::{Checker, named};
use crate::scenario::CLUSTER;
use bellwether::model::{
    ClusterName, Failure, Instance, InstanceId, Memory, Node, NodeRef, Pod, PodKind, PoolName,
    Purpose, Worker, WorkerId, WorkerState, duration,
};
use std::time::Duration;

/// How long a delivery counts for a removal at most, and the longest that one is on its way here.
pub(super) const RUNS_OUT: Duration = Duration::from_mins(6 + 4);

/// How long before the end of a machine budgets may be waived, and a pass may have looked before it calls.
const LAST: Duration = Duration::from_secs(30 + 10);

/// How far the clock may be off by which a process tells how old something is.
const SKEW: Duration = Duration::from_secs(2);

impl Checker {
    /// A machine is to be ended.
    pub(crate) async fn terminate(&self, replica: usize, pool: &PoolName, id: &InstanceId) {
        let memory = self.memory().await;
        let machines = self.machines(pool);
        let worker = memory.workers.values().find(|worker| worker.instance.as_ref() == Some(id));
        self.any_act(replica, "terminate", worker.map(|worker| &worker.id)).await;
        let Some(machine) = machines.iter().find(|machine| machine.id == *id && is_live(machine))
        else {
            return;
        };
        let Some(worker) = worker else {
            return self.violated("I3", format!("machine {id} has no record"));
        };
        if worker.state != WorkerState::Terminating {
            self.violated("I8", format!("{} is ended while {}", worker.id, worker.state));
        }
        let now = self.now();
        let protected = self.state().protected.get(id).copied();
        if protected.is_some_and(|since| duration::since(since, now) > super::SLOWEST_PASS) {
            self.violated("I3", format!("{} is protected", worker.id));
        }
        if !is_ours(machine, &memory) {
            self.violated("I3", format!("machine {id} is of another cluster"));
        }
        self.not_permanent(&worker.id, worker.node.as_ref());
        self.not_paused(replica, (word(worker), "terminate"), pool, &memory);
        self.drained(worker, machine);
        self.seen_whole(replica, pool, &format!("terminate {}", worker.id));
    }

    /// I3: nothing that matters runs on it any more, unless it is dead or will be taken anyway.
    fn drained(&self, worker: &Worker, machine: &Instance) {
        let view = self.view();
        let is_its = |node: &&Node| is_on(node, machine) && node.is_ready();
        let nodes = view.nodes().filter(is_its);
        let on_one = |pod: &&Pod| nodes.clone().any(|node| pod.node() == Some(&node.at.name));
        let left = view.pods().filter(on_one).filter(|pod| pod.kind == PodKind::Normal).count();
        if left > 0 && machine.notice.is_none() {
            self.violated("I3", format!("{} is ended with {left} pods on it", worker.id));
        }
    }

    /// A node is kept off new pods.
    pub(crate) async fn cordon(&self, replica: usize, node: &NodeRef, worker: &WorkerId) {
        let memory = self.memory().await;
        self.any_act(replica, "cordon", Some(worker)).await;
        let Some(record) = memory.workers.get(worker) else {
            return self.violated("I3", format!("{} has no record", named(node)));
        };
        self.not_permanent(worker, Some(node));
        self.not_paused(replica, (word(record), "cordon"), &record.pool, &memory);
        if record.purpose != Some(Purpose::Notice) {
            self.seen_whole(replica, &record.pool, &format!("cordon {worker}"));
        }
        if matches!(record.purpose, Some(Purpose::Idle | Purpose::Manual)) {
            self.at_least_min(&record.pool, &memory);
        }
        if record.purpose == Some(Purpose::Idle) {
            self.not_muted(worker);
            self.guard_holds(replica, worker);
        }
        if record.purpose == Some(Purpose::Replace) {
            self.replaced(record, node, &memory);
        }
        self.as_the_file_says(record);
    }

    /// I3: a pool that left the file is drained where that was its last word there, and left alone otherwise;
    /// one that the file names is not drained for that.
    fn as_the_file_says(&self, worker: &Worker) {
        let now = self.now();
        let Some(named) = self.state().named.get(&worker.pool).copied() else { return };
        let of_late = duration::since(named.changed, now) < super::SLOWEST_PASS;
        let is_removed = worker.purpose == Some(Purpose::Removed);
        let is_right = if named.is_there { !is_removed } else { is_removed && named.when_removed };
        if !is_right && !of_late {
            let (id, pool) = (&worker.id, &worker.pool);
            self.violated("I3", format!("cordon {id} of pool {pool}, against the file"));
        }
    }

    /// I3: a time interval pauses too, once what was delivered before it has run out.
    fn not_muted(&self, worker: &WorkerId) {
        let now = self.now();
        let muted = self.state().muted;
        if muted.is_some_and(|since| duration::since(since, now) > RUNS_OUT + super::SLOWEST_PASS) {
            self.violated("I3", format!("cordon {worker} though its alert is muted"));
        }
    }

    /// I1: what is left serves `min`, and no less than a forecast wants.
    fn at_least_min(&self, pool: &PoolName, memory: &Memory) {
        let (min, _) = self.bounds(pool);
        let min = min.max(self.foretold(pool));
        let of_pool = memory.workers.values().filter(|worker| worker.pool == *pool);
        let left = of_pool.filter(|worker| worker.is_serving()).count();
        if left < min as usize {
            self.violated("I1", format!("{left} workers of pool {pool} are left, min {min}"));
        }
    }

    /// Pods of a node are asked to go.
    pub(crate) async fn evict(&self, replica: usize, node: &NodeRef) {
        self.empty(replica, "evict", node).await;
    }

    /// The same, past their budgets: only where the provider takes the machine in a moment.
    pub(crate) async fn force(&self, replica: usize, node: &NodeRef) {
        let Some(worker) = self.empty(replica, "force", node).await else { return };
        let (machines, view) = (self.machines(&worker.pool), self.view());
        let there = view.nodes().find(|there| there.at == *node);
        let machine = there.and_then(|at| machines.iter().find(|machine| is_on(at, machine)));
        let notice = machine.and_then(|machine| machine.notice);
        if notice.is_none_or(|at| duration::until(at, self.now()) > LAST) {
            self.violated(
                "I3",
                format!("budgets are waived on {}, notice {notice:?}", named(node)),
            );
        }
    }

    async fn empty(&self, replica: usize, what: &str, node: &NodeRef) -> Option<Worker> {
        let memory = self.memory().await;
        let worker = memory.workers.values().find(|worker| worker.node.as_ref() == Some(node));
        self.any_act(replica, what, worker.map(|worker| &worker.id)).await;
        match worker {
            Some(worker) => self.not_permanent(&worker.id, Some(node)),
            None => self.violated("I3", format!("{} is drained and nobody's", named(node))),
        }
        worker.cloned()
    }

    /// A node's object is to go.
    pub(crate) async fn remove_node(&self, replica: usize, node: &NodeRef) {
        let (memory, view) = (self.memory().await, self.view());
        let there = view.nodes().find(|there| there.at == *node);
        let record = there.and_then(|node| record_of_node(&memory, node));
        self.any_act(replica, "remove_node", record.map(|record| &record.id)).await;
        let Some(node) = there else { return };
        let Some(record) = record else {
            return self.violated("I3", format!("node {} has no record", node.at.name));
        };
        self.machine_is_gone(node, record);
        self.seen_whole(replica, &record.pool, &format!("remove node {}", node.at.name));
    }

    /// I6: a node goes only when its machine is proven gone.
    fn machine_is_gone(&self, node: &Node, record: &Worker) {
        let machines = self.machines(&record.pool);
        let mut its = machines.iter().filter(|machine| {
            is_on(node, machine)
                || record.instance.as_ref() == Some(&machine.id)
                || machine.worker.as_ref() == Some(&record.id)
        });
        if its.any(is_live) {
            self.violated("I6", format!("the machine of node {} is alive", node.at.name));
        }
    }

    /// A cordon of ours is taken back.
    pub(crate) async fn uncordon(&self, replica: usize, node: &NodeRef) {
        let (memory, view) = (self.memory().await, self.view());
        let there = view.nodes().find(|there| there.at == *node);
        let record = there.and_then(|node| record_of_node(&memory, node));
        let named = there.and_then(|node| node.worker.as_ref());
        self.any_act(replica, "uncordon", named.or(record.map(|record| &record.id))).await;
    }

    fn not_permanent(&self, worker: &WorkerId, node: Option<&NodeRef>) {
        let now = self.now();
        let is_named = |name: &str| {
            let since = self.state().permanent.get(name).copied();
            since.is_some_and(|since| duration::since(since, now) > super::SLOWEST_PASS)
        };
        if is_named(worker.as_str()) || node.is_some_and(|node| is_named(node.name.as_str())) {
            self.violated("I3", format!("{worker} is permanent"));
        }
    }

    /// I6: who acts saw all machines, and what it saw is young enough still as it acts.
    fn seen_whole(&self, replica: usize, pool: &PoolName, what: &str) {
        let now = self.now();
        let (view, list) = {
            let state = self.state();
            let seen = state.seen.get(&replica).cloned().unwrap_or_default();
            (seen.view, seen.lists.get(pool).copied())
        };
        let most = {
            let config = self.config.borrow().clone();
            config.clusters[&ClusterName::from(CLUSTER)].timing.view_max_age
        };
        let is_old = |at| duration::since(at, now) > most + SKEW;
        match view {
            None => self.violated("I6", format!("{what} without a view")),
            Some(at) if is_old(at) => self.violated("I6", format!("{what} by a view of {at}")),
            Some(_) => {}
        }
        match list {
            Some((at, true)) if is_old(at) => {
                self.violated("I6", format!("{what} by a list of {at}"));
            }
            Some((_, true)) => {}
            _ => self.violated("I6", format!("{what} by a list that is not whole")),
        }
    }
}

/// The word that pauses an act on this worker.
fn word(worker: &Worker) -> &'static str {
    match (&worker.state, worker.purpose) {
        (_, Some(Purpose::Idle | Purpose::Removed)) => "down",
        (_, Some(Purpose::Replace | Purpose::Notice)) => "replace",
        (_, Some(Purpose::Manual)) => "manual",
        (WorkerState::Failed { failure: Failure::Orphan }, None) => "gc",
        (_, None) => "repair",
    }
}
