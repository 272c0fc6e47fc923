//! What a pod asks for by chance.

use crate::differential::draft::{Draft, Form, Port};
use crate::differential::world::{GPU, HOST, Place, REGION, TAINTS, World, ZONE, ZONES};
use bellwether::policy::Predicate;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

pub(super) const APPS: [&str; 4] = ["web", "base", "cache", "jobs"];
pub(super) const TRACKS: [&str; 2] = ["stable", "canary"];
pub(super) const KEYS: [&str; 4] = [HOST, ZONE, REGION, "rack"];
const PORTS: [u16; 3] = [8080, 8443, 9100];

/// Makes one pod.
pub(super) struct Maker<'w> {
    pub(super) world: &'w mut World,
    pub(super) draft: Draft,
}

impl Maker<'_> {
    pub(super) fn is_so(&mut self, probability: f64) -> bool {
        self.world.rng.random_bool(probability)
    }

    /// One of several that are there for sure.
    pub(super) fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of.choose(&mut self.world.rng).unwrap().clone()
    }

    /// One node that is so.
    pub(super) fn place(&mut self, is_so: impl Fn(&Place) -> bool) -> Option<Place> {
        let places: Vec<&Place> = self.world.places.iter().filter(|place| is_so(place)).collect();
        places.choose(&mut self.world.rng).map(|place| (*place).clone())
    }

    /// Makes the namespace this one; not if something else depends on another.
    pub(super) fn settle(&mut self, namespace: &'static str) -> bool {
        if self.draft.is_settled && self.draft.namespace != namespace {
            return false;
        }
        (self.draft.namespace, self.draft.is_settled) = (namespace, true);
        true
    }

    pub(super) fn be_usual(&mut self) {
        if self.is_so(0.85) {
            let app = self.one(&APPS);
            self.draft.labels.insert("app", app);
        }
        if self.is_so(0.6) {
            let track = self.one(&TRACKS);
            self.draft.labels.insert("track", track);
        }
        if self.is_so(0.08) {
            self.take_port();
        }
        self.draft.cpu = self.one(&[0, 10, 100, 251]);
        self.draft.memory = self.one(&[0, 16 << 20, 100_000_001]);
        self.draft.form =
            self.one(&[Form::One, Form::One, Form::Sidecar, Form::Start, Form::Whole]);
    }

    /// Something of this kind, which there may well be.
    pub(super) fn ask(&mut self, predicate: Predicate) {
        match predicate {
            Predicate::Closed | Predicate::PodCount => (),
            Predicate::Taints => self.bear_any(),
            Predicate::NodeSelector => self.select(),
            Predicate::NodeAffinity => self.be_attracted(),
            Predicate::Cpu => self.draft.cpu = self.one(&[500, 750, 1_000]),
            Predicate::Memory => self.draft.memory = self.one(&[300 << 20, 512 << 20]),
            Predicate::Extended => self.draft.gpus = 1,
            Predicate::HostPorts => self.take_port(),
            Predicate::Volumes => self.use_held(),
            Predicate::PodAffinity => self.join(),
            Predicate::AntiAffinity => self.avoid(),
            Predicate::AntiAffinityOfOthers => self.resemble(),
            Predicate::TopologySpread => self.spread(),
        }
    }

    fn bear_any(&mut self) {
        // Now and then somebody bears everything, even a cordon.
        if self.is_so(0.06) {
            self.draft.tolerations.push(json!({ "operator": "Exists" }));
            return;
        }
        let taint = self.one(&TAINTS);
        self.bear(taint);
    }

    pub(super) fn bear(&mut self, (key, value, effect): (&str, &str, &str)) {
        let toleration = match self.one(&[0, 1, 2]) {
            0 => json!({ "key": key, "operator": "Exists" }),
            1 => json!({ "key": key, "operator": "Exists", "effect": effect }),
            _ => json!({ "key": key, "value": value, "effect": effect }),
        };
        self.draft.tolerations.push(toleration);
    }

    /// Labels that some node has.
    fn select(&mut self) {
        let key = self.one(&[ZONE, "disk", "disk", "rack"]);
        let Some(place) = self.place(|place| place.labels.contains_key(key)) else { return };
        self.draft.node_selector.entry(key.to_owned()).or_insert(place.labels[key].clone());
    }

    fn be_attracted(&mut self) {
        // Another term would be another way out for one that is pinned.
        if !self.draft.node_terms.is_empty() {
            return;
        }
        for _ in 0..self.one(&[1, 1, 2]) {
            let asked: Vec<Value> = (0..self.one(&[1, 2])).map(|_| self.expression()).collect();
            let mut term = json!({ "matchExpressions": asked });
            if self.is_so(0.2) {
                let away = self.place(|_| true).unwrap().name;
                term["matchFields"] =
                    json!([{ "key": "metadata.name", "operator": "NotIn", "values": [away] }]);
            }
            self.draft.node_terms.push(term);
        }
    }

    fn expression(&mut self) -> Value {
        let (zone, other) = (self.one(&ZONES), self.one(&ZONES));
        match self.one(&[0, 1, 2, 3, 4, 5, 6]) {
            0 => json!({ "key": ZONE, "operator": "In", "values": [zone, other] }),
            1 => json!({ "key": ZONE, "operator": "NotIn", "values": [zone] }),
            2 => json!({ "key": "disk", "operator": "Exists" }),
            3 => json!({ "key": "rack", "operator": "DoesNotExist" }),
            4 => json!({ "key": "gen", "operator": "Gt", "values": ["1"] }),
            5 => json!({ "key": "gen", "operator": "Lt", "values": ["5"] }),
            _ => json!({ "key": "disk", "operator": "In", "values": ["ssd", "nvme"] }),
        }
    }

    pub(super) fn take_port(&mut self) {
        let port = Port {
            ip: self.one(&["", "", "10.0.0.1", "127.0.0.1"]),
            protocol: self.one(&["TCP", "TCP", "UDP"]),
            number: self.one(&PORTS),
        };
        self.draft.is_in_nodes_network = self.draft.ports.is_empty() && self.is_so(0.15);
        self.add_port(port);
    }

    pub(super) fn add_port(&mut self, port: Port) {
        if self.draft.ports.iter().all(|other| other.number != port.number) {
            self.draft.ports.push(port);
        }
    }

    /// One of the volumes that are held by a claim.
    fn use_held(&mut self) {
        let held = self.world.stock.held.clone();
        let held = self.one(&held);
        if self.settle(held.namespace) && !self.draft.claims.contains(&held.claim) {
            self.draft.claims.push(held.claim);
        }
    }

    /// Lets it be on this node only, with all that keeps others off.
    pub(super) fn pin(&mut self, place: &Place) {
        for taint in place.taints.iter().filter(|taint| taint.2 != "PreferNoSchedule") {
            self.bear(*taint);
        }
        self.point_at(place);
    }

    /// Lets it be on this node only.
    pub(super) fn point_at(&mut self, place: &Place) {
        let name = &place.name;
        let way = if self.draft.node_terms.is_empty() { self.one(&[0, 1, 2, 3]) } else { 0 };
        match way {
            0 => {
                self.draft.node_selector.insert(HOST.to_owned(), name.clone());
            }
            1 => {
                let labels = place.labels.iter().filter(|(key, _)| *key != HOST && *key != GPU);
                self.draft.node_selector.extend(labels.map(|(k, v)| (k.clone(), v.clone())));
            }
            2 => self.draft.node_terms.push(json!({ "matchFields": [
                { "key": "metadata.name", "operator": "In", "values": [name] },
            ] })),
            _ => self.draft.node_terms.push(json!({ "matchExpressions": [
                { "key": HOST, "operator": "In", "values": [name, "nobody"] },
            ] })),
        }
    }
}
