//! Reading the configuration again: on SIGHUP, and when the file changed.

use crate::config::{Config, ProcessEnv};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the file's time is looked at. Mounted `ConfigMap`s change by a swapped link, which
/// file watches miss; a look every few seconds does not.
const LOOK: Duration = Duration::from_secs(5);

/// Replaces the configuration whenever the file is good and new. A bad file keeps the running one.
pub(super) async fn watch(
    file: PathBuf,
    config: watch::Sender<Arc<Config>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut seen = modified(&file);
    loop {
        let asked = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = hangup.recv() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
        let now = modified(&file);
        if asked || now != seen {
            seen = now;
            reload(&file, &config);
        }
    }
}

fn reload(file: &Path, config: &watch::Sender<Arc<Config>>) {
    let new = match Config::load(file, &ProcessEnv) {
        Ok(loaded) => loaded.config,
        Err(errors) => {
            tracing::error!(section = "config", error = %errors, "new configuration is wrong; the running one stays");
            return;
        }
    };
    let old = config.borrow().clone();
    for what in needs_restart(&old, &new) {
        tracing::warn!(
            section = "config",
            field = what,
            "changed, and takes effect at the next start"
        );
    }
    config.send_replace(Arc::new(new));
    tracing::info!(section = "config", "configuration reloaded");
}

/// What a running process cannot change: everything it built connections, ports and loops from.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut fields = Vec::new();
    if old.service.listen != new.service.listen {
        fields.push("listen");
    }
    if old.service.store != new.service.store {
        fields.push("store");
    }
    if !old.clusters.keys().eq(new.clusters.keys()) {
        fields.push("clusters");
    }
    for (before, after) in old.clusters.values().zip(new.clusters.values()) {
        if before.kubernetes != after.kubernetes {
            fields.push("clusters.*.kubernetes");
        }
        if before.alertmanager != after.alertmanager || before.prometheus != after.prometheus {
            fields.push("alertmanager, prometheus");
        }
    }
    fields
}

fn modified(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|data| data.modified()).ok()
}
