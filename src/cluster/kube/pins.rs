//! What keeps a pod on its node, by what its owners wrote on it and by what it has there.

use super::KUBE_SYSTEM;
use super::marks::KEPT;
use super::pods::{annotation, controller, essential, is_marked};
use super::time;
use crate::model::Pin;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1 as api;
use std::collections::HashSet;

/// By which owners say that a pod may go, or must not.
pub(super) const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const SAFE_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";

/// What keeps a pod where it is, as its owners and its own disk have it. "May go" outweighs what we would think.
pub(super) fn of(pod: &api::Pod, spec: &api::PodSpec) -> Vec<Pin> {
    let mut pins = Vec::new();
    if let Some(value) = said(pod, KEPT) {
        pins.push(Pin::Annotated(format!("{KEPT}={value}")));
    }
    if is_marked(pod, SAFE_TO_EVICT, "false") {
        pins.push(Pin::Annotated(format!("{SAFE_TO_EVICT}=false")));
    }
    pins.extend(undisturbed(pod));
    if is_marked(pod, SAFE_TO_EVICT, "true") {
        return pins;
    }
    if controller(pod).is_none() {
        pins.push(Pin::Bare);
    }
    let safe: HashSet<&str> =
        annotation(pod, SAFE_VOLUMES).unwrap_or_default().split(',').map(str::trim).collect();
    let is_data = |one: &api::Volume| is_local(one) && !is_scratch_of_the_system(pod, one);
    if spec.volumes.iter().flatten().any(|one| is_data(one) && !safe.contains(one.name.as_str())) {
        pins.push(Pin::LocalStorage);
    }
    pins
}

/// `true` holds for good, a duration from the pod's start on, as for Karpenter 1.12 and later. What cannot be read holds:
/// somebody wanted something.
fn undisturbed(pod: &api::Pod) -> Option<Pin> {
    let value = said(pod, DO_NOT_DISRUPT)?;
    let mark = format!("{DO_NOT_DISRUPT}={value}");
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let lasts = value.parse::<SignedDuration>().ok().filter(|lasts| !lasts.is_negative());
    let until = || time::ours(started?).checked_add(lasts?).ok();
    Some(match until() {
        Some(until) => Pin::AnnotatedUntil { mark, until },
        None => Pin::Annotated(mark),
    })
}

/// What an annotation says, other than no.
fn said<'p>(pod: &'p api::Pod, key: &str) -> Option<&'p str> {
    annotation(pod, key).filter(|value| !matches!(*value, "" | "false"))
}

/// Data on the node's own disk. What is kept in memory ends with the pod anyway.
fn is_local(volume: &api::Volume) -> bool {
    let scratch = volume.empty_dir.as_ref();
    volume.host_path.is_some() || scratch.is_some_and(|dir| dir.medium.as_deref() != Some("Memory"))
}

