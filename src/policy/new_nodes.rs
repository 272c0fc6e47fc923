//! The room there is, and what a pool could add to it: what pods will find on a node that does not exist yet.

use super::backoff::is_backed_off;
use super::fit::{Grower, NewNode, Room, Site, admits_daemon, is_open};
use super::scene::Scene;
use crate::config::PoolConfig;
use crate::model::{
    ClusterView, Labels, Node, NodeName, Offering, POOL_LABEL, PodKind, PodSpec, Resources, Shape,
    Taint, WORKER_LABEL, WorkerState, ZONE_LABELS, Zone, duration,
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
const OF_ONE_NODE: [&str; 5] = [
    "kubernetes.io/hostname",
    "beta.kubernetes.io/instance-type",
    INSTANCE_TYPE,
    WORKER_LABEL,
    POOL_LABEL,
];

/// The label of its operating system; Kubernetes has no other default. Source: its well-known labels.
const OS: &str = "kubernetes.io/os";

/// The label of its processors' architecture. Source: the same.
const ARCHITECTURE: &str = "kubernetes.io/arch";

/// Every node with its pods.
pub(super) fn room<'a>(scene: &Scene<'a>, view: &'a ClusterView) -> Room<'a> {
    let mut room = Room::new(view, |node: &'a Node| is_open(node) && !is_ending(scene, node));
    for (bin, node) in room.bins.iter_mut().zip(view.nodes()) {
        bin.taints.retain(|taint| !will_go(scene, node, taint));
        bin.starting = bin.taints.len() < node.taints.len();
        for (name, count) in late_devices(scene, node) {
            bin.free.extended.insert(name.clone(), count);
            bin.starting = true;
        }
    }
    room
}

/// What a young node lacks of what its shape has: a device shows up when its plugin has started.
fn late_devices<'a>(scene: &Scene<'a>, node: &'a Node) -> Vec<(&'a String, u64)> {
    let worker = scene.record_of(node);
    let pool = worker.and_then(|worker| scene.pool(&worker.pool));
    let (Some(worker), Some(pool)) = (worker, pool) else { return Vec::new() };
    if duration::since(node.created, scene.now) >= pool.join_deadline {
        return Vec::new();
    }
    let shapes = scene.observed.shapes.get(&pool.name).and_then(|shapes| shapes.known());
    let shape = shapes.into_iter().flatten().find(|shape| shape.name == worker.shape);
    let devices = shape.into_iter().flat_map(|shape| &shape.capacity.extended);
    let late = devices.filter(|(name, _)| !node.allocatable.extended.contains_key(*name));
    late.map(|(name, count)| (name, *count)).collect()
}

/// Whether a node's machine is being ended, though nobody keeps pods off it.
fn is_ending<'a>(scene: &Scene<'a>, node: &'a Node) -> bool {
    scene.record_of(node).is_some_and(|worker| {
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
    let is_off = |offering: &Offering| is_backed_off(scene, &pool.name, offering);
    let elsewhere = site(shape, None, labels, is_off);
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
            sites.push(site(shape, Some(&offering.zone), labels, is_off));
        }
    }
    NewNode { shape, allocatable, ports, sites, elsewhere }
}

/// A new node in a zone.
fn site<'a>(
    shape: &'a Shape,
    zone: Option<&'a Zone>,
    labels: &Labels,
    is_off: impl Fn(&Offering) -> bool,
) -> Site<'a> {
    let mut labels = labels.clone();
    labels.insert(INSTANCE_TYPE.to_owned(), shape.name.to_string());
    let zone_labels = ZONE_LABELS.into_iter().filter_map(|key| Some((key, zone?)));
    labels.extend(zone_labels.map(|(key, zone)| (key.to_owned(), zone.to_string())));
    let sold: Vec<&Offering> =
        shape.offerings.iter().filter(|offering| Some(&offering.zone) == zone).collect();
    let backed_off = sold.iter().all(|offering| is_off(offering));
    // What is taken there is what is not backed off, as far as there is any.
    let taken = sold.into_iter().filter(|offering| backed_off || !is_off(offering));
    let price = taken.filter_map(|offering| offering.price).map(|price| price.0).min();
    Site { zone, labels, price, backed_off }
}

/// Labels that every new node of a pool will have: those that all its nodes have alike, and those that the
/// configuration gives them. One that is not well yet may lack some that it will have.
fn labels(scene: &Scene<'_>, pool: &PoolConfig) -> Labels {
    let is_settled =
        |node: &&Node| node.is_ready() && !node.taints.iter().any(|it| will_go(scene, node, it));
    let settled: Vec<&Node> = nodes_of(scene, pool).filter(is_settled).collect();
    let all: Vec<&Node> = nodes_of(scene, pool).collect();
    let mut labels = common(if settled.is_empty() { &all } else { &settled });
    labels.retain(|key, _| {
        !OF_ONE_NODE.contains(&key.as_str()) && !ZONE_LABELS.contains(&key.as_str())
    });
    labels.entry(OS.to_owned()).or_insert_with(|| "linux".to_owned());
    // A pool without a node will have the processors that all others have.
    let every: Vec<&Node> = scene.view().into_iter().flat_map(ClusterView::nodes).collect();
    if let (false, Some(theirs)) =
        (labels.contains_key(ARCHITECTURE), common(&every).remove(ARCHITECTURE))
    {
        labels.insert(ARCHITECTURE.to_owned(), theirs);
    }
    labels.insert(POOL_LABEL.to_owned(), pool.name.to_string());
    labels.extend(pool.node.labels.clone());
    labels
}

/// Labels that all of these have alike.
fn common(nodes: &[&Node]) -> Labels {
    let Some((first, others)) = nodes.split_first() else { return Labels::new() };
    let mut labels = first.labels.clone();
    for node in others {
        labels.retain(|key, value| node.labels.get(key) == Some(value));
    }
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
    // One that is not Ready, or tells nothing that can be read, is no measure: unknown is not zero.
    let real: Vec<&Resources> = alike
        .filter_map(|worker| scene.node(worker))
        .filter(|node| node.is_ready())
        .map(|node| &node.allocatable)
        .filter(|offer| offer.cpu_milli > 0 && offer.memory > 0 && offer.pods > 0)
        .collect();
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
    let disks = real.iter().filter_map(|node| node.extended.get(DISK));
    promised.extended.insert(DISK.to_owned(), disks.min().copied().unwrap_or(u64::MAX));
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
    let mut most = Resources::default();
    for node in nodes_of(scene, pool) {
        most.raise_to(&asked(&node.at.name));
    }
    most
}
