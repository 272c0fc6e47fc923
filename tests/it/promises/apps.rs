//! Apps by chance: each some pods alike, and what they ask for.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use std::fmt;

/// Sizes in millicores, of nodes of 4 and 8 cores.
const SIZES: [u32; 6] = [300, 700, 900, 1_300, 1_900, 3_300];

/// Zones in which both pools are sold.
pub(super) const ZONES: [&str; 3] = ["a", "b", "c"];

/// What an app may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    Special,
    ZoneB,
    OneOnANode,
    EvenlyOverZones,
    AllInOneZone,
    APort,
}

impl Asks {
    pub(super) const ALL: [Self; 6] = [
        Self::Special,
        Self::ZoneB,
        Self::OneOnANode,
        Self::EvenlyOverZones,
        Self::AllInOneZone,
        Self::APort,
    ];

    /// Puts it into the spec of an app's pods.
    fn put(self, spec: &mut Value, app: &str, number: usize) {
        let mine = json!({ "matchLabels": { "app": app } });
        let beside = |key: &str| {
            let term = json!({ "labelSelector": mine, "topologyKey": key });
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term] })
        };
        match self {
            Self::Special => {
                spec["nodeSelector"]["tier"] = json!("special");
                spec["tolerations"] = json!([{ "key": "dedicated", "operator": "Exists" }]);
            }
            Self::ZoneB => spec["nodeSelector"]["topology.kubernetes.io/zone"] = json!("b"),
            Self::OneOnANode => {
                spec["affinity"]["podAntiAffinity"] = beside("kubernetes.io/hostname");
            }
            Self::EvenlyOverZones => {
                spec["topologySpreadConstraints"] = json!([{ "maxSkew": 1, "labelSelector": mine,
                    "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule" }]);
            }
            Self::AllInOneZone => {
                spec["affinity"]["podAffinity"] = beside("topology.kubernetes.io/zone");
            }
            Self::APort => {
                let port = 9_000 + number;
                spec["containers"][0]["ports"] = json!([{ "containerPort": 80, "hostPort": port }]);
            }
        }
    }
}

/// The apps of one seed.
#[derive(Default)]
pub(super) struct Apps {
    pub(super) pods: Vec<Value>,
    told: Vec<String>,
}

impl Apps {
    /// Pods of one size, which ask for one thing at most: those that mind their neighbours are all of one app. So
    /// nobody takes a place that only another could use, whoever comes first.
    pub(super) fn alike(seed: u64, asks: Option<Asks>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut apps, size) = (Self::default(), *SIZES.choose(&mut rng).unwrap());
        let count = match asks {
            None | Some(Asks::Special | Asks::ZoneB) => 5,
            Some(_) => 1,
        };
        for number in 0..count {
            let asks: Vec<Asks> = asks.into_iter().collect();
            apps.app(&format!("s{seed}-app{number}"), 24 / count, size, &asks);
        }
        apps
    }

    /// Pods of all sizes, which ask for up to three things.
    pub(super) fn mixed(seed: u64) -> Self {
        let (mut apps, mut rng) = (Self::default(), StdRng::seed_from_u64(seed));
        for number in 0..rng.random_range(8..14) {
            let (size, count) = (*SIZES.choose(&mut rng).unwrap(), rng.random_range(0..3));
            let mut asks: Vec<Asks> = Asks::ALL.sample(&mut rng, count).copied().collect();
            // Together they would have to be in three zones and in one.
            if asks.contains(&Asks::EvenlyOverZones) {
                asks.retain(|it| !matches!(it, Asks::AllInOneZone | Asks::ZoneB));
            }
            let pods = rng.random_range(2..=7);
            apps.app(&format!("s{seed}-app{number}"), pods, size, &asks);
        }
        apps
    }

    fn app(&mut self, name: &str, pods: usize, size: u32, asks: &[Asks]) {
        let container = json!({ "name": "main", "image": "any",
            "resources": { "requests": { "cpu": format!("{size}m"), "memory": "200Mi" } } });
        let mut spec = json!({ "containers": [container] });
        for one in asks {
            one.put(&mut spec, name, self.told.len());
        }
        self.told.push(format!("{name}: {pods} pods of {size}m, {asks:?}"));
        self.pods.extend((0..pods).map(|pod| {
            json!({
                "metadata": { "name": format!("{name}-{pod}"), "labels": { "app": name } },
                "spec": spec.clone(),
            })
        }));
    }
}

impl fmt::Display for Apps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told.join("\n"))
    }
}
