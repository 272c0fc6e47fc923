//! What Alertmanager makes of an answer.

use super::scene::{ALONE, ONCE, Plot, Scene};
use super::{UP, on_both};
use crate::support::process::{Process, Start};
use crate::support::recorder::{Recorder, Rule};
use crate::support::{alertmanager, ports, wait};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Alertmanager tries again after a 5xx, and after nothing else, as long as the group's interval lasts. So the program
/// says 503 when its disk takes no write, and what it could not store comes again within seconds and is done once.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_answered_503_comes_again_and_acts_once() {
    on_both(|version| async move {
        // No tick comes while this lasts: what comes again is a retry.
        let plot = Plot { times: ("5m", "1h", "1s"), ..Plot::new(version, ONCE) };
        let port = ports::free();
        let recorder = Recorder::start(port).await;
        let routes = plot.routes(&recorder.url);
        let Some(server) = alertmanager::start_with(version, &routes, ALONE).await else { return };
        let program = Program::new(port, &server.url);
        let start = Start { before: "trap '' XFSZ", ..Start::default() };
        let process = Process::start(&program.config, &program.url, start).await;
        program.launched(1).await;
        process.may_write(false);
        server.fire(&[UP, &[("alertname", "CPUHigh"), ("cluster", "default")]].concat()).await;
        let codes = || recorder.of("CPUHigh").iter().map(|told| told.code).collect::<Vec<_>>();
        wait::until("two attempts", || async { codes().len() >= 2 }).await;
        assert!(codes().iter().all(|code| *code == 503), "{version}: {:?}", codes());
        assert_eq!(program.launches().await, 1, "only what min asked for");
        process.may_write(true);
        wait::until("it to be taken", || async { codes().contains(&200) }).await;
        program.launched(2).await;
        program.passes(5).await;
        assert_eq!((codes().last(), program.launches().await), (Some(&200), 2));
    })
    .await;
}

/// A 4xx is not tried again: the alert waits for the next tick, and is lost where it ends before. Here Alertmanager
/// lacks our token; nothing is done until it has it, and then once.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_refused_with_401_waits_for_the_next_tick_and_acts_once() {
    on_both(|version| async move {
        let mut plot = Plot::new(version, ONCE);
        plot.times = ("4s", "30s", "1s");
        plot.setting.service = "auth: { bearer_token: open-sesame-open-sesame }\n".to_owned();
        let Some(scene) = Scene::start(plot).await else { return };
        scene.stage.fire("CPUHigh", UP).await;
        scene.until("two attempts", || scene.recorder.of("CPUHigh").len() >= 2).await;
        let refused = scene.recorder.of("CPUHigh");
        assert!(refused.iter().all(|delivery| delivery.code == 401), "{version}: {refused:#?}");
        let between = refused[1].at - refused[0].at;
        assert!(between >= Duration::from_millis(3_500), "{version}: again after {between:?}");
        assert_eq!(scene.still().await, 1, "only what min asked for");
        let token = "follow_redirects: false\n          authorization: { credentials: open-sesame-open-sesame }";
        scene.reload(&[("follow_redirects: false", token)]).await;
        scene.delivered("CPUHigh", 1).await;
        scene.stage.settled(2).await;
        assert_eq!(scene.still().await, 2);
        scene.stage.stop().await;
    })
    .await;
}

/// The shipped receiver follows no redirect: whatever stands between answers 302, the delivery failed, comes again at
/// the next tick, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_receiver_follows_no_redirect() {
    on_both(|version| async move {
        let Some(scene) = Scene::start(Plot::new(version, ONCE)).await else { return };
        scene.recorder.rule(Rule::Redirect(format!("{}/v1/alerts", scene.stage.url)));
        scene.stage.fire("CPUHigh", UP).await;
        scene.until("two attempts", || scene.recorder.all().len() >= 2).await;
        assert_eq!(told_off(&scene).await, 0, "{version}: nobody came with a GET");
        assert_eq!(scene.still().await, 1, "only what min asked for");
        scene.recorder.rule(Rule::Pass);
        scene.stage.settled(2).await;
        assert_eq!(scene.still().await, 2);
        scene.stage.stop().await;
    })
    .await;
}

