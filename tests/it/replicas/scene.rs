//! Several programs on one Redis and one world, which a file keeps, and a real Alertmanager that delivers to each of
//! them. Between any two parts is a proxy.

use super::replica::{Replica, Wiring};
use crate::support::alertmanager::{self, RunningAlertmanager};
use crate::support::proxy::Proxy;
use crate::support::redis::{self, RunningRedis};
use crate::support::sentinels::Watched;
use crate::support::wait;
use bellwether::clock::Clock;
use bellwether::config::SimConfig;
use bellwether::model::duration;
use bellwether::sim::{Call, Workload, World};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a machine with other things to do may add to any time.
pub(super) const SLACK: Duration = Duration::from_secs(3);

/// A claim's life where a test is about its end.
pub(super) const SHORT: Duration = Duration::from_secs(3);

/// The most machines that there may be.
const MAX: usize = 4;

/// What the replicas keep their state in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stores {
    /// One Redis, with these arguments.
    Shared(&'static [&'static str]),
    /// One Redis with a standby that Sentinels would put in its place.
    Watched,
    /// Each has a Redis of its own, as programs that know nothing of each other.
    OneEach,
}

/// What a story may choose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) stores: Stores,
    pub(super) replicas: usize,
    pub(super) claim_ttl: Duration,
    pub(super) interval: Duration,
}

impl Default for Setting {
    fn default() -> Self {
        let interval = Duration::from_millis(300);
        Self { stores: Stores::Shared(&[]), replicas: 2, claim_ttl: SHORT, interval }
    }
}

/// What runs of it.
pub(super) enum Running {
    Shared(RunningRedis),
    Watched(Box<Watched>),
    OneEach(Vec<RunningRedis>),
}

pub(super) struct Scene {
    _folder: tempfile::TempDir,
    pub(super) setting: Setting,
    pub(super) redis: Running,
    pub(super) alertmanager: RunningAlertmanager,
    pub(super) world: World,
    pub(super) replicas: Vec<Replica>,
}

