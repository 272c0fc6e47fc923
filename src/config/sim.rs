//! `clusters.NAME.kubernetes.sim`: a simulated cluster with simulated machines.

use super::reader::Section;
use super::value;
use crate::model::duration;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A seeded world: the same seed and the same calls give the same world.
#[derive(Clone, Debug, PartialEq)]
pub struct SimConfig {
    /// `seed`. Default 1.
    pub seed: u64,
    /// `boot`: from launch to a node that is Ready, on average. Default 40 s.
    pub boot: Duration,
    /// `zones`. Default `[a, b]`.
    pub zones: Vec<String>,
    /// `shapes`: name, cores, memory, price on demand per hour. Default one of 2 cores and 4 GiB.
    pub shapes: Vec<SimShape>,
    /// `listen`: address at which the world serves node-exporter and kube-state metrics, and takes
    /// changes of its workloads. Default none.
    pub listen: Option<SocketAddr>,
    /// `state`: a file that the world is kept in, so that it outlives the process. Default none.
    pub state: Option<PathBuf>,
}

/// A simulated instance type.
#[derive(Clone, Debug, PartialEq)]
pub struct SimShape {
    /// `name`.
    pub name: String,
    /// `cpu`: cores, in millicores.
    pub cpu_milli: u64,
    /// `memory`: memory in bytes.
    pub memory: u64,
    /// `price_per_hour`: price on demand per hour; spot costs about 30 % of it, moving.
    pub price_per_hour: f64,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            boot: Duration::from_secs(40),
            zones: vec!["a".to_owned(), "b".to_owned()],
            shapes: vec![SimShape {
                name: "medium".to_owned(),
                cpu_milli: 2000,
                memory: 4 << 30,
                price_per_hour: 0.04,
            }],
            listen: None,
            state: None,
        }
    }
}

impl SimConfig {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let base = Self::default();
        let zones = s.list("zones", value::dns_label).unwrap_or(base.zones);
        let shapes = s.items("shapes", SimShape::read).unwrap_or(base.shapes);
        if zones.is_empty() {
            s.refuse("zones", "must name at least one zone".into());
        }
        let names: BTreeSet<_> = shapes.iter().map(|shape| &shape.name).collect();
        if shapes.is_empty() {
            s.refuse("shapes", "must hold at least one shape".into());
        } else if names.len() < shapes.len() && names.iter().all(|name| !name.is_empty()) {
            s.refuse("shapes", "two shapes have the same name".into());
        }
        Self {
            seed: s.take("seed", value::whole(0..=u64::MAX)).unwrap_or(base.seed),
            boot: s.take("boot", value::duration).unwrap_or(base.boot),
            zones,
            shapes,
            listen: s.take("listen", value::address),
            state: s.take("state", value::path),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        json!({
            "seed": self.seed,
            "boot": duration::format(self.boot),
            "zones": self.zones,
            "shapes": self.shapes.iter().map(SimShape::to_value).collect::<Vec<_>>(),
            "listen": self.listen,
            "state": self.state,
        })
    }
}

impl SimShape {
    fn read(s: &mut Section<'_>) -> Self {
        Self {
            name: s.required("name", value::text).unwrap_or_default(),
            cpu_milli: s.required("cpu", value::above_zero(value::cpu)).unwrap_or_default(),
            memory: s.required("memory", value::above_zero(value::memory)).unwrap_or_default(),
            price_per_hour: s
                .required("price_per_hour", value::price)
                .map(value::price_number)
                .unwrap_or_default(),
        }
    }

    fn to_value(&self) -> Value {
        json!({
            "name": self.name,
            "cpu": value::cpu_text(self.cpu_milli),
            "memory": value::memory_text(self.memory),
            "price_per_hour": self.price_per_hour,
        })
    }
}
