//! All nodes of a cluster, and the pods on them.

use super::bin::Bin;
use super::census::{At, Census, Group};
use super::domains::Domains;
use crate::model::{
    ClusterView, Cordon, Labels, Node, NodeName, NodeTerm, Pod, PodSpec, PoolName, VolumeNeed,
    ZONE_LABELS,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// No label at all.
static NO_LABELS: Labels = Labels::new();

/// No namespace at all.
static NO_NAMESPACES: BTreeMap<String, Labels> = BTreeMap::new();

/// What pods can be put into.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Room<'a> {
    pub(in crate::policy) bins: Vec<Bin<'a>>,
    /// The bins of nodes that are there.
    names: Rc<HashMap<&'a NodeName, At>>,
    /// Pods that were there from the first.
    there: Rc<Census<'a>>,
    /// Bins whose first pods count no more: they are on their way out.
    left: BTreeSet<At>,
    /// Pods that were put in since.
    put: Census<'a>,
    /// Volumes that pods which were put in since will have.
    taken: BTreeSet<&'a str>,
    pub(super) domains: Vec<Domains<'a>>,
    namespaces: &'a BTreeMap<String, Labels>,
}

impl<'a> Room<'a> {
    /// Every node of a cluster with its pods, each open or closed.
    pub(in crate::policy) fn new(
        view: &'a ClusterView,
        is_open: impl Fn(&'a Node) -> bool,
    ) -> Self {
        let mut bins: Vec<Bin<'_>> =
            view.nodes().map(|node| of_node(node, is_open(node))).collect();
        let names: HashMap<&NodeName, At> =
            view.nodes().enumerate().map(|(at, node)| (&node.at.name, at)).collect();
        let mut there = Census::default();
        for pod in view.pods() {
            if let Some(at) = pod.node().and_then(|name| names.get(name)) {
                bins[*at].take(&pod.spec);
                there.add(&pod.spec, *at);
            }
        }
        let (names, there) = (Rc::new(names), Rc::new(there));
        let mut room = Self { bins, names, there, namespaces: &view.namespaces, ..Self::empty() };
        room.know_domains();
        room
    }

    /// No node at all.
    pub(in crate::policy) fn empty() -> Self {
        Self {
            bins: Vec::new(),
            names: Rc::default(),
            there: Rc::default(),
            left: BTreeSet::new(),
            put: Census::default(),
            taken: BTreeSet::new(),
            domains: Vec::new(),
            namespaces: &NO_NAMESPACES,
        }
    }

    /// The places that pods already there speak of are told apart once, not in each copy.
    fn know_domains(&mut self) {
        for group in self.there.clone().groups() {
            topology_keys(group.spec).for_each(|key| {
                self.domain(key);
            });
        }
    }

    /// The places that a label makes; known from now on.
    pub(super) fn domain(&mut self, key: &'a str) -> usize {
        self.domains.iter().position(|known| known.key == key).unwrap_or_else(|| {
            self.domains.push(Domains::new(key, &self.bins));
            self.domains.len() - 1
        })
    }

    /// The bin of a node that is there.
    pub(in crate::policy) fn bin(&self, node: &NodeName) -> Option<&Bin<'a>> {
        self.names.get(node).map(|at| &self.bins[*at])
    }

    /// One more bin, without pods.
    pub(in crate::policy) fn open(&mut self, bin: Bin<'a>) -> At {
        self.domains.iter_mut().for_each(|domains| domains.push(&bin));
        self.bins.push(bin);
        self.bins.len() - 1
    }

    /// Closes the node of this name and lets its pods go. It stays a place until it is gone: a scheduler counts
    /// an empty node as one.
    pub(in crate::policy) fn vacate(&mut self, name: &NodeName) {
        if let Some(at) = self.names.get(name) {
            self.bins[*at].open = false;
            self.left.insert(*at);
        }
    }

    /// Closes the node of this name and takes it out of every place: another bin stands for it.
    pub(in crate::policy) fn hide(&mut self, name: &NodeName) {
        let Some(at) = self.names.get(name).copied() else { return };
        self.bins[at].open = false;
        self.bins[at].labels = &NO_LABELS;
        self.domains.iter_mut().for_each(|domains| domains.forget(at));
    }

    /// Closes nodes on which something has not started yet: they are room in time, and none now.
    pub(in crate::policy) fn close_starting(&mut self) {
        for bin in self.bins.iter_mut().filter(|bin| bin.starting) {
            bin.open = false;
        }
    }

    /// Closes every node of a pool: it is no home for long.
    pub(in crate::policy) fn close(&mut self, pool: &PoolName) {
        let ours = self.bins.iter_mut().filter(|bin| bin.pool == Some(pool));
        ours.for_each(|bin| bin.open = false);
    }