impl Scene {
    /// Everything but the programs; `None`, after a printed skip, where a server is missing.
    pub(super) async fn new(setting: Setting) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::start(&setting).await?;
        let webhooks = join_all((0..setting.replicas).map(|_| Proxy::before_a_free_port())).await;
        let ports: Vec<u16> = webhooks.iter().map(|(proxy, _)| proxy.port).collect();
        let alertmanager = alertmanager::start("0.25", &routes(&ports)).await?;
        let state = folder.path().join("world.json");
        let api = alertmanager.url.rsplit(':').next().unwrap().parse().unwrap();
        let mut replicas = Vec::new();
        for (number, (webhook, port)) in webhooks.into_iter().enumerate() {
            let redis = Proxy::start(running.port_for(number)).await;
            let store = running.address(redis.port);
            let wiring = Wiring { webhook, redis, alertmanager: Proxy::start(api).await };
            replicas.push(Replica::new(port, wiring, &setting, &store, &state));
        }
        let config = SimConfig { state: Some(state), ..SimConfig::default() };
        let world = World::new(&config, Clock::system()).unwrap();
        Some(Self { _folder: folder, setting, redis: running, alertmanager, world, replicas })
    }

    /// All replicas run, one worker is Ready, and pods fill it.
    pub(super) async fn start(setting: Setting) -> Option<Self> {
        let mut scene = Self::new(setting).await?;
        scene.pods(2);
        join_all(scene.replicas.iter_mut().map(|replica| replica.start(&[]))).await;
        scene.settled(1, 0).await;
        Some(scene)
    }

    /// Pods of 900m each; two fit on a worker.
    pub(super) fn pods(&self, replicas: u32) {
        self.world.set_workload(Workload::deployment("web", replicas, 900, 1 << 30)).unwrap();
    }

    /// So many pods, some of them without a place, and the alert that says so.
    pub(super) async fn need(&self, pods: u32) {
        self.pods(pods);
        self.fire("PodsUnschedulable", "up").await;
    }

    /// Of two workers one is enough, and the alert says so.
    pub(super) async fn need_one_less(&self) {
        self.resolve("PodsUnschedulable", "up").await;
        self.pods(1);
        self.fire("Watchdog", "watchdog").await;
        self.fire("SustainedIdle", "down").await;
    }

    /// Records of workers in the store.
    pub(super) fn recorded(redis: &RunningRedis) -> usize {
        redis.ask(&["HLEN", "{bw:default}:workers"])
    }

    pub(super) async fn fire(&self, name: &str, direction: &str) {
        let labels = [("alertname", name), ("cluster", "default"), ("autoscale", direction)];
        self.alertmanager.fire(&labels).await;
    }

    pub(super) async fn resolve(&self, name: &str, direction: &str) {
        let labels = [("alertname", name), ("cluster", "default"), ("autoscale", direction)];
        self.alertmanager.resolve(&labels).await;
    }

    /// Who has the claim, as Redis says; `None` where it is over.
    pub(super) fn holder(&self) -> Option<usize> {
        let holders = self.redis.asked().into_iter().filter_map(holder);
        let mut process = holders.filter_map(|holder| Some(holder.split_once('-')?.0.to_owned()));
        let replica = |process: String| {
            self.replicas.iter().position(|replica| replica.id().to_string() == process)
        };
        process.find_map(replica)
    }

    /// Waits until somebody has the claim and knows of it; who.
    pub(super) async fn held(&self) -> usize {
        let found = Cell::new(None);
        wait::until("a replica to have the claim", || async {
            found.set(self.holder());
            match found.get() {
                Some(holder) => self.replicas[holder].acts().await,
                None => false,
            }
        })
        .await;
        found.get().expect("it was waited for")
    }

    /// Waits until a replica has the claim.
    pub(super) async fn held_by(&self, replica: usize) {
        let what = format!("replica {replica} to have the claim");
        wait::until(&what, || async {
            self.holder() == Some(replica) && self.replicas[replica].acts().await
        })
        .await;
    }

    /// Who says that it acts.
    pub(super) async fn acting(&self) -> Vec<usize> {
        let running = self.replicas.iter().enumerate().filter(|(_, replica)| replica.runs());
        let asked = running.map(|(n, replica)| async move { replica.acts().await.then_some(n) });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Waits until one replica, and no other, says that it acts.
    pub(super) async fn only_acts(&self, replica: usize) {
        let what = format!("replica {replica} alone to act");
        wait::until(&what, || async { self.acting().await == [replica] }).await;
    }

    /// Machines that were launched in all.
    pub(super) fn launched(&self) -> usize {
        self.world.calls().iter().map(|call| call.new).sum()
    }

    /// Waits until so many were launched, no longer than another may take to act from a moment on: the rest of the
    /// claim, and 2 s.
    pub(super) async fn launched_soon_after(&self, launched: usize, since: Timestamp) {
        let limit = self.setting.claim_ttl + Duration::from_secs(2);
        let what = format!("{launched} launches within {limit:?}");
        wait::until(&what, || async { self.launched() >= launched }).await;
        let calls = self.world.calls();
        let last = calls.iter().rfind(|call| call.new > 0).unwrap();
        let took = duration::since(since, last.at);
        assert!(took < limit + SLACK, "it took {took:?}");
    }

    /// Calls of this name.
    pub(super) fn calls(&self, name: &str) -> Vec<Call> {
        self.world.calls().into_iter().filter(|call| call.name() == name).collect()
    }

    /// Waits until exactly so many were launched and ended, all that are left are Ready workers in the records, and
    /// nothing is on its way.
    pub(super) async fn settled(&self, launched: usize, ended: usize) {
        let what = format!("{launched} launched, {ended} ended, and all others Ready");
        let ready = async || {
            let holder = self.holder()?;
            let workers = self.replicas[holder].workers().await?;
            let ready = workers.iter().filter(|worker| worker["state"]["state"] == "ready");
            (ready.count() == workers.len()).then_some(workers.len())
        };
        let is_so = async || {
            (self.launched(), self.ended()) == (launched, ended)
                && ready().await == Some(launched - ended)
        };
        let in_time = wait::comes_true(wait::LIMIT, || async { is_so().await }).await;
        assert!(in_time, "waited for {what}, in vain: {:#?}", self.world.calls());
    }

    /// Machines that were ended.
    fn ended(&self) -> usize {
        let ended: BTreeSet<_> =
            self.calls("terminate").into_iter().filter_map(|call| call.instance).collect();
        ended.len()
    }

    /// Waits until it is so, and through five more passes of whoever acts; then every promise about machines is
    /// looked at.
    pub(super) async fn settled_for_good(&self, launched: usize, ended: usize) {
        self.settled(launched, ended).await;
        let holder = self.held().await;
        self.replicas[holder].passes(5).await;
        assert_eq!(
            (self.launched(), self.ended()),
            (launched, ended),
            "as many as needed: {:#?}",
            self.world.calls()
        );
        self.keeps_its_promises();
    }

    /// At no time more machines than `max`, no worker launched twice, none ended that was not drained.
    pub(super) fn keeps_its_promises(&self) {
        let (mut machines, mut made, mut cordoned) = (0, BTreeSet::new(), 0);
        for call in self.world.calls() {
            machines += call.new;
            match call.name() {
                "launch" if call.new > 0 => {
                    assert!(call.workers.iter().all(|worker| made.insert(worker.clone())));
                }
                "cordon" => cordoned += 1,
                "terminate" => machines -= 1,
                _ => {}
            }
            assert!(machines <= MAX, "{:#?}", self.world.calls());
        }
        assert!(self.ended() <= cordoned, "{:#?}", self.world.calls());
    }

    /// What each replica answers to a path.
    pub(super) async fn all_answer(&self, path: &str) -> Vec<Value> {
        join_all(
            self.replicas
                .iter()
                .map(|replica| async { replica.get(path).await.unwrap_or_default() }),
        )
        .await
    }
}

