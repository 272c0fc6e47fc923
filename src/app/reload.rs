//! Reading the configuration again: on SIGHUP, and when it changed.
//!
//! Each look reads everything anew, the files of secrets and certificates too, and compares what it says.
//! So it does not matter how a file was changed: written over, renamed over, or behind a link that was
//! swapped, as mounted `ConfigMap`s and `Secret`s change. One that a look found changed may still be half
//! written, so it is taken when the next look finds the same; SIGHUP says that it is whole.

mod fixed;

use crate::clock::Clock;
use crate::config::{Config, ConfigErrors, ProcessEnv, Standing};
use crate::metrics::Metrics;
use anyhow::Context as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often it is looked at. File watches miss a swapped link; a look every few seconds does not.
const LOOK: Duration = Duration::from_secs(5);

/// When a change is looked at again: whoever writes a file over in place has written it by then.
const AGAIN: Duration = Duration::from_secs(1);

/// Keeps the running configuration to its file.
pub(super) struct Reload {
    file: PathBuf,
    hangup: Signal,
    config: watch::Sender<Arc<Config>>,
    standing: watch::Sender<Standing>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// What one look found.
#[derive(Clone, Debug, PartialEq)]
struct Look {
    /// Tells a file that was touched, though it means the same.
    stamp: Option<Stamp>,
    read: Result<Config, ConfigErrors>,
}

/// When the file was written, which file it is, and its size.
type Stamp = (SystemTime, u64, u64);

// === impl Reload ===

impl Reload {
    /// From now on SIGHUP is ours; before, it would end the process.
    pub(super) fn new(
        file: PathBuf,
        config: watch::Sender<Arc<Config>>,
        standing: watch::Sender<Standing>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be listened for")?;
        Ok(Self { file, hangup, config, standing, metrics, clock })
    }

    /// Takes every good change until told to stop. A bad file keeps the running configuration.
    pub(super) async fn watch(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut last = self.look().await?;
        // What came between the start's own reading and this one is a change.
        let is_running = last.read.as_ref() == Ok(&**self.config.borrow());
        let mut told = is_running.then(|| last.clone());
        loop {
            let wait = if told.as_ref() == Some(&last) { LOOK } else { AGAIN };
            let asked = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = self.hangup.recv() => true,
                () = tokio::time::sleep(wait) => false,
            };
            let look = tokio::select! {
                // A file system that hangs must not hold the stop.
                () = stop.cancelled() => return Ok(()),
                look = self.look() => look?,
            };
            if asked || (told.as_ref() != Some(&look) && look == last) {
                self.take(&look.read);
                told = Some(look.clone());
            }
            last = look;
        }
    }

    async fn look(&self) -> anyhow::Result<Look> {
        let file = self.file.clone();
        let look = move || Look {
            stamp: stamp(&file),
            read: Config::load(&file, &ProcessEnv).map(|loaded| loaded.config),
        };
        tokio::task::spawn_blocking(look).await.context("reading the configuration panicked")
    }

    fn take(&self, read: &Result<Config, ConfigErrors>) {
        match read {
            Ok(new) => self.accept(new.clone()),
            Err(errors) => self.refuse(errors),
        }
    }

    fn accept(&self, mut new: Config) {
        let running = self.config.borrow().clone();
        let at_next_start = fixed::keep(&mut new, &running);
        for field in &at_next_start {
            tracing::warn!(section = "config", field, "changed, takes effect at the next start");
        }
        let is_new = new != *running;
        if is_new {
            self.config.send_replace(Arc::new(new));
        }
        // Told after it holds, so that whoever reads it may rely on it.
        let now = self.clock.now();
        self.standing.send_replace(Standing { at_next_start, ..Standing::started(now) });
        self.metrics.config.taken(now);
        if is_new {
            tracing::info!(section = "config", "configuration reloaded");
        } else {
            tracing::info!(section = "config", "configuration read again; nothing changed");
        }
    }

    fn refuse(&self, errors: &ConfigErrors) {
        let now = self.clock.now();
        self.standing.send_modify(|standing| standing.refuse(now, errors.clone()));
        self.metrics.config.successful.set(0);
        let all: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        tracing::error!(
            section = "config",
            file = %self.file.display(),
            errors = all.join("; "),
            "new configuration is wrong; the running one stays"
        );
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.ino(), metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(max: u32) -> String {
        format!(
            "alertmanager: {{ urls: [http://a] }}
prometheus: {{ urls: [http://p] }}
clusters:
  one:
    kubernetes: {{ sim: {{}} }}
    pools:
      workers: {{ provider: {{ sim: {{}} }}, max: 9 }}
      others: {{ provider: {{ sim: {{}} }}, max: {max} }}
"
        )
    }

    /// The most workers of each pool that is in force.
    fn in_force(config: &watch::Receiver<Arc<Config>>) -> Vec<u32> {
        let config = config.borrow();
        let pools = config.clusters.values().flat_map(|cluster| cluster.pools.values());
        pools.map(|pool| pool.max).collect()
    }

    /// Half of this file is a configuration too, of one pool: it is never taken while the rest is being written.
    #[tokio::test(start_paused = true)]
    async fn half_a_file_is_not_taken_while_it_is_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bellwether.yaml");
        std::fs::write(&file, text(5)).unwrap();
        let first = Config::load(&file, &ProcessEnv).unwrap().config;
        let (config, watched) = watch::channel(Arc::new(first));
        let now = Clock::system().now();
        let (standing, stands) = watch::channel(Standing::started(now));
        let metrics = Arc::new(Metrics::new());
        let reload = Reload::new(file.clone(), config, standing, metrics, Clock::system()).unwrap();
        let stop = CancellationToken::new();
        let writing = async {
            // After the first look, and before the next.
            tokio::time::sleep(LOOK / 2).await;
            let whole = text(7);
            let half = whole.find("      others").unwrap();
            std::fs::write(&file, &whole[..half]).unwrap();
            tokio::time::sleep(LOOK / 2 + AGAIN / 2).await;
            assert_eq!(in_force(&watched), [5, 9], "one look has found the half");
            std::fs::write(&file, whole).unwrap();
            tokio::time::sleep(AGAIN).await;
            assert_eq!(in_force(&watched), [5, 9], "one look has found the whole");
            tokio::time::sleep(AGAIN).await;
            assert_eq!(in_force(&watched), [7, 9], "two have");
            assert!(stands.borrow().wrong.is_none());
            stop.cancel();
        };
        let (watching, ()) = tokio::join!(reload.watch(stop.clone()), writing);
        watching.unwrap();
    }
}
