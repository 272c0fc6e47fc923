//! What a pod asks for in all, as kube-scheduler adds it up.

use super::quantity::{Unreadable, resources};
use crate::model::Resources;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

type Amounts = BTreeMap<String, Quantity>;

/// Resources that a pod may ask for as a whole, instead of by container.
fn is_of_the_pod(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// The sum of what runs together, or what starts it where that asks for more; `pods` is 1.
pub(super) fn of(pod: &Pod) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default().with_pods(1) };
    let status = pod.status.as_ref();
    let running = status.and_then(|status| status.container_statuses.as_deref());
    let starting = status.and_then(|status| status.init_container_statuses.as_deref());
    let mut together = Resources::default();
    for container in &spec.containers {
        together.add(&of_one(container, running));
    }
    // Sidecars start in their turn and stay; what starts after one runs beside it.
    let (mut sidecars, mut most) = (Resources::default(), Resources::default());
    for container in spec.init_containers.iter().flatten() {
        let own = of_one(container, starting);
        let mut at_once = sidecars.clone();
        at_once.add(&own);
        most.raise_to(&at_once);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = at_once;
        }
    }
    together.add(&sidecars);
    together.raise_to(&most);
    if let Some(whole) = spec.resources.as_ref().and_then(|all| all.requests.as_ref()) {
        replace(&mut together, whole);
    }
    together.add(&asked(spec.overhead.as_ref()));
    together.with_pods(1)
}

fn asked(amounts: Option<&Amounts>) -> Resources {
    resources(amounts, Unreadable::IsEndless)
}

/// One that is being resized counts with the most of what it asks for, was promised and has.
fn of_one(container: &Container, statuses: Option<&[ContainerStatus]>) -> Resources {
    let wanted = container.resources.as_ref().and_then(|all| all.requests.as_ref());
    let mut most = asked(wanted);
    let mut statuses = statuses.into_iter().flatten();
    if let Some(status) = statuses.find(|status| status.name == container.name) {
        most.raise_to(&asked(status.allocated_resources.as_ref()));
        let actual = status.resources.as_ref().and_then(|all| all.requests.as_ref());
        most.raise_to(&asked(actual));
    }
    most
}

fn replace(together: &mut Resources, whole: &Amounts) {
    let asked = asked(Some(whole));
    for name in whole.keys().filter(|name| is_of_the_pod(name)) {
        match name.as_str() {
            "cpu" => together.cpu_milli = asked.cpu_milli,
            "memory" => together.memory = asked.memory,
            _ => {
                together.extended.insert(name.clone(), asked.extended[name]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn requests(pod: serde_json::Value) -> Resources {
        of(&serde_json::from_value(pod).unwrap())
    }

    fn container(name: &str, cpu: &str) -> serde_json::Value {
        json!({ "name": name, "resources": { "requests": { "cpu": cpu } } })
    }

    fn sidecar(name: &str, cpu: &str) -> serde_json::Value {
        let mut container = container(name, cpu);
        container["restartPolicy"] = "Always".into();
        container
    }

    #[test]
    fn what_runs_together_is_added_up() {
        let pod = json!({ "spec": {
            "containers": [container("a", "100m"), container("b", "250m"), { "name": "c" }],
            "overhead": { "cpu": "50m", "memory": "1Mi" },
        } });
        let all = requests(pod);
        assert_eq!((all.cpu_milli, all.memory, all.pods), (400, 1 << 20, 1));
    }

    #[test]
    fn what_starts_it_counts_where_it_asks_for_more() {
        let cpu = |init: Vec<serde_json::Value>| {
            let spec = json!({ "containers": [container("a", "300m")], "initContainers": init });
            requests(json!({ "spec": spec })).cpu_milli
        };
        assert_eq!(cpu(vec![container("i", "200m")]), 300);
        assert_eq!(cpu(vec![container("i", "500m"), container("j", "400m")]), 500);
        assert_eq!(cpu(vec![sidecar("s", "100m")]), 400, "a sidecar stays");
        assert_eq!(cpu(vec![sidecar("s", "100m"), container("i", "350m")]), 450, "beside it");
        assert_eq!(cpu(vec![container("i", "350m"), sidecar("s", "100m")]), 400, "before it");
    }

    #[test]
    fn a_pod_may_ask_as_a_whole() {
        let pod = json!({ "spec": {
            "containers": [container("a", "100m")],
            "resources": { "requests": { "cpu": "1", "example.com/device": "3" } },
            "overhead": { "cpu": "10m" },
        } });
        let all = requests(pod);
        assert_eq!(all.cpu_milli, 1_010);
        assert!(all.extended.is_empty(), "devices are asked for by container");
    }

    #[test]
    fn one_that_is_being_resized_counts_with_the_most() {
        let pod = json!({
            "spec": { "containers": [container("a", "100m")] },
            "status": { "containerStatuses": [{
                "name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "allocatedResources": { "cpu": "300m" },
                "resources": { "requests": { "cpu": "200m" } },
            }] },
        });
        assert_eq!(requests(pod).cpu_milli, 300);
    }
}
