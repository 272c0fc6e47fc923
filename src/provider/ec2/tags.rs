//! What the tags of an instance say. Pure.
//!
//! Keys have no `/`: a machine could not read them from its metadata then.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html>

use crate::config::TAG_VALUE_MAX;
use crate::model::{ClusterName, ClusterUid, LaunchRequest, PoolName};
use crate::provider::{Error, Result};
use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use std::collections::BTreeMap;

pub(super) const CLUSTER: &str = "bellwether:cluster";
pub(super) const CLUSTER_UID: &str = "bellwether:cluster-uid";
pub(super) const POOL: &str = "bellwether:pool";
pub(super) const BATCH: &str = "bellwether:batch";
const VERSION: &str = "bellwether:version";
const LABELS: &str = "bellwether:node-labels";
const TAINTS: &str = "bellwether:node-taints";

/// All that bear a cluster's and a pool's name, as filters of EC2's lists; of which UID, each tells.
pub(super) fn whose(cluster: &ClusterName, pool: &PoolName) -> Vec<Filter> {
    vec![filter(CLUSTER, cluster.as_str()), filter(POOL, pool.as_str())]
}

/// Those of the one cluster that has this UID: another may have had its name.
pub(super) fn ours(cluster: &ClusterName, uid: &ClusterUid, pool: &PoolName) -> Vec<Filter> {
    let mut filters = whose(cluster, pool);
    filters.push(filter(CLUSTER_UID, uid.as_str()));
    filters
}

/// Those of one batch.
pub(super) fn of_batch(request: &LaunchRequest) -> Vec<Filter> {
    let mut filters = ours(&request.cluster, &request.cluster_uid, &request.pool);
    filters.push(filter(BATCH, request.batch.as_str()));
    filters
}

fn filter(key: &str, value: &str) -> Filter {
    Filter::builder().name(format!("tag:{key}")).values(value).build()
}

/// What the instances of a launch and their volumes are tagged with as they are made: one call makes many, so all are alike.
pub(super) fn of_launch(
    request: &LaunchRequest,
    own: &BTreeMap<String, String>,
) -> Result<Vec<TagSpecification>> {
    let template = request.template();
    let ours = [
        (CLUSTER, request.cluster.to_string()),
        (CLUSTER_UID, request.cluster_uid.to_string()),
        (POOL, request.pool.to_string()),
        (BATCH, request.batch.to_string()),
        (VERSION, env!("CARGO_PKG_VERSION").to_owned()),
        ("Name", request.batch.to_string()),
        (LABELS, template.labels_line()),
        (TAINTS, template.taints_line()),
    ];
    if let Some((key, value)) = ours.iter().find(|(_, value)| value.chars().count() > TAG_VALUE_MAX)
    {
        let have = value.chars().count();
        return Err(Error::Invalid(format!(
            "`node` of the pool needs {have} letters in the tag {key}, which holds {TAG_VALUE_MAX}"
        )));
    }
    let ours = ours.iter().filter(|(_, value)| !value.is_empty());
    let ours = ours.map(|(key, value)| tag(key, value));
    let tags: Vec<Tag> = ours.chain(own.iter().map(|(key, value)| tag(key, value))).collect();
    let of =
        |kind| TagSpecification::builder().resource_type(kind).set_tags(Some(tags.clone())).build();
    Ok(vec![of(ResourceType::Instance), of(ResourceType::Volume)])
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// The value of a tag.
pub(super) fn value<'t>(tags: &'t [Tag], key: &str) -> Option<&'t str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}
