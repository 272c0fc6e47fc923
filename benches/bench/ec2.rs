//! EC2 as a provider: how soon a decision is on the wire, what a list costs, and how often AWS is asked.
//!
//! Times and memory are measured on an API of ours (`Api`), which answers at once with what was made ready before: an AWS that is
//! played would be slower than what is measured. How often it is asked for many workers is counted before moto. While nothing
//! happens it is watched for ten minutes: `IDLE_SECONDS` chooses.

#[path = "ec2/api.rs"]
mod api;
#[expect(dead_code, clippy::unwrap_used, reason = "the tests use the rest")]
#[path = "../../tests/it/ec2/stage.rs"]
mod stage;

use super::chain::run;
use super::results::{Measure, median};
use super::support::aws::Lifecycle;
use super::support::control_plane::{self, FakeNode, create};
use super::support::server::{Ready, Server};
use super::support::{ports, wait};
use anyhow::Context as _;
use api::{Api, id};
use bellwether::config::{Ec2Config, Secret, Source};
use bellwether::model::{LaunchRequest, Market, Offering, Order, POOL_LABEL, ZONE_LABEL};
use bellwether::provider::{Ec2, Keys, Provider as _};
use k8s_openapi::api::core::v1::{Namespace, Node};
use serde_json::Value;
use stage::{Stage, machines_of};
use std::path::Path;
use std::time::{Duration, Instant};

/// Launches of which each is timed: no more than an account may ask for at once, for beyond that they are held back.
const LAUNCHES: usize = 50;

/// Instances of a long list, and how many a page holds: EC2's most.
const LISTED: usize = 2_000;
const PAGE: usize = 1_000;

/// How often it is listed, after a first time.
const LISTS: usize = 20;

/// How long an idle program is left alone before it is watched, and for how long it is.
const SETTLED: Duration = Duration::from_secs(10);
const WATCHED: Duration = Duration::from_mins(10);

/// Workers of an idle pool.
const IDLE: usize = 20;

/// The pool, and where its launch template is from.
const POOL: &str = "workers";
const TEMPLATE: &str = "k3s-worker";
const REGION: &str = "us-east-1";

/// What is sold, in each zone.
const SHAPES: [&str; 2] = ["t3.small", "t3a.small"];

/// Subnets and their zones.
const SUBNETS: [(&str, &str); 3] =
    [("subnet-0a", "us-east-1a"), ("subnet-0b", "us-east-1b"), ("subnet-0c", "us-east-1c")];

/// The look that each list is made of.
const LOOK: &str = "DescribeInstances";

/// What buys machines.
const ACT: &str = "CreateFleet";

// === free functions: the groups ===

/// `ec2.decision_to_wire`, at most 20 ms: from the call of `launch`, what can be bought being known, to the first byte of the request
/// that buys. The look for machines of the same batch lies in between.
pub(crate) fn decision_to_wire() -> anyhow::Result<Vec<Measure>> {
    run(async {
        let api = Api::open(0).await?;
        let ec2 = ec2(&api.url);
        let shapes = ec2.shapes(&POOL.into()).await?;
        let fallback: Vec<Offering> =
            shapes.into_iter().flat_map(|shape| shape.offerings).collect();
        let mut times = Vec::new();
        for number in 0..LAUNCHES {
            times.push(launch(&api, &ec2, &request(number, &fallback)).await?);
        }
        times.sort_by(f64::total_cmp);
        Ok(vec![
            Measure::new("ec2.decision_to_wire.ms", times[times.len() / 2], "ms"),
            Measure::new("ec2.decision_to_wire.p99_ms", times[times.len() * 99 / 100], "ms"),
        ])
    })
}

/// `ec2.list_2000`: the median of whole lists, at most 1,500 ms, and the most by which memory grows after the first, at most 30 MB.
pub(crate) fn list() -> anyhow::Result<Vec<Measure>> {
    run(async {
        let api = Api::open(LISTED).await?;
        let ec2 = ec2(&api.url);
        list_whole(&api, &ec2).await?;
        let first = resident_mb()?;
        let (mut times, mut most) = (Vec::new(), first);
        for _ in 0..LISTS {
            times.push(list_whole(&api, &ec2).await?);
            most = most.max(resident_mb()?);
        }
        Ok(vec![
            Measure::new("ec2.list_2000.ms", median(times), "ms"),
            Measure::new("ec2.list_2000.rss_mb", most - first, "MB"),
        ])
    })
}

