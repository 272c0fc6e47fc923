//! A real Redis, and stores on it.

use super::{ports, server, wait};
use bellwether::config::{Config, StoreUrl};
use bellwether::store::{Redis, Retention};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::watch;

const SERVER: &str = "redis-7.0";

/// What stores on it keep.
pub(crate) const RETENTION: Retention =
    Retention { entries: 1_000, age: Duration::from_hours(24 * 36_500) };

/// A running Redis with a folder of its own; killed when dropped.
pub(crate) struct RunningRedis {
    child: Child,
    program: PathBuf,
    arguments: Vec<String>,
    has_clock: bool,
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
}

/// One that writes no file; `None` after a printed skip where it is missing.
pub(crate) async fn start(arguments: &[&str]) -> Option<RunningRedis> {
    start_in(tempfile::tempdir().unwrap(), arguments, None).await
}

/// One whose time of day stands at `at` until it is moved.
pub(crate) async fn start_at(at: Timestamp) -> Option<RunningRedis> {
    start_in(tempfile::tempdir().unwrap(), &[], Some(at)).await
}

/// One with files in its folder already.
pub(crate) async fn start_in(
    folder: TempDir,
    arguments: &[&str],
    at: Option<Timestamp>,
) -> Option<RunningRedis> {
    bellwether::wire::install_crypto();
    let program = server::find(SERVER, "redis-server")?;
    let port = ports::free();
    let own = arguments.contains(&"--port");
    let mut all: Vec<String> = Vec::new();
    if !own {
        all.extend(["--port".to_owned(), port.to_string()]);
    }
    all.extend(["--bind", "127.0.0.1", "--save", ""].map(str::to_owned));
    all.extend(arguments.iter().map(|argument| argument.replace("PORT", &port.to_string())));
    if let Some(at) = at {
        set(&folder, at);
    }
    let has_clock = at.is_some();
    let child = spawn(&program, &all, &folder, has_clock);
    let server = RunningRedis { child, program, arguments: all, has_clock, folder, port };
    server.listens().await;
    Some(server)
}

/// A Sentinel with lines of its own in its configuration.
pub(crate) async fn start_sentinel(text: &str) -> Option<RunningRedis> {
    let program = server::find(SERVER, "redis-server")?;
    let (folder, port) = (tempfile::tempdir().unwrap(), ports::free());
    let text = format!("port {port}\nbind 127.0.0.1\n{text}");
    std::fs::write(folder.path().join("sentinel.conf"), text).unwrap();
    let arguments = ["sentinel.conf", "--sentinel"].map(str::to_owned).to_vec();
    let child = spawn(&program, &arguments, &folder, false);
    let server = RunningRedis { child, program, arguments, has_clock: false, folder, port };
    server.listens().await;
    Some(server)
}

