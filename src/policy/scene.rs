//! What one plan looks at, with the look-ups that every rule needs.

mod contest;
mod identity;

pub(super) use self::identity::is_on;
use self::identity::{is_of, machines, name_of};
use super::fit::{NewNode, Room};
use super::foreseen;
use super::new_nodes;
use crate::config::{ClusterConfig, PoolConfig};
use crate::model::{
    Ask, ClusterView, Failure, Instance, InstanceState, Memory, Node, NodeName, Observed,
    Placement, Pod, PodKind, PodSpec, PoolName, Reason, Signal, View, Worker, WorkerId,
    WorkerState, duration,
};
use jiff::Timestamp;
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// How long a machine may be missing from a provider's list after it was asked for: lists are
/// eventually consistent.
const LIST_DELAY: Duration = Duration::from_mins(2);

/// How long a list may not show yet what a call has done.
pub(crate) fn list_delay(limits: &ClusterConfig) -> Duration {
    LIST_DELAY.min(limits.timing.call * 4)
}

/// How far the control plane's clock may be behind ours.
const SKEW: Duration = Duration::from_mins(1);

/// Everything a rule may ask.
pub(super) struct Scene<'a> {
    pub(super) observed: &'a Observed,
    pub(super) signals: &'a [Signal],
    pub(super) memory: &'a Memory,
    pub(super) limits: &'a ClusterConfig,
    pub(super) now: Timestamp,
    /// By the worker they are: more than one where a machine registered anew.
    nodes: HashMap<&'a str, Vec<&'a Node>>,
    /// Workers by their machines' ids, of pools whose machines bear no names.
    machines: HashMap<&'a str, &'a Worker>,
    /// Made once, where anybody asks, as those below.
    shared: OnceCell<contest::Shared<'a>>,
    disputed: OnceCell<HashMap<&'a WorkerId, &'a Node>>,
    pods: OnceCell<HashMap<&'a NodeName, Vec<&'a Pod>>>,
    /// Of each kind of pods the Ready node on which all of them are; none of one that is on several. Pods of one kind share their
    /// spec, so it is known by its address.
    homes: OnceCell<HashMap<*const PodSpec, Option<&'a NodeName>>>,
    health: OnceCell<HashMap<&'a PoolName, Health>>,
    room: OnceCell<Room<'a>>,
    new_nodes: OnceCell<BTreeMap<&'a PoolName, Vec<NewNode<'a>>>>,
}

/// How many workers are to serve, and how many of them do not: their node is not Ready or not there, or they are being ended
/// for something like that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    pub(super) workers: usize,
    pub(super) sick: usize,
}

impl Health {
    pub(super) fn and(self, other: Self) -> Self {
        Self { workers: self.workers + other.workers, sick: self.sick + other.sick }
    }
}

impl<'a> Scene<'a> {
    pub(super) fn new(
        observed: &'a Observed,
        signals: &'a [Signal],
        memory: &'a Memory,
        limits: &'a ClusterConfig,
        now: Timestamp,
    ) -> Self {
        let view = observed.cluster.known();
        // A control plane is no worker, whatever its labels say.
        let mut nodes: HashMap<&str, Vec<&Node>> = HashMap::new();
        let machines = machines(memory, limits);
        for node in view.into_iter().flat_map(ClusterView::nodes).filter(|n| !n.control_plane) {
            if let Some(worker) = name_of(node, &machines, limits) {
                nodes.entry(worker).or_default().push(node);
            }
        }
        let (shared, disputed) = (OnceCell::new(), OnceCell::new());
        let (pods, homes, health) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        let (room, new_nodes) = (OnceCell::new(), OnceCell::new());
        Self {
            observed,
            signals,
            memory,
            limits,
            now,
            nodes,
            machines,
            shared,
            disputed,
            pods,
            homes,
            health,
            room,
            new_nodes,
        }
    }

