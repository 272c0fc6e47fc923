//! One pass of the real program over a large cluster, seen through its real watches, and what it holds in memory: whole
//! objects are listed in pages by an HTTP server.

use super::apiserver::{self, Size};
use super::process::Running;
use super::results::Measure;
use anyhow::Context as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Nodes and pods.
const SIZES: [Size; 2] =
    [Size { nodes: 1_000, pods: 30_000 }, Size { nodes: 5_000, pods: 150_000 }];

/// How many passes are averaged.
const PASSES: f64 = 10.0;

/// The longest the first whole view may take, and the passes after it.
const LIMIT: Duration = Duration::from_mins(3);

/// Both sizes, beside what an idle program holds.
pub(crate) fn pass() -> anyhow::Result<Vec<Measure>> {
    let idle = memory_of(Size { nodes: 1, pods: 0 })?;
    let mut measures = Vec::new();
    for size in SIZES {
        measures.extend(measure(size, idle)?);
    }
    Ok(measures)
}

fn memory_of(size: Size) -> anyhow::Result<f64> {
    let (_runtime, program) = start(size)?;
    wait_for(&program, size.pods)?;
    program.status("VmRSS")
}

fn measure(size: Size, idle: f64) -> anyhow::Result<Vec<Measure>> {
    let (_runtime, program) = start(size)?;
    let begun = Instant::now();
    wait_for(&program, size.pods)?;
    let listed = begun.elapsed().as_secs_f64();
    let before = passes(&program)?;
    let mut after = before;
    while after.0 < before.0 + PASSES {
        anyhow::ensure!(begun.elapsed() < LIMIT, "so few passes: {after:?}");
        std::thread::sleep(Duration::from_millis(200));
        after = passes(&program)?;
    }
    let pass = (after.1 - before.1) / (after.0 - before.0) * 1_000.0;
    let explained = explain(&program, size)?;
    let Size { nodes, pods } = size;
    let of = |what: &str| format!("pass.{nodes}x{pods}.{what}");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let per_pod = (program.status("VmRSS")? - idle) * 1024.0 / pods as f64;
    Ok(vec![
        Measure::new(&of("ms"), pass, "ms"),
        Measure::new(&of("rss_mb"), program.status("VmHWM")? / 1024.0, "MB"),
        Measure::new(&of("bytes_per_pod"), per_pod, "bytes"),
        Measure::new(&of("first_view_s"), listed, "s"),
        Measure::new(&of("explain_ms"), explained, "ms"),
    ])
}

/// The cluster is served while the runtime lives.
fn start(size: Size) -> anyhow::Result<(tokio::runtime::Runtime, Running)> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    runtime.block_on(apiserver::serve(size, &kubeconfig))?;
    let program = Running::start(|_| {
        format!(
            "store: {{ url: 'memory:' }}
alertmanager: {{ urls: [http://127.0.0.1:9] }}
prometheus: {{ urls: [http://127.0.0.1:9] }}
reconcile: {{ interval: 500ms }}
clusters:
  default:
    mode: dry_run
    kubernetes: {{ kubeconfig: {}, sim: {{}} }}
    pools: {{ workers: {{ provider: {{ sim: {{}} }}, max: 10 }} }}
",
            kubeconfig.display()
        )
    })?;
    Ok((runtime, program))
}

/// Waits until the view is whole and a pass told of it.
fn wait_for(program: &Running, pods: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    let told = "bellwether_view_age_seconds{";
    loop {
        let metrics = get(program, "/metrics")?;
        if metrics.lines().any(|line| line.starts_with(told)) {
            return Ok(());
        }
        anyhow::ensure!(begun.elapsed() < LIMIT, "no view of {pods} pods");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// How many passes there were, and their seconds in all.
fn passes(program: &Running) -> anyhow::Result<(f64, f64)> {
    let metrics = get(program, "/metrics")?;
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).context("no passes")?;
        Ok::<f64, anyhow::Error>(line.trim().parse()?)
    };
    Ok((value("bellwether_pass_seconds_count ")?, value("bellwether_pass_seconds_sum ")?))
}

/// How long it takes to say why a pod waits.
fn explain(program: &Running, size: Size) -> anyhow::Result<f64> {
    let pod = format!("/v1/explain/pod/default/app-0-6d5f8c7b9-{:06}", size.pods - 1_000);
    let begun = Instant::now();
    let answer = get(program, &pod)?;
    anyhow::ensure!(answer.contains("node(s)"), "it does not say: {answer}");
    Ok(begun.elapsed().as_secs_f64() * 1_000.0)
}

fn get(program: &Running, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(program.address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
