//! Machines by a program of somebody's own, the worked example of the docs: they are switched on, join a real control plane, run a pod,
//! are emptied, and are switched off.

use super::run;
use crate::support::control_plane::{ADMIN, ControlPlane, is_running, until};
use crate::support::dockerd::{Dockerd, RIGHTS, UNCONFINED, VOLUMES};
use crate::support::lab::{Lab, Wanted, ground};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/wake-on-lan");
const MACHINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/lab/machine");

/// A pool whose machines are three containers of this Docker, made and removed by commands of the example's options.
fn rack(folder: &Path, dockerd: &Dockerd, plane: &ControlPlane) -> Value {
    let mut words = String::new();
    for right in RIGHTS {
        let _ = write!(words, "--cap-add={right} ");
    }
    for option in UNCONFINED {
        let _ = write!(words, "--security-opt={option} ");
    }
    let binds = dockerd.binds(&plane.ca_file());
    for volume in VOLUMES.iter().copied().chain(binds.iter().map(String::as_str)) {
        let _ = write!(words, "--volume={volume} ");
    }
    let (client, url, server) = (dockerd.client().display(), dockerd.url(), plane.url());
    let told = format!(
        "docker='{client} --host {url}'\nwords='{words}'\njoins='K3S_URL={server} K3S_TOKEN={ADMIN}'\n"
    );
    let file = folder.join("rack");
    std::fs::write(&file, told).unwrap();
    let machine =
        |number: u32| json!({ "name": format!("n{number}"), "shape": "box", "zone": "rack" });
    let machines: Vec<Value> = (1..=3).map(machine).collect();
    let shapes = json!([{ "name": "box", "cpu": 1, "memory": "2Gi" }]);
    let inventory = folder.join("inventory.json");
    std::fs::write(&inventory, json!({ "machines": machines, "shapes": shapes }).to_string())
        .unwrap();
    let command = |words: &str| format!("{MACHINE} {} {words}", file.display());
    let options = json!({
        "inventory": inventory,
        "wake": command("wake {name}"),
        "join": command("join {name} {worker} {labels} {taints}"),
        "sleep": command("sleep {name}"),
        "is_up": command("is_up {name}"),
    });
    json!({ "exec": { "program": EXAMPLE, "options": options } })
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_of_the_worked_example_join_run_pods_and_are_switched_off_though_we_are_killed() {
    let Some((dockerd, plane)) = ground().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let provider = Some(rack(folder.path(), &dockerd, &plane));
    let wanted = Wanted { provider, ..Wanted::default() };
    let mut lab = Lab::start_on(dockerd, plane, &wanted).await;
    // Killed once the program has answered, and nothing of that is stored yet.
    lab.program.kill();
    lab.program.restart_once_with(&["--die-at", "launch_answered"]).await;
    lab.wish(2).await;
    lab.until("the program to die", async || lab.program.has_ended()).await;
    assert_eq!(lab.containers().await.len(), 2);
    lab.program.restart().await;
    lab.until("both workers to be Ready", async || lab.are_ready(2).await).await;
    assert_eq!(lab.containers().await.len(), 2, "nothing was switched on twice");
    let pods = lab.plane.pods().await;
    run(&lab, "works", "trap 'exit 0' TERM; while :; do sleep 0.1; done", "100m").await;
    until(&pods, "works", "the pod to run", is_running).await;
    lab.program.kill();
    lab.program.restart_once_with(&["--die-at", "terminate_answered"]).await;
    lab.wish(-1).await;
    lab.until("the program to die again", async || lab.program.has_ended()).await;
    lab.program.restart().await;
    lab.until("one to be left", async || {
        lab.are_ready(1).await && lab.containers().await.len() == 1 && lab.nodes().await.len() == 1
    })
    .await;
    until(&pods, "works", "the pod to run on", is_running).await;
    pods.delete("works", &kube::api::DeleteParams::default()).await.unwrap();
    lab.wish(-1).await;
    lab.until("all to be gone", async || {
        lab.workers().await.is_empty() && lab.nodes().await.is_empty() && lab.is_clean().await
    })
    .await;
}
