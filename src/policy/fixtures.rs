//! Small worlds for the tests of the rules: a cluster, what is asked of it, and what is remembered.

mod apply;
mod asked;
mod read;
mod seen;

pub(super) use apply::intents;
pub(super) use read::{Reads, blocked, code, launches};
pub(super) use seen::UNSEEN;

use crate::config::{
    ClusterConfig, Ec2Config, Guards, Mode, Pending, PoolConfig, ProviderConfig, Source, Timing,
};
use crate::model::{
    ClusterMemory, ClusterView, Cordon, Instance, InstanceState, Market, Memory, Node, NodeName,
    NodeRef, Observed, Offering, PeerState, Pin, Placement, Plan, Pod, PodKind, PodSpec,
    PoolMemory, PoolName, Price, Readiness, Resources, Shape, Signal, Truth, View, Worker,
    WorkerId, WorkerState, duration,
};
use crate::policy;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) const GIB: u64 = 1 << 30;
pub(super) const DAY: Duration = Duration::from_hours(24);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);

/// The cluster's real UID in every world.
pub(super) const UID: &str = "uid-1";

/// Everything one plan is made from.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) observed: Observed,
    pub(super) signals: Vec<Signal>,
    pub(super) memory: Memory,
    pub(super) limits: ClusterConfig,
    pub(super) now: Timestamp,
    made: u32,
}

/// What a machine of 2 cores and 4 GiB offers.
pub(super) fn small() -> Resources {
    Resources::new(2_000, 4 * GIB).with_pods(110)
}

pub(super) fn shape(name: &str, capacity: Resources, price: Option<u64>) -> Shape {
    let offering = |zone: &str| Offering {
        shape: name.into(),
        zone: zone.into(),
        market: Market::OnDemand,
        price: price.map(Price),
    };
    Shape { name: name.into(), capacity, offerings: vec![offering("a"), offering("b")] }
}

/// A pool with every default, but that need does not wait for siblings.
/// A provider whose machines bear no names, and of which so many percent are spot.
pub(super) fn ec2(spot: u32) -> ProviderConfig {
    ProviderConfig::Ec2(Box::new(Ec2Config {
        region: None,
        endpoint: None,
        assume_role: None,
        source: Source::Template { template: "k3s".to_owned(), version: "1".to_owned() },
        shapes: vec!["small".to_owned()],
        subnets: Vec::new(),
        spot,
        tags: [].into(),
        memory_overhead: 7,
        max_pods: 110,
        parameters: Vec::new(),
    }))
}

pub(super) fn pool(name: &str, max: u32) -> PoolConfig {
    PoolConfig { settle: Duration::ZERO, ..PoolConfig::new(name.into(), max) }
}

pub(super) fn worker_id(number: u32) -> WorkerId {
    format!("w{number}").as_str().into()
}

pub(super) fn node_name(number: u32) -> NodeName {
    format!("n{number}").as_str().into()
}

impl World {
    /// One pool `workers` of up to 10 with `count` Ready workers, a day old, in zones a and b in turn.
    /// Alertmanager answers, and the watchdog has just been heard.
    pub(super) fn of(count: u32) -> Self {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut world = Self {
            observed: Observed {
                cluster: View::Known { at: now, value: ClusterView::empty(UID.into()) },
                instances: BTreeMap::new(),
                shapes: BTreeMap::new(),
                truth: Truth {
                    peers: vec![PeerState {
                        url: "http://am-1".to_owned(),
                        started: Some(duration::before(now, DAY)),
                        error: None,
                    }],
                    ttl: Duration::from_secs(130),
                    ..Truth::default()
                },
                guards: BTreeMap::new(),
                wants: BTreeMap::new(),
            },
            signals: Vec::new(),
            memory: Memory {
                cluster: ClusterMemory { uid: Some(UID.into()), ..ClusterMemory::default() },
                ..Memory::default()
            },
            limits: ClusterConfig {
                name: "c".into(),
                kubernetes: crate::config::KubernetesConfig::default(),
                mode: Mode::Act,
                accept_unlabelled: false,
                expanders: crate::config::Expander::usual(),
                expendable_below: -10,
                pending: Pending::default(),
                guards: Guards::default(),
                alertmanager: crate::config::AlertmanagerConfig::default(),
                prometheus: crate::config::PrometheusConfig::default(),
                timing: Timing::default(),
                pools: BTreeMap::new(),
            },
            now,
            made: 0,
        };
        world.add_pool("workers", 10);
        world.watchdog();
        for _ in 0..count {
            world.ready("workers");
        }
        world
    }

