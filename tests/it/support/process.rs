//! The real program as a process of its own, which a test may kill.

use super::wait;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long the program may take to start or to end.
const LIMIT: Duration = Duration::from_secs(20);

/// A running `bellwether run`; killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it and waits until it is ready; tells its log where it does not become so.
    pub(crate) async fn start(config: &Path, url: &str, die_at: Option<&str>) -> Self {
        let process = Self::spawn(config, die_at);
        let ready = format!("{url}/readyz");
        let is_ready = wait::until(LIMIT * 2, "the program to be ready", || async {
            reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success())
        });
        let in_time = tokio::time::timeout(LIMIT, is_ready).await.is_ok();
        let log = || std::fs::read_to_string(&process.log).unwrap_or_default();
        assert!(
            in_time,
            "it did not become ready:
{}",
            log()
        );
        process
    }

    fn spawn(config: &Path, die_at: Option<&str>) -> Self {
        let log = config.with_extension("log");
        let out = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
        command.args(["run", "--config"]).arg(config);
        if let Some(point) = die_at {
            command.args(["--die-at", point]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Waits until it ended by SIGKILL, as its kill point makes it.
    pub(crate) async fn died(&mut self) {
        use std::os::unix::process::ExitStatusExt as _;
        let log = self.log.clone();
        let mut status = None;
        let deadline = tokio::time::Instant::now() + LIMIT;
        while status.is_none() && tokio::time::Instant::now() < deadline {
            status = self.child.try_wait().unwrap();
            tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>())
                .await
                .unwrap_err();
        }
        let told = || std::fs::read_to_string(&log).unwrap_or_default();
        let status =
            status.unwrap_or_else(|| panic!("it did not reach its kill point:\n{}", told()));
        assert_eq!(status.signal(), Some(9), "it ended otherwise than by SIGKILL:\n{}", told());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
