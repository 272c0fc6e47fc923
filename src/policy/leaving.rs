//! Workers on their way out: one step each pass, taken back when demand returns, a pause is set, or
//! the drain takes too long; suspended while monitoring is away or the machine is not listed.
//! Terminating is never taken back.

use super::asks::Court;
use super::candidates::{self, Candidate};
use super::draft::Draft;
use super::records::{self, acts, go_on, stand_still};
use super::scene::Scene;
use super::{breaker, pauses, removed, replace};
use crate::model::{
    Act, Cordon, Direction, Instance, Node, Permit, PoolName, Purpose, Reason, Refusal, Worker,
    WorkerEvent, WorkerId, WorkerState, duration,
};
use jiff::Timestamp;
use std::time::Duration;

/// A cordon shows in the view no later than this. Until then a node that looks open is not cordoned once more: the pass that
/// follows at once may look before the control plane has told of it.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// A worker on its way out, with its node.
struct Leaver<'a> {
    worker: &'a Worker,
    node: &'a Node,
}

/// Idle workers of a pool that can still be taken back, those that lost least first.
pub(super) fn reclaimable<'a>(scene: &Scene<'a>, pool: &PoolName) -> Vec<&'a Worker> {
    let idle = scene
        .workers(pool)
        .filter(|worker| worker.is_leaving() && worker.purpose == Some(Purpose::Idle));
    // One that the provider takes is of no use any more.
    let list = scene.instances(pool).unwrap_or_default();
    let stays = idle.filter(|worker| notice(scene, worker, &list).is_none());
    // One whose node another pool claims too stands still where it is, so nothing is to be had of it.
    let is_had =
        |worker: &&Worker| scene.node(worker).is_some() && scene.undisputed(worker).is_ok();
    let mut workers: Vec<&Worker> = stays.filter(is_had).collect();
    let progress = |worker: &Worker| match worker.state {
        WorkerState::Cordoned => 0,
        WorkerState::Draining => 1,
        _ => 2,
    };
    workers.sort_by_key(|worker| (progress(worker), worker.id.clone()));
    workers
}

/// Moves every worker on its way out by one step; those taken back are released.
pub(super) fn proceed(scene: &Scene<'_>, court: &Court<'_>, draft: &mut Draft) {
    let busy = draft.busy();
    let taken_back = std::mem::take(&mut draft.taken_back);
    let leaving = scene.memory.workers.values().filter(|worker| worker.is_leaving());
    for worker in leaving.filter(|worker| !busy.contains(&worker.id) && acts(scene, &worker.pool)) {
        // Its clock stands still then, as every other's.
        let (Ok(_), Ok(list)) = (scene.fresh_view(), scene.instances(&worker.pool)) else {
            continue;
        };
        if let Err(disputed) = scene.undisputed(worker) {
            draft.also(&worker.pool, Reason::DrainSuspended { why: disputed.to_string() });
            stand_still(scene, worker, draft);
            continue;
        }
        let Some(node) = scene.node(worker) else {
            // Its node is gone though the machine is not: nothing is left to drain or uncordon. It joins anew, or
            // is repaired like any other without a node.
            let reason = Reason::Changed { what: "its node".to_owned() };
            draft.moved(worker, WorkerEvent::Release, reason);
            continue;
        };
        if worker.purpose != Some(Purpose::Notice)
            && let Some(at) = notice(scene, worker, &list).filter(|at| scene.now < *at)
            && unpaused(scene, court, worker)
        {
            // It leaves within its two minutes now, whoever asked for it and whatever he says since.
            draft.moved(worker, WorkerEvent::Noticed, Reason::SpotNotice { at });
            continue;
        }
        let leaver = Leaver { worker, node };
        if let Some(reason) = give_back(scene, court, &leaver, &taken_back) {
            release(scene, worker, node, reason, draft);
        } else if let Err(why) = rests_on(scene, court, worker, &list) {
            draft.also(&worker.pool, Reason::DrainSuspended { why: why.to_string() });
            stand_still(scene, worker, draft);
        } else {
            if let Some(by) = worker.blocked.clone() {
                draft.also(&worker.pool, Reason::DrainBlocked { worker: worker.id.clone(), by });
            }
            advance(scene, court, &leaver, &list, draft);
        }
    }
}

