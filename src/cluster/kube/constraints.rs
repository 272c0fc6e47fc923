//! What a pod's specification asks of nodes and of other pods, in the model's words.

use crate::model::{
    Effect, HostPort, Is, Labels, NodeTerm, PodSpec, PodTerm, Requirement, Selector, Spread, Taint,
    Toleration,
};
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Everything but the requests and the volumes.
pub(super) fn of(namespace: &str, labels: &Labels, spec: &api::PodSpec) -> PodSpec {
    let affinity = spec.affinity.as_ref();
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let apart = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let near =
        near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_ref());
    let apart =
        apart.and_then(|apart| apart.required_during_scheduling_ignored_during_execution.as_ref());
    let terms = |terms: Option<&Vec<api::PodAffinityTerm>>| {
        terms.into_iter().flatten().map(|term| pod_term(namespace, labels, term)).collect()
    };
    let spreads = spec.topology_spread_constraints.iter().flatten();
    PodSpec {
        namespace: namespace.to_owned(),
        labels: labels.clone(),
        node_selector: spec.node_selector.clone().unwrap_or_default(),
        node_affinity: affinity.and_then(required_nodes),
        tolerations: tolerations(spec.tolerations.as_deref()),
        pod_affinity: terms(near),
        pod_anti_affinity: terms(apart),
        topology_spread: spreads
            .filter(|spread| spread.when_unsatisfiable == "DoNotSchedule")
            .map(|constraint| spread(labels, constraint))
            .collect(),
        host_ports: host_ports(spec),
        priority: spec.priority.unwrap_or(0),
        ..PodSpec::default()
    }
}

fn required_nodes(affinity: &api::Affinity) -> Option<Vec<NodeTerm>> {
    let required = affinity.node_affinity.as_ref()?;
    required.required_during_scheduling_ignored_during_execution.as_ref().map(node_terms)
}

/// The terms of a node selector, of which one must hold.
pub(super) fn node_terms(selector: &api::NodeSelector) -> Vec<NodeTerm> {
    selector.node_selector_terms.iter().map(node_term).collect()
}

fn node_term(term: &api::NodeSelectorTerm) -> NodeTerm {
    let is = |asked: &api::NodeSelectorRequirement| {
        is(&asked.operator, asked.values.as_deref().unwrap_or_default())
    };
    let label = |asked: &api::NodeSelectorRequirement| Requirement {
        key: asked.key.clone(),
        is: is(asked),
    };
    // The only field there is.
    let field = |asked: &api::NodeSelectorRequirement| match asked.key.as_str() {
        "metadata.name" => is(asked),
        _ => Is::Never,
    };
    NodeTerm {
        labels: term.match_expressions.iter().flatten().map(label).collect(),
        name: term.match_fields.iter().flatten().map(field).collect(),
    }
}

fn is(operator: &str, values: &[String]) -> Is {
    let bound = || match values {
        [number] => number.parse().ok(),
        _ => None,
    };
    match operator {
        "In" => Is::In(values.to_vec()),
        "NotIn" => Is::NotIn(values.to_vec()),
        "Exists" => Is::There,
        "DoesNotExist" => Is::Absent,
        "Gt" => bound().map_or(Is::Never, Is::Above),
        "Lt" => bound().map_or(Is::Never, Is::Below),
        _ => Is::Never,
    }
}

/// A selector of labels. Nothing asked is everything; the order of what is asked does not matter.
pub(super) fn selector(selector: &LabelSelector) -> Selector {
    let labels = selector.match_labels.iter().flatten();
    let equal = labels
        .map(|(key, value)| Requirement { key: key.clone(), is: Is::In(vec![value.clone()]) });
    let more = selector.match_expressions.iter().flatten().map(|asked| Requirement {
        key: asked.key.clone(),
        is: is(&asked.operator, asked.values.as_deref().unwrap_or_default()),
    });
    Selector(equal.chain(more).collect())
}

/// The same, with some of the pod's own labels asked for as they are. The apiserver of newer releases writes them
/// into the selector itself, which then asks for them twice.
fn selector_with(
    given: Option<&LabelSelector>,
    own: &Labels,
    same: Option<&Vec<String>>,
    other: Option<&Vec<String>>,
) -> Option<Selector> {
    let mut all = selector(given?);
    let keys = |keys: Option<&'_ Vec<String>>| keys.cloned().unwrap_or_default();
    let value = |key: &String| own.get(key).map(|value| vec![value.clone()]);
    for key in keys(same) {
        all.0.extend(value(&key).map(|value| Requirement { key, is: Is::In(value) }));
    }
    for key in keys(other) {
        all.0.extend(value(&key).map(|value| Requirement { key, is: Is::NotIn(value) }));
    }
    Some(all)
}

