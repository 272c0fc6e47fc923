//! Records follow what is seen: joined, Ready, lost, never joined. And what that makes of
//! machines that are dead, left over, or not asked for.

use super::draft::Draft;
use super::scene::{Health, Machine, Scene, unknown};
use super::{adopt, candidates, leaving, pauses};
use crate::config::{Mode, PoolConfig};
use crate::model::{
    Act, Cordon, Failure, Node, Permit, PoolName, Purpose, Readiness, Reason, Step, Taint,
    Transition, Worker, WorkerEvent, WorkerState, duration,
};
use jiff::Timestamp;
use std::time::Duration;

/// Moves every record by at most one state.
pub(super) fn follow(scene: &Scene<'_>, draft: &mut Draft) {
    for worker in scene.memory.workers.values() {
        if worker.is_live() {
            follow_one(scene, worker, draft);
        } else if duration::since(worker.since, scene.now) > scene.limits.timing.gone_for {
            draft.plan.forget.push(worker.id.clone());
        }
    }
    for pool in scene.limits.pools.keys() {
        adopt::adopt(scene, pool, draft);
    }
    settle_intents(scene, draft);
}

fn follow_one(scene: &Scene<'_>, worker: &Worker, draft: &mut Draft) {
    let (Ok(list), Ok(_)) = (scene.instances(&worker.pool), scene.fresh_view()) else {
        stand_still(scene, worker, draft);
        return;
    };
    if let Err(disputed) = scene.undisputed(worker)
        && worker.state != WorkerState::Terminating
    {
        // One on its way out is held where its drain is.
        if !worker.is_leaving() {
            draft.also(&worker.pool, disputed);
            stand_still(scene, worker, draft);
        }
        return;
    }
    let machine = scene.machine(worker, &list);
    let node = scene.node(worker);
    let before = draft.plan.transitions.len() + draft.plan.steps.len();
    match &worker.state {
        WorkerState::Requested => requested(scene, worker, machine, draft),
        WorkerState::Booting => booting(scene, worker, machine, node, draft),
        WorkerState::Joined => joined(scene, worker, machine, node, draft),
        WorkerState::Ready => ready(scene, worker, machine, node, draft),
        WorkerState::Cordoned | WorkerState::Draining | WorkerState::Drained => {
            if is_lost(machine, node) {
                fail(worker, Failure::Lost, lost(machine), draft);
            }
        }
        WorkerState::Failed { failure } => failed(scene, worker, *failure, (machine, node), draft),
        WorkerState::Terminating if acts(scene, &worker.pool) => {
            terminating(worker, machine, node, draft);
        }
        WorkerState::Terminating | WorkerState::Gone => {}
    }
    // One on its way out has its clock set by `leaving`, which knows more reasons to stop it.
    if worker.is_coming() && draft.plan.transitions.len() + draft.plan.steps.len() == before {
        go_on(scene, worker, draft);
    }
}

fn requested(scene: &Scene<'_>, worker: &Worker, machine: Machine<'_>, draft: &mut Draft) {
    if let Machine::Live(instance) | Machine::Stopped(instance) = machine {
        let event = WorkerEvent::Launched {
            instance: instance.id.clone(),
            shape: instance.shape.clone(),
            zone: instance.zone.clone(),
            market: instance.market,
        };
        return draft.moved(worker, event, Reason::Launched);
    }
    let open = worker.batch.as_ref().and_then(|batch| scene.memory.intents.get_key_value(batch));
    match open {
        None => fail(worker, Failure::NotLaunched, Reason::NeverLaunched, draft),
        // The call may still be under way; after its time the very same request settles it.
        Some((batch, intent))
            if duration::since(intent.at, scene.now) > scene.limits.timing.call =>
        {
            let asked = draft
                .plan
                .steps
                .iter()
                .any(|step| step.act == Act::Replay { batch: batch.clone() });
            if !asked {
                draft.step(
                    worker,
                    Act::Replay { batch: batch.clone() },
                    Reason::IntentOpen { batch: batch.clone() },
                    intent.permit.again(),
                );
            }
        }
        Some(_) => {}
    }
}

