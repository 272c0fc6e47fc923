//! Nodes as we see them.

use super::constraints::taint;
use super::marks::{self, DRAIN_TAINT, UNSCHEDULABLE};
use super::quantity::{Unreadable, resources};
use super::{removal, time};
use crate::model::{
    Cordon, Labels, Node, NodeName, NodeRef, POOL_LABEL, PoolName, Readiness, Uid, WORKER_LABEL,
    WorkerId, ZONE_LABEL, Zone,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as api;
use std::sync::Arc;

/// Labels that tell a node's zone, the older one last.
const ZONES: [&str; 2] = [ZONE_LABEL, "failure-domain.beta.kubernetes.io/zone"];

/// Labels of a node that carries the control plane, the older one last.
const CONTROL_PLANE: [&str; 2] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// A node as the watch keeps it.
#[derive(Debug)]
pub(super) struct SeenNode {
    pub(super) node: Arc<Node>,
    /// The state in which it may be deleted by one call; `None` where more goes with it.
    pub(super) version: Option<String>,
}

/// It is news only where what is looked at changes: a kubelet reports all the time.
impl PartialEq for SeenNode {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

/// What is kept of a node; `None` of one that [`view`] cannot show.
pub(super) fn seen(node: &api::Node) -> Option<SeenNode> {
    Some(SeenNode { node: Arc::new(view(node)?), version: removal::version(node) })
}

/// A small view of a node; `None` of one without a name or a UID, which nobody could act on.
pub(super) fn view(node: &api::Node) -> Option<Node> {
    let meta = &node.metadata;
    let labels = meta.labels.clone().unwrap_or_default();
    let text = |key: &str| labels.get(key).filter(|value| !value.is_empty()).map(String::as_str);
    let spec = node.spec.as_ref();
    let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let is_told = |taint: &&api::Taint| !matches!(taint.key.as_str(), DRAIN_TAINT | UNSCHEDULABLE);
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    let created = meta.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, time::ours);
    Some(Node {
        at: NodeRef { name: NodeName::new(meta.name.clone()?), uid: Uid::new(meta.uid.clone()?) },
        worker: text(WORKER_LABEL).map(WorkerId::from),
        pool: text(POOL_LABEL).map(PoolName::from),
        provider_id: spec.and_then(|spec| spec.provider_id.clone()).filter(|id| !id.is_empty()),
        control_plane: CONTROL_PLANE.iter().any(|label| labels.contains_key(*label)),
        created,
        readiness: readiness(node, created),
        cordon: cordon(spec, taints),
        kept: meta.annotations.as_ref().and_then(marks::keeps),
        allocatable: resources(allocatable, Unreadable::IsNone),
        taints: taints.iter().filter(is_told).map(taint).collect(),
        zone: zone(&labels),
        labels,
    })
}

fn zone(labels: &Labels) -> Option<Zone> {
    let mut zones = ZONES.iter().filter_map(|label| labels.get(*label));
    zones.find(|zone| !zone.is_empty()).map(|zone| Zone::from(zone.as_str()))
}

/// Whether it says that it is Ready.
pub(super) fn is_ready(node: &api::Node) -> bool {
    condition(node).is_some_and(|condition| condition.status == "True")
}

fn condition(node: &api::Node) -> Option<&api::NodeCondition> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref());
    conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready")
}

/// A node that never told of itself is not Ready since it is there.
fn readiness(node: &api::Node, created: Timestamp) -> Readiness {
    if is_ready(node) {
        return Readiness::Ready;
    }
    let since = condition(node).and_then(|condition| condition.last_transition_time.as_ref());
    Readiness::NotReady { since: since.map_or(created, time::ours) }
}