fn pod_term(namespace: &str, own: &Labels, term: &api::PodAffinityTerm) -> PodTerm {
    let mut namespaces = term.namespaces.clone().unwrap_or_default();
    if namespaces.is_empty() && term.namespace_selector.is_none() {
        namespaces.push(namespace.to_owned());
    }
    let (same, other) = (term.match_label_keys.as_ref(), term.mismatch_label_keys.as_ref());
    PodTerm {
        selector: selector_with(term.label_selector.as_ref(), own, same, other),
        namespaces,
        namespace_selector: term.namespace_selector.as_ref().map(selector),
        topology_key: term.topology_key.clone(),
    }
}

fn spread(own: &Labels, constraint: &api::TopologySpreadConstraint) -> Spread {
    let (given, same) = (constraint.label_selector.as_ref(), constraint.match_label_keys.as_ref());
    let honors = |policy: Option<&String>, default| {
        policy.map_or(default, |policy| policy.as_str() == "Honor")
    };
    Spread {
        selector: selector_with(given, own, same, None),
        topology_key: constraint.topology_key.clone(),
        max_skew: u32::try_from(constraint.max_skew).unwrap_or(1).max(1),
        min_domains: constraint.min_domains.and_then(|least| u32::try_from(least).ok()),
        honors_affinity: honors(constraint.node_affinity_policy.as_ref(), true),
        honors_taints: honors(constraint.node_taints_policy.as_ref(), false),
    }
}

/// Ports of the node. In the node's own network every port of a container is one.
fn host_ports(spec: &api::PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|one| one.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|one| one.ports.iter().flatten());
    let taken = ports.filter_map(|port| {
        let own = port.host_port.filter(|number| *number > 0);
        let number =
            own.or_else(|| spec.host_network.filter(|is| *is).map(|_| port.container_port));
        Some(HostPort {
            ip: port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0".to_owned()),
            protocol: port.protocol.clone().unwrap_or("TCP".to_owned()),
            port: u16::try_from(number?).ok()?,
        })
    });
    taken.collect()
}

fn tolerations(given: Option<&[api::Toleration]>) -> Vec<Toleration> {
    let one = |toleration: &api::Toleration| {
        let value = match toleration.operator.as_deref() {
            Some("Exists") => None,
            None | Some("" | "Equal") => Some(toleration.value.clone().unwrap_or_default()),
            // Words that we do not know tolerate nothing.
            Some(_) => return None,
        };
        let effect = match toleration.effect.as_deref() {
            None | Some("") => None,
            Some(word) => Some(effect(word)?),
        };
        Some(Toleration { key: toleration.key.clone().unwrap_or_default(), value, effect })
    };
    given.into_iter().flatten().filter_map(one).collect()
}

/// A taint. One with an effect that we do not know keeps pods off.
pub(super) fn taint(taint: &api::Taint) -> Taint {
    Taint {
        key: taint.key.clone(),
        value: taint.value.clone().unwrap_or_default(),
        effect: effect(&taint.effect).unwrap_or(Effect::NoSchedule),
    }
}

