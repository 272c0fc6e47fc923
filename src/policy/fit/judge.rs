//! What forbids the pods of one spec each node, as things stand.

use super::Predicate;
use super::bin::Bin;
use super::census::At;
use super::domains::Place;
use super::neighbours::Neighbours;
use super::room::{Room, asks_for_zone, is_zone};
use super::spread::Evenness;
use crate::model::{PodSpec, Spread};

/// One spec, with what is known of the pods beside which its own would be. It must be told of each pod of the spec
/// that is put and of each bin that is opened; a pod of another spec makes it void.
pub(super) struct Judge<'a> {
    pub(super) spec: &'a PodSpec,
    neighbours: Neighbours,
    evenness: Evenness<'a>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(room: &mut Room<'a>, spec: &'a PodSpec) -> Self {
        let (neighbours, evenness) = (Neighbours::new(room, spec), Evenness::new(room, spec));
        Self { spec, neighbours, evenness }
    }

    /// All that forbids a bin of the room.
    pub(super) fn all(&self, room: &Room<'a>, at: At) -> Vec<Predicate> {
        Predicate::ALL.into_iter().filter(|predicate| self.forbids(*predicate, room, at)).collect()
    }

    /// Whether a predicate forbids a bin of the room.
    fn forbids(&self, predicate: Predicate, room: &Room<'a>, at: At) -> bool {
        let place = |by: usize| room.domains[by].at(at).map_or(Place::Nowhere, Place::In);
        self.forbids_at(predicate, room, &room.bins[at], place)
    }

    /// The first predicate that forbids a bin of the room.
    pub(super) fn first(&self, room: &Room<'a>, at: At) -> Option<Predicate> {
        Predicate::ALL.into_iter().find(|predicate| self.forbids(*predicate, room, at))
    }

    /// The same of a bin that nothing but the pods on others forbade, and that nobody was put into since.
    pub(super) fn first_of_others(&self, room: &Room<'a>, at: At) -> Option<Predicate> {
        Predicate::OF_OTHERS.into_iter().find(|predicate| self.forbids(*predicate, room, at))
    }

    /// The first predicate that forbids a bin that is not in the room yet.
    pub(super) fn first_of_new(&self, room: &Room<'a>, bin: &Bin<'a>) -> Option<Predicate> {
        let place = |by: usize| room.domains[by].of_new(bin);
        Predicate::ALL.into_iter().find(|predicate| self.forbids_at(*predicate, room, bin, place))
    }

    fn forbids_at(
        &self,
        predicate: Predicate,
        room: &Room<'a>,
        bin: &Bin<'a>,
        place: impl Fn(usize) -> Place,
    ) -> bool {
        match predicate {
            Predicate::TopologySpread => self.evenness.broken(place).is_some(),
            Predicate::AntiAffinityOfOthers | Predicate::AntiAffinity | Predicate::PodAffinity => {
                self.neighbours.forbids(predicate, place)
            }
            Predicate::Volumes => {
                bin.forbids(predicate, self.spec) || room.volumes_for(self.spec, bin).is_none()
            }
            _ => bin.forbids(predicate, self.spec),
        }
    }

    /// Whether it matters in which zone a node for it is: to itself, or to pods that are there.
    pub(super) fn minds_zone(&self, room: &Room<'a>) -> bool {
        asks_for_zone(self.spec) || self.neighbours.is_kept_off_by(&room.domains, is_zone)
    }

    /// How many of its pods one node can have, whatever its size.
    pub(super) fn most_on_a_node(&self) -> u64 {
        let alone = self.neighbours.keeps_itself_off() || !self.spec.host_ports.is_empty();
        if alone { 1 } else { self.evenness.most_on_a_node() }
    }

    /// The constraint that one more pod in this bin would break.
    pub(super) fn broken(&self, room: &Room<'a>, bin: &Bin<'a>) -> Option<&'a Spread> {
        self.evenness.broken(|by| room.domains[by].of_new(bin))
    }

    /// Puts one pod into a bin.
    pub(super) fn put(&mut self, room: &mut Room<'a>, at: At) {
        room.put(self.spec, at);
        self.neighbours.put(&room.domains, at);
        self.evenness.put(room, at);
    }

    /// Opens a bin and puts one pod into it.
    pub(super) fn open(&mut self, room: &mut Room<'a>, bin: Bin<'a>) -> At {
        let at = room.open(bin);
        self.evenness.see(room, at);
        self.put(room, at);
        at
    }
}
