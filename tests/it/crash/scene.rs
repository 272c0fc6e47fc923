//! A world in a file, so that it outlives the program, and a real Alertmanager that keeps delivering.

use crate::support::process::{Process, Start};
use crate::support::redis::{self, RunningRedis};
use crate::support::{alertmanager, ports, wait};
use bellwether::killpoint::Point;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::Duration;

/// Longer than the scene's claim lasts, and than a pass may take.
const STOPPED: Duration = Duration::from_secs(3);

/// How long "no second act" is watched.
const QUIET: Duration = Duration::from_secs(2);

/// What happens to the program at a point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It dies, and another is started.
    Killed,
    /// It stands still for longer than its claim lasts, and goes on.
    Stopped,
    /// It is asked to end, does so in order, and another is started.
    Asked,
}

/// Where the program keeps what must outlive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    File,
    Redis,
}

/// What a story may choose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) kept: Kept,
    pub(super) claim_ttl: &'static str,
    pub(super) join_deadline: &'static str,
}

impl Default for Setting {
    fn default() -> Self {
        Self { kept: Kept::File, claim_ttl: "1s", join_deadline: "5m" }
    }
}

/// With the state in Redis.
pub(super) const IN_REDIS: Setting =
    Setting { kept: Kept::Redis, claim_ttl: "1s", join_deadline: "5m" };

pub(super) struct Scene {
    _folder: tempfile::TempDir,
    pub(super) config: PathBuf,
    pub(super) url: String,
    world: String,
    pub(super) alertmanager: alertmanager::RunningAlertmanager,
    _redis: Option<RunningRedis>,
}

