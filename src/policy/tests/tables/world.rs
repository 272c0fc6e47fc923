//! A small world to plan in, built by sentences: one cluster, healthy monitoring, pools as asked.

use crate::config::{ClusterConfig, Config, PoolConfig};
use crate::model::{
    AlertState, Ask, ClusterName, ClusterView, Cordon, Decision, Guard, Instance, InstanceState,
    Market, Memory, Node, NodeRef, Observed, Offering, PeerState, Placement, Plan, Pod, PodKind,
    PodSpec, PoolName, Price, Purpose, Readiness, Resources, Shape, Signal, Silence, SilenceState,
    Source, Step, Truth, Verdict, View, Want, Worker, WorkerId, WorkerState, duration,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub(in crate::policy) const GIB: u64 = 1 << 30;
pub(in crate::policy) const UID: &str = "kube-system-uid";
const ALERTMANAGER: &str = "http://am:9093";

/// Everything a plan is made from, open to be changed.
#[derive(Clone, Debug)]
pub(in crate::policy) struct World {
    pub(in crate::policy) now: Timestamp,
    pub(in crate::policy) config: ClusterConfig,
    pub(in crate::policy) memory: Memory,
    pub(in crate::policy) signals: Vec<Signal>,
    pub(in crate::policy) nodes: Vec<Node>,
    pub(in crate::policy) pods: Vec<Pod>,
    pub(in crate::policy) instances: BTreeMap<PoolName, Vec<Instance>>,
    pub(in crate::policy) shapes: BTreeMap<PoolName, Vec<Shape>>,
    pub(in crate::policy) truth: Truth,
    pub(in crate::policy) guards: BTreeMap<String, Guard>,
    pub(in crate::policy) wants: BTreeMap<crate::model::SignalId, Want>,
    pub(in crate::policy) uid: String,
    pub(in crate::policy) view_age: Duration,
    pub(in crate::policy) list_age: Duration,
    pub(in crate::policy) cluster_unknown: bool,
    pub(in crate::policy) lists_unknown: BTreeSet<PoolName>,
}

pub(in crate::policy) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(in crate::policy) fn mins(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

/// One pool `workers`, `min` 0, `max` 10, no settling; everything healthy, nothing asked.
pub(in crate::policy) fn world() -> World {
    world_of(&["workers"])
}

/// The same with these pools.
pub(in crate::policy) fn world_of(pools: &[&str]) -> World {
    let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let long_ago = duration::before(now, Duration::from_hours(100));
    let mut world = World {
        now,
        config: config(pools),
        memory: Memory::default(),
        signals: Vec::new(),
        nodes: Vec::new(),
        pods: Vec::new(),
        instances: pools.iter().map(|pool| ((*pool).into(), Vec::new())).collect(),
        shapes: pools
            .iter()
            .map(|pool| ((*pool).into(), vec![shape("medium", 2_000, 8)]))
            .collect(),
        truth: Truth {
            peers: vec![peer(ALERTMANAGER, Some(long_ago))],
            ttl: secs(85),
            ..Truth::default()
        },
        guards: BTreeMap::new(),
        wants: BTreeMap::new(),
        uid: UID.to_owned(),
        view_age: Duration::ZERO,
        list_age: Duration::ZERO,
        cluster_unknown: false,
        lists_unknown: BTreeSet::new(),
    };
    world.memory.cluster.uid = Some(UID.into());
    world.memory.cluster.alertmanagers.insert(ALERTMANAGER.to_owned(), long_ago);
    world.alert("Watchdog", Ask::Watchdog, None);
    world
}

fn config(pools: &[&str]) -> ClusterConfig {
    let pool = |name: &&str| {
        format!("      {name}: {{ provider: {{ sim: {{}} }}, max: 10, settle: 0s }}\n")
    };
    let text = format!(
        "alertmanager: {{ urls: [http://am:9093] }}\nprometheus: {{ urls: [http://p:9090] }}\n\
         clusters:\n  one:\n    kubernetes: {{ sim: {{}} }}\n    pools:\n{}",
        pools.iter().map(pool).collect::<String>()
    );
    let none = BTreeMap::<String, String>::new();
    let read = Config::parse(&text, &none).unwrap_or_else(|error| panic!("{error}\n{text}"));
    read.config.clusters[&ClusterName::from("one")].clone()
}

pub(in crate::policy) fn peer(url: &str, started: Option<Timestamp>) -> PeerState {
    let error = started.is_none().then(|| "connection refused".to_owned());
    PeerState { url: url.to_owned(), started, error }
}

/// A shape in the zones a and b, on-demand, five cents a core.
pub(in crate::policy) fn shape(name: &str, cpu: u64, gib: u64) -> Shape {
    let offering = |zone: &str| Offering {
        shape: name.into(),
        zone: zone.into(),
        market: Market::OnDemand,
        price: Some(Price(cpu * 50)),
    };
    Shape {
        name: name.into(),
        capacity: Resources::new(cpu, gib * GIB).with_pods(110),
        offerings: vec![offering("a"), offering("b")],
    }
}

/// A pod's requests: so many millicores and 64 MiB.
pub(in crate::policy) fn asking(cpu: u64) -> PodSpec {
    PodSpec { requests: Resources::new(cpu, GIB / 16).with_pods(1), ..PodSpec::default() }
}

impl World {
    pub(in crate::policy) fn pool(&mut self) -> &mut PoolConfig {
        self.pool_named("workers")
    }

    pub(in crate::policy) fn pool_named(&mut self, name: &str) -> &mut PoolConfig {
        self.config.pools.get_mut(&PoolName::from(name)).unwrap()
    }

    // --- machines ---

    /// `count` Ready workers `w1…`, a day old, zones a and b in turn.
    pub(in crate::policy) fn with_workers(mut self, count: usize) -> Self {
        for number in 1..=count {
            self.ready_worker("workers", &format!("w{number}"), Duration::from_hours(24));
        }
        self
    }

    pub(in crate::policy) fn ready_worker(&mut self, pool: &str, id: &str, age: Duration) {
        let zone = if self.memory.workers.len().is_multiple_of(2) { "a" } else { "b" };
        let created = duration::before(self.now, age);
        self.record(pool, id, WorkerState::Ready, created);
        self.machine(pool, id, created, zone);
        self.node(pool, id, created, zone);
        let node = self.node_of(id).at.clone();
        let worker = self.worker_mut(id);
        worker.zone = zone.into();
        worker.ready = Some(created);
        worker.node = Some(node);
    }

    /// A record, its machine named `i-<id>` unless it is only requested.
    pub(in crate::policy) fn record(
        &mut self,
        pool: &str,
        id: &str,
        state: WorkerState,
        created: Timestamp,
    ) {
        let instance = (state != WorkerState::Requested).then(|| format!("i-{id}").as_str().into());
        let worker = Worker {
            id: id.into(),
            pool: pool.into(),
            batch: None,
            shape: "medium".into(),
            zone: "a".into(),
            market: Market::OnDemand,
            instance,
            node: None,
            state,
            since: created,
            deadline_from: created,
            created,
            ready: None,
            purpose: None,
            held: Duration::ZERO,
            held_since: None,
        };
        self.memory.workers.insert(worker.id.clone(), worker);
    }

    pub(in crate::policy) fn machine(
        &mut self,
        pool: &str,
        id: &str,
        launched: Timestamp,
        zone: &str,
    ) {
        self.instances.get_mut(&PoolName::from(pool)).unwrap().push(Instance {
            id: format!("i-{id}").as_str().into(),
            worker: Some(id.into()),
            batch: None,
            pool: pool.into(),
            cluster_uid: Some(UID.into()),
            shape: "medium".into(),
            zone: zone.into(),
            market: Market::OnDemand,
            launched,
            state: InstanceState::Running,
            protected: false,
            notice: None,
        });
    }

    pub(in crate::policy) fn node(&mut self, pool: &str, id: &str, created: Timestamp, zone: &str) {
        self.nodes.push(Node {
            at: NodeRef {
                name: format!("n-{id}").as_str().into(),
                uid: format!("nu-{id}").as_str().into(),
            },
            worker: Some(id.into()),
            pool: Some(pool.into()),
            provider_id: None,
            control_plane: false,
            created,
            readiness: Readiness::Ready,
            cordon: Cordon::None,
            allocatable: Resources::new(2_000, 8 * GIB).with_pods(110),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            zone: Some(zone.into()),
        });
    }

    /// A worker that was launched `age` ago and has no node yet.
    pub(in crate::policy) fn booting(&mut self, id: &str, age: Duration) {
        let created = duration::before(self.now, age);
        self.record("workers", id, WorkerState::Booting, created);
        self.machine("workers", id, created, "a");
    }

    /// Puts a Ready worker on its way out, its node cordoned by us.
    pub(in crate::policy) fn leaving(&mut self, id: &str, state: WorkerState, purpose: Purpose) {
        let now = self.now;
        self.node_mut(id).cordon = Cordon::Ours;
        let worker = self.worker_mut(id);
        worker.state = state;
        worker.since = now;
        worker.deadline_from = now;
        worker.purpose = Some(purpose);
    }

    pub(in crate::policy) fn worker_mut(&mut self, id: &str) -> &mut Worker {
        self.memory.workers.get_mut(&WorkerId::from(id)).unwrap()
    }

    pub(in crate::policy) fn node_of(&self, id: &str) -> &Node {
        self.nodes.iter().find(|node| node.worker == Some(id.into())).unwrap()
    }

    pub(in crate::policy) fn node_mut(&mut self, id: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.worker == Some(id.into())).unwrap()
    }

    pub(in crate::policy) fn instance_mut(&mut self, id: &str) -> &mut Instance {
        let mut all = self.instances.values_mut().flatten();
        all.find(|instance| instance.worker == Some(id.into())).unwrap()
    }

    /// The machine vanishes from every list, its node turns NotReady.
    pub(in crate::policy) fn lose(&mut self, id: &str) {
        for list in self.instances.values_mut() {
            list.retain(|instance| instance.worker != Some(id.into()));
        }
        let since = self.now;
        self.node_mut(id).readiness = Readiness::NotReady { since };
    }

    // --- pods ---

    /// Unschedulable pods, a minute old.
    pub(in crate::policy) fn pending(&mut self, count: usize, cpu: u64) {
        self.pending_like(count, asking(cpu));
    }

    pub(in crate::policy) fn pending_like(&mut self, count: usize, spec: PodSpec) {
        let since = duration::before(self.now, mins(1));
        let spec = Arc::new(spec);
        for _ in 0..count {
            let placement = Placement::Unschedulable { since };
            let pod = self.new_pod(spec.clone(), placement);
            self.pods.push(pod);
        }
    }

    /// A pod on a worker's node.
    pub(in crate::policy) fn running_on(&mut self, id: &str, cpu: u64) -> &mut Pod {
        let node = self.node_of(id).at.name.clone();
        let pod = self.new_pod(Arc::new(asking(cpu)), Placement::Bound(node));
        self.pods.push(pod);
        self.pods.last_mut().unwrap()
    }

    fn new_pod(&self, spec: Arc<PodSpec>, placement: Placement) -> Pod {
        let number = self.pods.len();
        Pod {
            uid: format!("pod-{number}").as_str().into(),
            namespace: "default".to_owned(),
            name: format!("pod-{number}"),
            created: duration::before(self.now, mins(1)),
            placement,
            spec,
            kind: PodKind::Normal,
            pins: Vec::new(),
            essential: None,
        }
    }

    // --- what is asked ---

    /// An alert that was delivered just now and is active.
    pub(in crate::policy) fn alert(&mut self, name: &str, ask: Ask, pool: Option<&str>) {
        let mut labels = BTreeMap::from([
            ("alertname".to_owned(), name.to_owned()),
            ("cluster".to_owned(), "one".to_owned()),
        ]);
        labels.extend(pool.map(|pool| ("pool".to_owned(), pool.to_owned())));
        let starts_at = self.now;
        let signal = Signal {
            id: name.into(),
            cluster: "one".into(),
            pool: pool.map(PoolName::from),
            ask,
            source: Source::Alert {
                fingerprint: name.into(),
                starts_at,
                labels: BTreeMap::new(),
                resolved: false,
            },
            name: name.to_owned(),
            summary: String::new(),
            description: String::new(),
            first_seen: self.now,
            last_seen: self.now,
        };
        labels.insert("autoscale".to_owned(), signal.direction().to_string());
        if let Ask::Up { step: Some(step), .. } = &signal.ask {
            labels.insert("step".to_owned(), step.to_string());
        }
        let state = AlertState {
            labels: labels.clone(),
            annotations: BTreeMap::new(),
            starts_at,
            silenced_by: Vec::new(),
            inhibited_by: Vec::new(),
        };
        self.truth.alerts.insert(name.into(), state);
        self.signals.retain(|known| known.id != signal.id);
        self.signals.push(signal);
        if let Source::Alert { labels: own, .. } = &mut self.signal_mut(name).source {
            *own = labels;
        }
    }

    /// The rule for pending pods: it opens the question, packing answers.
    pub(in crate::policy) fn up(&mut self) {
        self.alert("PodsPending", Ask::Up { step: None, want_query: None }, Some("workers"));
    }

    pub(in crate::policy) fn up_step(&mut self, step: u32) {
        let ask = Ask::Up { step: Some(step), want_query: None };
        self.alert("CpuHigh", ask, Some("workers"));
    }

    pub(in crate::policy) fn up_want(&mut self, want: Want) {
        let ask = Ask::Up { step: None, want_query: Some("forecast".to_owned()) };
        self.alert("Forecast", ask, Some("workers"));
        self.wants.insert("Forecast".into(), want);
    }

    pub(in crate::policy) fn down(&mut self) {
        self.alert("PoolIdle", Ask::Down { node: None }, Some("workers"));
    }

    pub(in crate::policy) fn replace(&mut self, id: &str) {
        let node = self.node_of(id).at.name.clone();
        self.alert("NodeSick", Ask::Replace { node: Some(node) }, Some("workers"));
    }

    pub(in crate::policy) fn manual(&mut self, by: i32) {
        self.alert("manual", Ask::Scale { by }, Some("workers"));
        self.truth.alerts.remove(&"manual".into());
        self.signal_mut("manual").source = Source::Manual { who: "ann".to_owned() };
    }

    pub(in crate::policy) fn signal_mut(&mut self, name: &str) -> &mut Signal {
        self.signals.iter_mut().find(|signal| signal.name == name).unwrap()
    }

    /// The alert is over: nobody tells of it any more.
    pub(in crate::policy) fn over(&mut self, name: &str) {
        self.truth.alerts.remove(&name.into());
    }

    /// A silence by ann over every label set with this pair, set a minute ago for an hour.
    pub(in crate::policy) fn silence(&mut self, label: &str, value: &str) {
        let id = format!("silence-{label}-{value}");
        let silence = Silence {
            id: id.as_str().into(),
            matchers: vec![crate::model::Matcher {
                name: label.to_owned(),
                value: value.to_owned(),
                is_regex: false,
                is_equal: true,
            }],
            starts: duration::before(self.now, mins(1)),
            ends: duration::after(self.now, Duration::from_hours(1)),
            created_by: "ann".to_owned(),
            comment: "maintenance".to_owned(),
            state: SilenceState::Active,
        };
        for state in self.truth.alerts.values_mut() {
            if silence.mutes(&state.labels, self.now) {
                state.silenced_by.push(silence.id.clone());
            }
        }
        self.truth.silences.insert(silence.id.clone(), silence);
    }

    /// Time goes on, and what fires is delivered again.
    pub(in crate::policy) fn pass_time(&mut self, by: Duration) {
        let before = self.now;
        self.now = duration::after(self.now, by);
        for signal in &mut self.signals {
            if signal.last_seen == before {
                signal.last_seen = self.now;
            }
        }
    }

    // --- the plan ---

    pub(in crate::policy) fn observed(&self) -> Observed {
        let at = duration::before(self.now, self.view_age);
        let listed = duration::before(self.now, self.list_age);
        let view = ClusterView {
            uid: self.uid.as_str().into(),
            nodes: self.nodes.clone(),
            pods: self.pods.clone(),
        };
        let list = |pool: &PoolName, list: &Vec<Instance>| {
            if self.lists_unknown.contains(pool) {
                View::Unknown { why: "throttled".to_owned() }
            } else {
                View::Known { at: listed, value: list.clone() }
            }
        };
        Observed {
            cluster: if self.cluster_unknown {
                View::Unknown { why: "apiserver away".to_owned() }
            } else {
                View::Known { at, value: view }
            },
            instances: self
                .instances
                .iter()
                .map(|(pool, machines)| (pool.clone(), list(pool, machines)))
                .collect(),
            shapes: self
                .shapes
                .iter()
                .map(|(pool, shapes)| {
                    (pool.clone(), View::Known { at: listed, value: shapes.clone() })
                })
                .collect(),
            truth: self.truth.clone(),
            guards: self.guards.clone(),
            wants: self.wants.clone(),
        }
    }

    pub(in crate::policy) fn plan(&self) -> Plan {
        crate::policy::plan(&self.observed(), &self.signals, &self.memory, &self.config, self.now)
    }

    /// What is decided for the pool `workers`.
    pub(in crate::policy) fn decision(&self) -> Decision {
        self.plan().of("workers").clone()
    }
}

/// What tests read off a plan.
pub(in crate::policy) trait Read {
    fn of(&self, pool: &str) -> &Decision;
    fn step_of(&self, worker: &str) -> Option<&Step>;
    /// `event` of the transition of this worker.
    fn moved(&self, worker: &str) -> Option<&'static str>;
}

impl Read for Plan {
    fn of(&self, pool: &str) -> &Decision {
        self.decisions.iter().find(|decision| decision.pool == pool.into()).unwrap()
    }

    fn step_of(&self, worker: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.worker == worker.into())
    }

    fn moved(&self, worker: &str) -> Option<&'static str> {
        self.transitions.iter().find_map(|transition| match transition {
            crate::model::Transition::Move { worker: id, event, .. } if *id == worker.into() => {
                Some(event.name())
            }
            _ => None,
        })
    }
}

/// How many workers a decision launches.
pub(in crate::policy) fn launches(decision: &Decision) -> usize {
    match &decision.verdict {
        Verdict::Launch { intent, .. } => intent.request.orders.len(),
        Verdict::Drain { .. } | Verdict::Hold => 0,
    }
}

/// Which workers a decision begins to remove.
pub(in crate::policy) fn drains(decision: &Decision) -> Vec<&str> {
    match &decision.verdict {
        Verdict::Drain { workers } => workers.iter().map(WorkerId::as_str).collect(),
        Verdict::Launch { .. } | Verdict::Hold => Vec::new(),
    }
}