    /// Puts a pod into a bin.
    pub(super) fn put(&mut self, spec: &'a PodSpec, at: At) {
        let volumes = self.volumes_for(spec, &self.bins[at]).unwrap_or_default();
        self.taken.extend(volumes);
        self.bins[at].take(spec);
        self.put.add(spec, at);
    }

    /// Volumes that exist, are free, and can be used on a node, one for each that the pod will have one of; `None`
    /// where there are not enough.
    pub(super) fn volumes_for(&self, spec: &'a PodSpec, bin: &Bin<'_>) -> Option<Vec<&'a str>> {
        let mut chosen: Vec<&str> = Vec::new();
        for volume in &spec.volumes {
            let VolumeNeed::OneOf(free) = volume else { continue };
            let is_free = |name: &str| !self.taken.contains(name) && !chosen.contains(&name);
            let one = free.iter().find(|one| {
                is_free(&one.name) && one.on.as_ref().is_none_or(|terms| bin.is_one_of(terms))
            });
            chosen.push(&one?.name);
        }
        Some(chosen)
    }

    /// Pods by spec, with the bins they are in; those that leave are not.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&'a PodSpec, impl Iterator<Item = At>)> {
        self.there.groups().map(|group| self.staying(group)).chain(self.put.groups().map(all))
    }

    /// The same, of pods that must not be beside some others.
    pub(super) fn keeping_off(
        &self,
    ) -> impl Iterator<Item = (&'a PodSpec, impl Iterator<Item = At>)> {
        let there = self.there.keeping_off().map(|group| self.staying(group));
        there.chain(self.put.keeping_off().map(all))
    }

    fn staying<'s>(&'s self, group: &'s Group<'a>) -> (&'a PodSpec, Staying<'s>) {
        (group.spec, Staying { at: group.at.iter(), left: Some(&self.left) })
    }

    /// A namespace's labels.
    pub(super) fn namespace(&self, name: &str) -> Option<&'a Labels> {
        self.namespaces.get(name)
    }
}

fn all<'s, 'a>(group: &'s Group<'a>) -> (&'a PodSpec, Staying<'s>) {
    (group.spec, Staying { at: group.at.iter(), left: None })
}

/// The bins of a group's pods but those that are left.
struct Staying<'s> {
    at: std::slice::Iter<'s, At>,
    left: Option<&'s BTreeSet<At>>,
}

impl Iterator for Staying<'_> {
    type Item = At;

    fn next(&mut self) -> Option<At> {
        let left = self.left;
        self.at.by_ref().copied().find(|at| left.is_none_or(|left| !left.contains(at)))
    }
}

fn of_node(node: &Node, open: bool) -> Bin<'_> {
    Bin {
        pool: node.pool.as_ref().filter(|_| !node.control_plane),
        name: Some(&node.at.name),
        labels: &node.labels,
        taints: node.taints.iter().collect(),
        free: node.allocatable.clone(),
        ports: Vec::new(),
        open,
        cordoned: node.cordon != Cordon::None,
        starting: false,
    }
}

/// The labels by which a pod tells places apart.
fn topology_keys(spec: &PodSpec) -> impl Iterator<Item = &str> {
    let terms = spec.pod_affinity.iter().chain(&spec.pod_anti_affinity);
    let spread = spec.topology_spread.iter().map(|spread| spread.topology_key.as_str());
    terms.map(|term| term.topology_key.as_str()).chain(spread)
}

/// Whether nodes with the same value of a label are in one zone.
pub(super) fn is_zone(key: &str) -> bool {
    ZONE_LABELS.contains(&key)
}

/// Whether it matters to a pod in which zone its node is, as far as it says so itself.
pub(super) fn asks_for_zone(spec: &PodSpec) -> bool {
    let by_terms = |terms: &[NodeTerm]| {
        terms.iter().any(|term| term.labels.iter().any(|asked| is_zone(&asked.key)))
    };
    let by_volume = |volume: &VolumeNeed| match volume {
        VolumeNeed::On(terms) => by_terms(terms),
        VolumeNeed::OneOf(free) => {
            free.iter().any(|one| one.on.as_ref().is_some_and(|terms| by_terms(terms)))
        }
        VolumeNeed::Nowhere(_) => false,
    };
    spec.node_selector.keys().any(|key| is_zone(key))
        || spec.node_affinity.as_ref().is_some_and(|terms| by_terms(terms))
        || spec.volumes.iter().any(by_volume)
        || topology_keys(spec).any(is_zone)
}

/// A pod's name with its namespace's.
pub(in crate::policy) fn name(pod: &Pod) -> String {
    format!("{}/{}", pod.spec.namespace, pod.name)
}