    /// One more pool of the same small shape, empty.
    pub(super) fn add_pool(&mut self, name: &str, max: u32) {
        self.limits.pools.insert(name.into(), pool(name, max));
        let small = shape("small", small(), Some(50_000));
        self.observed.shapes.insert(name.into(), View::Known { at: self.now, value: vec![small] });
        self.observed
            .instances
            .insert(name.into(), View::Known { at: self.now, value: Vec::new() });
    }

    /// The configuration of the pool `workers`.
    pub(super) fn pool(&mut self) -> &mut PoolConfig {
        self.pool_named("workers")
    }

    pub(super) fn pool_named(&mut self, name: &str) -> &mut PoolConfig {
        self.limits.pools.get_mut(&PoolName::from(name)).unwrap()
    }

    /// A Ready worker with machine and node: `w1` on `n1` is `i1`, and so on.
    pub(super) fn ready(&mut self, pool: &str) -> u32 {
        self.made += 1;
        let number = self.made;
        let zone = if number % 2 == 1 { "a" } else { "b" };
        let created = duration::before(self.now, DAY);
        let node =
            NodeRef { name: node_name(number), uid: format!("node-uid-{number}").as_str().into() };
        let worker = Worker {
            id: worker_id(number),
            pool: pool.into(),
            batch: None,
            shape: "small".into(),
            zone: zone.into(),
            market: Market::OnDemand,
            instance: Some(format!("i{number}").as_str().into()),
            node: Some(node.clone()),
            state: WorkerState::Ready,
            since: created,
            deadline_from: created,
            created,
            ready: Some(created),
            purpose: None,
            held: Duration::ZERO,
            held_since: None,
            blocked: None,
            template: None,
            last_words: None,
        };
        self.add_instance(&worker);
        self.add_node(&worker, node);
        self.memory.workers.insert(worker.id.clone(), worker);
        number
    }

    /// The machine of a worker.
    pub(super) fn add_instance(&mut self, worker: &Worker) {
        let instance = Instance {
            id: worker.instance.clone().unwrap(),
            worker: Some(worker.id.clone()),
            batch: worker.batch.clone(),
            pool: worker.pool.clone(),
            cluster_uid: Some(UID.into()),
            shape: worker.shape.clone(),
            zone: worker.zone.clone(),
            market: worker.market,
            launched: worker.created,
            state: InstanceState::Running,
            protected: false,
            notice: None,
            told: None,
            unchecked: false,
        };
        self.instances(worker.pool.as_str()).push(instance);
    }

