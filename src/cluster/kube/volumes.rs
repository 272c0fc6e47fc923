//! Where its volumes let a pod be: claims, volumes and classes, as kube-scheduler puts them together.

use super::constraints::{node_terms, selector};
use super::quantity::{Unreadable, resources};
use crate::model::{
    FreeVolume, Is, Labels, NodeTerm, Requirement, Selector, VolumeNeed, ZONE_LABEL,
};
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::api::storage::v1 as storage;
use std::collections::{HashMap, HashSet};

/// A class's provisioner that makes nothing.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// Labels of a volume that its node must carry, too. Several values stand in one, separated.
const PLACES: [&str; 4] = [
    ZONE_LABEL,
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];
/// How many of them are the new ones, which come first; the old ones follow in the same order.
const NEW_PLACES: usize = 2;
const SEPARATOR: &str = "__";

/// A claim that a pod's volume stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) claim: String,
    /// Whether it is made for the pod, and is not there before.
    pub(super) is_made: bool,
}

/// A claim to a volume.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claim {
    pub(super) namespace: String,
    pub(super) name: String,
    uid: String,
    class: Option<String>,
    volume: Option<String>,
    is_ending: bool,
    wish: Wish,
}

/// What a claim asks of a volume.
#[derive(Clone, Debug, Default, PartialEq)]
struct Wish {
    bytes: u64,
    modes: Vec<String>,
    is_block: bool,
    labels: Option<Selector>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Volume {
    pub(super) name: String,
    class: String,
    on: Option<Vec<NodeTerm>>,
    labels: Labels,
    bytes: u64,
    modes: Vec<String>,
    is_block: bool,
    /// The claim it is promised to, by namespace, name, and its UID once that was seen.
    claim: Option<(String, String, Option<String>)>,
}

/// How volumes of a class come about.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Class {
    pub(super) name: String,
    is_default: bool,
    makes_none: bool,
    /// Whether a volume is looked for when a pod asks for it, and not before.
    waits: bool,
    allowed: Option<Vec<NodeTerm>>,
}

/// All that there is, by name.
#[derive(Debug, Default)]
pub(super) struct Storage<'a> {
    pub(super) claims: HashMap<(&'a str, &'a str), &'a Claim>,
    pub(super) volumes: HashMap<&'a str, &'a Volume>,
    pub(super) classes: HashMap<&'a str, &'a Class>,
    /// Claims that one pod only may use, and that one on a node does.
    pub(super) taken: HashSet<(&'a str, &'a str)>,
}

pub(super) fn claim(claim: &api::PersistentVolumeClaim) -> Option<Claim> {
    let (meta, spec) = (&claim.metadata, claim.spec.as_ref()?);
    let asked = spec.resources.as_ref().and_then(|all| all.requests.as_ref());
    Some(Claim {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone()?,
        uid: meta.uid.clone().unwrap_or_default(),
        class: spec.storage_class_name.clone(),
        volume: spec.volume_name.clone().filter(|name| !name.is_empty()),
        is_ending: meta.deletion_timestamp.is_some(),
        wish: Wish {
            bytes: storage_of(asked, Unreadable::IsEndless),
            modes: spec.access_modes.clone().unwrap_or_default(),
            is_block: spec.volume_mode.as_deref() == Some("Block"),
            labels: spec.selector.as_ref().map(selector),
        },
    })
}

fn storage_of(
    amounts: Option<&std::collections::BTreeMap<String, super::Quantity>>,
    unreadable: Unreadable,
) -> u64 {
    resources(amounts, unreadable).extended.get("storage").copied().unwrap_or(0)
}

pub(super) fn volume(volume: &api::PersistentVolume) -> Option<Volume> {
    let (meta, spec) = (&volume.metadata, volume.spec.as_ref()?);
    let required = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
    let claim = spec.claim_ref.as_ref().map(|claim| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        (text(&claim.namespace), text(&claim.name), claim.uid.clone())
    });
    Some(Volume {
        name: meta.name.clone()?,
        class: spec.storage_class_name.clone().unwrap_or_default(),
        on: required.map(node_terms),
        labels: meta.labels.clone().unwrap_or_default(),
        bytes: storage_of(spec.capacity.as_ref(), Unreadable::IsNone),
        modes: spec.access_modes.clone().unwrap_or_default(),
        is_block: spec.volume_mode.as_deref() == Some("Block"),
        claim,
    })
}

pub(super) fn class(class: &storage::StorageClass) -> Option<Class> {
    const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
    let annotations = class.metadata.annotations.as_ref();
    let term = |term: &api::TopologySelectorTerm| NodeTerm {
        labels: term
            .match_label_expressions
            .iter()
            .flatten()
            .map(|asked| Requirement { key: asked.key.clone(), is: Is::In(asked.values.clone()) })
            .collect(),
        name: Vec::new(),
    };
    let allowed = class.allowed_topologies.as_ref().filter(|terms| !terms.is_empty());
    Some(Class {
        name: class.metadata.name.clone()?,
        is_default: annotations.is_some_and(|all| all.get(DEFAULT).is_some_and(|is| is == "true")),
        makes_none: class.provisioner == NO_PROVISIONER,
        waits: class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
        allowed: allowed.map(|terms| terms.iter().map(term).collect()),
    })
}

impl Storage<'_> {
    /// The volume that a pod's claim is bound to.
    pub(super) fn bound(&self, namespace: &str, used: &Use) -> Option<&str> {
        self.claims.get(&(namespace, used.claim.as_str()))?.volume.as_deref()
    }
}

