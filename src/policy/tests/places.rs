//! What forbids a pod a node, predicate by predicate. That kube-scheduler says the same: `tests/it/differential.rs`.

use crate::model::{
    ClusterView, Cordon, Effect, FreeVolume, HostPort, Is, Labels, Node, NodeRef, NodeTerm,
    Placement, Pod, PodKind, PodSpec, PodTerm, Readiness, Requirement, Resources, Selector, Spread,
    Taint, Toleration, VolumeNeed,
};
use crate::policy::{Predicate, places};
use jiff::Timestamp;
use std::sync::Arc;

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// A cluster that is put together node by node.
struct Cluster(ClusterView);

impl Cluster {
    /// Nodes of 4 cores and 8 GiB, each in a zone.
    fn of(nodes: &[(&str, &str)]) -> Self {
        let mut cluster = Self(ClusterView::empty("uid".into()));
        for (name, zone) in nodes {
            let zone = (!zone.is_empty()).then_some((ZONE, *zone));
            cluster.0.nodes.push(Arc::new(node(name, zone)));
        }
        for (namespace, team) in [("shop", "a"), ("bank", "b")] {
            cluster.0.namespaces.insert(namespace.to_owned(), labels(&[("team", team)]));
        }
        cluster
    }

    fn change(mut self, name: &str, change: impl FnOnce(&mut Node)) -> Self {
        let node = self.0.nodes.iter_mut().find(|node| node.at.name.as_str() == name);
        change(Arc::make_mut(node.unwrap()));
        self
    }

    /// A pod on a node.
    fn with(mut self, name: &str, change: impl FnOnce(&mut PodSpec)) -> Self {
        let placement = Placement::Bound(name.into());
        self.0.pods.push(Arc::new(pod(placement, change)));
        self
    }

    /// Each node with what forbids it such a pod.
    fn judge(&self, change: impl FnOnce(&mut PodSpec)) -> Vec<(&str, Vec<Predicate>)> {
        let pod = pod(Placement::Waiting, change);
        let judged = places(&self.0, &pod);
        judged.into_iter().map(|(name, forbidding)| (name.as_str(), forbidding)).collect()
    }

    /// The nodes that take such a pod.
    fn takes(&self, change: impl FnOnce(&mut PodSpec)) -> Vec<&str> {
        let open = self.judge(change).into_iter().filter(|(_, forbidding)| forbidding.is_empty());
        open.map(|(name, _)| name).collect()
    }
}

fn node(name: &str, zone: Option<(&str, &str)>) -> Node {
    let mut own = labels(&[(HOST, name)]);
    own.extend(zone.map(|(key, zone)| (key.to_owned(), zone.to_owned())));
    Node {
        at: NodeRef { name: name.into(), uid: name.into() },
        worker: None,
        pool: None,
        provider_id: None,
        control_plane: false,
        created: Timestamp::UNIX_EPOCH,
        readiness: Readiness::Ready,
        cordon: Cordon::None,
        kept: None,
        allocatable: Resources::new(4_000, 8 << 30).with_pods(10),
        labels: own,
        taints: Vec::new(),
        zone: zone.map(|(_, zone)| zone.into()),
    }
}