    /// The Ready node of a worker.
    pub(super) fn add_node(&mut self, worker: &Worker, at: NodeRef) {
        let node = Node {
            at,
            worker: Some(worker.id.clone()),
            pool: Some(worker.pool.clone()),
            provider_id: None,
            control_plane: false,
            created: worker.created,
            readiness: Readiness::Ready,
            cordon: Cordon::None,
            kept: None,
            allocatable: small(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            zone: Some(worker.zone.clone()),
        };
        self.view().nodes.push(Arc::new(node));
    }

    /// Each node has its name under this label, as a kubelet writes it.
    pub(super) fn add_labels(&mut self, hostname: &str) {
        for node in self.nodes() {
            node.labels.insert(hostname.to_owned(), node.at.name.to_string());
        }
    }

    pub(super) fn view(&mut self) -> &mut ClusterView {
        match &mut self.observed.cluster {
            View::Known { value, .. } => value,
            View::Unknown { why } => panic!("the view is unknown: {why}"),
        }
    }

    pub(super) fn nodes(&mut self) -> impl Iterator<Item = &mut Node> {
        self.view().nodes.iter_mut().map(Arc::make_mut)
    }

    pub(super) fn pods(&mut self) -> impl Iterator<Item = &mut Pod> {
        self.view().pods.iter_mut().map(Arc::make_mut)
    }

    /// The first pod.
    pub(super) fn first_pod(&mut self) -> &mut Pod {
        self.pods().next().unwrap()
    }

    pub(super) fn node(&mut self, number: u32) -> &mut Node {
        let name = node_name(number);
        self.nodes().find(|node| node.at.name == name).unwrap()
    }

    pub(super) fn instances(&mut self, pool: &str) -> &mut Vec<Instance> {
        match self.observed.instances.get_mut(&PoolName::from(pool)) {
            Some(View::Known { value, .. }) => value,
            _ => panic!("the list of machines is unknown"),
        }
    }

    pub(super) fn instance(&mut self, number: u32) -> &mut Instance {
        let ids = [format!("i{number}"), format!("i-{number}")];
        let is_it = |one: &&mut Instance| ids.iter().any(|id| one.id.as_str() == id);
        self.instances("workers").iter_mut().find(is_it).unwrap()
    }

    pub(super) fn shapes(&mut self) -> &mut Vec<Shape> {
        match self.observed.shapes.get_mut(&PoolName::from("workers")) {
            Some(View::Known { value, .. }) => value,
            _ => panic!("what can be bought is unknown"),
        }
    }

    pub(super) fn worker(&mut self, number: u32) -> &mut Worker {
        self.memory.workers.get_mut(&worker_id(number)).unwrap()
    }

    /// What is remembered of the pool `workers`.
    pub(super) fn remembered(&mut self) -> &mut PoolMemory {
        self.memory.pools.entry("workers".into()).or_default()
    }

    /// Puts a worker into a state it has just come into.
    pub(super) fn set(&mut self, number: u32, state: WorkerState) {
        let now = self.now;
        let worker = self.worker(number);
        (worker.state, worker.since, worker.deadline_from) = (state, now, now);
        if worker.is_coming() {
            worker.ready = None;
        }
    }

    /// Pods that the scheduler found no node for, each asking for so many millicores.
    pub(super) fn pending(&mut self, count: u32, cpu_milli: u64) {
        let since = duration::before(self.now, MINUTE);
        for _ in 0..count {
            self.add_pod(Placement::Unschedulable { since }, cpu_milli);
        }
    }

    /// A pod on a worker's node.
    pub(super) fn pod_on(&mut self, number: u32, cpu_milli: u64) -> &mut Pod {
        self.add_pod(Placement::Bound(node_name(number)), cpu_milli)
    }

    /// The same, kept there by something.
    pub(super) fn pinned_on(&mut self, number: u32, pin: Pin) {
        self.pod_on(number, 100).pins.push(pin);
    }

    pub(super) fn add_pod(&mut self, placement: Placement, cpu_milli: u64) -> &mut Pod {
        self.made += 1;
        let name = format!("pod-{}", self.made);
        let pod = Pod {
            uid: name.as_str().into(),
            name,
            created: duration::before(self.now, MINUTE),
            placement,
            spec: Arc::new(PodSpec {
                namespace: "default".to_owned(),
                requests: Resources::new(cpu_milli, GIB / 8).with_pods(1),
                ..PodSpec::default()
            }),
            kind: PodKind::Normal,
            pins: Vec::new(),
            essential: None,
        };
        let pods = &mut self.view().pods;
        pods.push(Arc::new(pod));
        Arc::make_mut(pods.last_mut().unwrap())
    }

    /// What the last pod asks for.
    pub(super) fn spec(&mut self) -> &mut PodSpec {
        Arc::make_mut(&mut self.pods().last().unwrap().spec)
    }

    pub(super) fn plan(&self) -> Plan {
        let limits = self.limits.with_removed(&self.memory.pools);
        policy::plan(&self.observed, &self.signals, &self.memory, &limits, self.now)
    }
}
