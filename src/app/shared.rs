//! The store as something that may be away, and that others write too.

use crate::http::readiness::Readiness;
use crate::model::ClusterName;
use crate::reconcile::{Claims, Handle};
use crate::store::{Store, Wake};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the store is asked whether it is there and takes writes.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps us not ready for as long as the store takes no writes, and says so once.
pub(super) async fn watch(
    store: Arc<dyn Store>,
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut missing = Some(readiness.pending("store"));
    let mut told = None;
    loop {
        match store.ready().await {
            Ok(()) => {
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

/// Wakes the loops of clusters for which other replicas took signals, as far as we have the claim: another's pass
/// would only ask everybody everything once more. Where a claim was given back, it is asked for at once.
pub(super) async fn wake(
    store: Arc<dyn Store>,
    loops: BTreeMap<ClusterName, (Handle, Arc<Claims>)>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let woken = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            woken = store.wake() => woken,
        };
        for (name, (handle, claims)) in &loops {
            let is_meant = match &woken {
                Wake::Recorded(woken) | Wake::Released(woken) => woken == name,
                Wake::Unknown => true,
            };
            if is_meant && claims.current().is_some() {
                handle.wake();
            } else if is_meant && !matches!(woken, Wake::Recorded(_)) {
                claims.seek();
            }
        }
    }
}
