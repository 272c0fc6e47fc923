//! What happens by itself, what is sold, and the world over HTTP.

use super::*;
use crate::model::{Pod, PoolName};
use crate::provider::Error as Refusal;
use serde_json::json;

const CORE: u64 = 1000;

fn pool() -> PoolName {
    "p".into()
}

fn elsewhere(market: Market, zone: &str) -> Offering {
    Offering { shape: "medium".into(), zone: zone.into(), market, price: None }
}

impl Scene {
    async fn pods(&self) -> Vec<Pod> {
        let View::Known { value, .. } = self.cluster.observe().await else { panic!("unknown") };
        value.pods().cloned().collect()
    }

    /// Lives through boot, scale-up, a killed machine and a shrink; looks every so often.
    async fn live(&self, look_every: Option<Duration>) {
        self.provider.launch(&request(&["w1", "w2"])).await.unwrap();
        let daemon =
            Workload { kind: WorkloadKind::DaemonSet, ..Workload::deployment("log", 0, 10, 1) };
        self.world.set_workload(daemon).unwrap();
        self.world.set_workload(Workload::deployment("web", 4, 900, 1 << 29)).unwrap();
        self.wait(look_every).await;
        self.world.kill("node-w1").unwrap();
        self.wait(look_every).await;
        self.world.set_workload(Workload::deployment("web", 1, 900, 1 << 29)).unwrap();
    }

    async fn wait(&self, look_every: Option<Duration>) {
        let minute = Duration::from_mins(1);
        let step = look_every.unwrap_or(minute);
        let mut left = minute;
        while left > Duration::ZERO {
            tokio::time::advance(step.min(left)).await;
            left = left.saturating_sub(step);
            if look_every.is_some() {
                self.pods().await;
            }
        }
    }

    async fn view(&self) -> crate::model::ClusterView {
        let View::Known { value, .. } = self.cluster.observe().await else { panic!("unknown") };
        value
    }

    fn put(&self, path: &str, body: &serde_json::Value) -> u16 {
        control::handle(&self.world, "PUT", path, body.to_string().as_bytes(), "h:1").status
    }

    fn ask(&self, method: &str, path: &str) -> control::Response {
        control::handle(&self.world, method, path, b"", "h:1")
    }
}