fn effect(word: &str) -> Option<Effect> {
    match word {
        "NoSchedule" => Some(Effect::NoSchedule),
        "PreferNoSchedule" => Some(Effect::PreferNoSchedule),
        "NoExecute" => Some(Effect::NoExecute),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(value: Value) -> PodSpec {
        let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
        let mut value = value;
        value["containers"].as_array().is_none().then(|| value["containers"] = json!([]));
        of("shop", &labels, &serde_json::from_value(value).unwrap())
    }

    fn requirement(key: &str, is: Is) -> Requirement {
        Requirement { key: key.to_owned(), is }
    }

    fn one_of(value: &str) -> Is {
        Is::In(vec![value.to_owned()])
    }

    #[test]
    fn node_affinity_keeps_its_terms_and_its_words() {
        let expressions = json!([
            { "key": "a", "operator": "In", "values": ["1", "2"] },
            { "key": "b", "operator": "Gt", "values": ["5"] },
            { "key": "c", "operator": "Lt", "values": ["many"] },
            { "key": "d", "operator": "Like", "values": ["x"] },
        ]);
        let fields = json!([{ "key": "metadata.name", "operator": "NotIn", "values": ["n1"] }]);
        let required = json!({ "nodeSelectorTerms": [{ "matchExpressions": expressions }, { "matchFields": fields }, {}] });
        let terms = spec(json!({ "affinity": { "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": required } } }));
        let terms = terms.node_affinity.unwrap();
        let labels = vec![
            requirement("a", Is::In(vec!["1".to_owned(), "2".to_owned()])),
            requirement("b", Is::Above(5)),
            requirement("c", Is::Never),
            requirement("d", Is::Never),
        ];
        assert_eq!(terms[0], NodeTerm { labels, name: Vec::new() });
        assert_eq!(terms[1].name, [Is::NotIn(vec!["n1".to_owned()])]);
        assert_eq!(terms[2], NodeTerm::default(), "it admits nothing");
        assert_eq!(spec(json!({})).node_affinity, None);
    }

    fn term(value: &Value) -> PodTerm {
        let term = json!({ "requiredDuringSchedulingIgnoredDuringExecution": [value] });
        let mut spec = spec(json!({ "affinity": { "podAntiAffinity": term } }));
        assert!(spec.pod_affinity.is_empty());
        spec.pod_anti_affinity.remove(0)
    }

    #[test]
    fn a_pod_term_without_namespaces_means_its_own() {
        let own = term(
            &json!({ "topologyKey": "zone", "labelSelector": { "matchLabels": { "app": "db" } } }),
        );
        assert_eq!(own.namespaces, ["shop"]);
        assert_eq!(own.selector, Some(Selector(vec![requirement("app", one_of("db"))])));
        let all = term(&json!({ "topologyKey": "zone", "namespaceSelector": {} }));
        assert_eq!((all.namespaces, all.selector), (Vec::new(), None));
        assert_eq!(all.namespace_selector, Some(Selector::default()));
    }

    #[test]
    fn keys_of_labels_mean_the_pod_s_own_values() {
        let term = term(&json!({ "topologyKey": "zone", "labelSelector": {},
            "matchLabelKeys": ["app", "absent"], "mismatchLabelKeys": ["app"] }));
        let not = Is::NotIn(vec!["web".to_owned()]);
        let both = vec![requirement("app", one_of("web")), requirement("app", not)];
        assert_eq!(term.selector, Some(Selector(both)));
    }

    #[test]
    fn only_what_must_be_spread_is_kept() {
        let constraint = |when: &str| {
            json!({ "maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": when,
                "labelSelector": {}, "minDomains": 3, "nodeTaintsPolicy": "Honor", "matchLabelKeys": ["app"] })
        };
        let both = json!([constraint("ScheduleAnyway"), constraint("DoNotSchedule")]);
        let spreads = spec(json!({ "topologySpreadConstraints": both })).topology_spread;
        let own = Some(Selector(vec![requirement("app", one_of("web"))]));
        let spread = Spread {
            selector: own,
            topology_key: "zone".to_owned(),
            max_skew: 2,
            min_domains: Some(3),
            honors_affinity: true,
            honors_taints: true,
        };
        assert_eq!(spreads, [spread]);
    }

    #[test]
    fn ports_of_the_node_are_those_of_containers_and_sidecars() {
        let port =
            |number: u16, host: Option<u16>| json!({ "containerPort": number, "hostPort": host });
        let container = |ports: Value| json!({ "name": "a", "ports": ports });
        let mut sidecar = container(json!([port(3, Some(30))]));
        sidecar["restartPolicy"] = "Always".into();
        let init = json!([container(json!([port(4, Some(40))])), sidecar]);
        let containers = json!([container(json!([port(1, Some(10)), port(2, None)]))]);
        let mut pod = json!({ "containers": containers, "initContainers": init });
        let ports = |pod: &Value| -> Vec<u16> {
            spec(pod.clone()).host_ports.iter().map(|taken| taken.port).collect()
        };
        assert_eq!(ports(&pod), [10, 30]);
        pod["hostNetwork"] = true.into();
        assert_eq!(ports(&pod), [10, 2, 30]);
    }

    #[test]
    fn a_toleration_in_unknown_words_tolerates_nothing() {
        let all = spec(json!({ "tolerations": [
            { "operator": "Exists" },
            { "key": "a", "value": "b", "effect": "NoExecute" },
            { "key": "a", "operator": "Gt", "value": "5" },
            { "key": "a", "operator": "Exists", "effect": "Sometimes" },
        ] }));
        let first = Toleration { key: String::new(), value: None, effect: None };
        let value = Some("b".to_owned());
        let second = Toleration { key: "a".to_owned(), value, effect: Some(Effect::NoExecute) };
        assert_eq!(all.tolerations, [first, second]);
    }
}
