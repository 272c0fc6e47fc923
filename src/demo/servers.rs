//! The real Prometheus and Alertmanager beside the demo: found, started, and ended by process id.

use anyhow::{Context as _, bail};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(30);

/// A server that ends with this value.
#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    child: Child,
}

/// Where the programs are: `tests/servers/install.sh` puts them there.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) prometheus: PathBuf,
    pub(super) alertmanager: PathBuf,
}

/// Where `make servers` installs by default.
#[expect(
    clippy::disallowed_methods,
    reason = "the user's cache folder is no configuration of the service"
)]
pub(super) fn cache() -> PathBuf {
    let base = std::env::var("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var("HOME").unwrap_or_default()).join(".cache");
    base.unwrap_or_else(|_| home()).join("bellwether").join("servers")
}

impl Programs {
    /// Looks in the folder that `make servers` fills.
    pub(super) fn find(folder: &Path) -> anyhow::Result<Self> {
        let program = |server: &str, name: &str| {
            let path = folder.join(server).join("bin").join(name);
            if path.is_file() {
                return Ok(path);
            }
            bail!(
                "{} is missing; run `make servers`, or name the folder with --servers",
                path.display()
            )
        };
        Ok(Self {
            prometheus: program("prometheus-2.42", "prometheus")?,
            alertmanager: program("alertmanager-0.25", "alertmanager")?,
        })
    }
}

impl Server {
    /// Starts a program with its output in a file, and waits until its `/-/ready` answers.
    pub(super) async fn start(
        name: &'static str,
        program: &Path,
        arguments: &[String],
        folder: &Path,
        port: u16,
    ) -> anyhow::Result<Self> {
        let log_file = folder.join(format!("{name}.log"));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&log_file)?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let mut server = Self { name, child };
        server.ready(port, &log_file).await?;
        Ok(server)
    }

    async fn ready(&mut self, port: u16, log_file: &Path) -> anyhow::Result<()> {
        let url = format!("http://127.0.0.1:{port}/-/ready");
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(log_file).unwrap_or_default();
                bail!("{} ended at once ({status}):\n{log}", self.name);
            }
            if reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("{} was not ready after {START:?}", self.name)
    }

    /// Ends it, and waits until it is gone.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("{} does not end", self.name))
    }
}

/// Different ports of 127.0.0.1 that were free a moment ago.
pub(super) fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    // All held until all are chosen, so that none is chosen twice.
    let held: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