/// Why a worker is given back, if it is.
fn give_back(
    scene: &Scene<'_>,
    court: &Court<'_>,
    &Leaver { worker, node }: &Leaver<'_>,
    taken_back: &[WorkerId],
) -> Option<Reason> {
    if taken_back.contains(&worker.id) {
        return Some(Reason::DemandReturned);
    }
    if let Err(paused) = pause(scene, court, worker) {
        return Some(paused);
    }
    let pool = scene.pool(&worker.pool)?;
    if worker.purpose == Some(Purpose::Removed) && !pool.removed {
        return Some(Reason::Changed { what: "the file: it names the pool again".to_owned() });
    }
    if worker.purpose == Some(Purpose::Notice) {
        return None;
    }
    if let Err(kept) = candidates::not_kept(node) {
        return Some(kept);
    }
    // It can neither be ended under a person's cordon nor be given back as late, for nothing is left to drain.
    if worker.state == WorkerState::Drained && node.cordon == Cordon::Foreign {
        return Some(Reason::ForeignCordon);
    }
    // Of an empty one nothing is late: it only waits for its volumes.
    let is_empty = || scene.movable_on(&node.at.name).next().is_none();
    let is_done = worker.state == WorkerState::Drained && is_empty();
    let timeout = pool.drain.timeout;
    let is_late = worker.elapsed(scene.now) > timeout && !is_done;
    let (after, by) = (duration::format(timeout), worker.blocked.clone());
    is_late.then_some(Reason::DrainDeadline { after, by })
}

/// A pause set since the drain began.
fn pause(scene: &Scene<'_>, court: &Court<'_>, worker: &Worker) -> Result<(), Reason> {
    let (autoscale, direction) = match worker.purpose {
        Some(Purpose::Manual) => ("manual", None),
        Some(Purpose::Replace) => ("replace", Some(Direction::Replace)),
        Some(Purpose::Notice) => ("replace", None),
        Some(Purpose::Removed) => ("down", None),
        Some(Purpose::Idle) | None => ("down", Some(Direction::Down)),
    };
    pauses::check(&scene.labels(autoscale, &worker.pool), court.memory, court.truth, scene.now)?;
    let asking = scene.signals.iter().filter(|signal| Some(signal.direction()) == direction);
    let mut paused = Ok(());
    for signal in asking.filter(|signal| court.pool_of(signal).as_ref() == Some(&worker.pool)) {
        match court.standing(signal) {
            // Another alert still asks for it.
            Ok(()) => return Ok(()),
            Err(reason @ Reason::Paused { .. }) => paused = Err(reason),
            Err(_) => {}
        }
    }
    paused
}

/// What a drain rests on all the time, or what of it is away: monitoring, where it asked for it, and a list that shows
/// the machine, as when the worker was chosen. One that is taken back by the provider has no time for either.
fn rests_on<'a>(
    scene: &Scene<'a>,
    court: &Court<'_>,
    worker: &Worker,
    list: &[&'a Instance],
) -> Result<(), Reason> {
    match worker.purpose {
        Some(Purpose::Notice) => return Ok(()),
        Some(Purpose::Manual) => {}
        Some(Purpose::Idle | Purpose::Replace | Purpose::Removed) | None => court.removal()?,
    }
    scene.listed(worker, list).map(|_| ())
}

fn release(scene: &Scene<'_>, worker: &Worker, node: &Node, reason: Reason, draft: &mut Draft) {
    if matches!(reason, Reason::DrainDeadline { .. }) {
        refuse(scene, worker, &reason, draft);
    }
    // Uncordon first; the record follows when it is done.
    draft.step(worker, Act::Uncordon { node: node.at.clone() }, reason, Permit::Begun);
}

/// No candidate again for an hour, doubling to a day.
pub(super) fn refuse(scene: &Scene<'_>, worker: &Worker, reason: &Reason, draft: &mut Draft) {
    let timing = &scene.limits.timing;
    let is_noted = |refusal: &Refusal| scene.now < refusal.until;
    if draft.plan.memory.refusals.get(&worker.id).is_some_and(is_noted) {
        // The uncordon failed and is asked again: that is no second drain.
        return;
    }
    let before = draft.plan.memory.refusals.get(&worker.id).map_or(0, |refusal| refusal.count);
    let wait = breaker::doubled(timing.refusal, before, timing.refusal_max);
    let refusal = Refusal {
        count: before.saturating_add(1),
        until: duration::after(scene.now, wait),
        why: reason.to_string(),
    };
    draft.plan.memory.refusals.insert(worker.id.clone(), refusal);
}

