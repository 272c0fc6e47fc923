//! EC2 as a provider: how soon a decision is on the wire, what a list costs, and how often AWS is asked.
//!
//! Times and memory are measured on an API of ours (`Api`), which answers at once with what was made ready before: an AWS that is
//! played would be slower than what is measured. How often it is asked for many workers is counted before moto. While nothing
//! happens it is watched for ten minutes: `IDLE_SECONDS` chooses.

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
use bellwether::config::{Ec2Config, Secret, Source};
use bellwether::model::{LaunchRequest, Market, Offering, Order, POOL_LABEL, ZONE_LABEL};
use bellwether::provider::{Ec2, Keys, Provider as _};
use bytes::Bytes;
use k8s_openapi::api::core::v1::{Namespace, Node};
use serde_json::Value;
use stage::{Stage, machines_of};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

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

/// What a request may take without its buffer being made larger.
const ROOM: usize = 16 << 10;

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

/// EC2's API, as far as it is asked here. It ends when dropped.
struct Api {
    url: String,
    scene: Arc<Scene>,
    _serving: JoinSet<()>,
}

/// What was made ready, and what was asked.
struct Scene {
    /// Whole answers, by action.
    answers: BTreeMap<&'static str, Bytes>,
    /// The pages of the one list of instances.
    pages: Vec<Bytes>,
    calls: Mutex<Vec<Call>>,
}

/// A call as it came in.
#[derive(Clone, Debug)]
struct Call {
    action: String,
    /// When its first byte came.
    came: Instant,
}

// === impl Api ===

impl Api {
    /// Opens one with so many instances on a free port.
    async fn open(instances: usize) -> anyhow::Result<Self> {
        Self::open_of(instances, "7d1f3a52-8c1e-4b0e-9a57-3f6c2b1d0e4a").await
    }

    /// The same, of instances of the cluster that has this UID.
    async fn open_of(instances: usize, uid: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let scene = Arc::new(Scene::new(instances, uid));
        let (mut serving, served) = (JoinSet::new(), scene.clone());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, served.clone()));
            }
        });
        Ok(Self { url, scene, _serving: serving })
    }

    /// Every call that came in and was not forgotten, in order.
    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.scene.calls()
    }
}

// === impl Scene ===

impl Scene {
    /// Makes all answers ready.
    fn new(instances: usize, uid: &str) -> Self {
        let answers = [
            answer("DescribeInstanceTypes", &types()),
            answer("DescribeInstanceTypeOfferings", &offerings()),
            answer("DescribeSubnets", &subnets()),
            answer("DescribeInstanceStatus", &set("instanceStatusSet", std::iter::empty())),
            answer(ACT, &fleet()),
        ];
        Self { answers: answers.into(), pages: pages(instances, uid), calls: Mutex::default() }
    }

    /// See [`Api::calls`].
    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call, and what it is answered with; nothing where that was not made ready.
    fn answer(&self, came: Instant, form: &str) -> Option<Bytes> {
        let action = word(form, "Action")?;
        self.calls().push(Call { action: action.to_owned(), came });
        if action != LOOK {
            return self.answers.get(action).cloned();
        }
        let page: usize = word(form, "NextToken").map_or(Some(0), |token| token.parse().ok())?;
        self.pages.get(page).cloned()
    }
}

// === free functions: requests ===

/// Answers what is asked on a connection, which ends with what cannot be answered.
async fn serve(mut stream: TcpStream, scene: Arc<Scene>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    while let Some((came, form)) = hear(&mut stream).await? {
        let answer = scene.answer(came, &form);
        stream.write_all(&answer.with_context(|| format!("no answer to {form}"))?).await?;
    }
    Ok(())
}

/// The next request: when its first byte came, and its form. `None` once the caller hangs up.
async fn hear(stream: &mut TcpStream) -> anyhow::Result<Option<(Instant, String)>> {
    let mut bytes: Vec<u8> = Vec::with_capacity(ROOM);
    let mut first: Option<Instant> = None;
    while stream.read_buf(&mut bytes).await? > 0 {
        let came = *first.get_or_insert_with(Instant::now);
        if let Some(form) = form(&bytes) {
            return Ok(Some((came, form.to_owned())));
        }
    }
    Ok(None)
}

/// The form of a request, once all of it is there.
fn form(bytes: &[u8]) -> Option<&str> {
    let (head, form) = std::str::from_utf8(bytes).ok()?.split_once("\r\n\r\n")?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    let length: usize = length.trim().parse().ok()?;
    (form.len() == length).then_some(form)
}

/// A word of a form. Those that are read here have no letter that is written otherwise.
fn word<'f>(form: &'f str, name: &str) -> Option<&'f str> {
    let mut words = form.split('&').filter_map(|pair| pair.split_once('='));
    words.find(|(known, _)| *known == name).map(|(_, value)| value)
}

// === free functions: answers ===

/// An answer to an action, from its first byte to its last.
fn answer<'a>(action: &'a str, inside: &str) -> (&'a str, Bytes) {
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">
<requestId>59dbff89-35bd-4eac-99ed-be587EXAMPLE</requestId>{inside}</{action}Response>"
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/xml;charset=UTF-8\r\ncontent-length: {}\r\n\r\n",
        document.len()
    );
    (action, Bytes::from(head + &document))
}

