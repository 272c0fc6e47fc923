//! Which places the pods that are there keep a pod off, and which they draw it to.
//!
//! As kube-scheduler's `InterPodAffinity` counts: for the pods that a pod must be beside, only those that *all* of
//! its terms mean; and the first of a series, which all its own terms mean, may be anywhere that has the labels.

use super::Predicate;
use super::census::At;
use super::domains::{Domain, Domains, Place};
use super::room::Room;
use crate::model::{Labels, PodSpec, PodTerm};
use std::collections::BTreeSet;

/// A term, and the places where pods are that it speaks of.
#[derive(Clone, Debug)]
struct Places {
    /// Index of what its label makes of the room.
    by: usize,
    at: BTreeSet<Domain>,
    /// Whether the pod itself is one that the term means.
    itself: bool,
}

/// Where one spec's pods must be, and must not, for what else is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Neighbours {
    /// Places of pods that must not be beside this one.
    kept_off: Vec<Places>,
    /// For each term, places of pods that this one must not be beside.
    keeps_off: Vec<Places>,
    /// For each term, places of pods that this one must be beside.
    beside: Vec<Places>,
    /// Whether there is any of them.
    is_anyone_there: bool,
    /// Whether it would be one of them itself.
    is_series: bool,
}

impl Neighbours {
    pub(super) fn new<'a>(room: &mut Room<'a>, spec: &'a PodSpec) -> Self {
        let mut neighbours = Self::default();
        neighbours.find_kept_off(room, spec);
        for term in &spec.pod_anti_affinity {
            let places = places(room, spec, term, |room, other| means(room, term, other));
            // Where it keeps its own off, each that is put keeps the next one off.
            let own = Places { at: BTreeSet::new(), ..places };
            neighbours.kept_off.extend(Some(own).filter(|own| own.itself));
            neighbours.keeps_off.push(places);
        }
        let terms = &spec.pod_affinity;
        let all =
            |room: &Room<'a>, other: &PodSpec| terms.iter().all(|term| means(room, term, other));
        for term in terms {
            let places = places(room, spec, term, all);
            neighbours.beside.push(places);
        }
        neighbours.is_anyone_there = neighbours.beside.iter().any(|term| !term.at.is_empty());
        neighbours.is_series = all(room, spec);
        neighbours
    }

    fn find_kept_off<'a>(&mut self, room: &mut Room<'a>, spec: &'a PodSpec) {
        let meant: Vec<(&'a PodTerm, Vec<At>)> = room
            .keeping_off()
            .map(|(owner, at)| {
                let terms = owner.pod_anti_affinity.iter();
                (terms.filter(|term| means(room, term, spec)).collect::<Vec<_>>(), at)
            })
            .filter(|(terms, _)| !terms.is_empty())
            .flat_map(|(terms, at)| {
                let at: Vec<At> = at.collect();
                terms.into_iter().map(move |term| (term, at.clone()))
            })
            .collect();
        for (term, at) in meant {
            let by = room.domain(&term.topology_key);
            let at = at.into_iter().filter_map(|at| room.domains[by].at(at)).collect();
            self.kept_off.push(Places { by, at, itself: false });
        }
    }

    /// Whether what else is there forbids a place.
    pub(super) fn forbids(&self, predicate: Predicate, place: impl Fn(usize) -> Place) -> bool {
        let is_in = |places: &Places| match place(places.by) {
            Place::In(domain) => places.at.contains(&domain),
            Place::New | Place::Nowhere => false,
        };
        match predicate {
            Predicate::AntiAffinityOfOthers => self.kept_off.iter().any(is_in),
            Predicate::AntiAffinity => self.keeps_off.iter().any(is_in),
            Predicate::PodAffinity => {
                let is_first = self.is_series && !self.is_anyone_there;
                let has_all = || self.beside.iter().all(|term| place(term.by) != Place::Nowhere);
                !(self.beside.iter().all(is_in) || is_first && has_all())
            }
            _ => false,
        }
    }

    /// Whether others keep it off places that one of these labels makes.
    pub(super) fn is_kept_off_by(&self, domains: &[Domains<'_>], label: fn(&str) -> bool) -> bool {
        self.kept_off.iter().any(|places| label(domains[places.by].key))
    }

    /// Whether two of its pods cannot be on one node.
    pub(super) fn keeps_itself_off(&self) -> bool {
        self.keeps_off.iter().any(|term| term.itself)
    }

    /// One more pod of the spec is in this bin.
    pub(super) fn put(&mut self, domains: &[Domains<'_>], at: At) {
        let domain = |places: &Places| domains[places.by].at(at);
        let off = self.keeps_off.iter_mut().chain(&mut self.kept_off);
        for places in off.filter(|places| places.itself) {
            places.at.extend(domain(places));
        }
        if self.is_series {
            for places in &mut self.beside {
                places.at.extend(domain(places));
            }
            self.is_anyone_there |= self.beside.iter().any(|term| !term.at.is_empty());
        }
    }
}

/// The places of pods that are meant.
fn places<'a>(
    room: &mut Room<'a>,
    spec: &PodSpec,
    term: &'a PodTerm,
    is_meant: impl Fn(&Room<'a>, &PodSpec) -> bool,
) -> Places {
    let by = room.domain(&term.topology_key);
    let meant = room.groups().filter(|(other, _)| is_meant(room, other));
    let at = meant.flat_map(|(_, at)| at).filter_map(|at| room.domains[by].at(at)).collect();
    Places { by, at, itself: is_meant(room, spec) }
}

/// Whether a term means pods of this spec. A namespace that nobody told of has no labels.
fn means(room: &Room<'_>, term: &PodTerm, spec: &PodSpec) -> bool {
    let none = Labels::new();
    let labels = room.namespace(&spec.namespace).unwrap_or(&none);
    term.means(&spec.namespace, labels, &spec.labels)
}