/// As Alertmanager comes, a 302 becomes a GET without a body, and a 200 to that counts as delivered: silently lost. We
/// answer such a GET with 405, so that the delivery has failed and comes again; and we say what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_that_is_followed_to_us_is_no_delivery() {
    on_both(|version| async move {
        let mut plot = Plot::new(version, ONCE);
        plot.times = ("1s", "1h", "1s");
        plot.edits = vec![("follow_redirects: false", "follow_redirects: true")];
        let Some(scene) = Scene::start(plot).await else { return };
        scene.recorder.rule(Rule::Redirect(format!("{}/v1/alerts", scene.stage.url)));
        scene.stage.fire("CPUHigh", UP).await;
        wait::until("a GET", || async { told_off(&scene).await > 0 }).await;
        assert_eq!(scene.still().await, 1, "{version}: only what min asked for");
        scene.recorder.rule(Rule::Pass);
        scene.stage.settled(2).await;
        assert_eq!(scene.still().await, 2);
        let findings = scene.stage.report().findings.clone();
        assert!(
            findings.iter().any(|finding| finding.contains("follow_redirects")),
            "{findings:?}"
        );
        scene.stage.stop().await;
    })
    .await;
}

/// How often somebody was told that our inlet takes no GET.
async fn told_off(scene: &Scene) -> usize {
    let text = reqwest::get(format!("{}/metrics", scene.stage.url)).await.unwrap().text().await;
    let text = text.unwrap();
    let line = text.lines().find(|line| {
        line.starts_with("bellwether_http_requests_total{") && line.contains("code=\"405\"")
    });
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// The real program with a store on disk and a simulated world.
struct Program {
    _folder: tempfile::TempDir,
    config: PathBuf,
    url: String,
    world: String,
}

impl Program {
    fn new(port: u16, alertmanager: &str) -> Self {
        let (folder, world) = (tempfile::tempdir().unwrap(), ports::free());
        let config = folder.path().join("bellwether.yaml");
        let yaml = format!(
            "listen: 127.0.0.1:{port}
store: {{ url: \"file:{}/store\" }}
alertmanager: {{ urls: [\"{alertmanager}\"] }}
prometheus: {{ urls: [\"http://127.0.0.1:1\"] }}
reconcile: {{ interval: 300ms, busy_interval: 100ms }}
clusters:
  default:
    kubernetes: {{ sim: {{ boot: 200ms, listen: 127.0.0.1:{world} }} }}
    pools: {{ workers: {ONCE} }}
",
            folder.path().display(),
        );
        std::fs::write(&config, yaml).unwrap();
        let [url, world] = [port, world].map(|port| format!("http://127.0.0.1:{port}"));
        Self { _folder: folder, config, url, world }
    }

    async fn get(base: &str, path: &str) -> Value {
        reqwest::get(format!("{base}{path}")).await.unwrap().json().await.unwrap()
    }

    /// Machines that were launched so far.
    async fn launches(&self) -> u64 {
        let world = Self::get(&self.world, "/world").await;
        let calls = world["calls"].as_array().unwrap();
        calls.iter().filter_map(|call| call["new"].as_u64()).sum()
    }

    async fn launched(&self, machines: u64) {
        wait::until("a launch", || async { self.launches().await >= machines }).await;
    }

    /// Waits until so many passes more are done.
    async fn passes(&self, count: usize) {
        let pass = async || {
            Self::get(&self.url, "/v1/status").await["clusters"]["default"]["pass"].clone()
        };
        for _ in 0..=count {
            let before = pass().await;
            assert!(before.is_string(), "{before}");
            wait::until("a pass", || async { pass().await != before }).await;
        }
    }
}