/// A list of what is in each of its items.
fn set(name: &str, items: impl Iterator<Item = String>) -> String {
    let items: String =
        items.flat_map(|item| ["<item>".to_owned(), item, "</item>".to_owned()]).collect();
    format!("<{name}>{items}</{name}>")
}

/// What the shapes hold.
fn types() -> String {
    let one = |shape: &str| {
        format!(
            "<instanceType>{shape}</instanceType><vCpuInfo><defaultVCpus>2</defaultVCpus></vCpuInfo>\
             <memoryInfo><sizeInMiB>2048</sizeInMiB></memoryInfo>"
        )
    };
    set("instanceTypeSet", SHAPES.into_iter().map(one))
}

/// Every shape in every zone.
fn offerings() -> String {
    let one = |shape: &str, zone: &str| {
        format!(
            "<instanceType>{shape}</instanceType><locationType>availability-zone</locationType>\
             <location>{zone}</location>"
        )
    };
    let all = SHAPES.into_iter().flat_map(|shape| SUBNETS.map(|(_, zone)| one(shape, zone)));
    set("instanceTypeOfferingSet", all)
}

/// One subnet in each zone.
fn subnets() -> String {
    let one = |(id, zone): (&str, &str)| {
        format!(
            "<subnetId>{id}</subnetId><availabilityZone>{zone}</availabilityZone>\
             <availableIpAddressCount>4091</availableIpAddressCount>"
        )
    };
    set("subnetSet", SUBNETS.into_iter().map(one))
}

/// A fleet of one.
fn fleet() -> String {
    let ([shape, ..], [(subnet, _), ..]) = (SHAPES, SUBNETS);
    let launched = format!(
        "<launchTemplateAndOverrides><launchTemplateSpecification>\
         <launchTemplateName>{TEMPLATE}</launchTemplateName><version>1</version></launchTemplateSpecification>\
         <overrides><instanceType>{shape}</instanceType><subnetId>{subnet}</subnetId><priority>0.0</priority></overrides>\
         </launchTemplateAndOverrides><lifecycle>on-demand</lifecycle><instanceType>{shape}</instanceType>\
         <instanceIds><item>i-00000000000000001</item></instanceIds>"
    );
    let id = "<fleetId>fleet-00000001-b377-0b1d-a9b3-000000000001</fleetId><errorSet/>";
    id.to_owned() + &set("fleetInstanceSet", std::iter::once(launched))
}

/// A list of so many instances. One of none has a page, too.
fn pages(instances: usize, uid: &str) -> Vec<Bytes> {
    let count = instances.div_ceil(PAGE).max(1);
    let page = |page: usize| {
        let until = instances.min((page + 1) * PAGE);
        let listed =
            set("reservationSet", (page * PAGE..until).map(|number| reservation(number, uid)));
        let next = page + 1;
        let token =
            if next < count { format!("<nextToken>{next}</nextToken>") } else { String::new() };
        answer(LOOK, &(listed + &token)).1
    };
    (0..count).map(page).collect()
}

/// What is told of an instance, which was launched by itself.
fn reservation(number: usize, uid: &str) -> String {
    let address = format!("{}.{}", number / 250, number % 250 + 1);
    RESERVATION
        .replace("NUMBER", &format!("{number:016x}"))
        .replace("ADDRESS", &address)
        .replace("HOST", &address.replace('.', "-"))
        .replace("CLUSTER-UID", uid)
}

/// The id of an instance that is listed.
fn id(number: usize) -> String {
    format!("i-0{number:016x}")
}

