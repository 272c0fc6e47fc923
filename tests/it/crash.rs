//! `kill -9` of the real program at each named point; the next start heals it without a second act.

use crate::support::process::Process;
use crate::support::stage::{LIMIT, alertmanager_config};
use crate::support::{alertmanager, ports, wait};
use bellwether::killpoint::Point;
use serde_json::{Value, json};
use std::path::PathBuf;

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

    async fn start(&self, die_at: Option<Point>) -> Process {
        Process::start(&self.config, &self.url, die_at.map(Point::name)).await
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
}

/// Killed while scaling up by one: in the end exactly one machine more was ever launched.
async fn scaling_up_survives(point: Point) {
    let Some(scene) = Scene::new().await else { return };
    let process = scene.start(None).await;
    scene.pods(2).await;
    scene.settled((1, 0, 1)).await;
    drop(process);
    let mut process = scene.start(Some(point)).await;
    scene.pods(3).await;
    scene.fire("PodsUnschedulable", "up").await;
    process.died().await;
    let _process = scene.start(None).await;
    scene.settled((2, 0, 2)).await;
}

/// Killed while scaling down by one: in the end exactly one machine was ever ended, drained before.
async fn scaling_down_survives(point: Point) {
    let Some(scene) = Scene::new().await else { return };
    let process = scene.start(None).await;
    scene.pods(3).await;
    scene.fire("PodsUnschedulable", "up").await;
    scene.settled((2, 0, 2)).await;
    scene
        .alertmanager
        .resolve(&[("alertname", "PodsUnschedulable"), ("cluster", "default"), ("autoscale", "up")])
        .await;
    drop(process);
    let mut process = scene.start(Some(point)).await;
    scene.pods(1).await;
    scene.fire("Watchdog", "watchdog").await;
    scene.fire("SustainedIdle", "down").await;
    process.died().await;
    let _process = scene.start(None).await;
    scene.settled((2, 1, 1)).await;
}

/// A-22, W-72
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_signal_is_stored_it_acts_once() {
    scaling_up_survives(Point::SignalStored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w_72_killed_after_an_intent_is_committed_it_launches_once() {
    scaling_up_survives(Point::IntentCommitted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_launch_is_answered_it_launches_once() {
    scaling_up_survives(Point::LaunchAnswered).await;
}

///
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_cordon_it_ends_one_worker() {
    scaling_down_survives(Point::Cordoned).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_last_eviction_it_ends_one_worker() {
    scaling_down_survives(Point::LastEviction).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_terminate_is_answered_it_ends_one_worker() {
    scaling_down_survives(Point::TerminateAnswered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_node_is_removed_it_ends_one_worker() {
    scaling_down_survives(Point::NodeRemoved).await;
}

/// F-175, I10: JSON lines with the part of the turn they belong to, and never a token.
#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_json_with_their_section_and_without_any_secret() {
    let Some(scene) = Scene::new().await else { return };
    let yaml = std::fs::read_to_string(&scene.config).unwrap();
    std::fs::write(&scene.config, format!("auth: {{ bearer_token: hush-hush-hush-hush }}\n{yaml}"))
        .unwrap();
    let process = scene.start(None).await;
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

#[test]
fn every_kill_point_has_its_test() {
    let tests = include_str!("crash.rs");
    for point in Point::ALL {
        assert!(
            tests.contains(&format!("survives(Point::{point:?})")),
            "no test kills at {point:?}"
        );
    }
}
