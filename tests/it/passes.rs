//! One pass at a time, on a simulated world: what it does, stores, tells and counts.

use bellwether::alertmanager::Alertmanager;
use bellwether::clock::Clock;
use bellwether::config::{Config, KubernetesConfig};
use bellwether::metrics::Metrics;
use bellwether::model::{
    AlertState, Ask, ClusterName, Cordon, Entry, EntryKind, Failure, Guard, Matcher, Memory,
    PeerState, Reason, Signal, Silence, SilenceState, Source, Truth, Want, WorkerState, duration,
};
use bellwether::prometheus::Prometheus;
use bellwether::reconcile::{Outcome, Parts, Reconciler};
use bellwether::sim::{self, Faults, Workload, World};
use bellwether::store::{self, HistoryQuery, Retention, Store};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const TTL: Duration = Duration::from_hours(10);
const SECOND: Duration = Duration::from_secs(1);

/// An Alertmanager and a Prometheus that change their mind while a pass is under way.
#[derive(Debug)]
struct Monitoring {
    truth: Truth,
    /// From this question on, all is silenced.
    silent_from: u64,
    asked: AtomicU64,
    /// So many times the guard holds.
    holds: u64,
    guarded: AtomicU64,
    want: Want,
}

/// Nobody answers, so that only what needs no alert is done.
fn nobody() -> Monitoring {
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
fn firing(names: &[&str]) -> Truth {
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

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("cluster".to_owned(), "default".to_owned())])
}

