//! The stage of these tests: a loop on a simulated world, and a monitoring that is told what to say.

use crate::support::inlet::Line;
use bellwether::alertmanager::Alertmanager;
use bellwether::clock::Clock;
use bellwether::config::Config;
use bellwether::metrics::Metrics;
use bellwether::model::{
    AlertState, Ask, ClusterName, Entry, Guard, Matcher, Memory, PeerState, Signal, Silence,
    SilenceState, Source, Truth, Want, duration,
};
use bellwether::prometheus::Prometheus;
use bellwether::provider::Provider;
use bellwether::reconcile::{Outcome, Parts, Reconciler, Terms};
use bellwether::sim::{self, World};
use bellwether::store::{self, HistoryQuery, Retention, Store};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

pub(super) const TTL: Duration = Duration::from_hours(10);
pub(super) const ACT: Terms = Terms { ttl: TTL, lease: true };
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// An Alertmanager and a Prometheus that change their mind while a pass is under way.
#[derive(Debug)]
pub(super) struct Monitoring {
    pub(super) truth: Truth,
    /// From this question on, all is silenced.
    pub(super) silent_from: u64,
    pub(super) asked: AtomicU64,
    /// So many times the guard holds.
    pub(super) holds: u64,
    pub(super) guarded: AtomicU64,
    pub(super) want: Want,
}

/// Nobody answers, so that only what needs no alert is done.
pub(super) fn nobody() -> Monitoring {
    Monitoring {
        truth: Truth::default(),
        silent_from: u64::MAX,
        asked: AtomicU64::new(0),
        holds: 0,
        guarded: AtomicU64::new(0),
        want: Want::Unknown { why: "nobody".to_owned() },
    }
}

#[async_trait::async_trait]
impl Alertmanager for Monitoring {
    async fn truth(&self) -> Truth {
        let mut truth = self.truth.clone();
        if self.asked.fetch_add(1, Ordering::SeqCst) + 1 >= self.silent_from {
            truth.silences.insert("s".into(), silence());
        }
        truth
    }
}

#[async_trait::async_trait]
impl Prometheus for Monitoring {
    async fn guard(&self, _: &str) -> Guard {
        let holds = self.guarded.fetch_add(1, Ordering::SeqCst) < self.holds;
        if holds { Guard::Holds } else { Guard::Fails { detail: "0".to_owned() } }
    }

    async fn want(&self, _: &str) -> Want {
        self.want.clone()
    }
}

/// These alerts fire, as Alertmanager tells of them.
pub(super) fn firing(names: &[&str]) -> Truth {
    let state = AlertState {
        labels: labels(),
        annotations: BTreeMap::new(),
        starts_at: start(),
        silenced_by: Vec::new(),
        inhibited_by: Vec::new(),
    };
    let started = Some(duration::before(start(), TTL));
    Truth {
        peers: vec![PeerState { url: "http://am".to_owned(), started, error: None }],
        ttl: Duration::from_mins(2),
        alerts: names.iter().map(|name| ((*name).into(), state.clone())).collect(),
        ..Truth::default()
    }
}

pub(super) fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("cluster".to_owned(), "default".to_owned())])
}

/// It mutes all that is done in the cluster.
pub(super) fn silence() -> Silence {
    let (name, value) = ("cluster".to_owned(), "default".to_owned());
    Silence {
        id: "s".into(),
        matchers: vec![Matcher { name, value, is_regex: false, is_equal: true }],
        starts: start(),
        ends: duration::after(start(), TTL),
        created_by: "ada".to_owned(),
        comment: String::new(),
        state: SilenceState::Active,
    }
}

pub(super) struct Stage {
    pub(super) reconciler: Reconciler,
    parts: Parts,
    /// The way to the store, which can be cut.
    pub(super) line: Arc<Line>,
    pub(super) store: Arc<dyn Store>,
    pub(super) world: World,
    pub(super) metrics: Arc<Metrics>,
    pub(super) file: watch::Sender<Arc<Config>>,
}

pub(super) fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

pub(super) fn cluster() -> ClusterName {
    "default".into()
}

/// One pool with lines of its own, its claim held. The store's clock is ahead of ours by so much.
pub(super) async fn stage(pool: &str, ahead: Duration) -> Stage {
    told_stage(pool, ahead, nobody()).await
}

