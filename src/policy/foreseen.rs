//! Need before the scheduler says so. It takes about 20 s to mark a thousand pods, and our packing agrees with it: a pod
//! that it has not judged, and for which we know of no place, is need already.
//!
//! Where that was wrong, a machine was bought for nothing. So it is followed up, and if it goes wrong more than once in a
//! hundred times, nothing is foreseen until the configuration changes.

use super::fit::Packing;
use super::scene::Scene;
use crate::model::{ClusterView, Foreseen, Node, NodeName, Placement, Pod, Uid, duration};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// More than one in so many is too often.
const WRONG_IN: u32 = 100;

/// One that is wrong may be chance.
const CHANCE: u32 = 1;

/// So many are looked back at; then older ones count half.
const LATELY: u32 = 1_000;

/// Nodes say to the second when they were made.
const GRAIN: Duration = Duration::from_secs(1);

/// Whether pods that the scheduler has not judged may be need.
pub(super) fn is_on(scene: &Scene<'_>) -> bool {
    scene.limits.pending.predict && scene.memory.cluster.foreseen.off.is_none()
}

/// The pods that are need. Of those that the scheduler has not judged, only those for which there is no place, and could
/// be one; of the others nothing is told.
pub(super) fn need<'a>(pods: &[&'a Pod], packing: &mut Packing) -> Vec<&'a Pod> {
    let (unjudged, judged): (Vec<&Pod>, Vec<&Pod>) =
        pods.iter().partition(|pod| pod.placement == Placement::Waiting);
    if unjudged.is_empty() {
        return judged;
    }
    let uids: HashSet<&Uid> = unjudged.iter().map(|pod| &pod.uid).collect();
    packing.absorbed.retain(|uid| !uids.contains(uid));
    packing.unhostable.retain(|one| !uids.contains(&one.pod.uid));
    let launched = packing.new.iter().flat_map(|bin| &bin.pods);
    let placeless: HashSet<&Uid> = launched.chain(&packing.waiting).collect();
    let foreseen = unjudged.into_iter().filter(|pod| placeless.contains(&pod.uid));
    judged.into_iter().chain(foreseen).collect()
}

/// Notes for which of these pods a launch was decided before the scheduler had judged them.
pub(super) fn note(scene: &Scene<'_>, pods: &[Uid], foreseen: &mut Foreseen) {
    let pods: HashSet<&Uid> = pods.iter().collect();
    let unjudged = scene.pending().into_iter().filter(|pod| pod.placement == Placement::Waiting);
    let noted = unjudged.filter(|pod| pods.contains(&pod.uid));
    foreseen.open.extend(noted.map(|pod| (pod.uid.clone(), scene.now)));
}

/// Judges what was foreseen by what became of it.
pub(super) fn follow(scene: &Scene<'_>, foreseen: &mut Foreseen) {
    if foreseen.off.as_ref().is_some_and(|off| *off != scene.limits.digest()) {
        *foreseen = Foreseen::default();
    }
    let Ok(view) = scene.fresh_view() else { return };
    if foreseen.open.is_empty() {
        return;
    }
    let pods: HashMap<&Uid, &Pod> = view.pods().map(|pod| (&pod.uid, pod)).collect();
    let open = std::mem::take(&mut foreseen.open);
    for (uid, at) in open {
        match pods.get(&uid).map(|pod| &pod.placement) {
            // Deleted, or done: nobody will ever know.
            None => {}
            Some(Placement::Unschedulable { .. }) => foreseen.right += 1,
            Some(Placement::Bound(node)) if came_after(view, node, at) => foreseen.right += 1,
            Some(Placement::Bound(_)) => foreseen.wrong += 1,
            Some(_) => _ = foreseen.open.insert(uid, at),
        }
    }
    if foreseen.wrong > CHANCE && foreseen.wrong * WRONG_IN > foreseen.wrong + foreseen.right {
        foreseen.off.get_or_insert_with(|| scene.limits.digest());
    } else if foreseen.wrong + foreseen.right >= LATELY {
        foreseen.wrong /= 2;
        foreseen.right /= 2;
    }
}

/// Whether a node was not there yet. One that is gone again tells nothing against us.
fn came_after(view: &ClusterView, name: &NodeName, at: jiff::Timestamp) -> bool {
    let node = view.nodes().find(|node| node.at.name == *name);
    node.is_none_or(|node: &Node| duration::after(node.created, GRAIN) > at)
}
