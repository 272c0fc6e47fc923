//! Drains on a real control plane whose kubelets kwok plays: how long they take, and how often they ask the API server.

use super::chain::run;
use super::results::Measure;
use super::support::control_plane::{AUDITED, SERVICE, Setting, create, is_running, pod};
use super::support::yard::Yard;
use anyhow::Context as _;
use bellwether::clock::Clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::time::Duration;

/// Workers that are empty, and go at once.
const EMPTY: i32 = 20;

/// How far ahead a provider tells that it takes a machine.
const NOTICE: Duration = Duration::from_mins(2);

pub(crate) fn drain() -> anyhow::Result<Vec<Measure>> {
    run(async {
        let mut measures = ten_pods().await?;
        measures.push(twenty_empty().await?);
        measures.push(notice().await?);
        Ok(measures)
    })
}

fn since(then: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(then).as_secs_f64()
}

/// Pods without grace that something would make again, on the one worker there is.
async fn run_pods(yard: &Yard, count: usize) {
    let pods = yard.plane.pods().await;
    for number in 0..count {
        let mut object = pod(&format!("pod-{number}"), "100m");
        object["spec"]["terminationGracePeriodSeconds"] = 0.into();
        object["metadata"]["annotations"] =
            json!({ "cluster-autoscaler.kubernetes.io/safe-to-evict": "true" });
        create::<Pod>(&pods, object).await;
    }
    yard.until("the pods to run", async || {
        let all = pods.list(&ListParams::default()).await;
        all.is_ok_and(|all| all.iter().filter(|pod| is_running(pod)).count() == count)
    })
    .await;
}

/// When the newest machine was ended.
fn ended_at(yard: &Yard) -> anyhow::Result<Timestamp> {
    let calls = yard.world.calls();
    let ended = calls.iter().rfind(|call| call.name() == "terminate");
    Ok(ended.context("nothing was ended")?.at)
}

/// From an operator's wish to the call that ends the machine, and what was asked of the API server until the node was gone.
async fn ten_pods() -> anyhow::Result<Vec<Measure>> {
    let setting = Setting { flags: AUDITED.into(), ..Setting::default() };
    let yard = Yard::start(&setting, "").await.context("a server is missing")?;
    yard.grow(1, 1).await;
    run_pods(&yard, 10).await;
    let first = yard.nodes().await.remove(0).metadata.name;
    yard.grow(1, 2).await;
    for node in yard.nodes().await.iter().filter(|node| node.metadata.name != first) {
        keep(&yard, node.metadata.name.as_deref().unwrap_or_default()).await?;
    }
    let before = [asked(&yard, false), asked(&yard, true)];
    let wished = Clock::system().now();
    yard.wish(-1).await;
    yard.until("the end of a machine", async || yard.ended() == 1).await;
    let took = since(wished, ended_at(&yard)?) * 1_000.0;
    yard.until("the end of its node", async || yard.nodes().await.len() == 1).await;
    let requests = asked(&yard, false) - before[0];
    let told = asked(&yard, true) - before[1];
    Ok(vec![
        Measure::new("drain.10_pods.ms", took, "ms"),
        Measure::new("drain.requests_per_node", requests, "requests"),
        Measure::new("drain.events_per_node", told, "requests"),
    ])
}

/// Keeps a worker, which is empty and would go first.
async fn keep(yard: &Yard, node: &str) -> anyhow::Result<()> {
    let kept = json!({ "metadata": { "annotations": { "bellwether.dev/keep": "true" } } });
    yard.plane.nodes().await.patch(node, &PatchParams::default(), &Patch::Merge(&kept)).await?;
    Ok(())
}

/// How often the program asked for something so far, watches and its lease aside: for Events, or for all else.
pub(super) fn asked(yard: &Yard, events: bool) -> f64 {
    let audit = yard.plane.audit();
    let lines = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let count = lines
        .filter(|event| event["user"]["username"] == SERVICE && event["verb"] != "watch")
        .filter(|event| {
            let kind = event["objectRef"]["resource"].as_str().unwrap_or_default();
            kind != "leases" && (kind == "events") == events
        })
        .count();
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// From an operator's wish until the last of their nodes is gone.
async fn twenty_empty() -> anyhow::Result<Measure> {
    let pool = "step: { down: 20, empty: 20 }";
    let yard = Yard::start(&Setting::default(), pool).await.context("a server is missing")?;
    yard.grow(EMPTY + 1, 21).await;
    let wished = Clock::system().now();
    yard.wish(-EMPTY).await;
    yard.until("the end of the nodes", async || yard.nodes().await.len() == 1).await;
    let took = since(wished, Clock::system().now());
    Ok(Measure::new("drain.parallel_20_empty.s", took, "s"))
}

/// From when the program hears of a notice until the machine is empty and ended. Here it is asked to look; a rule's alert would.
async fn notice() -> anyhow::Result<Measure> {
    let yard = Yard::start(&Setting::default(), "").await.context("a server is missing")?;
    yard.grow(1, 1).await;
    run_pods(&yard, 5).await;
    let machine = yard.world.machines().into_iter().next().context("no machine")?;
    let noticed = Clock::system().now();
    yard.world.notice(machine.id.as_str(), NOTICE)?;
    let look = format!("{}/v1/reconcile", yard.program.url);
    reqwest::Client::new().post(look).send().await?.error_for_status()?;
    yard.until("the end of the machine", async || yard.ended() == 1).await;
    Ok(Measure::new("notice.to_drained.s", since(noticed, ended_at(&yard)?), "s"))
}
