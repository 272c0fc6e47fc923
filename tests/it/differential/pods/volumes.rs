//! Volumes that are there, elsewhere, too small, or yet to be made.

use super::maker::Maker;
use crate::differential::world::{Door, Place, ZONE, ZONES};
use serde_json::Value;

impl Maker<'_> {
    pub(super) fn want_a_volume(&mut self) {
        let name = format!("c{}", self.draft.name);
        match self.one(&[0, 1, 1, 1, 1, 1, 2, 3, 4, 4, 5, 6, 6, 7]) {
            0 => self.draft.claims.push("absent".to_owned()),
            1 => self.want_a_volume_that_is_elsewhere(),
            2 => self.claim(&name, self.world.stock.vain_claim(&name)),
            3 => self.want_one_to_be_made(&name, true),
            4 => self.want_a_local_volume(&name),
            5 => self.want_one_to_be_made(&name, false),
            6 => self.want_the_local_volumes_of_a_node(&name),
            _ => {
                // Two claims want two volumes, of which each may be large enough for one of them only.
                self.want_a_local_volume(&name);
                let (other, gib) = (format!("{name}-b"), self.one(&[1, 2, 3]));
                self.claim(&other, self.world.stock.local_claim(&other, gib));
            }
        }
    }

    fn claim(&mut self, name: &str, claim: Value) {
        self.draft.is_settled = true;
        self.draft.claims.push(name.to_owned());
        self.draft.new_claims.push(claim);
    }

    fn want_a_volume_that_is_elsewhere(&mut self) {
        let held = self.world.stock.held.clone();
        let held = self.one(&held);
        if !self.settle(held.namespace) {
            return;
        }
        let is_elsewhere = |place: &Place| !held.on.contains(&place.name);
        if let Some(place) = self.place(|place| held.is_for_one_pod || is_elsewhere(place)) {
            self.pin(&place);
        }
        self.draft.claims.push(held.claim);
    }

    /// A volume that can be made in one zone only.
    fn want_one_to_be_made(&mut self, name: &str, is_elsewhere: bool) {
        let is_there = |place: &Place| place.labels.get(ZONE).is_some_and(|zone| zone == ZONES[0]);
        let place = self.place(|place| is_there(place) != is_elsewhere);
        self.claim(name, self.world.stock.made_claim(name));
        if let Some(place) = place {
            self.pin(&place);
        }
    }

    /// One of the volumes that wait for a pod: too large, or where it cannot be.
    fn want_a_local_volume(&mut self, name: &str) {
        let gib = self.one(&[1, 1, 4]);
        self.claim(name, self.world.stock.local_claim(name, gib));
        let waiting = self.world.stock.waiting.clone();
        let is_empty = |place: &Place| waiting.iter().all(|one| one.node != place.name);
        if let Some(place) = self.place(|place| is_empty(place) && place.door == Door::Open) {
            self.pin(&place);
        }
    }

    /// All that wait on one node, each for a claim of its size. It takes its time: a second for each pod.
    fn want_the_local_volumes_of_a_node(&mut self, name: &str) {
        let waiting = self.world.stock.waiting.clone();
        let node = self.one(&waiting).node;
        let mut sizes: Vec<u64> =
            waiting.iter().filter(|one| one.node == node).map(|one| one.gib).collect();
        if self.is_so(0.5) {
            sizes.reverse();
        }
        for (number, gib) in sizes.into_iter().enumerate() {
            let name = format!("{name}-{number}");
            self.claim(&name, self.world.stock.local_claim(&name, gib));
        }
        if self.is_so(0.5) {
            let place = self.world.place(&node).clone();
            self.pin(&place);
        }
    }
}
