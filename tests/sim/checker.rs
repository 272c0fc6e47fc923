//! The invariants of the design, checked by code that knows nothing of the rules: from the world as it really is, what
//! was really delivered, and what the store really holds, at the moment of each act.

mod asked;
mod deadlines;
mod deliveries;
mod end;
mod growth;
mod identity;
mod removal;
mod replacement;

pub(crate) use deadlines::Hindered;

use crate::primaries::Primaries;
use crate::scenario::CLUSTER;
use asked::Asked;
use bellwether::clock::Clock;
use bellwether::config::{Config, Mode};
use bellwether::model::{
    BatchId, Claim, ClusterName, ClusterView, Entry, EntryKind, Instance, InstanceId, Memory,
    NodeRef, PoolName, Silence, SilenceId, SilenceState, Token, Truth, Uid, View, WorkerId,
    duration,
};
use bellwether::reconcile::Claims;
use bellwether::sim::World;
use bellwether::store::{HistoryQuery, Store as _};
use deadlines::Clocks;
use deliveries::Deliveries;
use identity::is_live;
use jiff::Timestamp;
use replacement::Replacements;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Violation {
    /// `I1` to `I10`.
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// What one process was last answered.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Of when the view is; `None` where the last answer was none.
    view: Option<Timestamp>,
    /// Per pool when the last list came, and whether it was whole.
    lists: BTreeMap<PoolName, (Timestamp, bool)>,
    /// Since when its looks are counted, and how many there were.
    counted: Option<Timestamp>,
    looks: u32,
    asked: Asked,
    /// The token it had when its pass began: the pass acts under that one or not at all.
    token: Option<Token>,
}

/// `min` and `max` of every pool.
type Bounds = BTreeMap<PoolName, (u32, u32)>;

/// What the file says of a pool, or said last.
#[derive(Clone, Copy, Debug)]
struct Named {
    is_there: bool,
    /// When it came or left.
    changed: Timestamp,
    /// Whether it is to be drained once it left.
    when_removed: bool,
}

#[derive(Debug, Default)]
struct State {
    violations: Vec<Violation>,
    story: Vec<(Timestamp, String)>,
    acts: u64,
    /// The token that the cluster's lease was held under last.
    granted: Option<Token>,
    /// What each process is called where it holds something, and what it believes to hold.
    processes: BTreeMap<usize, (String, Arc<Claims>)>,
    seen: BTreeMap<usize, Seen>,
    /// The batch that was launched for each pod last, and when.
    launched_for: BTreeMap<Uid, (BatchId, Timestamp)>,
    /// The batch by which each pool was last grown because an alert asked for a step, and when.
    stepped: BTreeMap<PoolName, (BatchId, Timestamp)>,
    /// Bounds of every pool, as the file said at each time.
    bounds: Vec<(Timestamp, Bounds)>,
    /// What the file says, or said last, of every pool it ever named.
    named: BTreeMap<PoolName, Named>,
    /// Names that must stay, and since when.
    permanent: BTreeMap<String, Timestamp>,
    /// Since when a time interval mutes what asks to remove workers.
    muted: Option<Timestamp>,
    /// Silences that are active in an Alertmanager.
    silences: Vec<Silence>,
    /// Since when each process was told of each silence, over its own link.
    told: BTreeMap<(usize, SilenceId), Timestamp>,
    /// Machines that the provider will not end, and since when.
    protected: BTreeMap<InstanceId, Timestamp>,
    /// Pools of which the file says that nothing is to be done, and since when.
    dry: BTreeMap<PoolName, Timestamp>,
    last_act: Option<Timestamp>,
    /// How many machines each batch is to have.
    ordered: BTreeMap<BatchId, usize>,
    /// How long what is on its way has been so.
    clocks: Clocks,
    deliveries: Deliveries,
    replacements: Replacements,
    /// What the forecasts wanted when each batch was written down.
    wants: BTreeMap<BatchId, u32>,
    /// Since when forecasts want what they want.
    forecast: Option<(Timestamp, u32)>,
}

/// Watches over one run.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) clock: Clock,
    begun: Timestamp,
    store: Arc<Primaries>,
    world: World,
    config: watch::Receiver<Arc<Config>>,
    state: Mutex<State>,
}

