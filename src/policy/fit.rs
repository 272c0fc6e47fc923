//! Do pods fit: onto the room there is, onto workers on their way, onto new ones. Pure arithmetic.
//!
//! First-fit decreasing over pods grouped by spec: thousands of pods have a few hundred specs, and
//! pods of one spec behave alike.

use super::scene::Scene;
use crate::config::NodeTemplate;
use crate::model::{
    ClusterView, Cordon, Effect, Node, NodeName, Pod, PodSpec, PoolName, Resources, Shape,
    ShapeName, Taint, Uid, WorkerState,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Room for pods: a node, a worker on its way, or one that would be launched.
#[derive(Clone, Debug)]
pub(super) struct Bin<'a> {
    /// The pool it belongs to, if it belongs to one.
    pub(super) pool: Option<&'a PoolName>,
    pub(super) free: Resources,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) taints: &'a [Taint],
}

/// A worker that would be launched, and the pods it is for.
#[derive(Clone, Debug)]
pub(super) struct NewBin {
    pub(super) pool: PoolName,
    pub(super) shape: ShapeName,
    pub(super) pods: Vec<Uid>,
}

/// Where the unschedulable pods of a cluster would go.
#[derive(Debug, Default)]
pub(super) struct Packing {
    /// Workers to launch.
    pub(super) new: Vec<NewBin>,
    /// Pods that find room on what exists or is on its way.
    pub(super) absorbed: Vec<Uid>,
    /// Pods that no shape of any pool could host: each with what is missing.
    pub(super) unhostable: Vec<(String, String)>,
    /// Pods that a pool could host that may not grow for them now.
    pub(super) waiting: Vec<Uid>,
    /// What each pool has free when all of this is there.
    pub(super) free: BTreeMap<PoolName, Resources>,
}

/// A node that could be launched: a shape, and what pods will be able to use of it.
#[derive(Clone, Debug)]
pub(super) struct NewNode<'a> {
    pub(super) shape: &'a Shape,
    pub(super) allocatable: Resources,
}

/// One pool that may take new workers.
pub(super) struct Grower<'a> {
    pub(super) pool: &'a PoolName,
    pub(super) nodes: &'a [NewNode<'a>],
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) taints: &'a [Taint],
    /// How many more workers it may have.
    pub(super) room: u32,
}

/// Whether a spec may stand on a place with these labels and taints, whatever its size. The
/// predicate that forbids it, in words, otherwise.
pub(super) fn admits(
    spec: &PodSpec,
    labels: &BTreeMap<String, String>,
    taints: &[Taint],
) -> Result<(), String> {
    if let Some(what) = not_judged(spec) {
        return Err(format!("it asks for {what}, which is not judged yet"));
    }
    for (key, value) in &spec.node_selector {
        if labels.get(key) != Some(value) {
            return Err(format!("no node has the label {key}={value}"));
        }
    }
    for taint in taints.iter().filter(|taint| taint.effect != Effect::PreferNoSchedule) {
        if !spec.tolerations.iter().any(|toleration| toleration.covers(taint)) {
            return Err(format!("the taint {}={} is not tolerated", taint.key, taint.value));
        }
    }
    Ok(())
}

/// What a pod asks for that no rule here knows: it is not taken for granted, neither for pods that must move nor for
/// workers to launch.
fn not_judged(spec: &PodSpec) -> Option<&'static str> {
    let asked = [
        (spec.node_affinity.is_some(), "node affinity"),
        (!spec.pod_affinity.is_empty(), "pod affinity"),
        (!spec.pod_anti_affinity.is_empty(), "pod anti-affinity"),
        (!spec.topology_spread.is_empty(), "topology spread"),
        (!spec.host_ports.is_empty(), "ports of the node"),
        (!spec.volumes.is_empty(), "volumes that are not everywhere"),
    ];
    asked.into_iter().find_map(|(is_asked, what)| is_asked.then_some(what))
}

/// What a node still has room for.
pub(super) fn free(scene: &Scene<'_>, node: &Node) -> Resources {
    let mut free = node.allocatable.clone();
    for pod in scene.pods_on(&node.at.name) {
        free.subtract(&pod.spec.requests);
    }
    free
}

/// Whether new pods may come to a node.
pub(super) fn is_open(node: &Node) -> bool {
    node.is_ready() && node.cordon == Cordon::None
}

