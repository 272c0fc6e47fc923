//! A node on its way out: what keeps its pods is told, and it goes with all that would hang on it.

use super::{connect, join, mark, sees};
use crate::support::control_plane::{
    self, ControlPlane, FakeNode, Part, Setting, create, is_running, pod, until,
};
use crate::support::wait;
use bellwether::cluster::kube::Kube;
use bellwether::cluster::{Cluster as _, Error, Eviction, Manner};
use bellwether::model::{ClusterView, NodeRef};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Waits until the evictions of a node are refused for this.
async fn is_kept_by(kube: &Kube, at: &NodeRef, why: &str) {
    wait::until(why, || async {
        matches!(kube.evict_step(at, Manner::Evict).await, Ok(Eviction::Blocked { by, .. }) if by.contains(why))
    })
    .await;
}

/// A policy of the cluster refuses to evict the pod `free`.
async fn forbid_evictions(plane: &ControlPlane) {
    let client = plane.client().await;
    let evictions = json!({
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/eviction"],
    });
    let rule =
        json!({ "expression": "object.metadata.name != 'free'", "message": "not before noon" });
    let spec =
        json!({ "matchConstraints": { "resourceRules": [evictions] }, "validations": [rule] });
    let policy = json!({ "metadata": { "name": "noon" }, "spec": spec });
    create::<ValidatingAdmissionPolicy>(&Api::all(client.clone()), policy).await;
    let spec = json!({ "policyName": "noon", "validationActions": ["Deny"] });
    let binding = json!({ "metadata": { "name": "noon" }, "spec": spec });
    create::<ValidatingAdmissionPolicyBinding>(&Api::all(client), binding).await;
}

/// A pod that runs on the node `one`, with something special about it.
async fn runs(plane: &ControlPlane, name: &str, change: impl FnOnce(&mut Value)) {
    let mut object = pod(name, "10m");
    object["spec"]["nodeName"] = "one".into();
    change(&mut object);
    let pods = plane.pods().await;
    create(&pods, object).await;
    until(&pods, name, "the pod to run", is_running).await;
}

/// W-51. Without the controllers, who would take pods away whose owners nobody has made.
#[tokio::test]
async fn what_belongs_to_the_node_or_has_finished_is_left_and_holds_no_drain() {
    let parts = vec![Part::Kwok];
    let Some(plane) = control_plane::start_with(&Setting { parts, ..Setting::default() }).await
    else {
        return;
    };
    let kube = connect(&plane).await;
    let at = join(&plane, "one").await;
    runs(&plane, "daemon", |pod| {
        let owner = json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "agent", "controller": true });
        pod["metadata"]["ownerReferences"] = json!([owner]);
    })
    .await;
    runs(&plane, "mirror", |pod| {
        pod["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "file" });
    })
    .await;
    runs(&plane, "done", |_| ()).await;
    let pods = plane.pods().await;
    let done = json!({ "status": { "phase": "Succeeded" } });
    pods.patch_status("done", &PatchParams::default(), &Patch::Merge(&done)).await.unwrap();
    for manner in [Manner::Evict, Manner::Force] {
        runs(&plane, "web", |_| ()).await;
        assert_eq!(kube.evict_step(&at, manner).await, Ok(Eviction::Evicting { left: 1 }));
        wait::until("the node to be empty", || async {
            kube.evict_step(&at, manner).await == Ok(Eviction::Empty)
        })
        .await;
        let left = pods.list(&ListParams::default()).await.unwrap().items;
        let mut names: Vec<String> = left.into_iter().filter_map(|pod| pod.metadata.name).collect();
        names.sort();
        assert_eq!(names, ["daemon", "done", "mirror"]);
    }
}

#[tokio::test]
async fn what_keeps_a_pod_is_told_in_words_that_a_person_acts_on() {
    let Some(plane) = control_plane::start().await else { return };
    let kube = connect(&plane).await;
    let at = join(&plane, "one").await;
    sees(&kube, "the node", |view| view.nodes().count() == 1).await;
    // Both before the first eviction is asked for, which `free` must not be allowed.
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(plane.client().await);
    for name in ["first", "second"] {
        let chosen =
            json!({ "selector": { "matchLabels": { "app": "free" } }, "maxUnavailable": 1 });
        create(&budgets, json!({ "metadata": { "name": name }, "spec": chosen })).await;
    }
    plane.guard_one_of_two().await;
    is_kept_by(&kube, &at, "default/free: several PodDisruptionBudgets choose it").await;
    forbid_evictions(&plane).await;
    is_kept_by(&kube, &at, "not before noon").await;
    let free: Api<Pod> = plane.pods().await;
    assert!(free.get("free").await.unwrap().metadata.deletion_timestamp.is_none());
    for name in ["first", "second"] {
        budgets.delete(name, &DeleteParams::default()).await.unwrap();
    }
    let policies: Api<ValidatingAdmissionPolicyBinding> = Api::all(plane.client().await);
    policies.delete("noon", &DeleteParams::default()).await.unwrap();
    is_kept_by(&kube, &at, "default/guarded: Cannot evict pod as it would violate").await;
    wait::until("the end of the other", || async { free.get_opt("free").await.unwrap().is_none() })
        .await;
}