/// What stock distributions run in kube-system writes nothing there that outlives it: k3s's metrics-server and Traefik have
/// an `emptyDir` for `/tmp`, and no node could ever go that they are on. How long they hold it is said for the namespace.
/// What keeps data is not of that kind: a `StatefulSet`, and what our own loop depends on.
fn is_scratch_of_the_system(pod: &api::Pod, volume: &api::Volume) -> bool {
    let keeps_data = controller(pod).is_none_or(|owner| owner == "StatefulSet");
    volume.empty_dir.is_some()
        && pod.metadata.namespace.as_deref() == Some(KUBE_SYSTEM)
        && !keeps_data
        && essential(pod).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pins(change: impl FnOnce(&mut Value)) -> Vec<Pin> {
        let mut pod = json!({
            "metadata": {
                "name": "web-0", "namespace": "shop",
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r", "controller": true }],
            },
            "spec": { "containers": [] },
            "status": { "phase": "Running" },
        });
        change(&mut pod);
        let pod: api::Pod = serde_json::from_value(pod).unwrap();
        of(&pod, pod.spec.as_ref().unwrap())
    }

    #[test]
    fn what_keeps_a_pod_on_its_node() {
        let bare = |pod: &mut Value| pod["metadata"]["ownerReferences"] = json!([]);
        let volumes = |pod: &mut Value| {
            pod["spec"]["volumes"] = json!([
                { "name": "memory", "emptyDir": { "medium": "Memory" } },
                { "name": "scratch", "emptyDir": {} },
                { "name": "disk", "hostPath": { "path": "/data" } },
            ]);
        };
        let marked = |key: &str, value: &str| {
            let mark = json!({ key: value });
            move |pod: &mut Value| pod["metadata"]["annotations"] = mark
        };
        assert_eq!(pins(bare), [Pin::Bare]);
        assert_eq!(pins(volumes), [Pin::LocalStorage]);
        let one_is_safe = |pod: &mut Value| {
            volumes(pod);
            marked(SAFE_VOLUMES, "scratch")(pod);
        };
        assert_eq!(pins(one_is_safe), [Pin::LocalStorage], "the other is not");
        let of_the_system = |volumes: &'static str| {
            move |pod: &mut Value| {
                pod["metadata"]["namespace"] = "kube-system".into();
                pod["spec"]["volumes"] = serde_json::from_str(volumes).unwrap();
            }
        };
        assert_eq!(pins(of_the_system(r#"[{ "name": "tmp", "emptyDir": {} }]"#)), []);
        let data = |pod: &mut Value| {
            of_the_system(r#"[{ "name": "data", "emptyDir": {} }]"#)(pod);
            pod["metadata"]["ownerReferences"][0]["kind"] = "StatefulSet".into();
        };
        assert_eq!(pins(data), [Pin::LocalStorage]);
        let monitoring = |pod: &mut Value| {
            of_the_system(r#"[{ "name": "data", "emptyDir": {} }]"#)(pod);
            pod["metadata"]["labels"] = json!({ "app.kubernetes.io/name": "prometheus" });
        };
        assert_eq!(pins(monitoring), [Pin::LocalStorage]);
        let disk = r#"[{ "name": "disk", "hostPath": { "path": "/data" } }]"#;
        assert_eq!(pins(of_the_system(disk)), [Pin::LocalStorage]);
        let all_are_safe = |pod: &mut Value| {
            volumes(pod);
            marked(SAFE_VOLUMES, "scratch, disk")(pod);
        };
        assert_eq!(pins(all_are_safe), []);
        let may_go = |pod: &mut Value| {
            bare(pod);
            volumes(pod);
            marked(SAFE_TO_EVICT, "true")(pod);
        };
        assert_eq!(pins(may_go), []);
        let told = |key: &str, value: &str| [Pin::Annotated(format!("{key}={value}"))];
        assert_eq!(pins(marked(SAFE_TO_EVICT, "false")), told(SAFE_TO_EVICT, "false"));
        assert_eq!(pins(marked(DO_NOT_DISRUPT, "true")), told(DO_NOT_DISRUPT, "true"));
        assert_eq!(pins(marked(KEPT, "true")), told(KEPT, "true"));
        assert_eq!(pins(marked(KEPT, "Yes")), told(KEPT, "Yes"), "it holds");
        assert_eq!(pins(marked(KEPT, "false")), []);
    }

    #[test]
    fn a_pod_may_ask_not_to_be_disturbed_for_a_while() {
        let asks = |value: &str, started: Option<&str>| {
            pins(|pod| {
                pod["metadata"]["annotations"] = json!({ DO_NOT_DISRUPT: value });
                pod["status"]["startTime"] = started.into();
            })
        };
        let started = Some("2026-01-01T00:00:00Z");
        for (value, until) in [
            ("30m", "2026-01-01T00:30:00Z"),
            ("1h30m45s", "2026-01-01T01:30:45Z"),
            ("1.5h", "2026-01-01T01:30:00Z"),
        ] {
            let (mark, until) = (format!("{DO_NOT_DISRUPT}={value}"), until.parse().unwrap());
            assert_eq!(asks(value, started), [Pin::AnnotatedUntil { mark, until }]);
        }
        for (value, started) in [("soon", started), ("-30m", started), ("30m", None)] {
            let mark = format!("{DO_NOT_DISRUPT}={value}");
            assert_eq!(asks(value, started), [Pin::Annotated(mark)], "it holds");
        }
        for value in ["false", ""] {
            assert_eq!(asks(value, started), []);
        }
    }
}
