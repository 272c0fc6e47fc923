//! Containers as workers, on a real Docker and a real control plane: how soon one runs, and is Ready.

use super::chain::run;
use super::results::{Measure, median};
use super::support::alertmanager;
use super::support::lab::{Lab, Wanted};
use super::support::ports;
use anyhow::Context as _;
use bellwether::clock::Clock;
use jiff::Timestamp;

/// How many alerts are measured, one at a time.
const SAMPLES: usize = 5;

/// How many are made at once, in the end.
const MANY: i32 = 10;

pub(crate) fn docker() -> anyhow::Result<Vec<Measure>> {
    run(async {
        let mut measures = one_by_one().await?;
        measures.push(many().await?);
        Ok(measures)
    })
}

fn since(then: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(then).as_secs_f64()
}

/// From an alert's arrival at Alertmanager to a container that runs, as Docker tells, and to a node that is Ready, as it tells itself.
async fn one_by_one() -> anyhow::Result<Vec<Measure>> {
    let port = ports::free();
    let routes = alertmanager::faster_routes(port);
    let alertmanager = alertmanager::start("0.31", &routes).await.context("no Alertmanager")?;
    let monitoring = [&*alertmanager.url, "http://127.0.0.1:9"];
    let lab = Lab::start(&Wanted { monitoring, port, ..Wanted::default() }).await;
    let lab = lab.context("a server is missing")?;
    let (mut running, mut ready) = (Vec::new(), Vec::new());
    for sample in 1..=SAMPLES {
        let known = lab.containers().await;
        let name = format!("Need{sample}");
        let labels = labels(&name);
        let fired = Clock::system().now();
        alertmanager.fire(&labels).await;
        let is_made = async || lab.containers().await.len() > known.len();
        lab.until("a container", is_made).await;
        // One that goes on asks for the next.
        alertmanager.resolve(&labels).await;
        lab.until("the worker to be Ready", async || lab.are_ready(sample).await).await;
        ready.push(since(fired, Clock::system().now()) * 1_000.0);
        let containers = lab.containers().await;
        let new = containers.iter().find(|name| !known.contains(name)).context("none is new")?;
        let words = ["inspect", "--format", "{{.State.StartedAt}}", new];
        let started: Timestamp = lab.dockerd.says(&words).await[0].parse()?;
        running.push(since(fired, started) * 1_000.0);
    }
    Ok(vec![
        Measure::new("docker.alert_to_running.ms", median(running), "ms"),
        Measure::new("docker.alert_to_ready.ms", median(ready), "ms"),
    ])
}

/// An alert that asks for one worker more.
fn labels(name: &str) -> [(&str, &str); 5] {
    [
        ("alertname", name),
        ("autoscale", "up"),
        ("cluster", "default"),
        ("pool", "workers"),
        ("step", "1"),
    ]
}

/// From an operator's wish until the last container runs.
async fn many() -> anyhow::Result<Measure> {
    let pool = "max: 10, step: { up: 10 }";
    let lab = Lab::start(&Wanted { pool, ..Wanted::default() }).await;
    let lab = lab.context("a server is missing")?;
    let wished = Clock::system().now();
    lab.wish(MANY).await;
    let words = ["ps", "--filter", "status=running", "--quiet"];
    lab.until("all to run", async || lab.dockerd.says(&words).await.len() == 10).await;
    Ok(Measure::new("docker.10_workers.s", since(wished, Clock::system().now()), "s"))
}
