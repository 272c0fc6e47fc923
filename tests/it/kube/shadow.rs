//! In a dry run, as beside another autoscaler, nothing is touched: by the API server's own record of who asked it for what.

use crate::support::control_plane::{self, AUDITED, ControlPlane, SERVICE, Setting, create, pod};
use crate::support::ports;
use crate::support::server::{Ready, Server};
use crate::support::wait;
use bellwether::clock::Clock;
use bellwether::config::SimConfig;
use bellwether::sim::World;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Verbs that change nothing.
const LOOKS: [&str; 3] = ["get", "list", "watch"];

/// What the program asked the API server for, so far.
fn asked(plane: &ControlPlane) -> BTreeSet<String> {
    let audit = plane.audit();
    let events = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = events.filter(|event| event["user"]["username"] == SERVICE);
    // By which the test waited for its rights.
    let asked = ours.filter(|event| event["objectRef"]["resource"] != "selfsubjectaccessreviews");
    asked.map(|event| event["verb"].as_str().unwrap().to_owned()).collect()
}

/// The program, with less than the least of workers.
async fn run(kubeconfig: &Path, folder: &Path, mode: &str) -> Server {
    let port = ports::free();
    let config = format!(
        "listen: 127.0.0.1:{port}
store: {{ url: \"memory:\" }}
alertmanager: {{ urls: [\"http://127.0.0.1:9\"] }}
prometheus: {{ urls: [\"http://127.0.0.1:9\"] }}
clusters:
  default:
    mode: {mode}
    kubernetes: {{ kubeconfig: {kubeconfig}, sim: {{ state: {state} }} }}
    pools: {{ workers: {{ provider: {{ sim: {{}} }}, min: 2, max: 4 }} }}
",
        kubeconfig = kubeconfig.display(),
        state = folder.join("world").display(),
    );
    let file = folder.join(format!("{mode}.yaml"));
    std::fs::write(&file, config).unwrap();
    let words = ["run", "--config", file.to_str().unwrap()].map(str::to_owned);
    let ready = Ready { path: "/healthz", client: reqwest::Client::new() };
    let site = (format!("http://127.0.0.1:{port}"), ready);
    let program = env!("CARGO_BIN_EXE_bellwether").into();
    Server::start_at(program, words.into(), tempfile::tempdir().unwrap(), site).await
}

/// What it decided for its pool last.
async fn decision(program: &Server) -> Value {
    let answer = reqwest::get(format!("{}/v1/decisions", program.url)).await.unwrap();
    answer.json::<Value>().await.unwrap()["clusters"]["default"]["decisions"][0].take()
}

/// What `bellwether plan` prints.
fn planned(program: &Server) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(["plan", "--url", &program.url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_and_asks_the_apiserver_to_change_nothing() {
    let Some(plane) =
        control_plane::start_with(&Setting { flags: AUDITED.into(), ..Setting::bare() }).await
    else {
        return;
    };
    let kubeconfig = plane.service().await;
    create::<Pod>(&plane.pods().await, pod("waits", "1")).await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("world");
    let dry = run(&kubeconfig, folder.path(), "dry_run").await;
    wait::until("what it would do", || async {
        let told = decision(&dry).await;
        told["dry_run"] == true && told["reason"]["code"] == "below_min"
    })
    .await;
    // Passes of later see nothing else.
    let passes = async || {
        let text =
            reqwest::get(format!("{}/metrics", dry.url)).await.unwrap().text().await.unwrap();
        let counted = text.lines().filter(|line| line.starts_with("bellwether_passes_total"));
        counted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
    };
    let before = passes().await;
    for number in 0..3 {
        create::<Pod>(&plane.pods().await, pod(&format!("waits-{number}"), "1")).await;
    }
    wait::until("more passes", || async { passes().await > before }).await;
    let told = planned(&dry);
    assert!(told.contains("launch 2 × ") || told.contains("launch 1 × "), "{told}");
    assert!(told.contains("dry run: not done") && told.contains("of at least 2 workers"), "{told}");
    let verbs = asked(&plane);
    assert!(LOOKS[1..].iter().all(|verb| verbs.contains(*verb)), "{verbs:?}");
    assert!(verbs.iter().all(|verb| LOOKS.contains(&verb.as_str())), "{verbs:?}");
    let sim = SimConfig { state: Some(state), ..SimConfig::default() };
    let world = World::new(&sim, Clock::system()).unwrap();
    assert!(world.machines().is_empty() && world.calls().is_empty());
    drop(dry);

    // The record would show it: who acts takes the lease.
    let _acts = run(&kubeconfig, folder.path(), "act").await;
    wait::until("machines", || async { world.machines().len() == 2 }).await;
    wait::until("the lease on record", || async { asked(&plane).contains("create") }).await;
}
