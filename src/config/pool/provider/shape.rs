//! `shapes` of a provider that has none of its own: what a worker may be.

use crate::config::reader::Section;
use crate::config::value;
use crate::model::Price;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How large a worker may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeConfig {
    /// `name`.
    pub name: String,
    /// `cpu`: cores, in millicores.
    pub cpu_milli: u64,
    /// `memory`: memory in bytes.
    pub memory: u64,
    /// `pods`: the most pods. Default 110, as the kubelet's.
    pub pods: u32,
    /// `price_per_hour`. Default not known.
    pub price: Option<Price>,
}

impl ShapeConfig {
    /// The shapes of a section, at least one, each with a name of its own.
    pub(super) fn read_all(s: &mut Section<'_>) -> Vec<Self> {
        let shapes = s.items("shapes", Self::read).unwrap_or_default();
        let names: BTreeSet<_> = shapes.iter().map(|shape| &shape.name).collect();
        if shapes.is_empty() && !s.is_refused(&s.path_of("shapes")) {
            let mend =
                "must hold at least one shape, like `[{ name: small, cpu: 2, memory: 4Gi }]`";
            s.refuse("shapes", mend.into());
        } else if names.len() < shapes.len() && names.iter().all(|name| !name.is_empty()) {
            s.refuse("shapes", "two shapes have the same name".into());
        }
        shapes
    }

    fn read(s: &mut Section<'_>) -> Self {
        Self {
            name: s.required("name", value::dns_label).unwrap_or_default(),
            cpu_milli: s.required("cpu", value::above_zero(value::cpu)).unwrap_or_default(),
            memory: s.required("memory", value::above_zero(value::memory)).unwrap_or_default(),
            pods: s.take("pods", value::whole(1..=1_000)).unwrap_or(110),
            price: s.take("price_per_hour", value::price),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        json!({
            "name": self.name,
            "cpu": value::cpu_text(self.cpu_milli),
            "memory": value::memory_text(self.memory),
            "pods": self.pods,
            "price_per_hour": self.price.map(value::price_number),
        })
    }
}
