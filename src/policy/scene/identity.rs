//! Which machine a worker has, and which worker a node is.

use crate::config::ClusterConfig;
use crate::model::{Instance, Memory, Node, Worker, WorkerId};
use std::collections::HashMap;

/// Workers by their machines' ids, those that live before those that are gone. A machine that bears its worker's name is not known
/// by its id: two providers may number theirs alike.
pub(super) fn machines<'a>(
    memory: &'a Memory,
    limits: &ClusterConfig,
) -> HashMap<&'a str, &'a Worker> {
    let is_nameless =
        |pool| limits.pools.get(pool).is_some_and(|pool| !pool.provider.names_workers());
    let all = memory.workers.values().filter(|worker| is_nameless(&worker.pool));
    let (live, gone): (Vec<&Worker>, Vec<&Worker>) = all.partition(|worker| worker.is_live());
    let all = gone.into_iter().chain(live);
    all.filter_map(|worker| Some((worker.instance.as_ref()?.as_str(), worker))).collect()
}

/// The worker that a node is: by its label, or where its machine bears no name, by the machine that it runs on, as the cloud says
/// it before the label does.
pub(super) fn name_of<'a>(
    node: &'a Node,
    machines: &HashMap<&'a str, &'a Worker>,
    limits: &ClusterConfig,
) -> Option<&'a str> {
    let label = node.worker.as_ref().map(WorkerId::as_str);
    let pool = node.pool.as_ref().and_then(|pool| limits.pools.get(pool));
    let nameless = pool.map(|pool| &pool.provider).filter(|provider| !provider.names_workers());
    let is_machine = |id: &&str| nameless.is_some_and(|provider| provider.is_machine(id));
    // Which id counts is settled before any record is asked: one that has none yet is not another's.
    let mut ids = [node.machine(), label].into_iter().flatten();
    let id = ids.find(|id| machines.contains_key(id) || is_machine(id));
    let is_of = |worker: &&&Worker| node.pool.as_ref().is_none_or(|pool| *pool == worker.pool);
    match id.and_then(|id| machines.get(id)).filter(is_of) {
        Some(worker) => Some(worker.id.as_str()),
        None if nameless.is_some() => id.filter(is_machine),
        None => label,
    }
}

/// Whether a node of this name runs on this machine.
pub(in crate::policy) fn is_on(node: &Node, name: &str, instance: &Instance) -> bool {
    match &instance.worker {
        Some(named) => named.as_str() == name,
        None => [Some(name), node.machine()].contains(&Some(instance.id.as_str())),
    }
}

/// Whether this is the worker's machine, by its id or by its tag.
pub(super) fn is_of(instance: &Instance, worker: &Worker) -> bool {
    worker.instance.as_ref() == Some(&instance.id) || instance.worker.as_ref() == Some(&worker.id)
}
