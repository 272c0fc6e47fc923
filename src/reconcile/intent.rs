//! What is stored before anything is called: the plan, turned into changes.

use super::Turn;
use crate::model::{
    Act, Changes, Claim, ClusterMemory, Decision, Entry, EntryKind, Intent, PoolMemory, PoolName,
    Reason, Step, Token, Transition, Verdict, Worker, WorkerEvent, WorkerId, WorkerState,
};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// What to store, and the records as they are after it is stored.
pub(super) struct Prepared {
    pub(super) changes: Changes,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    /// Workers whose intent did not fit their record: their steps must not be made.
    pub(super) skipped: HashSet<WorkerId>,
    /// Whether a record moved or a launch begins: the next pass comes at once.
    pub(super) changed: bool,
}

/// Turns a plan into the changes to store before it is executed. What is planned in `dry_run` is
/// recorded in the history only.
pub(super) fn prepare(turn: &Turn<'_>, claim: &Claim) -> Prepared {
    let mut intent = Preparation {
        turn,
        token: claim.token,
        changes: Changes::default(),
        workers: turn.memory.workers.clone(),
        changed: false,
        skipped: HashSet::new(),
    };
    for transition in &turn.plan.transitions {
        intent.transition(transition);
    }
    for step in &turn.plan.steps {
        intent.step(step);
    }
    for decision in &turn.plan.decisions {
        intent.decision(decision);
    }
    intent.housekeeping();
    Prepared {
        changes: intent.changes,
        workers: intent.workers,
        changed: intent.changed,
        skipped: intent.skipped,
    }
}

struct Preparation<'a> {
    turn: &'a Turn<'a>,
    token: Token,
    changes: Changes,
    workers: BTreeMap<WorkerId, Worker>,
    changed: bool,
    skipped: HashSet<WorkerId>,
}

impl Preparation<'_> {
    fn transition(&mut self, transition: &Transition) {
        match transition {
            Transition::Move { worker, event, reason } => {
                if self.apply(worker, event) {
                    self.note(EntryKind::Seen, event.name(), worker, reason);
                }
            }
            Transition::Adopt { worker, reason } => {
                self.put(worker.clone());
                self.changed = true;
                self.note(EntryKind::Seen, "adopt", &worker.id, reason);
            }
            Transition::Told { worker, reason } => {
                self.note(EntryKind::Seen, reason.code(), worker, reason);
            }
            Transition::Clock { worker } => self.put(worker.clone()),
        }
    }

    fn step(&mut self, step: &Step) {
        if step.dry_run {
            return;
        }
        if let Some(event) = &step.before
            && !self.apply(&step.worker, event)
        {
            self.skipped.insert(step.worker.clone());
            return;
        }
        if is_first(step) {
            self.note(EntryKind::Intent, act_name(&step.act), &step.worker, &step.reason);
        }
    }

    fn decision(&mut self, decision: &Decision) {
        let is_new =
            self.pool_memory(&decision.pool).held.as_deref() != Some(decision.reason.code());
        match &decision.verdict {
            Verdict::Launch { intent, .. } if !decision.dry_run => self.launch(decision, intent),
            _ if !is_new => {}
            Verdict::Launch { .. } => self.decided(EntryKind::DryRun, "launch", decision),
            Verdict::Drain { .. } if decision.dry_run => {
                self.decided(EntryKind::DryRun, "drain", decision);
            }
            Verdict::Drain { .. } => self.decided(EntryKind::Intent, "drain", decision),
            Verdict::Hold => self.decided(EntryKind::Held, "hold", decision),
        }
        if is_new {
            self.pool_memory(&decision.pool).held = Some(decision.reason.code().to_owned());
        }
    }

    fn launch(&mut self, decision: &Decision, intent: &Intent) {
        for order in &intent.request.orders {
            self.put(requested(order, intent, self.turn));
        }
        self.decided(EntryKind::Intent, "launch", decision);
        self.changes.intents.push(intent.clone());
        self.changed = true;
    }

    fn housekeeping(&mut self) {
        let plan = self.turn.plan;
        self.changes.settled.clone_from(&plan.settled);
        self.changes.forget_workers.clone_from(&plan.forget);
        self.changes.forget_signals.clone_from(&plan.expired);
        self.changed |= !plan.settled.is_empty();
        if plan.memory != self.turn.memory.cluster {
            self.changes.cluster = Some(ClusterMemory::clone(&plan.memory));
        }
        for (name, memory) in &plan.pools {
            // `held` is ours; everything else is the plan's.
            let held = self
                .changes
                .pools
                .remove(name)
                .map_or_else(|| memory.held.clone(), |ours| ours.held);
            self.changes.pools.insert(name.clone(), PoolMemory { held, ..memory.clone() });
        }
        let before = &self.turn.memory.pools;
        self.changes.pools.retain(|name, memory| before.get(name) != Some(memory));
        self.changes.forget_workers.retain(|id| before_has(self.turn, id));
    }

    /// The pool's memory as it will be stored.
    fn pool_memory(&mut self, pool: &PoolName) -> &mut PoolMemory {
        let stored = self.turn.memory.pools.get(pool);
        self.changes
            .pools
            .entry(pool.clone())
            .or_insert_with(|| stored.cloned().unwrap_or_default())
    }

    /// Applies an event to a record. A plan that asks for the impossible is a fault of ours: it is
    /// said loudly and the worker is left as it is.
    fn apply(&mut self, id: &WorkerId, event: &WorkerEvent) -> bool {
        let Some(mut worker) = self.workers.get(id).cloned() else {
            tracing::error!(section = "decide", worker.id = %id, event = event.name(), "plan names an unknown worker");
            return false;
        };
        if let Err(error) = worker.on(event, self.turn.now) {
            tracing::error!(section = "decide", worker.id = %id, error = %error, "plan asks for the impossible");
            return false;
        }
        self.put(worker);
        self.changed = true;
        true
    }

    fn put(&mut self, worker: Worker) {
        self.changes.workers.retain(|record| record.id != worker.id);
        self.changes.workers.push(worker.clone());
        self.workers.insert(worker.id.clone(), worker);
    }

    /// A line about one worker.
    fn note(&mut self, kind: EntryKind, what: &str, worker: &WorkerId, reason: &Reason) {
        let line = Entry {
            pool: self.workers.get(worker).map(|record| record.pool.clone()),
            worker: Some(worker.clone()),
            reason: Some(reason.clone()),
            ..entry(self.turn, self.token, kind, what)
        };
        self.changes.history.push(line);
    }

    fn decided(&mut self, kind: EntryKind, what: &str, decision: &Decision) {
        let line = Entry {
            pool: Some(decision.pool.clone()),
            reason: Some(decision.reason.clone()),
            detail: detail(decision),
            signals: decision.signals.clone(),
            ..entry(self.turn, self.token, kind, what)
        };
        self.changes.history.push(line);
    }
}

