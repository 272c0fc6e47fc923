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

/// In this order, so that whoever dies in between finds the node there and does it again. Absent is success each time.
pub(super) async fn remove(
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
    let (uid, resource_version) = (Some(at.uid.to_string()), node.metadata.resource_version);
    let as_it_was = Preconditions { uid, resource_version };
    let params = DeleteParams { preconditions: Some(as_it_was), ..DeleteParams::default() };
    match api.delete(at.name.as_str(), &params).await {
        // Somebody changed it since: it is looked at anew.
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
