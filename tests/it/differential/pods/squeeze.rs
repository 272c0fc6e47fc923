//! Pods that want a little more than there is.

use super::maker::Maker;
use crate::differential::draft::Draft;
use crate::differential::world::{Door, Place};
use bellwether::policy::Predicate;
use serde_json::json;

impl Maker<'_> {
    /// Something of this kind that there is just not, or just yet.
    pub(super) fn squeeze(&mut self, predicate: Predicate) {
        match predicate {
            Predicate::Closed => self.want_a_closed_node(),
            Predicate::Taints => self.almost_bear(),
            Predicate::NodeSelector => self.select_nobody(),
            Predicate::NodeAffinity => self.be_attracted_by_nobody(),
            Predicate::Cpu => {
                if let Some((place, free)) = self.place_and_free(|draft| draft.cpu, |it| it.cpu) {
                    self.draft.cpu = free + self.one(&[0, 1, 1, 10, 1_000]);
                    self.point(&place);
                }
            }
            Predicate::Memory => {
                let found = self.place_and_free(|draft| draft.memory, |place| place.memory);
                if let Some((place, free)) = found {
                    self.draft.memory = free + self.one(&[0, 1, 1, 1_000, 1 << 30]);
                    self.point(&place);
                }
            }
            Predicate::PodCount => self.come_last(),
            Predicate::Extended => self.want_gpus(),
            Predicate::HostPorts => self.take_a_taken_port(),
            Predicate::Volumes => self.want_a_volume(),
            Predicate::PodAffinity => self.join_in_vain(),
            Predicate::AntiAffinity => self.avoid_in_vain(),
            Predicate::AntiAffinityOfOthers => self.be_avoided(),
            Predicate::TopologySpread => self.crowd(),
        }
    }

    fn want_a_closed_node(&mut self) {
        let closed = self.place(|place| place.door != Door::Open).unwrap();
        self.pin(&closed);
        if closed.door == Door::NotReady && self.is_so(0.5) {
            self.bear(("node.kubernetes.io/not-ready", "", "NoSchedule"));
        }
    }

    /// Bears a taint of another value or effect than the only node it can be on has.
    fn almost_bear(&mut self) {
        let Some(place) = self.place(|place| place.is_tainted() && place.door == Door::Open) else {
            return;
        };
        let taint = place.taints.iter().find(|taint| taint.2 != "PreferNoSchedule").unwrap();
        let other = if taint.2 == "NoExecute" { "NoSchedule" } else { "NoExecute" };
        let toleration = match self.one(&[0, 1, 2]) {
            0 => json!({ "key": taint.0, "operator": "Exists", "effect": other }),
            1 => json!({ "key": taint.0, "value": "other", "effect": taint.2 }),
            _ => json!({ "key": "other", "operator": "Exists" }),
        };
        self.draft.tolerations.push(toleration);
        self.point_at(&place);
    }

    fn select_nobody(&mut self) {
        let (key, value) = self.one(&[("disk", "tape"), ("rack", "r9"), ("absent", "")]);
        self.draft.node_selector.insert(key.to_owned(), value.to_owned());
    }

    fn be_attracted_by_nobody(&mut self) {
        let term = match self.one(&[0, 1, 2, 3]) {
            0 => json!({ "key": "gen", "operator": "Gt", "values": ["5"] }),
            1 => json!({ "key": "gen", "operator": "Lt", "values": ["0"] }),
            2 => json!({ "key": "disk", "operator": "NotIn", "values": ["ssd", "hdd"] }),
            _ => json!({ "key": "absent", "operator": "Exists" }),
        };
        self.draft.node_terms = vec![json!({ "matchExpressions": [term] })];
    }

    /// An open node, and what is free there.
    fn place_and_free(
        &mut self,
        asked: impl Fn(&Draft) -> u64,
        all: impl Fn(&Place) -> u64,
    ) -> Option<(Place, u64)> {
        let place = self.place(|place| place.door == Door::Open)?;
        let free = self.world.free(&place, asked, all(&place));
        Some((place, free))
    }

    /// More often than not, only this node.
    fn point(&mut self, place: &Place) {
        if self.is_so(0.8) {
            self.pin(place);
        }
    }

    /// Comes to a node that takes a few pods only.
    fn come_last(&mut self) {
        let small = |place: &Place| place.pods < 10 && place.door == Door::Open;
        let full: Vec<String> = self
            .world
            .places
            .iter()
            .filter(|place| small(place))
            .filter(|place| self.world.on(&place.name).count() >= place.pods)
            .map(|place| place.name.clone())
            .collect();
        let place = self.place(|place| full.contains(&place.name)).or_else(|| self.place(small));
        if let Some(place) = place {
            self.pin(&place);
        }
    }

    fn want_gpus(&mut self) {
        let place = self.place(|place| place.gpus > 0 && place.door == Door::Open);
        match place.filter(|_| self.is_so(0.8)) {
            Some(place) => {
                let free = self.world.free(&place, |draft| draft.gpus, place.gpus);
                self.draft.gpus = free + self.one(&[0, 1, 1, 2]);
                self.pin(&place);
            }
            None => self.draft.rarities = 1,
        }
    }

    /// Takes a port that is taken on the only node it can be on, or nearly.
    fn take_a_taken_port(&mut self) {
        let taken: Vec<_> =
            self.world.placed.iter().filter(|it| !it.draft.ports.is_empty()).cloned().collect();
        if taken.is_empty() {
            return self.take_port();
        }
        let other = self.one(&taken);
        let mut port = self.one(&other.draft.ports);
        if self.is_so(0.4) {
            port.ip = self.one(&["", "0.0.0.0", "10.0.0.1"]);
        }
        self.add_port(port);
        let there = self.world.place(&other.node).clone();
        self.pin(&there);
    }
}