/// How far a provider's list may be behind.
const LISTED_WITHIN: Duration = Duration::from_mins(2);

/// A pass follows one that changed something, and each delivery, of which there may be many again and again where their answers
/// are lost; never so often in a minute.
const LOOKS: u32 = 500;

/// How long ago a bound may still have been the one that was decided by: one pass, slowed by every fault.
const SLOWEST_PASS: Duration = Duration::from_mins(4);

impl Checker {
    pub(crate) fn new(
        clock: Clock,
        world: &World,
        store: Arc<Primaries>,
        config: watch::Receiver<Arc<Config>>,
    ) -> Self {
        let (world, state) = (world.clone(), Mutex::new(State::default()));
        let begun = clock.now();
        let checker = Self { clock, begun, store, world, config, state };
        checker.file_changed();
        checker
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn tell(&self, line: String) {
        let now = self.now();
        self.state().story.push((now, line));
    }

    pub(crate) fn violated(&self, invariant: &'static str, what: String) {
        self.tell(format!("VIOLATED {invariant}: {what}"));
        self.state().violations.push(Violation { invariant, what });
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.state().violations.clone()
    }

    /// What happened, and what the history says of it: each act's reason, and what was seen, held and refused.
    pub(crate) async fn story(&self) -> Vec<(Timestamp, String)> {
        let history = self.history().await;
        // In its order, and once what a store heard of the one before it.
        let told: BTreeSet<_> = history.iter().map(|it| (it.at, it.id, line(it))).collect();
        let mut story: Vec<_> = told.into_iter().map(|(at, _, line)| (at, line)).collect();
        story.extend(self.state().story.iter().cloned());
        story.sort_by_key(|(at, _)| *at);
        story
    }

    pub(crate) fn acts(&self) -> u64 {
        self.state().acts
    }

    pub(crate) fn last_act(&self) -> Option<Timestamp> {
        self.state().last_act
    }

    /// A process has started.
    pub(crate) fn started(&self, replica: usize, holder: String, claims: Arc<Claims>) {
        let mut state = self.state();
        state.processes.insert(replica, (holder, claims));
        state.seen.remove(&replica);
    }

    /// The cluster witnessed a claim that the store gave or prolonged, whoever heard of it.
    pub(crate) fn granted(&self, claim: &Claim) {
        let before = self.state().granted.replace(claim.token);
        if let Some(before) = before.filter(|before| claim.token < *before) {
            self.violated("I5", format!("token {} was given after {before}", claim.token));
        }
    }

    /// A process begins a pass: it has just asked itself for its claim.
    pub(crate) fn pass_begins(&self, replica: usize) {
        let mut state = self.state();
        let held = state.processes.get(&replica).and_then(|(_, claims)| claims.current());
        state.seen.entry(replica).or_default().token = held.map(|claim| claim.token);
    }

    /// A process was answered a view. False where it looks again and again: it would never rest (I7), and where that is
    /// at one moment, time would stand still.
    pub(crate) fn saw_view(&self, replica: usize, view: &View<ClusterView>) -> bool {
        let now = self.now();
        let of = match view {
            View::Known { at, .. } => Some(*at),
            View::Unknown { .. } => None,
        };
        let looks = {
            let mut state = self.state();
            let seen = state.seen.entry(replica).or_default();
            seen.view = of;
            let is_counted = |since| duration::since(since, now) < Duration::from_mins(1);
            if !seen.counted.is_some_and(is_counted) {
                (seen.counted, seen.looks) = (Some(now), 0);
            }
            seen.looks += 1;
            seen.looks
        };
        if looks == LOOKS {
            self.violated("I7", format!("{LOOKS} passes of replica {replica} in a minute"));
        }
        looks < LOOKS
    }

    /// A process was answered a list; whether it holds every machine there is, but the very newest: lists
    /// are eventually consistent.
    pub(crate) fn saw_list(&self, replica: usize, pool: &PoolName, list: Option<&[Instance]>) {
        let (real, now) = (self.machines(pool), self.now());
        let is_old = |machine: &&Instance| duration::since(machine.launched, now) > LISTED_WITHIN;
        let live = real.iter().filter(|machine| is_live(machine)).filter(is_old);
        let is_whole = list.is_some_and(|list| {
            let listed: BTreeSet<&InstanceId> = list.iter().map(|machine| &machine.id).collect();
            live.clone().all(|machine| listed.contains(&machine.id))
        });
        let mut state = self.state();
        state.seen.entry(replica).or_default().lists.insert(pool.clone(), (now, is_whole));
    }

    /// The file was changed.
    pub(crate) fn file_changed(&self) {
        let config = self.config.borrow().clone();
        let pools = &config.clusters[&ClusterName::from(CLUSTER)].pools;
        let bounds = pools.iter().map(|(name, pool)| (name.clone(), (pool.min, pool.max)));
        let (now, bounds) = (self.now(), bounds.collect());
        let mut state = self.state();
        state.bounds.push((now, bounds));
        for (name, named) in &mut state.named {
            if named.is_there != pools.contains_key(name) {
                (named.is_there, named.changed) = (!named.is_there, now);
            }
        }
        for pool in pools.values() {
            let when_removed = pool.drain.when_removed;
            let new = Named { is_there: true, changed: now, when_removed };
            state.named.entry(pool.name.clone()).or_insert(new).when_removed = when_removed;
        }
        let dry = |name: &PoolName| pools.get(name).is_some_and(|pool| pool.mode == Mode::DryRun);
        state.dry.retain(|name, _| dry(name));
        for name in pools.keys().filter(|name| dry(name)) {
            state.dry.entry(name.clone()).or_insert(now);
        }
        for name in pools.values().flat_map(|pool| &pool.permanent) {
            state.permanent.entry(name.clone()).or_insert(now);
        }
    }

    /// A time interval mutes what asks to remove workers, or no more.
    pub(crate) fn muted(&self, is_muted: bool) {
        let now = self.now();
        let mut state = self.state();
        state.muted = if is_muted { state.muted.or(Some(now)) } else { None };
    }

    /// What the Alertmanagers that run say now: which silences are active, and what is asked about nodes.
    pub(crate) fn told_by_all(&self, truth: &Truth) {
        self.asked_of_nodes(truth);
        let all = truth.silences.values();
        let active = all.filter(|silence| silence.state == SilenceState::Active);
        self.state().silences = active.cloned().collect();
    }

    /// The provider will not end a machine from now on.
    pub(crate) fn protected(&self, machine: &str) {
        let now = self.now();
        self.state().protected.entry(InstanceId::new(machine)).or_insert(now);
    }

    /// It will end all of them.
    pub(crate) fn unprotected(&self) {
        self.state().protected.clear();
    }

    /// The widest of the bounds that may have been decided by.
    fn bounds(&self, pool: &PoolName) -> (u32, u32) {
        let widest = |(min, max): (u32, u32), (other_min, other_max): (u32, u32)| {
            (min.min(other_min), max.max(other_max))
        };
        self.recent_bounds(pool).into_iter().reduce(widest).unwrap_or((0, 0))
    }

    /// The bounds of a pool that may have been decided by: those of late.
    fn recent_bounds(&self, pool: &PoolName) -> Vec<(u32, u32)> {
        let now = self.now();
        let state = self.state();
        let last = state.bounds.len() - 1;
        let recent = state.bounds.iter().enumerate().filter(|(number, _)| {
            let until = state.bounds.get(number + 1).map_or(now, |(at, _)| *at);
            *number == last || duration::since(until, now) < SLOWEST_PASS
        });
        recent.filter_map(|(_, (_, bounds))| bounds.get(pool).copied()).collect()
    }

    async fn memory(&self) -> Memory {
        self.store.present().load(&CLUSTER.into()).await.unwrap()
    }

    /// Every machine of a pool, as it really is.
    fn machines(&self, pool: &PoolName) -> Vec<Instance> {
        self.world.machines().into_iter().filter(|machine| machine.pool == *pool).collect()
    }

    /// Nodes and pods as they really are.
    fn view(&self) -> ClusterView {
        self.world.view()
    }

    /// What holds for every act: the claim (I5) and the line of history before it (I8).
    async fn any_act(&self, replica: usize, what: &str, worker: Option<&WorkerId>) {
        let now = self.now();
        {
            let mut state = self.state();
            state.acts += 1;
            state.last_act = Some(now);
        }
        let worker_named = worker.map_or_else(String::new, ToString::to_string);
        self.tell(format!("replica {replica}: {what} {worker_named}"));
        self.may_act(replica, &format!("{what} {worker_named}"));
        if let Some(worker) = worker
            && !self.is_told(what, worker).await
        {
            self.violated("I8", format!("{what} {worker} has no line before it"));
        }
    }

    /// I5: as the cluster's lease is at this moment, this very process has it, under the token that its pass began with.
    fn may_act(&self, replica: usize, what: &str) {
        let (lease, now) = (self.world.lease(), self.now());
        let (own, token) = {
            let state = self.state();
            let own = state.processes.get(&replica).map(|(holder, _)| holder.clone());
            (own, state.seen.get(&replica).and_then(|seen| seen.token))
        };
        let is_its = |(holder, until): (&str, Timestamp)| {
            own.as_deref() == Some(holder) && now < until && token == Some(lease.last())
        };
        if !lease.held().is_some_and(is_its) {
            self.violated("I5", format!("{what} by {own:?} under {token:?}, and {lease:?}"));
        }
    }

    /// Whether the history has a line about this act before it.
    async fn is_told(&self, what: &str, worker: &WorkerId) -> bool {
        self.history().await.iter().any(|entry| {
            let is_it =
                entry.worker.as_ref() == Some(worker) || entry.detail.contains(worker.as_str());
            entry.kind == EntryKind::Intent && is_it && entry.what == what && entry.reason.is_some()
        })
    }

    /// All that was ever told, what was forgotten since then included.
    async fn history(&self) -> Vec<Entry> {
        let query = HistoryQuery { limit: 100_000, before: None };
        let mut told = Vec::new();
        for store in self.store.all() {
            told.extend(store.history(&CLUSTER.into(), &query).await.unwrap());
        }
        told
    }

    /// I3: nobody paused it, by a silence of which this process was told a pass ago, or which the store remembers; and the file
    /// lets it act.
    fn not_paused(
        &self,
        replica: usize,
        (autoscale, what): (&str, &str),
        pool: &PoolName,
        memory: &Memory,
    ) {
        self.asked_again(replica, what);
        let labels = BTreeMap::from([
            ("autoscale".to_owned(), autoscale.to_owned()),
            ("cluster".to_owned(), CLUSTER.to_owned()),
            ("pool".to_owned(), pool.to_string()),
        ]);
        let now = self.now();
        let remembered = memory.cluster.silences.values();
        let known: Vec<Silence> = {
            let state = self.state();
            let is_old = |since: &Timestamp| duration::since(*since, now) > SLOWEST_PASS;
            let is_told = |silence: &&Silence| {
                state.told.get(&(replica, silence.id.clone())).is_some_and(is_old)
            };
            if state.dry.get(pool).is_some_and(is_old) {
                drop(state);
                return self.violated("I3", format!("{what} of pool {pool}, which is in dry run"));
            }
            state.silences.iter().filter(is_told).chain(remembered).cloned().collect()
        };
        if let Some(silence) = known.iter().find(|silence| silence.mutes(&labels, now)) {
            self.violated("I3", format!("{what} of pool {pool} under the silence {}", silence.id));
        }
    }

    /// Pools that the file names now.
    pub(crate) fn pools(&self) -> Vec<String> {
        let config = self.config.borrow();
        config.clusters[&ClusterName::from(CLUSTER)].pools.keys().map(ToString::to_string).collect()
    }
}

/// A line of history as it is told in a story, below what happened.
fn line(entry: &Entry) -> String {
    let Entry { kind, what, detail, .. } = entry;
    let of = entry.worker.as_ref().map(WorkerId::as_str);
    let of = of.or(entry.pool.as_ref().map(PoolName::as_str)).unwrap_or_default();
    let reason = entry.reason.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("    {kind:?} {what} {of}: {reason} ({detail})")
}

/// A node as it is told in a story.
fn named(node: &NodeRef) -> String {
    node.name.to_string()
}
