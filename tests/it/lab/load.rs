//! What no simulation can tell: pods that really work make real CPU rules fire, a worker comes for that, and when the work is over one
//! leaves without a job being dropped. `make demo-docker` tells it with its times.

use crate::support::alertmanager::{self, RunningAlertmanager};
use crate::support::control_plane::{ADMIN, ControlPlane, create};
use crate::support::heard::Heard;
use crate::support::lab::{CPU, Lab, Wanted, ground};
use crate::support::ports;
use crate::support::prometheus::{self, RunningPrometheus};
use bellwether::demo::render::faster;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Instant;

/// So many times as fast as the shipped rules go.
const FACTOR: u32 = 10;

/// Takes job after job, each a while of work, and tells when it is done. Asked to end it finishes the one that it has.
const WORK: &str = "trap 'leaving=1' TERM
n=0
while [ -z \"$leaving\" ]; do
  n=$((n+1))
  if tell job-$HOSTNAME-$n; then
    i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done
    tell done-$HOSTNAME-$n
  else
    sleep 0.2
  fi
done";

struct Story {
    lab: Lab,
    jobs: Heard,
    begun: Instant,
    _monitoring: (RunningPrometheus, RunningAlertmanager),
}

/// Kubelets as Kubernetes tells of them, scraped as `rules/docker/prometheus.yml` says.
fn prometheus_config(plane: &ControlPlane, port: u16, alertmanager: &str) -> String {
    let alertmanager = alertmanager.trim_start_matches("http://");
    json!({
        "global": { "scrape_interval": "1500ms", "scrape_timeout": "1s", "evaluation_interval": "1500ms" },
        "rule_files": ["*-rules.yaml"],
        "alerting": { "alertmanagers": [{ "static_configs": [{ "targets": [alertmanager] }] }] },
        "scrape_configs": [{
            "job_name": "nodes",
            "scheme": "https",
            "metrics_path": "/metrics/resource",
            "authorization": { "credentials": ADMIN },
            // Here kubelets sign their certificates themselves.
            "tls_config": { "insecure_skip_verify": true },
            "kubernetes_sd_configs": [{ "role": "node", "kubeconfig_file": plane.kubeconfig() }],
            "relabel_configs": [
                { "source_labels": ["__meta_kubernetes_node_name"], "target_label": "node" },
                { "source_labels": ["__meta_kubernetes_node_label_bellwether_dev_pool"], "target_label": "pool" },
            ],
        }, {
            "job_name": "bellwether",
            "scrape_interval": "500ms",
            "scrape_timeout": "500ms",
            "static_configs": [{ "targets": [format!("127.0.0.1:{port}")] }],
        }],
    })
    .to_string()
}

impl Story {
    async fn begin() -> Option<Self> {
        let (dockerd, plane) = ground().await?;
        let port = ports::free();
        let routes = alertmanager::faster_routes(port);
        let alertmanager =
            alertmanager::start_with("0.31", &routes, &["--cluster.listen-address="]).await?;
        let config = prometheus_config(&plane, port, &alertmanager.url);
        let rules = [
            ("health-rules.yaml", include_str!("../../../rules/docker/health.yaml")),
            ("up-rules.yaml", include_str!("../../../rules/scale-up.yaml")),
            ("down-rules.yaml", include_str!("../../../rules/scale-down.yaml")),
        ];
        let rules = rules.map(|(name, text)| (name, faster(text, FACTOR)));
        let rules = rules.each_ref().map(|(name, text)| (*name, text.as_str()));
        let at = ports::free();
        let prometheus = prometheus::start_at(at, "3.16", &config, &rules, &[]).await?;
        let wanted = Wanted {
            pool: "min: 1, max: 2",
            monitoring: [&alertmanager.url, &prometheus.url],
            port,
            ..Wanted::default()
        };
        let lab = Lab::start_on(dockerd, plane, &wanted).await;
        let jobs = Heard::start(&lab.dockerd.gateway).await;
        jobs.give(1);
        Some(Self { lab, jobs, begun: Instant::now(), _monitoring: (prometheus, alertmanager) })
    }

    #[expect(clippy::print_stdout, reason = "`make demo-docker` tells the story")]
    fn told(&self, what: &str) {
        println!("{:>7.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        self.lab.until(what, holds).await;
        self.told(what);
    }

    async fn deployments(&self) -> Api<Deployment> {
        Api::default_namespaced(self.lab.plane.client().await)
    }

    /// Pods that ask for little and use up to 0.8 of a core.
    async fn deploy(&self) {
        let script = format!("tell() {{ wget -q -O - {}$1; }}; {WORK}", self.jobs.url);
        let labels = json!({ "app": "work" });
        let container = json!({
            "name": "main",
            "image": "local/busybox:1",
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", script],
            "resources": { "requests": { "cpu": "200m" }, "limits": { "cpu": "800m" } },
        });
        let pod = json!({
            "terminationGracePeriodSeconds": 10,
            "automountServiceAccountToken": false,
            "containers": [container],
        });
        let template = json!({ "metadata": { "labels": labels }, "spec": pod });
        let spec =
            json!({ "replicas": 1, "selector": { "matchLabels": labels }, "template": template });
        let object = json!({ "metadata": { "name": "work" }, "spec": spec });
        create(&self.deployments().await, object).await;
    }

    async fn scale(&self, replicas: u32) {
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        self.deployments().await.patch("work", &PatchParams::default(), &patch).await.unwrap();
    }

    /// Nodes on which its pods run.
    async fn at_work(&self) -> BTreeSet<String> {
        let pods = self.lab.plane.pods().await.list(&ListParams::default()).await.unwrap();
        let runs = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
        };
        let nodes = pods.items.into_iter().filter(runs);
        nodes.filter_map(|pod| pod.spec.unwrap().node_name).collect()
    }

    /// Whether a decision of this kind was made for an alert of this name.
    async fn acted_on(&self, alert: &str, what: &str) -> bool {
        let signals = self.lab.told("signals").await;
        let named = signals.iter().filter(|one| one["signal"]["name"] == alert);
        let ids: Vec<&serde_json::Value> = named.map(|one| &one["signal"]["id"]).collect();
        let history = self.lab.told("history").await;
        history.iter().any(|entry| {
            let asked = entry["signals"].as_array().cloned().unwrap_or_default();
            entry["what"] == what && asked.iter().any(|id| ids.contains(&id))
        })
    }

    /// Jobs that were taken, and of these how many are not done.
    fn jobs(&self) -> (usize, usize) {
        let (taken, done) = (self.jobs.all("job-"), self.jobs.all("done-"));
        (taken.len(), taken.difference(&done).count())
    }
}

///
#[tokio::test(flavor = "multi_thread")]
async fn work_brings_a_worker_and_its_end_takes_one_away_with_no_job_dropped() {
    let _cpu = CPU.acquire().await.unwrap();
    let Some(mut story) = Story::begin().await else { return };
    story
        .until("the first worker is Ready, for there is to be one at least", async || {
            story.lab.are_ready(1).await
        })
        .await;
    story.deploy().await;
    story.until("a pod is at work", async || story.at_work().await.len() == 1).await;
    story
        .until("CPU above 70 % has brought a second container, and it is Ready", async || {
            story.lab.are_ready(2).await
        })
        .await;
    assert!(story.acted_on("CPUHigh", "launch").await, "{:#?}", story.lab.told("history").await);
    story.scale(2).await;
    story.until("the next pod works there", async || story.at_work().await.len() == 2).await;
    let (taken, _) = story.jobs();
    assert!(taken > 50, "{taken}");
    // Little is left to do, and some of it always.
    story.jobs.give(10);
    story.told("little is left to do");
    story
        .until("ten minutes of quiet later (here one) a worker is being emptied", async || {
            let workers = story.lab.workers().await;
            workers.iter().any(|one| {
                ["cordoned", "draining"].contains(&one["state"]["state"].as_str().unwrap())
            })
        })
        .await;
    story.lab.program.kill();
    story.told("Bellwether is killed");
    story.lab.program.restart().await;
    story
        .until("one container is left, and nothing of the other", async || {
            let volumes = story.lab.dockerd.says(&["volume", "ls", "--quiet"]).await;
            story.lab.containers().await.len() == 1 && volumes.len() == 2
        })
        .await;
    story
        .until("its node is gone, and both pods are at work on the other", async || {
            let replicas = story.deployments().await.get("work").await.unwrap().status.unwrap();
            story.lab.nodes().await.len() == 1 && replicas.ready_replicas == Some(2)
        })
        .await;
    assert!(
        story.acted_on("SustainedIdle", "drain").await,
        "{:#?}",
        story.lab.told("history").await
    );
    story.scale(0).await;
    story
        .until("the work is over, and no job was dropped", async || {
            story.at_work().await.is_empty() && story.jobs().1 == 0
        })
        .await;
    story.told(&format!("{} jobs, each done", story.jobs().0));
}