/// Ours is a cordon with our taint. Without the cordon the taint alone keeps pods off as well.
fn cordon(spec: Option<&api::NodeSpec>, taints: &[api::Taint]) -> Cordon {
    let is_ours = taints.iter().any(|taint| taint.key == DRAIN_TAINT);
    match (is_ours, spec.and_then(|spec| spec.unschedulable).unwrap_or(false)) {
        (true, _) => Cordon::Ours,
        (false, true) => Cordon::Foreign,
        (false, false) => Cordon::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Effect;
    use serde_json::{Value, json};

    fn seen(change: impl FnOnce(&mut Value)) -> Node {
        let mut node = json!({
            "metadata": {
                "name": "n1", "uid": "u1", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": { "bellwether.dev/worker": "w1", "bellwether.dev/pool": "workers",
                    "topology.kubernetes.io/zone": "a" },
            },
            "spec": { "providerID": "aws:///a/i-1", "taints": [{ "key": "team", "effect": "NoSchedule" }] },
            "status": {
                "allocatable": { "cpu": "3920m", "memory": "7Gi", "pods": "58" },
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        });
        change(&mut node);
        view(&serde_json::from_value(node).unwrap()).unwrap()
    }

    #[test]
    fn a_node_tells_whose_it_is_where_it_is_and_what_it_offers() {
        let node = seen(|_| ());
        assert_eq!((node.at.name.as_str(), node.at.uid.as_str()), ("n1", "u1"));
        assert_eq!(node.worker, Some("w1".into()));
        assert_eq!(node.pool, Some("workers".into()));
        assert_eq!(node.provider_id.as_deref(), Some("aws:///a/i-1"));
        assert_eq!(node.zone, Some("a".into()));
        assert_eq!((node.allocatable.cpu_milli, node.allocatable.pods), (3_920, 58));
        assert!(node.is_ready() && !node.control_plane);
        assert_eq!(
            (node.taints[0].key.as_str(), node.taints[0].effect),
            ("team", Effect::NoSchedule)
        );
    }

    #[test]
    fn a_node_without_our_labels_is_not_ours() {
        let node = seen(|node| node["metadata"]["labels"] = json!({ "bellwether.dev/worker": "" }));
        assert_eq!((node.worker, node.pool, node.zone), (None, None, None));
    }

    #[test]
    fn a_control_plane_is_known_by_either_label() {
        for label in CONTROL_PLANE {
            assert!(seen(|node| node["metadata"]["labels"] = json!({ label: "" })).control_plane);
        }
    }

    #[test]
    fn who_says_nothing_or_anything_but_true_is_not_ready() {
        let created = "2026-01-01T00:00:00Z".parse().unwrap();
        let silent = seen(|node| node["status"]["conditions"] = json!([]));
        assert_eq!(silent.readiness, Readiness::NotReady { since: created });
        let unknown = json!([{ "type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-01-02T00:00:00Z" }]);
        let node = seen(|node| node["status"]["conditions"] = unknown);
        let since = "2026-01-02T00:00:00Z".parse().unwrap();
        assert_eq!(node.readiness, Readiness::NotReady { since });
    }

    #[test]
    fn a_cordon_is_ours_by_our_taint_only() {
        let cordon = |unschedulable: bool, taints: Value| {
            let node = seen(|node| {
                node["spec"]["unschedulable"] = unschedulable.into();
                node["spec"]["taints"] = taints;
            });
            (node.cordon, node.taints.len())
        };
        let ours = json!([{ "key": "bellwether.dev/draining", "effect": "NoSchedule" }]);
        let theirs = json!([{ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" }]);
        assert_eq!(cordon(false, json!([])), (Cordon::None, 0));
        assert_eq!(cordon(true, theirs), (Cordon::Foreign, 0));
        assert_eq!(cordon(true, ours.clone()), (Cordon::Ours, 0));
        assert_eq!(cordon(false, ours), (Cordon::Ours, 0));
    }

    #[test]
    fn a_node_is_kept_by_what_people_may_write_on_it() {
        let kept =
            |annotations: Value| seen(|node| node["metadata"]["annotations"] = annotations).kept;
        assert_eq!(kept(json!({})), None);
        for key in [
            "bellwether.dev/keep",
            "cluster-autoscaler.kubernetes.io/scale-down-disabled",
            "karpenter.sh/do-not-disrupt",
        ] {
            assert_eq!(kept(json!({ key: "true" })), Some(format!("{key}=true")));
            assert_eq!(kept(json!({ key: "Yes" })), Some(format!("{key}=Yes")), "it holds");
            assert_eq!(kept(json!({ key: "false" })), None, "{key}");
        }
    }

    #[test]
    fn absurd_amounts_are_no_room() {
        let node =
            seen(|node| node["status"]["allocatable"] = json!({ "cpu": "-4", "memory": "much" }));
        assert_eq!((node.allocatable.cpu_milli, node.allocatable.memory), (0, 0));
    }
}
