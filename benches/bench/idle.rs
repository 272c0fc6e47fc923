//! A thousand workers of which nobody wants anything: what it costs to look after them. The control plane is real, and kwok's kubelets
//! tell of themselves as real ones do.

use super::chain::run;
use super::drain::asked;
use super::results::Measure;
use super::support::control_plane::{AUDITED, Setting};
use super::support::yard::Yard;
use anyhow::Context as _;
use std::time::{Duration, Instant};

const WORKERS: usize = 1_000;
const AT_ONCE: usize = 100;

/// How long it is watched.
const WATCHED: Duration = Duration::from_mins(1);

pub(crate) fn idle() -> anyhow::Result<Vec<Measure>> {
    run(async {
        let setting = Setting { flags: AUDITED.into(), ..Setting::default() };
        let pool = format!("max: {WORKERS}, step: {{ up: {WORKERS} }}");
        let yard = Yard::start(&setting, &pool).await.context("a server is missing")?;
        // An operator may ask for so many at once.
        for workers in (AT_ONCE..=WORKERS).step_by(AT_ONCE) {
            yard.grow(i32::try_from(AT_ONCE)?, workers).await;
        }
        // The control plane opens new nodes one by one, some ten a second.
        yard.until("all nodes to be open", async || are_open(&yard).await).await;
        // What came of the growth is over when a pass has found nothing to do.
        yard.passes(3).await;
        let (begun, worked) = (Instant::now(), yard.program.worked());
        let before = asked(&yard, false) + asked(&yard, true);
        tokio::time::sleep(WATCHED).await;
        let requests = asked(&yard, false) + asked(&yard, true) - before;
        let worked = yard.program.worked().saturating_sub(worked).as_secs_f64();
        let seconds = begun.elapsed().as_secs_f64();
        Ok(vec![
            Measure::new("idle.cpu_percent", worked / seconds * 100.0, "%"),
            Measure::new("idle.requests_per_min", requests / seconds * 60.0, "requests"),
            Measure::new("idle.peak_mb", yard.program.peak_mb(), "MB"),
        ])
    })
}

async fn are_open(yard: &Yard) -> bool {
    let nodes = yard.nodes().await;
    nodes.iter().all(|node| node.spec.as_ref().is_none_or(|spec| spec.taints.is_none()))
}
