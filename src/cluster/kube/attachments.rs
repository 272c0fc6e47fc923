//! Volumes that hang on nodes.

use super::pods::Seen;
use super::volumes::Storage;
use crate::model::{NodeName, PodKind};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use std::collections::{BTreeMap, HashSet};

/// A volume that is attached to a node, or is to be, or is not off it yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attachment {
    node: NodeName,
    volume: String,
}

pub(super) fn attachment(object: &VolumeAttachment) -> Option<Attachment> {
    let spec = &object.spec;
    let volume = spec.source.persistent_volume_name.clone().or(object.metadata.name.clone())?;
    Some(Attachment { node: NodeName::new(spec.node_name.clone()), volume })
}

/// Each node's, without those of pods that stay as long as their node does.
pub(super) fn by_node<'a>(
    attachments: Vec<Attachment>,
    pods: impl Iterator<Item = &'a Seen>,
    storage: &Storage<'_>,
) -> BTreeMap<NodeName, Vec<String>> {
    let stay = pods.filter(|seen| seen.pod.kind != PodKind::Normal);
    let kept: HashSet<(&NodeName, &str)> = stay
        .filter_map(|seen| Some((seen.pod.node()?, seen)))
        .flat_map(|(node, seen)| {
            let namespace = &seen.pod.spec.namespace;
            let volumes = seen.uses.iter().filter_map(|used| storage.bound(namespace, used));
            volumes.map(move |volume| (node, volume))
        })
        .collect();
    let mut nodes: BTreeMap<NodeName, Vec<String>> = BTreeMap::new();
    for Attachment { node, volume } in attachments {
        if !kept.contains(&(&node, volume.as_str())) {
            nodes.entry(node).or_default().push(volume);
        }
    }
    for volumes in nodes.values_mut() {
        volumes.sort_unstable();
    }
    nodes
}
