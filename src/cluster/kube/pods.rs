//! Pods as we see them.

use super::pins::{self, SAFE_TO_EVICT};
use super::volumes::Use;
use super::{KUBE_SYSTEM, constraints, requests, time};
use crate::model::{Essential, NodeName, Placement, Pod, PodKind, PodSpec, Uid};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1 as api;
use std::collections::HashSet;
use std::sync::Arc;

/// Says which of the programs that our own loop depends on a pod is; before the label below.
const ESSENTIAL: &str = "bellwether.dev/essential";

/// By which many charts say which program a pod is.
const NAME_LABEL: &str = "app.kubernetes.io/name";

/// Kubernetes' own, which the API server names where a pod names none.
const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// Of a static pod's mirror.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Taints that every DaemonSet's pods bear, by what its controller adds to them.
const DAEMONS_BEAR: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// A pod, and what else must be known before it can be judged.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) pod: Arc<Pod>,
    /// Claims that its volumes stand for; what they ask for changes with the claims.
    pub(super) uses: Box<[Use]>,
    /// Whether it is held in kube-system unless a budget speaks for it.
    pub(super) is_system: bool,
}

/// Specs that are held once, however many pods have them.
#[derive(Debug, Default)]
pub(super) struct Specs {
    known: HashSet<Arc<PodSpec>>,
    /// How many there may be before those that nobody has are dropped.
    limit: usize,
}

/// A pod; `None` of one that is finished, or ends before it ever got a node.
pub(super) fn view(pod: &api::Pod, specs: &mut Specs) -> Option<Seen> {
    let (meta, spec) = (&pod.metadata, pod.spec.as_ref()?);
    if is_finished(pod) {
        return None;
    }
    let placement = placement(pod, spec);
    if meta.deletion_timestamp.is_some() && !matches!(placement, Placement::Bound(_)) {
        return None;
    }
    let namespace = meta.namespace.clone().unwrap_or_default();
    let labels = meta.labels.clone().unwrap_or_default();
    let mut own = constraints::of(&namespace, &labels, spec);
    own.requests = requests::of(pod);
    let kind = kind(pod);
    let pins = if kind == PodKind::Normal { pins::of(pod, spec) } else { Vec::new() };
    let is_system = kind == PodKind::Normal
        && namespace == KUBE_SYSTEM
        && !is_marked(pod, SAFE_TO_EVICT, "true");
    Some(Seen {
        uses: uses(meta.name.as_deref().unwrap_or_default(), spec),
        pod: Arc::new(Pod {
            uid: Uid::new(meta.uid.clone()?),
            name: meta.name.clone()?,
            created: created(pod),
            placement,
            spec: specs.shared(own),
            kind,
            pins,
            essential: essential(pod),
        }),
        is_system,
    })
}

/// What a DaemonSet puts on each node that admits it.
pub(super) fn daemon(set: &DaemonSet, specs: &mut Specs) -> Option<Arc<PodSpec>> {
    let namespace = set.metadata.namespace.clone().unwrap_or_default();
    let template = &set.spec.as_ref()?.template;
    let mut pod = template.spec.clone()?;
    let bears = |(key, effect): (&str, &str)| api::Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some(effect.to_owned()),
        ..api::Toleration::default()
    };
    pod.tolerations.get_or_insert_default().extend(DAEMONS_BEAR.map(bears));
    let labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone());
    let mut own = constraints::of(&namespace, &labels.unwrap_or_default(), &pod);
    let stand_in = api::Pod { spec: Some(pod), ..api::Pod::default() };
    own.requests = requests::of(&stand_in);
    Some(specs.shared(own))
}

fn created(pod: &api::Pod) -> Timestamp {
    pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, time::ours)
}

fn placement(pod: &api::Pod, spec: &api::PodSpec) -> Placement {
    if let Some(node) = spec.node_name.as_ref().filter(|name| !name.is_empty()) {
        return Placement::Bound(NodeName::new(node.clone()));
    }
    if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
        return Placement::Gated;
    }
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref());
    let found = conditions.into_iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    });
    if let Some(condition) = found {
        let since = condition.last_transition_time.as_ref().map_or(created(pod), time::ours);
        return Placement::Unschedulable { since };
    }
    match spec.scheduler_name.as_deref() {
        None | Some("" | DEFAULT_SCHEDULER) => Placement::Waiting,
        Some(_) => Placement::OtherScheduler,
    }
}