/// Whether a node's machine is being ended, though nobody keeps pods off it.
fn is_ending(scene: &Scene<'_>, node: &Node) -> bool {
    let record = node.worker.as_ref().and_then(|id| scene.memory.workers.get(id));
    record.is_some_and(|worker| {
        matches!(worker.state, WorkerState::Failed { .. } | WorkerState::Terminating)
    })
}

/// Packs pods onto existing bins, then onto new workers of the growers.
pub(super) fn pack(
    pods: &[&Pod],
    mut bins: Vec<Bin<'_>>,
    growers: &[Grower<'_>],
    all: &[Grower<'_>],
) -> Packing {
    let mut packing = Packing::default();
    let mut opened: Vec<(usize, Bin<'_>)> = Vec::new();
    let mut room: Vec<u32> = growers.iter().map(|grower| grower.room).collect();
    for (spec, pods) in grouped(pods) {
        let mut left = pods.into_iter();
        let mut pod = left.next();
        // A bin that refused a spec once refuses it for good: nothing is taken out while packing.
        let (mut bin, mut new) = (0, 0);
        while let Some(current) = pod {
            if let Some(at) = next_fitting(&mut bins, &mut bin, &spec) {
                bins[at].free.subtract(&spec.requests);
                packing.absorbed.push(current.uid.clone());
            } else if let Some(at) = next_opened(&opened, &mut new, &spec) {
                opened[at].1.free.subtract(&spec.requests);
                packing.new[opened[at].0].pods.push(current.uid.clone());
            } else if let Some((which, node)) = choose(growers, &room, &spec) {
                room[which] -= 1;
                let grower = &growers[which];
                let mut free = node.allocatable.clone();
                free.subtract(&spec.requests);
                opened.push((
                    packing.new.len(),
                    Bin {
                        pool: Some(grower.pool),
                        free,
                        labels: grower.labels,
                        taints: grower.taints,
                    },
                ));
                let pods = vec![current.uid.clone()];
                packing.new.push(NewBin {
                    pool: grower.pool.clone(),
                    shape: node.shape.name.clone(),
                    pods,
                });
            } else {
                let rest = std::iter::once(current).chain(left.by_ref());
                match hostable(all, &spec) {
                    Ok(()) => packing.waiting.extend(rest.map(|pod| pod.uid.clone())),
                    Err(why) => packing.unhostable.extend(rest.map(|pod| (name(pod), why.clone()))),
                }
            }
            pod = left.next();
        }
    }
    let opened = opened.iter().map(|(_, bin)| bin);
    for bin in bins.iter().chain(opened) {
        if let Some(pool) = bin.pool {
            packing.free.entry(pool.clone()).or_default().add(&bin.free);
        }
    }
    packing
}

/// Whether all these pods find room on these bins together.
pub(super) fn all_fit<'p>(
    pods: impl Iterator<Item = &'p Pod>,
    bins: &mut [Bin<'_>],
) -> Result<(), String> {
    let pods: Vec<&Pod> = pods.collect();
    for (spec, pods) in grouped(&pods) {
        let mut at = 0;
        for pod in pods {
            match next_fitting(bins, &mut at, &spec) {
                Some(bin) => bins[bin].free.subtract(&spec.requests),
                None => return Err(name(pod)),
            }
        }
    }
    Ok(())
}

/// `namespace/name`.
pub(super) fn name(pod: &Pod) -> String {
    format!("{}/{}", pod.spec.namespace, pod.name)
}

/// Pods by spec, the largest first.
fn grouped<'p>(pods: &[&'p Pod]) -> Vec<(Arc<PodSpec>, Vec<&'p Pod>)> {
    let mut groups: HashMap<&Arc<PodSpec>, Vec<&Pod>> = HashMap::new();
    for pod in pods {
        groups.entry(&pod.spec).or_default().push(pod);
    }
    let mut groups: Vec<_> = groups.into_iter().map(|(spec, pods)| (spec.clone(), pods)).collect();
    // By size, then by the first pod's name, so that equal views give equal plans.
    groups.sort_by(|(a, first), (b, second)| {
        let size = |spec: &PodSpec| (spec.requests.cpu_milli, spec.requests.memory);
        size(b).cmp(&size(a)).then_with(|| first[0].uid.cmp(&second[0].uid))
    });
    groups
}

fn next_fitting(bins: &mut [Bin<'_>], at: &mut usize, spec: &PodSpec) -> Option<usize> {
    while *at < bins.len() {
        let bin = &bins[*at];
        if spec.requests.fits_in(&bin.free) && admits(spec, bin.labels, bin.taints).is_ok() {
            return Some(*at);
        }
        *at += 1;
    }
    None
}

fn next_opened(opened: &[(usize, Bin<'_>)], at: &mut usize, spec: &PodSpec) -> Option<usize> {
    while *at < opened.len() {
        let bin = &opened[*at].1;
        if spec.requests.fits_in(&bin.free) && admits(spec, bin.labels, bin.taints).is_ok() {
            return Some(*at);
        }
        *at += 1;
    }
    None
}

/// The cheapest node of any pool with room that hosts the spec; the smaller one where prices agree.
fn choose<'g>(
    growers: &'g [Grower<'g>],
    room: &[u32],
    spec: &PodSpec,
) -> Option<(usize, &'g NewNode<'g>)> {
    let nodes = growers.iter().enumerate().filter(|(which, _)| room[*which] > 0).flat_map(
        |(which, grower)| {
            let admitted = admits(spec, grower.labels, grower.taints).is_ok();
            grower.nodes.iter().filter(move |_| admitted).map(move |node| (which, node))
        },
    );
    let hosts = |node: &NewNode<'_>| {
        spec.requests.fits_in(&node.allocatable) && !node.shape.offerings.is_empty()
    };
    nodes.filter(|(_, node)| hosts(node)).min_by_key(|(which, node)| {
        (cheapest(node.shape), node.allocatable.cpu_milli, node.allocatable.memory, *which)
    })
}

/// The cheapest shape for one pod on a node that will look like this.
pub(super) fn cheapest_for(
    spec: &PodSpec,
    nodes: &[NewNode<'_>],
    template: &NodeTemplate,
) -> Option<ShapeName> {
    let (labels, taints) = (&template.labels, &template.taints);
    let growers = [Grower { pool: &"".into(), nodes, labels, taints, room: 1 }];
    choose(&growers, &[1], spec).map(|(_, node)| node.shape.name.clone())
}

/// The lowest price of a shape; one without any known price comes last.
pub(super) fn cheapest(shape: &Shape) -> u64 {
    shape
        .offerings
        .iter()
        .filter_map(|offering| offering.price)
        .map(|price| price.0)
        .min()
        .unwrap_or(u64::MAX)
}

/// Whether any shape of any pool could ever host the spec, and what is missing otherwise.
fn hostable(growers: &[Grower<'_>], spec: &PodSpec) -> Result<(), String> {
    let mut missing = "no pool has a shape".to_owned();
    for grower in growers {
        if let Err(why) = admits(spec, grower.labels, grower.taints) {
            missing = why;
            continue;
        }
        if grower.nodes.iter().any(|node| spec.requests.fits_in(&node.allocatable)) {
            return Ok(());
        }
        missing = lacking(&spec.requests, grower);
    }
    Err(missing)
}

/// What of these requests is more than any shape of a pool offers.
fn lacking(requests: &Resources, grower: &Grower<'_>) -> String {
    let most = |measure: &dyn Fn(&Resources) -> u64| {
        grower.nodes.iter().map(|node| measure(&node.allocatable)).max().unwrap_or(0)
    };
    let mut parts = Vec::new();
    if requests.cpu_milli > most(&|offer| offer.cpu_milli) {
        parts.push(format!("{}m CPU", requests.cpu_milli));
    }
    if requests.memory > most(&|offer| offer.memory) {
        parts.push(format!("{} MiB", requests.memory >> 20));
    }
    for (name, count) in &requests.extended {
        if *count > most(&|offer| offer.extended.get(name).copied().unwrap_or(0)) {
            parts.push(format!("{count} {name}"));
        }
    }
    if parts.is_empty() {
        // Each alone would be there, but not all of them on one shape.
        parts.push(format!("{}m CPU with {} MiB", requests.cpu_milli, requests.memory >> 20));
    }
    format!("it asks for {}, more than any shape of pool {} offers", parts.join(", "), grower.pool)
}

/// Bins of every open node but these.
pub(super) fn bins_without<'a>(scene: &Scene<'a>, without: &[&NodeName]) -> Vec<Bin<'a>> {
    let nodes = scene.view().into_iter().flat_map(ClusterView::nodes);
    let open = nodes.filter(|node| is_open(node) && !without.contains(&&node.at.name));
    let open = open.filter(|node| !is_ending(scene, node));
    let bin = |node: &'a Node| Bin {
        pool: node.pool.as_ref().filter(|_| !node.control_plane),
        free: free(scene, node),
        labels: &node.labels,
        taints: &node.taints,
    };
    open.map(bin).collect()
}
