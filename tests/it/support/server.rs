//! What every real server needs: found in the cache, started with a folder and a port of its own, ended by process id.

use super::wait;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a server may take to answer.
const START: Duration = Duration::from_secs(30);

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    program: PathBuf,
    arguments: Vec<String>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) url: String,
    client: reqwest::Client,
}

/// Where `make servers` put a program; `None`, after a printed skip, where it is missing.
#[expect(
    clippy::disallowed_methods,
    reason = "where servers are is no configuration of the product"
)]
pub(crate) fn find(server: &str, name: &str) -> Option<PathBuf> {
    let var =
        |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty()).map(PathBuf::from);
    let cache = var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")))?;
    let servers =
        var("BELLWETHER_SERVERS").unwrap_or_else(|| cache.join("bellwether").join("servers"));
    let program = servers.join(server).join("bin").join(name);
    if program.is_file() {
        return Some(program);
    }
    assert!(
        std::env::var("REQUIRE_REAL").is_err(),
        "{} is missing; run `make servers`",
        program.display()
    );
    skip(server);
    None
}

#[expect(clippy::print_stderr, reason = "a skip must be seen")]
pub(crate) fn skip(server: &str) {
    eprintln!("skipped: {server} is not there; run `make servers`");
}

impl Server {
    /// Starts a program and waits until `/-/ready` answers.
    pub(crate) async fn start(
        program: PathBuf,
        arguments: Vec<String>,
        folder: tempfile::TempDir,
        port: u16,
    ) -> Self {
        bellwether::wire::install_crypto();
        let (url, client) = (format!("http://127.0.0.1:{port}"), reqwest::Client::new());
        Self::start_secure(program, arguments, folder, (url, client)).await
    }

    /// The same at another address, for a client that the server lets in.
    pub(crate) async fn start_secure(
        program: PathBuf,
        arguments: Vec<String>,
        folder: tempfile::TempDir,
        (url, client): (String, reqwest::Client),
    ) -> Self {
        let child = spawn(&program, &arguments, folder.path());
        let server = Self { child, program, arguments, folder, url, client };
        server.ready().await;
        server
    }

    async fn ready(&self) {
        let ready = format!("{}/-/ready", self.url);
        let is_ready = wait::until(START * 2, "the server to be ready", || async {
            let answer = self.client.get(&ready).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        });
        if tokio::time::timeout(START, is_ready).await.is_err() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            panic!("{} is not ready:\n{log}", self.program.display());
        }
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        let id = i32::try_from(self.child.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let child = std::cell::RefCell::new(&mut self.child);
        wait::until(START, "the server to end", || async {
            child.borrow_mut().try_wait().unwrap().is_some()
        })
        .await;
    }

    /// Starts it again on its port and its data.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.program, &self.arguments, self.folder.path());
        self.ready().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &Path, arguments: &[String], folder: &Path) -> Child {
    let log =
        std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}