/// A line of history of this turn, to be filled in.
pub(super) fn entry(turn: &Turn<'_>, token: Token, kind: EntryKind, what: &str) -> Entry {
    Entry {
        id: 0,
        at: turn.now,
        cluster: turn.limits.name.clone(),
        pool: None,
        worker: None,
        kind,
        what: what.to_owned(),
        reason: None,
        detail: String::new(),
        signals: Vec::new(),
        pass: turn.pass.clone(),
        token,
    }
}

/// The word for an act in history and metrics.
pub(super) fn act_name(act: &Act) -> &'static str {
    match act {
        Act::Cordon { .. } => "cordon",
        Act::Evict { .. } => "evict",
        Act::Force { .. } => "force",
        Act::Uncordon { .. } => "uncordon",
        Act::Terminate { .. } => "terminate",
        Act::RemoveNode { .. } => "remove_node",
        Act::Replay { .. } => "replay",
    }
}

/// Whether a step is the first of its kind for this worker: evictions and terminations are asked
/// again every pass until they are done, and one line of history is enough for that.
fn is_first(step: &Step) -> bool {
    step.before.is_some()
        || !matches!(step.act, Act::Evict { .. } | Act::Terminate { .. } | Act::Cordon { .. })
}

fn before_has(turn: &Turn<'_>, id: &WorkerId) -> bool {
    turn.memory.workers.contains_key(id)
}

fn detail(decision: &Decision) -> String {
    match &decision.verdict {
        Verdict::Launch { intent, .. } => {
            let orders: Vec<String> = intent
                .request
                .orders
                .iter()
                .map(|order| format!("{}: {}", order.worker, order.offering))
                .collect();
            format!("{} → {} workers; {}", decision.have, decision.want, orders.join(", "))
        }
        Verdict::Drain { workers } => {
            let names: Vec<&str> = workers.iter().map(WorkerId::as_str).collect();
            format!("{} → {} workers; {}", decision.have, decision.want, names.join(", "))
        }
        Verdict::Hold => {
            decision.also.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
    }
}

fn requested(order: &crate::model::Order, intent: &Intent, turn: &Turn<'_>) -> Worker {
    Worker {
        id: order.worker.clone(),
        pool: intent.request.pool.clone(),
        batch: Some(intent.request.batch.clone()),
        shape: order.offering.shape.clone(),
        zone: order.offering.zone.clone(),
        market: order.offering.market,
        instance: None,
        node: None,
        state: WorkerState::Requested,
        since: turn.now,
        deadline_from: turn.now,
        created: turn.now,
        ready: None,
        purpose: None,
        held: Duration::ZERO,
        held_since: None,
        blocked: None,
        template: Some(intent.request.template()),
        last_words: None,
    }
}
