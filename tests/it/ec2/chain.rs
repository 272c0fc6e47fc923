//! A pool of EC2's on real servers but for AWS itself, and the program that looks after it.

use crate::support::alertmanager::{self, RunningAlertmanager};
use crate::support::aws::Aws;
use crate::support::boots::Boots;
use crate::support::chain::{self, FORGETFUL, IDLE};
use crate::support::control_plane::{self, ControlPlane, create, pod};
use crate::support::prometheus::{self, RunningPrometheus};
use crate::support::redis::{self, RunningRedis};
use crate::support::server::{Ready, Server};
use crate::support::{ports, wait};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// Where the servers of a story are.
struct Servers {
    redis: String,
    alertmanager: String,
    prometheus: String,
    kubeconfig: PathBuf,
}

async fn configuration(port: u16, servers: &Servers, aws: &Aws) -> String {
    let yard = aws.yard().await;
    let subnets: Vec<&str> = yard.subnets.iter().map(|(id, _)| id.as_str()).collect();
    format!(
        "listen: 127.0.0.1:{port}
store: {{ url: \"{redis}\" }}
alertmanager: {{ urls: [\"{alertmanager}\"] }}
prometheus: {{ urls: [\"{prometheus}\"], scrape_interval: 1s }}
clusters:
  default:
    kubernetes: {{ kubeconfig: {kubeconfig} }}
    timing: {{ call: 5s, rebuild_hold: 1s, breaker: 2s, breaker_max: 4s, back_off: 30s }}
    pools:
      workers:
        provider:
          ec2:
            launch_template: {template}
            shapes: [t3.small, t3a.small]
            subnets: [{subnets}]
            region: us-east-1
            endpoint: {endpoint}
        max: 3
        min_age: 0s
        cooldown: {{ up: 0s, down: 1s }}
        drain: {{ timeout: 30s, detach: 1s }}
",
        redis = servers.redis,
        alertmanager = servers.alertmanager,
        prometheus = servers.prometheus,
        kubeconfig = servers.kubeconfig.display(),
        template = yard.template,
        subnets = subnets.join(", "),
        endpoint = aws.url(),
    )
}

pub(super) struct Story {
    pub(super) aws: Arc<Aws>,
    pub(super) boots: Boots,
    pub(super) program: Server,
    pub(super) client: kube::Client,
    _plane: ControlPlane,
    _prometheus: RunningPrometheus,
    _alertmanager: RunningAlertmanager,
    _redis: RunningRedis,
    _folder: tempfile::TempDir,
}

impl Story {
    pub(super) async fn start() -> Option<Self> {
        Self::start_with("").await
    }

    /// With more of what the file says of the pool.
    pub(super) async fn start_with(more: &str) -> Option<Self> {
        Self::start_in(&[], more).await
    }

    /// The same, with these in the program's environment.
    pub(super) async fn start_in(variables: &[&str], more: &str) -> Option<Self> {
        let aws = Arc::new(Aws::start().await?);
        let plane = control_plane::start().await?;
        let redis = redis::start(&[]).await?;
        let port = ports::free();
        let routes = alertmanager::faster_routes(port);
        let alertmanager = alertmanager::start_with("0.31", &routes, &FORGETFUL).await?;
        let config = chain::prometheus_config(port, &alertmanager.url);
        let rules = chain::rules(false) + IDLE;
        let prometheus = prometheus::start("3.16", &config, &rules).await?;
        let servers = Servers {
            redis: redis.url(),
            alertmanager: alertmanager.url.clone(),
            prometheus: prometheus.url.clone(),
            kubeconfig: plane.service().await,
        };
        let config = configuration(port, &servers, &aws).await + more;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bellwether.yaml");
        std::fs::write(&file, config).unwrap();
        let keys = ["AWS_ACCESS_KEY_ID=testing", "AWS_SECRET_ACCESS_KEY=testing"];
        let program = [env!("CARGO_BIN_EXE_bellwether"), "run", "--config", file.to_str().unwrap()];
        let words = keys.iter().chain(variables).chain(&program);
        let ready = Ready { path: "/readyz", client: reqwest::Client::new() };
        let site = (format!("http://127.0.0.1:{port}"), ready);
        let own = tempfile::tempdir().unwrap();
        let words = words.map(|word| (*word).to_owned()).collect();
        let program = Server::start_at("/usr/bin/env".into(), words, own, site).await;
        let client = plane.client().await;
        let story = Self {
            boots: Boots::new(aws.clone(), client.clone()),
            aws,
            program,
            client,
            _plane: plane,
            _prometheus: prometheus,
            _alertmanager: alertmanager,
            _redis: redis,
            _folder: folder,
        };
        story.hears_the_watchdog().await;
        Some(story)
    }

    pub(super) async fn told(&self, what: &str) -> Vec<Value> {
        let answer = reqwest::get(format!("{}/v1/{what}", self.program.url)).await.unwrap();
        let told: Value = answer.json().await.unwrap();
        told["clusters"]["default"][what].as_array().cloned().unwrap_or_default()
    }

    /// Without it, need would be served though no alert asks.
    pub(super) async fn hears_the_watchdog(&self) {
        wait::until("the watchdog to count", || async {
            let counts = |one: &Value| one["signal"]["name"] == "Watchdog" && one["counts"] == true;
            self.told("signals").await.iter().any(counts)
        })
        .await;
    }

    /// Asks for a pass.
    pub(super) async fn reconcile(&self) {
        let url = format!("{}/v1/reconcile", self.program.url);
        reqwest::Client::new().post(url).send().await.unwrap();
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    pub(super) async fn create_pod(&self, name: &str) {
        create(&self.pods(), pod(name, "1500m")).await;
    }

    pub(super) async fn bound(&self) -> usize {
        let list = self.pods().list(&ListParams::default()).await.unwrap();
        list.iter().filter(|pod| control_plane::is_bound(pod)).count()
    }

    pub(super) async fn nodes(&self) -> usize {
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.list(&ListParams::default()).await.unwrap().items.len()
    }

    /// Instances by their state.
    pub(super) async fn instances(&self, state: &str) -> usize {
        self.aws.machines().await.iter().filter(|one| one.state == state).count()
    }

    /// Waits while instances boot and end.
    pub(super) async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        wait::until(what, || async {
            self.boots.join().await;
            self.boots.end().await;
            holds().await
        })
        .await;
    }

    /// What the consoles of those that were ended said last.
    pub(super) async fn last_words(&self) -> Vec<String> {
        let history = self.told("history").await;
        let is_end = |entry: &&Value| entry["what"] == "terminate" && entry["kind"] == "done";
        let words = history.iter().filter(is_end).filter_map(|entry| entry["detail"].as_str());
        words.filter(|words| !words.is_empty()).map(str::to_owned).collect()
    }

    pub(super) async fn work_ends(&self, name: &str) {
        self.pods().delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
    }

    /// Two workers, of which one is on its way out while a budget (`small`) keeps a pod there; that one's instance.
    pub(super) async fn drain_that_a_budget_holds(&self) -> String {
        self.create_pod("first").await;
        self.until("the pod to run", || async { self.bound().await == 1 }).await;
        let leaving = self.aws.machines().await.remove(0).id;
        let labels = json!({ "app": "small" });
        let small =
            json!({ "metadata": { "labels": labels }, "spec": pod("small", "300m")["spec"] });
        let spec = json!({ "selector": { "matchLabels": labels }, "template": small });
        let deployments: Api<Deployment> = Api::default_namespaced(self.client.clone());
        create(&deployments, json!({ "metadata": { "name": "small" }, "spec": spec })).await;
        self.until("a small one to run beside it", || async { self.bound().await == 2 }).await;
        self.create_pod("second").await;
        self.until("a second worker", || async { self.bound().await == 3 }).await;
        let spec = json!({ "selector": { "matchLabels": labels }, "maxUnavailable": 0 });
        let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(self.client.clone());
        create(&budgets, json!({ "metadata": { "name": "small" }, "spec": spec })).await;
        self.work_ends("first").await;
        self.until("a budget to hold the drain", || async {
            let workers = self.told("workers").await;
            workers
                .iter()
                .any(|one| one["blocked"].as_str().is_some_and(|by| by.contains("budget")))
        })
        .await;
        leaving
    }
}
