//! How evenly a spec's pods are spread, and where one more would make it too uneven.
//!
//! As kube-scheduler's `PodTopologySpread` counts: a node is counted if it has the labels of *all* the pod's
//! constraints, and, as each constraint says, if the pod's own affinity admits it and its taints are tolerated.

use super::census::At;
use super::domains::{Domain, HOSTNAME, Place};
use super::room::Room;
use crate::model::{PodSpec, Spread};

/// One constraint, and the pods it counts.
#[derive(Clone, Debug)]
struct Count<'a> {
    spread: &'a Spread,
    /// Index of what its label makes of the room.
    by: usize,
    /// Pods in each place; `None` is a place that does not count.
    pods: Vec<Option<u32>>,
    /// The fewest in any place that counts.
    fewest: u32,
    /// 1 if the pod counts itself.
    itself: u32,
}

/// All constraints of one spec.
#[derive(Clone, Debug)]
pub(super) struct Evenness<'a> {
    spec: &'a PodSpec,
    counts: Vec<Count<'a>>,
}

impl<'a> Evenness<'a> {
    pub(super) fn new(room: &mut Room<'a>, spec: &'a PodSpec) -> Self {
        let count = |spread: &'a Spread| Count {
            spread,
            by: room.domain(&spread.topology_key),
            pods: Vec::new(),
            fewest: 0,
            itself: u32::from(is_counted(spread, spec, spec)),
        };
        let mut evenness = Self { spec, counts: spec.topology_spread.iter().map(count).collect() };
        if !evenness.counts.is_empty() {
            (0..room.bins.len()).for_each(|at| evenness.see(room, at));
            evenness.count(room);
        }
        evenness
    }

    /// Pods that are there.
    fn count(&mut self, room: &Room<'a>) {
        for (other, at) in room.groups() {
            let counts = |count: &Count<'_>| is_counted(count.spread, self.spec, other);
            let counting: Vec<bool> = self.counts.iter().map(counts).collect();
            if counting.contains(&true) {
                at.for_each(|at| self.add(room, at, &counting));
            }
        }
        self.counts.iter_mut().for_each(Count::find_fewest);
    }

    /// A bin that is a place, or part of one. The fewest are counted when a pod is put.
    pub(super) fn see(&mut self, room: &Room<'a>, at: At) {
        if !self.has_all_labels(room, at) {
            return;
        }
        for count in
            self.counts.iter_mut().filter(|count| is_place(count.spread, self.spec, room, at))
        {
            let Some(domain) = room.domains[count.by].at(at) else { continue };
            if count.pods.len() <= domain {
                count.pods.resize(domain + 1, None);
            }
            count.pods[domain].get_or_insert(0);
        }
    }

    /// One more pod of the spec is in this bin.
    pub(super) fn put(&mut self, room: &Room<'a>, at: At) {
        if self.counts.is_empty() {
            return;
        }
        let counting: Vec<bool> = self.counts.iter().map(|count| count.itself == 1).collect();
        self.add(room, at, &counting);
        self.counts.iter_mut().for_each(Count::find_fewest);
    }

    fn add(&mut self, room: &Room<'a>, at: At, counting: &[bool]) {
        if !self.has_all_labels(room, at) {
            return;
        }
        let counts = self.counts.iter_mut().zip(counting).filter(|(_, counts)| **counts);
        for (count, _) in counts.filter(|(count, _)| is_place(count.spread, self.spec, room, at)) {
            let domain = room.domains[count.by].at(at);
            if let Some(Some(pods)) = domain.and_then(|domain| count.pods.get_mut(domain)) {
                *pods += 1;
            }
        }
    }

    fn has_all_labels(&self, room: &Room<'_>, at: At) -> bool {
        self.counts.iter().all(|count| room.domains[count.by].at(at).is_some())
    }

    /// How many of its pods an empty node can have while others have none.
    pub(super) fn most_on_a_node(&self) -> u64 {
        let by_node =
            |count: &&Count<'_>| count.itself == 1 && count.spread.topology_key == HOSTNAME;
        let skews = self.counts.iter().filter(by_node).map(|count| count.spread.max_skew);
        skews.min().map_or(u64::MAX, u64::from)
    }

    /// The first constraint that one more pod in this place would break.
    pub(super) fn broken(&self, place: impl Fn(usize) -> Place) -> Option<&'a Spread> {
        self.counts.iter().find(|count| count.forbids(place(count.by))).map(|count| count.spread)
    }
}

impl Count<'_> {
    fn forbids(&self, place: Place) -> bool {
        let (pods, fewest) = match place {
            Place::Nowhere => return true,
            Place::In(domain) => (self.in_place(domain), self.fewest),
            // A place of its own, and the emptiest.
            Place::New => (0, 0),
        };
        (pods + self.itself).saturating_sub(fewest) > self.spread.max_skew
    }

    fn in_place(&self, domain: Domain) -> u32 {
        self.pods.get(domain).copied().flatten().unwrap_or(0)
    }

    fn find_fewest(&mut self) {
        let places = self.pods.iter().flatten();
        let too_few = |least| places.clone().count() < least as usize;
        self.fewest = match self.spread.min_domains {
            Some(least) if too_few(least) => 0,
            _ => places.min().copied().unwrap_or(0),
        };
    }
}

/// Whether a constraint of a pod counts pods of the other spec.
fn is_counted(spread: &Spread, spec: &PodSpec, other: &PodSpec) -> bool {
    spec.namespace == other.namespace
        && spread.selector.as_ref().is_some_and(|selector| selector.chooses(&other.labels))
}

/// Whether a node is one that a constraint counts.
fn is_place(spread: &Spread, spec: &PodSpec, room: &Room<'_>, at: At) -> bool {
    let bin = &room.bins[at];
    (!spread.honors_affinity || bin.is_chosen(spec))
        && (!spread.honors_taints || !bin.cordoned && bin.untolerated(spec).is_none())
}