/// A pod `app=web` in the namespace `shop`.
fn pod(placement: Placement, change: impl FnOnce(&mut PodSpec)) -> Pod {
    let mut spec = PodSpec {
        namespace: "shop".to_owned(),
        labels: labels(&[("app", "web")]),
        requests: Resources::new(100, 1 << 20).with_pods(1),
        ..PodSpec::default()
    };
    change(&mut spec);
    Pod {
        uid: "pod".into(),
        name: "pod".to_owned(),
        created: Timestamp::UNIX_EPOCH,
        placement,
        spec: Arc::new(spec),
        kind: PodKind::Normal,
        pins: Vec::new(),
        essential: None,
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn has(key: &str, value: &str) -> Requirement {
    Requirement { key: key.to_owned(), is: Is::In(vec![value.to_owned()]) }
}

fn in_zone(zone: &str) -> Vec<NodeTerm> {
    vec![NodeTerm { labels: vec![has(ZONE, zone)], name: Vec::new() }]
}

/// Pods with this `app` in the namespace `shop`.
fn beside(app: &str, topology_key: &str) -> PodTerm {
    PodTerm {
        selector: Some(Selector(vec![has("app", app)])),
        namespaces: vec!["shop".to_owned()],
        namespace_selector: None,
        topology_key: topology_key.to_owned(),
    }
}

fn evenly(topology_key: &str) -> Spread {
    Spread {
        selector: Some(Selector(vec![has("app", "web")])),
        topology_key: topology_key.to_owned(),
        max_skew: 1,
        min_domains: None,
        honors_affinity: true,
        honors_taints: false,
    }
}

fn taint(effect: Effect) -> Taint {
    Taint { key: "team".to_owned(), value: "red".to_owned(), effect }
}

fn port(port: u16) -> HostPort {
    HostPort { ip: "0.0.0.0".to_owned(), protocol: "TCP".to_owned(), port }
}

fn app(name: &str) -> Labels {
    labels(&[("app", name)])
}

/// One node, what is asked of it, and what forbids it.
type Case = (fn(Cluster) -> Cluster, fn(&mut PodSpec), Option<Predicate>);

const ALONE: [Case; 28] = [
    (|c| c, |_| (), None),
    (|c| c.change("n", |n| n.cordon = Cordon::Foreign), |_| (), Some(Predicate::Closed)),
    (|c| c.change("n", |n| n.cordon = Cordon::Ours), |_| (), Some(Predicate::Closed)),
    (|c| c.change("n", |n| n.readiness = NOT_READY), |_| (), Some(Predicate::Closed)),
    (|c| c, |p| p.node_selector = labels(&[(ZONE, "a")]), None),
    (|c| c, |p| p.node_selector = labels(&[(ZONE, "b")]), Some(Predicate::NodeSelector)),
    (|c| c, |p| p.node_affinity = Some(in_zone("a")), None),
    (|c| c, |p| p.node_affinity = Some(in_zone("b")), Some(Predicate::NodeAffinity)),
    (|c| c, |p| p.node_affinity = Some(Vec::new()), Some(Predicate::NodeAffinity)),
    (tainted, |_| (), Some(Predicate::Taints)),
    (tainted, |p| p.tolerations.push(anything()), None),
    (tainted, |p| p.tolerations.push(another()), Some(Predicate::Taints)),
    (avoided, |_| (), None),
    (|c| c, |p| p.volumes = vec![VolumeNeed::On(in_zone("a"))], None),
    (|c| c, |p| p.volumes = vec![VolumeNeed::On(in_zone("b"))], Some(Predicate::Volumes)),
    (|c| c, |p| p.volumes = vec![VolumeNeed::Nowhere("why".into())], Some(Predicate::Volumes)),
    (|c| c, |p| p.volumes = vec![one_of(&["a"])], None),
    (|c| c, |p| p.volumes = vec![one_of(&["a"]), one_of(&["a"])], Some(Predicate::Volumes)),
    (|c| c, |p| p.volumes = vec![one_of(&["a"]), one_of(&["a", "b"])], None),
    (half_full, |p| p.requests.cpu_milli = 2_000, None),
    (half_full, |p| p.requests.cpu_milli = 2_001, Some(Predicate::Cpu)),
    (half_full, |p| p.requests.memory = (4 << 30) + 1, Some(Predicate::Memory)),
    (half_full, |p| p.requests.pods = 6, Some(Predicate::PodCount)),
    (half_full, |p| _ = p.requests.extended.insert("gpu".into(), 1), None),
    (half_full, |p| _ = p.requests.extended.insert("gpu".into(), 2), Some(Predicate::Extended)),
    (half_full, |p| _ = p.requests.extended.insert("tpu".into(), 1), Some(Predicate::Extended)),
    (half_full, |p| p.host_ports = vec![port(80)], Some(Predicate::HostPorts)),
    (half_full, |p| p.host_ports = vec![port(81)], None),
];

const NOT_READY: Readiness = Readiness::NotReady { since: Timestamp::UNIX_EPOCH };

fn tainted(cluster: Cluster) -> Cluster {
    cluster.change("n", |node| node.taints.push(taint(Effect::NoSchedule)))
}

fn avoided(cluster: Cluster) -> Cluster {
    cluster.change("n", |node| node.taints.push(taint(Effect::PreferNoSchedule)))
}

fn half_full(cluster: Cluster) -> Cluster {
    let cluster = cluster.change("n", |node| {
        node.allocatable.extended.insert("gpu".to_owned(), 2);
    });
    cluster.with("n", |pod| {
        pod.requests = Resources::new(2_000, 4 << 30).with_pods(5);
        pod.requests.extended.insert("gpu".to_owned(), 1);
        pod.host_ports = vec![port(80)];
    })
}

fn anything() -> Toleration {
    Toleration { key: String::new(), value: None, effect: None }
}

fn another() -> Toleration {
    Toleration { key: "another".to_owned(), ..anything() }
}

fn one_of(volumes: &[&str]) -> VolumeNeed {
    let volume = |name: &&str| FreeVolume { name: (*name).to_owned(), on: None };
    VolumeNeed::OneOf(volumes.iter().map(volume).collect())
}

#[test]
fn each_predicate_forbids_what_it_is_for_and_nothing_else() {
    for (number, (prepare, ask, forbidding)) in ALONE.into_iter().enumerate() {
        let cluster = prepare(Cluster::of(&[("n", "a")]));
        let expected = vec![("n", forbidding.into_iter().collect::<Vec<_>>())];
        assert_eq!(cluster.judge(ask), expected, "case {number}");
    }
}

#[test]
fn a_free_volume_is_used_only_where_it_is() {
    let cluster = Cluster::of(&[("n", "a"), ("m", "b")]);
    let local = |zone: &str| FreeVolume { name: zone.to_owned(), on: Some(in_zone(zone)) };
    let need = VolumeNeed::OneOf(vec![local("b")]);
    assert_eq!(cluster.takes(|pod| pod.volumes = vec![need]), ["m"]);
    let either = VolumeNeed::OneOf(vec![local("a"), local("b")]);
    assert_eq!(cluster.takes(|pod| pod.volumes = vec![either]), ["n", "m"]);
}

#[test]
fn a_pod_is_kept_off_the_whole_place_of_a_pod_that_it_must_not_be_beside() {
    let cluster = Cluster::of(&[("n1", "a"), ("n2", "a"), ("n3", "b"), ("n4", "")]);
    let cluster = cluster.with("n1", |pod| pod.labels = app("db"));
    let by = |key: &'static str| {
        move |pod: &mut PodSpec| pod.pod_anti_affinity = vec![beside("db", key)]
    };
    assert_eq!(cluster.takes(by(HOST)), ["n2", "n3", "n4"]);
    assert_eq!(cluster.takes(by(ZONE)), ["n3", "n4"], "a node in no zone is beside nobody");
    let judged = cluster.judge(by(ZONE));
    assert_eq!(judged[0], ("n1", vec![Predicate::AntiAffinity]));
}

#[test]
fn a_pod_is_kept_off_the_place_of_a_pod_that_must_not_be_beside_it() {
    let cluster = Cluster::of(&[("n1", "a"), ("n2", "a"), ("n3", "b")]);
    let cluster = cluster.with("n1", |pod| {
        pod.labels = app("db");
        pod.pod_anti_affinity = vec![beside("web", ZONE)];
    });
    let judged = cluster.judge(|_| ());
    assert_eq!(judged[1], ("n2", vec![Predicate::AntiAffinityOfOthers]));
    assert_eq!(cluster.takes(|_| ()), ["n3"]);
    assert_eq!(cluster.takes(|pod| pod.labels = app("db")).len(), 3, "others it does not mind");
    assert_eq!(cluster.takes(|pod| pod.namespace = "bank".to_owned()).len(), 3);
}

#[test]
fn a_pod_goes_only_beside_those_it_must_be_beside() {
    let cluster = Cluster::of(&[("n1", "a"), ("n2", "a"), ("n3", "b")]);
    let cluster = cluster.with("n1", |pod| pod.labels = app("db"));
    let by =
        |key: &'static str| move |pod: &mut PodSpec| pod.pod_affinity = vec![beside("db", key)];
    assert_eq!(cluster.takes(by(HOST)), ["n1"]);
    assert_eq!(cluster.takes(by(ZONE)), ["n1", "n2"]);
    assert_eq!(cluster.judge(by(ZONE))[2], ("n3", vec![Predicate::PodAffinity]));
}

#[test]
fn of_pods_to_be_beside_only_those_count_that_all_terms_mean() {
    let cluster = Cluster::of(&[("n1", "a"), ("n2", "b")]);
    let cluster = cluster
        .with("n1", |pod| pod.labels = app("db"))
        .with("n2", |pod| pod.labels = labels(&[("app", "db"), ("tier", "back")]));
    let back =
        PodTerm { selector: Some(Selector(vec![has("tier", "back")])), ..beside("db", ZONE) };
    let both = vec![beside("db", ZONE), back];
    assert_eq!(cluster.takes(|pod| pod.pod_affinity = both), ["n2"]);
}

#[test]
fn a_pod_must_be_beside_others_by_every_term() {
    let both = |name: &'static str| {
        move |pod: &mut PodSpec| pod.pod_affinity = vec![beside(name, HOST), beside(name, ZONE)]
    };
    let cluster = Cluster::of(&[("n1", "a"), ("n2", "a"), ("n3", "")]);
    assert_eq!(cluster.takes(both("web")), ["n1", "n2"], "n3 lacks a label");
    let cluster = cluster.with("n1", |pod| pod.labels = app("db"));
    assert_eq!(cluster.takes(both("db")), ["n1"], "n2 is beside it by the zone alone");
}

