//! Several real clusters in one process (F-036): each for itself, whatever happens to another.

use crate::support::control_plane::{
    self, ADMIN, ControlPlane, FakeNode, Part, Setting, create, pod, write_kubeconfig,
};
use crate::support::process::{Process, Start};
use crate::support::{ports, wait};
use bellwether::clock::Clock;
use bellwether::config::SimConfig;
use bellwether::sim::World;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const NAMES: [&str; 2] = ["first", "second"];

/// One process, and two control planes whose machines are simulated, each in a file of its own.
struct Scene {
    planes: [ControlPlane; 2],
    worlds: [World; 2],
    url: String,
    _process: Process,
    _folder: tempfile::TempDir,
}

fn state(folder: &Path, cluster: &str) -> PathBuf {
    folder.join(format!("world-{cluster}"))
}

fn config(folder: &Path, address: &str, kubeconfig: &Path) -> Value {
    let cluster = |name: &str| {
        let shape = json!({ "name": "four", "cpu": 4, "memory": "16Gi", "price_per_hour": 0.04 });
        let sim = json!({ "boot": "10ms", "state": state(folder, name), "shapes": [shape] });
        let up = json!({ "up": "0s", "down": "0s" });
        json!({
            "kubernetes": { "kubeconfig": kubeconfig, "context": name, "sim": sim },
            "timing": { "view_max_age": "6s" },
            "pools": { "workers": { "provider": { "sim": {} }, "max": 9, "min_age": "0s", "cooldown": up } },
        })
    };
    let clusters: Value = NAMES
        .iter()
        .map(|name| ((*name).to_owned(), cluster(name)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({
        "listen": address,
        "store": { "url": format!("file:{}", folder.join("store").display()) },
        "alertmanager": { "urls": ["http://127.0.0.1:9"] },
        "prometheus": { "urls": ["http://127.0.0.1:9"] },
        "reconcile": { "interval": "1s" },
        "clusters": clusters,
    })
}

impl Scene {
    async fn start() -> Option<Self> {
        let planes = control_plane::start_two(&Setting::bare()).await?;
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let [first, second] = &planes;
        write_kubeconfig(&kubeconfig, &[(NAMES[0], first, ADMIN), (NAMES[1], second, ADMIN)]);
        let address = format!("127.0.0.1:{}", ports::free());
        let file = folder.path().join("bellwether.yaml");
        let config = config(folder.path(), &address, &kubeconfig);
        std::fs::write(&file, config.to_string()).unwrap();
        let url = format!("http://{address}");
        let process = Process::start(&file, &url, Start::default()).await;
        let worlds = NAMES.map(|name| {
            let sim = SimConfig { state: Some(state(folder.path(), name)), ..SimConfig::default() };
            World::new(&sim, Clock::system()).unwrap()
        });
        Some(Self { planes, worlds, url, _process: process, _folder: folder })
    }

    /// A pod that no scheduler will judge, and that has no place.
    async fn waits(&self, cluster: usize, name: &str) {
        create::<Pod>(&self.planes[cluster].pods().await, pod(name, "3")).await;
    }

    fn launched(&self) -> [usize; 2] {
        [0, 1].map(|of| {
            let calls = self.worlds[of].calls();
            calls.iter().filter(|call| call.name() == "launch").map(|call| call.new).sum()
        })
    }

    async fn told(&self, cluster: usize, what: &str) -> Value {
        let answer = reqwest::get(format!("{}/v1/{what}", self.url)).await.unwrap();
        let mut told: Value = answer.json().await.unwrap();
        told["clusters"][NAMES[cluster]][what].take()
    }

    /// A machine that was launched joins, under a name of the test's choice.
    async fn joins(&self, cluster: usize, name: &str) {
        let machines = self.worlds[cluster].machines();
        let worker = machines[0].worker.as_ref().unwrap().as_str();
        let labels = [("bellwether.dev/worker", worker), ("bellwether.dev/pool", "workers")];
        let mut node = FakeNode { name, labels: &labels, ..FakeNode::default() }.json();
        node["status"]["conditions"] = json!([{ "type": "Ready", "status": "True" }]);
        create::<Node>(&self.planes[cluster].nodes().await, node).await;
        wait::until("a Ready worker", || async {
            self.told(cluster, "workers").await[0]["state"]["state"] == "ready"
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_real_clusters_in_one_process_are_each_for_itself_and_one_goes_on_without_the_other() {
    let Some(mut scene) = Scene::start().await else { return };
    scene.waits(0, "web").await;
    wait::until("a launch for it", || async { scene.launched() == [1, 0] }).await;
    assert_eq!(scene.told(1, "workers").await, json!([]));
    // Both have a node of the same name, which says nothing of the other.
    scene.waits(1, "web").await;
    wait::until("one for the other's", || async { scene.launched() == [1, 1] }).await;
    for cluster in [0, 1] {
        scene.joins(cluster, "same").await;
        let leases: Api<Lease> =
            Api::namespaced(scene.planes[cluster].client().await, "kube-system");
        assert!(leases.get_opt("bellwether").await.unwrap().is_some(), "each has its own");
    }
    scene.planes[1].kill(Part::ApiServer);
    wait::until("the other to be known no more", || async {
        let told = scene.told(1, "decisions").await.to_string();
        told.contains("stale") || told.contains("unknown")
    })
    .await;
    scene.waits(0, "more").await;
    wait::until("a launch without the other", || async { scene.launched() == [2, 1] }).await;
    assert!(!scene.told(0, "decisions").await.to_string().contains("stale"));
    let pods = scene.planes[0].pods().await;
    pods.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    scene.planes[1].restart(Part::ApiServer).await;
    scene.waits(1, "more").await;
    wait::until("a launch for the one that is back", || async { scene.launched() == [2, 2] }).await;
}
