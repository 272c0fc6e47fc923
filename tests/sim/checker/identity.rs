//! Whose a machine is, and which record is its: it may bear its worker's name, or none.

use bellwether::model::{Instance, InstanceId, InstanceState, Memory, Node, Worker};

/// The record of a machine: under the name that it bears, or where it bears none, the one that has it.
pub(super) fn record_of<'m>(memory: &'m Memory, machine: &Instance) -> Option<&'m Worker> {
    match &machine.worker {
        Some(named) => memory.workers.get(named),
        None => with_machine(memory, machine.id.as_str()),
    }
}

/// The record of a node: under the name that its label says, or where that says none, the one that has the machine it runs on.
pub(super) fn record_of_node<'m>(memory: &'m Memory, node: &Node) -> Option<&'m Worker> {
    match &node.worker {
        Some(named) => memory.workers.get(named),
        None => with_machine(memory, node.machine()?),
    }
}

/// Of several, one that lives. One that was made for what is left of a machine has its id for a name, and no machine.
fn with_machine<'m>(memory: &'m Memory, id: &str) -> Option<&'m Worker> {
    let has_it = |worker: &&Worker| {
        let machine = worker.instance.as_ref().map(InstanceId::as_str);
        machine.or_else(|| Some(worker.id.as_str())) == Some(id)
    };
    memory.workers.values().filter(has_it).max_by_key(|worker| worker.is_live())
}

/// Whether a node runs on a machine.
pub(super) fn is_on(node: &Node, machine: &Instance) -> bool {
    node.machine() == Some(machine.id.as_str())
}

/// Whether a machine carries our cluster's tag.
pub(super) fn is_ours(machine: &Instance, memory: &Memory) -> bool {
    machine.cluster_uid.is_some() && machine.cluster_uid == memory.cluster.uid
}

pub(super) fn is_live(machine: &Instance) -> bool {
    matches!(machine.state, InstanceState::Pending | InstanceState::Running)
}
