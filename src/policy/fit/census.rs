//! Which pods are where, by their specs: thousands of pods have a few hundred.

use crate::model::PodSpec;
use std::collections::HashMap;
use std::ptr;

/// The index of a bin in its room.
pub(super) type At = usize;

/// Pods by spec, each as the bin it is in.
#[derive(Clone, Debug, Default)]
pub(super) struct Census<'a> {
    groups: Vec<Group<'a>>,
    /// By the address of the spec: equal specs are held once where they come from, and hashing whole ones
    /// costs more than all the rest. Equal ones at two addresses are two groups, which changes no answer.
    known: HashMap<usize, usize>,
    /// Those that must not be beside some others.
    keeping_off: Vec<usize>,
}

/// The pods of one spec.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    pub(super) spec: &'a PodSpec,
    /// One entry for each pod.
    pub(super) at: Vec<At>,
}

impl<'a> Census<'a> {
    pub(super) fn add(&mut self, spec: &'a PodSpec, at: At) {
        let next = self.groups.len();
        let group = *self.known.entry(ptr::from_ref(spec).addr()).or_insert(next);
        if group == next {
            self.groups.push(Group { spec, at: Vec::new() });
            if !spec.pod_anti_affinity.is_empty() {
                self.keeping_off.push(group);
            }
        }
        self.groups[group].at.push(at);
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Group<'a>> {
        self.groups.iter()
    }

    /// Those whose pods must not be beside some others.
    pub(super) fn keeping_off(&self) -> impl Iterator<Item = &Group<'a>> {
        self.keeping_off.iter().map(|group| &self.groups[*group])
    }
}
