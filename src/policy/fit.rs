//! Do pods fit: onto the room there is, onto workers on their way, onto new ones. Pure arithmetic, and the rules of
//! kube-scheduler's filters (`docs/sizing.md`): what it would refuse is no room, and what it would take is.
//!
//! A [`Room`] is all nodes with the pods on them; a [`judge::Judge`] says what forbids the pods of one spec each of its
//! bins; [`pack`] places pods, and opens new bins; [`all_fit`] asks whether those of leaving nodes find room.

mod bin;
mod census;
mod domains;
mod judge;
mod neighbours;
mod new_node;
mod pack;
mod predicate;
mod room;
mod spread;
#[cfg(test)]
mod tests;
mod why;

pub(super) use new_node::{Chosen, Grower, NewNode, Site};
pub(super) use pack::{Packing, all_fit, best_for, pack, why_none};
pub use predicate::Predicate;
pub(super) use room::{Room, name};

use crate::model::{ClusterView, Cordon, Labels, Node, NodeName, Pod, PodSpec, Taint};
use bin::Bin;
use judge::Judge;

/// Whether new pods may come to a node.
pub(super) fn is_open(node: &Node) -> bool {
    node.is_ready() && node.cordon == Cordon::None
}

/// Whether a DaemonSet with such pods puts one on every node with these labels and taints.
pub(super) fn admits_daemon(spec: &PodSpec, labels: &Labels, taints: &[Taint]) -> bool {
    let bin = Bin::bare(labels, taints);
    bin.is_chosen(spec) && bin.untolerated(spec).is_none()
}

/// Every node of a view, with all that forbids it this pod; with nothing, the pod could go there.
pub fn places<'v>(view: &'v ClusterView, pod: &Pod) -> Vec<(&'v NodeName, Vec<Predicate>)> {
    let mut room = Room::new(view, is_open);
    let judge = Judge::new(&mut room, &pod.spec);
    let nodes = view.nodes().enumerate();
    nodes.map(|(at, node)| (&node.at.name, judge.all(&room, at))).collect()
}

/// The same of a room's nodes: each with the first that forbids it.
pub(super) fn first_of_each<'a>(
    room: &mut Room<'a>,
    pod: &'a Pod,
) -> Vec<(&'a NodeName, Option<Predicate>)> {
    let judge = Judge::new(room, &pod.spec);
    let named = room.bins.iter().enumerate().filter_map(|(at, bin)| Some((at, bin.name?)));
    named.map(|(at, name)| (name, judge.first(room, at))).collect()
}
