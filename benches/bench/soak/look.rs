//! One look at the process from outside, and at what it shows of itself.

use super::monitoring::Monitoring;
use crate::process::Running;
use anyhow::Context as _;
use bellwether::model::{Fingerprint, duration};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// What it takes now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Resident memory, in megabytes.
    pub(super) rss: f64,
    /// Open files.
    pub(super) files: f64,
    pub(super) threads: f64,
    /// Tasks of its runtime.
    pub(super) tasks: f64,
    /// Its store's file, in megabytes.
    pub(super) store: f64,
    /// The simulated world, which is in its memory and keeps every machine and call, written as JSON, in megabytes.
    pub(super) world: f64,
    /// Deliveries that were answered so far, and of these what is not to be found.
    tally: (f64, f64),
    signals: usize,
}

/// What was done to machines so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Acts {
    pub(super) launches: f64,
    pub(super) removals: f64,
}

impl Look {
    pub(super) async fn take(
        process: &Running,
        world: SocketAddr,
        monitoring: &Monitoring,
    ) -> anyhow::Result<Self> {
        let signals = signals(process.address, monitoring).await?;
        let metrics = get(process.address, "/metrics").await?;
        let store = std::fs::metadata(process.folder.path().join("store/bellwether.redb"))?.len();
        let files = std::fs::read_dir(process.proc("fd"))?.count();
        let world = get(world, "/world").await?.len();
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let (store, files, world) =
            (store as f64 / MEGABYTE, files as f64, world as f64 / MEGABYTE);
        Ok(Self {
            rss: process.status("VmRSS")? / 1024.0,
            files,
            threads: process.status("Threads")?,
            tasks: sum(&metrics, "bellwether_process_tasks", ""),
            store,
            world,
            tally: monitoring.tally(),
            signals,
        })
    }

    /// A line for whoever waits.
    #[expect(clippy::print_stdout, reason = "progress")]
    pub(super) fn tell(&self, after: Duration) {
        let Self { rss, files, threads, tasks, store, world, tally: (deliveries, lost), signals } =
            self;
        println!(
            "soak {:>4.0} s: {deliveries:>6} deliveries, {lost} lost, {signals:>4} signals, RSS {rss:.1} MB, \
             {files} files, {threads} threads, {tasks} tasks, store {store:.2} MB, world {world:.2} MB",
            after.as_secs_f64()
        );
    }

    /// What its metrics count.
    pub(super) async fn acts(address: SocketAddr) -> anyhow::Result<Acts> {
        let metrics = get(address, "/metrics").await?;
        let count = |act| sum(&metrics, "bellwether_acts_total", &format!("act=\"{act}\""));
        Ok(Acts { launches: count("launch"), removals: count("terminate") })
    }
}

/// How many signals are shown. What was answered and is not among them is told to the monitoring.
async fn signals(address: SocketAddr, monitoring: &Monitoring) -> anyhow::Result<usize> {
    let whole: Value = serde_json::from_str(&get(address, "/v1/signals").await?)?;
    let shown = &whole["clusters"]["default"];
    let Some(signals) = shown["signals"].as_array() else { return Ok(0) };
    let prints = signals.iter().filter_map(|told| told["signal"]["source"]["fingerprint"].as_str());
    let prints: BTreeSet<Fingerprint> = prints.map(Fingerprint::new).collect();
    // A pass is named by when it began, and reads the signals after that.
    let pass = shown["pass"].as_str().and_then(|pass| pass.rsplit('-').next());
    let began = Timestamp::from_millisecond(pass.context("a pass without a name")?.parse()?)?;
    monitoring.compare(&prints, duration::before(began, super::KEPT)..began);
    Ok(prints.len())
}

async fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let answer = reqwest::get(format!("http://{address}{path}")).await?;
    Ok(answer.error_for_status()?.text().await?)
}

/// The sum of a family's series that went well and have a label.
fn sum(metrics: &str, family: &str, label: &str) -> f64 {
    let ours = metrics.lines().filter(|line| line.starts_with(family) && line.contains(label));
    let well = ours.filter(|line| !line.contains("outcome=") || line.contains("outcome=\"ok\""));
    well.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
