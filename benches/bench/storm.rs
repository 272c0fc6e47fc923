//! Thousands of alert groups at once, through a real Alertmanager: is one lost, is one acted on twice, and how long does
//! it take, beside a receiver that only answers 200?

use super::process::Running;
use super::results::Measure;
use super::support::alertmanager::{self, RunningAlertmanager};
use super::support::redis;
use super::support::wait;
use anyhow::Context;
use bellwether::clock::Clock;
use bellwether::config::SimConfig;
use bellwether::model::{Signal, Source};
use bellwether::sim::World;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Alerts, each a group of its own.
const ALERTS: usize = 5_000;

/// Pools that they ask to grow by one, all of them many times.
const POOLS: usize = 50;

/// Both receivers, one after the other.
pub(crate) fn storm() -> anyhow::Result<Vec<Measure>> {
    bellwether::wire::install_crypto();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let plain = plain().await?;
        let Stormed { seconds, lost, doubled } = ours().await?;
        Ok(vec![
            Measure::new("storm.5000.plain_seconds", plain, "s"),
            Measure::new("storm.5000.seconds", seconds, "s"),
            Measure::new("storm.5000.ratio", seconds / plain, "times"),
            Measure::new("storm.5000.lost", f64::from(lost), "alerts"),
            Measure::new("storm.5000.doubled", f64::from(doubled), "launches"),
        ])
    })
}

struct Stormed {
    seconds: f64,
    lost: u32,
    doubled: u32,
}

/// The program on Redis, with a world in a file, so that it can be read from here.
async fn ours() -> anyhow::Result<Stormed> {
    let server = redis::start(&[]).await.context("Redis is missing")?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("world.json");
    let address = SocketAddr::from(([127, 0, 0, 1], super::support::ports::free()));
    let source = started(&format!("http://{address}/v1/alerts")).await?;
    let program = Running::start_at(address, |_| config(&server.url(), &source.url, &state))?;
    let begun = fire(&source).await;
    let stored = || server.ask::<usize>(&["HLEN", "{bw:default}:signals"]);
    wait::until("every alert to be stored", || async { stored() >= ALERTS }).await;
    let seconds = begun.elapsed().as_secs_f64();
    let world =
        World::new(&SimConfig { state: Some(state), ..SimConfig::default() }, Clock::system())?;
    wait::until("every pool to grow", || async { batches(&world).len() >= POOLS }).await;
    // Long enough for a second act, were there one.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let named: Vec<String> = server.ask(&["HVALS", "{bw:default}:signals"]);
    let known: BTreeSet<u64> = named.iter().filter_map(|record| number(record)).collect();
    let twice = batches(&world).values().map(|batches| batches.len() - 1).sum::<usize>();
    drop(program);
    Ok(Stormed {
        seconds,
        lost: u32::try_from(ALERTS - known.len())?,
        doubled: u32::try_from(twice)?,
    })
}

/// The number of an alert, in the record that is kept of it.
fn number(record: &str) -> Option<u64> {
    let Source::Alert { labels, .. } = serde_json::from_str::<Signal>(record).ok()?.source else {
        return None;
    };
    labels.get("number")?.parse().ok()
}

/// The batches that were launched for each pool.
fn batches(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let mut batches: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for worker in world.calls().iter().filter(|call| call.new > 0).flat_map(|call| &call.workers) {
        // POOL-BATCH-NUMBER
        let Some((batch, _)) = worker.as_str().rsplit_once('-') else { continue };
        let pool = batch.split('-').next().unwrap_or_default();
        batches.entry(pool.to_owned()).or_default().insert(batch.to_owned());
    }
    batches
}

/// A receiver that does nothing but to count and to answer.
async fn plain() -> anyhow::Result<f64> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let source = started(&format!("http://{}", listener.local_addr()?)).await?;
    let counted = Arc::new(AtomicUsize::new(0));
    let counting = counted.clone();
    #[expect(clippy::disallowed_methods, reason = "aborted below")]
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counted = counting.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let counted = counted.clone();
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                    let alerts = body["alerts"].as_array().map_or(0, Vec::len);
                    counted.fetch_add(alerts, Ordering::Relaxed);
                    Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(connection);
        }
    });
    let begun = fire(&source).await;
    let counted = || counted.load(Ordering::Relaxed);
    wait::until("every alert", || async { counted() >= ALERTS }).await;
    serving.abort();
    Ok(begun.elapsed().as_secs_f64())
}

async fn started(url: &str) -> anyhow::Result<RunningAlertmanager> {
    let routes = format!(
        "route: {{ receiver: bellwether, group_by: ['...'], group_wait: 1s, group_interval: 5m, repeat_interval: 1h }}
receivers: [{{ name: bellwether, webhook_configs: [{{ url: '{url}', send_resolved: false, http_config: {{ follow_redirects: false }} }}] }}]
"
    );
    alertmanager::start("0.31", &routes).await.context("Alertmanager is missing")
}

/// All alerts in one request, as Prometheus sends them.
async fn fire(source: &RunningAlertmanager) -> Instant {
    let now = Clock::system().now();
    let alerts: Vec<Value> = (0..ALERTS)
        .map(|number| {
            json!({
                "labels": { "alertname": "CPUHigh", "autoscale": "up", "cluster": "default", "step": "1",
                    "pool": format!("p{:02}", number % POOLS), "number": number.to_string() },
                "annotations": { "summary": "a storm" },
                "startsAt": now, "endsAt": now + SignedDuration::from_mins(30),
            })
        })
        .collect();
    let begun = Instant::now();
    source.post("api/v2/alerts", &json!(alerts)).await;
    begun
}

fn config(redis: &str, alertmanager: &str, state: &Path) -> String {
    let mut yaml = format!(
        "store: {{ url: '{redis}' }}
log: {{ level: error }}
alertmanager: {{ urls: ['{alertmanager}'] }}
prometheus: {{ urls: [http://127.0.0.1:9] }}
clusters:
  default:
    kubernetes: {{ sim: {{ boot: 1s, state: '{}' }} }}
    pools:
",
        state.display()
    );
    for pool in 0..POOLS {
        let _ = writeln!(
            yaml,
            "      p{pool:02}: {{ provider: {{ sim: {{}} }}, max: 500, cooldown: {{ up: 30m }}, limits: {{ launches_per_hour: 500 }} }}"
        );
    }
    yaml
}