/// Whether it has run to its end, and takes no room any more.
pub(super) fn is_finished(pod: &api::Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// What a drain does with it.
pub(super) fn kind(pod: &api::Pod) -> PodKind {
    if annotation(pod, MIRROR).is_some() {
        return PodKind::Mirror;
    }
    match controller(pod) {
        Some("DaemonSet") => PodKind::Daemon,
        _ => PodKind::Normal,
    }
}

pub(super) fn controller(pod: &api::Pod) -> Option<&str> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true)).map(|owner| owner.kind.as_str())
}

pub(super) fn annotation<'p>(pod: &'p api::Pod, key: &str) -> Option<&'p str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

pub(super) fn is_marked(pod: &api::Pod, key: &str, value: &str) -> bool {
    annotation(pod, key) == Some(value)
}

fn uses(pod: &str, spec: &api::PodSpec) -> Box<[Use]> {
    let one = |volume: &api::Volume| {
        if let Some(source) = &volume.persistent_volume_claim {
            return Some(Use { claim: source.claim_name.clone(), is_made: false });
        }
        // Made for the pod, and named after both.
        let name = || format!("{pod}-{}", volume.name);
        volume.ephemeral.as_ref().map(|_| Use { claim: name(), is_made: true })
    };
    spec.volumes.iter().flatten().filter_map(one).collect()
}

pub(super) fn essential(pod: &api::Pod) -> Option<Essential> {
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(NAME_LABEL));
    match annotation(pod, ESSENTIAL).or(label.map(String::as_str))? {
        "alertmanager" => Some(Essential::Alertmanager),
        "prometheus" => Some(Essential::Prometheus),
        "bellwether" => Some(Essential::Bellwether),
        // No label says that a store is ours.
        "store" => Some(Essential::Store),
        _ => None,
    }
}

impl Specs {
    const LEAST: usize = 1024;

