//! Worlds for tests, in words: so many Ready workers, these pods, these alerts.

use crate::config::{ClusterConfig, Config, PoolConfig};
use crate::model::{
    AlertState, Ask, ClusterView, Cordon, Fingerprint, Guard, Instance, InstanceState, Market,
    Memory, Node, NodeRef, Observed, Offering, PeerState, Placement, Plan, Pod, PodKind, PodSpec,
    PoolName, Price, Readiness, Resources, Shape, Signal, Silence, SilenceState, Source,
    Transition, Truth, Verdict, View, Worker, WorkerState,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Allocatable of every worker: two pods of 900m fit.
const CPU: u64 = 1900;
const MEMORY: u64 = 3 << 30;

/// A whole input of `plan`.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) observed: Observed,
    pub(super) signals: Vec<Signal>,
    pub(super) memory: Memory,
    pub(super) limits: ClusterConfig,
    pub(super) now: Timestamp,
}

/// One pool `workers` of 1 to 5 with so many Ready workers, an hour old, and a live watchdog.
pub(super) fn workers(count: usize) -> Case {
    let yaml = "alertmanager: { urls: [http://am:9093] }
prometheus: { urls: [http://p:9090] }
clusters:
  c:
    kubernetes: { sim: {} }
    pools: { workers: { provider: { sim: {} }, min: 1, max: 5, settle: 0s } }
";
    let config = Config::parse(yaml, &BTreeMap::<String, String>::new()).unwrap().config;
    let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let view = ClusterView { uid: "uid".into(), nodes: Vec::new(), pods: Vec::new() };
    let observed = Observed {
        cluster: View::Known { at: now, value: view },
        instances: BTreeMap::from([("workers".into(), View::Known { at: now, value: Vec::new() })]),
        shapes: BTreeMap::from([("workers".into(), View::Known { at: now, value: vec![shape()] })]),
        truth: Truth {
            peers: vec![PeerState {
                url: "am".to_owned(),
                started: Some(ago(now, 7200)),
                error: None,
            }],
            ttl: Duration::from_secs(85),
            ..Truth::default()
        },
        guards: BTreeMap::new(),
        wants: BTreeMap::new(),
    };
    let mut memory = Memory::default();
    memory.cluster.uid = Some("uid".into());
    memory.cluster.alertmanagers.insert("am".to_owned(), ago(now, 7200));
    let limits = config.clusters[&"c".into()].clone();
    let mut case = Case { observed, signals: Vec::new(), memory, limits, now };
    (0..count).for_each(|number| case.add_worker(number));
    case.alert("Watchdog", "watchdog", Ask::Watchdog)
}

fn shape() -> Shape {
    let offering = |zone: &str| Offering {
        shape: "m".into(),
        zone: zone.into(),
        market: Market::OnDemand,
        price: Some(Price(50_000)),
    };
    Shape {
        name: "m".into(),
        capacity: Resources::new(CPU, MEMORY).with_pods(110),
        offerings: vec![offering("a"), offering("b")],
    }
}

pub(super) fn ago(now: Timestamp, seconds: i64) -> Timestamp {
    now - SignedDuration::from_secs(seconds)
}

impl Case {
    pub(super) fn plan(&self) -> Plan {
        crate::policy::plan(&self.observed, &self.signals, &self.memory, &self.limits, self.now)
    }

    pub(super) fn view(&mut self) -> &mut ClusterView {
        match &mut self.observed.cluster {
            View::Known { value, .. } => value,
            View::Unknown { .. } => panic!("the cluster is unknown"),
        }
    }

    pub(super) fn list(&mut self) -> &mut Vec<Instance> {
        match self.observed.instances.get_mut(&PoolName::from("workers")) {
            Some(View::Known { value, .. }) => value,
            _ => panic!("the list is unknown"),
        }
    }

    pub(super) fn pool(&mut self) -> &mut PoolConfig {
        self.limits.pools.get_mut(&PoolName::from("workers")).unwrap()
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn add_worker(&mut self, number: usize) {
        let created = ago(self.now, 3600);
        let zone = ["a", "b"][number % 2];
        let node = node(number, created, zone);
        let worker = worker(number, created, zone, &node);
        self.list().push(instance(number, created, zone));
        self.view().nodes.push(node);
        self.memory.workers.insert(worker.id.clone(), worker);
    }

    /// Pods of 900m and 1 GiB on a worker.
    pub(super) fn pods_on(mut self, number: usize, count: usize) -> Self {
        let created = ago(self.now, 600);
        for _ in 0..count {
            let name = format!("n{number}");
            self.add_pod(Placement::Bound(name.as_str().into()), created, 900);
        }
        self
    }

    /// Unschedulable pods of so many millicores.
    pub(super) fn waiting(mut self, count: usize, cpu: u64) -> Self {
        let since = ago(self.now, 60);
        (0..count).for_each(|_| self.add_pod(Placement::Unschedulable { since }, since, cpu));
        self
    }

    fn add_pod(&mut self, placement: Placement, created: Timestamp, cpu: u64) {
        let number = self.view().pods.len();
        let spec =
            PodSpec { requests: Resources::new(cpu, 1 << 30).with_pods(1), ..PodSpec::default() };
        self.view().pods.push(Pod {
            uid: format!("pod{number:04}").as_str().into(),
            namespace: "default".to_owned(),
            name: format!("pod{number:04}"),
            created,
            placement,
            spec: Arc::new(spec),
            kind: PodKind::Normal,
            pins: Vec::new(),
            essential: None,
        });
    }

    /// An alert that was just delivered and that Alertmanager says is active.
    pub(super) fn alert(mut self, name: &str, autoscale: &str, ask: Ask) -> Self {
        let labels: BTreeMap<String, String> =
            [("alertname", name), ("autoscale", autoscale), ("cluster", "c"), ("pool", "workers")]
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
        let state = AlertState {
            labels: labels.clone(),
            annotations: BTreeMap::new(),
            starts_at: ago(self.now, 30),
            silenced_by: Vec::new(),
            inhibited_by: Vec::new(),
        };
        self.observed.truth.alerts.insert(Fingerprint::new(name), state);
        self.signals.push(Signal {
            id: name.into(),
            cluster: "c".into(),
            pool: Some("workers".into()),
            ask,
            source: Source::Alert {
                fingerprint: Fingerprint::new(name),
                starts_at: ago(self.now, 30),
                labels,
                resolved: false,
            },
            name: name.to_owned(),
            summary: String::new(),
            description: String::new(),
            first_seen: self.now,
            last_seen: self.now,
        });
        self
    }

    pub(super) fn up(self, step: u32) -> Self {
        self.alert("CPUHigh", "up", Ask::Up { step: Some(step), want_query: None })
    }

    /// An up-alert without a step: as many as the pods need.
    pub(super) fn need(self) -> Self {
        self.alert("PodsUnschedulable", "up", Ask::Up { step: None, want_query: None })
    }

    pub(super) fn idle(self) -> Self {
        self.alert("SustainedIdle", "down", Ask::Down { node: None })
    }

    /// A silence that Alertmanager knows, on everything with this `autoscale` label.
    pub(super) fn silence(mut self, autoscale: &str) -> Self {
        let silence = Silence {
            id: "s1".into(),
            matchers: vec![crate::model::Matcher {
                name: "autoscale".to_owned(),
                value: autoscale.to_owned(),
                is_regex: false,
                is_equal: true,
            }],
            starts: ago(self.now, 10),
            ends: ago(self.now, -3600),
            created_by: "Ada".to_owned(),
            comment: "maintenance".to_owned(),
            state: SilenceState::Active,
        };
        for state in self.observed.truth.alerts.values_mut() {
            if state.labels.get("autoscale").map(String::as_str) == Some(autoscale) {
                state.silenced_by.push("s1".into());
            }
        }
        self.observed.truth.silences.insert("s1".into(), silence);
        self
    }

    pub(super) fn guard(mut self, answer: Guard) -> Self {
        self.limits.guards.down = vec!["g".to_owned()];
        self.observed.guards.insert("g".to_owned(), answer);
        self
    }

    /// The records as they are after a plan is committed.
    pub(super) fn apply(&mut self, plan: &Plan) {
        for transition in &plan.transitions {
            match transition {
                Transition::Move { worker, event, .. } => {
                    self.memory.workers.get_mut(worker).unwrap().on(event, self.now).unwrap();
                }
                Transition::Adopt { worker, .. } | Transition::Clock { worker } => {
                    self.memory.workers.insert(worker.id.clone(), worker.clone());
                }
            }
        }
        for step in plan.steps.iter().filter(|step| !step.dry_run) {
            if let Some(event) = &step.before {
                self.memory.workers.get_mut(&step.worker).unwrap().on(event, self.now).unwrap();
            }
        }
        for decision in &plan.decisions {
            if let (Verdict::Launch { intent, .. }, false) = (&decision.verdict, decision.dry_run) {
                for order in &intent.request.orders {
                    let zone = order.offering.zone.as_str().to_owned();
                    let node = node(0, self.now, &zone);
                    let mut record = worker(0, self.now, &zone, &node);
                    record.id = order.worker.clone();
                    record.batch = Some(intent.request.batch.clone());
                    (record.node, record.instance, record.ready) = (None, None, None);
                    record.state = WorkerState::Requested;
                    self.memory.workers.insert(record.id.clone(), record);
                }
                self.memory.intents.insert(intent.request.batch.clone(), (**intent).clone());
            }
        }
        for batch in &plan.settled {
            self.memory.intents.remove(batch);
        }
        self.memory.pools.extend(plan.pools.clone());
        self.memory.cluster = plan.memory.clone();
    }
}

fn node(number: usize, created: Timestamp, zone: &str) -> Node {
    Node {
        at: NodeRef {
            name: format!("n{number}").as_str().into(),
            uid: format!("nu{number}").as_str().into(),
        },
        worker: Some(format!("w{number}").as_str().into()),
        pool: Some("workers".into()),
        provider_id: None,
        control_plane: false,
        created,
        readiness: Readiness::Ready,
        cordon: Cordon::None,
        allocatable: Resources::new(CPU, MEMORY).with_pods(110),
        labels: BTreeMap::new(),
        taints: Vec::new(),
        zone: Some(zone.into()),
    }
}

fn instance(number: usize, launched: Timestamp, zone: &str) -> Instance {
    Instance {
        id: format!("i{number}").as_str().into(),
        worker: Some(format!("w{number}").as_str().into()),
        batch: None,
        pool: "workers".into(),
        cluster_uid: Some("uid".into()),
        shape: "m".into(),
        zone: zone.into(),
        market: Market::OnDemand,
        launched,
        state: InstanceState::Running,
        protected: false,
        notice: None,
    }
}

fn worker(number: usize, created: Timestamp, zone: &str, node: &Node) -> Worker {
    Worker {
        id: format!("w{number}").as_str().into(),
        pool: "workers".into(),
        batch: None,
        shape: "m".into(),
        zone: zone.into(),
        market: Market::OnDemand,
        instance: Some(format!("i{number}").as_str().into()),
        node: Some(node.at.clone()),
        state: WorkerState::Ready,
        since: created,
        deadline_from: created,
        created,
        ready: Some(created),
        purpose: None,
        held: Duration::ZERO,
        held_since: None,
    }
}
