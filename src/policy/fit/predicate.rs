//! What can forbid a pod a node. Each is one filter of kube-scheduler's, or a part of one.

use std::fmt;

/// What forbids a pod a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Predicate {
    /// The node takes no new pods: it is not Ready, or cordoned.
    Closed,
    /// It lacks a label that `nodeSelector` names.
    NodeSelector,
    /// The required node affinity does not admit it.
    NodeAffinity,
    /// One of its taints is not tolerated.
    Taints,
    /// A volume cannot be used there.
    Volumes,
    /// It has too little CPU left.
    Cpu,
    /// It has too little memory left.
    Memory,
    /// It has as many pods as it takes.
    PodCount,
    /// It has too little left of another resource.
    Extended,
    /// A port of the node is taken.
    HostPorts,
    /// A pod in the same place must not be beside pods like this one.
    AntiAffinityOfOthers,
    /// A pod in the same place is one that this one must not be beside.
    AntiAffinity,
    /// No pod is there that this one must be beside.
    PodAffinity,
    /// Its pods would be spread too unevenly.
    TopologySpread,
}

impl Predicate {
    /// All of them, in the order in which they are asked: what never changes of a node first.
    pub const ALL: [Self; 14] = [
        Self::Closed,
        Self::NodeSelector,
        Self::NodeAffinity,
        Self::Taints,
        Self::Volumes,
        Self::Cpu,
        Self::Memory,
        Self::PodCount,
        Self::Extended,
        Self::HostPorts,
        Self::AntiAffinityOfOthers,
        Self::AntiAffinity,
        Self::PodAffinity,
        Self::TopologySpread,
    ];

    /// Its name, for labels of metrics and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::NodeSelector => "node_selector",
            Self::NodeAffinity => "node_affinity",
            Self::Taints => "taints",
            Self::Volumes => "volumes",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::PodCount => "pod_count",
            Self::Extended => "extended",
            Self::HostPorts => "host_ports",
            Self::AntiAffinityOfOthers => "anti_affinity_of_others",
            Self::AntiAffinity => "anti_affinity",
            Self::PodAffinity => "pod_affinity",
            Self::TopologySpread => "topology_spread",
        }
    }

    /// What is wrong with a node that there is, for people.
    pub(in crate::policy) fn words(self) -> &'static str {
        match self {
            Self::Closed => "it takes no new pods",
            Self::NodeSelector => "it lacks a label that the pod's nodeSelector names",
            Self::NodeAffinity => "the pod's node affinity does not admit it",
            Self::Taints => "it has a taint that the pod does not tolerate",
            Self::Volumes => "a volume of the pod cannot be used there",
            Self::Cpu => "too little CPU is left",
            Self::Memory => "too little memory is left",
            Self::PodCount => "it has as many pods as it takes",
            Self::Extended => "too little of another resource is left",
            Self::HostPorts => "a port of the node that the pod asks for is taken",
            Self::AntiAffinityOfOthers => "a pod there must not be beside pods like it",
            Self::AntiAffinity => "a pod is there that it must not be beside",
            Self::PodAffinity => "no pod is there that it must be beside",
            Self::TopologySpread => "its pods would be spread too unevenly",
        }
    }

    /// Those that pods on other nodes have a say in: of several volumes, they may take the last.
    pub(super) const OF_OTHERS: [Self; 5] = [
        Self::Volumes,
        Self::AntiAffinityOfOthers,
        Self::AntiAffinity,
        Self::PodAffinity,
        Self::TopologySpread,
    ];

    /// Whether it speaks of the node itself, whatever pods are on it.
    pub(super) fn is_of_node(self) -> bool {
        matches!(self, Self::Closed | Self::NodeSelector | Self::NodeAffinity | Self::Taints)
    }

    /// Whether pods that are put elsewhere meanwhile can lift it; what else forbids a node once forbids it until
    /// somebody leaves.
    pub(super) fn may_pass(self) -> bool {
        matches!(self, Self::PodAffinity | Self::TopologySpread)
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
