//! How fast the simulation plays, and what it finds: figures that it tells itself, in its last line.

use super::results::Measure;
use anyhow::Context as _;
use std::process::{Command, Stdio};

/// Seeds, unless `SEEDS` says otherwise.
const SEEDS: &str = "100";

/// Builds and plays `tests/sim` as `make sim` does.
#[expect(clippy::disallowed_methods, reason = "a bench has no configuration of its own")]
pub(crate) fn sim() -> anyhow::Result<Vec<Measure>> {
    let seeds = std::env::var("SEEDS").unwrap_or_else(|_| SEEDS.to_owned());
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--quiet", "--test", "sim"]).env("SEEDS", seeds).stderr(Stdio::inherit());
    let told = String::from_utf8(cargo.output()?.stdout)?;
    let played = |line: &&str| line.starts_with("sim: ") && line.ends_with(" seeds a minute");
    let last = told.lines().rfind(played).with_context(|| format!("it did not play:\n{told}"))?;
    let before = |words: &str| -> anyhow::Result<f64> {
        let number = last.split(words).next().and_then(|text| text.rsplit(' ').next());
        Ok(number.context("no number")?.parse()?)
    };
    Ok(vec![
        Measure::new("sim.seeds_per_min", before(" seeds a minute")?, "1/min"),
        Measure::new("sim.seeds", before(" seeds of ")?, "seeds"),
        Measure::new("sim.violations", before(" violated")?, "seeds"),
    ])
}
