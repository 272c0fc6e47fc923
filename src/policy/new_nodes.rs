//! The room there is, and what a pool could add to it: what pods will find on a node that does not exist yet.

use super::fit::{Grower, NewNode, Room, Site, admits_daemon, is_open};
use super::scene::Scene;
use crate::config::PoolConfig;
use crate::model::{
    ClusterView, Labels, Node, NodeName, POOL_LABEL, PodKind, PodSpec, Resources, Shape, Taint,
    WORKER_LABEL, WorkerState, ZONE_LABEL, Zone, duration,
};
use std::collections::BTreeMap;

/// The label of a node's instance type. Source: Kubernetes' well-known labels.
const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";

/// The room of a node's own disk, as pods ask for it.
const DISK: &str = "ephemeral-storage";

/// Taints that Kubernetes itself takes off a node once it is ready for pods.
const STARTUP_TAINTS: [&str; 3] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/network-unavailable",
    "node.cloudprovider.kubernetes.io/uninitialized",
];

/// Labels that speak of one node, not of its pool.
const OF_ONE_NODE: [&str; 7] = [
    "kubernetes.io/hostname",
    "failure-domain.beta.kubernetes.io/zone",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    ZONE_LABEL,
    WORKER_LABEL,
    POOL_LABEL,
];

/// Every node with its pods.
pub(super) fn room<'a>(scene: &Scene<'a>, view: &'a ClusterView) -> Room<'a> {
    let mut room = Room::new(view, |node| is_open(node) && !is_ending(scene, node));
    for (at, node) in view.nodes().enumerate() {
        room.bins[at].taints.retain(|taint| !will_go(scene, node, taint));
    }
    room
}

/// Whether a node's machine is being ended, though nobody keeps pods off it.
fn is_ending(scene: &Scene<'_>, node: &Node) -> bool {
    let record = node.worker.as_ref().and_then(|id| scene.memory.workers.get(id));
    record.is_some_and(|worker| {
        matches!(worker.state, WorkerState::Failed { .. } | WorkerState::Terminating)
    })
}

/// Whether a taint is one that new nodes of the pool carry for a while.
fn will_go(scene: &Scene<'_>, node: &Node, taint: &Taint) -> bool {
    let Some(pool) = node.pool.as_ref().and_then(|pool| scene.pool(pool)) else { return false };
    let is_known = STARTUP_TAINTS.contains(&taint.key.as_str())
        || pool.node.startup_taints.contains(&taint.key);
    is_known && duration::since(node.created, scene.now) < pool.join_deadline
}

/// A pool, and what it may still launch. One that left the file can launch nothing.
pub(super) fn grower<'s>(scene: &'s Scene<'_>, pool: &'s PoolConfig) -> Grower<'s> {
    let mut zones: BTreeMap<&Zone, u32> = BTreeMap::new();
    for worker in scene.workers(&pool.name).filter(|worker| worker.is_serving()) {
        *zones.entry(&worker.zone).or_default() += 1;
    }
    Grower {
        pool: &pool.name,
        priority: pool.priority,
        nodes: if pool.removed { &[] } else { scene.new_nodes(&pool.name) },
        taints: &pool.node.taints,
        room: pool.max.saturating_sub(scene.have(&pool.name)),
        zones,
    }
}

/// What a pool could launch, with what pods will be able to use of each.
pub(super) fn of_pool<'a>(scene: &Scene<'a>, pool: &'a PoolConfig) -> Vec<NewNode<'a>> {
    let known = scene.observed.shapes.get(&pool.name).and_then(|shapes| shapes.known());
    let labels = labels(scene, pool);
    let nodes = known.into_iter().flatten();
    nodes.map(|shape| new_node(scene, pool, shape, &labels)).collect()
}