#[test]
fn the_first_of_a_series_may_be_anywhere_that_has_the_label() {
    let cluster = Cluster::of(&[("n1", "a"), ("n2", "")]);
    let series = |pod: &mut PodSpec| pod.pod_affinity = vec![beside("web", ZONE)];
    assert_eq!(cluster.takes(series), ["n1"]);
    let stranger = |pod: &mut PodSpec| pod.pod_affinity = vec![beside("db", ZONE)];
    assert!(cluster.takes(stranger).is_empty(), "it waits for a pod that is not one of its own");
    let second = Cluster::of(&[("n1", "a"), ("n2", "b")]).with("n2", |_| ());
    assert_eq!(second.takes(series), ["n2"]);
}

#[test]
fn terms_mean_pods_of_the_namespaces_that_they_name_or_select() {
    let cluster = Cluster::of(&[("n1", "a"), ("n2", "b")]);
    let cluster = cluster.with("n1", |pod| pod.namespace = "bank".to_owned());
    let of = |namespaces: &[&str], team: Option<&str>| {
        let selector = team.map(|team| Selector(vec![has("team", team)]));
        let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
        PodTerm { namespaces, namespace_selector: selector, ..beside("web", ZONE) }
    };
    let kept = |term| cluster.takes(|pod| pod.pod_anti_affinity = vec![term]).len();
    assert_eq!(kept(of(&["shop"], None)), 2);
    assert_eq!(kept(of(&["bank"], None)), 1);
    assert_eq!(kept(of(&[], Some("b"))), 1);
    assert_eq!(kept(of(&[], Some("a"))), 2);
}