/// A configuration with these fields of `store`.
pub(crate) fn config(store: &str) -> Arc<Config> {
    let text = format!(
        "store: {{ {store} }}
alertmanager: {{ urls: [http://127.0.0.1:9] }}
prometheus: {{ urls: [http://127.0.0.1:9] }}
clusters: {{ one: {{ kubernetes: {{ sim: {{}} }}, pools: {{ workers: {{ provider: {{ sim: {{}} }}, max: 9 }} }} }} }}"
    );
    let read = Config::parse(&text, &BTreeMap::<String, String>::new());
    Arc::new(read.unwrap_or_else(|errors| panic!("{errors}")).config)
}

/// A store with these fields of `store`.
pub(crate) fn store(fields: &str) -> Redis {
    open(&watch::channel(config(fields)).1, RETENTION)
}

/// A store of a configuration that may change.
pub(crate) fn open(config: &watch::Receiver<Arc<Config>>, retention: Retention) -> Redis {
    let StoreUrl::Redis(url) = config.borrow().service.store.clone() else { panic!("no redis") };
    Redis::new(url, config.clone(), retention)
}

impl RunningRedis {
    /// `redis://…` of its database 0.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// A store on it, with more fields of `store`.
    pub(crate) fn store(&self, more: &str) -> Redis {
        store(&format!("url: \"{}\", {more}", self.url()))
    }

    /// Asks it something, as `redis-cli` would.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.ask_with("", words)
    }

    /// The records of cluster `one` in this hash.
    pub(crate) fn records(&self, kind: &str) -> BTreeMap<String, String> {
        self.ask(&["HGETALL", &format!("{{bw:one}}:{kind}")])
    }

    /// The same with a password.
    pub(crate) fn ask_with<T: redis::FromRedisValue>(&self, password: &str, words: &[&str]) -> T {
        let begun = Instant::now();
        loop {
            match self.try_ask(password, words) {
                // Right after a start it may still read its file.
                Err(error) if error.code() == Some("LOADING") && begun.elapsed() < wait::LIMIT => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                answer => return answer.unwrap_or_else(|error| panic!("{words:?}: {error}")),
            }
        }
    }

    /// The same of one that may be away.
    pub(crate) fn try_ask<T: redis::FromRedisValue>(
        &self,
        password: &str,
        words: &[&str],
    ) -> redis::RedisResult<T> {
        let user = if password.is_empty() { String::new() } else { format!(":{password}@") };
        let client = redis::Client::open(format!("redis://{user}127.0.0.1:{}", self.port))?;
        let mut connection = client.get_connection_with_timeout(wait::LIMIT)?;
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(*word);
        });
        command.query(&mut connection)
    }

    /// Moves its time of day.
    pub(crate) fn pass(&self, time: Duration) {
        let file = OpenOptions::new().read(true).write(true).open(clock(&self.folder)).unwrap();
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let now = i64::from_ne_bytes(bytes) + i64::try_from(time.as_micros()).unwrap();
        file.write_all_at(&now.to_ne_bytes(), 0).unwrap();
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Changes an argument of its next start.
    pub(crate) fn change(&mut self, from: &str, to: &str) {
        let argument = self.arguments.iter_mut().find(|argument| *argument == from);
        to.clone_into(argument.unwrap());
    }

    /// Starts it again on its port and its folder.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.program, &self.arguments, &self.folder, self.has_clock);
        self.listens().await;
    }

    /// How much of its log of writes is on its disk.
    #[cfg(feature = "killpoints")]
    pub(crate) fn written(&self) -> u64 {
        self.writes().metadata().unwrap().len()
    }

    /// Cuts its log of writes back, as a machine does that loses its power before all is on its disk.
    #[cfg(feature = "killpoints")]
    pub(crate) fn forget_behind(&self, written: u64) {
        self.writes().set_len(written).unwrap();
    }

    /// The part of its log of writes that grows.
    #[cfg(feature = "killpoints")]
    fn writes(&self) -> File {
        let path = self.folder.path().join("appendonlydir/appendonly.aof.1.incr.aof");
        OpenOptions::new().write(true).open(path).unwrap()
    }

    /// All it said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn listens(&self) {
        let what = format!("redis to listen: {}", self.log());
        wait::until(&what, || async { TcpStream::connect(("127.0.0.1", self.port)).is_ok() }).await;
    }
}

impl Drop for RunningRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn clock(folder: &TempDir) -> PathBuf {
    folder.path().join("clock")
}

fn set(folder: &TempDir, at: Timestamp) {
    std::fs::write(clock(folder), at.as_microsecond().to_ne_bytes()).unwrap();
}

fn spawn(program: &PathBuf, arguments: &[String], folder: &TempDir, has_clock: bool) -> Child {
    let path = folder.path().join("log");
    let log: File = OpenOptions::new().create(true).append(true).open(path).unwrap();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    if has_clock {
        let library = program.with_file_name("../lib/clock.so");
        command.env("LD_PRELOAD", library).env("CLOCK_FILE", clock(folder));
    }
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}
