//! Need before the scheduler says so. It takes about 20 s to mark a thousand pods, and our packing agrees with it: a pod
//! that it has not judged, and for which we know of no place, is need already.
//!
//! Where that was wrong, a machine was bought for nothing. So each launch is followed up, and if it goes wrong more than once
//! in a hundred times, nothing is foreseen until the configuration changes or an operator asks for it.

use super::draft::Draft;
use super::fit::Packing;
use super::need::Need;
use super::scene::Scene;
use crate::model::{
    Ask, ClusterView, Foreseen, Intent, Node, NodeName, Placement, Pod, PoolMemory, Predictions,
    Uid, duration,
};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// More than one in so many is too often.
const WRONG_IN: u32 = 100;

/// Fewer say nothing.
const ENOUGH: u32 = 100;

/// So many are looked back at; then older ones count half.
const LATELY: u32 = 1_000;

/// The scheduler has placed what it could of a launch's pods by then, or has said so.
const JUDGED_AFTER: Duration = Duration::from_mins(1);

/// A pod that was not judged for so long waits for a scheduler that does not work, or was placed while we heard nothing.
const JUDGED_WITHIN: Duration = Duration::from_mins(2);

/// More pods of one launch are not followed up.
const MOST: usize = 5_000;

/// Nodes say to the second when they were made.
const GRAIN: Duration = Duration::from_secs(1);

/// Whether pods that the scheduler has not judged may be need.
pub(super) fn is_on(scene: &Scene<'_>) -> bool {
    scene.limits.pending.predict && scene.memory.cluster.predictions.off.is_none()
}

/// Whether a pod that the scheduler has not judged may be need.
pub(super) fn may_be_need(scene: &Scene<'_>, pod: &Pod) -> bool {
    is_on(scene) && duration::since(pod.created, scene.now) < JUDGED_WITHIN
}

/// Of pods that may be need, those that are, and of those that the scheduler has not judged, the others that have a place.
pub(super) type Parted<'a> = (Vec<&'a Pod>, Vec<Uid>);

/// Of the pods that the scheduler has not judged, those are need for which there is no place, and could be one; of the
/// others nothing is told.
pub(super) fn part<'a>(pods: &[&'a Pod], packing: &mut Packing) -> Parted<'a> {
    let (unjudged, judged): (Vec<&Pod>, Vec<&Pod>) =
        pods.iter().partition(|pod| pod.placement == Placement::Waiting);
    if unjudged.is_empty() {
        return (judged, Vec::new());
    }
    let uids: HashSet<&Uid> = unjudged.iter().map(|pod| &pod.uid).collect();
    let placed = packing.absorbed.iter().filter(|uid| uids.contains(uid)).cloned().collect();
    packing.absorbed.retain(|uid| !uids.contains(uid));
    packing.unhostable.retain(|one| !uids.contains(&one.pod.uid));
    let launched = packing.new.iter().flat_map(|bin| &bin.pods);
    let placeless: HashSet<&Uid> = launched.chain(&packing.waiting).collect();
    let foreseen = unjudged.into_iter().filter(|pod| placeless.contains(&pod.uid));
    (judged.into_iter().chain(foreseen).collect(), placed)
}

/// Notes a launch for pods that the scheduler has not judged.
pub(super) fn note(scene: &Scene<'_>, need: &Need, intent: &Intent, memory: &mut PoolMemory) {
    let launched_for: HashSet<&Uid> = intent.pods.iter().collect();
    let unjudged = scene.pending().into_iter().filter(|pod| pod.placement == Placement::Waiting);
    let mut pods: Vec<Uid> =
        unjudged.filter(|pod| launched_for.contains(&pod.uid)).map(|pod| pod.uid.clone()).collect();
    let count = u32::try_from(pods.len()).unwrap_or(u32::MAX);
    pods.extend(need.placed.iter().cloned());
    if count > 0 && pods.len() <= MOST {
        let noted = Foreseen { at: intent.at, launched_for: count, pods };
        memory.foreseen.insert(intent.request.batch.clone(), noted);
    }
}

/// Judges what was foreseen a while ago by what became of it.
pub(super) fn follow(scene: &Scene<'_>, draft: &mut Draft) {
    let predictions = &mut draft.plan.memory.predictions;
    let is_asked = scene.signals.iter().any(|signal| signal.ask == Ask::Foresee);
    let is_new = |off: &String| *off != scene.limits.digest();
    if is_asked || predictions.off.as_ref().is_some_and(is_new) {
        *predictions = Predictions::default();
    }
    let is_due = |noted: &Foreseen| duration::since(noted.at, scene.now) >= JUDGED_AFTER;
    let mut due = Vec::new();
    let Ok(view) = scene.fresh_view() else { return };
    for memory in draft.plan.pools.values_mut().filter(|memory| !memory.foreseen.is_empty()) {
        due.extend(
            memory.foreseen.extract_if(.., |_, noted| is_due(noted)).map(|(_, noted)| noted),
        );
    }
    if due.is_empty() {
        return;
    }
    let pods: HashMap<&Uid, &Pod> = view.pods().map(|pod| (&pod.uid, pod)).collect();
    for noted in due {
        judge(view, &pods, &noted, predictions);
    }
    let Predictions { right, wrong, off } = predictions;
    let all = right.saturating_add(*wrong);
    if all >= ENOUGH && wrong.saturating_mul(WRONG_IN) > all {
        off.get_or_insert_with(|| scene.limits.digest());
    } else if all >= LATELY {
        *right /= 2;
        *wrong /= 2;
    }
}

/// Pods are alike, so it is counted how many went to nodes that were there: as many as we knew a place for are right.
/// Of those that are gone nobody will ever know.
fn judge(
    view: &ClusterView,
    pods: &HashMap<&Uid, &Pod>,
    noted: &Foreseen,
    predictions: &mut Predictions,
) {
    let went_to_old = |uid: &&Uid| {
        let node = pods.get(uid).and_then(|pod| pod.node());
        node.is_some_and(|node| !came_after(view, node, noted.at))
    };
    let there = noted.pods.iter().filter(|uid| pods.contains_key(uid)).count();
    let old = noted.pods.iter().filter(went_to_old).count();
    let launched_for = noted.launched_for as usize;
    let wrong = old.saturating_sub(noted.pods.len().saturating_sub(launched_for));
    let right = launched_for.saturating_sub(wrong).min(there);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    predictions.wrong = predictions.wrong.saturating_add(number(wrong));
    predictions.right = predictions.right.saturating_add(number(right));
}

/// Whether a node was not there yet. One that is gone again tells nothing against us.
fn came_after(view: &ClusterView, name: &NodeName, at: Timestamp) -> bool {
    let node = view.nodes().find(|node| node.at.name == *name);
    node.is_none_or(|node: &Node| duration::after(node.created, GRAIN) > at)
}
