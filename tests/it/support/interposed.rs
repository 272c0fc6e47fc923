//! The loop on a store that lets a test do something at one exact moment: right after an intent is stored.

use super::alertmanager::{self, RunningAlertmanager};
use super::wait;
use async_trait::async_trait;
use bellwether::clock::Clock;
use bellwether::config::Config;
use bellwether::metrics::Metrics;
use bellwether::model::{
    Ask, Changes, Claim, ClusterName, Entry, Fingerprint, Memory, Signal, SignalId, Source, Token,
};
use bellwether::reconcile::{Parts, Reconciler, Terms};
use bellwether::sim::{self, World};
use bellwether::store::{self, Dump, HistoryQuery, Result, Retention, Store};
use bellwether::{alertmanager as client, prometheus};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A store that sets a silence right after the next commit that holds an intent.
#[derive(Debug)]
struct Interposed {
    inner: store::Memory,
    armed: AtomicBool,
    matcher: Mutex<String>,
    set: Mutex<Option<String>>,
    alertmanager: Arc<RunningAlertmanager>,
}

#[async_trait]
impl Store for Interposed {
    async fn now(&self) -> Result<Timestamp> {
        self.inner.now().await
    }
    async fn claim(
        &self,
        cluster: &ClusterName,
        holder: &str,
        ttl: Duration,
        past: Token,
    ) -> Result<Claim> {
        self.inner.claim(cluster, holder, ttl, past).await
    }
    async fn renew(&self, claim: &Claim, ttl: Duration) -> Result<Claim> {
        self.inner.renew(claim, ttl).await
    }
    async fn release(&self, claim: &Claim) -> Result<()> {
        self.inner.release(claim).await
    }
    async fn load(&self, cluster: &ClusterName) -> Result<Memory> {
        self.inner.load(cluster).await
    }
    async fn commit(&self, claim: &Claim, changes: &Changes) -> Result<()> {
        self.inner.commit(claim, changes).await?;
        if !changes.intents.is_empty() && self.armed.swap(false, Ordering::SeqCst) {
            let value = self.matcher.lock().unwrap().clone();
            let id =
                self.alertmanager.silence(&[("autoscale", value.as_str())], "in between").await;
            *self.set.lock().unwrap() = Some(id);
        }
        Ok(())
    }
    async fn record_signals(&self, signals: &[Signal]) -> Result<()> {
        self.inner.record_signals(signals).await
    }
    async fn signals(&self, cluster: &ClusterName) -> Result<Vec<Signal>> {
        self.inner.signals(cluster).await
    }
    async fn history(&self, cluster: &ClusterName, query: &HistoryQuery) -> Result<Vec<Entry>> {
        self.inner.history(cluster, query).await
    }
    async fn dump(&self, cluster: &ClusterName) -> Result<Dump> {
        self.inner.dump(cluster).await
    }
    async fn restore(&self, cluster: &ClusterName, dump: &Dump) -> Result<()> {
        self.inner.restore(cluster, dump).await
    }
}

/// The loop on such a store, a real Alertmanager, a simulated world.
pub(crate) struct Scene {
    store: Arc<Interposed>,
    world: World,
    reconciler: Arc<Reconciler>,
    alertmanager: Arc<RunningAlertmanager>,
    stop: CancellationToken,
}

