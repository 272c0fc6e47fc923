//! What node-exporter and kube-state-metrics would say about the world.

use super::World;
use super::state::{SimNode, State};
use crate::model::NodeName;
use serde_json::{Value, json};
use std::fmt::{Display, Write as _};

/// Modes of a core; all together grow by the time that passes.
const IDLE_MODES: [&str; 6] = ["nice", "iowait", "irq", "softirq", "steal", "system"];

impl World {
    /// node-exporter on one node; `None` for one that does not answer.
    pub fn node_metrics(&self, node: &str) -> Option<String> {
        self.look(|state| {
            let name = NodeName::new(node);
            let at = state.nodes.get(&name).filter(|node| node.ready)?;
            Some(node_exporter(state, &name, at))
        })
    }

    /// kube-state-metrics.
    pub fn kube_metrics(&self) -> String {
        self.look(kube_state)
    }

    /// Every node as a target of Prometheus, in the form of its file discovery; all are served by `host`.
    pub fn targets(&self, host: &str) -> Value {
        self.look(|state| {
            let target = |(name, node): (&NodeName, &SimNode)| {
                let mut labels = json!({
                    "node": name, "instance": name, "__metrics_path__": format!("/nodes/{name}/metrics"),
                });
                if let Some(pool) = &node.pool {
                    labels["pool"] = json!(pool);
                }
                if node.control_plane {
                    labels["role"] = json!("control-plane");
                }
                json!({ "targets": [host], "labels": labels })
            };
            state.nodes.iter().map(target).collect()
        })
    }
}

fn node_exporter(state: &State, name: &NodeName, node: &SimNode) -> String {
    let mut text = Text::default();
    let cores = (node.capacity.cpu_milli / 1000).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
    let (busy, share) = (node.busy / cores as f64, node.up);
    text.family("node_cpu_seconds_total", "counter");
    for core in 0..cores {
        let core = core.to_string();
        text.line("node_cpu_seconds_total", &[("cpu", &core), ("mode", "user")], busy);
        text.line(
            "node_cpu_seconds_total",
            &[("cpu", &core), ("mode", "idle")],
            (share - busy).max(0.0),
        );
        for mode in IDLE_MODES {
            text.line("node_cpu_seconds_total", &[("cpu", &core), ("mode", mode)], 0);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "bytes as a sample")]
    let total = node.capacity.memory as f64;
    text.family("node_memory_MemTotal_bytes", "gauge");
    text.line("node_memory_MemTotal_bytes", &[], total);
    text.family("node_memory_MemAvailable_bytes", "gauge");
    text.line(
        "node_memory_MemAvailable_bytes",
        &[],
        (total - state.used(name).1 - 0.05 * total).max(0.0),
    );
    text.0
}

fn kube_state(state: &State) -> String {
    let mut text = Text::default();
    text.family("kube_node_info", "gauge");
    for name in state.nodes.keys() {
        text.line("kube_node_info", &[("node", name.as_str())], 1);
    }
    text.family("kube_node_role", "gauge");
    for (name, _) in state.nodes.iter().filter(|(_, node)| node.control_plane) {
        text.line("kube_node_role", &[("node", name.as_str()), ("role", "control-plane")], 1);
    }
    node_states(state, &mut text);
    pods(state, &mut text);
    text.0
}

fn node_states(state: &State, text: &mut Text) {
    text.family("kube_node_status_condition", "gauge");
    for (name, node) in &state.nodes {
        for (status, is_so) in [("true", node.ready), ("false", !node.ready), ("unknown", false)] {
            let labels = [("node", name.as_str()), ("condition", "Ready"), ("status", status)];
            text.line("kube_node_status_condition", &labels, u8::from(is_so));
        }
    }
    text.family("kube_node_status_allocatable", "gauge");
    for (name, node) in &state.nodes {
        resources(
            text,
            "kube_node_status_allocatable",
            &[("node", name.as_str())],
            &node.allocatable,
        );
    }
}

fn pods(state: &State, text: &mut Text) {
    let named: Vec<_> = state
        .pods
        .iter()
        .filter_map(|(uid, pod)| Some((uid, pod, state.workloads.get(&pod.workload)?)))
        .collect();
    let node =
        |pod: &super::state::SimPod| pod.node.as_ref().map_or(String::new(), ToString::to_string);
    text.family("kube_pod_info", "gauge");
    for (uid, pod, workload) in &named {
        let node = node(pod);
        let labels = [
            ("namespace", workload.namespace.as_str()),
            ("pod", &pod.name),
            ("uid", uid.as_str()),
            ("node", &node),
        ];
        text.line("kube_pod_info", &labels, 1);
    }
    text.family("kube_pod_status_phase", "gauge");
    for (uid, pod, workload) in &named {
        for (phase, is_so) in [("Pending", pod.node.is_none()), ("Running", pod.node.is_some())] {
            let labels = [
                ("namespace", workload.namespace.as_str()),
                ("pod", &pod.name),
                ("uid", uid.as_str()),
                ("phase", phase),
            ];
            text.line("kube_pod_status_phase", &labels, u8::from(is_so));
        }
    }
    text.family("kube_pod_status_unschedulable", "gauge");
    for (uid, pod, workload) in named.iter().filter(|(_, pod, _)| pod.unschedulable.is_some()) {
        let labels = [
            ("namespace", workload.namespace.as_str()),
            ("pod", pod.name.as_str()),
            ("uid", uid.as_str()),
        ];
        text.line("kube_pod_status_unschedulable", &labels, 1);
    }
    text.family("kube_pod_container_resource_requests", "gauge");
    for (uid, pod, workload) in &named {
        let node = node(pod);
        let labels = [
            ("namespace", workload.namespace.as_str()),
            ("pod", &pod.name),
            ("uid", uid.as_str()),
            ("node", &node),
        ];
        resources(text, "kube_pod_container_resource_requests", &labels, &workload.requests);
    }
}

#[expect(clippy::cast_precision_loss, reason = "cores and bytes as samples")]
fn resources(
    text: &mut Text,
    name: &str,
    labels: &[(&str, &str)],
    amount: &crate::model::Resources,
) {
    let with = |resource, unit| [labels, &[("resource", resource), ("unit", unit)]].concat();
    text.line(name, &with("cpu", "core"), amount.cpu_milli as f64 / 1000.0);
    text.line(name, &with("memory", "byte"), amount.memory);
}

/// Prometheus' text form.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let _ = writeln!(self.0, "{name}{{{}}} {value}", labels.join(","));
    }
}