    /// The worker that a node is; where no record has its machine, the machine.
    pub(super) fn name_of(&self, node: &'a Node) -> Option<&'a str> {
        name_of(node, &self.machines, self.limits)
    }

    /// The record of the worker that a node is.
    pub(super) fn record_of(&self, node: &'a Node) -> Option<&'a Worker> {
        self.name_of(node).and_then(|name| self.memory.workers.get(&WorkerId::from(name)))
    }

    /// A node that may be a worker's though it does not say so: of its pool, whose machines bear no names, and not older than its
    /// machine, by two clocks.
    pub(super) fn stranger(&self, worker: &Worker) -> Option<&'a Node> {
        let pool = self.pool(&worker.pool).filter(|pool| !pool.provider.names_workers())?;
        let nodes = self.observed.cluster.known().into_iter().flat_map(ClusterView::nodes);
        let is_young = |node: &&Node| duration::after(node.created, SKEW) >= worker.created;
        let ready = nodes.filter(|node| node.pool.as_ref() == Some(&pool.name) && node.is_ready());
        let mut young = ready.filter(is_young);
        young.find(|node| !node.control_plane && self.name_of(node).is_none())
    }

    /// Whether a machine is one of a launch that is not settled yet: which of its workers it is, the launch's answer says.
    pub(super) fn is_awaited(&self, instance: &Instance) -> bool {
        let is_open = |batch| self.memory.intents.contains_key(batch);
        instance.worker.is_none() && instance.batch.as_ref().is_some_and(is_open)
    }

    /// Nodes and pods, or why they are not known.
    pub(super) fn view(&self) -> Result<&'a ClusterView, Reason> {
        match &self.observed.cluster {
            View::Known { value, .. } => Ok(value),
            View::Unknown { why } => Err(unknown("the cluster", why)),
        }
    }

