//! Our labels and marks on nodes, and how a node is cordoned and released.

use super::error;
use crate::cluster::{Error, Mark, Result};
use crate::model::NodeRef;
use k8s_openapi::api::core::v1::{Node, Taint};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Keeps new pods off a node that we empty.
pub(super) const DRAIN_TAINT: &str = "bellwether.dev/draining";

/// Says why a node is cordoned by us, for people who look at it. Absent where it was cordoned before we came.
const CORDONED: &str = "bellwether.dev/cordoned";

/// By which load balancers of the cloud leave a node out. Source: Kubernetes' well-known labels; its value says nothing.
const NO_LOAD_BALANCER: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Its value where we set it.
const OURS: &str = "bellwether";

/// The control plane sets it on what is cordoned, and takes it away itself; it says nothing that the cordon does not.
pub(super) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// By which people keep a node: our own, and those that they may know.
const KEEP: [&str; 3] =
    [KEPT, "cluster-autoscaler.kubernetes.io/scale-down-disabled", "karpenter.sh/do-not-disrupt"];

/// Our own, on a node or a pod.
pub(super) const KEPT: &str = "bellwether.dev/keep";

/// Tries of a change of a node that others, its kubelet above all, change all the time.
const TRIES: usize = 4;

/// Cordons a node and leaves our mark. Of one that is ours already nothing changes.
pub(super) async fn cordon(nodes: &Api<Node>, at: &NodeRef, mark: &Mark) -> Result<()> {
    again(|| try_to_cordon(nodes, at, mark)).await
}

/// Takes our mark away, and the cordon where it was ours.
pub(super) async fn uncordon(nodes: &Api<Node>, at: &NodeRef) -> Result<()> {
    again(|| try_to_uncordon(nodes, at)).await
}

/// The annotation that keeps a node, if one does. Whatever else it says than no, somebody wanted something.
pub(super) fn keeps(annotations: &BTreeMap<String, String>) -> Option<String> {
    let mut set = KEEP.iter().filter_map(|key| Some((key, annotations.get(*key)?)));
    let (key, value) = set.find(|(_, value)| !matches!(value.as_str(), "" | "false"))?;
    Some(format!("{key}={value}"))
}

/// Reads and changes once more where somebody changed the node in between.
async fn again<F: Future<Output = Result<()>>>(change: impl Fn() -> F) -> Result<()> {
    for _ in 1..TRIES {
        match change().await {
            Err(Error::Conflict) => {}
            done => return done,
        }
    }
    change().await
}

async fn try_to_cordon(nodes: &Api<Node>, at: &NodeRef, mark: &Mark) -> Result<()> {
    let node = find(nodes, at).await?;
    let taints = taints(&node);
    if taints.iter().any(|taint| taint.key == DRAIN_TAINT) {
        return Ok(());
    }
    let spec = node.spec.as_ref();
    let was_cordoned = spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
    let value = mark.pool.to_string();
    let ours = Taint {
        key: DRAIN_TAINT.to_owned(),
        value: Some(value),
        effect: "NoSchedule".to_owned(),
        time_added: None,
    };
    let taints: Vec<Taint> = taints.into_iter().chain([ours]).collect();
    let why = (!was_cordoned).then(|| {
        format!("worker {} of pool {}: {} (pass {})", mark.worker, mark.pool, mark.why, mark.pass)
    });
    let mut labels = serde_json::Map::new();
    if load_balancer_label(&node).is_none() {
        labels.insert(NO_LOAD_BALANCER.to_owned(), OURS.into());
    }
    let change = json!({
        "metadata": { "annotations": { CORDONED: why }, "labels": labels },
        "spec": { "taints": taints, "unschedulable": true },
    });
    patch(nodes, &node, change).await
}

async fn try_to_uncordon(nodes: &Api<Node>, at: &NodeRef) -> Result<()> {
    let node = find(nodes, at).await?;
    let (ours, others): (Vec<Taint>, Vec<Taint>) =
        taints(&node).into_iter().partition(|taint| taint.key == DRAIN_TAINT);
    let annotations = node.metadata.annotations.as_ref();
    let is_ours = annotations.is_some_and(|all| all.contains_key(CORDONED));
    let is_excluded = load_balancer_label(&node) == Some(OURS);
    if ours.is_empty() && !is_ours && !is_excluded {
        return Ok(());
    }
    let mut change = json!({ "metadata": { "annotations": { CORDONED: null } } });
    if is_excluded {
        change["metadata"]["labels"] = json!({ NO_LOAD_BALANCER: null });
    }
    if !ours.is_empty() {
        // Without our taint somebody opened it, and may have closed it again.
        change["spec"] = json!({ "taints": others, "unschedulable": !is_ours });
    }
    patch(nodes, &node, change).await
}

fn load_balancer_label(node: &Node) -> Option<&str> {
    node.metadata.labels.as_ref()?.get(NO_LOAD_BALANCER).map(String::as_str)
}

/// The node under this very UID.
pub(super) async fn find(nodes: &Api<Node>, at: &NodeRef) -> Result<Node> {
    let found = nodes.get_opt(at.name.as_str()).await.map_err(|cause| error(&cause))?;
    let is_it = |node: &Node| node.metadata.uid.as_deref() == Some(at.uid.as_str());
    found.filter(is_it).ok_or(Error::NotFound)
}

/// The taints that people and controllers set. The control plane's own one for cordons follows the cordon.
fn taints(node: &Node) -> Vec<Taint> {
    let all = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    all.into_iter().filter(|taint| taint.key != UNSCHEDULABLE).collect()
}

/// In one step, and only if nobody changed the node since it was read.
async fn patch(nodes: &Api<Node>, node: &Node, mut change: Value) -> Result<()> {
    change["metadata"]["uid"] = node.metadata.uid.clone().into();
    change["metadata"]["resourceVersion"] = node.metadata.resource_version.clone().into();
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let patched = nodes.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await;
    patched.map(|_| ()).map_err(|cause| error(&cause))
}
