//! Machines and nodes of ours that no record names.

use super::draft::Draft;
use super::records::acts;
use super::scene::{Scene, is_on};
use crate::model::{
    Instance, Market, Node, PoolName, Readiness, Reason, Transition, Worker, WorkerId, WorkerState,
    duration,
};
use std::collections::HashSet;
use std::time::Duration;

/// Machines of ours without a record get one (a lost store, a crash), and then live like all
/// others: they join, or are ended at the join deadline.
pub(super) fn adopt<'a>(scene: &Scene<'a>, pool: &PoolName, draft: &mut Draft) {
    let (Ok(list), Ok(view)) = (scene.instances(pool), scene.fresh_view()) else {
        return;
    };
    let known = || scene.memory.workers.values().filter(|worker| scene.is_known(worker));
    let ids: HashSet<_> = known().filter_map(|worker| worker.instance.as_ref()).collect();
    let names: HashSet<_> = known().map(|worker| &worker.id).collect();
    let is_new = |instance: &&&Instance| {
        instance.is_there()
            && !scene.is_awaited(instance)
            && !ids.contains(&instance.id)
            && instance.worker.as_ref().is_none_or(|id| !names.contains(id))
    };
    for instance in list.iter().filter(is_new) {
        let worker = adopted(scene, instance);
        draft.plan.transitions.push(Transition::Adopt { worker, reason: Reason::Orphan });
    }
    // A node of ours whose machine a whole list does not hold, nor that of another pool: its object is left over.
    let deadline = scene.pool(pool).map_or(Duration::MAX, |pool| pool.not_ready_deadline);
    let is_sick = |node: &Node| match node.readiness {
        Readiness::Ready => false,
        Readiness::NotReady { since } => duration::since(since, scene.now) > deadline,
    };
    // While one list is unknown, the machine may be in that.
    let lists: Option<Vec<_>> =
        scene.limits.pools.keys().map(|pool| scene.instances(pool).ok()).collect();
    let Some(lists) = lists else { return };
    let left_over = |node: &&'a Node| {
        node.pool.as_ref() == Some(pool)
            && is_sick(node)
            && scene.name_of(node).is_some_and(|name| {
                !scene.memory.workers.contains_key(&WorkerId::from(name))
                    && !lists.iter().flatten().any(|instance| is_on(node, name, instance))
            })
    };
    if acts(scene, pool) {
        for node in view.nodes().filter(left_over) {
            let worker = left_over_record(scene, pool, node);
            draft.plan.transitions.push(Transition::Adopt { worker, reason: Reason::NodeLeftOver });
        }
    }
}

fn adopted(scene: &Scene<'_>, instance: &Instance) -> Worker {
    Worker {
        id: instance.worker.clone().unwrap_or_else(|| instance.id.as_str().into()),
        pool: instance.pool.clone(),
        batch: instance.batch.clone(),
        shape: instance.shape.clone(),
        zone: instance.zone.clone(),
        market: instance.market,
        instance: Some(instance.id.clone()),
        node: None,
        state: WorkerState::Booting,
        since: scene.now,
        deadline_from: scene.now,
        created: instance.launched,
        ready: None,
        purpose: None,
        held: Duration::ZERO,
        held_since: None,
        blocked: None,
        template: None,
        last_words: None,
    }
}

fn left_over_record<'a>(scene: &Scene<'a>, pool: &PoolName, node: &'a Node) -> Worker {
    Worker {
        id: scene.name_of(node).unwrap_or(node.at.name.as_str()).into(),
        pool: pool.clone(),
        batch: None,
        shape: "unknown".into(),
        zone: node.zone.clone().unwrap_or_else(|| "unknown".into()),
        market: Market::OnDemand,
        instance: None,
        node: Some(node.at.clone()),
        state: WorkerState::Terminating,
        since: scene.now,
        deadline_from: scene.now,
        created: node.created,
        ready: None,
        purpose: None,
        held: Duration::ZERO,
        held_since: None,
        blocked: None,
        template: None,
        last_words: None,
    }
}