    /// The same, young enough to remove something because of it.
    pub(super) fn fresh_view(&self) -> Result<&'a ClusterView, Reason> {
        if let View::Known { at, .. } = &self.observed.cluster {
            self.fresh("the view of the cluster", *at)?;
        }
        self.view()
    }

    /// Our machines of a pool, or why they are not known. Machines of another cluster UID are not ours; of one that another pool
    /// lists, too, it is not known whose it is.
    pub(super) fn instances(&self, pool: &PoolName) -> Result<Vec<&'a Instance>, Reason> {
        let uid = &self.view()?.uid;
        match self.observed.instances.get(pool) {
            Some(View::Known { at, value }) => {
                self.fresh("the list of machines", *at)?;
                self.unshared(pool)?;
                Ok(value
                    .iter()
                    .filter(|instance| instance.cluster_uid.as_ref() == Some(uid))
                    .collect())
            }
            Some(View::Unknown { why }) => Err(unknown("the list of machines", why)),
            None => Err(unknown("the list of machines", "the pool was not asked for")),
        }
    }

    fn fresh(&self, what: &str, at: Timestamp) -> Result<(), Reason> {
        let age = duration::since(at, self.now);
        if age > self.limits.timing.view_max_age {
            return Err(Reason::Stale { what: what.to_owned(), seconds: age.as_secs() });
        }
        Ok(())
    }

    /// The node that carries a worker's label; of several, the one that is bound.
    pub(super) fn node(&self, worker: &Worker) -> Option<&'a Node> {
        let mut nodes = self.named(worker);
        match &worker.node {
            Some(bound) => nodes.find(|node| node.at.uid == bound.uid),
            None => nodes.max_by_key(|node| node.is_ready()),
        }
    }

    /// The node that a bound worker's machine registered as anew: the only one that is Ready, or the only one
    /// there is. None while the one it is bound to is Ready, or where it could be several.
    pub(super) fn anew(&self, worker: &Worker) -> Option<&'a Node> {
        let now = self.node(worker);
        if now.is_some_and(Node::is_ready) {
            return None;
        }
        let ready = || self.named(worker).filter(|node| node.is_ready());
        match (ready().count(), now, self.named(worker).count()) {
            (1, _, _) => ready().next(),
            (0, None, 1) => self.named(worker).next(),
            _ => None,
        }
    }

    fn named(&self, worker: &Worker) -> impl Iterator<Item = &'a Node> + '_ {
        self.nodes.get(worker.id.as_str()).into_iter().flatten().copied()
    }

    /// Whether the node that a signal names is there, where it is known which are.
    pub(super) fn names_a_node(&self, signal: &Signal) -> Result<(), Reason> {
        let wrong = |detail| Err(Reason::WrongTarget { alert: signal.name.clone(), detail });
        let name = match &signal.ask {
            Ask::Replace { node: None } => return wrong("it names no node".to_owned()),
            Ask::Down { node: Some(name) } | Ask::Replace { node: Some(name) } => name,
            _ => return Ok(()),
        };
        match self.view() {
            Ok(view) if !view.nodes().any(|node| node.at.name == *name) => {
                wrong(format!("there is no node {name}"))
            }
            _ => Ok(()),
        }
    }

    /// Pods on a node.
    pub(super) fn pods_on(&self, node: &NodeName) -> &[&'a Pod] {
        let made = self.pods.get_or_init(|| {
            let mut pods: HashMap<&NodeName, Vec<&Pod>> = HashMap::new();
            for pod in self.observed.cluster.known().into_iter().flat_map(ClusterView::pods) {
                if let Some(node) = pod.node() {
                    pods.entry(node).or_default().push(pod);
                }
            }
            pods
        });
        made.get(node).map_or(&[], Vec::as_slice)
    }

    /// The Ready node on which all pods of this one's kind are, if there is just one.
    pub(super) fn only_home(&self, pod: &Pod) -> Option<&'a NodeName> {
        let made = self.homes.get_or_init(|| {
            let view = self.observed.cluster.known();
            let ready =
                view.into_iter().flat_map(ClusterView::nodes).filter(|node| node.is_ready());
            let ready: HashSet<&NodeName> = ready.map(|node| &node.at.name).collect();
            let mut homes = HashMap::new();
            for pod in view.into_iter().flat_map(ClusterView::pods) {
                let Some(node) = pod.node().filter(|node| ready.contains(node)) else { continue };
                let home = homes.entry(Arc::as_ptr(&pod.spec)).or_insert(Some(node));
                *home = home.filter(|home| *home == node);
            }
            homes
        });
        made.get(&Arc::as_ptr(&pod.spec)).copied().flatten()
    }

    /// How each pool is.
    pub(super) fn health(&self) -> &HashMap<&'a PoolName, Health> {
        self.health.get_or_init(|| {
            let mut health: HashMap<&PoolName, Health> = HashMap::new();
            for worker in self.memory.workers.values() {
                let is_sick = match worker.state {
                    WorkerState::Ready => !self.node(worker).is_some_and(Node::is_ready),
                    WorkerState::Failed { failure: Failure::NotReady } => true,
                    // Nobody chose it to go.
                    WorkerState::Terminating if worker.purpose.is_none() => true,
                    _ => continue,
                };
                let of_pool = health.entry(&worker.pool).or_default();
                *of_pool = of_pool.and(Health { workers: 1, sick: usize::from(is_sick) });
            }
            health
        })
    }

    /// Pods on a node that a drain must move.
    pub(super) fn movable_on(&self, node: &NodeName) -> impl Iterator<Item = &'a Pod> + '_ {
        self.pods_on(node).iter().copied().filter(|pod| pod.kind == PodKind::Normal)
    }

    /// Whether a pod is one that may be without a place.
    pub(super) fn is_expendable(&self, pod: &Pod) -> bool {
        pod.spec.priority < self.limits.expendable_below
    }

    /// Every node with its pods; one whose machine is being ended is closed, though nobody keeps pods off it.
    pub(super) fn room(&self) -> &Room<'a> {
        self.room.get_or_init(|| {
            let view = self.observed.cluster.known();
            view.map_or_else(Room::empty, |view| new_nodes::room(self, view))
        })
    }

    /// What a pool could launch; nothing where that is not known.
    pub(super) fn new_nodes(&self, pool: &PoolName) -> &[NewNode<'a>] {
        let made = self.new_nodes.get_or_init(|| {
            let all = self.limits.pools.values();
            all.map(|pool| (&pool.name, new_nodes::of_pool(self, pool))).collect()
        });
        made.get(pool).map_or(&[], Vec::as_slice)
    }

    /// Pods without a node that may be need, old enough to count: the scheduler found none for them, or we need not
    /// wait for its verdict.
    pub(super) fn pending(&self) -> Vec<&'a Pod> {
        let pods = self.observed.cluster.known().into_iter().flat_map(ClusterView::pods);
        let old_enough =
            |pod: &&Pod| duration::since(pod.created, self.now) >= self.limits.pending.age;
        let may_be_need = |pod: &&Pod| match pod.placement {
            Placement::Unschedulable { .. } => true,
            Placement::Waiting => foreseen::may_be_need(self, pod),
            Placement::Bound(_) | Placement::OtherScheduler | Placement::Gated => false,
        };
        pods.filter(may_be_need).filter(old_enough).filter(|pod| !self.is_expendable(pod)).collect()
    }

    /// A pool's records, the gone ones left out.
    pub(super) fn workers<'s>(
        &'s self,
        pool: &'s PoolName,
    ) -> impl Iterator<Item = &'a Worker> + 's {
        self.memory.workers.values().filter(move |worker| worker.pool == *pool && worker.is_live())
    }

    /// Where a worker's machine stands, by a known list.
    pub(super) fn machine(&self, worker: &Worker, list: &[&'a Instance]) -> Machine<'a> {
        if let Some(instance) = list.iter().find(|instance| is_of(instance, worker)) {
            return match instance.state {
                InstanceState::Pending | InstanceState::Running => Machine::Live(instance),
                InstanceState::Stopped => Machine::Stopped(instance),
                InstanceState::Ending => Machine::Ending(instance),
                InstanceState::Gone => Machine::Gone(Some(instance)),
            };
        }
        let is_young =
            duration::since(worker.created.max(worker.since), self.now) < list_delay(self.limits);
        let is_late = worker.instance.is_some() && is_young;
        if is_late || self.lacks_live_ones(&worker.pool, list) {
            return Machine::Unknown;
        }
        Machine::Gone(None)
    }

    /// A worker's machine, while a list shows that it exists. Whatever else the list says proves nothing that a worker
    /// whose node is well could be removed by.
    pub(super) fn listed(
        &self,
        worker: &Worker,
        list: &[&'a Instance],
    ) -> Result<&'a Instance, Reason> {
        let unlisted = || unknown("its machine", "it is not listed");
        self.machine(worker, list).live().ok_or_else(unlisted)
    }

    /// Whether a list lacks machines that are surely there, for their nodes are Ready. Then what it lacks
    /// proves nothing: an empty answer may be an error of the provider's.
    pub(super) fn lacks_live_ones(&self, pool: &PoolName, list: &[&Instance]) -> bool {
        self.workers(pool).any(|worker| {
            worker.state == WorkerState::Ready
                && worker.instance.is_some()
                && self.node(worker).is_some_and(Node::is_ready)
                && !list.iter().any(|instance| is_of(instance, worker))
        })
    }

    /// Whether a record speaks for its machine: one of a gone worker does as long as lists may be late.
    pub(super) fn is_known(&self, worker: &Worker) -> bool {
        worker.is_live() || duration::since(worker.since, self.now) < LIST_DELAY
    }

    /// How many workers a pool has or is getting: records, and machines and nodes of ours that no
    /// record names. A worker on its way out does not count.
    pub(super) fn have(&self, pool: &PoolName) -> u32 {
        let records = || self.memory.workers.values().filter(|worker| self.is_known(worker));
        let recorded: HashSet<&WorkerId> = records().map(|worker| &worker.id).collect();
        let known: HashSet<_> = records().filter_map(|worker| worker.instance.as_ref()).collect();
        let serving = self.workers(pool).filter(|worker| worker.is_serving()).count();
        let list = self.instances(pool).unwrap_or_default();
        let unrecorded = |instance: &&&Instance| {
            instance.is_live()
                && !known.contains(&instance.id)
                && !self.is_awaited(instance)
                && instance.worker.as_ref().is_none_or(|worker| !recorded.contains(worker))
        };
        let nodes = self.observed.cluster.known().into_iter().flat_map(ClusterView::nodes);
        let is_recorded = |name: &str| recorded.iter().any(|id| id.as_str() == name);
        let alone = |node: &&'a Node| {
            let is_it = |name: &str| list.iter().any(|instance| is_on(node, name, instance));
            node.pool.as_ref() == Some(pool)
                && node.is_ready()
                && !node.control_plane
                // Another pool's record speaks for it.
                && !self.is_contested(node)
                && self.name_of(node).is_some_and(|name| !is_recorded(name) && !is_it(name))
        };
        let others = list.iter().filter(unrecorded).count() + nodes.filter(alone).count();
        u32::try_from(serving + others).unwrap_or(u32::MAX)
    }

    /// The pool's configuration.
    pub(super) fn pool(&self, name: &PoolName) -> Option<&'a PoolConfig> {
        self.limits.pools.get(name)
    }

    /// Labels of an act that no alert asks for, as silences are matched against them.
    pub(super) fn labels(&self, autoscale: &str, pool: &PoolName) -> BTreeMap<String, String> {
        labels(autoscale, self.limits, pool)
    }
}

