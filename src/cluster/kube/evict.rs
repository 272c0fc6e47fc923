//! One round of evictions on one node.

use super::access::told;
use super::{error, pods};
use crate::cluster::{Error, Eviction, Result};
use crate::model::{NodeRef, PodKind};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, EvictParams, ListParams, Preconditions};
use kube::{Api, Client};

/// How many evictions are asked for at once.
const AT_ONCE: usize = 10;

/// "Too many requests": a budget allows no more for now.
const REFUSED: u16 = 429;

/// What became of one pod.
enum Fate {
    /// It goes, or is gone.
    Goes,
    /// Not now; what refuses.
    Stays(String),
}

/// Asks for every pod that is to go and is not going yet. The pods are asked of the apiserver, not of what was
/// watched: one that has just come must not be overlooked.
pub(super) async fn step(client: &Client, nodes: &Api<Node>, node: &NodeRef) -> Result<Eviction> {
    super::marks::find(nodes, node).await?;
    let on_it = ListParams::default().fields(&format!("spec.nodeName={}", node.name));
    let pods = Api::<Pod>::all(client.clone()).list(&on_it).await.map_err(|cause| error(&cause))?;
    let movable: Vec<Pod> = pods.items.into_iter().filter(is_movable).collect();
    if movable.is_empty() {
        return Ok(Eviction::Empty);
    }
    let left = u32::try_from(movable.len()).unwrap_or(u32::MAX);
    let asked = movable.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let asking: Vec<_> = asked.map(|pod| evict(client, pod)).collect();
    let fates: Vec<Result<Fate>> =
        futures_util::stream::iter(asking).buffer_unordered(AT_ONCE).collect().await;
    let mut refused = None;
    for fate in fates {
        if let Fate::Stays(by) = fate? {
            refused = refused.or(Some(by));
        }
    }
    Ok(match refused {
        Some(by) => Eviction::Blocked { left, by },
        None => Eviction::Evicting { left },
    })
}

/// Whether a pod must be gone before the node may go: neither finished, nor one that belongs to the node.
fn is_movable(pod: &Pod) -> bool {
    !pods::is_finished(pod) && pods::kind(pod) == PodKind::Normal
}

async fn evict(client: &Client, pod: &Pod) -> Result<Fate> {
    let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
    let (Some(namespace), Some(name)) = (namespace, name) else { return Err(Error::NotFound) };
    let only_it = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
    let delete = DeleteParams { preconditions: Some(only_it), ..DeleteParams::default() };
    let params = EvictParams { delete_options: Some(delete), ..EvictParams::default() };
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    match pods.evict(name, &params).await {
        Ok(_) => Ok(Fate::Goes),
        Err(kube::Error::Api(status)) if status.code == REFUSED => {
            Ok(Fate::Stays(format!("{namespace}/{name}: {}", told(&kube::Error::Api(status)))))
        }
        // Gone, or another pod under its name, which the next round sees.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Fate::Goes),
        Err(cause) => Err(error(&cause)),
    }
}