/// `ec2.100_workers.calls`, at most 10: one launch of three shapes in three zones, half of which are sold out.
pub(crate) fn hundred_workers() -> anyhow::Result<Vec<Measure>> {
    run(async {
        let stage = Stage::of(&["t3.small", "t3a.small", "t2.small"]).await;
        let stage = stage.context("moto is missing")?;
        let request = stage.many(100).await;
        sell_half(&stage);
        stage.aws.forget_calls();
        let launched = stage.ec2.launch(&request).await?;
        let calls = u32::try_from(stage.aws.calls().len())?;
        let (had, failed) = (launched.instances.len(), launched.failed.len());
        let made = machines_of(&stage.aws, request.batch.as_str()).await.len();
        let is_placed = (had, failed, made) == (100, 0, 100);
        anyhow::ensure!(is_placed, "{had} had one, {failed} failed, {made} were made");
        Ok(vec![Measure::new("ec2.100_workers.calls", f64::from(calls), "calls")])
    })
}

/// `ec2.idle.calls_per_min`, at most 6: the real program on a real control plane, with a pool of workers that nobody wants anything of.
pub(crate) fn idle() -> anyhow::Result<Vec<Measure>> {
    run(async {
        let plane = control_plane::start().await.context("a control plane is missing")?;
        let client = plane.client().await;
        let api = Api::open_of(IDLE, &uid(&client).await?).await?;
        join(&client).await;
        let program = program(&api.url, &plane.service().await).await?;
        wait::until("its workers to be Ready", || async {
            ready(&program).await.is_ok_and(|ready| ready == IDLE)
        })
        .await;
        tokio::time::sleep(SETTLED).await;
        api.calls().clear();
        let begun = Instant::now();
        tokio::time::sleep(watched()).await;
        let calls = u32::try_from(api.calls().len())?;
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        // One that has ended asks for nothing, and one that has lost its workers for less.
        let ready = ready(&program).await?;
        anyhow::ensure!(ready == IDLE, "{ready} workers are left");
        Ok(vec![Measure::new("ec2.idle.calls_per_min", f64::from(calls) / minutes, "calls")])
    })
}

// === free functions ===

/// Whose the machines of an idle pool are.
async fn uid(client: &kube::Client) -> anyhow::Result<String> {
    let system = kube::Api::<Namespace>::all(client.clone()).get("kube-system").await?;
    system.metadata.uid.context("the cluster has no UID")
}

/// Nodes of all that the API lists, as they say of themselves on AWS.
async fn join(client: &kube::Client) {
    let nodes: kube::Api<Node> = kube::Api::all(client.clone());
    for number in 0..IDLE {
        let (shape, zone) = (SHAPES[0], SUBNETS[0].1);
        let labels =
            [(POOL_LABEL, POOL), (ZONE_LABEL, zone), ("node.kubernetes.io/instance-type", shape)];
        let (name, provider_id) = (format!("ip-{number}"), format!("aws:///{zone}/{}", id(number)));
        let node = FakeNode {
            name: &name,
            labels: &labels,
            provider_id: Some(&provider_id),
            cpu: "2",
            memory: "2Gi",
            ..FakeNode::default()
        };
        create(&nodes, node.json()).await;
    }
}

/// How many workers are Ready.
async fn ready(program: &Server) -> anyhow::Result<usize> {
    let told: Value = reqwest::get(format!("{}/v1/workers", program.url)).await?.json().await?;
    let workers = told["clusters"]["default"]["workers"].as_array().context("no workers")?;
    Ok(workers.iter().filter(|worker| worker["state"]["state"] == "ready").count())
}

/// How long an idle program is watched.
#[expect(clippy::disallowed_methods, reason = "a bench has no configuration of its own")]
fn watched() -> Duration {
    let told = std::env::var("IDLE_SECONDS").ok();
    let seconds: Option<u64> = told.and_then(|text| text.parse().ok());
    seconds.filter(|seconds| *seconds > 0).map_or(WATCHED, Duration::from_secs)
}

/// Whoever asks an API of ours.
fn ec2(endpoint: &str) -> Ec2 {
    let source = Source::Template { template: TEMPLATE.to_owned(), version: "$Default".to_owned() };
    let config = Ec2Config {
        region: Some(REGION.to_owned()),
        endpoint: Some(endpoint.to_owned()),
        assume_role: None,
        source,
        shapes: SHAPES.map(str::to_owned).into(),
        subnets: SUBNETS.map(|(id, _)| id.to_owned()).into(),
        spot: 70,
        tags: [("team".to_owned(), "shop".to_owned())].into(),
        memory_overhead: 7,
        max_pods: 110,
        parameters: Vec::new(),
    };
    let keys = Keys { id: "testing".to_owned(), secret: Secret::new("testing") };
    Ec2::asked_as("default".into(), config, Some(keys))
}

