//! One replica: the program, its file, and the links between it and the others.

use super::scene::Setting;
use crate::support::inlet::delivery;
use crate::support::process::{Process, Start};
use crate::support::proxy::Proxy;
use crate::support::wait;
use bellwether::model::duration;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one that may stand still is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The links of a replica.
pub(super) struct Wiring {
    /// From Alertmanager's webhook to it.
    pub(super) webhook: Proxy,
    /// From it to Redis.
    pub(super) redis: Proxy,
    /// From it to Alertmanager's API.
    pub(super) alertmanager: Proxy,
}

pub(super) struct Replica {
    pub(super) links: Wiring,
    pub(super) url: String,
    config: PathBuf,
    process: Option<Process>,
}

impl Replica {
    pub(super) fn new(
        port: u16,
        links: Wiring,
        setting: &Setting,
        store: &str,
        world: &Path,
    ) -> Self {
        let config = world.with_file_name(format!("{port}.yaml"));
        let [ttl, interval] = [setting.claim_ttl, setting.interval].map(duration::format);
        let yaml = format!(
            "listen: 127.0.0.1:{port}
store: {{ {store}, timeout: 800ms, claim_ttl: {ttl} }}
alertmanager: {{ urls: [\"{}\"], timeout: 800ms, ttl_slack: 5s, restart_hold: 1s, watchdog_ttl: 20s }}
prometheus: {{ urls: [\"http://127.0.0.1:1\"] }}
reconcile: {{ interval: {interval}, busy_interval: 100ms }}
clusters:
  default:
    kubernetes: {{ sim: {{ boot: 200ms, state: \"{}\" }} }}
    timing: {{ call: 2s, rebuild_hold: 100ms, breaker: 1s }}
    pools:
      workers: {{ provider: {{ sim: {{}} }}, min: 1, max: 4, min_age: 0s, cooldown: {{ up: 100ms, down: 100ms }} }}
",
            links.alertmanager.url(),
            world.display(),
        );
        std::fs::write(&config, yaml).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        Self { links, url, config, process: None }
    }

    pub(super) async fn start(&mut self, arguments: &[&str]) {
        let start = Start { arguments, ..Start::default() };
        self.process = Some(Process::start(&self.config, &self.url, start).await);
    }

    /// Asks it to end, and waits until it did so in order.
    pub(super) async fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        process.signal(Signal::TERM);
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        drop(self.process.take());
    }

    pub(super) fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// 0 while it does not run.
    pub(super) fn id(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::id)
    }

    pub(super) fn log(&self) -> String {
        self.process.as_ref().unwrap().log()
    }

    /// Waits until it stopped itself, as it was told to at a point.
    pub(super) async fn stopped(&self) {
        let process = self.process.as_ref().unwrap();
        wait::until("it to stop", || async { process.is_stopped() }).await;
    }

    pub(super) fn go_on(&self) {
        self.process.as_ref().unwrap().signal(Signal::CONT);
    }

    pub(super) async fn get(&self, path: &str) -> Option<Value> {
        let get = client().get(format!("{}{path}", self.url)).send();
        get.await.ok()?.json().await.ok()
    }

    /// Whether it says that it acts.
    pub(super) async fn acts(&self) -> bool {
        let status = self.get("/v1/status").await.unwrap_or_default();
        status["clusters"]["default"]["status"]["acting"] == true
    }

    pub(super) async fn is_ready(&self) -> bool {
        let get = client().get(format!("{}/readyz", self.url)).send();
        get.await.is_ok_and(|answer| answer.status() == 200)
    }

    /// Our records, as it shows them.
    pub(super) async fn workers(&self) -> Option<Vec<Value>> {
        let shown = self.get("/v1/workers").await?;
        shown["clusters"]["default"]["workers"].as_array().cloned()
    }

    /// What it answers to a delivery of an alert that asks for nothing, past every proxy.
    pub(super) async fn answer_to(&self, name: &str) -> u16 {
        let body = delivery(&json!({ "cluster": "default", "alertname": name }));
        let post = client().post(format!("{}/v1/alerts", self.url)).json(&body);
        post.send().await.unwrap().status().as_u16()
    }

    /// The sum of the lines of its metrics that hold all these words.
    pub(super) async fn count(&self, words: &[&str]) -> u64 {
        let answer = client().get(format!("{}/metrics", self.url)).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Waits for so many turns more of its loop.
    pub(super) async fn passes(&self, count: u64) {
        let words = ["bellwether_passes_total{"];
        let before = self.count(&words).await;
        wait::until("passes", || async { self.count(&words).await >= before + count }).await;
    }

    /// Waits until it answers so to a delivery.
    pub(super) async fn answers(&self, code: u16) {
        let what = format!("{code} for a delivery");
        wait::until(&what, || async { self.answer_to("Probe").await == code }).await;
    }
}

/// For who may stand still, and would never answer.
fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(PATIENCE).build().unwrap()
}
