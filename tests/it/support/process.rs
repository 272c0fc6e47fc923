//! The real program as a process of its own, which a test may stop and kill.

use super::wait;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A running `bellwether run`; killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

/// How it is started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Start<'a> {
    /// Arguments behind `run --config FILE`.
    pub(crate) arguments: &'a [&'a str],
    /// What a shell does before it becomes the program, such as `ulimit -Sn 256`.
    pub(crate) before: &'a str,
    /// Whether with mounts of its own, which the shell may change.
    pub(crate) own_mounts: bool,
}

impl Process {
    /// Starts it and waits until it is ready; tells its log where it does not become so.
    pub(crate) async fn start(config: &Path, url: &str, start: Start<'_>) -> Self {
        let mut process = Self::spawn(config, start);
        let ready = format!("{url}/readyz");
        let is_ready =
            async || reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success());
        let child = RefCell::new(&mut process.child);
        wait::comes_true(wait::LIMIT, || async {
            is_ready().await || child.borrow_mut().try_wait().unwrap().is_some()
        })
        .await;
        assert!(is_ready().await, "it did not become ready:\n{}", process.log());
        process
    }

    /// Starts it, and waits for nothing.
    pub(crate) fn spawn(config: &Path, start: Start<'_>) -> Self {
        bellwether::wire::install_crypto();
        let log = config.with_extension("log");
        let out = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(if start.own_mounts { "unshare" } else { "sh" });
        if start.own_mounts {
            command.args(["--map-root-user", "--mount", "sh"]);
        }
        let script = format!("{}\nexec \"$0\" \"$@\"", start.before);
        command
            .args(["-ec", &script, env!("CARGO_BIN_EXE_bellwether"), "run", "--config"])
            .arg(config)
            .args(start.arguments)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out);
        Self { child: command.spawn().unwrap(), log }
    }

    /// Whether a process may have mounts of its own here; where not, a skip is printed.
    pub(crate) fn may_have_own_mounts() -> bool {
        let tried = Command::new("unshare")
            .args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
            .stderr(Stdio::null())
            .status();
        let may = tried.is_ok_and(|status| status.success());
        if !may {
            super::server::skip("`unshare --map-root-user --mount` is refused here");
        }
        may
    }

    /// All it said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A path as the process sees it, under mounts of its own too.
    pub(crate) fn sees(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.child.id()))
    }

    /// Its process id.
    #[cfg(feature = "killpoints")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Lets it write no file from now on, or all of them again. It must ignore SIGXFSZ.
    pub(crate) fn may_write(&self, may: bool) {
        let maximum = getrlimit(Resource::Fsize).maximum;
        let limit = Rlimit { current: if may { maximum } else { Some(0) }, maximum };
        prlimit(Some(self.pid()), Resource::Fsize, limit).unwrap();
    }

    /// Whether it is stopped, as SIGSTOP does it.
    #[cfg(feature = "killpoints")]
    pub(crate) fn is_stopped(&self) -> bool {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    }

    /// How long it worked so far; waiting, and other processes' work, do not count.
    pub(crate) fn worked(&self) -> Duration {
        super::proc::worked(self.child.id())
    }

    /// Waits until it ended, and how.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let deadline = tokio::time::Instant::now() + wait::LIMIT;
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while tokio::time::Instant::now() < deadline {
            look.tick().await;
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
        }
        panic!("it did not end:\n{}", self.log());
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
