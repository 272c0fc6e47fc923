//! What machines offer and pods ask for.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An amount of each resource. Arithmetic saturates: a count can be absurd, never wrap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// CPU in thousandths of a core.
    pub cpu_milli: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Number of pods.
    pub pods: u64,
    /// Extended resources such as `nvidia.com/gpu`, in their own units.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extended: BTreeMap<String, u64>,
}

impl Resources {
    /// CPU in millicores and memory in bytes; pods and extended resources zero.
    pub fn new(cpu_milli: u64, memory: u64) -> Self {
        Self { cpu_milli, memory, ..Self::default() }
    }

    /// The same with room for `pods` pods.
    #[must_use]
    pub fn with_pods(mut self, pods: u64) -> Self {
        self.pods = pods;
        self
    }

    /// Whether all of this finds place in `room`.
    pub fn fits_in(&self, room: &Self) -> bool {
        self.cpu_milli <= room.cpu_milli
            && self.memory <= room.memory
            && self.pods <= room.pods
            && self
                .extended
                .iter()
                .all(|(name, count)| *count <= room.extended.get(name).copied().unwrap_or(0))
    }

    /// Adds the other amount.
    pub fn add(&mut self, other: &Self) {
        self.cpu_milli = self.cpu_milli.saturating_add(other.cpu_milli);
        self.memory = self.memory.saturating_add(other.memory);
        self.pods = self.pods.saturating_add(other.pods);
        for (name, count) in &other.extended {
            let sum = self.extended.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// Makes each amount at least the other's.
    pub fn raise_to(&mut self, other: &Self) {
        self.cpu_milli = self.cpu_milli.max(other.cpu_milli);
        self.memory = self.memory.max(other.memory);
        self.pods = self.pods.max(other.pods);
        for (name, count) in &other.extended {
            let most = self.extended.entry(name.clone()).or_default();
            *most = (*most).max(*count);
        }
    }

    /// Takes the other amount away, stopping at zero.
    pub fn subtract(&mut self, other: &Self) {
        self.cpu_milli = self.cpu_milli.saturating_sub(other.cpu_milli);
        self.memory = self.memory.saturating_sub(other.memory);
        self.pods = self.pods.saturating_sub(other.pods);
        for (name, count) in &other.extended {
            if let Some(left) = self.extended.get_mut(name) {
                *left = left.saturating_sub(*count);
            }
        }
    }
}
