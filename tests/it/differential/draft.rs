//! A pod that is to be created, and what the test must know of it later.

use super::world::GPU;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// No pod at all: a selector that is missing.
pub(super) const NOBODY: &str = "";

/// How a pod says what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One container asks for all.
    One,
    /// A container and a sidecar together.
    Sidecar,
    /// What starts it asks for all, and ends.
    Start,
    /// The pod as a whole.
    Whole,
}

/// The namespaces in which other pods are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Own,
    Named(&'static str),
    Team(&'static str),
    All,
}

/// Pods that it must be beside, or must not.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) key: &'static str,
    /// `None`: whatever has that label at all.
    pub(super) app: Option<&'static str>,
    pub(super) scope: Scope,
    /// `matchLabelKeys` or `mismatchLabelKeys`, for the label `track`.
    pub(super) track: Option<&'static str>,
}

/// A port of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) ip: &'static str,
    pub(super) protocol: &'static str,
    pub(super) number: u16,
}

/// A pod.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) namespace: &'static str,
    /// Whether something it asks for is in its namespace, or chosen by it.
    pub(super) is_settled: bool,
    pub(super) labels: BTreeMap<&'static str, &'static str>,
    pub(super) form: Form,
    pub(super) cpu: u64,
    pub(super) memory: u64,
    pub(super) gpus: u64,
    /// Something that no node has.
    pub(super) rarities: u64,
    pub(super) node_selector: BTreeMap<String, String>,
    /// Terms of a node affinity, of which one must hold.
    pub(super) node_terms: Vec<Value>,
    pub(super) tolerations: Vec<Value>,
    pub(super) beside: Vec<Term>,
    pub(super) apart: Vec<Term>,
    pub(super) spreads: Vec<Value>,
    pub(super) ports: Vec<Port>,
    pub(super) is_in_nodes_network: bool,
    pub(super) claims: Vec<String>,
    /// Claims that are made with it.
    pub(super) new_claims: Vec<Value>,
    /// The nodes in the order in which it likes them. The scheduler is set up to go by nothing else.
    pub(super) order: Vec<String>,
}

impl Draft {
    pub(super) fn new(name: String, namespace: &'static str, order: Vec<String>) -> Self {
        Self {
            name,
            namespace,
            is_settled: false,
            labels: BTreeMap::new(),
            form: Form::One,
            cpu: 0,
            memory: 0,
            gpus: 0,
            rarities: 0,
            node_selector: BTreeMap::new(),
            node_terms: Vec::new(),
            tolerations: Vec::new(),
            beside: Vec::new(),
            apart: Vec::new(),
            spreads: Vec::new(),
            ports: Vec::new(),
            is_in_nodes_network: false,
            claims: Vec::new(),
            new_claims: Vec::new(),
            order,
        }
    }

    /// How many kinds of things it asks for, beside room.
    pub(super) fn kinds(&self) -> usize {
        let asked = [
            self.node_selector.is_empty(),
            self.node_terms.is_empty(),
            self.tolerations.is_empty(),
            self.gpus + self.rarities == 0,
            self.ports.is_empty(),
            self.claims.is_empty(),
            self.beside.is_empty(),
            self.apart.is_empty(),
            self.spreads.is_empty(),
        ];
        asked.iter().filter(|is_empty| !**is_empty).count()
    }

    pub(super) fn json(&self) -> Value {
        let volume = |(number, claim): (usize, &String)| json!({ "name": format!("v{number}"), "persistentVolumeClaim": { "claimName": claim } });
        let volumes: Vec<Value> = self.claims.iter().enumerate().map(volume).collect();
        let mut spec = json!({
            "affinity": self.affinity(),
            "nodeSelector": self.node_selector,
            "tolerations": self.tolerations,
            "topologySpreadConstraints": self.spreads,
            "hostNetwork": self.is_in_nodes_network,
            "volumes": volumes,
            "terminationGracePeriodSeconds": 0,
        });
        self.ask_for_room(&mut spec);
        spec["containers"][0]["ports"] = self.ports.iter().map(|port| self.port(port)).collect();
        // Its volumes are looked at before and not after it is placed.
        if !self.claims.is_empty() {
            spec["schedulingGates"] = json!([{ "name": "example.com/look" }]);
        }
        json!({
            "metadata": { "name": self.name, "namespace": self.namespace, "labels": self.labels },
            "spec": spec,
        })
    }

