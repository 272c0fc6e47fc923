//! The real program killed, stopped for longer than its claim, and asked to end, at each named point: what it began is
//! finished once, by itself or by the next start.

use crate::support::process::{Process, Start};
use crate::support::stage::{LIMIT, alertmanager_config};
use crate::support::{alertmanager, ports, wait};
use bellwether::killpoint::Point;
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer than the scene's claim lasts, and than a pass may take.
const STOPPED: Duration = Duration::from_secs(3);

/// How long "no second act" is watched.
const QUIET: Duration = Duration::from_secs(2);

/// What happens to the program at a point.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It dies, and another is started.
    Killed,
    /// It stands still for longer than its claim lasts, and goes on.
    Stopped,
    /// It is asked to end, does so in order, and another is started.
    Asked,
}

/// A world in a file, so that it outlives the program, and a real Alertmanager that keeps delivering.
struct Scene {
    _folder: tempfile::TempDir,
    config: PathBuf,
    url: String,
    world: String,
    alertmanager: alertmanager::RunningAlertmanager,
}

impl Scene {
    async fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (port, world) = (ports::free(), ports::free());
        let alertmanager = alertmanager::start("0.25", &alertmanager_config(port)).await?;
        let config = folder.path().join("bellwether.yaml");
        let yaml = format!(
            "listen: 127.0.0.1:{port}
store: {{ url: \"file:{0}/store\", claim_ttl: 1s }}
alertmanager: {{ urls: [\"{1}\"], ttl_slack: 5s, restart_hold: 1s, watchdog_ttl: 20s }}
prometheus: {{ urls: [\"http://127.0.0.1:1\"] }}
reconcile: {{ interval: 300ms, busy_interval: 100ms }}
clusters:
  default:
    kubernetes: {{ sim: {{ boot: 200ms, listen: 127.0.0.1:{world}, state: {0}/world.json }} }}
    timing: {{ pending_age: 100ms, call: 2s, rebuild_hold: 100ms }}
    pools:
      workers: {{ provider: {{ sim: {{}} }}, min: 1, max: 3, min_age: 0s, cooldown: {{ up: 100ms, down: 100ms }} }}
",
            folder.path().display(),
            alertmanager.url,
        );
        std::fs::write(&config, yaml).unwrap();
        let (url, world) =
            (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{world}"));
        Some(Self { _folder: folder, config, url, world, alertmanager })
    }

    async fn start(&self) -> Process {
        Process::start(&self.config, &self.url, Start::default()).await
    }

    /// Starts it with what awaits it at a point.
    async fn start_towards(&self, point: Point, fate: Fate) -> Process {
        let signal = match fate {
            Fate::Killed => "kill",
            Fate::Stopped => "stop",
            Fate::Asked => "term",
        };
        let chosen = format!("{}:{signal}", point.name());
        let start = Start { arguments: &["--die-at", &chosen], ..Start::default() };
        Process::start(&self.config, &self.url, start).await
    }

    /// Waits until the process meets its fate; what runs afterwards.
    async fn outlive(&self, mut process: Process, fate: Fate) -> Process {
        match fate {
            Fate::Killed => {
                assert_eq!(process.ended().await.signal(), Some(9), "{}", process.log());
            }
            Fate::Asked => assert_eq!(process.ended().await.code(), Some(0), "{}", process.log()),
            Fate::Stopped => {
                wait::until(LIMIT, "it to stop", || async { process.is_stopped() }).await;
                tokio::time::sleep(STOPPED).await;
                process.signal(Signal::CONT);
                return process;
            }
        }
        drop(process);
        self.start().await
    }

    /// Pods of 900m each; two fit on a worker.
    async fn pods(&self, replicas: u32) {
        let body =
            json!({ "replicas": replicas, "requests": { "cpu_milli": 900, "memory": 1 << 30 } });
        let answer = reqwest::Client::new()
            .put(format!("{}/workloads/web", self.world))
            .json(&body)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    async fn fire(&self, name: &str, direction: &str) {
        self.alertmanager
            .fire(&[("alertname", name), ("cluster", "default"), ("autoscale", direction)])
            .await;
    }

    async fn get(&self, base: &str, path: &str) -> Option<Value> {
        reqwest::get(format!("{base}{path}")).await.ok()?.json().await.ok()
    }

    /// Machines launched in all, ended in all, and Ready workers now.
    async fn tally(&self) -> Option<(usize, usize, usize)> {
        let world = self.get(&self.world, "/world").await?;
        let calls = world["calls"].as_array()?;
        let launched = calls
            .iter()
            .filter(|call| call["call"] == "launch")
            .map(|call| call["new"].as_u64().unwrap_or(0));
        let ended: std::collections::BTreeSet<String> = calls
            .iter()
            .filter(|call| call["call"] == "terminate")
            .map(|call| call["instance"].to_string())
            .collect();
        let shown = self.get(&self.url, "/v1/workers").await?;
        let workers = shown["clusters"]["default"]["workers"].as_array()?.clone();
        let ready = workers.iter().filter(|worker| worker["state"]["state"] == "ready").count();
        let settled = ready == workers.len();
        Some((
            usize::try_from(launched.sum::<u64>()).ok()?,
            ended.len(),
            if settled { ready } else { usize::MAX },
        ))
    }

    async fn settled(&self, expected: (usize, usize, usize)) {
        let what = format!("(launched, ended, ready) to be {expected:?}");
        wait::until(LIMIT, &what, || async { self.tally().await == Some(expected) }).await;
    }

    /// Waits until it is so, and watches that it stays so.
    async fn settled_for_good(&self, (launched, ended, ready): (usize, usize, usize)) {
        self.settled((launched, ended, ready)).await;
        let more = wait::until(QUIET * 2, "a second act", || async {
            self.tally().await.is_some_and(|(l, e, _)| l > launched || e > ended)
        });
        assert!(tokio::time::timeout(QUIET, more).await.is_err(), "a second act");
    }
}

/// Met by its fate while scaling up by one: in the end exactly one machine more was ever launched.
async fn scaling_up_survives(point: Point, fate: Fate) {
    let Some(scene) = Scene::new().await else { return };
    let process = scene.start().await;
    scene.pods(2).await;
    scene.settled((1, 0, 1)).await;
    drop(process);
    let process = scene.start_towards(point, fate).await;
    scene.pods(3).await;
    scene.fire("PodsUnschedulable", "up").await;
    let _process = scene.outlive(process, fate).await;
    scene.settled_for_good((2, 0, 2)).await;
}

/// Met by its fate while scaling down by one: in the end exactly one machine was ever ended, drained before.
async fn scaling_down_survives(point: Point, fate: Fate) {
    let Some(scene) = Scene::new().await else { return };
    let process = scene.start().await;
    scene.pods(3).await;
    scene.fire("PodsUnschedulable", "up").await;
    scene.settled((2, 0, 2)).await;
    scene
        .alertmanager
        .resolve(&[("alertname", "PodsUnschedulable"), ("cluster", "default"), ("autoscale", "up")])
        .await;
    drop(process);
    let process = scene.start_towards(point, fate).await;
    scene.pods(1).await;
    scene.fire("Watchdog", "watchdog").await;
    scene.fire("SustainedIdle", "down").await;
    let _process = scene.outlive(process, fate).await;
    scene.settled_for_good((2, 1, 1)).await;
}

/// The story in which a point is reached. Without a wildcard: a new point does not compile before it has one.
async fn survives(point: Point, fate: Fate) {
    match point {
        Point::SignalStored | Point::IntentCommitted | Point::LaunchAnswered => {
            scaling_up_survives(point, fate).await;
        }
        Point::Cordoned | Point::LastEviction | Point::TerminateAnswered | Point::NodeRemoved => {
            scaling_down_survives(point, fate).await;
        }
    }
}

/// A claim that ran out meanwhile is not acted under: what was begun is looked at anew.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_for_longer_than_its_claim_at_any_point_it_acts_once() {
    join_all(Point::ALL.map(|point| survives(point, Fate::Stopped))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_at_any_point_it_ends_in_order_and_the_next_acts_once() {
    join_all(Point::ALL.map(|point| survives(point, Fate::Asked))).await;
}

/// A-22, W-72
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_signal_is_stored_it_acts_once() {
    survives(Point::SignalStored, Fate::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w_72_killed_after_an_intent_is_committed_it_launches_once() {
    survives(Point::IntentCommitted, Fate::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_launch_is_answered_it_launches_once() {
    survives(Point::LaunchAnswered, Fate::Killed).await;
}

///
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_cordon_it_ends_one_worker() {
    survives(Point::Cordoned, Fate::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_last_eviction_it_ends_one_worker() {
    survives(Point::LastEviction, Fate::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_terminate_is_answered_it_ends_one_worker() {
    survives(Point::TerminateAnswered, Fate::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_node_is_removed_it_ends_one_worker() {
    survives(Point::NodeRemoved, Fate::Killed).await;
}

/// F-175, I10: JSON lines with the part of the turn they belong to, and never a token.
#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_json_with_their_section_and_without_any_secret() {
    let Some(scene) = Scene::new().await else { return };
    let yaml = std::fs::read_to_string(&scene.config).unwrap();
    std::fs::write(&scene.config, format!("auth: {{ bearer_token: hush-hush-hush-hush }}\n{yaml}"))
        .unwrap();
    let process = scene.start().await;
    for token in ["hush-hush-hush-hush", "wrong-hush-hush-hush"] {
        let url = format!("{}/v1/status", scene.url);
        let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), if token.starts_with("wrong") { 401 } else { 200 });
    }
    let log = scene.config.with_extension("log");
    let sections = || -> std::collections::BTreeSet<String> {
        let text = std::fs::read_to_string(&log).unwrap();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
        lines.filter_map(|line| Some(line["fields"]["section"].as_str()?.to_owned())).collect()
    };
    wait::until(LIMIT, "a start and an act in the log", || async {
        sections().contains("start") && sections().contains("act")
    })
    .await;
    drop(process);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("hush-hush-hush"), "{text}");
}

/// The list is complete: what the enum names, what stands in `ALL`, what the code reaches, and what is tested here are
/// the same points.
#[test]
fn every_kill_point_is_listed_reached_once_in_the_code_and_killed_at_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed: BTreeSet<String> = Point::ALL.iter().map(|point| format!("{point:?}")).collect();
    assert_eq!(listed.len(), Point::ALL.len(), "one stands twice in the list");
    let declaration = std::fs::read_to_string(root.join("src/killpoint.rs")).unwrap();
    let variants = declaration.split_once("pub enum Point {").unwrap().1.split_once('}').unwrap().0;
    let declared = variants.lines().filter_map(|line| line.trim().strip_suffix(','));
    assert_eq!(declared.map(str::to_owned).collect::<BTreeSet<_>>(), listed);
    let mut reached = Vec::new();
    called(&root.join("src"), &mut reached);
    reached.sort();
    assert_eq!(reached, listed.iter().cloned().collect::<Vec<_>>(), "each once, and by its name");
    let tests = include_str!("crash.rs");
    for point in &listed {
        let call = format!("survives(Point::{point}, Fate::Killed)");
        assert!(tests.contains(&call), "no test kills at {point}");
    }
}

/// The points that the sources below a folder reach.
fn called(folder: &Path, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            called(&path, into);
        } else if path.file_name().is_none_or(|name| name != "killpoint.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let calls = text.split("killpoint::reached(").skip(1);
            into.extend(calls.map(|rest| {
                let argument = rest.split(')').next().unwrap_or_default();
                argument.trim_start_matches("Point::").to_owned()
            }));
        }
    }
}
