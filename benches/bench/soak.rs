//! An hour of alerts in ten minutes, on real sockets and a real file: what grows, and what is lost.
//!
//! The real program has 200 pools on a simulated world. An Alertmanager of ours (`soak/monitoring.rs`), with the shipped
//! routes made six times as fast, fires, repeats and resolves 10,000 alerts, some of them again and again, and answers
//! what is true; others read, send nonsense and hang up (`soak/crowd.rs`). Meanwhile the process is looked at from
//! outside (`soak/look.rs`). Half of an hour is as good as a whole one: `SOAK_SECONDS` chooses.

#[path = "soak/crowd.rs"]
mod crowd;
#[path = "soak/look.rs"]
mod look;
#[path = "soak/monitoring.rs"]
mod monitoring;

use super::process::Running;
use super::results::{Measure, median};
use super::support::ports;
use look::Look;
use monitoring::Monitoring;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long it is played when it is asked for by its name, and when everything is measured.
const WHOLE: u64 = 600;
const SHORT: u64 = 60;

/// Pools; every fourth grows and shrinks, the others are at their bounds and always have a reason to hold.
const POOLS: u64 = 200;
const EVERY: u64 = 4;

/// Signals live for a minute after their last delivery, so that what is shorter only shows how the store fills.
const TELLS_GROWTH: Duration = Duration::from_mins(5);

/// How many looks there are, and how many of the first and of each end make what is compared.
const LOOKS: u32 = 120;
const WARM: usize = 24;
const END: usize = 19;

/// How long a delivery is looked for after it was answered. It is kept for twice as long.
const KEPT: Duration = Duration::from_secs(30);

/// Everything that grew, and what was lost.
pub(crate) fn soak() -> anyhow::Result<Vec<Measure>> {
    let span = Duration::from_secs(seconds());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(play(span))
}

#[expect(clippy::disallowed_methods, reason = "a bench has no configuration of its own")]
fn seconds() -> u64 {
    let usual = if super::only().is_some() { WHOLE } else { SHORT };
    std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

async fn play(span: Duration) -> anyhow::Result<Vec<Measure>> {
    bellwether::wire::install_crypto();
    let mut tasks = JoinSet::new();
    let monitoring = Arc::new(Monitoring::new(span)?);
    let api = monitoring.clone().serve(&mut tasks).await?;
    let world = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let mut process = Running::start(|folder| config(folder, &api, world))?;
    tasks.spawn(monitoring.clone().fire());
    tasks.spawn(monitoring.clone().deliver(process.address));
    tasks.spawn(crowd::read(process.address));
    tasks.spawn(crowd::annoy(process.address));
    let begun = Instant::now();
    let mut looks: Vec<Look> = Vec::new();
    let mut ticks = tokio::time::interval(span / LOOKS);
    ticks.tick().await;
    while begun.elapsed() < span {
        ticks.tick().await;
        process.is_there()?;
        anyhow::ensure!(tasks.try_join_next().is_none(), "a part of the soak ended");
        let look = Look::take(&process, world, &monitoring).await?;
        if looks.len() % 10 == 9 {
            look.tell(begun.elapsed());
        }
        looks.push(look);
    }
    let acts = Look::acts(process.address).await?;
    anyhow::ensure!(acts.launches > 0.0 && acts.removals > 0.0, "nothing was done: {acts:?}");
    tasks.shutdown().await;
    let mut measures = measures(&looks, &monitoring, &acts);
    measures.retain(|one| span >= TELLS_GROWTH || !one.name.contains("growth"));
    Ok(measures)
}

fn measures(looks: &[Look], monitoring: &Monitoring, acts: &look::Acts) -> Vec<Measure> {
    let steady = &looks[WARM.min(looks.len() - 1)..];
    let grown = |of: fn(&Look) -> f64| {
        let of = |some: &[Look]| median(some.iter().map(of).collect());
        let end = END.min(steady.len());
        of(&steady[steady.len() - end..]) - of(&steady[..end])
    };
    let last = looks.last().expect("looked at once at least");
    let (deliveries, lost) = monitoring.tally();
    vec![
        Measure::new("soak.rss_growth_mb", grown(|look| look.rss), "MB"),
        Measure::new("soak.rss_mb", last.rss, "MB"),
        Measure::new("soak.world_growth_mb", grown(|look| look.world), "MB"),
        Measure::new("soak.fds_growth", grown(|look| look.files), "files"),
        Measure::new("soak.tasks_growth", grown(|look| look.tasks), "tasks"),
        Measure::new("soak.threads_growth", grown(|look| look.threads), "threads"),
        Measure::new("soak.store_growth_mb", grown(|look| look.store), "MB"),
        Measure::new("soak.store_mb", last.store, "MB"),
        Measure::new("soak.deliveries", deliveries, "deliveries"),
        Measure::new("soak.lost", lost, "deliveries"),
        Measure::new("soak.launches", acts.launches, "workers"),
        Measure::new("soak.removals", acts.removals, "workers"),
    ]
}

/// Times are a sixth of what they usually are, and histories short enough to be full soon.
fn config(folder: &Path, alertmanager: &str, world: SocketAddr) -> String {
    let mut yaml = format!(
        "store: {{ url: 'file:{}', history: {{ entries: 1000 }} }}
log: {{ level: error }}
alertmanager: {{ urls: ['{alertmanager}'], ttl: 30s, ttl_slack: 3s, watchdog_ttl: 30s, restart_hold: 1s }}
prometheus: {{ urls: [http://127.0.0.1:9] }}
reconcile: {{ interval: 5s, busy_interval: 300ms }}
clusters:
  default:
    kubernetes: {{ sim: {{ boot: 2s, listen: '{world}' }} }}
    timing: {{ rebuild_hold: 1s, gone_for: 10s }}
    pools:
",
        folder.join("store").display()
    );
    for pool in 0..POOLS {
        let bounds = if pool % EVERY == 0 { "min: 0, max: 2" } else { "min: 1, max: 1" };
        let _ = writeln!(
            yaml,
            "      p{pool:03}: {{ provider: {{ sim: {{}} }}, {bounds}, min_age: 0s, cooldown: {{ up: 5s, down: 5s }} }}"
        );
    }
    yaml
}