pub(super) fn config(pool: &str) -> Config {
    let yaml = format!(
        "
store: {{ url: \"memory:\" }}
alertmanager: {{ urls: [\"http://127.0.0.1:1\"] }}
prometheus: {{ urls: [\"http://127.0.0.1:1\"] }}
clusters:
  default:
    kubernetes: {{ sim: {{}} }}
    guards: {{ down: [up] }}
    pools: {{ workers: {{ provider: {{ sim: {{}} }}, max: 4, {pool} }} }}
"
    );
    let env = BTreeMap::<String, String>::new();
    Config::parse(&yaml, &env).unwrap_or_else(|e| panic!("{e}")).config
}

pub(super) async fn told_stage(pool: &str, ahead: Duration, monitoring: Monitoring) -> Stage {
    let config = config(pool);
    let clock = Clock::starting_at(start());
    let sim = &config.clusters[&cluster()].kubernetes.sim;
    let world = World::new(sim, clock).unwrap();
    let retention = Retention { entries: 1_000, age: Duration::from_hours(24) };
    let theirs = Clock::starting_at(duration::after(start(), ahead));
    let line = Arc::new(Line::new(store::Memory::new(theirs, retention)));
    let store: Arc<dyn Store> = line.clone();
    let metrics = Arc::new(Metrics::new());
    let monitoring = Arc::new(monitoring);
    let (file, told) = watch::channel(Arc::new(config));
    let parts = Parts {
        store: store.clone(),
        provider: Arc::new(sim::Provider::new(world.clone())),
        cluster: Arc::new(sim::Cluster::new(world.clone())),
        fence: Arc::new(sim::Witness::new(world.clone())),
        alertmanager: monitoring.clone(),
        prometheus: monitoring,
        metrics: metrics.clone(),
        config: told,
        clock,
    };
    let reconciler = Reconciler::new(cluster(), parts.clone(), "a");
    reconciler.claims().step(ACT).await;
    Stage { reconciler, parts, line, store, world, metrics, file }
}

impl Stage {
    /// The same process, behind a provider that is made of its own.
    pub(super) async fn behind(
        mut self,
        provider: impl FnOnce(Arc<dyn Provider>) -> Arc<dyn Provider>,
    ) -> Self {
        self.parts.provider = provider(self.parts.provider.clone());
        self.reconciler = Reconciler::new(cluster(), self.parts.clone(), "a");
        self.reconciler.claims().step(ACT).await;
        self
    }

    /// Another process on the same store and world. It has no claim yet.
    pub(super) fn other(&self) -> Reconciler {
        Reconciler::new(cluster(), self.parts.clone(), "b")
    }

    /// The claim's keeper does its work once, as the file has it.
    pub(super) async fn keep(&self) {
        let terms = Terms::of(&self.file.borrow(), &cluster());
        self.reconciler.claims().step(Terms { ttl: TTL, ..terms }).await;
    }

    pub(super) async fn pass(&self) -> Outcome {
        self.reconciler.pass().await.0
    }

    /// Passes after so much time each, until one changes nothing.
    pub(super) async fn settle(&self, each: Duration) -> Outcome {
        for _ in 0..50 {
            tokio::time::advance(each).await;
            let outcome = self.pass().await;
            if outcome == Outcome::Quiet {
                return outcome;
            }
        }
        panic!("it never settles: {:?}", self.told().await);
    }

    pub(super) async fn history(&self) -> Vec<Entry> {
        let query = HistoryQuery { limit: 1_000, before: None };
        let mut entries = self.store.history(&cluster(), &query).await.unwrap();
        entries.reverse();
        entries
    }

    /// The history in words.
    pub(super) async fn told(&self) -> Vec<String> {
        let history = self.history().await;
        history.iter().map(|entry| format!("{:?} {}", entry.kind, entry.what)).collect()
    }

    pub(super) async fn memory(&self) -> Memory {
        self.store.load(&cluster()).await.unwrap()
    }

    pub(super) async fn wish(&self, by: i32) {
        let source = Source::Manual { who: "ada".to_owned() };
        self.signal(&format!("wish {by}"), Ask::Scale { by }, source).await;
    }

    pub(super) async fn deliver(&self, name: &str, ask: Ask) {
        let (fingerprint, starts_at, labels) = (name.into(), start(), labels());
        let source = Source::Alert { fingerprint, starts_at, labels, resolved: false };
        self.signal(name, ask, source).await;
    }

    pub(super) async fn signal(&self, id: &str, ask: Ask, source: Source) {
        let now = self.store.now().await.unwrap();
        let signal = Signal {
            id: id.into(),
            cluster: cluster(),
            pool: Some("workers".into()),
            ask,
            source,
            name: id.to_owned(),
            summary: String::new(),
            description: String::new(),
            first_seen: now,
            last_seen: now,
        };
        self.store.record_signals(&[signal]).await.unwrap();
    }

    pub(super) fn last_success(&self) -> f64 {
        self.metrics.pass.last_success.with_label_values(&["default"]).get()
    }

    pub(super) fn acts(&self, act: &str, outcome: &str) -> u64 {
        self.metrics.pass.acts.with_label_values(&["default", "workers", act, outcome]).get()
    }
}
