//! Nodes that could be launched, and which of them is taken for a pod.

use super::bin::Bin;
use super::judge::Judge;
use super::room::Room;
use crate::config::Expander;
use crate::model::{HostPort, Labels, PodSpec, PoolName, Resources, Shape, ShapeName, Taint, Zone};
use std::collections::BTreeMap;

/// A node that could be launched: a shape, and what pods will find on it.
#[derive(Clone, Debug)]
pub(in crate::policy) struct NewNode<'a> {
    pub(in crate::policy) shape: &'a Shape,
    pub(in crate::policy) allocatable: Resources,
    /// Ports of the node that daemon pods will take.
    pub(in crate::policy) ports: Vec<&'a HostPort>,
    /// Where it is sold.
    pub(in crate::policy) sites: Vec<Site<'a>>,
    /// As it would be somewhere else.
    pub(in crate::policy) elsewhere: Site<'a>,
}

/// Where a node would be.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Site<'a> {
    pub(in crate::policy) zone: Option<&'a Zone>,
    pub(in crate::policy) labels: Labels,
    /// Of one hour, in the cheapest way it is sold there; `None` is unknown.
    pub(in crate::policy) price: Option<u64>,
    /// Whether every way it is sold there came to nothing lately.
    pub(in crate::policy) backed_off: bool,
}

/// One pool that may take new workers.
pub(in crate::policy) struct Grower<'a> {
    pub(in crate::policy) pool: &'a PoolName,
    /// Pools of a higher one are asked first.
    pub(in crate::policy) priority: u32,
    pub(in crate::policy) nodes: &'a [NewNode<'a>],
    pub(in crate::policy) taints: &'a [Taint],
    /// How many more workers it may have.
    pub(in crate::policy) room: u32,
    /// How many it has in each zone.
    pub(in crate::policy) zones: BTreeMap<&'a Zone, u32>,
}

/// What is to be launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Chosen {
    pub(in crate::policy) shape: ShapeName,
    /// The zone it must be in for its pods; `None` where any will do.
    pub(in crate::policy) zone: Option<Zone>,
}

impl Chosen {
    pub(in crate::policy) fn anywhere(shape: &ShapeName) -> Self {
        Self { shape: shape.clone(), zone: None }
    }
}

/// One node that may be taken.
#[derive(Clone, Copy)]
pub(super) struct Choice<'a> {
    /// Index of the grower.
    pub(super) grower: usize,
    pub(super) node: &'a NewNode<'a>,
    pub(super) site: &'a Site<'a>,
}

impl<'a> NewNode<'a> {
    /// What it is for pods.
    pub(in crate::policy) fn bin(
        &'a self,
        site: &'a Site<'a>,
        pool: &'a PoolName,
        taints: &'a [Taint],
    ) -> Bin<'a> {
        Bin {
            pool: Some(pool),
            free: self.allocatable.clone(),
            ports: self.ports.clone(),
            ..Bin::bare(&site.labels, taints)
        }
    }

    /// As it is in this zone.
    pub(in crate::policy) fn in_zone(&self, zone: &Zone) -> &Site<'a> {
        self.sites.iter().find(|site| site.zone == Some(zone)).unwrap_or(&self.elsewhere)
    }
}

impl<'a> Grower<'a> {
    pub(super) fn bin(&'a self, node: &'a NewNode<'a>, site: &'a Site<'a>) -> Bin<'a> {
        node.bin(site, self.pool, self.taints)
    }
}

/// The best node for pods of a spec, `waiting` of which find no room yet. `room` is how many more workers each pool
/// may have, `zones` how many it has by now in each zone.
pub(super) fn choose<'a>(
    growers: &'a [Grower<'a>],
    expanders: &[Expander],
    (left, zones): (&[u32], &[BTreeMap<&'a Zone, u32>]),
    (judge, waiting): (&Judge<'a>, u64),
    room: &Room<'a>,
) -> Option<Choice<'a>> {
    let open = growers.iter().enumerate().filter(|(which, _)| left[*which] > 0);
    let choices = open.flat_map(|(grower, pool)| {
        let sites = |node: &'a NewNode<'a>| node.sites.iter().map(move |site| (node, site));
        let all = pool.nodes.iter().flat_map(sites);
        all.map(move |(node, site)| Choice { grower, node, site })
    });
    let fits = |choice: &Choice<'a>| {
        let bin = growers[choice.grower].bin(choice.node, choice.site);
        judge.first_of_new(room, &bin).is_none()
    };
    let fitting: Vec<Choice<'a>> = choices.filter(fits).collect();
    // Of one pool only: whether another may launch at all, is not known here.
    let is_second = |choice: &Choice<'a>| {
        let is_first = |one: &Choice<'a>| one.grower == choice.grower && !one.site.backed_off;
        choice.site.backed_off && fitting.iter().any(is_first)
    };
    fitting.iter().filter(|choice| !is_second(choice)).copied().min_by_key(|choice| {
        let holds = choice.holds(judge.spec, waiting.min(judge.most_on_a_node()));
        let mut ranks = [0; Expander::ALL.len()];
        for (rank, expander) in ranks.iter_mut().zip(expanders) {
            *rank = choice.rank(*expander, growers[choice.grower].priority, judge.spec, holds);
        }
        let allocatable = &choice.node.allocatable;
        let there = choice.site.zone.and_then(|zone| zones[choice.grower].get(zone));
        let there = there.copied().unwrap_or(0);
        (ranks, allocatable.cpu_milli, allocatable.memory, choice.grower, there)
    })
}

impl Choice<'_> {
    /// How many pods of a spec it would hold, of so many.
    fn holds(&self, spec: &PodSpec, waiting: u64) -> u64 {
        let (has, asked) = (&self.node.allocatable, &spec.requests);
        let extended = asked.extended.iter();
        let extended = extended.map(|(name, count)| (has.extended.get(name).copied(), *count));
        let plain = [
            (Some(has.cpu_milli), asked.cpu_milli),
            (Some(has.memory), asked.memory),
            (Some(has.pods), asked.pods),
        ];
        let times = plain.into_iter().chain(extended).filter(|(_, asked)| *asked > 0);
        let times = times.map(|(has, asked)| has.unwrap_or(0) / asked);
        times.min().unwrap_or(u64::MAX).min(waiting).max(1)
    }

    /// Where one expander puts it: the lowest comes first.
    fn rank(&self, expander: Expander, priority: u32, spec: &PodSpec, holds: u64) -> u64 {
        match expander {
            Expander::Priority => u64::from(u32::MAX - priority),
            Expander::Price => {
                self.site.price.map_or(u64::MAX, |price| price.saturating_mul(1_000) / holds)
            }
            Expander::LeastWaste => {
                let (has, asked) = (&self.node.allocatable, &spec.requests);
                let used = |asked: u64, has: u64| asked.saturating_mul(holds * 1_000) / has.max(1);
                2_000_u64.saturating_sub(
                    used(asked.cpu_milli, has.cpu_milli) + used(asked.memory, has.memory),
                )
            }
            Expander::Fewest => u64::MAX - holds,
        }
    }
}
