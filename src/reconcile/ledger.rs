//! What came of a turn's calls, collected to be stored in one commit.

use super::Turn;
use super::intent::{act_name, entry};
use crate::metrics::Metrics;
use crate::model::{
    BatchId, Changes, Entry, EntryKind, Failure, InstanceId, Intent, LaunchRequest, Offering,
    PoolMemory, PoolName, Reason, Step, Token, Transition, Worker, WorkerEvent, WorkerId,
    WorkerState,
};
use crate::policy;
use crate::provider;
use std::collections::{BTreeMap, BTreeSet};

/// Collects outcomes: records that move, lines of history, counts.
pub(super) struct Ledger<'a> {
    turn: &'a Turn<'a>,
    token: Token,
    metrics: &'a Metrics,
    workers: BTreeMap<WorkerId, Worker>,
    pools: BTreeMap<PoolName, PoolMemory>,
    changes: Changes,
    changed: bool,
    refused: bool,
}

/// What came of a turn's calls.
pub(super) struct Closed {
    /// What to store.
    pub(super) changes: Changes,
    /// Whether a record moved: the next pass comes at once. Not after a refusal: what refused would be
    /// asked again and again.
    pub(super) moved: bool,
    /// Whether an act was refused right before it.
    pub(super) refused: bool,
    /// The records as they are after it is stored.
    pub(super) workers: BTreeMap<WorkerId, Worker>,
}

impl<'a> Ledger<'a> {
    /// `workers` and `pools` are the records and memories as they were stored with the intent.
    pub(super) fn new(
        turn: &'a Turn<'a>,
        token: Token,
        metrics: &'a Metrics,
        workers: BTreeMap<WorkerId, Worker>,
        pools: BTreeMap<PoolName, PoolMemory>,
    ) -> Self {
        Self {
            turn,
            token,
            metrics,
            workers,
            pools,
            changes: Changes::default(),
            changed: false,
            refused: false,
        }
    }

    /// What came of it all.
    pub(super) fn close(self) -> Closed {
        Closed {
            changes: self.changes,
            moved: self.changed,
            refused: self.refused,
            workers: self.workers,
        }
    }

    /// Moves a record. An event that does not fit any more (a replay whose answer was known
    /// already) changes nothing.
    pub(super) fn moved(&mut self, id: &WorkerId, event: &WorkerEvent) {
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        if let Err(error) = worker.on(event, self.turn.now) {
            tracing::debug!(section = "act", worker.id = %id, error = %error, "outcome changes nothing");
            return;
        }
        let worker = worker.clone();
        if let WorkerEvent::Fail { failure } = event {
            self.failed(&worker.pool, *failure);
        }
        self.record(worker);
        self.changed = true;
    }

    /// Whether a worker still waits for its machine.
    pub(super) fn is_requested(&self, id: &WorkerId) -> bool {
        self.workers.get(id).is_some_and(|worker| worker.state == WorkerState::Requested)
    }

    /// The machines of a launch that no record has yet, each with its worker. Where machines bear no worker's name, one answer may
    /// pair them in another way than the one before.
    pub(super) fn paired(
        &self,
        request: &LaunchRequest,
        answered: Vec<(WorkerId, InstanceId, Offering)>,
    ) -> Vec<(WorkerId, InstanceId, Offering)> {
        let pool = self.turn.limits.pools.get(&request.pool);
        if pool.is_none_or(|pool| pool.provider.names_workers()) {
            answered
        } else {
            anew(request, &self.workers, answered)
        }
    }

    /// Counts what the plan found out, once that is stored.
    pub(super) fn found_out(&self) {
        for transition in &self.turn.plan.transitions {
            if let Transition::Move { worker, event: WorkerEvent::Fail { failure }, .. } =
                transition
                && let Some(worker) = self.workers.get(worker)
            {
                self.failed(&worker.pool, *failure);
            }
        }
    }

    fn failed(&self, pool: &PoolName, failure: Failure) {
        let cluster = self.turn.limits.name.as_str();
        let labels = [cluster, pool.as_str(), failure.name()];
        self.metrics.pass.failed.with_label_values(&labels).inc();
    }

    /// A drain came past its deadline, and its worker is back.
    pub(super) fn gave_up(&self, pool: &PoolName) {
        let cluster = self.turn.limits.name.as_str();
        self.metrics.pass.given_up.with_label_values(&[cluster, pool.as_str()]).inc();
    }

    /// What keeps a pod on a worker's node, or nothing any more. Nothing moves by it, so it brings no pass.
    pub(super) fn blocked(&mut self, id: &WorkerId, by: Option<String>) {
        let Some(worker) = self.workers.get_mut(id).filter(|worker| worker.blocked != by) else {
            return;
        };
        worker.blocked = by;
        let worker = worker.clone();
        self.record(worker);
    }

