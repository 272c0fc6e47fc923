//! What the process takes while nothing happens.

use super::results::Measure;
use anyhow::Context;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the process may take to get ready, and how long it then idles before it is measured.
const READY_WITHIN: Duration = Duration::from_secs(20);
const IDLE: Duration = Duration::from_secs(3);

/// One simulated cluster with one empty pool; nobody to ask.
const CONFIG: &str = "
store: { url: 'memory:' }
alertmanager: { urls: [http://127.0.0.1:9] }
prometheus: { urls: [http://127.0.0.1:9] }
clusters:
  default:
    kubernetes: { sim: {} }
    pools:
      workers: { provider: { sim: {} }, max: 10 }
";

/// Ends the process with the bench, whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Resident memory of the idle program.
pub(crate) fn idle() -> anyhow::Result<Vec<Measure>> {
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("bellwether.yaml");
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    std::fs::write(&config, format!("listen: {address}\n{CONFIG}"))?;
    let mut program = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    program.arg("run").arg("--config").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(program.spawn()?);
    let begun = Instant::now();
    while !is_live(address) {
        let ended = running.0.try_wait()?;
        anyhow::ensure!(ended.is_none(), "the program ended: {ended:?}");
        anyhow::ensure!(begun.elapsed() < READY_WITHIN, "the program does not serve");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(IDLE);
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: f64 =
        line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?.parse()?;
    Ok(vec![Measure::new("process.idle_rss_mb", kilobytes / 1024.0, "MB")])
}

fn is_live(address: SocketAddr) -> bool {
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    asked.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