/// Labels of an act, as silences are matched against them.
pub(super) fn labels(
    autoscale: &str,
    limits: &ClusterConfig,
    pool: &PoolName,
) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("autoscale".to_owned(), autoscale.to_owned()),
        ("cluster".to_owned(), limits.name.to_string()),
        ("pool".to_owned(), pool.to_string()),
    ])
}

/// Where a worker's machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine<'a> {
    /// It exists, or is being created.
    Live(&'a Instance),
    /// It is there, and does not run any more.
    Stopped(&'a Instance),
    /// It is being ended, by whomever.
    Ending(&'a Instance),
    /// The list does not hold it and proves nothing: it was asked for a moment ago and lists are late, or
    /// the list lacks machines that are surely there.
    Unknown,
    /// It does not exist, as far as a whole list tells; as it is listed, where it is for a while.
    Gone(Option<&'a Instance>),
}

impl<'a> Machine<'a> {
    /// The machine, while it exists.
    pub(super) fn live(self) -> Option<&'a Instance> {
        match self {
            Machine::Live(instance) => Some(instance),
            Machine::Stopped(_) | Machine::Ending(_) | Machine::Unknown | Machine::Gone(_) => None,
        }
    }
}

pub(super) fn unknown(what: &str, why: &str) -> Reason {
    Reason::Unknown { what: what.to_owned(), why: why.to_owned() }
}
