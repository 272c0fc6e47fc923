mod shared;
mod ways;

use super::*;
use crate::cluster::{Cluster as _, Eviction, Manner, Mark};
use crate::model::{
    InstanceState, LaunchRequest, Market, Node, Offering, Order, Placement, Readiness, View,
};
use crate::provider::Provider as _;
use std::collections::{BTreeMap, BTreeSet};

fn config() -> SimConfig {
    SimConfig { boot: Duration::from_secs(40), ..SimConfig::default() }
}

struct Scene {
    world: World,
    provider: Provider,
    cluster: Cluster,
}

fn scene() -> Scene {
    scene_of(&config(), Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()))
}

fn scene_of(config: &SimConfig, clock: Clock) -> Scene {
    let world = World::new(config, clock).unwrap();
    Scene { provider: Provider::new(world.clone()), cluster: Cluster::new(world.clone()), world }
}

fn request(workers: &[&str]) -> LaunchRequest {
    let offering = |shape: &str| Offering {
        shape: shape.into(),
        zone: "a".into(),
        market: Market::OnDemand,
        price: None,
    };
    let shape = config().shapes[0].name.clone();
    LaunchRequest {
        cluster: "c".into(),
        cluster_uid: "sim-1".into(),
        pool: "p".into(),
        batch: "b".into(),
        token: None,
        orders: workers
            .iter()
            .map(|worker| Order { worker: (*worker).into(), offering: offering(&shape) })
            .collect(),
        fallback: Vec::new(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
    }
}

impl Scene {
    async fn workers(&self, names: &[&str]) {
        self.provider.launch(&request(names)).await.unwrap();
        tokio::time::advance(Duration::from_mins(2)).await;
    }

    async fn nodes(&self) -> Vec<Node> {
        match self.cluster.observe().await {
            View::Known { value, .. } => {
                value.nodes().filter(|node| !node.control_plane).cloned().collect()
            }
            View::Unknown { why } => panic!("{why}"),
        }
    }

    async fn waiting(&self) -> usize {
        let View::Known { value, .. } = self.cluster.observe().await else { panic!("unknown") };
        value
            .pods
            .iter()
            .filter(|pod| matches!(pod.placement, Placement::Unschedulable { .. }))
            .count()
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_boots_joins_and_becomes_ready() {
    let scene = scene();
    scene.provider.launch(&request(&["w1"])).await.unwrap();
    assert!(scene.nodes().await.is_empty());
    tokio::time::advance(Duration::from_mins(2)).await;
    let nodes = scene.nodes().await;
    assert_eq!(nodes.len(), 1);
    assert_eq!(
        (nodes[0].readiness, nodes[0].worker.as_ref().unwrap().as_str()),
        (Readiness::Ready, "w1")
    );
}

#[tokio::test(start_paused = true)]
async fn a_launch_whose_answer_was_lost_launches_nothing_when_asked_again() {
    let scene = scene();
    scene.world.set_faults(Faults { lose_launch_reply: true, ..Faults::default() });
    scene.provider.launch(&request(&["w1", "w2"])).await.unwrap_err();
    scene.world.set_faults(Faults::default());
    let again = scene.provider.launch(&request(&["w1", "w2"])).await.unwrap();
    assert_eq!(again.instances.len(), 2);
    assert_eq!(scene.provider.list(&"p".into()).await.unwrap().len(), 2);
    let made: Vec<usize> = scene.world.calls().iter().map(|call| call.new).collect();
    assert_eq!(made, [2, 0]);
}

#[tokio::test(start_paused = true)]
async fn machines_without_names_are_known_by_their_batch_and_run_their_nodes() {
    let limits = crate::config::Config::parse(
        "prometheus: { urls: [http://p] }
alertmanager: { urls: [http://a] }
auth: { bearer_token: 0123456789abcdef }
clusters: { c: { kubernetes: { sim: {} }, pools: { p: { provider: { sim: { unnamed: true } }, max: 3 } } } }",
        &BTreeMap::<String, String>::new(),
    );
    let scene = scene();
    scene.provider.follow(&limits.unwrap().config.clusters[&"c".into()]);
    let first = scene.provider.launch(&request(&["w1", "w2"])).await.unwrap();
    let again = scene.provider.launch(&request(&["w1", "w2"])).await.unwrap();
    let ids = |launched: &crate::provider::Launched| -> BTreeSet<_> {
        launched.instances.iter().map(|(_, id, _)| id.to_string()).collect()
    };
    assert_eq!((ids(&first).len(), ids(&first)), (2, ids(&again)));
    let list = scene.provider.list(&"p".into()).await.unwrap();
    assert!(list.iter().all(|one| one.worker.is_none() && one.batch == Some("b".into())));
    tokio::time::advance(Duration::from_mins(2)).await;
    let nodes = scene.nodes().await;
    assert!(nodes.iter().all(|node| node.worker.is_none()));
    let run: BTreeSet<_> = nodes.iter().filter_map(|it| it.machine()).map(str::to_owned).collect();
    assert_eq!(run, ids(&first));
}

#[tokio::test(start_paused = true)]
async fn a_killed_machine_is_listed_as_gone_and_its_node_is_not_ready() {
    let scene = scene();
    scene.workers(&["w1"]).await;
    let id = scene.provider.list(&"p".into()).await.unwrap()[0].id.clone();
    scene.world.kill(id.as_str()).unwrap();
    assert_eq!(scene.provider.list(&"p".into()).await.unwrap()[0].state, InstanceState::Gone);
    assert!(matches!(scene.nodes().await[0].readiness, Readiness::NotReady { .. }));
    scene.world.kill("nobody").unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn pods_without_room_are_marked_and_placed_when_room_comes() {
    let scene = scene();
    scene.world.set_workload(Workload::deployment("web", 2, 900, 1 << 30)).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(scene.waiting().await, 2, "the server's taint keeps them off");
    scene.workers(&["w1"]).await;
    assert_eq!(scene.waiting().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_moves_pods_elsewhere_and_ends_empty() {
    let scene = scene();
    scene.workers(&["w1", "w2"]).await;
    scene.world.set_workload(Workload::deployment("web", 2, 500, 1 << 29)).unwrap();
    let node = scene.nodes().await[0].at.clone();
    let mark =
        Mark { pool: "p".into(), worker: "w1".into(), why: "a test".to_owned(), pass: "1".into() };
    scene.cluster.cordon(&node, &mark).await.unwrap();
    assert!(matches!(
        scene.cluster.evict_step(&node, Manner::Evict).await.unwrap(),
        Eviction::Evicting { left: 1 }
    ));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(scene.cluster.evict_step(&node, Manner::Evict).await.unwrap(), Eviction::Empty);
    assert_eq!(scene.waiting().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_budget_blocks_an_eviction() {
    let scene = scene();
    scene.workers(&["w1"]).await;
    let budget =
        Workload { min_available: Some(1), ..Workload::deployment("web", 1, 500, 1 << 29) };
    scene.world.set_workload(budget).unwrap();
    let node = scene.nodes().await[0].at.clone();
    assert!(matches!(
        scene.cluster.evict_step(&node, Manner::Evict).await.unwrap(),
        Eviction::Blocked { left: 1, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_node_under_another_uid_is_left_alone() {
    let scene = scene();
    scene.workers(&["w1"]).await;
    let mut node = scene.nodes().await[0].at.clone();
    node.uid = "another".into();
    scene.cluster.remove_node(&node).await.unwrap();
    assert_eq!(scene.nodes().await.len(), 1);
    assert_eq!(
        scene.cluster.evict_step(&node, Manner::Evict).await,
        Err(crate::cluster::Error::NotFound)
    );
}

#[tokio::test(start_paused = true)]
async fn a_world_in_a_file_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let config = SimConfig { state: Some(folder.path().join("world.json")), ..config() };
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let before = scene_of(&config, clock);
    before.provider.launch(&request(&["w1"])).await.unwrap();
    drop(before);
    let after = scene_of(&config, clock);
    tokio::time::advance(Duration::from_mins(2)).await;
    assert_eq!(after.nodes().await.len(), 1);
    assert_eq!(after.world.calls().len(), 1);
}

/// What is offered, and what became of one machine within a minute.
async fn told(config: &SimConfig) -> String {
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let scene = scene_of(config, clock);
    scene.provider.launch(&request(&["w1"])).await.unwrap();
    tokio::time::advance(Duration::from_mins(1)).await;
    let (offered, nodes) = (scene.provider.shapes(&"p".into()).await.unwrap(), scene.nodes().await);
    format!("{offered:#?} {nodes:#?}")
}

/// A field, and another value.
type Change = (&'static str, fn(&mut SimConfig));

#[tokio::test(start_paused = true)]
async fn every_field_of_a_world_changes_it() {
    let before = told(&config()).await;
    let changes: [Change; 7] = [
        ("seed", |config| config.seed = 2),
        ("boot", |config| config.boot = Duration::from_mins(5)),
        ("zones", |config| config.zones.push("c".to_owned())),
        ("shapes[].name", |config| config.shapes[0].name = "other".to_owned()),
        ("shapes[].cpu", |config| config.shapes[0].cpu_milli = 4_000),
        ("shapes[].memory", |config| config.shapes[0].memory = 8 << 30),
        ("shapes[].price_per_hour", |config| config.shapes[0].price_per_hour = 1.0),
    ];
    for (field, change) in changes {
        let mut config = config();
        change(&mut config);
        assert_ne!(before, told(&config).await, "{field} changes nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_and_calls_make_the_same_world() {
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let (a, b) = (scene_of(&config(), clock), scene_of(&config(), clock));
    for scene in [&a, &b] {
        scene.provider.launch(&request(&["w1", "w2"])).await.unwrap();
        scene.world.set_workload(Workload::deployment("web", 3, 500, 1 << 29)).unwrap();
    }
    tokio::time::advance(Duration::from_mins(3)).await;
    assert_eq!(a.world.summary(), b.world.summary());
}

#[tokio::test(start_paused = true)]
async fn the_cpu_counters_give_the_usage_back() {
    let scene = scene();
    scene.workers(&["w1"]).await;
    scene
        .world
        .set_workload(Workload { usage: 1.0, ..Workload::deployment("web", 1, 1000, 1 << 29) })
        .unwrap();
    let node = scene.nodes().await[0].at.name.to_string();
    let sum = |text: String, mode: &str| -> f64 {
        let of_mode = |line: &&str| {
            line.starts_with("node_cpu") && line.contains(&format!("mode=\"{mode}\""))
        };
        text.lines()
            .filter(of_mode)
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    };
    let read = || scene.world.node_metrics(&node).unwrap();
    let (user, idle) = (sum(read(), "user"), sum(read(), "idle"));
    tokio::time::advance(Duration::from_secs(100)).await;
    let (user, idle) = (sum(read(), "user") - user, sum(read(), "idle") - idle);
    assert!((user - 104.0).abs() < 0.1, "one core busy, and two percent of two: {user}");
    assert!((user + idle - 200.0).abs() < 0.1, "all modes together grow by the time that passes");
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_does_not_answer_and_a_deleted_one_has_no_series() {
    let scene = scene();
    scene.workers(&["w1"]).await;
    let node = scene.nodes().await[0].at.clone();
    assert!(scene.world.kube_metrics().contains(node.name.as_str()));
    scene.world.kill(node.name.as_str()).unwrap();
    assert!(scene.world.node_metrics(node.name.as_str()).is_none());
    scene.cluster.remove_node(&node).await.unwrap();
    assert!(!scene.world.kube_metrics().contains(node.name.as_str()));
}
