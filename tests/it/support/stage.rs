//! The whole service in this process, a simulated world, and a real Alertmanager (and Prometheus, where a story needs
//! one) beside it.

use super::alertmanager::{self, RunningAlertmanager};
use super::wait;
use bellwether::app::App;
use bellwether::clock::Clock;
use bellwether::config::Config;
use bellwether::model::{ClusterName, WorkerState};
use bellwether::reconcile::{Handle, Report};
use bellwether::sim::{Workload, World};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long "nothing happens" is watched: many passes at the stage's pace.
pub(crate) const QUIET: Duration = Duration::from_secs(3);

/// What a story may choose.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Alertmanager's version.
    pub(crate) version: &'static str,
    /// Addresses of Alertmanagers beside the first.
    pub(crate) peers: Vec<String>,
    /// Lines of the whole service, for example `auth`.
    pub(crate) service: String,
    /// More fields of `alertmanager`, in flow style.
    pub(crate) alertmanager: String,
    /// Prometheus' addresses, where the story has any.
    pub(crate) prometheus: Vec<String>,
    /// Lines of the cluster's section, for example guards.
    pub(crate) cluster: String,
    /// The pool, in flow style.
    pub(crate) pool: String,
    /// Another cluster beside `default`, whole.
    pub(crate) more: String,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            version: "0.25",
            peers: Vec::new(),
            service: String::new(),
            alertmanager: "ttl_slack: 3s, restart_hold: 4s, watchdog_ttl: 10s".to_owned(),
            prometheus: vec!["http://127.0.0.1:1".to_owned()],
            cluster: String::new(),
            pool: "{ provider: { sim: {} }, min: 1, max: 4, min_age: 0s, cooldown: { up: 1s, down: 1s } }".to_owned(),
            more: String::new(),
        }
    }
}

