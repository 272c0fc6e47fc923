//! The volumes of a cluster: some have a claim, some wait for one, and some claims get none.

use super::world::{HOST, NAMESPACES, Place, REGION, ZONE, ZONES};
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

/// The provisioner of a class whose volumes nobody makes.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// What zones were called by before, on volumes that are still there.
const OLD_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";

/// How the names of classes begin whose volumes are made.
const MADE: &str = "made";

/// A claim that has its volume.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) claim: String,
    pub(super) namespace: &'static str,
    /// The nodes on which it can be used.
    pub(super) on: Vec<String>,
    pub(super) is_for_one_pod: bool,
    volume: Value,
}

/// A volume that waits for its first user, on one node.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) name: String,
    pub(super) node: String,
    pub(super) gib: u64,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Stock {
    seed: u64,
    pub(super) held: Vec<Held>,
    pub(super) waiting: Vec<Waiting>,
}

/// How the volume of a claim says where it is.
#[derive(Clone, Copy, Debug)]
enum Bounds {
    Zone,
    /// As volumes of old say it: by their own labels.
    Label,
    Node,
    None,
}

impl Stock {
    pub(super) fn of(seed: u64, places: &[Place], rng: &mut StdRng) -> Self {
        let bounds = [Bounds::Zone, Bounds::Zone, Bounds::Label, Bounds::Node, Bounds::None];
        let held = bounds.iter().enumerate();
        let held = held
            .map(|(number, bounds)| {
                let mut held = Held::of(format!("h{seed}-{number}"), *bounds, places, rng);
                if number == 1 {
                    held.is_for_one_pod = true;
                    held.volume["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
                }
                held
            })
            .collect();
        // Two of them on one node.
        let nodes = [places.choose(rng).unwrap(), places.choose(rng).unwrap()];
        let waiting = (0..3).map(|number| Waiting {
            name: format!("w{seed}-{number}"),
            node: nodes[number / 2].name.clone(),
            gib: rng.random_range(1..=3),
        });
        Self { seed, held, waiting: waiting.collect() }
    }

    /// Its volumes are there already, and wait for the pod.
    fn local(&self) -> String {
        format!("local{}", self.seed)
    }

    /// Its volumes are made when a pod asks for them, in one zone.
    fn made(&self) -> String {
        format!("{MADE}{}", self.seed)
    }

    /// It waits for nobody, and there is none.
    fn now(&self) -> String {
        format!("now{}", self.seed)
    }

    pub(super) fn classes(&self) -> Vec<Value> {
        let class = |name: String, provisioner: &str, mode: &str| {
            json!({
                "metadata": { "name": name },
                "provisioner": provisioner, "volumeBindingMode": mode,
            })
        };
        let mut made = class(self.made(), "example.com/disk", "WaitForFirstConsumer");
        made["allowedTopologies"] =
            json!([{ "matchLabelExpressions": [{ "key": ZONE, "values": [ZONES[0]] }] }]);
        vec![
            class(self.local(), NO_PROVISIONER, "WaitForFirstConsumer"),
            class(self.now(), NO_PROVISIONER, "Immediate"),
            made,
        ]
    }

    pub(super) fn volumes(&self) -> Vec<Value> {
        let waiting = self.waiting.iter().map(|one| {
            let mut volume = volume(&one.name, one.gib);
            volume["spec"]["storageClassName"] = self.local().into();
            volume["spec"]["hostPath"] = Value::Null;
            volume["spec"]["local"] = json!({ "path": "/data" });
            volume["spec"]["nodeAffinity"] = on(HOST, &[&one.node]);
            volume
        });
        self.held.iter().map(|held| held.volume.clone()).chain(waiting).collect()
    }

    /// The claims that have a volume, by namespace.
    pub(super) fn claims(&self) -> impl Iterator<Item = (&'static str, Value)> {
        self.held.iter().map(|held| {
            let mut claim = claim(&held.claim, "", 1);
            claim["spec"]["volumeName"] = held.claim.clone().into();
            if held.is_for_one_pod {
                claim["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
            }
            (held.namespace, claim)
        })
    }

    /// A claim to one of the volumes that wait.
    pub(super) fn local_claim(&self, name: &str, gib: u64) -> Value {
        claim(name, &self.local(), gib)
    }

    /// A claim to a volume that would be made.
    pub(super) fn made_claim(&self, name: &str) -> Value {
        claim(name, &self.made(), 1)
    }

    /// A claim that gets no volume.
    pub(super) fn vain_claim(&self, name: &str) -> Value {
        claim(name, &self.now(), 1)
    }
}

/// What a provisioner makes for a claim to a volume that is yet to be made; `None` for all other claims.
pub(super) fn made_for(namespace: &str, claim: &Value) -> Option<Value> {
    let name = claim["metadata"]["name"].as_str()?;
    let class = claim["spec"]["storageClassName"].as_str().filter(|it| it.starts_with(MADE))?;
    let mut volume = volume(&format!("m{name}"), 1);
    volume["spec"]["storageClassName"] = class.into();
    volume["spec"]["nodeAffinity"] = on(ZONE, &[ZONES[0]]);
    volume["spec"]["claimRef"] = json!({ "namespace": namespace, "name": name });
    Some(volume)
}

impl Held {
    fn of(name: String, bounds: Bounds, places: &[Place], rng: &mut StdRng) -> Self {
        let place = places.choose(rng).unwrap();
        let zone = place.labels.get(ZONE).map_or("a", String::as_str);
        let other = *ZONES.choose(rng).unwrap();
        let in_zone = |place: &Place, zones: &[&str]| {
            place.labels.get(ZONE).is_some_and(|zone| zones.contains(&zone.as_str()))
        };
        let mut volume = volume(&name, 1);
        let on: Vec<&Place> = match bounds {
            Bounds::Zone => {
                volume["spec"]["nodeAffinity"] = on(ZONE, &[zone]);
                places.iter().filter(|place| in_zone(place, &[zone])).collect()
            }
            Bounds::Label => {
                let key = *[ZONE, OLD_ZONE].choose(rng).unwrap();
                volume["metadata"]["labels"] = json!({ key: format!("{zone}__{other}") });
                let nowhere = |place: &Place| {
                    !place.labels.contains_key(ZONE) && !place.labels.contains_key(REGION)
                };
                let admits = |place: &&Place| in_zone(place, &[zone, other]) || nowhere(place);
                places.iter().filter(admits).collect()
            }
            Bounds::Node => {
                volume["spec"]["nodeAffinity"] = on(HOST, &[&place.name]);
                vec![place]
            }
            Bounds::None => places.iter().collect(),
        };
        let on = on.into_iter().map(|place| place.name.clone()).collect();
        let (namespace, _) = *NAMESPACES.choose(rng).unwrap();
        volume["spec"]["claimRef"] = json!({ "namespace": namespace, "name": name });
        Self { claim: name, namespace, on, is_for_one_pod: false, volume }
    }
}

fn volume(name: &str, gib: u64) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": { "storage": format!("{gib}Gi") },
            "hostPath": { "path": "/data" },
        },
    })
}

fn claim(name: &str, class: &str, gib: u64) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": class,
            "resources": { "requests": { "storage": format!("{gib}Gi") } },
        },
    })
}

fn on(key: &str, values: &[&str]) -> Value {
    let expression = json!({ "key": key, "operator": "In", "values": values });
    json!({ "required": { "nodeSelectorTerms": [{ "matchExpressions": [expression] }] } })
}
