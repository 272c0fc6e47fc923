//! What two pools claim: a machine that the lists of both hold, or a node that says another pool than its worker's record. Neither
//! is believed, and nothing is done: whichever is wrong, what would be ended could be the other's.

use super::Scene;
use super::unknown;
use crate::config::ClusterConfig;
use crate::model::{
    ClusterView, Instance, InstanceId, Memory, Node, Observed, PoolName, Reason, Worker, WorkerId,
};
use std::collections::HashMap;

/// A machine, as more than one list could know it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Known<'a> {
    /// By the worker that it bears the name of.
    Name(&'a WorkerId),
    /// By its id: of those that bear none. Ids of others say little, for two providers may number theirs alike.
    Id(&'a InstanceId),
}

/// Of each pool whose list holds a machine that the list of another holds too, the other pool and the machine.
pub(super) type Shared<'a> = HashMap<&'a PoolName, (&'a PoolName, &'a Instance)>;

pub(super) fn shared<'a>(observed: &'a Observed, limits: &'a ClusterConfig) -> Shared<'a> {
    let (mut holders, mut shared) = (HashMap::new(), Shared::new());
    let Some(view) = observed.cluster.known() else { return shared };
    for pool in limits.pools.values() {
        let list = observed.instances.get(&pool.name).and_then(|list| list.known());
        let ours = |one: &&Instance| one.cluster_uid.as_ref() == Some(&view.uid) && one.is_there();
        for one in list.into_iter().flatten().filter(ours) {
            let known = match &one.worker {
                Some(name) => Known::Name(name),
                None if pool.provider.names_workers() => continue,
                None => Known::Id(&one.id),
            };
            match holders.insert(known, &pool.name) {
                Some(other) if *other != pool.name => {
                    shared.insert(&pool.name, (other, one));
                    shared.insert(other, (&pool.name, one));
                }
                _ => {}
            }
        }
    }
    shared
}

/// Nodes that say another pool than the record of the worker that they are, by worker.
pub(super) fn disputed<'a>(
    view: Option<&'a ClusterView>,
    memory: &'a Memory,
    machines: &HashMap<&str, &'a Worker>,
) -> HashMap<&'a WorkerId, &'a Node> {
    let mut disputed = HashMap::new();
    for node in view.into_iter().flat_map(ClusterView::nodes).filter(|node| !node.control_plane) {
        let Some(pool) = &node.pool else { continue };
        let label = node.worker.as_ref();
        let by_machine = [node.machine(), label.map(WorkerId::as_str)].into_iter().flatten();
        let by_machine = by_machine.filter_map(|id| machines.get(id).copied());
        let all = by_machine.chain(label.and_then(|label| memory.workers.get(label)));
        for worker in all.filter(|worker| worker.is_live() && worker.pool != *pool) {
            disputed.insert(&worker.id, node);
        }
    }
    disputed
}

impl<'a> Scene<'a> {
    /// Whether no machine of a pool's list is in another pool's, too.
    pub(in crate::policy) fn unshared(&self, pool: &PoolName) -> Result<(), Reason> {
        let shared = self.shared.get_or_init(|| shared(self.observed, self.limits));
        shared.get(pool).map_or(Ok(()), |(other, one)| {
            let id = &one.id;
            Err(unknown(
                "the list of machines",
                &format!("{id} is in the list of pool {other}, too"),
            ))
        })
    }

    /// Whether the record of a worker of another pool says that this node is its own.
    pub(in crate::policy) fn is_contested(&self, node: &Node) -> bool {
        self.disputes().values().any(|disputed| disputed.at == node.at)
    }

    fn disputes(&self) -> &HashMap<&'a WorkerId, &'a Node> {
        let view = self.observed.cluster.known();
        self.disputed.get_or_init(|| disputed(view, self.memory, &self.machines))
    }

    /// Whether no node says that this worker is of another pool.
    pub(in crate::policy) fn undisputed(&self, worker: &Worker) -> Result<(), Reason> {
        self.disputes().get(&worker.id).map_or(Ok(()), |node| {
            let (says, name) = (node.pool.as_ref().map_or("", PoolName::as_str), &node.at.name);
            let why = format!("it says pool {says}, and {} is of pool {}", worker.id, worker.pool);
            Err(unknown(&format!("whose node {name} is"), &why))
        })
    }
}
