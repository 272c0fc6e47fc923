//! A cluster by chance: its nodes, and what the test knows of the pods on them.

use super::draft::Draft;
use super::volumes::Stock;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, IteratorRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) const HOST: &str = "kubernetes.io/hostname";
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";
pub(super) const REGION: &str = "topology.kubernetes.io/region";
pub(super) const GPU: &str = "example.com/gpu";

/// Where pods live, and the labels by which others choose these namespaces.
pub(super) const NAMESPACES: [(&str, &str); 3] =
    [("shop", "red"), ("bank", "blue"), ("club", "red")];

pub(super) const ZONES: [&str; 3] = ["a", "b", "c"];

/// Keys, values and effects. The last one is a wish, and forbids nothing.
pub(super) const TAINTS: [(&str, &str, &str); 4] = [
    ("dedicated", "batch", "NoSchedule"),
    ("dedicated", "web", "NoExecute"),
    ("maintenance", "", "NoSchedule"),
    ("soft", "yes", "PreferNoSchedule"),
];

/// What keeps new pods off a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Open,
    Cordoned,
    /// Cordoned with the taint of our own drain.
    Draining,
    NotReady,
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) taints: Vec<(&'static str, &'static str, &'static str)>,
    pub(super) door: Door,
    pub(super) cpu: u64,
    pub(super) memory: u64,
    pub(super) pods: usize,
    pub(super) gpus: u64,
}

/// A pod that the scheduler placed.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) draft: Draft,
    pub(super) node: String,
}

/// One cluster.
#[derive(Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) rng: StdRng,
    pub(super) places: Vec<Place>,
    pub(super) placed: Vec<Placed>,
    pub(super) stock: Stock,
}

impl World {
    pub(super) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = rng.random_range(4..=10);
        let mut places: Vec<Place> =
            (0..count).map(|number| Place::of(format!("n{seed}-{number}"), &mut rng)).collect();
        // One at least is closed, one tainted, and two take everything.
        places[0].door =
            *[Door::Cordoned, Door::Cordoned, Door::Draining].choose(&mut rng).unwrap();
        places[1].taints = vec![TAINTS[rng.random_range(0..3)]];
        for place in &mut places[2..4] {
            (place.door, place.taints) = (Door::Open, Vec::new());
        }
        let stock = Stock::of(seed, &places, &mut rng);
        Self { seed, rng, places, placed: Vec::new(), stock }
    }

    pub(super) fn on<'w>(&'w self, node: &'w str) -> impl Iterator<Item = &'w Placed> {
        self.placed.iter().filter(move |placed| placed.node == node)
    }

    pub(super) fn place(&self, node: &str) -> &Place {
        self.places.iter().find(|place| place.name == node).unwrap()
    }

    /// What is free of something on a node.
    pub(super) fn free(&self, place: &Place, of: impl Fn(&Draft) -> u64, all: u64) -> u64 {
        all.saturating_sub(self.on(&place.name).map(|placed| of(&placed.draft)).sum())
    }

    /// The nodes in an order by chance: a pod's own.
    pub(super) fn order(&mut self) -> Vec<String> {
        let mut names: Vec<String> = self.places.iter().map(|place| place.name.clone()).collect();
        names.shuffle(&mut self.rng);
        names
    }

    /// Some of the placed pods, which are forgotten: somebody deletes them.
    pub(super) fn leaving(&mut self) -> Vec<Draft> {
        let count = self.rng.random_range(1..=4);
        let chosen = (0..self.placed.len()).sample(&mut self.rng, count);
        let is_chosen = |at: usize| chosen.contains(&at);
        let gone = self.placed.iter().enumerate().filter(|(at, _)| is_chosen(*at));
        let gone = gone.map(|(_, placed)| placed.draft.clone()).collect();
        let mut at = 0..;
        self.placed.retain(|_| at.next().is_some_and(|at| !is_chosen(at)));
        gone
    }
}

impl Place {
    fn of(name: String, rng: &mut StdRng) -> Self {
        let mut labels = BTreeMap::from([(HOST.to_owned(), name.clone())]);
        let mut label = |key: &str, value: &str| labels.insert(key.to_owned(), value.to_owned());
        // Some are nowhere, as far as labels tell: that is not the same as in another place.
        if rng.random_bool(0.9) {
            if rng.random_bool(0.9) {
                label(ZONE, ZONES.choose(rng).unwrap());
            }
            if rng.random_bool(0.9) {
                label(REGION, "r");
            }
        }
        if rng.random_bool(0.8) {
            label("disk", ["ssd", "hdd"].choose(rng).unwrap());
        }
        if rng.random_bool(0.7) {
            label("rack", ["r1", "r2"].choose(rng).unwrap());
        }
        if rng.random_bool(0.8) {
            label("gen", ["0", "1", "3", "5", "old"].choose(rng).unwrap());
        }
        let tainted = if rng.random_bool(0.3) { rng.random_range(1..=2) } else { 0 };
        let taints: Vec<_> = TAINTS.sample(rng, tainted).copied().collect();
        let door = match rng.random_range(0..20) {
            0 => Door::Cordoned,
            1 => Door::Draining,
            2 => Door::NotReady,
            _ => Door::Open,
        };
        Self {
            name,
            labels,
            taints,
            door,
            cpu: *[1_000, 2_000, 3_500, 4_000].choose(rng).unwrap(),
            memory: *[1 << 30, 2 << 30, 4_000_000_000].choose(rng).unwrap(),
            pods: *[2, 3, 110, 110, 110].choose(rng).unwrap(),
            gpus: *[0, 0, 1, 4].choose(rng).unwrap(),
        }
    }

    /// Whether pods that bear none of its taints are kept off.
    pub(super) fn is_tainted(&self) -> bool {
        self.taints.iter().any(|taint| taint.2 != "PreferNoSchedule")
    }

    /// The node that stands for it. It is born as it stays, so that nobody has to wait for a kubelet.
    pub(super) fn json(&self) -> Value {
        let mut taints = self.taints.clone();
        match self.door {
            Door::Open => (),
            Door::Cordoned => taints.push(("node.kubernetes.io/unschedulable", "", "NoSchedule")),
            Door::Draining => taints.extend([
                ("node.kubernetes.io/unschedulable", "", "NoSchedule"),
                ("bellwether.dev/draining", "", "NoSchedule"),
            ]),
            Door::NotReady => taints.extend([
                ("node.kubernetes.io/not-ready", "", "NoSchedule"),
                ("node.kubernetes.io/not-ready", "", "NoExecute"),
            ]),
        }
        let taints: Vec<Value> = taints
            .iter()
            .map(|(key, value, effect)| json!({ "key": key, "value": value, "effect": effect }))
            .collect();
        let is_ready = self.door != Door::NotReady;
        // One that is not Ready has no kubelet, else it soon would be.
        let annotations =
            if is_ready { json!({ "kwok.x-k8s.io/node": "fake" }) } else { json!({}) };
        let status = if is_ready { "True" } else { "False" };
        let mut room = json!({
            "cpu": format!("{}m", self.cpu),
            "memory": self.memory.to_string(),
            "pods": self.pods.to_string(),
        });
        if self.gpus > 0 {
            room[GPU] = self.gpus.to_string().into();
        }
        json!({
            "metadata": { "name": self.name, "labels": self.labels, "annotations": annotations },
            "spec": {
                "unschedulable": matches!(self.door, Door::Cordoned | Door::Draining),
                "taints": taints,
            },
            "status": {
                "capacity": room, "allocatable": room,
                "conditions": [{ "type": "Ready", "status": status }],
            },
        })
    }
}
