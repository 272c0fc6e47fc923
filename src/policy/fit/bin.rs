//! Room for pods: a node, a worker on its way, or one that would be launched; and what of it can be told without
//! looking at any other.

use super::Predicate;
use crate::model::{
    Effect, HostPort, Labels, NodeName, NodeTerm, PodSpec, PoolName, Resources, Taint, VolumeNeed,
};

/// Room for pods on one node.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Bin<'a> {
    /// The pool it belongs to, if it belongs to one.
    pub(in crate::policy) pool: Option<&'a PoolName>,
    /// The node's name; one that is yet to come has none.
    pub(in crate::policy) name: Option<&'a NodeName>,
    pub(in crate::policy) labels: &'a Labels,
    pub(in crate::policy) taints: Vec<&'a Taint>,
    pub(in crate::policy) free: Resources,
    /// Ports of the node that are taken.
    pub(in crate::policy) ports: Vec<&'a HostPort>,
    /// Whether new pods may come. Pods in a closed one still count for those beside them.
    pub(in crate::policy) open: bool,
    /// Whether somebody keeps new pods off: a taint that is not among the others.
    pub(in crate::policy) cordoned: bool,
    /// Whether something on it has not started yet that pods will find there.
    pub(in crate::policy) starting: bool,
}

impl<'a> Bin<'a> {
    /// A node of which no more is known than this.
    pub(super) fn bare(labels: &'a Labels, taints: &'a [Taint]) -> Self {
        let taints = taints.iter().collect();
        let (free, ports) = (Resources::default(), Vec::new());
        let (pool, name, open) = (None, None, true);
        Self { pool, name, labels, taints, free, ports, open, cordoned: false, starting: false }
    }

    /// Whether this predicate forbids it a pod, as far as that is told by this bin alone; false where it
    /// takes the pods of others.
    pub(super) fn forbids(&self, predicate: Predicate, spec: &PodSpec) -> bool {
        let asked = &spec.requests;
        match predicate {
            Predicate::Closed => !self.open,
            Predicate::NodeSelector => self.missing_label(spec).is_some(),
            Predicate::NodeAffinity => !self.has_affinity(spec),
            Predicate::Taints => self.untolerated(spec).is_some(),
            Predicate::Volumes => !spec.volumes.iter().all(|volume| self.admits(volume)),
            Predicate::Cpu => asked.cpu_milli > self.free.cpu_milli,
            Predicate::Memory => asked.memory > self.free.memory,
            Predicate::PodCount => asked.pods > self.free.pods,
            Predicate::Extended => asked
                .extended
                .iter()
                .any(|(name, count)| *count > self.free.extended.get(name).copied().unwrap_or(0)),
            Predicate::HostPorts => {
                let clashes = |port: &HostPort| self.ports.iter().any(|taken| taken.clashes(port));
                spec.host_ports.iter().any(clashes)
            }
            Predicate::AntiAffinityOfOthers
            | Predicate::AntiAffinity
            | Predicate::PodAffinity
            | Predicate::TopologySpread => false,
        }
    }

    /// Whether there is room for a pod, and the node itself keeps it off: a new one is often closed or tainted for a
    /// while.
    pub(in crate::policy) fn keeps_off(&self, spec: &PodSpec) -> bool {
        let mut forbidding =
            Predicate::ALL.iter().filter(|one| self.forbids(**one, spec)).peekable();
        forbidding.peek().is_some() && forbidding.all(|one| one.is_of_node())
    }

    /// Whether the pod's own selector and affinity admit the node.
    pub(super) fn is_chosen(&self, spec: &PodSpec) -> bool {
        self.missing_label(spec).is_none() && self.has_affinity(spec)
    }

    /// The first label that the pod asks for and the node lacks.
    pub(super) fn missing_label<'s>(&self, spec: &'s PodSpec) -> Option<(&'s String, &'s String)> {
        spec.node_selector.iter().find(|(key, value)| self.labels.get(*key) != Some(value))
    }

    fn has_affinity(&self, spec: &PodSpec) -> bool {
        spec.node_affinity.as_ref().is_none_or(|terms| self.is_one_of(terms))
    }

    /// The first taint that keeps the pod off.
    pub(super) fn untolerated(&self, spec: &PodSpec) -> Option<&'a Taint> {
        self.taints.iter().copied().find(|taint| {
            taint.effect != Effect::PreferNoSchedule
                && !spec.tolerations.iter().any(|toleration| toleration.covers(taint))
        })
    }

    /// Whether a volume can be used there; which of several it becomes is told by those that are taken.
    pub(super) fn admits(&self, volume: &VolumeNeed) -> bool {
        match volume {
            VolumeNeed::On(terms) => self.is_one_of(terms),
            VolumeNeed::OneOf(free) => {
                free.iter().any(|one| one.on.as_ref().is_none_or(|terms| self.is_one_of(terms)))
            }
            VolumeNeed::Nowhere(_) => false,
        }
    }

    pub(super) fn is_one_of(&self, terms: &[NodeTerm]) -> bool {
        terms.iter().any(|term| term.admits(self.labels, self.name))
    }

    /// Takes a pod in.
    pub(super) fn take(&mut self, spec: &'a PodSpec) {
        self.free.subtract(&spec.requests);
        self.ports.extend(&spec.host_ports);
    }
}
