//! What every real server needs: found in the cache, started with a folder and a port of its own, ended by process id.

use super::wait;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How many of its last lines are told of one that does not start.
const TAIL: usize = 60;

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    program: PathBuf,
    arguments: Vec<String>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) url: String,
    ready: Ready,
}

/// How a server tells that it is ready.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// The path that answers success then.
    pub(crate) path: &'static str,
    /// A client that the server lets in.
    pub(crate) client: reqwest::Client,
}

impl Ready {
    /// As Prometheus and Alertmanager tell it.
    pub(crate) fn to(client: reqwest::Client) -> Self {
        Self { path: "/-/ready", client }
    }
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
    found(servers.join(server).join("bin").join(name), "make servers")
}

/// What a task of the Makefile put into cargo's target folder; `None`, after a printed skip, where it is missing.
#[cfg(feature = "docker")]
pub(crate) fn made(path: &str, task: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_bellwether")).ancestors().nth(2).unwrap();
    found(target.join(path), task)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what may be missing is no configuration of the product"
)]
fn found(file: PathBuf, task: &str) -> Option<PathBuf> {
    if file.is_file() {
        return Some(file);
    }
    let missing = format!("{} is missing; run `{task}`", file.display());
    assert!(std::env::var("REQUIRE_REAL").is_err(), "{missing}");
    skip(&missing);
    None
}

/// Says that a test does not run, and why: a server is missing, or this machine lets nobody do what it does.
#[expect(clippy::print_stderr, reason = "a skip must be seen")]
pub(crate) fn skip(why: &str) {
    eprintln!("skipped: {why}");
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
        let site = (format!("http://127.0.0.1:{port}"), Ready::to(reqwest::Client::new()));
        Self::start_at(program, arguments, folder, site).await
    }

    /// The same at another address, with another way to tell that it is ready.
    pub(crate) async fn start_at(
        program: PathBuf,
        arguments: Vec<String>,
        folder: tempfile::TempDir,
        (url, ready): (String, Ready),
    ) -> Self {
        let child = spawn(&program, &arguments, folder.path());
        let mut server = Self { child, program, arguments, folder, url, ready };
        server.ready().await;
        server
    }

    async fn ready(&mut self) {
        let address = format!("{}{}", self.url, self.ready.path);
        let client = self.ready.client.clone();
        let child = std::cell::RefCell::new(&mut self.child);
        // One that has ended is not waited for.
        let in_time = wait::comes_true(wait::LIMIT, || async {
            let answer = client.get(&address).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
                || child.borrow_mut().try_wait().unwrap().is_some()
        })
        .await;
        let runs = self.child.try_wait().unwrap().is_none();
        assert!(in_time && runs, "{} is not ready:\n{}", self.program.display(), self.tail());
    }

    /// The last lines it said.
    fn tail(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// How long it worked so far; waiting, and other processes' work, do not count.
    pub(crate) fn worked(&self) -> Duration {
        super::proc::worked(self.child.id())
    }

    /// The most memory it ever held, in MB.
    pub(crate) fn peak_mb(&self) -> f64 {
        super::proc::peak_mb(self.child.id())
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.ended().await;
    }

    /// It does nothing from now on, and answers nobody.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on where it was.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Waits until it has ended.
    async fn ended(&mut self) {
        let child = std::cell::RefCell::new(&mut self.child);
        wait::until("the server to end", || async {
            child.borrow_mut().try_wait().unwrap().is_some()
        })
        .await;
    }

    /// Starts it again on its port and its data.
    pub(crate) async fn restart(&mut self) {
        self.restart_once_with(&[]).await;
    }

    /// The same, with more arguments this time.
    pub(crate) async fn restart_once_with(&mut self, more: &[&str]) {
        self.ended().await;
        let more = more.iter().map(|word| (*word).to_owned());
        let arguments: Vec<String> = self.arguments.iter().cloned().chain(more).collect();
        self.child = spawn(&self.program, &arguments, self.folder.path());
        self.ready().await;
    }

    /// Waits for so many passes more; it must be the program.
    pub(crate) async fn passes(&self, count: u64) {
        let passed = async || {
            let told = reqwest::get(format!("{}/metrics", self.url)).await.unwrap();
            let told = told.text().await.unwrap();
            let counted = told.lines().filter(|line| line.starts_with("bellwether_passes_total"));
            counted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
        };
        let before = passed().await;
        wait::until("more passes", || async { passed().await >= before + count }).await;
    }

    /// Whether it ended, by itself or otherwise.
    #[cfg(feature = "killpoints")]
    pub(crate) fn has_ended(&self) -> bool {
        super::proc::has_ended(self.child.id())
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