#[tokio::test(start_paused = true)]
async fn looking_often_or_never_makes_no_difference() {
    let (a, b) = (scene(), scene());
    a.live(None).await;
    let from_a = a.view().await;
    b.live(Some(Duration::from_millis(170))).await;
    let from_b = b.view().await;
    assert_eq!(from_a.nodes.len(), from_b.nodes.len());
    let shape = |view: &crate::model::ClusterView| {
        let nodes: Vec<_> = view.nodes.iter().map(|node| (node.at.clone(), node.cordon)).collect();
        let pods: Vec<_> =
            view.pods.iter().map(|pod| (pod.name.clone(), pod.node().cloned())).collect();
        (nodes, pods)
    };
    assert_eq!(shape(&from_a), shape(&from_b));
    assert_eq!(from_a.pods.len(), 2, "one web, one daemon on the machine that is left");
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_marked_from_the_moment_of_the_judgement_not_of_the_look() {
    let scene = scene();
    scene.world.set_workload(Workload::deployment("web", 1, CORE, 1 << 29)).unwrap();
    assert_eq!(scene.pods().await[0].placement, Placement::Waiting);
    tokio::time::advance(Duration::from_mins(5)).await;
    let pod = scene.pods().await.remove(0);
    let since = duration::after(pod.created, Duration::from_millis(50));
    assert_eq!(pod.placement, Placement::Unschedulable { since });
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_pending_before_it_runs() {
    let scene = scene();
    scene.provider.launch(&request(&["w1"])).await.unwrap();
    let state = || async { scene.provider.list(&pool()).await.unwrap()[0].state };
    assert_eq!(state().await, InstanceState::Pending);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(state().await, InstanceState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_machine_under_notice_is_taken_at_its_time() {
    let scene = scene();
    scene.workers(&["w1"]).await;
    let id = scene.provider.list(&pool()).await.unwrap()[0].id.clone();
    scene.world.notice(id.as_str(), Duration::from_mins(2)).unwrap();
    tokio::time::advance(Duration::from_secs(119)).await;
    assert_eq!(scene.nodes().await[0].readiness, Readiness::Ready);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(matches!(scene.nodes().await[0].readiness, Readiness::NotReady { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_order_without_capacity_is_had_as_the_first_fallback_that_has_some() {
    let scene = scene();
    let dry = ["on-demand".to_owned()].into();
    scene.world.set_faults(Faults { no_capacity_for: dry, ..Faults::default() });
    let fallback = vec![elsewhere(Market::OnDemand, "b"), elsewhere(Market::Spot, "b")];
    let request = LaunchRequest { fallback, ..request(&["w1"]) };
    let launched = scene.provider.launch(&request).await.unwrap();
    assert_eq!(launched.instances[0].2, elsewhere(Market::Spot, "b"));
    let machine = scene.provider.list(&pool()).await.unwrap().remove(0);
    assert_eq!((machine.market, machine.zone.as_str()), (Market::Spot, "b"));
}

#[tokio::test(start_paused = true)]
async fn orders_that_cannot_be_had_fail_alone_and_leave_nothing_behind() {
    let scene = scene();
    let mut request = request(&["w1", "w2", "w3"]);
    request.orders[1].offering = elsewhere(Market::OnDemand, "nowhere");
    request.orders[2].offering = elsewhere(Market::Spot, "a");
    let dry = ["spot".to_owned()].into();
    scene.world.set_faults(Faults { no_capacity_for: dry, ..Faults::default() });
    let launched = scene.provider.launch(&request).await.unwrap();
    assert_eq!(launched.instances.len(), 1);
    assert!(matches!(
        launched.failed.as_slice(),
        [(_, Refusal::Invalid(_)), (_, Refusal::Capacity(_))]
    ));
    assert_eq!(scene.provider.list(&pool()).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_node_stays_away_and_its_pods_are_made_again() {
    let scene = scene();
    scene.workers(&["w1"]).await;
    scene.world.set_workload(Workload::deployment("web", 1, 500, 1 << 29)).unwrap();
    let node = scene.nodes().await[0].at.clone();
    assert_eq!(scene.pods().await[0].node(), Some(&node.name));
    scene.cluster.remove_node(&node).await.unwrap();
    tokio::time::advance(Duration::from_mins(1)).await;
    assert!(scene.nodes().await.is_empty());
    assert!(matches!(scene.pods().await[0].placement, Placement::Unschedulable { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_machine_is_listed_with_another_cluster() {
    let scene = scene();
    scene.workers(&["w1"]).await;
    let foreign = scene.world.add_foreign_instance();
    let listed = scene.provider.list(&pool()).await.unwrap();
    let uid = &listed.iter().find(|machine| machine.id == foreign).unwrap().cluster_uid;
    assert_ne!(uid.as_ref().unwrap().as_str(), "sim-1");
    tokio::time::advance(Duration::from_mins(5)).await;
    assert_eq!(scene.nodes().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_newest_pods_go_first() {
    let scene = scene();
    scene.workers(&["w1"]).await;
    scene.world.set_workload(Workload::deployment("web", 2, 100, 1)).unwrap();
    let first = scene.pods().await[0].name.clone();
    scene.world.set_workload(Workload::deployment("web", 1, 100, 1)).unwrap();
    let names: Vec<_> = scene.pods().await.into_iter().map(|pod| pod.name).collect();
    assert_eq!(names, [first]);
}

#[tokio::test(start_paused = true)]
async fn our_uncordon_leaves_a_persons_cordon() {
    let scene = scene();
    scene.workers(&["w1"]).await;
    let node = scene.nodes().await[0].at.clone();
    scene.world.cordon_by_hand(node.name.as_str()).unwrap();
    scene.cluster.uncordon(&node).await.unwrap();
    assert_eq!(scene.nodes().await[0].cordon, Cordon::Foreign);
}

#[tokio::test(start_paused = true)]
async fn only_evictions_that_happened_are_logged() {
    let scene = scene();
    scene.workers(&["w1"]).await;
    let node = scene.nodes().await[0].at.clone();
    // Otherwise the pods made again would come back here, and could be evicted again.
    let mark =
        Mark { pool: pool(), worker: "w1".into(), why: "a test".to_owned(), pass: "1".into() };
    let evictions = || scene.world.calls().iter().filter(|call| call.name() == "evict").count();
    assert_eq!(scene.cluster.evict_step(&node, Manner::Evict).await.unwrap(), Eviction::Empty);
    assert_eq!(evictions(), 0);
    scene.world.set_workload(Workload::deployment("web", 1, 500, 1 << 29)).unwrap();
    scene.cluster.cordon(&node, &mark).await.unwrap();
    for _ in 0..3 {
        scene.cluster.evict_step(&node, Manner::Evict).await.unwrap();
    }
    assert_eq!(evictions(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_world_is_seen_and_changed_over_http() {
    let scene = scene();
    scene.workers(&["w1"]).await;
    let web = json!({ "replicas": 2, "requests": { "cpu_milli": 900, "memory": 1 } });
    assert_eq!(scene.put("/workloads/web", &web), 200);
    let world: serde_json::Value = serde_json::from_str(&scene.ask("GET", "/world").body).unwrap();
    assert_eq!(
        (&world["calls"][0]["call"], &world["calls"][0]["new"]),
        (&json!("launch"), &json!(1))
    );
    assert!(scene.ask("GET", "/targets").body.contains("/nodes/node-w1/metrics"));
    assert!(scene.ask("GET", "/metrics").body.contains("kube_pod_status_unschedulable"));
    assert_eq!(scene.ask("GET", "/nodes/node-w1/metrics").status, 200);
    assert_eq!(scene.ask("POST", "/kill/node-w1").status, 200);
    assert_eq!(scene.ask("GET", "/nodes/node-w1/metrics").status, 404);
    assert_eq!(scene.put("/faults", &json!({ "list_errors": true, "boot": "2s" })), 200);
    let expected =
        Faults { list_errors: true, boot: Some(Duration::from_secs(2)), ..Faults::default() };
    assert_eq!(scene.world.faults(), expected);
    assert_eq!(scene.ask("DELETE", "/workloads/web").status, 200);
    assert!(scene.pods().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn wrong_input_over_http_is_refused_and_changes_nothing() {
    let scene = scene();
    let before = scene.world.summary();
    for body in
        [json!({}), json!({ "replicas": -1 }), json!({ "replicas": 1, "requests": {}, "x": 1 })]
    {
        assert_eq!(scene.put("/workloads/web", &body), 400, "{body}");
    }
    assert_eq!(scene.put("/faults", &json!({ "no_such": true })), 400);
    assert_eq!(scene.ask("POST", "/kill/nobody").status, 400);
    assert_eq!(scene.ask("POST", "/notice/nobody").status, 400);
    assert_eq!(scene.ask("GET", "/nothing").status, 404);
    assert_eq!(scene.world.summary(), before);
}

#[tokio::test(start_paused = true)]
async fn a_silent_kubelet_makes_its_node_unready_until_it_speaks_again() {
    let stage = scene();
    stage.provider.launch(&request(&["w1"])).await.unwrap();
    stage.wait(None).await;
    let readiness = |view: crate::model::ClusterView| view.nodes[0].readiness;
    let id = stage.world.machines()[0].id.to_string();
    stage.world.silence_kubelet(&id).unwrap();
    assert!(matches!(readiness(stage.view().await), Readiness::NotReady { .. }));
    stage.world.every_kubelet_speaks();
    assert_eq!(readiness(stage.view().await), Readiness::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_machine_registers_anew_under_another_name_or_as_another_node() {
    for is_deleted in [false, true] {
        let stage = scene();
        stage.provider.launch(&request(&["w1"])).await.unwrap();
        stage.world.set_workload(Workload::deployment("web", 1, 900, 1 << 29)).unwrap();
        stage.wait(None).await;
        let before = stage.view().await.nodes;
        let id = stage.world.machines()[0].id.to_string();
        stage.world.register_anew(&id, is_deleted).unwrap();
        stage.wait(None).await;
        let view = stage.view().await;
        let ready: Vec<_> =
            view.nodes.iter().filter(|node| node.readiness == Readiness::Ready).collect();
        let new = ready.iter().find(|node| !node.control_plane).unwrap();
        let old = before.iter().find(|node| !node.control_plane).unwrap();
        assert_eq!(new.worker, old.worker);
        assert_ne!(new.at.uid, old.at.uid);
        assert_eq!(new.at.name == old.at.name, is_deleted);
        assert_eq!(view.nodes.len(), before.len() + usize::from(!is_deleted));
        assert!(stage.pods().await.iter().all(|pod| pod.node() == Some(&new.at.name)));
    }
}