fn booting(
    scene: &Scene<'_>,
    worker: &Worker,
    machine: Machine<'_>,
    node: Option<&Node>,
    draft: &mut Draft,
) {
    if let Some(node) = node {
        return draft.moved(worker, WorkerEvent::Joined { node: node.at.clone() }, Reason::Joined);
    }
    if matches!(machine, Machine::Stopped(_) | Machine::Ending(_) | Machine::Gone(_)) {
        return fail(worker, Failure::Lost, lost(machine), draft);
    }
    if let Some(node) = scene.stranger(worker) {
        // It may be this one's: then it serves.
        let why = format!("{} says neither by its provider id nor by a label", node.at.name);
        return draft.also(&worker.pool, unknown("on which machine a node is", &why));
    }
    give_up_late(scene, worker, Failure::NeverJoined, draft);
}

fn joined(
    scene: &Scene<'_>,
    worker: &Worker,
    machine: Machine<'_>,
    node: Option<&Node>,
    draft: &mut Draft,
) {
    if let Some(node) = scene.anew(worker) {
        return join_anew(worker, node, draft);
    }
    if is_lost(machine, node) {
        return fail(worker, Failure::Lost, lost(machine), draft);
    }
    if node.is_some_and(|node| has_started(scene, worker, node)) {
        return draft.moved(worker, WorkerEvent::BecameReady, Reason::BecameReady);
    }
    give_up_late(scene, worker, Failure::NeverReady, draft);
}

/// Whether a node is Ready, and what had to start on it has taken its taint away: until then it refuses pods.
fn has_started(scene: &Scene<'_>, worker: &Worker, node: &Node) -> bool {
    let awaited = scene.pool(&worker.pool).map(|pool| &pool.node.startup_taints);
    let is_awaited = |taint: &Taint| awaited.is_some_and(|taints| taints.contains(&taint.key));
    node.is_ready() && !node.taints.iter().any(is_awaited)
}

/// The machine is well and registered anew (its name changed, or somebody deleted its node): what it was bound to
/// says nothing about it any more.
fn join_anew(worker: &Worker, node: &Node, draft: &mut Draft) {
    draft.moved(worker, WorkerEvent::Joined { node: node.at.clone() }, Reason::JoinedAnew);
}

/// From its launch to Ready a machine has one deadline.
fn give_up_late(scene: &Scene<'_>, worker: &Worker, failure: Failure, draft: &mut Draft) {
    if worker.elapsed(scene.now) > join_deadline(scene, worker) {
        fail(worker, failure, reason_of(scene, worker, failure), draft);
    }
}

fn ready(
    scene: &Scene<'_>,
    worker: &Worker,
    machine: Machine<'_>,
    node: Option<&Node>,
    draft: &mut Draft,
) {
    if let Some(node) = scene.anew(worker) {
        return join_anew(worker, node, draft);
    }
    if is_lost(machine, node) {
        return fail(worker, Failure::Lost, lost(machine), draft);
    }
    if let Some(node) = node.filter(|node| node.cordon == Cordon::Ours) {
        // A mark that no record speaks of: of a store that was lost, or of a call whose answer was.
        let reason = Reason::Changed { what: "what asked for it".to_owned() };
        if acts(scene, &worker.pool) {
            draft.step(worker, Act::Uncordon { node: node.at.clone() }, reason, Permit::Begun);
        }
        return;
    }
    let Some(since) = not_ready_since(scene, worker, node, draft) else { return };
    let deadline = scene.pool(&worker.pool).map_or(Duration::MAX, |pool| pool.not_ready_deadline);
    if duration::since(since, scene.now) <= deadline {
        return;
    }
    let may = spared(scene, worker, machine, node);
    match may.and_then(|()| within_budget(scene, &worker.pool)) {
        Ok(()) => fail(
            worker,
            Failure::NotReady,
            Reason::NotReady { after: duration::format(deadline) },
            draft,
        ),
        Err(reason) => draft.also(&worker.pool, reason),
    }
}

