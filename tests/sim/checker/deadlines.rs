//! I4 while everything goes on: nothing stays on its way for longer than it may. Counted is only time in which nothing keeps
//! the service from moving it, by clocks of our own: what the records say of their clocks is not asked.

use super::identity::{is_live, is_on, is_ours};
use super::{Checker, SLOWEST_PASS};
use crate::scenario::CLUSTER;
use bellwether::config::{ClusterConfig, PoolConfig};
use bellwether::model::{
    ClusterName, ClusterView, Cordon, Instance, Memory, Node, PoolName, Worker, WorkerState,
    duration,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What something keeps the service from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hindered {
    /// All it does.
    pub(crate) acts: bool,
    /// What it does only as long as monitoring is there.
    pub(crate) removals: bool,
}

/// When the service was last kept from what it does, and how long each thing has been on its way since then and before.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    acts: Option<Timestamp>,
    removals: Option<Timestamp>,
    looked: Option<Timestamp>,
    counted: BTreeMap<String, Duration>,
}

/// Something that may not stay as it is for long.
struct Due {
    what: String,
    most: Duration,
    /// Whether it moves only as long as monitoring is there.
    is_removal: bool,
}

/// A store that may have forgotten holds removals for ten minutes, an Alertmanager that restarted for five.
const HOLDS: Duration = Duration::from_mins(10);

/// A pass comes each two seconds while something is on its way; it is looked at here each fifteen, and moved on by more than
/// one pass.
const SLACK: Duration = Duration::from_mins(1);

/// How long a launch may be open: a call, and then until the list can be believed.
const INTENT: Duration = Duration::from_secs(30 + 120);

/// How long the end of something may take: lists are late.
const ENDS: Duration = Duration::from_mins(2);

impl Hindered {
    pub(crate) fn and(self, other: Self) -> Self {
        Self { acts: self.acts || other.acts, removals: self.removals || other.removals }
    }
}

impl Clocks {
    /// Whether nothing keeps the service from anything, and did not of late.
    pub(super) fn is_well(&self, now: Timestamp) -> bool {
        let last = self.acts.max(self.removals);
        last.is_none_or(|at| duration::since(at, now) > SLOWEST_PASS)
    }

    /// Whether time counts at this moment: all that kept the service is over for so long that it has nothing to recover from.
    fn counts(&self, is_removal: bool, now: Timestamp) -> bool {
        let is_over = |last: Option<Timestamp>, by: Duration| {
            last.is_none_or(|at| duration::since(at, now) > by)
        };
        is_over(self.acts, SLOWEST_PASS)
            && (!is_removal
                || is_over(self.acts, SLOWEST_PASS + HOLDS)
                    && is_over(self.removals, SLOWEST_PASS + HOLDS))
    }
}

impl Checker {
    /// Something keeps the service from this right now.
    pub(crate) fn hindered(&self, from: Hindered) {
        let now = self.now();
        let clocks = &mut self.state().clocks;
        if from.acts {
            clocks.acts = Some(now);
        }
        if from.removals {
            clocks.removals = Some(now);
        }
    }

    /// I4: looks how long everything has been on its way.
    pub(crate) async fn in_time(&self) {
        let (now, memory) = (self.now(), self.memory().await);
        let due = self.due(&memory);
        let late = {
            let clocks = &mut self.state().clocks;
            let passed = clocks.looked.replace(now).map(|at| duration::since(at, now));
            let before = std::mem::take(&mut clocks.counted);
            let mut late = Vec::new();
            for Due { what, most, is_removal } in due {
                let passed = passed.filter(|_| clocks.counts(is_removal, now)).unwrap_or_default();
                let time = before.get(&what).map_or(Duration::ZERO, |before| *before + passed);
                if time > most + SLACK {
                    late.push(format!("{what} for {time:?}, and {most:?} is the most"));
                }
                clocks.counted.insert(what, time);
            }
            late
        };
        for what in late {
            self.violated("I4", what);
        }
    }

    fn due(&self, memory: &Memory) -> Vec<Due> {
        let config = self.config.borrow().clone();
        let limits = &config.clusters[&ClusterName::from(CLUSTER)];
        let is_paused = self.is_anything_paused(memory);
        let pools = limits.pools.values().filter(|pool| self.is_acted_on(&pool.name));
        let mut due = Vec::new();
        for pool in pools {
            let workers = memory.workers.values().filter(|worker| worker.pool == pool.name);
            due.extend(workers.filter_map(|worker| self.due_of(worker, pool, is_paused)));
            if !is_paused {
                due.extend(self.unserving(pool, memory));
                due.extend(intents(limits, &pool.name, memory));
            }
        }
        due
    }

