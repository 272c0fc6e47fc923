//! A real cluster on which the nodes of plans are made.

use super::apps::{Apps, ZONES};
use crate::kube::connect_at;
use crate::support::control_plane::{
    self, ControlPlane, FakeNode, Part, Setting, create, is_bound, is_ready, until,
};
use crate::support::wait;
use bellwether::clock::Clock;
use bellwether::cluster::Cluster as _;
use bellwether::cluster::kube::Kube;
use bellwether::config::{ClusterConfig, Config};
use bellwether::model::{
    ClusterMemory, ClusterView, Decision, Intent, Market, Memory, Observed, Offering, POOL_LABEL,
    Reason, Resources, Shape, Truth, Verdict, View, WORKER_LABEL, ZONE_LABEL,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

const POOLS: &str = "
      plain: { provider: { sim: {} }, max: 100, settle: 0s, node: { labels: { tier: plain } } }
      special: { provider: { sim: {} }, max: 100, settle: 0s, node: { labels: { tier: special }, taints: [{ key: dedicated, value: special, effect: NoSchedule }] } }
";

/// It has bound all it can, if it has bound none for so long: longer than it rests before it tries again.
const SAID_FOR: Duration = Duration::from_secs(4);

/// A control plane, what we see of it, and two pools.
pub(super) struct Stage {
    client: kube::Client,
    kube: Kube,
    limits: ClusterConfig,
    _plane: ControlPlane,
}

/// What came of one plan.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) pods: usize,
    pub(super) workers: usize,
    /// Pods that are not bound though its nodes are there.
    pub(super) left: Vec<String>,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pods, workers, left } = self;
        write!(f, "{pods} pods waited, {workers} workers, {} left", left.len())
    }
}