impl Scene {
    /// `None`, after a printed skip, where a server is missing.
    pub(super) async fn new(setting: Setting) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (port, world) = (ports::free(), ports::free());
        let alertmanager = alertmanager::start("0.25", &alertmanager::faster_routes(port)).await?;
        let config = folder.path().join("bellwether.yaml");
        let Setting { kept, claim_ttl, join_deadline } = setting;
        let redis = match kept {
            Kept::File => None,
            Kept::Redis => Some(redis::start(&[]).await?),
        };
        let store = match &redis {
            None => format!("url: \"file:{}/store\"", folder.path().display()),
            Some(redis) => format!("url: \"{}\", timeout: 500ms", redis.url()),
        };
        let yaml = format!(
            "listen: 127.0.0.1:{port}
store: {{ {store}, claim_ttl: {claim_ttl} }}
alertmanager: {{ urls: [\"{1}\"], ttl_slack: 5s, restart_hold: 1s, watchdog_ttl: 20s }}
prometheus: {{ urls: [\"http://127.0.0.1:1\"] }}
reconcile: {{ interval: 300ms, busy_interval: 100ms }}
clusters:
  default:
    kubernetes: {{ sim: {{ boot: 200ms, listen: 127.0.0.1:{world}, state: {0}/world.json }} }}
    timing: {{ call: 2s, rebuild_hold: 100ms, breaker: 1s }}
    pools:
      workers: {{ provider: {{ sim: {{}} }}, min: 1, max: 3, min_age: 0s, join_deadline: {join_deadline}, cooldown: {{ up: 100ms, down: 100ms }} }}
",
            folder.path().display(),
            alertmanager.url,
        );
        std::fs::write(&config, yaml).unwrap();
        let (url, world) =
            (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{world}"));
        Some(Self { _folder: folder, config, url, world, alertmanager, _redis: redis })
    }

    pub(super) async fn start(&self) -> Process {
        Process::start(&self.config, &self.url, Start::default()).await
    }

    /// Starts it with what awaits it at a point.
    pub(super) async fn start_towards(&self, point: Point, fate: Fate) -> Process {
        let chosen = chosen(point, fate);
        let start = Start { arguments: &["--die-at", &chosen], ..Start::default() };
        Process::start(&self.config, &self.url, start).await
    }

    /// The same for a point that may come before it is ready.
    pub(super) fn spawn_towards(&self, point: Point, fate: Fate) -> Process {
        let chosen = chosen(point, fate);
        let start = Start { arguments: &["--die-at", &chosen], ..Start::default() };
        Process::spawn(&self.config, start)
    }

    /// Waits until the process meets its fate; what runs afterwards.
    pub(super) async fn outlive(&self, mut process: Process, fate: Fate) -> Process {
        match fate {
            Fate::Killed => {
                assert_eq!(process.ended().await.signal(), Some(9), "{}", process.log());
            }
            Fate::Asked => assert_eq!(process.ended().await.code(), Some(0), "{}", process.log()),
            Fate::Stopped => {
                wait::until("it to stop", || async { process.is_stopped() }).await;
                tokio::time::sleep(STOPPED).await;
                process.signal(Signal::CONT);
                return process;
            }
        }
        drop(process);
        self.start().await
    }

    /// Pods of 900m each; two fit on a worker.
    pub(super) async fn pods(&self, workload: &str, replicas: u32) {
        let body =
            json!({ "replicas": replicas, "requests": { "cpu_milli": 900, "memory": 1 << 30 } });
        self.put(&format!("/workloads/{workload}"), &body).await;
    }

    /// What goes wrong in the world from now on.
    pub(super) async fn faults(&self, faults: &Value) {
        self.put("/faults", faults).await;
    }

    async fn put(&self, path: &str, body: &Value) {
        let url = format!("{}{path}", self.world);
        let client = reqwest::Client::new();
        // The world is reached a little after the program is ready.
        wait::until(&url, || async {
            let answer = client.put(&url).json(body).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    pub(super) async fn fire(&self, name: &str, direction: &str) {
        self.alertmanager
            .fire(&[("alertname", name), ("cluster", "default"), ("autoscale", direction)])
            .await;
    }

    pub(super) async fn resolve(&self, name: &str, direction: &str) {
        self.alertmanager
            .resolve(&[("alertname", name), ("cluster", "default"), ("autoscale", direction)])
            .await;
    }

    async fn get(&self, base: &str, path: &str) -> Option<Value> {
        reqwest::get(format!("{base}{path}")).await.ok()?.json().await.ok()
    }

    /// Our records, as the program shows them.
    pub(super) async fn workers(&self) -> Option<Vec<Value>> {
        let shown = self.get(&self.url, "/v1/workers").await?;
        shown["clusters"]["default"]["workers"].as_array().cloned()
    }

    /// Waits until some worker is in a state.
    pub(super) async fn some_worker_is(&self, state: &str) {
        wait::until(state, || async {
            let workers = self.workers().await.unwrap_or_default();
            workers.iter().any(|worker| worker["state"]["state"] == state)
        })
        .await;
    }

    /// Waits until the program holds the claim.
    pub(super) async fn acts(&self) {
        wait::until("it to hold the claim", || async {
            let status = self.get(&self.url, "/v1/status").await.unwrap_or_default();
            status["clusters"]["default"]["status"]["acting"] == true
        })
        .await;
    }

    /// Every call of this name that changed the world.
    pub(super) async fn calls(&self, name: &str) -> Vec<Value> {
        let world = self.get(&self.world, "/world").await.unwrap();
        let calls = world["calls"].as_array().unwrap();
        calls.iter().filter(|call| call["call"] == name).cloned().collect()
    }

    /// Waits until every pod has its place and no node is cordoned.
    pub(super) async fn everything_runs(&self) {
        wait::until("every pod to run, on nodes without a cordon", || async {
            let Some(world) = self.get(&self.world, "/world").await else { return false };
            let nodes = world["nodes"].as_array().cloned().unwrap_or_default();
            world["pods"]["waiting"] == 0 && nodes.iter().all(|node| node["cordon"] == "none")
        })
        .await;
    }

    /// Machines launched in all, ended in all, and Ready workers now.
    async fn tally(&self) -> Option<(usize, usize, usize)> {
        let world = self.get(&self.world, "/world").await?;
        let calls = world["calls"].as_array()?;
        let launched = calls
            .iter()
            .filter(|call| call["call"] == "launch")
            .map(|call| call["new"].as_u64().unwrap_or(0));
        let ended: BTreeSet<String> = calls
            .iter()
            .filter(|call| call["call"] == "terminate")
            .map(|call| call["instance"].to_string())
            .collect();
        let workers = self.workers().await?;
        let ready = workers.iter().filter(|worker| worker["state"]["state"] == "ready").count();
        let settled = ready == workers.len();
        Some((
            usize::try_from(launched.sum::<u64>()).ok()?,
            ended.len(),
            if settled { ready } else { usize::MAX },
        ))
    }

    pub(super) async fn settled(&self, expected: (usize, usize, usize)) {
        let what = format!("(launched, ended, ready) to be {expected:?}");
        if !wait::comes_true(wait::LIMIT, || async { self.tally().await == Some(expected) }).await {
            let world = self.get(&self.world, "/world").await.unwrap_or_default();
            let shown = self.get(&self.url, "/v1/decisions").await.unwrap_or_default();
            panic!("waited for {what}, in vain: {:#}\n{shown:#}", world["calls"]);
        }
    }

    /// Waits until it is so, and watches that it stays so.
    pub(super) async fn settled_for_good(&self, (launched, ended, ready): (usize, usize, usize)) {
        self.settled((launched, ended, ready)).await;
        let more = wait::comes_true(QUIET, || async {
            self.tally().await.is_some_and(|(l, e, _)| l > launched || e > ended)
        });
        assert!(!more.await, "a second act");
    }
}

fn chosen(point: Point, fate: Fate) -> String {
    let signal = match fate {
        Fate::Killed => "kill",
        Fate::Stopped => "stop",
        Fate::Asked => "term",
    };
    format!("{}:{signal}", point.name())
}