    /// What a machine that is given up wrote last.
    pub(super) fn last_words(&mut self, id: &WorkerId, words: &str) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        worker.last_words = Some(words.to_owned());
        let worker = worker.clone();
        self.record(worker);
    }

    /// A node was cordoned in this pass, however long ago that was meant: what waits for it, waits from now on.
    pub(super) fn cordoned(&mut self, id: &WorkerId) {
        let now = self.turn.now;
        let is_late =
            |worker: &&mut Worker| worker.state == WorkerState::Cordoned && worker.since < now;
        let Some(worker) = self.workers.get_mut(id).filter(is_late) else { return };
        worker.since = now;
        let worker = worker.clone();
        self.record(worker);
    }

    fn record(&mut self, worker: Worker) {
        self.changes.workers.retain(|record| record.id != worker.id);
        self.changes.workers.push(worker);
    }

    /// A launch is settled: every order has its machine, or surely has none.
    pub(super) fn settled(&mut self, batch: &BatchId) {
        self.changes.settled.push(batch.clone());
        self.changed = true;
    }

    /// A launch was refused before the call: no limit and no cooldown counts it.
    pub(super) fn not_launched(&mut self, intent: &Intent) {
        let pool = &intent.request.pool;
        let Some(planned) = self.pools.get(pool) else { return };
        let before = self.turn.memory.pools.get(pool).cloned().unwrap_or_default();
        let memory = policy::without_launch(planned, &before, intent);
        self.remember(pool, memory);
    }

    /// Offerings that had no machine for a pool.
    pub(super) fn short(&mut self, pool: &PoolName, offerings: &[(Offering, provider::Error)]) {
        if offerings.is_empty() {
            return;
        }
        let known = self.pools.get(pool).or_else(|| self.turn.memory.pools.get(pool));
        let mut memory = known.cloned().unwrap_or_default();
        let (timing, now) = (&self.turn.limits.timing, self.turn.now);
        for (offering, error) in offerings {
            policy::without_capacity(&mut memory, offering, &error.to_string(), timing, now);
        }
        self.remember(pool, memory);
    }

    fn remember(&mut self, pool: &PoolName, memory: PoolMemory) {
        self.pools.insert(pool.clone(), memory.clone());
        self.changes.pools.insert(pool.clone(), memory);
    }

    /// A line about one step.
    pub(super) fn step(&mut self, kind: EntryKind, step: &Step, reason: Reason, detail: String) {
        self.line(
            kind,
            act_name(&step.act),
            Entry {
                pool: Some(step.pool.clone()),
                worker: Some(step.worker.clone()),
                reason: Some(reason),
                detail,
                ..self.blank()
            },
        );
    }

    /// A line about a launch: of one worker, or of the whole batch.
    pub(super) fn launch(
        &mut self,
        kind: EntryKind,
        request: &LaunchRequest,
        worker: Option<&WorkerId>,
        reason: Reason,
    ) {
        self.line(
            kind,
            "launch",
            Entry {
                pool: Some(request.pool.clone()),
                worker: worker.cloned(),
                reason: Some(reason),
                detail: request.batch.to_string(),
                ..self.blank()
            },
        );
    }

    /// Counts an act's outcome.
    pub(super) fn count(&self, pool: &PoolName, act: &str, outcome: &str) {
        let cluster = self.turn.limits.name.as_str();
        self.metrics.pass.acts.with_label_values(&[cluster, pool.as_str(), act, outcome]).inc();
    }

    fn line(&mut self, kind: EntryKind, what: &str, line: Entry) {
        self.refused |= kind == EntryKind::Refused;
        tracing::info!(
            section = "act",
            cluster = %line.cluster,
            pool = line.pool.as_ref().map(tracing::field::display),
            worker.id = line.worker.as_ref().map(tracing::field::display),
            pass.id = %line.pass,
            act = what,
            outcome = ?kind,
            reason = line.reason.as_ref().map(tracing::field::display),
            "act"
        );
        self.changes.history.push(Entry { kind, what: what.to_owned(), ..line });
    }

    fn blank(&self) -> Entry {
        entry(self.turn, self.token, EntryKind::Done, "")
    }
}

/// Pairs machines with workers so that what is recorded stays, and what is left over goes to who still waits.
fn anew(
    request: &LaunchRequest,
    workers: &BTreeMap<WorkerId, Worker>,
    answered: Vec<(WorkerId, InstanceId, Offering)>,
) -> Vec<(WorkerId, InstanceId, Offering)> {
    let bound: BTreeSet<&InstanceId> =
        workers.values().filter_map(|worker| worker.instance.as_ref()).collect();
    let waits =
        |id: &WorkerId| workers.get(id).is_some_and(|it| it.state == WorkerState::Requested);
    let fresh = answered.into_iter().filter(|(_, machine, _)| !bound.contains(machine));
    let (mut pairs, over): (Vec<_>, Vec<_>) = fresh.partition(|(worker, ..)| waits(worker));
    let taken: BTreeSet<WorkerId> = pairs.iter().map(|(worker, ..)| worker.clone()).collect();
    let waiting = request.orders.iter().map(|order| &order.worker);
    let waiting = waiting.filter(|id| waits(id) && !taken.contains(*id));
    pairs.extend(waiting.zip(over).map(|(worker, (_, id, at))| (worker.clone(), id, at)));
    pairs
}

#[cfg(test)]
mod tests;