#[test]
fn no_place_may_have_more_than_the_skew_above_the_emptiest() {
    let cluster = Cluster::of(&[("n1", "a"), ("n2", "b"), ("n3", "b"), ("n4", "")]);
    let cluster = cluster.with("n2", |_| ());
    let spread = |change: fn(&mut Spread)| {
        let mut spread = evenly(ZONE);
        change(&mut spread);
        move |pod: &mut PodSpec| pod.topology_spread = vec![spread]
    };
    assert_eq!(cluster.takes(spread(|_| ())), ["n1"]);
    assert_eq!(cluster.judge(spread(|_| ()))[2], ("n3", vec![Predicate::TopologySpread]));
    assert_eq!(cluster.takes(spread(|spread| spread.max_skew = 2)), ["n1", "n2", "n3"]);
    let of_others = |spread: &mut Spread| spread.selector = Some(Selector(vec![has("app", "db")]));
    assert_eq!(cluster.takes(spread(of_others)), ["n1", "n2", "n3"], "it counts no web");
    let full = cluster.with("n1", |_| ());
    assert_eq!(full.takes(spread(|_| ())), ["n1", "n2", "n3"]);
    assert!(full.takes(spread(|spread| spread.min_domains = Some(3))).is_empty());
    assert_eq!(full.takes(spread(|spread| spread.min_domains = Some(2))).len(), 3);
    let other = full.takes(|pod| {
        pod.namespace = "bank".to_owned();
        pod.topology_spread = vec![evenly(ZONE)];
    });
    assert_eq!(other.len(), 3, "only its own namespace counts");
}

