//! The store as something that may be away, and that others write too.

use crate::http::readiness::Readiness;
use crate::model::ClusterName;
use crate::reconcile::Handle;
use crate::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the store is asked whether it is there.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps us not ready for as long as the store does not answer, and says so once.
pub(super) async fn watch(
    store: Arc<dyn Store>,
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut missing = Some(readiness.pending("store"));
    let mut told = None;
    loop {
        match store.now().await {
            Ok(_) => {
                missing = None;
                if told.take().is_some() {
                    tracing::info!(section = "store", "store answers again");
                }
            }
            Err(error) => {
                if missing.is_none() {
                    missing = Some(readiness.pending("store"));
                }
                if told.as_ref() != Some(&error) {
                    tracing::error!(section = "store", %error, "store is away; nothing is taken and nothing done");
                    told = Some(error);
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Wakes the loops of clusters for which other replicas took signals.
pub(super) async fn wake(
    store: Arc<dyn Store>,
    loops: BTreeMap<ClusterName, Handle>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let woken = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            woken = store.wake() => woken,
        };
        let concerned = |name: &ClusterName| woken.as_ref().is_none_or(|woken| woken == name);
        loops.iter().filter(|(name, _)| concerned(name)).for_each(|(_, handle)| handle.wake());
    }
}