fn advance<'a>(
    scene: &Scene<'a>,
    court: &Court<'_>,
    leaver: &Leaver<'_>,
    list: &[&'a Instance],
    draft: &mut Draft,
) {
    let &Leaver { worker, node } = leaver;
    if worker.held_since.is_some() {
        return go_on(scene, worker, draft);
    }
    let at = node.at.clone();
    let left = u32::try_from(scene.movable_on(&node.at.name).count()).unwrap_or(u32::MAX);
    let going = Reason::DrainGoesOn { left };
    match worker.state {
        WorkerState::Cordoned if is_unseen(scene, leaver) => {}
        WorkerState::Cordoned if node.cordon != Cordon::Ours => {
            recordon(scene, court, leaver, list, draft);
        }
        // Somebody uncordoned it: it would fill again while it empties.
        WorkerState::Draining | WorkerState::Drained if node.cordon == Cordon::None => {
            recordon(scene, court, leaver, list, draft);
        }
        WorkerState::Cordoned => {
            if let Err(wait) = forgotten_by_load_balancers(scene, worker) {
                return draft.also(&worker.pool, wait);
            }
            draft.step_after(
                WorkerEvent::StartDrain,
                records::step(worker, Act::Evict { node: at }, going, Permit::Begun),
            );
        }
        WorkerState::Drained if left == 0 && node.cordon == Cordon::Ours => {
            let machine =
                list.iter().find(|instance| worker.instance.as_ref() == Some(&instance.id));
            if machine.is_some_and(|instance| instance.protected) {
                // The provider would refuse, for ever.
                return release(scene, worker, node, Reason::Protected, draft);
            }
            if let Err(wait) = detached(scene, leaver) {
                return draft.also(&worker.pool, wait);
            }
            if let Some(instance) = machine.filter(|instance| instance.is_live()) {
                let act = Act::Terminate { instance: instance.id.clone() };
                draft.step_after(
                    WorkerEvent::Terminate,
                    records::step(worker, act, Reason::DrainDone, last_word(worker)),
                );
            }
        }
        // To one that was drained pods may have come back, for example through somebody's uncordon.
        WorkerState::Draining | WorkerState::Drained => {
            let (act, reason) = match taken_in_a_moment(scene, worker, list) {
                Some(end) => (Act::Force { node: at }, Reason::NoticeEnds { at: end, left }),
                None => (Act::Evict { node: at }, going),
            };
            draft.step(worker, act, reason, Permit::Begun);
        }
        _ => {}
    }
}

/// Whether nobody paused what a notice asks for: else the drain would be given back for it, and goes on as it began.
fn unpaused(scene: &Scene<'_>, court: &Court<'_>, worker: &Worker) -> bool {
    let labels = scene.labels("replace", &worker.pool);
    pauses::check(&labels, court.memory, court.truth, scene.now).is_ok()
}

/// When the provider takes the machine, if it does.
fn notice<'a>(scene: &Scene<'a>, worker: &Worker, list: &[&'a Instance]) -> Option<Timestamp> {
    scene.machine(worker, list).live()?.notice
}

/// When the provider takes the machine, if that is so near that its pods go whatever their budgets say: they would be killed
/// without their grace. One that is there past that time was not taken.
fn taken_in_a_moment<'a>(
    scene: &Scene<'a>,
    worker: &Worker,
    list: &[&'a Instance],
) -> Option<Timestamp> {
    let notice = notice(scene, worker, list)?;
    let last = scene.pool(&worker.pool)?.drain.force_last;
    let is_near = scene.now >= duration::before(notice, last) && scene.now < notice;
    is_near.then_some(notice)
}

/// A cordon tells load balancers to send nothing new; they need a while to hear of it.
fn forgotten_by_load_balancers(scene: &Scene<'_>, worker: &Worker) -> Result<(), Reason> {
    let wait = scene.pool(&worker.pool).map_or(Duration::ZERO, |pool| pool.drain.load_balancers);
    waited(scene, worker, wait)
        .map_err(|until| Reason::LoadBalancers { worker: worker.id.clone(), until })
}

/// A volume that comes off its node in good order is at its pod's new place at once; one whose machine is ended before
/// may be held back for minutes.
fn detached(scene: &Scene<'_>, &Leaver { worker, node }: &Leaver<'_>) -> Result<(), Reason> {
    let view = scene.view().ok();
    let all = view.and_then(|view| view.attached.as_ref());
    let on_it = all.map(|all| all.get(&node.at.name).map_or(0, Vec::len));
    if on_it == Some(0) {
        return Ok(());
    }
    let wait = scene.pool(&worker.pool).map_or(Duration::ZERO, |pool| pool.drain.detach);
    waited(scene, worker, wait).map_err(|until| match on_it {
        Some(volumes) => {
            let volumes = u32::try_from(volumes).unwrap_or(u32::MAX);
            Reason::VolumesAttached { worker: worker.id.clone(), volumes, until }
        }
        None => Reason::Unknown {
            what: format!("what is attached to {}", worker.id),
            why: "volumeattachments are not seen".to_owned(),
        },
    })
}