/// Since when a Ready worker has no Ready node, as far as we saw it: its node is not Ready, or is not there.
fn not_ready_since(
    scene: &Scene<'_>,
    worker: &Worker,
    node: Option<&Node>,
    draft: &mut Draft,
) -> Option<Timestamp> {
    let memory = &mut draft.plan.memory;
    let (sick, unseen) = (&mut memory.sick_since, &mut memory.unseen_since);
    match node.map(|node| node.readiness) {
        Some(Readiness::Ready) => {
            sick.remove(&worker.id);
            unseen.remove(&worker.id);
            None
        }
        Some(Readiness::NotReady { since }) => {
            unseen.remove(&worker.id);
            let seen = *sick.entry(worker.id.clone()).or_insert(scene.now);
            // Told by the clock of the control plane, which is not ours: only as long as both say.
            Some(since.max(seen))
        }
        None => {
            sick.remove(&worker.id);
            Some(*unseen.entry(worker.id.clone()).or_insert(scene.now))
        }
    }
}

/// What keeps a worker even when it is sick: its name is permanent, its machine is protected, or a
/// person works on its node.
fn spared(
    scene: &Scene<'_>,
    worker: &Worker,
    machine: Machine<'_>,
    node: Option<&Node>,
) -> Result<(), Reason> {
    not_permanent(scene, worker, node)?;
    if node.is_some_and(|node| node.cordon == Cordon::Foreign) {
        return Err(Reason::ForeignCordon);
    }
    node.map_or(Ok(()), candidates::not_kept)?;
    match machine {
        Machine::Live(instance) | Machine::Stopped(instance) if instance.protected => {
            Err(Reason::Protected)
        }
        _ => Ok(()),
    }
}

/// An owner's word about a worker, whether or not its node is there.
fn not_permanent(scene: &Scene<'_>, worker: &Worker, node: Option<&Node>) -> Result<(), Reason> {
    let bound = worker.node.as_ref().map(|node| node.name.as_str());
    let names = [Some(worker.id.as_str()), bound, node.map(|node| node.at.name.as_str())];
    let pool = scene.pool(&worker.pool);
    let is_named =
        |pool: &PoolConfig| names.iter().flatten().any(|name| pool.permanent.contains(*name));
    if pool.is_some_and(is_named) { Err(Reason::Permanent) } else { Ok(()) }
}

/// Many sick at once may mean that it is not them: then nothing is repaired, whether they are many of their pool or, where
/// pools are small, of all there are. Of few one may always be sick.
fn within_budget(scene: &Scene<'_>, pool: &PoolName) -> Result<(), Reason> {
    let percent = scene.pool(pool).map_or(0, |pool| pool.repair_budget) as usize;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let health = scene.health();
    let of_pool = health.get(pool).copied().unwrap_or_default();
    let of_all = health.values().fold(Health::default(), |all, one| all.and(*one));
    for Health { workers, sick } in [of_pool, of_all] {
        let allowed = (workers * percent / 100).max(1);
        if sick > allowed {
            return Err(Reason::RepairBudget { sick: count(sick), allowed: count(allowed) });
        }
    }
    Ok(())
}

