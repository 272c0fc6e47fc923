//! The plan while it is being made.

use super::records;
use crate::model::{
    Act, ClusterMemory, Permit, Plan, PoolMemory, PoolName, Reason, Step, Transition, Worker,
    WorkerEvent, WorkerId,
};
use std::collections::{BTreeMap, HashSet};

/// A plan in the making: at most one transition and one step for each worker.
pub(super) struct Draft {
    pub(super) plan: Plan,
    /// What else speaks for or against something, per pool.
    pub(super) also: BTreeMap<PoolName, Vec<Reason>>,
    /// Idle workers on their way out that are taken back.
    pub(super) taken_back: Vec<WorkerId>,
}

impl Draft {
    pub(super) fn new(
        cluster: crate::model::ClusterName,
        at: jiff::Timestamp,
        memory: ClusterMemory,
    ) -> Self {
        let plan = Plan {
            cluster,
            at,
            decisions: Vec::new(),
            transitions: Vec::new(),
            steps: Vec::new(),
            settled: Vec::new(),
            forget: Vec::new(),
            expired: Vec::new(),
            pools: BTreeMap::new(),
            memory,
        };
        Self { plan, also: BTreeMap::new(), taken_back: Vec::new() }
    }

    /// A record moves because of what was seen.
    pub(super) fn moved(&mut self, worker: &Worker, event: WorkerEvent, reason: Reason) {
        self.plan.transitions.push(Transition::Move { worker: worker.id.clone(), event, reason });
    }

    /// A call that leaves the record as it is until its outcome is known.
    pub(super) fn step(&mut self, worker: &Worker, act: Act, reason: Reason, permit: Permit) {
        self.plan.steps.push(records::step(worker, act, reason, permit));
    }

    /// A call before which the record moves.
    pub(super) fn step_after(&mut self, before: WorkerEvent, step: Step) {
        self.plan.steps.push(Step { before: Some(before), ..step });
    }

    /// Something worth telling about a pool.
    pub(super) fn also(&mut self, pool: &PoolName, reason: Reason) {
        let reasons = self.also.entry(pool.clone()).or_default();
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }

    /// Workers that already have something to do in this pass.
    pub(super) fn busy(&self) -> HashSet<WorkerId> {
        let moved = self.plan.transitions.iter().filter_map(|transition| match transition {
            Transition::Move { worker, .. } => Some(worker.clone()),
            Transition::Adopt { worker, .. } | Transition::Clock { worker } => {
                Some(worker.id.clone())
            }
            Transition::Told { .. } => None,
        });
        moved.chain(self.plan.steps.iter().map(|step| step.worker.clone())).collect()
    }

    /// A pool's memory, to be changed.
    pub(super) fn pool(&mut self, pool: &PoolName) -> &mut PoolMemory {
        self.plan.pools.entry(pool.clone()).or_default()
    }
}
