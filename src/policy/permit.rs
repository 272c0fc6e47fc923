//! The check right before an act: does what the decision rests on still hold?

use super::asks::Court;
use super::pauses;
use super::scene::labels;
use crate::config::ClusterConfig;
use crate::model::{
    ClusterMemory, ClusterName, Guard, Observed, Permit, PoolName, Reason, Signal, SignalId, Truth,
    View, duration,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is true at the moment of acting.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The cluster.
    pub cluster: &'a ClusterName,
    /// The pool acted on.
    pub pool: &'a PoolName,
    /// The signals the plan was made from.
    pub signals: &'a [Signal],
    /// What the Alertmanagers say now.
    pub truth: &'a Truth,
    /// What the guards answer now.
    pub guards: &'a BTreeMap<String, Guard>,
    /// What is remembered, with this pass' silences.
    pub memory: &'a ClusterMemory,
    /// The cluster's limits.
    pub limits: &'a ClusterConfig,
    /// Now.
    pub now: Timestamp,
}

/// Whether the act may happen; why not, otherwise.
pub fn check(permit: &Permit, moment: &Moment<'_>) -> Result<(), Reason> {
    match permit {
        Permit::Up { signals } => {
            not_paused("up", moment)?;
            any_counts(signals, moment)
        }
        Permit::Need => not_paused("up", moment),
        Permit::Down { signals, guards } => {
            not_paused("down", moment)?;
            // Also where no alert is named, as before a drained worker's end: who cannot ask, removes nothing.
            court(moment).removal()?;
            any_counts(signals, moment)?;
            guards.iter().try_for_each(|guard| holds(guard, moment.guards.get(guard)))
        }
        Permit::Replace { signals } => {
            not_paused("replace", moment)?;
            court(moment).removal()?;
            any_counts(signals, moment)
        }
        Permit::Notice => not_paused("replace", moment),
        Permit::Restore => not_paused("restore", moment),
        Permit::Repair => not_paused("repair", moment),
        Permit::Gc => {
            not_paused("gc", moment)?;
            court(moment).confirmed()
        }
        Permit::Manual => not_paused("manual", moment),
        Permit::Begun => Ok(()),
    }
}

/// Whether what a removal was decided by is young enough still: what comes between may take long.
pub fn fresh(
    observed: &Observed,
    pool: &PoolName,
    limits: &ClusterConfig,
    now: Timestamp,
) -> Result<(), Reason> {
    let list = observed.instances.get(pool);
    let seen = [
        ("the view of the cluster", at(&observed.cluster)),
        ("the list of machines", list.and_then(at)),
    ];
    for (what, at) in seen {
        let age = at.map_or(Duration::MAX, |at| duration::since(at, now));
        if age > limits.timing.view_max_age {
            return Err(Reason::Stale { what: what.to_owned(), seconds: age.as_secs() });
        }
    }
    Ok(())
}

fn at<T>(view: &View<T>) -> Option<Timestamp> {
    match view {
        View::Known { at, .. } => Some(*at),
        View::Unknown { .. } => None,
    }
}

/// Whether a guard holds; an answer that is missing is unknown.
pub(super) fn holds(guard: &str, answer: Option<&Guard>) -> Result<(), Reason> {
    let guard = guard.to_owned();
    match answer {
        Some(Guard::Holds) => Ok(()),
        Some(Guard::Fails { detail }) => Err(Reason::GuardFails { guard, detail: detail.clone() }),
        Some(Guard::Unknown { why }) => Err(Reason::GuardUnknown { guard, why: why.clone() }),
        None => Err(Reason::GuardUnknown { guard, why: "not asked".to_owned() }),
    }
}

fn not_paused(autoscale: &str, moment: &Moment<'_>) -> Result<(), Reason> {
    let labels = labels(autoscale, moment.limits, moment.pool);
    pauses::check(&labels, moment.memory, moment.truth, moment.now)
}

/// At least one of the alerts still counts; none named is none needed. One whose record is gone does
/// not count.
fn any_counts(ids: &[SignalId], moment: &Moment<'_>) -> Result<(), Reason> {
    if ids.is_empty() {
        return Ok(());
    }
    let court = court(moment);
    let mut refusal = Reason::Changed { what: "the alert".to_owned() };
    for signal in moment.signals.iter().filter(|signal| ids.contains(&signal.id)) {
        match court.standing(signal) {
            Ok(()) => return Ok(()),
            Err(reason) => refusal = reason,
        }
    }
    Err(refusal)
}

fn court<'a>(moment: &Moment<'a>) -> Court<'a> {
    Court {
        truth: moment.truth,
        memory: moment.memory,
        signals: moment.signals,
        limits: moment.limits,
        now: moment.now,
    }
}
