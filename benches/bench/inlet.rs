//! Webhooks over real sockets: how many, and how fast. The callers are plain sockets on a thread of
//! their own, so that what is measured is mostly the server.

use super::configuration::configuration;
use super::process::Running;
use super::results::{Measure, median};
use super::support::redis;
use anyhow::Context;
use bellwether::clock::Clock;
use bellwether::config::Standing;
use bellwether::http::readiness::Readiness;
use bellwether::http::{self, Handle, Limits, State};
use bellwether::metrics::Metrics;
use bellwether::store::{Embedded, Memory, Retention, Store};
use jiff::Timestamp;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// As many connections as a few Alertmanagers keep.
const CONNECTIONS: usize = 8;

/// As many as a large set-up keeps with all its replicas, on a store whose every answer is a turn of the network.
const MANY: usize = 64;

/// How long each rate is measured, after a run-in.
const RUN: Duration = Duration::from_secs(3);
const RUN_IN: Duration = Duration::from_millis(500);

/// The fixed rates at which delays are measured, and how often.
const FIXED_PER_SECOND: u32 = 1_000;
const FIXED_ON_REDIS: u32 = 2_000;
const RUNS: usize = 5;

/// Deliveries after which memory is looked at, and after which it is looked at again.
const SOON: u32 = 100_000;
const MILLION: u32 = 1_000_000;

/// A body as Alertmanager sends it, with one alert.
const BODY: &str = r#"{"receiver":"bellwether","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"NodesBusy","autoscale":"up","cluster":"one","pool":"workers","severity":"warning"},"annotations":{"description":"CPU of the pool is above 80 % for 5 minutes.","summary":"workers are busy"},"startsAt":"2026-01-01T00:00:00.000Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://prometheus:9090/graph?g0.expr=x","fingerprint":"1a2b3c4d5e6f7a8b"}],"groupLabels":{"alertname":"NodesBusy"},"commonLabels":{"alertname":"NodesBusy","autoscale":"up","cluster":"one","pool":"workers","severity":"warning"},"commonAnnotations":{},"externalURL":"http://alertmanager:9093","version":"4","groupKey":"{}:{alertname=\"NodesBusy\"}","truncatedAlerts":0}"#;

/// A server on its own runtime.
struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    runtime: runtime::Runtime,
}

/// The rate on the memory store: what the server itself can take.
pub(crate) fn memory() -> anyhow::Result<Vec<Measure>> {
    let served = Served::start(|clock, retention| Ok(Arc::new(Memory::new(clock, retention))))?;
    let rate = rate(served.address, CONNECTIONS)?;
    served.end();
    Ok(vec![Measure::new("inlet.memory.rate_per_s", rate, "1/s")])
}

/// Rate and delay on the embedded store: each answer waits for the disk.
pub(crate) fn embedded() -> anyhow::Result<Vec<Measure>> {
    let dir = tempfile::tempdir()?;
    let served = Served::start(|clock, retention| {
        Ok(Arc::new(Embedded::open(dir.path(), clock, retention)?))
    })?;
    let rate = rate(served.address, CONNECTIONS)?;
    let delays: anyhow::Result<Vec<f64>> =
        (0..RUNS).map(|_| p99(served.address, CONNECTIONS, FIXED_PER_SECOND)).collect();
    served.end();
    Ok(vec![
        Measure::new("inlet.embedded.rate_per_s", rate, "1/s"),
        Measure::new("inlet.embedded.p99_ms", median(delays?), "ms"),
    ])
}

/// Rate and delay on a Redis that writes each delivery to its disk before it answers, and what the program takes
/// after many.
pub(crate) fn redis() -> anyhow::Result<Vec<Measure>> {
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let server = callers()?.block_on(redis::start(&durable)).context("Redis is missing")?;
    let served = Served::start(|_, _| Ok(Arc::new(server.store(""))))?;
    let rate = rate(served.address, MANY)?;
    let delays: anyhow::Result<Vec<f64>> =
        (0..RUNS).map(|_| p99(served.address, MANY, FIXED_ON_REDIS)).collect();
    served.end();
    let program = Running::start(|_| program(&server.url()))?;
    deliver(program.address, SOON)?;
    let soon = program.status("VmRSS")? / 1024.0;
    deliver(program.address, MILLION - SOON)?;
    let late = program.status("VmRSS")? / 1024.0;
    Ok(vec![
        Measure::new("inlet.redis.rate_per_s", rate, "1/s"),
        Measure::new("inlet.redis.p99_ms", median(delays?), "ms"),
        Measure::new("inlet.redis.rss_mb_after_100k", soon, "MB"),
        Measure::new("inlet.redis.rss_mb_after_1m", late, "MB"),
    ])
}

