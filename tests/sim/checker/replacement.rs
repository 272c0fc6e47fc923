//! What must hold before one worker goes for another.

use super::identity::{is_live, is_on, record_of};
use super::removal::RUNS_OUT;
use super::{Checker, SLOWEST_PASS, named};
use crate::scenario::CLUSTER;
use bellwether::model::{
    ClusterName, Instance, InstanceId, LaunchRequest, Memory, Node, NodeName, NodeRef, Permit,
    PoolName, Purpose, Truth, Worker, WorkerId, WorkerState, duration,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How far apart two Prometheuses may say that the same thing began.
const APART: Duration = Duration::from_secs(30);

/// What is asked about nodes, and what was done about it.
#[derive(Debug, Default)]
pub(super) struct Replacements {
    /// Nodes that an alert asks to replace, or asked of late.
    asked: BTreeMap<NodeName, Asked>,
    /// Workers that went for another, of which pool, and when each was chosen.
    gone: BTreeSet<(PoolName, WorkerId, Timestamp)>,
    /// Machines that took over from one.
    took_over: BTreeSet<InstanceId>,
}

/// An alert about a node.
#[derive(Clone, Debug)]
struct Asked {
    pool: PoolName,
    first: Timestamp,
    starts: Timestamp,
    last: Timestamp,
}

impl Checker {
    /// What the Alertmanagers say of nodes now.
    pub(super) fn asked_of_nodes(&self, truth: &Truth) {
        let now = self.now();
        let asked = &mut self.state().replacements.asked;
        asked.retain(|_, it| duration::since(it.last, now) < RUNS_OUT + SLOWEST_PASS);
        for alert in truth.alerts.values() {
            let word = alert.labels.get("autoscale").map(String::as_str);
            let (Some("replace"), Some(node)) = (word, alert.labels.get("node")) else { continue };
            let pool = PoolName::new(alert.labels.get("pool").cloned().unwrap_or_default());
            let new = Asked { pool, first: now, starts: alert.starts_at, last: now };
            let known = asked.entry(NodeName::new(node.clone())).or_insert(new);
            (known.starts, known.last) = (known.starts.max(alert.starts_at), now);
        }
    }

    /// I3: a worker goes for another only because an alert asks that is not older than its node, one at a time and so many an
    /// hour, and only when the other serves.
    pub(super) fn replaced(&self, worker: &Worker, node: &NodeRef, memory: &Memory) {
        let what = format!("cordon {} to replace it", worker.id);
        let view = self.view();
        let created = view.nodes().find(|there| there.at == *node).map(|there| there.created);
        let asked = self.state().replacements.asked.get(&node.name).cloned();
        let Some(asked) = asked else {
            return self.violated("I3", format!("{what}, and nothing asks for it"));
        };
        if created.is_some_and(|at| at > duration::after(asked.starts, APART)) {
            self.violated("I3", format!("{what}, and the alert is older than {}", named(node)));
        }
        let chosen = (worker.pool.clone(), worker.id.clone(), worker.since);
        let is_new =
            worker.state == WorkerState::Cordoned && self.state().replacements.gone.insert(chosen);
        if !is_new {
            return;
        }
        self.not_too_often(worker, memory);
        match self.successor(worker, asked.starts, memory) {
            Some(id) => _ = self.state().replacements.took_over.insert(id),
            None => self.violated("I3", format!("{what}, and none serves in its place")),
        }
    }

    fn not_too_often(&self, worker: &Worker, memory: &Memory) {
        let is_other = |other: &&Worker| {
            other.pool == worker.pool
                && other.id != worker.id
                && other.is_live()
                && other.purpose == Some(Purpose::Replace)
        };
        if let Some(other) = memory.workers.values().find(is_other) {
            self.violated("I3", format!("{} and {} are replaced at once", worker.id, other.id));
        }
        let config = self.config.borrow().clone();
        let pools = &config.clusters[&ClusterName::from(CLUSTER)].pools;
        let most = pools.get(&worker.pool).map_or(0, |pool| pool.replacements_per_hour);
        let (now, hour) = (self.now(), Duration::from_hours(1));
        let state = self.state();
        let of_pool = state.replacements.gone.iter().filter(|(pool, ..)| *pool == worker.pool);
        let of_late = of_pool.filter(|(.., at)| duration::since(*at, now) < hour).count();
        drop(state);
        if of_late > most as usize {
            self.violated("I3", format!("{of_late} workers are replaced within an hour"));
        }
    }

    /// A machine that was launched since the alert began, serves, and took over from no other; not one that is to be replaced as
    /// well, as far as that could be known.
    fn successor(&self, old: &Worker, asked: Timestamp, memory: &Memory) -> Option<InstanceId> {
        let (now, view, state) = (self.now(), self.view(), self.state());
        let is_well = |node: &Node| {
            let alert = state.replacements.asked.get(&node.at.name);
            let is_known = alert.is_some_and(|it| duration::since(it.first, now) > SLOWEST_PASS);
            node.is_ready() && !is_known
        };
        let may = |machine: &&Instance| {
            is_live(machine)
                && duration::after(machine.launched, APART) >= asked
                && old.instance.as_ref() != Some(&machine.id)
                && !state.replacements.took_over.contains(&machine.id)
                && record_of(memory, machine).is_some_and(Worker::is_serving)
                && view.nodes().any(|node| is_on(node, machine) && is_well(node))
        };
        let machines = self.machines(&old.pool);
        machines.iter().find(may).map(|machine| machine.id.clone())
    }

    /// I2: nothing is launched in place of a worker unless an alert asks for one of the pool, as it is decided.
    pub(super) fn is_to_replace(&self, request: &LaunchRequest, permit: &Permit) {
        let is_asked = {
            let state = self.state();
            state.replacements.asked.values().any(|asked| asked.pool == request.pool)
        };
        if matches!(permit, Permit::Replace { .. }) && !is_asked {
            self.violated("I2", format!("{} replaces what nobody asked for", request.batch));
        }
    }
}
