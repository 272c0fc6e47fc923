//! Nodes and pods of a control plane, and waiting for what becomes of them.

use super::ControlPlane;
use crate::support::wait;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::fmt::Debug;

/// A node whose kubelet is played by kwok.
#[derive(Clone, Debug)]
pub(crate) struct FakeNode<'a> {
    pub(crate) name: &'a str,
    /// Beside those that every kubelet sets.
    pub(crate) labels: &'a [(&'a str, &'a str)],
    /// Keys, values and effects.
    pub(crate) taints: &'a [(&'a str, &'a str, &'a str)],
    pub(crate) provider_id: Option<&'a str>,
    pub(crate) cpu: &'a str,
    pub(crate) memory: &'a str,
    pub(crate) pods: u32,
    /// One that kwok does not play says that it is not Ready, and nothing more.
    pub(crate) played: bool,
}

impl Default for FakeNode<'_> {
    fn default() -> Self {
        Self {
            name: "one",
            labels: &[],
            taints: &[],
            provider_id: None,
            cpu: "4",
            memory: "8Gi",
            pods: 110,
            played: true,
        }
    }
}

impl FakeNode<'_> {
    /// What its kubelet registers.
    pub(crate) fn json(&self) -> Value {
        let own = [
            ("kubernetes.io/hostname", self.name),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
        ];
        let labels = own.iter().chain(self.labels);
        let labels: Map<_, _> = labels.map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        let taint = |(key, value, effect): &(&str, &str, &str)| json!({ "key": key, "value": value, "effect": effect });
        let taints: Vec<Value> = self.taints.iter().map(taint).collect();
        let annotations = self.played.then(|| json!({ "kwok.x-k8s.io/node": "fake" }));
        let not_ready = json!({ "type": "Ready", "status": "False", "reason": "KubeletNotReady" });
        let conditions = (!self.played).then_some([not_ready]);
        let room = json!({ "cpu": self.cpu, "memory": self.memory, "pods": self.pods.to_string() });
        json!({
            "metadata": {
                "name": self.name,
                "labels": labels,
                "annotations": annotations,
            },
            "spec": { "providerID": self.provider_id, "taints": taints },
            "status": { "capacity": room, "allocatable": room, "conditions": conditions },
        })
    }
}

/// The kubelet of a node that kwok plays is heard of no more. One that is not there says nothing anyhow.
pub(crate) async fn silence(nodes: &Api<Node>, node: &str) {
    let params = PatchParams::default();
    let unplayed = json!({ "metadata": { "annotations": { "kwok.x-k8s.io/node": null } } });
    let silent = json!({ "status": { "conditions": [{ "type": "Ready", "status": "Unknown" }] } });
    let unplayed = nodes.patch(node, &params, &Patch::Merge(&unplayed)).await;
    let silent = nodes.patch_status(node, &params, &Patch::Strategic(&silent)).await;
    for answer in [unplayed, silent] {
        let is_gone = |error: &kube::Error| error.to_string().contains("not found");
        assert!(answer.as_ref().err().is_none_or(is_gone), "{answer:?}");
    }
}

/// A pod that asks for so much CPU.
pub(crate) fn pod(name: &str, cpu: &str) -> Value {
    let container =
        json!({ "name": "main", "image": "any", "resources": { "requests": { "cpu": cpu } } });
    json!({
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "containers": [container] },
    })
}

/// Creates an object.
pub(crate) async fn create<K>(api: &Api<K>, object: Value) -> K
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let typed = serde_json::from_value(object.clone()).unwrap();
    let created = api.create(&PostParams::default(), &typed).await;
    created.unwrap_or_else(|error| panic!("{error}\n{object:#}"))
}

/// Waits until it holds of the object with this name, and gives that object. An API server that is away is asked again.
pub(crate) async fn until<K>(api: &Api<K>, name: &str, what: &str, holds: impl Fn(&K) -> bool) -> K
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let seen = RefCell::new(None);
    let in_time = wait::comes_true(wait::LIMIT, || async {
        let asked = api.get(name).await;
        let held = asked.as_ref().is_ok_and(&holds);
        seen.replace(Some(asked));
        held
    })
    .await;
    let seen = seen.into_inner().unwrap();
    assert!(in_time, "waited for {what}, in vain: {}", told(&seen));
    seen.unwrap()
}

/// An object without what says who wrote each of its fields.
fn told<K: Serialize>(seen: &kube::Result<K>) -> String {
    let object = match seen {
        Ok(object) => serde_json::to_value(object),
        Err(error) => return error.to_string(),
    };
    let mut object = object.unwrap();
    object["metadata"]["managedFields"].take();
    format!("{object:#}")
}

/// Whether a scheduler found a node for it.
pub(crate) fn is_bound(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())
}

pub(crate) fn is_running(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"))
}

/// What the scheduler says of a pod that fits nowhere.
pub(crate) fn why_unschedulable(pod: &Pod) -> Option<&str> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled =
        conditions.iter().find(|it| it.type_ == "PodScheduled" && it.status == "False")?;
    (scheduled.reason.as_deref() == Some("Unschedulable")).then_some(scheduled.message.as_deref()?)
}

/// Whether it is Ready and takes pods.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut ready = conditions.into_iter().flatten().filter(|it| it.type_ == "Ready");
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    let mut waits =
        taints.into_iter().flatten().filter(|it| it.key == "node.kubernetes.io/not-ready");
    ready.any(|it| it.status == "True") && waits.next().is_none()
}

impl ControlPlane {
    /// Its nodes, for who may do everything.
    pub(crate) async fn nodes(&self) -> Api<Node> {
        Api::all(self.client().await)
    }

    /// Its pods in the namespace `default`, for who may do everything.
    pub(crate) async fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client().await)
    }

    /// A new node joins, and is Ready.
    pub(crate) async fn join(&self, node: &FakeNode<'_>) -> Node {
        let nodes = self.nodes().await;
        create(&nodes, node.json()).await;
        until(&nodes, node.name, "the node to be Ready", is_ready).await
    }

    /// Two pods run, `guarded` and `free`, and a budget allows no disruption of the first, which it is named after.
    pub(crate) async fn guard_one_of_two(&self) -> Api<PodDisruptionBudget> {
        let pods = self.pods().await;
        for name in ["guarded", "free"] {
            create(&pods, pod(name, "1")).await;
            until(&pods, name, "the pod to run", is_running).await;
        }
        let budgets = Api::default_namespaced(self.client().await);
        let selector = json!({ "matchLabels": { "app": "guarded" } });
        let spec = json!({ "selector": selector, "minAvailable": 1 });
        create(&budgets, json!({ "metadata": { "name": "guarded" }, "spec": spec })).await;
        let is_counted = |budget: &PodDisruptionBudget| {
            budget.status.as_ref().is_some_and(|status| status.expected_pods == 1)
        };
        until(&budgets, "guarded", "the budget to be counted", is_counted).await;
        budgets
    }
}