/// The whole program on that Redis, with the cluster and the pool that the deliveries name.
fn program(redis: &str) -> String {
    format!(
        "store: {{ url: '{redis}' }}
log: {{ level: error }}
alertmanager: {{ urls: [http://127.0.0.1:9] }}
prometheus: {{ urls: [http://127.0.0.1:9] }}
clusters: {{ one: {{ kubernetes: {{ sim: {{}} }}, pools: {{ workers: {{ provider: {{ sim: {{}} }}, max: 9 }} }} }} }}
"
    )
}

// === impl Served ===

impl Served {
    fn start(
        store: impl FnOnce(Clock, Retention) -> anyhow::Result<Arc<dyn Store>>,
    ) -> anyhow::Result<Self> {
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let stop = CancellationToken::new();
        let _entered = runtime.enter();
        let retention = Retention { entries: 1_000, age: Duration::from_hours(1) };
        let (_, config) = watch::channel(Arc::new(configuration()));
        let state = State {
            store: store(Clock::system(), retention)?,
            metrics: Arc::new(Metrics::new()),
            config,
            standing: watch::channel(Standing::started(Timestamp::UNIX_EPOCH)).1,
            handle: Handle {
                wake: Box::new(|_| ()),
                report: Box::new(|_| None),
                explain: Box::new(|_, _| None),
            },
            readiness: Readiness::new(),
            limits: Limits::default(),
        };
        let listener = http::bind(([127, 0, 0, 1], 0).into())?;
        let address = listener.local_addr()?;
        runtime.spawn(http::serve(listener, state, stop.clone()));
        Ok(Self { address, stop, runtime })
    }

    fn end(self) {
        self.stop.cancel();
        self.runtime.shutdown_timeout(Duration::from_secs(2));
    }
}

// === free functions ===

/// So many deliveries, over many connections.
fn deliver(address: SocketAddr, count: u32) -> anyhow::Result<()> {
    callers()?.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..MANY {
            let share = count / u32::try_from(MANY)?;
            tasks.spawn(async move {
                let mut caller = Caller::connect(address).await?;
                for _ in 0..share {
                    caller.deliver().await?;
                }
                anyhow::Ok(())
            });
        }
        tasks.join_all().await.into_iter().collect()
    })
}

/// Answers per second, with every connection sending as soon as it has its answer.
fn rate(address: SocketAddr, connections: usize) -> anyhow::Result<f64> {
    callers()?.block_on(async {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            tasks.spawn(async move {
                let mut caller = Caller::connect(address).await?;
                let mut answered = 0_u32;
                while begun.elapsed() < RUN_IN + RUN {
                    caller.deliver().await?;
                    answered += u32::from(begun.elapsed() >= RUN_IN);
                }
                anyhow::Ok(answered)
            });
        }
        let counts: anyhow::Result<Vec<u32>> = tasks.join_all().await.into_iter().collect();
        Ok(f64::from(counts?.iter().sum::<u32>()) / RUN.as_secs_f64())
    })
}

/// The delay in milliseconds that 99 of 100 deliveries stay below, at a fixed rate. A delivery's
/// time runs from when it was due, so that one that waits for another counts its waiting.
fn p99(address: SocketAddr, connections: usize, per_second: u32) -> anyhow::Result<f64> {
    let gap = Duration::from_secs(1) / per_second * u32::try_from(connections)?;
    callers()?.block_on(async {
        let mut tasks = JoinSet::new();
        for number in 0..connections {
            tasks.spawn(async move {
                let mut caller = Caller::connect(address).await?;
                let shift = gap / u32::try_from(connections)? * u32::try_from(number)?;
                let begun = tokio::time::Instant::now() + shift;
                let mut ticks = tokio::time::interval_at(begun, gap);
                let mut delays = Vec::new();
                while begun.elapsed() < RUN {
                    let due = ticks.tick().await;
                    caller.deliver().await?;
                    delays.push(due.elapsed().as_secs_f64() * 1e3);
                }
                anyhow::Ok(delays)
            });
        }
        let delays: anyhow::Result<Vec<Vec<f64>>> = tasks.join_all().await.into_iter().collect();
        let mut delays = delays?.concat();
        delays.sort_by(f64::total_cmp);
        Ok(delays[delays.len() * 99 / 100])
    })
}

fn callers() -> anyhow::Result<runtime::Runtime> {
    Ok(runtime::Builder::new_current_thread().enable_all().build()?)
}

/// A kept-alive connection with a request that is ready to be sent.
struct Caller {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Caller {
    async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let length = BODY.len();
        let request = format!(
            "POST /v1/alerts HTTP/1.1\r\nHost: bellwether\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{BODY}"
        );
        Ok(Self { stream, request: request.into_bytes(), answer: vec![0; 4096] })
    }

    /// Sends and waits for the answer, which must say that one alert was stored.
    async fn deliver(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.request).await?;
        let mut read = 0;
        loop {
            read += self.stream.read(&mut self.answer[read..]).await?;
            let answer = &self.answer[..read];
            if answer.ends_with(b"}") {
                let stored = answer.starts_with(b"HTTP/1.1 200")
                    && answer.windows(12).any(|part| part == b"\"accepted\":1");
                return stored.then_some(()).context("a delivery was not stored");
            }
            anyhow::ensure!(read > 0 && read < self.answer.len(), "the answer broke off");
        }
    }
}