fn new_node<'a>(
    scene: &Scene<'a>,
    pool: &'a PoolConfig,
    shape: &'a Shape,
    labels: &Labels,
) -> NewNode<'a> {
    let elsewhere = site(shape, None, labels);
    let daemons = scene.view().into_iter().flat_map(|view| &view.daemons).map(|spec| &**spec);
    let daemons: Vec<&PodSpec> =
        daemons.filter(|spec| admits_daemon(spec, &elsewhere.labels, &pool.node.taints)).collect();
    let mut asked = Resources::default();
    for spec in &daemons {
        asked.add(&spec.requests);
    }
    asked.raise_to(&borne(scene, pool));
    let mut allocatable = allocatable(scene, pool, shape);
    allocatable.subtract(&asked);
    let ports = daemons.iter().flat_map(|spec| &spec.host_ports).collect();
    let mut sites: Vec<Site<'_>> = Vec::new();
    for offering in &shape.offerings {
        if !sites.iter().any(|site| site.zone == Some(&offering.zone)) {
            sites.push(site(shape, Some(&offering.zone), labels));
        }
    }
    NewNode { shape, allocatable, ports, sites, elsewhere }
}

/// A new node in a zone.
fn site<'a>(shape: &'a Shape, zone: Option<&'a Zone>, labels: &Labels) -> Site<'a> {
    let mut labels = labels.clone();
    labels.insert(INSTANCE_TYPE.to_owned(), shape.name.to_string());
    labels.extend(zone.map(|zone| (ZONE_LABEL.to_owned(), zone.to_string())));
    let sold = shape.offerings.iter().filter(|offering| Some(&offering.zone) == zone);
    let price = sold.filter_map(|offering| offering.price).map(|price| price.0).min();
    Site { zone, labels, price }
}

/// Labels that every new node of a pool will have: those that all its nodes have alike, and those that the
/// configuration gives them.
fn labels(scene: &Scene<'_>, pool: &PoolConfig) -> Labels {
    let mut nodes = nodes_of(scene, pool);
    let mut labels = nodes.next().map(|node| node.labels.clone()).unwrap_or_default();
    labels.retain(|key, _| !OF_ONE_NODE.contains(&key.as_str()));
    for node in nodes {
        labels.retain(|key, value| node.labels.get(key) == Some(value));
    }
    labels.insert(POOL_LABEL.to_owned(), pool.name.to_string());
    labels.extend(pool.node.labels.clone());
    labels
}

fn nodes_of<'a>(scene: &Scene<'a>, pool: &PoolConfig) -> impl Iterator<Item = &'a Node> {
    let nodes = scene.view().into_iter().flat_map(ClusterView::nodes);
    nodes.filter(|node| node.pool.as_ref() == Some(&pool.name) && !node.control_plane)
}

/// What a new node of a shape will have for pods: as much as the least of those there are; before there
/// is any, its capacity less what the configuration says that nodes keep for themselves.
fn allocatable(scene: &Scene<'_>, pool: &PoolConfig, shape: &Shape) -> Resources {
    let mut promised = shape.capacity.clone();
    promised.subtract(&pool.node.reserved);
    let alike = scene.workers(&pool.name).filter(|worker| worker.shape == shape.name);
    let real: Vec<&Resources> =
        alike.filter_map(|worker| Some(&scene.node(worker)?.allocatable)).collect();
    let least = |measure: fn(&Resources) -> u64| real.iter().map(|node| measure(node)).min();
    promised.cpu_milli = least(|node| node.cpu_milli).unwrap_or(promised.cpu_milli);
    promised.memory = least(|node| node.memory).unwrap_or(promised.memory);
    promised.pods = least(|node| node.pods).unwrap_or(promised.pods);
    // Devices show up on a node only when their plugin has started: fewer there mean nothing yet.
    for (name, count) in real.iter().flat_map(|node| &node.extended) {
        let promised = promised.extended.entry(name.clone()).or_default();
        *promised = (*promised).max(*count);
    }
    // Every node has some, and nobody who sells one says how much.
    promised.extended.entry(DISK.to_owned()).or_insert(u64::MAX);
    promised
}

/// What pods that no drain moves ask of a node of this pool: the most that any of its nodes bears now. More than its
/// `DaemonSets` tell where pods of files are among them.
fn borne(scene: &Scene<'_>, pool: &PoolConfig) -> Resources {
    let asked = |name: &NodeName| {
        let mut sum = Resources::default();
        let pods = scene.pods_on(name).iter();
        pods.filter(|pod| pod.kind != PodKind::Normal).for_each(|pod| sum.add(&pod.spec.requests));
        sum
    };
    let all = nodes_of(scene, pool).map(|node| asked(&node.at.name));
    all.max_by_key(|sum| (sum.cpu_milli, sum.memory)).unwrap_or_default()
}
