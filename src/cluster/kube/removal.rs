//! The end of a node whose machine is gone: of pods that would hang on it, of what k3s keeps for its name, and of the
//! object itself.

use super::{KUBE_SYSTEM, error, nodes};
use crate::cluster::{Error, Result};
use crate::model::{NodeRef, PodRef};
use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};

/// How many pods are deleted at once.
const AT_ONCE: usize = 10;

/// Distributions that remember a node's password, in a secret of kube-system, and refuse another machine under its name.
/// Source: k3s and RKE2 document it under node registration.
const PASSWORDS: [&str; 2] = ["k3s", "rke2"];

/// The state that a node is in, if nobody remembers its password: then its end is one call.
pub(super) fn version(node: &Node) -> Option<String> {
    let version = || node.metadata.resource_version.clone();
    remembers_password(node).is_none().then(version).flatten()
}

/// As it was seen, if it is in that state still and nothing else goes with it; otherwise it is looked at first, since both
/// pods and passwords are known by its name alone.
pub(super) async fn remove(
    client: &Client,
    api: &Api<Node>,
    at: &NodeRef,
    seen: Option<String>,
    pods: Vec<PodRef>,
) -> Result<()> {
    if let Some(version) = seen.filter(|_| pods.is_empty()) {
        match delete(api, at, Some(version)).await {
            Err(Error::Conflict) => {}
            done => return done,
        }
    }
    look_and_remove(client, api, at, pods).await
}

/// In this order, so that whoever dies in between finds the node there and does it again. Absent is success each time.
async fn look_and_remove(
    client: &Client,
    api: &Api<Node>,
    at: &NodeRef,
    pods: Vec<PodRef>,
) -> Result<()> {
    let node = match super::marks::find(api, at).await {
        // Gone, or another one under its name.
        Err(Error::NotFound) => return Ok(()),
        found => found?,
    };
    if nodes::is_ready(&node) {
        // Heard of again: its machine is not gone, whatever was seen.
        return Err(Error::Conflict);
    }
    let deleting = pods.iter().map(|pod| delete_at_once(client, pod));
    let deleting: Vec<_> = deleting.collect();
    futures_util::stream::iter(deleting).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    if let Some(distribution) = remembers_password(&node) {
        let secrets = Api::<Secret>::namespaced(client.clone(), KUBE_SYSTEM);
        let name = format!("{}.node-password.{distribution}", at.name);
        gone(secrets.delete(&name, &DeleteParams::default()).await)?;
    }
    delete(api, at, node.metadata.resource_version).await
}

/// This very node, in this state: where somebody changed it since, it is a conflict.
async fn delete(api: &Api<Node>, at: &NodeRef, version: Option<String>) -> Result<()> {
    let as_it_was = Preconditions { uid: Some(at.uid.to_string()), resource_version: version };
    let params = DeleteParams { preconditions: Some(as_it_was), ..DeleteParams::default() };
    match api.delete(at.name.as_str(), &params).await {
        Err(cause @ kube::Error::Api(_)) if error(&cause) == Error::Conflict => {
            Err(Error::Conflict)
        }
        answer => gone(answer),
    }
}

/// Nobody is there to end it in peace.
async fn delete_at_once(client: &Client, pod: &PodRef) -> Result<()> {
    let pods = Api::<Pod>::namespaced(client.clone(), &pod.namespace);
    let params = only(pod.uid.as_str(), DeleteParams::default().grace_period(0));
    gone(pods.delete(&pod.name, &params).await)
}

fn only(uid: &str, params: DeleteParams) -> DeleteParams {
    let only_it = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    DeleteParams { preconditions: Some(only_it), ..params }
}

/// The answer to a deletion: gone before, or another one under its name, is gone too.
fn gone<T>(answer: kube::Result<T>) -> Result<()> {
    match answer {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(cause) => Err(error(&cause)),
    }
}

/// By the version of its kubelet, such as `v1.36.3+k3s1`.
fn remembers_password(node: &Node) -> Option<&'static str> {
    let info = node.status.as_ref()?.node_info.as_ref()?;
    let (_, build) = info.kubelet_version.split_once('+')?;
    PASSWORDS.into_iter().find(|distribution| build.starts_with(distribution))
}