#[tokio::test]
async fn in_the_end_pods_go_whatever_their_budgets_say() {
    let Some(plane) = control_plane::start().await else { return };
    let kube = connect(&plane).await;
    let at = join(&plane, "one").await;
    plane.guard_one_of_two().await;
    sees(&kube, "the pods", |view| view.pods().count() == 2).await;
    let other = NodeRef { uid: "another".into(), ..at.clone() };
    assert_eq!(kube.evict_step(&other, Manner::Force).await, Err(Error::NotFound));
    assert_eq!(kube.evict_step(&at, Manner::Force).await, Ok(Eviction::Evicting { left: 2 }));
    wait::until("an empty node", || async {
        kube.evict_step(&at, Manner::Force).await == Ok(Eviction::Empty)
    })
    .await;
}

async fn load_balancers_hear(plane: &ControlPlane, name: &str) -> Option<String> {
    plane.nodes().await.get(name).await.unwrap().metadata.labels.unwrap().remove(EXCLUDED)
}

#[tokio::test]
async fn a_cordon_tells_load_balancers_and_its_end_does_unless_others_told_them() {
    let Some(plane) = control_plane::start().await else { return };
    let kube = connect(&plane).await;
    let at = join(&plane, "one").await;
    assert_eq!(load_balancers_hear(&plane, "one").await, None);
    kube.cordon(&at, &mark()).await.unwrap();
    assert_eq!(load_balancers_hear(&plane, "one").await.as_deref(), Some("bellwether"));
    kube.uncordon(&at).await.unwrap();
    assert_eq!(load_balancers_hear(&plane, "one").await, None);
    let nodes = plane.nodes().await;
    let change = async |change: Value| {
        nodes.patch("one", &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
    };
    kube.cordon(&at, &mark()).await.unwrap();
    change(json!({ "spec": { "taints": [], "unschedulable": true } })).await;
    kube.uncordon(&at).await.unwrap();
    assert_eq!(load_balancers_hear(&plane, "one").await, None, "though our taint was gone");
    let spec = nodes.get("one").await.unwrap().spec.unwrap();
    assert_eq!(spec.unschedulable, Some(true), "what is closed without it others closed");
    change(json!({ "spec": { "unschedulable": false } })).await;
    change(json!({ "metadata": { "labels": { EXCLUDED: "" } } })).await;
    for step in 0..2 {
        if step == 0 {
            kube.cordon(&at, &mark()).await.unwrap();
        } else {
            kube.uncordon(&at).await.unwrap();
        }
        assert_eq!(load_balancers_hear(&plane, "one").await.as_deref(), Some(""));
    }
}

/// A node that no kubelet plays, of k3s.
pub(super) async fn register(plane: &ControlPlane, name: &str) -> NodeRef {
    let mut node = FakeNode { name, ..FakeNode::default() }.json();
    let fields = ["machineID", "systemUUID", "bootID", "kernelVersion", "osImage"];
    let more = ["containerRuntimeVersion", "kubeProxyVersion", "operatingSystem", "architecture"];
    for field in fields.iter().chain(&more) {
        node["status"]["nodeInfo"][*field] = "".into();
    }
    node["status"]["nodeInfo"]["kubeletVersion"] = "v1.36.3+k3s1".into();
    let node = create(&plane.nodes().await, node).await;
    let password = json!({ "metadata": { "name": format!("{name}.node-password.k3s") } });
    create::<Secret>(&secrets(plane).await, password).await;
    NodeRef { name: name.into(), uid: node.metadata.uid.unwrap().as_str().into() }
}

async fn secrets(plane: &ControlPlane) -> Api<Secret> {
    Api::namespaced(plane.client().await, "kube-system")
}

/// A pod on a node; nobody ends it.
async fn put(plane: &ControlPlane, name: &str, node: &str, change: impl FnOnce(&mut Value)) {
    let mut pod = pod(name, "1");
    pod["spec"]["nodeName"] = node.into();
    change(&mut pod);
    create::<Pod>(&plane.pods().await, pod).await;
}

/// W-52.
#[tokio::test]
async fn a_node_goes_with_all_that_would_hang_on_it_and_nothing_of_another() {
    let Some(plane) = control_plane::start_with(&Setting::bare()).await else { return };
    let kube = connect(&plane).await;
    let [one, two] = [register(&plane, "one").await, register(&plane, "two").await];
    for (name, node) in [("hangs", "one"), ("runs", "one"), ("elsewhere", "two")] {
        put(&plane, name, node, |_| ()).await;
    }
    let pods = plane.pods().await;
    pods.delete("hangs", &DeleteParams::default()).await.unwrap();
    assert!(pods.get("hangs").await.unwrap().metadata.deletion_timestamp.is_some());
    sees(&kube, "the pods", |view| view.pods().count() == 3).await;

    let gone = NodeRef { uid: two.uid.clone(), ..one.clone() };
    kube.remove_node(&gone).await.unwrap();
    assert!(pods.get_opt("runs").await.unwrap().is_some(), "it is another node's");

    let heard = |status: &str| json!({ "status": { "conditions": [{ "type": "Ready", "status": status }] } });
    let (nodes, params) = (plane.nodes().await, PatchParams::default());
    nodes.patch_status("one", &params, &Patch::Strategic(heard("True"))).await.unwrap();
    assert_eq!(kube.remove_node(&one).await, Err(Error::Conflict), "it is heard of");
    assert!(pods.get_opt("runs").await.unwrap().is_some(), "and so are its pods");
    nodes.patch_status("one", &params, &Patch::Strategic(heard("Unknown"))).await.unwrap();

    kube.remove_node(&one).await.unwrap();
    let left: Vec<_> = pods.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(
        left.iter().map(|pod| pod.metadata.name.as_deref()).collect::<Vec<_>>(),
        [Some("elsewhere")]
    );
    assert!(plane.nodes().await.get_opt("one").await.unwrap().is_none());
    let secrets = secrets(&plane).await;
    assert!(secrets.get_opt("one.node-password.k3s").await.unwrap().is_none());
    assert!(secrets.get_opt("two.node-password.k3s").await.unwrap().is_some());
    kube.remove_node(&one).await.unwrap();
}

async fn attach(plane: &ControlPlane, volume: &str, node: &str) {
    let source = json!({ "persistentVolumeName": volume });
    let spec = json!({ "attacher": "csi.example", "nodeName": node, "source": source });
    let object = json!({ "metadata": { "name": format!("at-{volume}") }, "spec": spec });
    create::<VolumeAttachment>(&Api::all(plane.client().await), object).await;
}

#[tokio::test]
async fn volumes_hang_on_a_node_until_they_are_off_but_for_those_of_what_stays() {
    let Some(plane) = control_plane::start_with(&Setting::bare()).await else { return };
    let kube = connect(&plane).await;
    register(&plane, "one").await;
    for (claim, volume) in [("moves", "pv-1"), ("stays", "pv-2")] {
        let asked = json!({ "requests": { "storage": "1Gi" } });
        let spec =
            json!({ "accessModes": ["ReadWriteOnce"], "volumeName": volume, "resources": asked });
        let object = json!({ "metadata": { "name": claim }, "spec": spec });
        create::<PersistentVolumeClaim>(&Api::default_namespaced(plane.client().await), object)
            .await;
        attach(&plane, volume, "one").await;
    }
    let uses = |pod: &mut Value, claim: &str| {
        pod["spec"]["volumes"] =
            json!([{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }]);
    };
    put(&plane, "web", "one", |pod| uses(pod, "moves")).await;
    put(&plane, "agent", "one", |pod| {
        uses(pod, "stays");
        let owner = json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "d", "controller": true });
        pod["metadata"]["ownerReferences"] = json!([owner]);
    })
    .await;
    let attached = |view: &ClusterView| view.attached.as_ref()?.get(&"one".into()).cloned();
    let view =
        sees(&kube, "the volumes", |view| view.pods().count() == 2 && attached(view).is_some())
            .await;
    assert_eq!(attached(&view), Some(vec!["pv-1".to_owned()]));
    let attachments: Api<VolumeAttachment> = Api::all(plane.client().await);
    attachments.delete("at-pv-1", &DeleteParams::default()).await.unwrap();
    sees(&kube, "it off", |view| attached(view).is_none()).await;
}