impl Claim {
    /// Whether one pod only may use it.
    pub(super) fn is_for_one_pod(&self) -> bool {
        self.wish.modes.iter().any(|mode| mode == "ReadWriteOncePod")
    }
}

impl Storage<'_> {
    /// Where these claims let a pod of this namespace be. `is_placed` of one that has a node already.
    pub(super) fn needs(&self, namespace: &str, uses: &[Use], is_placed: bool) -> Vec<VolumeNeed> {
        let size = |used: &&Use| {
            let claim = self.claims.get(&(namespace, used.claim.as_str()));
            claim.map(|claim| claim.wish.bytes)
        };
        // As kube-scheduler has it: the smallest claim comes first, and takes the smallest volume.
        let mut uses: Vec<&Use> = uses.iter().collect();
        uses.sort_by_key(size);
        uses.into_iter().flat_map(|used| self.need(namespace, used, is_placed)).collect()
    }

    fn need(&self, namespace: &str, used: &Use, is_placed: bool) -> Vec<VolumeNeed> {
        let name = &used.claim;
        let Some(claim) = self.claims.get(&(namespace, name.as_str())) else {
            // One that is made for the pod comes a moment after it, and then says where it can be.
            let why = if used.is_made { "is yet to be made" } else { "is not there" };
            return nowhere(format!("the claim {name} {why}"));
        };
        if claim.is_ending && !is_placed {
            return nowhere(format!("the claim {name} is being deleted"));
        }
        if !is_placed && claim.is_for_one_pod() && self.taken.contains(&(namespace, name.as_str()))
        {
            return nowhere(format!("the claim {name} is for one pod, and another uses it"));
        }
        match &claim.volume {
            Some(volume) => self.volumes.get(volume.as_str()).map_or_else(
                || nowhere(format!("the volume {volume} of the claim {name} is not there")),
                |volume| volume.places(),
            ),
            None => self.unbound(claim),
        }
    }

    fn unbound(&self, claim: &Claim) -> Vec<VolumeNeed> {
        let name = &claim.name;
        let class = match &claim.class {
            Some(class) => self.classes.get(class.as_str()).copied(),
            None => self.classes.values().copied().find(|class| class.is_default),
        };
        let Some(class) = class.filter(|class| class.waits) else {
            return nowhere(format!("the claim {name} is not bound to a volume yet"));
        };
        let free = self.volumes.values().filter_map(|volume| volume.free_for(claim, class));
        let mut free: Vec<(u64, FreeVolume)> = free.collect();
        free.sort_by(|(size, one), (other_size, other)| {
            (size, &one.name).cmp(&(other_size, &other.name))
        });
        let free: Vec<FreeVolume> = free.into_iter().map(|(_, volume)| volume).collect();
        if class.makes_none {
            return vec![VolumeNeed::OneOf(free)];
        }
        // One can be made wherever the class allows it, or is there.
        let Some(allowed) = &class.allowed else { return Vec::new() };
        if free.iter().any(|volume| volume.on.is_none()) {
            return Vec::new();
        }
        let there = free.into_iter().filter_map(|volume| volume.on).flatten();
        vec![VolumeNeed::On(allowed.iter().cloned().chain(there).collect())]
    }
}

fn nowhere(why: String) -> Vec<VolumeNeed> {
    vec![VolumeNeed::Nowhere(why)]
}

impl Volume {
    /// The nodes it can be used on: those it names, and of those the ones in its places.
    fn places(&self) -> Vec<VolumeNeed> {
        let term = |labels| NodeTerm { labels, name: Vec::new() };
        let label = |key: &str, is| Requirement { key: key.to_owned(), is };
        // As kube-scheduler's VolumeZone has it, a node that tells of no place at all takes every volume, and one
        // that lacks an old label is asked for the new one.
        let nowhere = || term(PLACES.iter().map(|key| label(key, Is::Absent)).collect());
        let place = |(number, key): (usize, &&str)| {
            let values = self.labels.get(*key)?.split(SEPARATOR).map(str::to_owned).collect();
            let is = Is::In(values);
            let newer = number.checked_sub(NEW_PLACES).map(|number| PLACES[number]);
            let newer =
                newer.map(|newer| term(vec![label(key, Is::Absent), label(newer, is.clone())]));
            let terms = [term(vec![label(key, is)]), nowhere()].into_iter().chain(newer);
            Some(VolumeNeed::On(terms.collect()))
        };
        let named = self.on.clone().map(VolumeNeed::On);
        named.into_iter().chain(PLACES.iter().enumerate().filter_map(place)).collect()
    }

    /// Its size and itself, where a claim could get it.
    fn free_for(&self, claim: &Claim, class: &Class) -> Option<(u64, FreeVolume)> {
        let is_promised = self.claim.as_ref().is_none_or(|(namespace, name, uid)| {
            (namespace, name) == (&claim.namespace, &claim.name)
                && uid.as_ref().is_none_or(|uid| uid.is_empty() || *uid == claim.uid)
        });
        let wish = &claim.wish;
        let serves = self.class == class.name
            && self.is_block == wish.is_block
            && self.bytes >= wish.bytes
            && wish.modes.iter().all(|mode| self.modes.contains(mode))
            && wish.labels.as_ref().is_none_or(|labels| labels.chooses(&self.labels));
        let free = || FreeVolume { name: self.name.clone(), on: self.on.clone() };
        (is_promised && serves).then(|| (self.bytes, free()))
    }
}

#[cfg(test)]
mod tests;