    /// The one that is equal to this.
    pub(super) fn shared(&mut self, spec: PodSpec) -> Arc<PodSpec> {
        if let Some(known) = self.known.get(&spec) {
            return known.clone();
        }
        if self.known.len() >= self.limit {
            self.known.retain(|spec| Arc::strong_count(spec) > 1);
            self.limit = (self.known.len() * 2).max(Self::LEAST);
        }
        let spec = Arc::new(spec);
        self.known.insert(spec.clone());
        spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn seen(change: impl FnOnce(&mut Value)) -> Option<Seen> {
        let mut pod = json!({
            "metadata": {
                "name": "web-0", "namespace": "shop", "uid": "u1", "labels": { "app": "web" },
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r", "controller": true }],
            },
            "spec": { "containers": [{ "name": "a", "resources": { "requests": { "cpu": "100m" } } }] },
            "status": { "phase": "Pending" },
        });
        change(&mut pod);
        view(&serde_json::from_value(pod).unwrap(), &mut Specs::default())
    }

    fn pod(change: impl FnOnce(&mut Value)) -> Arc<Pod> {
        seen(change).unwrap().pod
    }

    #[test]
    fn a_pod_tells_who_it_is_and_what_it_asks_for() {
        let pod = pod(|_| ());
        assert_eq!((pod.name.as_str(), pod.uid.as_str()), ("web-0", "u1"));
        assert_eq!((pod.spec.namespace.as_str(), pod.spec.labels["app"].as_str()), ("shop", "web"));
        assert_eq!((pod.spec.requests.cpu_milli, pod.spec.requests.pods), (100, 1));
        assert_eq!((pod.kind, pod.pins.len(), pod.essential), (PodKind::Normal, 0, None));
    }

    #[test]
    fn what_is_finished_or_ends_before_it_got_a_node_is_no_pod() {
        for phase in ["Succeeded", "Failed"] {
            assert!(seen(|pod| pod["status"]["phase"] = phase.into()).is_none());
        }
        let ending =
            |pod: &mut Value| pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z".into();
        assert!(seen(ending).is_none());
        let on_a_node = seen(|pod| {
            ending(pod);
            pod["spec"]["nodeName"] = "n1".into();
        });
        assert!(on_a_node.is_some(), "it takes its room until it is gone");
    }

    #[test]
    fn where_it_is_or_why_it_is_nowhere() {
        let condition = |reason: &str| {
            json!([{ "type": "PodScheduled", "status": "False", "reason": reason,
                "lastTransitionTime": "2026-01-01T00:00:05Z" }])
        };
        let since = "2026-01-01T00:00:05Z".parse().unwrap();
        let told = |reason: &str| {
            pod(|pod| pod["status"]["conditions"] = condition(reason)).placement.clone()
        };
        assert_eq!(pod(|_| ()).placement, Placement::Waiting);
        assert_eq!(told("Unschedulable"), Placement::Unschedulable { since });
        assert_eq!(told("SchedulerError"), Placement::Waiting);
        let gated = pod(|pod| pod["spec"]["schedulingGates"] = json!([{ "name": "quota" }]));
        assert_eq!(gated.placement, Placement::Gated);
        let bound = pod(|pod| {
            pod["spec"]["nodeName"] = "n1".into();
            pod["status"]["conditions"] = condition("Unschedulable");
        });
        assert_eq!(bound.placement, Placement::Bound("n1".into()));
    }

    #[test]
    fn daemons_and_mirrors_stay_with_their_node() {
        let owner = |kind: &str, controls: bool| {
            let kind = kind.to_owned();
            pod(move |pod| {
                pod["metadata"]["ownerReferences"][0]["kind"] = kind.into();
                pod["metadata"]["ownerReferences"][0]["controller"] = controls.into();
            })
        };
        assert_eq!(owner("DaemonSet", true).kind, PodKind::Daemon);
        assert_eq!(owner("DaemonSet", false).kind, PodKind::Normal);
        let mirror = pod(|pod| pod["metadata"]["annotations"] = json!({ MIRROR: "x" }));
        assert_eq!(mirror.kind, PodKind::Mirror);
    }

    #[test]
    fn pods_of_kube_system_wait_for_a_budget() {
        let system = |change: fn(&mut Value)| {
            let seen = seen(|pod| {
                pod["metadata"]["namespace"] = "kube-system".into();
                change(pod);
            });
            seen.unwrap().is_system
        };
        assert!(system(|_| ()));
        assert!(!system(|pod| pod["metadata"]["annotations"] = json!({ SAFE_TO_EVICT: "true" })));
        assert!(!system(|pod| pod["metadata"]["ownerReferences"][0]["kind"] = "DaemonSet".into()));
        assert!(!seen(|_| ()).unwrap().is_system);
    }

    #[test]
    fn programs_that_our_loop_depends_on_are_known_by_annotation_or_label() {
        let label = |value: &str| {
            let value = value.to_owned();
            pod(move |pod| pod["metadata"]["labels"] = json!({ NAME_LABEL: value })).essential
        };
        assert_eq!(label("prometheus"), Some(Essential::Prometheus));
        assert_eq!(label("redis"), None, "nothing says that it is our store");
        let told = pod(|pod| pod["metadata"]["annotations"] = json!({ ESSENTIAL: "store" }));
        assert_eq!(told.essential, Some(Essential::Store));
    }

    #[test]
    fn claims_are_named_as_the_pod_names_them_or_after_it() {
        let seen = seen(|pod| {
            pod["spec"]["volumes"] = json!([
                { "name": "data", "persistentVolumeClaim": { "claimName": "data-web-0" } },
                { "name": "cache", "ephemeral": {} },
                { "name": "settings", "configMap": { "name": "c" } },
            ]);
        });
        let names: Vec<String> = seen.unwrap().uses.iter().map(|used| used.claim.clone()).collect();
        assert_eq!(names, ["data-web-0", "web-0-cache"]);
    }

    #[test]
    fn equal_specs_are_held_once_and_those_of_nobody_are_dropped() {
        let mut specs = Specs::default();
        let spec = |number: i32| PodSpec { priority: number, ..PodSpec::default() };
        let kept = specs.shared(spec(0));
        assert!(Arc::ptr_eq(&kept, &specs.shared(spec(0))));
        for number in 0..10_000 {
            specs.shared(spec(number));
        }
        assert!(specs.known.len() <= Specs::LEAST, "{}", specs.known.len());
        assert!(Arc::ptr_eq(&kept, &specs.shared(spec(0))));
    }

    #[test]
    fn a_daemon_set_bears_what_its_controller_adds() {
        let set = json!({
            "metadata": { "name": "logs", "namespace": "ops" },
            "spec": { "selector": {}, "template": {
                "metadata": { "labels": { "app": "logs" } },
                "spec": { "containers": [{ "name": "a", "resources": { "requests": { "cpu": "50m" } } }],
                    "nodeSelector": { "os": "linux" } },
            } },
        });
        let spec = daemon(&serde_json::from_value(set).unwrap(), &mut Specs::default()).unwrap();
        assert_eq!((spec.requests.cpu_milli, spec.namespace.as_str()), (50, "ops"));
        assert_eq!(spec.node_selector["os"], "linux");
        assert_eq!(spec.tolerations.len(), DAEMONS_BEAR.len());
    }
}