/// A running stage; everything ends with it.
pub(crate) struct Stage {
    pub(crate) alertmanager: RunningAlertmanager,
    pub(crate) url: String,
    pub(crate) world: World,
    pub(crate) worlds: BTreeMap<ClusterName, World>,
    handles: BTreeMap<ClusterName, Handle>,
    stop: CancellationToken,
    task: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Stage {
    /// Starts everything; `None` (after a printed skip) where a server is missing.
    pub(crate) async fn start(setting: Setting) -> Option<Self> {
        let port = super::ports::free();
        let routes = alertmanager::faster_routes(port);
        let alertmanager = alertmanager::start(setting.version, &routes).await?;
        Some(Self::beside(alertmanager, port, &setting).await)
    }

    /// Starts the service at a port, beside an Alertmanager that delivers there by its own routes.
    pub(crate) async fn beside(
        alertmanager: RunningAlertmanager,
        port: u16,
        setting: &Setting,
    ) -> Self {
        let yaml = config(setting, port, &alertmanager.url);
        let config = Config::parse(&yaml, &BTreeMap::<String, String>::new())
            .unwrap_or_else(|e| panic!("{e}"))
            .config;
        let app = App::build(config, None, Clock::system()).await.unwrap();
        let (worlds, handles) = (app.worlds().clone(), app.handles());
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "awaited by `stop`")]
        let task = tokio::spawn(app.run(stop.clone()));
        let stage = Self {
            alertmanager,
            url: format!("http://127.0.0.1:{port}"),
            world: worlds[&ClusterName::from("default")].clone(),
            worlds,
            handles,
            stop,
            task: Some(task),
        };
        wait::until("the first report", || async {
            stage.handles.values().all(|h| h.report().is_some())
        })
        .await;
        stage
    }

    /// Fires an alert with these labels, as Prometheus does: for a minute, unless sent again.
    pub(crate) async fn fire(&self, name: &str, labels: &[(&str, &str)]) {
        let mut all = vec![("alertname", name), ("cluster", "default")];
        all.extend_from_slice(labels);
        self.alertmanager.fire(&all).await;
    }

    /// The sign of life, without which nothing is removed.
    pub(crate) async fn watchdog(&self) {
        self.fire("Watchdog", &[("autoscale", "watchdog")]).await;
    }

    /// Says that an alert is over.
    pub(crate) async fn resolve(&self, name: &str, labels: &[(&str, &str)]) {
        let mut all = vec![("alertname", name), ("cluster", "default")];
        all.extend_from_slice(labels);
        self.alertmanager.resolve(&all).await;
    }

    /// Sets how many pods of 900m and 1 GiB there are: two fit on a worker.
    pub(crate) fn pods(&self, replicas: u32) {
        self.world.set_workload(Workload::deployment("web", replicas, 900, 1 << 30)).unwrap();
    }

    /// What the last pass reported.
    pub(crate) fn report(&self) -> Arc<Report> {
        self.report_of("default")
    }

    /// The same for another cluster.
    pub(crate) fn report_of(&self, cluster: &str) -> Arc<Report> {
        self.handles[&ClusterName::from(cluster)].report().expect("waited for at the start")
    }

    /// Workers whose node is Ready.
    pub(crate) fn ready(&self) -> usize {
        ready(&self.report())
    }

    /// Waits until a number of workers is Ready and none is on its way.
    pub(crate) async fn settled(&self, workers: usize) {
        let what = format!("{workers} Ready workers and none on its way");
        wait::until(&what, || async { is_settled(&self.report(), workers) }).await;
    }

    /// Watches for a while that nothing is launched, cordoned or terminated.
    pub(crate) async fn quiet(&self) {
        let before = self.acts();
        let act = wait::comes_true(QUIET, || async { self.acts() != before });
        assert!(!act.await, "something was done: {:#?}", self.world.calls());
    }

    /// Waits until so many passes more are done, each of which began after this was asked.
    pub(crate) async fn passes(&self, count: usize) {
        let handle = &self.handles[&ClusterName::from("default")];
        // The first to end may have begun before.
        for _ in 0..=count {
            let before = self.report().pass.clone();
            handle.wake();
            wait::until("a pass", || async { self.report().pass != before }).await;
        }
    }

    /// How many calls changed the world so far.
    pub(crate) fn acts(&self) -> usize {
        self.world.calls().len()
    }

    /// Calls of this name that changed the world.
    pub(crate) fn calls(&self, name: &str) -> usize {
        self.world.calls().iter().filter(|call| call.name() == name).count()
    }

    /// Stops in order; a task that died before makes the test fail.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.unwrap().unwrap();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Workers whose node is Ready.
pub(crate) fn ready(report: &Report) -> usize {
    report.workers.iter().filter(|worker| worker.state == WorkerState::Ready).count()
}

/// Whether exactly so many workers are Ready and none is on its way.
pub(crate) fn is_settled(report: &Report, workers: usize) -> bool {
    report.workers.len() == workers && ready(report) == workers
}

fn config(setting: &Setting, port: u16, alertmanager: &str) -> String {
    let Setting { service, cluster, pool, more, .. } = setting;
    let first = [alertmanager.to_owned()];
    let alertmanagers = addresses(first.iter().chain(&setting.peers));
    let prometheus = addresses(&setting.prometheus);
    let fields = &setting.alertmanager;
    format!(
        "listen: 127.0.0.1:{port}
{service}store: {{ url: \"memory:\" }}
alertmanager: {{ urls: [{alertmanagers}], {fields} }}
prometheus: {{ urls: [{prometheus}], scrape_interval: 1s }}
reconcile: {{ interval: 500ms, busy_interval: 100ms }}
clusters:
  default:
    kubernetes: {{ sim: {{ boot: 300ms }} }}
    timing: {{ call: 2s }}
{cluster}    pools:
      workers: {pool}
{more}"
    )
}

/// Addresses as a list holds them.
fn addresses<'a>(urls: impl IntoIterator<Item = &'a String>) -> String {
    let quoted: Vec<String> = urls.into_iter().map(|url| format!("\"{url}\"")).collect();
    quoted.join(", ")
}