    fn port(&self, port: &Port) -> Value {
        let mut json = json!({
            "containerPort": port.number, "protocol": port.protocol, "hostPort": port.number,
        });
        if self.is_in_nodes_network {
            json["hostPort"] = Value::Null;
        }
        if !port.ip.is_empty() {
            json["hostIP"] = port.ip.into();
        }
        json
    }

    fn ask_for_room(&self, spec: &mut Value) {
        let room = |cpu: u64, memory: u64| {
            let mut room = Map::new();
            room.extend((cpu > 0).then(|| ("cpu".to_owned(), format!("{cpu}m").into())));
            room.extend((memory > 0).then(|| ("memory".to_owned(), memory.to_string().into())));
            room
        };
        let mut extended = Map::new();
        for (name, count) in [(GPU, self.gpus), ("example.com/rarity", self.rarities)] {
            extended.extend((count > 0).then(|| (name.to_owned(), count.to_string().into())));
        }
        let container = |name: &str, requests: Map<String, Value>| json!({ "name": name, "image": "any", "resources": { "requests": requests } });
        let (all, none) = (room(self.cpu, self.memory), Map::new());
        let (main, beside) = match self.form {
            Form::One => (all, None),
            Form::Whole => {
                spec["resources"] = json!({ "requests": all });
                (none, None)
            }
            Form::Sidecar => {
                let mut sidecar = container("side", room(self.cpu / 2, self.memory / 3));
                sidecar["restartPolicy"] = "Always".into();
                (room(self.cpu - self.cpu / 2, self.memory - self.memory / 3), Some(sidecar))
            }
            Form::Start => (room(self.cpu / 2, 0), Some(container("start", all))),
        };
        let mut main = container("main", main);
        for (name, count) in &extended {
            main["resources"]["requests"][name] = count.clone();
            main["resources"]["limits"][name] = count.clone();
        }
        spec["containers"] = json!([main]);
        spec["initContainers"] = beside.into_iter().collect();
    }

    fn affinity(&self) -> Value {
        let liked = self.order.iter().zip((4..=100).rev().step_by(8)).map(|(node, weight)| {
            let field = json!({ "key": "metadata.name", "operator": "In", "values": [node] });
            json!({ "weight": weight, "preference": { "matchFields": [field] } })
        });
        let mut nodes =
            json!({ "preferredDuringSchedulingIgnoredDuringExecution": liked.collect::<Value>() });
        if !self.node_terms.is_empty() {
            nodes["requiredDuringSchedulingIgnoredDuringExecution"] =
                json!({ "nodeSelectorTerms": self.node_terms });
        }
        let required = |terms: &[Term]| {
            let terms: Vec<Value> = terms.iter().map(Term::json).collect();
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": terms })
        };
        json!({
            "nodeAffinity": nodes,
            "podAffinity": required(&self.beside),
            "podAntiAffinity": required(&self.apart),
        })
    }
}

/// Pods with this label, or with any of its values.
pub(super) fn selector(app: Option<&str>) -> Value {
    match app {
        Some(app) if app.len().is_multiple_of(2) => {
            json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": [app, "other"] }] })
        }
        Some(app) => json!({ "matchLabels": { "app": app } }),
        None => json!({ "matchExpressions": [{ "key": "app", "operator": "Exists" }] }),
    }
}

impl Term {
    fn json(&self) -> Value {
        let mut json = json!({ "topologyKey": self.key });
        if self.app != Some(NOBODY) {
            json["labelSelector"] = selector(self.app);
        }
        match self.scope {
            Scope::Own => (),
            Scope::Named(name) => json["namespaces"] = json!([name]),
            Scope::Team(team) => {
                json["namespaceSelector"] = json!({ "matchLabels": { "team": team } });
            }
            Scope::All => json["namespaceSelector"] = json!({}),
        }
        if let Some(keys) = self.track {
            json[keys] = json!(["track"]);
        }
        json
    }
}