impl Scene {
    /// Starts it, with one pool in flow style; waits until its min is there.
    #[expect(clippy::disallowed_methods, reason = "tasks that end with the scene")]
    pub(crate) async fn start(pool: &str) -> Option<Self> {
        let routes = super::alertmanager::faster_routes(super::ports::free());
        let alertmanager = Arc::new(alertmanager::start("0.31", &routes).await?);
        let yaml = format!(
            "alertmanager: {{ urls: [\"{}\"] }}
prometheus: {{ urls: [\"http://127.0.0.1:1\"] }}
reconcile: {{ interval: 500ms, busy_interval: 100ms }}
clusters:
  default:
    kubernetes: {{ sim: {{ boot: 200ms }} }}
    pools: {{ workers: {pool} }}
",
            alertmanager.url
        );
        let config = Config::parse(&yaml, &BTreeMap::<String, String>::new())
            .unwrap_or_else(|e| panic!("{e}"))
            .config;
        let (clock, metrics) = (Clock::system(), Arc::new(Metrics::new()));
        let limits = config.clusters[&ClusterName::from("default")].clone();
        let sim = &limits.kubernetes.sim;
        let world = World::new(sim, clock).unwrap();
        let retention = Retention { entries: 1000, age: Duration::from_hours(1) };
        let store = Arc::new(Interposed {
            inner: store::Memory::new(clock, retention),
            armed: AtomicBool::new(false),
            matcher: Mutex::default(),
            set: Mutex::default(),
            alertmanager: alertmanager.clone(),
        });
        let parts = Parts {
            store: store.clone(),
            provider: Arc::new(sim::Provider::new(world.clone())),
            cluster: Arc::new(sim::Cluster::new(world.clone())),
            fence: Arc::new(sim::Witness::new(world.clone())),
            alertmanager: Arc::new(client::Http::new(&limits.alertmanager, metrics.clone())),
            prometheus: Arc::new(prometheus::Http::new(&limits.prometheus, metrics.clone())),
            metrics,
            config: watch::channel(Arc::new(config)).1,
            clock,
        };
        let reconciler = Arc::new(Reconciler::new("default".into(), parts, "test"));
        let stop = CancellationToken::new();
        let (claims, keeping) = (reconciler.claims(), stop.clone());
        let terms = Terms { ttl: Duration::from_secs(5), lease: true };
        tokio::spawn(async move { claims.keep(|| terms, keeping).await });
        let (running, until) = (reconciler.clone(), stop.clone());
        tokio::spawn(async move { running.run(until).await });
        let scene = Self { store, world, reconciler, alertmanager, stop };
        wait::until("min", || async {
            scene
                .reconciler
                .handle()
                .report()
                .is_some_and(|report| super::stage::is_settled(&report, 1))
        })
        .await;
        Some(scene)
    }

    /// Arms the silence.
    pub(crate) fn silence_after_next_intent(&self, autoscale: &str) {
        autoscale.clone_into(&mut self.store.matcher.lock().unwrap());
        self.store.armed.store(true, Ordering::SeqCst);
    }

    /// Lifts the silence that was set.
    pub(crate) async fn lift(&self) {
        let id = self.store.set.lock().unwrap().clone().expect("a silence was set");
        self.alertmanager.expire(&id).await;
        self.reconciler.handle().wake();
    }

    /// Fires an alert in Alertmanager, and delivers it as its webhook would.
    pub(crate) async fn deliver(&self, name: &str, labels: &[(&str, &str)]) {
        let mut all = vec![("alertname", name), ("cluster", "default")];
        all.extend_from_slice(labels);
        self.alertmanager.fire(&all).await;
        let alerts = self.alertmanager.alerts().await;
        let alert = alerts
            .as_array()
            .unwrap()
            .iter()
            .find(|alert| alert["labels"]["alertname"] == name)
            .unwrap()
            .clone();
        let fingerprint = Fingerprint::new(alert["fingerprint"].as_str().unwrap());
        let now = self.store.now().await.unwrap();
        let signal = Signal {
            id: SignalId::new(fingerprint.as_str()),
            cluster: "default".into(),
            pool: Some("workers".into()),
            ask: Ask::Up { step: Some(1), want_query: None },
            source: Source::Alert {
                fingerprint,
                starts_at: now,
                labels: all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
                resolved: false,
            },
            name: name.to_owned(),
            summary: String::new(),
            description: String::new(),
            first_seen: now,
            last_seen: now,
        };
        self.store.record_signals(&[signal]).await.unwrap();
        self.reconciler.handle().wake();
    }

    /// History, newest first.
    pub(crate) async fn history(&self) -> Vec<Entry> {
        self.store
            .history(&"default".into(), &HistoryQuery { limit: 1000, before: None })
            .await
            .unwrap()
    }

    /// Calls that launched.
    pub(crate) fn launches(&self) -> usize {
        self.world.calls().iter().filter(|call| call.name() == "launch").count()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
