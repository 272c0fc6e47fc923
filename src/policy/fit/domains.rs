//! Places by a label: nodes with the same value of it are one.

use super::bin::Bin;
use super::census::At;
use std::collections::HashMap;

/// The label by which each node is a place of its own.
pub(super) const HOSTNAME: &str = "kubernetes.io/hostname";

/// One place.
pub(super) type Domain = usize;

/// The places that one label makes of the bins of a room.
#[derive(Clone, Debug)]
pub(super) struct Domains<'a> {
    pub(super) key: &'a str,
    /// For each bin; `None` is a bin without the label.
    of: Vec<Option<Domain>>,
    names: HashMap<&'a str, Domain>,
    count: usize,
}

/// Where a bin is, as one label tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It has no such label.
    Nowhere,
    /// In this place.
    In(Domain),
    /// In a place that nobody is in yet.
    New,
}

impl<'a> Domains<'a> {
    pub(super) fn new(key: &'a str, bins: &[Bin<'a>]) -> Self {
        let mut domains = Self { key, of: Vec::new(), names: HashMap::new(), count: 0 };
        for bin in bins {
            domains.push(bin);
        }
        domains
    }

    /// One more bin.
    pub(super) fn push(&mut self, bin: &Bin<'a>) {
        let domain = match bin.labels.get(self.key) {
            Some(value) => Some(*self.names.entry(value).or_insert(self.count)),
            // It will have a name, and nobody knows which.
            None if bin.name.is_none() && self.key == HOSTNAME => Some(self.count),
            None => None,
        };
        if domain == Some(self.count) {
            self.count += 1;
        }
        self.of.push(domain);
    }

    /// A bin that is in no place any more.
    pub(super) fn forget(&mut self, at: At) {
        self.of[at] = None;
    }

    /// Where a bin of the room is.
    pub(super) fn at(&self, at: At) -> Option<Domain> {
        self.of[at]
    }

    /// Where a bin would be that is not in the room yet.
    pub(super) fn of_new(&self, bin: &Bin<'_>) -> Place {
        match bin.labels.get(self.key) {
            Some(value) => self.names.get(value.as_str()).map_or(Place::New, |it| Place::In(*it)),
            None if self.key == HOSTNAME => Place::New,
            None => Place::Nowhere,
        }
    }
}