// === impl Running ===

impl Running {
    async fn start(setting: &Setting) -> Option<Self> {
        Some(match setting.stores {
            Stores::Shared(arguments) => Self::Shared(redis::start(arguments).await?),
            Stores::Watched => Self::Watched(Box::new(Watched::start().await?)),
            Stores::OneEach => {
                let mut all = Vec::new();
                for _ in 0..setting.replicas {
                    all.push(redis::start(&[]).await?);
                }
                Self::OneEach(all)
            }
        })
    }

    /// The one that is the primary, or that of the first replica.
    pub(super) fn primary(&self) -> &RunningRedis {
        match self {
            Self::Shared(one) => one,
            Self::Watched(watched) => &watched.primary,
            Self::OneEach(all) => &all[0],
        }
    }

    /// All in which a replica may have the claim.
    fn asked(&self) -> Vec<&RunningRedis> {
        match self {
            Self::OneEach(all) => all.iter().collect(),
            _ => vec![self.primary()],
        }
    }

    /// The one that all share.
    pub(super) fn shared(&mut self) -> &mut RunningRedis {
        let Self::Shared(one) = self else { panic!("no Redis that all share") };
        one
    }

    /// The one with a standby.
    pub(super) fn watched(&mut self) -> &mut Watched {
        let Self::Watched(watched) = self else { panic!("no Redis with a standby") };
        watched
    }

    fn port_for(&self, replica: usize) -> u16 {
        match self {
            Self::OneEach(all) => all[replica].port,
            _ => self.primary().port,
        }
    }

    /// The fields of `store` that say where it is.
    fn address(&self, proxy: u16) -> String {
        match self {
            // What Sentinels name is asked past the proxy.
            Self::Watched(watched) => format!("url: \"{}\", {}", watched.url(), Watched::login()),
            _ => format!("url: \"redis://127.0.0.1:{proxy}/0\""),
        }
    }
}

/// Who has the claim of the cluster in this Redis.
fn holder(redis: &RunningRedis) -> Option<String> {
    let (holder, expires): (Option<String>, Option<u64>) =
        redis.ask(&["HMGET", "{bw:default}:claim", "holder", "expires"]);
    let (seconds, micros): (u64, u64) = redis.ask(&["TIME"]);
    expires.filter(|expires| *expires > seconds * 1_000_000 + micros)?;
    holder
}

/// The shipped routes, made fast, with every replica as a receiver of the same deliveries.
fn routes(ports: &[u16]) -> String {
    let text = alertmanager::faster_routes(ports[0]);
    let first = format!("      - url: http://127.0.0.1:{}/v1/alerts\n", ports[0]);
    assert_eq!(text.matches(&first).count(), 1, "{text}");
    let more = ports[1..].iter().map(|port| {
        format!(
            "      - url: http://127.0.0.1:{port}/v1/alerts
        http_config: {{ follow_redirects: false }}
"
        )
    });
    text.replace(&first, &format!("{}{first}", more.collect::<String>()))
}
