//! The real program as a process of its own, and what it takes while nothing happens.

use super::results::Measure;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
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

/// A running `bellwether run`; it ends with the bench, whatever happens.
pub(crate) struct Running {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where its configuration lies, and whatever else it is told to keep there.
    pub(crate) folder: tempfile::TempDir,
}

// === impl Running ===

impl Running {
    /// Starts it with a configuration, which is made for its folder, and waits until it serves.
    pub(crate) fn start(config: impl FnOnce(&std::path::Path) -> String) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        Self::start_at(address, config)
    }

    /// The same at an address that others know already.
    pub(crate) fn start_at(
        address: SocketAddr,
        config: impl FnOnce(&std::path::Path) -> String,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("bellwether.yaml");
        std::fs::write(&file, format!("listen: {address}\n{}", config(folder.path())))?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let mut program = Command::new(env!("CARGO_BIN_EXE_bellwether"));
        program.arg("run").arg("--config").arg(&file).stdout(Stdio::null()).stderr(log);
        let mut running = Self { child: program.spawn()?, address, folder };
        let begun = Instant::now();
        while !is_live(address) {
            running.is_there()?;
            anyhow::ensure!(begun.elapsed() < READY_WITHIN, "the program does not serve");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(running)
    }

    /// An error with the end of its log where it has ended.
    pub(crate) fn is_there(&mut self) -> anyhow::Result<()> {
        let Some(ended) = self.child.try_wait()? else { return Ok(()) };
        let log = std::fs::read_to_string(self.folder.path().join("log"))?;
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        anyhow::bail!("the program ended: {ended}: {last:#?}");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = Pid::from_raw(i32::try_from(self.id())?).context("no process")?;
        Ok(kill_process(id, signal)?)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// A file of the kernel about it.
    pub(crate) fn proc(&self, name: &str) -> std::path::PathBuf {
        format!("/proc/{}/{name}", self.child.id()).into()
    }

    /// A number of its status, such as `VmRSS` in kilobytes.
    pub(crate) fn status(&self, field: &str) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(self.proc("status"))?;
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(name, _)| *name == field).context("no such field")?;
        Ok(value.split_whitespace().next().unwrap_or_default().parse()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === free functions ===

/// Resident memory of the idle program.
pub(crate) fn idle() -> anyhow::Result<Vec<Measure>> {
    let running = Running::start(|_| CONFIG.to_owned())?;
    std::thread::sleep(IDLE);
    Ok(vec![Measure::new("process.idle_rss_mb", running.status("VmRSS")? / 1024.0, "MB")])
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