/// It mutes all that is done in the cluster.
fn silence() -> Silence {
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

struct Stage {
    reconciler: Reconciler,
    store: Arc<dyn Store>,
    world: World,
    metrics: Arc<Metrics>,
    file: watch::Sender<Arc<Config>>,
}

fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn cluster() -> ClusterName {
    "default".into()
}

/// One pool with lines of its own, its claim held. The store's clock is ahead of ours by so much.
async fn stage(pool: &str, ahead: Duration) -> Stage {
    told_stage(pool, ahead, nobody()).await
}

fn config(pool: &str) -> Config {
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

async fn told_stage(pool: &str, ahead: Duration, monitoring: Monitoring) -> Stage {
    let config = config(pool);
    let clock = Clock::starting_at(start());
    let KubernetesConfig::Sim(sim) = &config.clusters[&cluster()].kubernetes;
    let world = World::new(sim, clock).unwrap();
    let retention = Retention { entries: 1_000, age: Duration::from_hours(24) };
    let theirs = Clock::starting_at(duration::after(start(), ahead));
    let store: Arc<dyn Store> = Arc::new(store::Memory::new(theirs, retention));
    let metrics = Arc::new(Metrics::new());
    let monitoring = Arc::new(monitoring);
    let (file, told) = watch::channel(Arc::new(config));
    let parts = Parts {
        store: store.clone(),
        provider: Arc::new(sim::Provider::new(world.clone())),
        cluster: Arc::new(sim::Cluster::new(world.clone())),
        alertmanager: monitoring.clone(),
        prometheus: monitoring,
        metrics: metrics.clone(),
        config: told,
        clock,
    };
    let reconciler = Reconciler::new(cluster(), parts, "a");
    reconciler.claims().step(TTL).await;
    Stage { reconciler, store, world, metrics, file }
}

impl Stage {
    async fn pass(&self) -> Outcome {
        self.reconciler.pass().await.0
    }

    /// Passes after so much time each, until one changes nothing.
    async fn settle(&self, each: Duration) -> Outcome {
        for _ in 0..50 {
            tokio::time::advance(each).await;
            let outcome = self.pass().await;
            if outcome == Outcome::Quiet {
                return outcome;
            }
        }
        panic!("it never settles: {:?}", self.told().await);
    }

    async fn history(&self) -> Vec<Entry> {
        let query = HistoryQuery { limit: 1_000, before: None };
        let mut entries = self.store.history(&cluster(), &query).await.unwrap();
        entries.reverse();
        entries
    }

    /// The history in words.
    async fn told(&self) -> Vec<String> {
        let history = self.history().await;
        history.iter().map(|entry| format!("{:?} {}", entry.kind, entry.what)).collect()
    }

    async fn memory(&self) -> Memory {
        self.store.load(&cluster()).await.unwrap()
    }

    async fn wish(&self, by: i32) {
        let source = Source::Manual { who: "ada".to_owned() };
        self.signal(&format!("wish {by}"), Ask::Scale { by }, source).await;
    }

    async fn deliver(&self, name: &str, ask: Ask) {
        let (fingerprint, starts_at, labels) = (name.into(), start(), labels());
        let source = Source::Alert { fingerprint, starts_at, labels, resolved: false };
        self.signal(name, ask, source).await;
    }

    async fn signal(&self, id: &str, ask: Ask, source: Source) {
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

    fn last_success(&self) -> f64 {
        self.metrics.pass.last_success.with_label_values(&["default"]).get()
    }

    fn acts(&self, act: &str, outcome: &str) -> u64 {
        self.metrics.pass.acts.with_label_values(&["default", "workers", act, outcome]).get()
    }
}

#[tokio::test(start_paused = true)]
async fn why_a_pool_holds_is_told_once_and_not_in_every_pass() {
    let stage = stage("min: 0", Duration::ZERO).await;
    for _ in 0..3 {
        assert_eq!(stage.pass().await, Outcome::Quiet);
    }
    let history = stage.history().await;
    let [held] = &history[..] else { panic!("{history:#?}") };
    assert_eq!((held.kind, held.what.as_str()), (EntryKind::Held, "hold"));
    assert_eq!((&held.pool, &held.reason), (&Some("workers".into()), &Some(Reason::NothingAsked)));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_is_told_once_and_calls_nothing() {
    let stage = stage("min: 2, mode: dry_run", Duration::ZERO).await;
    for _ in 0..3 {
        assert_eq!(stage.pass().await, Outcome::Quiet);
    }
    assert_eq!(stage.told().await, ["DryRun launch"]);
    assert!(stage.history().await[0].detail.starts_with("0 → 2 workers; "));
    assert!(stage.world.machines().is_empty() && stage.memory().await.workers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_launch_is_made_in_its_own_pass_and_told_before_and_after() {
    let stage = stage("min: 2", Duration::ZERO).await;
    assert_eq!(stage.pass().await, Outcome::Changed);
    assert_eq!(stage.world.machines().len(), 2);
    assert_eq!(stage.told().await, ["Intent launch", "Done launch", "Done launch"]);
    let memory = stage.memory().await;
    assert!(memory.intents.is_empty(), "it is settled");
    assert!(memory.workers.values().all(|worker| worker.state == WorkerState::Booting));
    let history = stage.history().await;
    let done = &history[1..];
    for (worker, line) in memory.workers.values().zip(done) {
        assert_eq!(
            (&line.worker, &line.reason),
            (&Some(worker.id.clone()), &Some(Reason::Launched))
        );
        assert_eq!(
            (&line.pool, Some(line.detail.as_str())),
            (
                &Some("workers".into()),
                worker.batch.as_ref().map(bellwether::model::BatchId::as_str)
            )
        );
    }
    assert_eq!(stage.acts("launch", "ok"), 2);
    assert_eq!(stage.pass().await, Outcome::Busy, "both are on their way");
    tokio::time::advance(SECOND * 120).await;
    assert_eq!(stage.pass().await, Outcome::Changed, "both have joined");
    assert_eq!(stage.settle(SECOND * 10).await, Outcome::Quiet, "both are Ready");
}

#[tokio::test(start_paused = true)]
async fn a_worker_s_life_is_told_step_by_step_each_once() {
    let stage = stage("min: 0, min_age: 0s", Duration::ZERO).await;
    stage.wish(1).await;
    stage.settle(SECOND * 10).await;
    stage.wish(-1).await;
    stage.settle(SECOND * 10).await;
    assert!(stage.world.machines().iter().all(|machine| !machine.is_live()));
    let told = stage.told().await;
    for line in ["Intent launch", "Done launch", "Intent drain", "Intent cordon", "Done cordon"] {
        assert_eq!(told.iter().filter(|other| *other == line).count(), 1, "{line}: {told:#?}");
    }
    for line in ["Intent terminate", "Done terminate", "Intent remove_node", "Done remove_node"] {
        assert_eq!(told.iter().filter(|other| *other == line).count(), 1, "{line}: {told:#?}");
    }
    assert!(!told.iter().any(|line| line.starts_with("DryRun")));
    for line in stage.history().await.iter().filter(|line| line.what != "hold") {
        assert!(line.pool.is_some() && line.reason.is_some(), "{line:?}");
        let is_of_pool =
            line.kind == EntryKind::Intent && ["launch", "drain"].contains(&&*line.what);
        assert_eq!(
            (line.worker.is_none(), !line.signals.is_empty()),
            (is_of_pool, is_of_pool),
            "{line:?}"
        );
    }
    tokio::time::advance(SECOND * 7_200).await;
    stage.pass().await;
    assert!(stage.memory().await.workers.is_empty(), "two hours later nobody asks for it");
}

#[tokio::test(start_paused = true)]
async fn a_launch_that_was_refused_is_told_of_every_worker_and_settled() {
    let stage = stage("min: 2", Duration::ZERO).await;
    stage.world.set_faults(Faults { launch_errors: true, ..Faults::default() });
    assert_eq!(stage.pass().await, Outcome::Changed);
    assert_eq!(stage.told().await, ["Intent launch", "Failed launch", "Failed launch"]);
    let memory = stage.memory().await;
    assert!(memory.intents.is_empty());
    let failed = WorkerState::Failed { failure: Failure::NotLaunched };
    assert!(memory.workers.len() == 2 && memory.workers.values().all(|w| w.state == failed));
}

#[tokio::test(start_paused = true)]
async fn a_launch_whose_answer_is_lost_stays_open_and_its_machines_are_found() {
    let stage = stage("min: 2", Duration::ZERO).await;
    stage.world.set_faults(Faults { lose_launch_reply: true, ..Faults::default() });
    stage.pass().await;
    assert_eq!(stage.told().await, ["Intent launch", "Failed launch"]);
    let memory = stage.memory().await;
    assert_eq!(
        (memory.intents.len(), memory.workers.len()),
        (1, 2),
        "all that is asked for is stored"
    );
    stage.settle(SECOND * 10).await;
    assert_eq!(stage.world.machines().len(), 2);
    assert!(stage.memory().await.intents.is_empty());
}

#[tokio::test(start_paused = true)]
async fn beyond_two_seconds_between_the_clocks_nothing_is_done() {
    for (ahead, acts) in [(2_000, true), (2_001, false), (10_000, false)] {
        let stage = stage("min: 1", Duration::from_millis(ahead)).await;
        let expected = if acts { Outcome::Changed } else { Outcome::Failed };
        assert_eq!(stage.pass().await, expected, "{ahead} ms");
        assert_eq!(stage.world.machines().len(), usize::from(acts), "{ahead} ms");
        let seconds = if acts { 1_800_000_000.0 } else { 0.0 };
        assert!((stage.last_success() - seconds).abs() < 0.001, "{ahead} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_claim_a_pass_looks_and_does_nothing() {
    let stage = stage("min: 1", Duration::ZERO).await;
    assert!(stage.reconciler.handle().report().is_none());
    stage.reconciler.claims().release().await;
    assert_eq!(stage.pass().await, Outcome::Standby);
    assert!(stage.world.machines().is_empty() && stage.told().await.is_empty());
    assert!(stage.reconciler.handle().report().is_some(), "what it saw can be read");
}

#[tokio::test(start_paused = true)]
async fn need_that_settles_is_looked_at_again_as_soon_as_it_has() {
    let stage = stage("min: 0, settle: 50ms", Duration::ZERO).await;
    stage.world.set_workload(Workload::deployment("web", 1, 500, 64 << 20)).unwrap();
    tokio::time::advance(SECOND * 10).await;
    let (_, due) = stage.reconciler.pass().await;
    assert_eq!(due, Duration::from_millis(50));
    tokio::time::advance(due).await;
    assert_eq!(stage.pass().await, Outcome::Changed);
    assert_eq!(stage.world.machines().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_brings_the_next_pass_at_once() {
    let stage = stage("min: 0", Duration::ZERO).await;
    let (stop, handle) = (CancellationToken::new(), stage.reconciler.handle());
    let wakes = async {
        for _ in 0..5 {
            tokio::time::sleep(SECOND).await;
            handle.wake();
        }
        tokio::time::sleep(SECOND).await;
        stop.cancel();
    };
    tokio::join!(stage.reconciler.run(stop.clone()), wakes);
    let passes = stage.metrics.pass.total.with_label_values(&["default", "quiet"]).get();
    // The first, one after the claim was gained, and those that were woken, within a period of 30 s.
    assert!((6..=7).contains(&passes), "{passes}");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_removes_nothing_though_it_says_what_it_would() {
    let stage = stage("min: 0", Duration::ZERO).await;
    stage.wish(1).await;
    stage.settle(SECOND * 10).await;
    stage.file.send_replace(Arc::new(config("min: 0, min_age: 0s, mode: dry_run")));
    stage.wish(-1).await;
    for _ in 0..3 {
        stage.pass().await;
    }
    assert_eq!(stage.told().await.iter().filter(|line| *line == "DryRun drain").count(), 1);
    assert!(stage.world.view().nodes.iter().all(|node| node.cordon == Cordon::None));
    assert!(stage.world.machines()[0].is_live());
}

/// The pass looks, then the silence is set, then it asks once more.
#[tokio::test(start_paused = true)]
async fn a_launch_that_is_paused_right_before_its_call_is_as_if_it_had_not_been_planned() {
    let silenced = Monitoring { silent_from: 2, ..nobody() };
    let stage = told_stage("min: 1", Duration::ZERO, silenced).await;
    assert_eq!(stage.pass().await, Outcome::Busy, "it is not tried again at once");
    assert_eq!(stage.told().await, ["Intent launch", "Refused launch"]);
    assert!(stage.world.machines().is_empty());
    let memory = stage.memory().await;
    let refused = WorkerState::Failed { failure: Failure::Refused };
    assert!(memory.workers.values().all(|worker| worker.state == refused));
    assert!(memory.intents.is_empty() && memory.pools[&"workers".into()].launches.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_told_with_its_cause() {
    let stage = stage("min: 0, min_age: 0s", Duration::ZERO).await;
    stage.wish(1).await;
    stage.settle(SECOND * 10).await;
    stage.world.set_faults(Faults { lose_terminate_reply: true, ..Faults::default() });
    stage.wish(-1).await;
    stage.settle(SECOND * 10).await;
    let history = stage.history().await;
    let failed = history.iter().find(|line| line.kind == EntryKind::Failed).expect("it is told");
    assert!(failed.what == "terminate" && failed.worker.is_some() && !failed.detail.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_query_is_asked_in_the_pass_that_it_sizes() {
    let truth = firing(&["Watchdog", "Forecast"]);
    let asked = Monitoring { truth, want: Want::Workers(3), ..nobody() };
    let stage = told_stage("min: 0", Duration::ZERO, asked).await;
    stage.deliver("Watchdog", Ask::Watchdog).await;
    stage.deliver("Forecast", Ask::Up { step: None, want_query: Some("x".to_owned()) }).await;
    assert_eq!(stage.pass().await, Outcome::Changed);
    assert_eq!(stage.world.machines().len(), 3);
}

/// It is asked when the removal is planned, and once more right before it begins.
#[tokio::test(start_paused = true)]
async fn a_guard_must_hold_both_times_that_it_is_asked() {
    for (holds, told) in [(2, "Done cordon"), (1, "Refused cordon"), (0, "Held hold")] {
        let truth = firing(&["Watchdog", "Idle"]);
        let guarded = Monitoring { truth, holds, ..nobody() };
        let pool = "min: 0, min_age: 0s, cooldown: { down: 0s }";
        let stage = told_stage(pool, Duration::ZERO, guarded).await;
        stage.wish(1).await;
        stage.settle(SECOND * 10).await;
        stage.deliver("Watchdog", Ask::Watchdog).await;
        stage.deliver("Idle", Ask::Down { node: None }).await;
        stage.pass().await;
        assert_eq!(stage.told().await.last().unwrap(), told, "{:#?}", stage.history().await.last());
        let worker = stage.memory().await.workers.into_values().next().unwrap();
        assert_eq!(worker.state == WorkerState::Ready, holds < 2);
    }
}