/// A dead or useless machine is ended; one that never was, or is gone already, needs no call.
fn failed(
    scene: &Scene<'_>,
    worker: &Worker,
    failure: Failure,
    (machine, node): (Machine<'_>, Option<&Node>),
    draft: &mut Draft,
) {
    // Judged too early: nothing was drained, so it is not ended; it is adopted anew. One on which nothing ever started is of no use,
    // unless pods bear that.
    let serves = |node: &Node| match failure {
        Failure::NeverReady => {
            has_started(scene, worker, node)
                || node.is_ready() && scene.movable_on(&node.at.name).next().is_some()
        }
        _ => node.is_ready(),
    };
    if matches!(machine, Machine::Live(_)) && node.is_some_and(serves) {
        return draft.plan.forget.push(worker.id.clone());
    }
    let reason = reason_of(scene, worker, failure);
    if !acts(scene, &worker.pool) {
        return;
    }
    let (word, permit) =
        if failure == Failure::Orphan { ("gc", Permit::Gc) } else { ("repair", Permit::Repair) };
    if let Err(paused) = unpaused(scene, word, &worker.pool, draft) {
        return draft.also(&worker.pool, paused);
    }
    match machine {
        // It may have been Ready before: its machine registered anew.
        Machine::Live(_) if let Err(permanent) = not_permanent(scene, worker, node) => {
            draft.also(&worker.pool, permanent);
        }
        // The provider would refuse, and the record would be committed to its end.
        Machine::Live(instance) if instance.protected => {
            draft.also(&worker.pool, Reason::Protected);
        }
        // Stopped, and its node says Ready: neither is believed.
        Machine::Stopped(_) if node.is_some_and(Node::is_ready) => {}
        // A person may have stopped it who wants it to stay.
        Machine::Stopped(_) if let Err(kept) = spared(scene, worker, machine, node) => {
            draft.also(&worker.pool, kept);
        }
        Machine::Live(instance) | Machine::Stopped(instance) => {
            let act = Act::Terminate { instance: instance.id.clone() };
            draft.step_after(WorkerEvent::Terminate, step(worker, act, reason, permit));
        }
        Machine::Ending(_) | Machine::Gone(_) => {
            draft.moved(worker, WorkerEvent::Terminate, reason);
        }
        Machine::Unknown => {}
    }
}

/// Asked again every pass until the machine is proven gone; then the node goes, then the record.
fn terminating(worker: &Worker, machine: Machine<'_>, node: Option<&Node>, draft: &mut Draft) {
    let is_well = node.is_some_and(Node::is_ready);
    match (machine, node) {
        // Taken for left over, and here it is after all: the record goes, and the machine is adopted anew.
        (Machine::Live(_), _) if worker.instance.is_none() => {
            draft.plan.forget.push(worker.id.clone());
        }
        // Taken for dead, and alive and well: a list had lost it, or it came back before its end. Nothing
        // was drained, so it is not ended; it is adopted anew too.
        (Machine::Live(_), _) if worker.purpose.is_none() && is_well => {
            draft.plan.forget.push(worker.id.clone());
        }
        // The list and the node contradict each other, and nothing was drained.
        (Machine::Stopped(_), _) if worker.purpose.is_none() && is_well => {}
        // A person protected it amid its drain, and its end was refused for that. It serves again: the record goes, and the machine
        // is adopted anew, which takes our mark off its node. What the provider takes itself is not kept by that.
        (Machine::Live(instance), _)
            if instance.protected && is_well && worker.purpose != Some(Purpose::Notice) =>
        {
            let told = Transition::Told { worker: worker.id.clone(), reason: Reason::Protected };
            draft.plan.transitions.push(told);
            draft.also(&worker.pool, Reason::Protected);
            draft.plan.forget.push(worker.id.clone());
        }
        (Machine::Live(instance) | Machine::Stopped(instance), _) if instance.protected => {
            draft.also(&worker.pool, Reason::Protected);
        }
        (Machine::Live(instance) | Machine::Stopped(instance), _) => {
            // A pause that was set meanwhile holds this too, though it takes nothing back.
            let act = Act::Terminate { instance: instance.id.clone() };
            draft.step(worker, act, Reason::DrainDone, leaving::last_word(worker));
        }
        // The list and the node contradict each other; a dead machine's node is not Ready for long.
        (Machine::Gone(_), Some(_)) if is_well => {}
        (Machine::Gone(_), Some(node)) => {
            // What was never ours to end is left over, and cleared away under its own word.
            let is_left_over = worker.instance.is_none() && worker.batch.is_none();
            let permit = if is_left_over { Permit::Gc } else { Permit::Begun };
            let act = Act::RemoveNode { node: node.at.clone() };
            draft.step(worker, act, Reason::NodeLeftOver, permit);
        }
        (Machine::Gone(_), None) => draft.moved(worker, WorkerEvent::Finished, Reason::Finished),
        (Machine::Ending(_) | Machine::Unknown, _) => {}
    }
}

/// A machine that a whole list does not hold, or that was stopped, or that is ending. While its node says Ready the two
/// contradict each other, and neither is believed.
fn is_lost(machine: Machine<'_>, node: Option<&Node>) -> bool {
    match machine {
        Machine::Ending(_) => true,
        Machine::Stopped(_) | Machine::Gone(_) => !node.is_some_and(Node::is_ready),
        Machine::Live(_) | Machine::Unknown => false,
    }
}

/// Why a machine is lost, as far as its provider says.
fn lost(machine: Machine<'_>) -> Reason {
    match machine {
        Machine::Stopped(instance) | Machine::Ending(instance) | Machine::Gone(Some(instance)) => {
            Reason::Lost { told: instance.told.clone() }
        }
        Machine::Live(_) | Machine::Gone(None) | Machine::Unknown => Reason::Lost { told: None },
    }
}

fn fail(worker: &Worker, failure: Failure, reason: Reason, draft: &mut Draft) {
    draft.moved(worker, WorkerEvent::Fail { failure }, reason);
}

fn reason_of(scene: &Scene<'_>, worker: &Worker, failure: Failure) -> Reason {
    let after = duration::format(join_deadline(scene, worker));
    match failure {
        Failure::NotLaunched | Failure::Refused => Reason::NeverLaunched,
        Failure::NeverJoined => Reason::NeverJoined { after },
        Failure::NeverReady => Reason::NeverReady { after },
        Failure::NotReady => {
            let deadline =
                scene.pool(&worker.pool).map_or(Duration::ZERO, |pool| pool.not_ready_deadline);
            Reason::NotReady { after: duration::format(deadline) }
        }
        Failure::Lost => Reason::Lost { told: None },
        Failure::Orphan => Reason::Orphan,
    }
}

fn join_deadline(scene: &Scene<'_>, worker: &Worker) -> Duration {
    scene.pool(&worker.pool).map_or(Duration::MAX, |pool| pool.join_deadline)
}

/// Whether an act that no alert asks for is paused.
fn unpaused(scene: &Scene<'_>, word: &str, pool: &PoolName, draft: &Draft) -> Result<(), Reason> {
    pauses::check(&scene.labels(word, pool), &draft.plan.memory, &scene.observed.truth, scene.now)
}

/// Whether machines of a pool may be touched: it is configured, and not in dry run.
pub(super) fn acts(scene: &Scene<'_>, pool: &PoolName) -> bool {
    scene.pool(pool).is_some_and(|pool| pool.mode == Mode::Act)
}

/// An intent whose every order has its machine, or surely has none, is settled.
fn settle_intents(scene: &Scene<'_>, draft: &mut Draft) {
    for (batch, intent) in &scene.memory.intents {
        let is_open = |order: &crate::model::Order| {
            let record = scene.memory.workers.get(&order.worker);
            record.is_some_and(|worker| worker.state == WorkerState::Requested)
        };
        if !intent.request.orders.iter().any(is_open) {
            draft.plan.settled.push(batch.clone());
        }
    }
}

/// Stops the clock of a worker that has a deadline: what is not known is not its fault.
pub(super) fn stand_still(scene: &Scene<'_>, worker: &Worker, draft: &mut Draft) {
    let has_deadline = worker.is_coming() || worker.is_leaving();
    if has_deadline && worker.held_since.is_none() {
        let worker = Worker { held_since: Some(scene.now), ..worker.clone() };
        draft.plan.transitions.push(Transition::Clock { worker });
    }
}

/// Lets the clock go on.
pub(super) fn go_on(scene: &Scene<'_>, worker: &Worker, draft: &mut Draft) {
    if let Some(since) = worker.held_since {
        let held = worker.held + duration::since(since, scene.now);
        let worker = Worker { held, held_since: None, ..worker.clone() };
        draft.plan.transitions.push(Transition::Clock { worker });
    }
}

/// A step for a worker, as most rules make one.
pub(super) fn step(worker: &Worker, act: Act, reason: Reason, permit: Permit) -> Step {
    Step {
        worker: worker.id.clone(),
        pool: worker.pool.clone(),
        act,
        before: None,
        reason,
        permit,
        dry_run: false,
    }
}