/// All that AWS tells of a running instance that a fleet launched as spot: five kilobytes.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Instance.html>
const RESERVATION: &str = "<reservationId>r-0NUMBER</reservationId><ownerId>123456789012</ownerId>
<requesterId>722737459838</requesterId><groupSet/>
<instancesSet><item>
  <instanceId>i-0NUMBER</instanceId>
  <imageId>ami-0b0ea68c435eb488d</imageId>
  <instanceState><code>16</code><name>running</name></instanceState>
  <privateDnsName>ip-10-0-HOST.ec2.internal</privateDnsName>
  <dnsName/>
  <reason/>
  <amiLaunchIndex>0</amiLaunchIndex>
  <productCodes/>
  <instanceType>t3.small</instanceType>
  <launchTime>2026-01-01T00:00:00.000Z</launchTime>
  <placement>
    <availabilityZone>us-east-1a</availabilityZone>
    <availabilityZoneId>use1-az1</availabilityZoneId>
    <groupName/>
    <tenancy>default</tenancy>
  </placement>
  <monitoring><state>disabled</state></monitoring>
  <subnetId>subnet-0a</subnetId>
  <vpcId>vpc-0e3f1c2b4a5d69788</vpcId>
  <privateIpAddress>10.0.ADDRESS</privateIpAddress>
  <sourceDestCheck>true</sourceDestCheck>
  <groupSet><item><groupId>sg-0f1e2d3c4b5a69788</groupId><groupName>k3s-worker</groupName></item></groupSet>
  <architecture>x86_64</architecture>
  <rootDeviceType>ebs</rootDeviceType>
  <rootDeviceName>/dev/xvda</rootDeviceName>
  <blockDeviceMapping><item>
    <deviceName>/dev/xvda</deviceName>
    <ebs>
      <volumeId>vol-0NUMBER</volumeId>
      <status>attached</status>
      <attachTime>2026-01-01T00:00:01.000Z</attachTime>
      <deleteOnTermination>true</deleteOnTermination>
    </ebs>
  </item></blockDeviceMapping>
  <instanceLifecycle>spot</instanceLifecycle>
  <spotInstanceRequestId>sir-0NUMBER</spotInstanceRequestId>
  <virtualizationType>hvm</virtualizationType>
  <clientToken>fleet-00000001-b377-0b1d-a9b3-NUMBER</clientToken>
  <tagSet>
    <item><key>bellwether:cluster</key><value>default</value></item>
    <item><key>bellwether:cluster-uid</key><value>CLUSTER-UID</value></item>
    <item><key>bellwether:pool</key><value>workers</value></item>
    <item><key>bellwether:batch</key><value>workers-NUMBER</value></item>
    <item><key>bellwether:version</key><value>0.1.0</value></item>
    <item><key>bellwether:node-labels</key><value>tier=web</value></item>
    <item><key>Name</key><value>workers-NUMBER</value></item>
    <item><key>team</key><value>shop</value></item>
    <item><key>aws:ec2:fleet-id</key><value>fleet-00000001-b377-0b1d-a9b3-NUMBER</value></item>
    <item><key>aws:ec2launchtemplate:id</key><value>lt-0a1b2c3d4e5f60718</value></item>
    <item><key>aws:ec2launchtemplate:version</key><value>1</value></item>
  </tagSet>
  <hypervisor>xen</hypervisor>
  <networkInterfaceSet><item>
    <networkInterfaceId>eni-0NUMBER</networkInterfaceId>
    <subnetId>subnet-0a</subnetId>
    <vpcId>vpc-0e3f1c2b4a5d69788</vpcId>
    <description/>
    <ownerId>123456789012</ownerId>
    <status>in-use</status>
    <macAddress>0a:1b:2c:3d:4e:5f</macAddress>
    <privateIpAddress>10.0.ADDRESS</privateIpAddress>
    <sourceDestCheck>true</sourceDestCheck>
    <groupSet><item><groupId>sg-0f1e2d3c4b5a69788</groupId><groupName>k3s-worker</groupName></item></groupSet>
    <attachment>
      <attachmentId>eni-attach-0NUMBER</attachmentId>
      <deviceIndex>0</deviceIndex>
      <networkCardIndex>0</networkCardIndex>
      <status>attached</status>
      <attachTime>2026-01-01T00:00:00.000Z</attachTime>
      <deleteOnTermination>true</deleteOnTermination>
    </attachment>
    <privateIpAddressesSet>
      <item><privateIpAddress>10.0.ADDRESS</privateIpAddress><primary>true</primary></item>
    </privateIpAddressesSet>
    <ipv6AddressesSet/>
    <interfaceType>interface</interfaceType>
  </item></networkInterfaceSet>
  <iamInstanceProfile>
    <arn>arn:aws:iam::123456789012:instance-profile/k3s-worker</arn>
    <id>AIPACKCEVSQ6C2EXAMPLE</id>
  </iamInstanceProfile>
  <ebsOptimized>false</ebsOptimized>
  <enaSupport>true</enaSupport>
  <cpuOptions><coreCount>1</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>
  <capacityReservationSpecification>
    <capacityReservationPreference>open</capacityReservationPreference>
  </capacityReservationSpecification>
  <hibernationOptions><configured>false</configured></hibernationOptions>
  <enclaveOptions><enabled>false</enabled></enclaveOptions>
  <metadataOptions>
    <state>applied</state>
    <httpTokens>required</httpTokens>
    <httpPutResponseHopLimit>1</httpPutResponseHopLimit>
    <httpEndpoint>enabled</httpEndpoint>
    <httpProtocolIpv6>disabled</httpProtocolIpv6>
    <instanceMetadataTags>enabled</instanceMetadataTags>
  </metadataOptions>
  <bootMode>uefi-preferred</bootMode>
  <currentInstanceBootMode>uefi</currentInstanceBootMode>
  <platformDetails>Linux/UNIX</platformDetails>
  <usageOperation>RunInstances</usageOperation>
  <usageOperationUpdateTime>2026-01-01T00:00:00.000Z</usageOperationUpdateTime>
  <privateDnsNameOptions>
    <hostnameType>ip-name</hostnameType>
    <enableResourceNameDnsARecord>false</enableResourceNameDnsARecord>
    <enableResourceNameDnsAAAARecord>false</enableResourceNameDnsAAAARecord>
  </privateDnsNameOptions>
  <maintenanceOptions><autoRecovery>default</autoRecovery></maintenanceOptions>
  <operator><managed>false</managed></operator>
</item></instancesSet>";