/// Whether a worker has been in its state for so long, or else until when it waits. One that the provider takes back has
/// no time to wait.
fn waited(scene: &Scene<'_>, worker: &Worker, wait: Duration) -> Result<(), Timestamp> {
    let until = duration::after(worker.since, wait);
    let is_over = scene.now >= until || worker.purpose == Some(Purpose::Notice);
    if is_over { Ok(()) } else { Err(until) }
}

/// Before the point of no return only the pause is asked once more; what asked for it was asked when
/// the drain began.
pub(super) fn last_word(worker: &Worker) -> Permit {
    match worker.purpose {
        Some(Purpose::Manual) => Permit::Manual,
        Some(Purpose::Replace) => Permit::Replace { signals: Vec::new() },
        Some(Purpose::Notice) => Permit::Notice,
        Some(Purpose::Idle | Purpose::Removed) => {
            Permit::Down { signals: Vec::new(), guards: Vec::new() }
        }
        None => Permit::Repair,
    }
}

/// Whether a cordon may be there that the view does not show yet.
fn is_unseen(scene: &Scene<'_>, &Leaver { worker, node }: &Leaver<'_>) -> bool {
    node.cordon != Cordon::Ours && duration::since(worker.since, scene.now) < SEEN_WITHIN
}

/// The intent to cordon is stored and the node is open: the call was refused or failed, or we died
/// before it or right after giving the worker back, or somebody opened it. What asked for it is asked
/// again; if nothing does any more, the worker is given back.
fn recordon<'a>(
    scene: &Scene<'a>,
    court: &Court<'_>,
    &Leaver { worker, node }: &Leaver<'_>,
    list: &[&'a Instance],
    draft: &mut Draft,
) {
    let is_protected =
        |one: &&&Instance| one.protected && worker.instance.as_ref() == Some(&one.id);
    if list.iter().any(|one| is_protected(&one)) && worker.purpose != Some(Purpose::Notice) {
        return release(scene, worker, node, Reason::Protected, draft);
    }
    let again = match worker.purpose {
        Some(Purpose::Idle) | None => still_idle(scene, court, &Leaver { worker, node }),
        Some(Purpose::Removed) => still_removed(scene, &Leaver { worker, node }),
        Some(Purpose::Replace) => {
            let cause = replace::cause(scene, court, worker, node, list);
            cause.map(|cause| (cause.permit(), cause.reason))
        }
        // A notice stays one, and a wish is done with once it is begun.
        Some(Purpose::Notice | Purpose::Manual) => {
            Some((last_word(worker), Reason::DrainGoesOn { left: 0 }))
        }
    };
    if let Some((permit, reason)) = again {
        draft.step(worker, Act::Cordon { node: node.at.clone() }, reason, permit);
    } else {
        let reason = Reason::Changed { what: "the alert".to_owned() };
        release(scene, worker, node, reason, draft);
    }
}

/// Pods that came onto an open node must find a place elsewhere, as before the drain began.
fn still_fits(scene: &Scene<'_>, &Leaver { worker, node }: &Leaver<'_>) -> Option<()> {
    let pods = scene.movable_on(&node.at.name).collect();
    let leaving = [Candidate { worker, node, pods }];
    candidates::fits_without(scene, scene.pool(&worker.pool)?, &leaving).ok()
}

/// What still says that a worker's pool is to be drained.
fn still_removed(scene: &Scene<'_>, leaver: &Leaver<'_>) -> Option<(Permit, Reason)> {
    still_fits(scene, leaver)?;
    let since = removed::since(scene, scene.pool(&leaver.worker.pool)?)?;
    let permit = Permit::Down { signals: Vec::new(), guards: scene.limits.guards.down.clone() };
    Some((permit, Reason::Removed { since }))
}

/// What still says that an idle worker's pool is idle.
fn still_idle(
    scene: &Scene<'_>,
    court: &Court<'_>,
    leaver: &Leaver<'_>,
) -> Option<(Permit, Reason)> {
    still_fits(scene, leaver)?;
    let worker = leaver.worker;
    let downs = scene.signals.iter().filter(|signal| signal.direction() == Direction::Down);
    let ours = downs.filter(|signal| court.pool_of(signal).as_ref() == Some(&worker.pool));
    let counting: Vec<_> = ours.filter(|signal| court.standing(signal).is_ok()).collect();
    let reason = Reason::Idle { alert: counting.first()?.name.clone() };
    let permit = Permit::Down {
        signals: counting.iter().map(|signal| signal.id.clone()).collect(),
        guards: scene.limits.guards.down.clone(),
    };
    Some((permit, reason))
}
