//! From a pod that finds no node to our launch call: a real control plane, Prometheus at 1 s of scrape and evaluation,
//! Alertmanager; with the rule's alert waited for, and pushed.

use super::results::{Measure, median};
use super::support::chain::Chain;
use super::support::wait;
use anyhow::Context as _;
use bellwether::clock::Clock;
use rand::RngExt as _;
use std::time::Duration;

/// How many pods are measured, one at a time; the p99 of so few is their slowest.
const SAMPLES: usize = 30;

/// How many Prometheuses they are measured with, one after the other: how its scrapes and its evaluations lie to each other is chance for
/// each, and worth up to a second.
const STARTS: usize = 3;

/// What a launch calls a burst, and how much CPU each of its pods asks for.
const BURSTS: [(usize, &str); 2] = [(100, "1"), (1_000, "500m")];

pub(crate) fn run<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    bellwether::wire::install_crypto();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(future)
}

/// One pod at a time onto full nodes.
pub(crate) fn chain() -> anyhow::Result<Vec<Measure>> {
    run(async {
        let mut measures = Vec::new();
        for (name, is_pushed) in [("chain.pod_to_launch", false), ("chain.pushed", true)] {
            let mut times = Vec::new();
            for _ in 0..STARTS {
                times.extend(samples(is_pushed, SAMPLES / STARTS).await?);
            }
            let slowest = times.iter().copied().fold(0.0, f64::max);
            measures.push(Measure::new(&format!("{name}.p50_ms"), median(times), "ms"));
            measures.push(Measure::new(&format!("{name}.p99_ms"), slowest, "ms"));
        }
        Ok(measures)
    })
}

/// Milliseconds from before each pod's POST to the launch call.
async fn samples(is_pushed: bool, count: usize) -> anyhow::Result<Vec<f64>> {
    let chain = Chain::start(is_pushed).await.context("a server is missing")?;
    let mut times = Vec::new();
    for sample in 0..count {
        chain.calm().await;
        // What ends a need is a moment of Prometheus' second; pods are posted at any.
        let any = rand::rng().random_range(0..1_000);
        tokio::time::sleep(Duration::from_millis(any)).await;
        let before = chain.world.calls().len();
        let posted = Clock::system().now();
        chain.pods(&[format!("pod-{sample}")], "3500m").await;
        wait::until("the launch", || async { chain.world.calls().len() > before }).await;
        let call = chain.world.calls()[before].at;
        times.push(call.duration_since(posted).as_secs_f64() * 1_000.0);
        wait::until("the pod to be bound", || async {
            chain.kubelets.join().await;
            chain.bound().await == sample + 1
        })
        .await;
    }
    Ok(times)
}

/// Many pods at once, pushed: how many workers, until when, and what it takes.
pub(crate) fn burst() -> anyhow::Result<Vec<Measure>> {
    let mut measures = Vec::new();
    for (pods, cpu) in BURSTS {
        measures.extend(run(burst_of(pods, cpu))?);
    }
    Ok(measures)
}

async fn burst_of(pods: usize, cpu: &str) -> anyhow::Result<Vec<Measure>> {
    let chain = Chain::start(true).await.context("a server is missing")?;
    let names: Vec<String> = (0..pods).map(|number| format!("pod-{number}")).collect();
    let worked = chain.program.worked();
    let begun = Clock::system().now();
    chain.pods(&names, cpu).await;
    let posted = Clock::system().now().duration_since(begun).as_secs_f64();
    let milli = if cpu == "1" { 1_000 } else { 500 };
    let ideal = (pods * milli).div_ceil(4_000);
    wait::until("the launches", || async { chain.launched() >= ideal }).await;
    // Machines take their time; meanwhile nothing more may be launched.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let last = chain.world.calls().last().context("no launch")?.at;
    let took = last.duration_since(begun).as_secs_f64();
    let worked = chain.program.worked().saturating_sub(worked).as_secs_f64();
    wait::until("every pod to be bound", || async {
        chain.kubelets.join().await;
        chain.bound().await == pods
    })
    .await;
    let of = |what: &str| format!("burst.{pods}.{what}");
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    let workers = chain.launched() as f64;
    Ok(vec![
        Measure::new(&of("workers"), workers, "workers"),
        Measure::new(&of("posted_s"), posted, "s"),
        Measure::new(&of("last_launch_s"), took, "s"),
        Measure::new(&of("cpu_s"), worked, "s"),
        Measure::new(&of("rss_mb"), chain.program.peak_mb(), "MB"),
    ])
}
