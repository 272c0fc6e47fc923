//! Measures, shown and kept.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
}

impl Measure {
    pub(crate) fn new(name: &str, value: f64, unit: &str) -> Self {
        Self { name: name.to_owned(), value, unit: unit.to_owned() }
    }
}

/// Prints a table.
#[expect(clippy::print_stdout, reason = "that is what a bench is for")]
pub(crate) fn show(measures: &[Measure]) {
    for Measure { name, value, unit } in measures {
        println!("{name:<32} {value:>14.3} {unit}");
    }
}

/// Puts measures into the file, in place of what it held under the same names.
pub(crate) fn keep(measures: &[Measure]) -> anyhow::Result<()> {
    let path = file();
    let known: Vec<Measure> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => Vec::new(),
    };
    let all = known.iter().chain(measures);
    let newest: BTreeMap<&str, &Measure> = all.map(|one| (one.name.as_str(), one)).collect();
    let values: Vec<&Measure> = newest.into_values().collect();
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    Ok(std::fs::write(&path, serde_json::to_vec_pretty(&values)?)?)
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/results.json")
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
