//! `loop.webhook_to_launch`: from an alert's first webhook to the provider's launch call, with a real Alertmanager that
//! is asked twice in between.

use super::results::Measure;
use super::support::{alertmanager, ports, wait};
use anyhow::Context;
use bellwether::app::App;
use bellwether::clock::Clock;
use bellwether::config::Config;
use bellwether::model::{ClusterName, WorkerState};
use bellwether::reconcile::Handle;
use bellwether::sim::World;
use serde_json::json;
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

/// How many alerts are measured; the p99 of so few is their slowest.
const SAMPLES: usize = 60;
/// The receiver is there, and its deliveries go nowhere: the bench delivers by itself, to know when.
const ROUTES: &str = "route: { receiver: bellwether, group_by: ['...'], group_wait: 0s, group_interval: 15s, repeat_interval: 55s }
receivers: [{ name: bellwether, webhook_configs: [{ url: 'http://127.0.0.1:1', http_config: { follow_redirects: false } }] }]
";

/// Median and p99.
pub(crate) fn webhook_to_launch() -> anyhow::Result<Vec<Measure>> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> anyhow::Result<Vec<Measure>> {
    let server = alertmanager::start("0.31", ROUTES).await.context("Alertmanager is missing")?;
    let port = ports::free();
    let yaml = format!(
        "listen: 127.0.0.1:{port}
store: {{ url: 'memory:' }}
alertmanager: {{ urls: ['{}'] }}
prometheus: {{ urls: ['http://127.0.0.1:1'] }}
clusters:
  default:
    kubernetes: {{ sim: {{ boot: 10ms }} }}
    pools: {{ workers: {{ provider: {{ sim: {{}} }}, max: 500, cooldown: {{ up: 0s }}, limits: {{ launches_per_hour: 1000 }} }} }}
",
        server.url
    );
    let config = Config::parse(&yaml, &BTreeMap::<String, String>::new())?.config;
    let app = App::build(config, None, Clock::system()).await?;
    let cluster = ClusterName::from("default");
    let world = app.worlds()[&cluster].clone();
    let handle = app.handles()[&cluster].clone();
    let stop = CancellationToken::new();
    #[expect(clippy::disallowed_methods, reason = "awaited below")]
    let running = tokio::spawn(app.run(stop.clone()));
    let mut times = Vec::new();
    for sample in 0..SAMPLES {
        settled(&handle, sample).await;
        times.push(once(&server, &world, port, sample).await?);
    }
    stop.cancel();
    running.await??;
    times.sort_by(f64::total_cmp);
    Ok(vec![
        Measure::new("loop.webhook_to_launch.p50_ms", times[times.len() / 2], "ms"),
        Measure::new("loop.webhook_to_launch.p99_ms", times[times.len() - 1], "ms"),
    ])
}

/// Waits until the last sample's worker is Ready and the pool's cooldown is over.
async fn settled(handle: &Handle, workers: usize) {
    wait::until("the last worker to be Ready", || async {
        handle.report().is_some_and(|report| {
            report.workers.len() == workers
                && report.workers.iter().all(|worker| worker.state == WorkerState::Ready)
                && report.plan.is_quiet()
        })
    })
    .await;
}

/// Fires one alert, delivers it, and reads off the world when the launch call came.
async fn once(
    server: &alertmanager::RunningAlertmanager,
    world: &World,
    port: u16,
    sample: usize,
) -> anyhow::Result<f64> {
    let number = sample.to_string();
    let labels = [
        ("alertname", "CPUHigh"),
        ("autoscale", "up"),
        ("cluster", "default"),
        ("step", "1"),
        ("sample", &number),
    ];
    server.fire(&labels).await;
    let alerts = server.alerts().await;
    let alert = alerts
        .as_array()
        .and_then(|all| all.iter().find(|alert| alert["labels"]["sample"] == number));
    let alert = alert.context("Alertmanager does not tell of the alert")?;
    let body = json!({ "version": "4", "receiver": "bellwether", "status": "firing", "alerts": [{
        "status": "firing", "labels": alert["labels"], "annotations": {}, "startsAt": alert["startsAt"],
        "endsAt": "0001-01-01T00:00:00Z", "fingerprint": alert["fingerprint"] }] });
    let client = reqwest::Client::new();
    let began = Clock::system().now();
    client
        .post(format!("http://127.0.0.1:{port}/v1/alerts"))
        .json(&body)
        .send()
        .await?
        .error_for_status()?;
    wait::until("the launch", || async { world.calls().len() > sample }).await;
    let call = world.calls()[sample].at;
    server.resolve(&labels).await;
    Ok(call.duration_since(began).as_secs_f64() * 1000.0)
}
