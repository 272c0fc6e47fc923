//! Pools that left the file: drained where that was their last word there, left alone otherwise.

use super::asks::Court;
use super::demand::Demand;
use super::draft::Draft;
use super::need::Need;
use super::scene::Scene;
use super::{hold, scale_down};
use crate::config::PoolConfig;
use crate::model::{Decision, Farewell, PoolName, Reason, Verdict};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Such a pool never grows and replaces nothing; all that holds another removal holds its own.
pub(super) fn decide(
    scene: &Scene<'_>,
    court: &Court<'_>,
    pool: &PoolConfig,
    demand: &Demand<'_>,
    draft: &mut Draft,
) -> Decision {
    let need = Need::nothing(scene.have(&pool.name));
    let decision = scale_down::decide(scene, court, pool, (&need, demand), draft);
    decision.unwrap_or_else(|reason| {
        if let Some(since) = since(scene, pool) {
            draft.also(&pool.name, Reason::Removed { since });
        }
        hold(pool, &need, reason)
    })
}

/// Since when a pool is not in the file, if it is to be drained for that.
pub(super) fn since(scene: &Scene<'_>, pool: &PoolConfig) -> Option<Timestamp> {
    let left = || remembered(scene, pool).and_then(|farewell| farewell.left);
    pool.removed.then(|| left().unwrap_or(scene.now))
}

fn remembered<'a>(scene: &Scene<'a>, pool: &PoolConfig) -> Option<&'a Farewell> {
    scene.memory.pools.get(&pool.name)?.farewell.as_ref()
}

/// What is to be remembered of a pool: nothing once it left the file and nothing is left of it.
pub(super) fn farewell(scene: &Scene<'_>, pool: &PoolConfig) -> Option<Farewell> {
    let Some(left) = since(scene, pool) else {
        return pool.farewell();
    };
    let is_known = scene.view().is_ok() && scene.instances(&pool.name).is_ok();
    let is_awaited = scene.memory.intents.values().any(|intent| intent.request.pool == pool.name);
    let is_over = is_known
        && !is_awaited
        && scene.have(&pool.name) == 0
        && !scene
            .memory
            .workers
            .values()
            .any(|worker| worker.pool == pool.name && scene.is_known(worker));
    let before = remembered(scene, pool).filter(|_| !is_over);
    before.map(|before| Farewell { left: Some(left), ..before.clone() })
}

/// Pools that are not configured any more: counted, shown, never changed.
pub(super) fn unmanaged(scene: &Scene<'_>, draft: &mut Draft) {
    let live = scene.memory.workers.values().filter(|worker| worker.is_live());
    let pools: BTreeSet<&PoolName> = live.map(|worker| &worker.pool).collect();
    for pool in pools.into_iter().filter(|pool| scene.pool(pool).is_none()) {
        let have = scene.have(pool);
        draft.plan.decisions.push(Decision {
            pool: pool.clone(),
            verdict: Verdict::Hold,
            reason: Reason::Unmanaged,
            also: Vec::new(),
            signals: Vec::new(),
            have,
            want: have,
            dry_run: false,
        });
    }
}