impl Stage {
    /// `None` after a printed skip where there is no control plane.
    pub(super) async fn open() -> Option<Self> {
        let flags = vec![
            (Part::Controllers, "--kube-api-qps=500"),
            (Part::Controllers, "--kube-api-burst=500"),
        ];
        // Who found no place is tried again each second, so that silence means something.
        let scheduler = json!({ "podInitialBackoffSeconds": 1, "podMaxBackoffSeconds": 1 });
        let setting = Setting { flags, scheduler: Some(scheduler), ..Setting::default() };
        let plane = control_plane::start_with(&setting).await?;
        let kube = connect_at(&plane, Clock::system()).await;
        let text = format!(
            "alertmanager: {{ urls: [http://127.0.0.1:9] }}
prometheus: {{ urls: [http://127.0.0.1:9] }}
clusters:
  one:
    kubernetes: {{ sim: {{}} }}
    pools:{POOLS}"
        );
        let mut config = Config::parse(&text, &BTreeMap::<String, String>::new()).unwrap().config;
        let limits = config.clusters.remove(&"one".into()).unwrap();
        Some(Self { client: plane.client().await, kube, limits, _plane: plane })
    }

    fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    /// One node of each pool is there, and all pods of the apps.
    pub(super) async fn deploy(&self, apps: &Apps) {
        for (pool, zone) in [("plain", "a"), ("special", "b")] {
            self.join(pool, zone, &format!("first-{pool}")).await;
        }
        for pod in &apps.pods {
            create(&self.pods(), pod.clone()).await;
        }
        let count = apps.pods.len();
        self.sees("every pod", |view| view.pods().count() == count).await;
    }

    async fn sees(&self, what: &str, holds: impl Fn(&ClusterView) -> bool) {
        wait::until(what, || async { self.kube.observe().await.known().is_some_and(&holds) }).await;
    }

    async fn join(&self, pool: &str, zone: &str, name: &str) {
        let special = pool == "special";
        let (shape, cpu, memory) =
            if special { ("eight", "8", "32Gi") } else { ("four", "4", "16Gi") };
        let labels = [
            (WORKER_LABEL, name),
            (POOL_LABEL, pool),
            (ZONE_LABEL, zone),
            ("node.kubernetes.io/instance-type", shape),
            ("tier", pool),
        ];
        let taints: &[_] = if special { &[("dedicated", "special", "NoSchedule")] } else { &[] };
        let node = FakeNode { name, labels: &labels, taints, cpu, memory, ..FakeNode::default() };
        create(&self.nodes(), node.json()).await;
    }

    /// Plans for what waits, makes the plan's nodes, and lets the scheduler have its say.
    pub(super) async fn round(&self) -> Round {
        self.is_said().await;
        let (plan, pods) = self.plan().await;
        let mut made = Vec::new();
        for intent in &plan {
            for order in &intent.request.orders {
                let (pool, zone) = (intent.request.pool.as_str(), order.offering.zone.as_str());
                self.join(pool, zone, order.worker.as_str()).await;
                made.push(order.worker.to_string());
            }
        }
        for name in &made {
            until(&self.nodes(), name, "the node to be Ready", is_ready).await;
        }
        self.is_said().await;
        let left = self.left().await;
        Round { pods, workers: made.len(), left }
    }

    /// Waits until every pod is bound, or the scheduler has bound none for a while, and we have heard of it.
    async fn is_said(&self) {
        let last = RefCell::new((usize::MAX, Instant::now()));
        wait::until("the scheduler to have said all", || async {
            let left = self.left().await.len();
            let mut last = last.borrow_mut();
            if left != last.0 {
                *last = (left, Instant::now());
            }
            left == 0 || last.1.elapsed() > SAID_FOR
        })
        .await;
        let left = last.into_inner().0;
        self.sees("what the scheduler said", |view| {
            view.pods().filter(|pod| pod.node().is_none()).count() == left
        })
        .await;
    }

    async fn left(&self) -> Vec<String> {
        let pods = self.pods().list(&ListParams::default()).await.unwrap();
        let left = pods.iter().filter(|pod| !is_bound(pod));
        left.filter_map(|pod| pod.metadata.name.clone()).collect()
    }

    /// The launches of a plan for what is seen now, and how many pods wait.
    async fn plan(&self) -> (Vec<Intent>, usize) {
        let View::Known { at, value } = self.kube.observe().await else { panic!("unknown") };
        let waiting = value.pods().filter(|pod| pod.node().is_none()).count();
        // Not a store that has just been lost.
        let cluster = ClusterMemory { uid: Some(value.uid.clone()), ..ClusterMemory::default() };
        let memory = Memory { cluster, ..Memory::default() };
        let pools = self.limits.pools.keys();
        let observed = Observed {
            cluster: View::Known { at, value },
            instances: pools
                .clone()
                .map(|pool| (pool.clone(), View::Known { at, value: Vec::new() }))
                .collect(),
            shapes: pools
                .map(|pool| (pool.clone(), View::Known { at, value: vec![shape(pool.as_str())] }))
                .collect(),
            // Nobody answers, so need is served without an alert.
            truth: Truth::default(),
            guards: BTreeMap::new(),
            wants: BTreeMap::new(),
        };
        let now = Clock::system().now();
        let plan = bellwether::policy::plan(&observed, &[], &memory, &self.limits, now);
        let held = |decision: &&Decision| decision.verdict == Verdict::Hold;
        for decision in plan.decisions.iter().filter(held) {
            assert_eq!(decision.reason, Reason::NothingAsked, "{:?}", decision.also);
        }
        let launches = plan.decisions.into_iter().filter_map(|decision| match decision.verdict {
            Verdict::Launch { intent } => Some(*intent),
            Verdict::Drain { .. } | Verdict::Hold => None,
        });
        (launches.collect(), waiting)
    }

    /// Nothing is left for the next seed.
    pub(super) async fn clear(&self) {
        let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.pods().delete_collection(&at_once, &ListParams::default()).await.unwrap();
        self.nodes().delete_collection(&at_once, &ListParams::default()).await.unwrap();
        self.sees("an empty cluster", |view| {
            view.pods().next().is_none() && view.nodes().next().is_none()
        })
        .await;
    }
}

fn shape(pool: &str) -> Shape {
    let (name, capacity) = match pool {
        "special" => ("eight", Resources::new(8_000, 32 << 30)),
        _ => ("four", Resources::new(4_000, 16 << 30)),
    };
    let offering = |zone: &str| Offering {
        shape: name.into(),
        zone: zone.into(),
        market: Market::OnDemand,
        price: None,
    };
    let offerings = ZONES.into_iter().map(offering).collect();
    Shape { name: name.into(), capacity: capacity.with_pods(110), offerings }
}
