//! A program that runs in the cluster: who it is, it reads off the files that every pod has, and where the API server is off its
//! environment.

use crate::support::control_plane::{self, ControlPlane, FakeNode, Setting, create};
use crate::support::process::{Process, Start};
use crate::support::{ports, wait};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Where kubelets put them.
const FILES: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A configuration that names no cluster but the one it runs in, and the program's address.
fn config(folder: &Path) -> (PathBuf, String) {
    let address = format!("127.0.0.1:{}", ports::free());
    let text = json!({
        "listen": address,
        "store": { "url": "memory:" },
        "alertmanager": { "urls": ["http://127.0.0.1:9"] },
        "prometheus": { "urls": ["http://127.0.0.1:9"] },
        "clusters": { "default": {
            "kubernetes": { "in_cluster": true },
            "pools": { "workers": { "provider": { "sim": {} }, "max": 1 } },
        } },
    });
    let file = folder.join("bellwether.yaml");
    std::fs::write(&file, text.to_string()).unwrap();
    (file, format!("http://{address}"))
}

/// What a kubelet does for a pod of our service account, as a shell does it with mounts of its own.
async fn inside(plane: &ControlPlane, folder: &Path) -> String {
    let kubeconfig = std::fs::read_to_string(plane.service().await).unwrap();
    let kubeconfig: Value = serde_json::from_str(&kubeconfig).unwrap();
    let token = kubeconfig["users"][0]["user"]["token"].as_str().unwrap();
    std::fs::write(folder.join("token"), token).unwrap();
    std::fs::write(folder.join("namespace"), "bellwether").unwrap();
    std::fs::copy(plane.ca_file(), folder.join("ca.crt")).unwrap();
    let url = plane.url();
    let (host, port) = url.trim_start_matches("https://").rsplit_once(':').unwrap();
    format!(
        "mount -t tmpfs tmpfs /var/run/
mkdir -p {FILES}
cp {folder}/token {folder}/namespace {folder}/ca.crt {FILES}/
export KUBERNETES_SERVICE_HOST={host} KUBERNETES_SERVICE_PORT={port}",
        folder = folder.display(),
    )
}

#[tokio::test]
async fn in_a_pod_the_cluster_is_found_by_the_files_and_the_environment_that_every_pod_has() {
    if !Process::may_have_own_mounts() {
        return;
    }
    let Some(plane) = control_plane::start_with(&Setting::bare()).await else { return };
    create(&plane.nodes().await, FakeNode::default().json()).await;
    let folder = tempfile::tempdir().unwrap();
    let (file, url) = config(folder.path());
    let before = inside(&plane, folder.path()).await;
    let start = Start { before: &before, own_mounts: true, ..Start::default() };
    let process = Process::start(&file, &url, start).await;
    let in_time = wait::comes_true(wait::LIMIT, || async {
        let nodes = reqwest::get(format!("{url}/v1/nodes")).await.unwrap().text().await.unwrap();
        nodes.contains("\"one\"")
    });
    assert!(in_time.await, "its node is not seen:\n{}", process.log());
}

#[tokio::test]
async fn outside_of_a_pod_it_is_said_what_is_missing_and_what_to_set() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = config(folder.path());
    let before = "unset KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT";
    let mut process = Process::spawn(&file, Start { before, ..Start::default() });
    assert!(!process.ended().await.success());
    let log = process.log();
    assert!(log.contains("in_cluster: ") && log.contains("set `kubeconfig`"), "{log}");
}
