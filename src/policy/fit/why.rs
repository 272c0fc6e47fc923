//! What forbids a pod a node, in words for people.

use super::Predicate;
use super::bin::Bin;
use super::judge::Judge;
use super::new_node::Grower;
use super::room::Room;
use crate::model::{Resources, VolumeNeed};

/// Why a new node of a pool is none for a spec.
pub(super) fn words<'a>(
    predicate: Predicate,
    judge: &Judge<'a>,
    room: &Room<'a>,
    bin: &Bin<'a>,
    grower: &Grower<'_>,
) -> String {
    let spec = judge.spec;
    match predicate {
        Predicate::Closed => "the node takes no new pods".to_owned(),
        Predicate::NodeSelector => match bin.missing_label(spec) {
            Some((key, value)) => format!("no node has the label {key}={value}"),
            None => "no node has the labels it asks for".to_owned(),
        },
        Predicate::NodeAffinity => {
            format!("its node affinity admits no node of pool {}", grower.pool)
        }
        Predicate::Taints => match bin.untolerated(spec) {
            Some(taint) => format!("the taint {}={} is not tolerated", taint.key, taint.value),
            None => "a taint is not tolerated".to_owned(),
        },
        Predicate::Volumes => volumes(judge, bin),
        Predicate::Cpu | Predicate::Memory | Predicate::PodCount | Predicate::Extended => {
            lacking(&spec.requests, grower)
        }
        Predicate::HostPorts => {
            "daemon pods take the ports of the node that it asks for".to_owned()
        }
        Predicate::AntiAffinityOfOthers => "pods in every place keep pods like it off".to_owned(),
        Predicate::AntiAffinity => "in every place are pods that it must not be beside".to_owned(),
        Predicate::PodAffinity => {
            "no pod that it must be beside is where a new node would be".to_owned()
        }
        Predicate::TopologySpread => match judge.broken(room, bin) {
            Some(spread) => format!(
                "it would be spread over {} more unevenly than by {}",
                spread.topology_key, spread.max_skew
            ),
            None => "it would be spread too unevenly".to_owned(),
        },
    }
}

fn volumes(judge: &Judge<'_>, bin: &Bin<'_>) -> String {
    let nowhere = judge.spec.volumes.iter().find_map(|volume| match volume {
        VolumeNeed::Nowhere(why) => Some(why.clone()),
        VolumeNeed::On(_) | VolumeNeed::OneOf(_) => None,
    });
    nowhere.unwrap_or_else(|| {
        let bound = judge.spec.volumes.iter().any(|volume| !bin.admits(volume));
        let what = if bound {
            "its volumes are where no new node would be"
        } else {
            "no volume is free for it"
        };
        what.to_owned()
    })
}

/// What of these requests is more than any shape of a pool offers.
fn lacking(requests: &Resources, grower: &Grower<'_>) -> String {
    let most = |measure: &dyn Fn(&Resources) -> u64| {
        grower.nodes.iter().map(|node| measure(&node.allocatable)).max().unwrap_or(0)
    };
    let mut parts = Vec::new();
    if requests.cpu_milli > most(&|offer| offer.cpu_milli) {
        parts.push(format!("{}m CPU", requests.cpu_milli));
    }
    if requests.memory > most(&|offer| offer.memory) {
        parts.push(format!("{} MiB", requests.memory >> 20));
    }
    for (name, count) in &requests.extended {
        if *count > most(&|offer| offer.extended.get(name).copied().unwrap_or(0)) {
            parts.push(format!("{count} {name}"));
        }
    }
    if parts.is_empty() {
        // Each alone would be there, but not all of them on one shape.
        parts.push(format!("{}m CPU with {} MiB", requests.cpu_milli, requests.memory >> 20));
    }
    format!("it asks for {}, more than any shape of pool {} offers", parts.join(", "), grower.pool)
}