#[test]
fn only_nodes_that_count_make_a_place_the_emptiest() {
    let three = || {
        let cluster = Cluster::of(&[("n1", "a"), ("n2", "b"), ("n3", "c")]);
        cluster.with("n1", |_| ()).with("n2", |_| ())
    };
    let spread = |honors_affinity, honors_taints, not_c| {
        move |pod: &mut PodSpec| {
            pod.topology_spread = vec![Spread { honors_affinity, honors_taints, ..evenly(ZONE) }];
            let is = Is::NotIn(vec!["c".to_owned()]);
            let term = NodeTerm {
                labels: vec![Requirement { key: ZONE.to_owned(), is }],
                name: Vec::new(),
            };
            pod.node_affinity = Some(vec![term]).filter(|_| not_c);
        }
    };
    assert_eq!(three().takes(spread(true, false, false)), ["n3"]);
    assert_eq!(three().takes(spread(true, false, true)), ["n1", "n2"]);
    assert!(three().takes(spread(false, false, true)).is_empty(), "c is empty, and counts");
    let tainted = || three().change("n3", |node| node.taints.push(taint(Effect::NoSchedule)));
    assert!(tainted().takes(spread(true, false, false)).is_empty());
    assert_eq!(tainted().takes(spread(true, true, false)), ["n1", "n2"]);
    assert_eq!(three().takes(spread(true, true, false)), ["n3"]);
    for cordon in [Cordon::Ours, Cordon::Foreign] {
        let cordoned = three().change("n3", |node| node.cordon = cordon);
        assert!(cordoned.takes(spread(true, false, false)).is_empty());
        assert_eq!(cordoned.takes(spread(true, true, false)), ["n1", "n2"], "it is a taint");
    }
}

#[test]
fn a_node_without_all_the_labels_of_a_pods_constraints_counts_for_none() {
    let cluster = Cluster::of(&[("n1", "a"), ("n2", "b")]).with("n1", |_| ());
    let cluster = cluster.change("n2", |node| _ = node.labels.remove(HOST));
    let both = |pod: &mut PodSpec| pod.topology_spread = vec![evenly(ZONE), evenly(HOST)];
    assert_eq!(cluster.takes(both), ["n1"], "b is no place, so a is the emptiest");
}

#[test]
fn pods_on_a_node_that_does_not_count_are_not_counted_in_its_place() {
    let two = || Cluster::of(&[("n1", "a"), ("n2", "b"), ("n3", "b")]).with("n2", |_| ());
    let both = |pod: &mut PodSpec| pod.topology_spread = vec![evenly(ZONE), evenly(HOST)];
    assert_eq!(two().takes(both), ["n1"]);
    let unlabelled = two().change("n2", |node| _ = node.labels.remove(HOST));
    assert_eq!(unlabelled.takes(both), ["n1", "n3"]);
    let honest = |pod: &mut PodSpec| {
        pod.topology_spread = vec![Spread { honors_taints: true, ..evenly(ZONE) }];
    };
    assert_eq!(two().takes(honest), ["n1"]);
    let tainted = two().change("n2", |node| node.taints.push(taint(Effect::NoSchedule)));
    assert_eq!(tainted.takes(honest), ["n1", "n3"]);
}

#[test]
fn pods_on_a_closed_node_still_count() {
    let cluster = Cluster::of(&[("n1", "a"), ("n2", "b")]);
    let cluster = cluster
        .with("n1", |pod| pod.labels = app("db"))
        .change("n1", |node| node.cordon = Cordon::Foreign);
    assert!(cluster.takes(|pod| pod.pod_affinity = vec![beside("db", HOST)]).is_empty());
    let cluster = cluster.with("n2", |_| ());
    assert!(cluster.takes(|pod| pod.topology_spread = vec![evenly(ZONE)]).is_empty());
}
