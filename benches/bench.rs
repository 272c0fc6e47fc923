//! What it costs, measured. `cargo bench` runs every group, `cargo bench -- inlet` (or `ONLY=inlet`)
//! those whose name begins so. Prints a table, and keeps the newest value of each name in
//! `target/bench/results.json`.

#[path = "bench/apiserver.rs"]
mod apiserver;
#[path = "bench/chain.rs"]
mod chain;
#[path = "../tests/it/support/configuration.rs"]
mod configuration;
#[cfg(feature = "docker")]
#[path = "bench/docker.rs"]
mod docker;
#[path = "bench/drain.rs"]
mod drain;
#[cfg(feature = "ec2")]
#[path = "bench/ec2.rs"]
mod ec2;
#[path = "bench/fit.rs"]
mod fit;
#[path = "bench/handover.rs"]
mod handover;
#[path = "bench/idle.rs"]
mod idle;
#[path = "bench/inlet.rs"]
mod inlet;
#[cfg(feature = "docker")]
#[path = "bench/lab.rs"]
mod lab;
#[path = "bench/pass.rs"]
mod pass;
#[path = "bench/plan.rs"]
mod plan;
#[path = "bench/process.rs"]
mod process;
#[path = "bench/reaction.rs"]
mod reaction;
#[path = "bench/results.rs"]
mod results;
#[path = "bench/sim.rs"]
mod sim;
#[path = "bench/soak.rs"]
mod soak;
#[path = "bench/storm.rs"]
mod storm;

/// What the tests and the benches share: real servers, free ports, waiting.
#[expect(dead_code, unused_imports, clippy::unwrap_used, reason = "the tests use the rest")]
#[path = "../tests/it/support"]
mod support {
    pub(crate) mod alertmanager;
    pub(crate) mod authority;
    #[cfg(feature = "ec2")]
    pub(crate) mod aws;
    pub(crate) mod chain;
    #[cfg(feature = "docker")]
    pub(crate) mod compose;
    pub(crate) mod control_plane;
    pub(crate) mod dockerd;
    pub(crate) mod kubelets;
    #[cfg(feature = "docker")]
    pub(crate) mod lab;
    #[cfg(feature = "ec2")]
    pub(crate) mod moto;
    pub(crate) mod ports;
    pub(crate) mod proc;
    pub(crate) mod prometheus;
    #[cfg(feature = "killpoints")]
    pub(crate) mod proxy;
    pub(crate) mod redis;
    pub(crate) mod server;
    pub(crate) mod wait;
    pub(crate) mod yard;
}

use results::Measure;

/// The program's own: what is measured in this process is to cost what it costs there.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A group: its name, and what measures it.
type Group = (&'static str, fn() -> anyhow::Result<Vec<Measure>>);

/// Every group, in the order in which they run. A new one is a file in `benches/bench/` and a line.
const GROUPS: &[Group] = &[
    ("inlet.memory", inlet::memory),
    ("inlet.embedded", inlet::embedded),
    ("inlet.redis", inlet::redis),
    ("loop", reaction::webhook_to_launch),
    ("plan", plan::plan),
    ("fit", fit::fit),
    ("pass", pass::pass),
    ("process", process::idle),
    ("storm", storm::storm),
    ("handover", handover::handover),
    ("chain", chain::chain),
    ("burst", chain::burst),
    ("drain", drain::drain),
    ("idle", idle::idle),
    #[cfg(feature = "docker")]
    ("docker", docker::docker),
    #[cfg(feature = "docker")]
    ("lab", lab::lab),
    #[cfg(feature = "ec2")]
    ("ec2.decision_to_wire", ec2::decision_to_wire),
    #[cfg(feature = "ec2")]
    ("ec2.list_2000", ec2::list),
    #[cfg(feature = "ec2")]
    ("ec2.100_workers", ec2::hundred_workers),
    #[cfg(feature = "ec2")]
    ("ec2.idle", ec2::idle),
    ("sim", sim::sim),
    ("soak", soak::soak),
];

fn main() -> anyhow::Result<()> {
    let only = only();
    let (mut measures, mut failed) = (Vec::new(), Vec::new());
    for (name, measure) in GROUPS.iter().copied() {
        if only.as_ref().is_none_or(|only| name.starts_with(only.as_str())) {
            match measure() {
                Ok(measured) => measures.extend(measured),
                Err(error) => failed.push(format!("{name}: {error:#}")),
            }
        }
    }
    results::show(&measures);
    results::keep(&measures)?;
    anyhow::ensure!(failed.is_empty(), "not measured: {}", failed.join("; "));
    Ok(())
}

/// The groups that are asked for. Cargo itself adds `--bench`.
#[expect(clippy::disallowed_methods, reason = "a bench has no configuration of its own")]
fn only() -> Option<String> {
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    argument.or_else(|| std::env::var("ONLY").ok()).filter(|only| !only.is_empty())
}