/// A batch of one worker, of what our fleet is answered with.
fn request(number: usize, fallback: &[Offering]) -> LaunchRequest {
    let (batch, worker) = (format!("{POOL}-{number}"), format!("{POOL}-{number}-1"));
    let offering = Offering {
        shape: SHAPES[0].into(),
        zone: SUBNETS[0].1.into(),
        market: Market::OnDemand,
        price: None,
    };
    LaunchRequest {
        cluster: "default".into(),
        cluster_uid: "uid-1".into(),
        pool: POOL.into(),
        batch: batch.as_str().into(),
        token: None,
        orders: vec![Order { worker: worker.as_str().into(), offering }],
        fallback: fallback.to_vec(),
        labels: [("tier".to_owned(), "web".to_owned())].into(),
        taints: Vec::new(),
    }
}

/// Milliseconds from the call of `launch` until the API hears of it.
async fn launch(api: &Api, ec2: &Ec2, request: &LaunchRequest) -> anyhow::Result<f64> {
    api.calls().clear();
    let decided = Instant::now();
    let launched = ec2.launch(request).await?;
    anyhow::ensure!(launched.instances.len() == 1, "it had none: {launched:?}");
    let calls = api.calls();
    match &calls[..] {
        [looked, bought] if (&*looked.action, &*bought.action) == (LOOK, ACT) => {
            Ok(bought.came.duration_since(decided).as_secs_f64() * 1_000.0)
        }
        other => anyhow::bail!("other calls than for one fleet: {other:?}"),
    }
}

/// Milliseconds that a list takes. What it holds is let go of.
async fn list_whole(api: &Api, ec2: &Ec2) -> anyhow::Result<f64> {
    api.calls().clear();
    let begun = Instant::now();
    let listed = ec2.list(&POOL.into()).await?;
    let took = begun.elapsed();
    let pages = api.calls().iter().filter(|call| call.action == LOOK).count();
    let count = listed.len();
    let whole = (LISTED, LISTED.div_ceil(PAGE));
    anyhow::ensure!((count, pages) == whole, "{count} instances on {pages} pages");
    Ok(took.as_secs_f64() * 1_000.0)
}

/// What this process holds in memory.
fn resident_mb() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let told = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let told = told.context("the kernel does not say what memory is held")?;
    Ok(told.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// Half of the nine offerings are sold out as spot, and all of these but one on demand, too.
fn sell_half(stage: &Stage) {
    let offered = stage.offered().into_iter().enumerate();
    for (at, (shape, zone)) in offered.filter(|(at, _)| at % 2 == 0) {
        let code = "InsufficientInstanceCapacity";
        stage.aws.sells_nothing(&shape, &zone, Lifecycle::Spot, code);
        if at != 0 {
            stage.aws.sells_nothing(&shape, &zone, Lifecycle::OnDemand, code);
        }
    }
}

/// The real program. Whose calls it makes, its environment says.
async fn program(endpoint: &str, kubeconfig: &Path) -> anyhow::Result<Server> {
    let (folder, port) = (tempfile::tempdir()?, ports::free());
    let file = folder.path().join("bellwether.yaml");
    std::fs::write(&file, config(port, endpoint, kubeconfig))?;
    let words = [
        "AWS_ACCESS_KEY_ID=testing",
        "AWS_SECRET_ACCESS_KEY=testing",
        env!("CARGO_BIN_EXE_bellwether"),
        "run",
        "--config",
        file.to_str().context("a folder whose name is no text")?,
    ];
    let words = words.map(str::to_owned).into();
    let ready = Ready { path: "/healthz", client: reqwest::Client::new() };
    let site = (format!("http://127.0.0.1:{port}"), ready);
    Ok(Server::start_at("/usr/bin/env".into(), words, folder, site).await)
}

/// Its configuration: all is as usual.
fn config(port: u16, endpoint: &str, kubeconfig: &Path) -> String {
    format!(
        "listen: 127.0.0.1:{port}
store: {{ url: 'memory:' }}
log: {{ level: error }}
alertmanager: {{ urls: [http://127.0.0.1:9] }}
prometheus: {{ urls: [http://127.0.0.1:9] }}
clusters:
  default:
    kubernetes: {{ kubeconfig: {kubeconfig} }}
    pools:
      {POOL}:
        provider:
          ec2:
            launch_template: {TEMPLATE}
            shapes: [{shapes}]
            subnets: [{subnets}]
            region: {REGION}
            endpoint: {endpoint}
        min: 0
        max: 30
",
        kubeconfig = kubeconfig.display(),
        shapes = SHAPES.join(", "),
        subnets = SUBNETS.map(|(id, _)| id).join(", "),
    )
}