    /// Whether the file names a pool, and lets it be acted on, and did so for a while.
    pub(super) fn is_acted_on(&self, pool: &PoolName) -> bool {
        let (now, state) = (self.now(), self.state());
        let of_late = |named: &super::Named| duration::since(named.changed, now) < SLOWEST_PASS;
        let is_new = |named: &super::Named| named.changed > self.begun && of_late(named);
        state.named.get(pool).is_some_and(|named| named.is_there && !is_new(named))
            && !state.dry.contains_key(pool)
    }

    /// Whether a silence is there of which a process may know: what it begins, or ends, is held by those of one direction.
    fn is_anything_paused(&self, memory: &Memory) -> bool {
        let now = self.now();
        let remembered = memory.cluster.silences.values().any(|silence| now < silence.ends);
        remembered || !self.state().silences.is_empty()
    }

    /// How long a worker may stay in the state it is in; `None` where that is for as long as it likes.
    fn due_of(&self, worker: &Worker, pool: &PoolConfig, is_paused: bool) -> Option<Due> {
        let machine = worker.instance.as_ref();
        let is_protected = machine.is_some_and(|id| self.state().protected.contains_key(id));
        let is_kept = is_protected || is_permanent(worker, pool);
        let (most, is_removal) = match worker.state {
            WorkerState::Booting | WorkerState::Joined => (pool.join_deadline, false),
            WorkerState::Cordoned | WorkerState::Draining | WorkerState::Drained => {
                (pool.drain.timeout, true)
            }
            WorkerState::Failed { .. } | WorkerState::Terminating if !is_paused && !is_kept => {
                (ENDS, true)
            }
            // A request is settled with its intent.
            _ => return None,
        };
        // Booting and joined share one deadline; one that was Ready before has one of its own.
        let state = match (&worker.state, worker.ready) {
            (WorkerState::Booting | WorkerState::Joined, None) => "coming",
            (WorkerState::Booting | WorkerState::Joined, Some(_)) => "coming anew",
            (state, _) => state.name(),
        };
        Some(Due { what: format!("worker {} is {state}", worker.id), most, is_removal })
    }

    /// Machines of ours that serve nobody: each becomes a Ready node, or goes, whatever our records say of it. Where there are
    /// several that may be for another reason, and nobody need repair them.
    fn unserving(&self, pool: &PoolConfig, memory: &Memory) -> Option<Due> {
        let view = self.view();
        let all = self.machines(&pool.name);
        let mut sick = all.iter().filter(|machine| {
            is_live(machine) && is_ours(machine, memory) && !has_ready_node(machine, &view)
        });
        let (machine, None) = (sick.next()?, sick.next()) else { return None };
        let is_kept = self.state().protected.contains_key(&machine.id)
            || view.nodes().any(|node| {
                let is_permanent = pool.permanent.contains(node.at.name.as_str());
                is_on(node, machine) && (node.cordon == Cordon::Foreign || is_permanent)
            })
            || machine.worker.as_ref().is_some_and(|id| pool.permanent.contains(id.as_str()));
        // It may have been in a drain that was given back.
        let most = pool.join_deadline + pool.not_ready_deadline + pool.drain.timeout * 2 + ENDS * 2;
        let what = format!("machine {} serves nobody", machine.id);
        (!is_kept).then_some(Due { what, most, is_removal: true })
    }
}

/// Whether its owner named a worker, so that nothing ends it whatever becomes of it.
pub(super) fn is_permanent(worker: &Worker, pool: &PoolConfig) -> bool {
    let node = worker.node.as_ref().map(|node| node.name.as_str());
    let names = [Some(worker.id.as_str()), node];
    names.into_iter().flatten().any(|name| pool.permanent.contains(name))
}

fn has_ready_node(machine: &Instance, view: &ClusterView) -> bool {
    view.nodes().filter(|node| is_on(node, machine)).any(Node::is_ready)
}

/// Launches of a pool that are open.
fn intents<'m>(
    limits: &ClusterConfig,
    pool: &'m PoolName,
    memory: &'m Memory,
) -> impl Iterator<Item = Due> + use<'m> {
    assert!(limits.timing.call * 5 <= INTENT, "a call may take longer than this knows");
    let open = memory.intents.iter().filter(move |(_, intent)| intent.request.pool == *pool);
    open.map(|(batch, _)| Due {
        what: format!("the launch of {batch} is open"),
        most: INTENT,
        is_removal: true,
    })
}
