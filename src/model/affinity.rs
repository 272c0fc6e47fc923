//! What pods ask of the places and of the pods around them, in the words of Kubernetes, and what each of
//! these words means. Source: the API reference of the core group, and kube-scheduler where it is silent.

use super::NodeName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Labels of a node, a pod or a namespace.
pub type Labels = BTreeMap<String, String>;

/// One thing that is asked of labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Requirement {
    /// The label's name.
    pub key: String,
    /// What its value must be.
    pub is: Is,
}

/// What a label's value must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Is {
    /// One of these.
    In(Vec<String>),
    /// None of these; a label that is not there is none of them.
    NotIn(Vec<String>),
    /// There, whatever it is.
    There,
    /// Not there.
    Absent,
    /// A whole number above this one.
    Above(i64),
    /// A whole number below this one.
    Below(i64),
    /// What no label can be: it was asked in words that are not known.
    Never,
}

/// A choice of objects by their labels: all of what is asked must hold, so nothing asked is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Selector(pub Vec<Requirement>);

/// Nodes by their labels and names. One that asks nothing is no node at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeTerm {
    /// What is asked of their labels.
    pub labels: Vec<Requirement>,
    /// What is asked of their name, each time.
    pub name: Vec<Is>,
}

/// Pods that another pod must be beside, or must not be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodTerm {
    /// Which pods. `None` is no pod at all.
    pub selector: Option<Selector>,
    /// In which namespaces, besides those that are selected.
    pub namespaces: Vec<String>,
    /// In the namespaces with these labels, too.
    pub namespace_selector: Option<Selector>,
    /// Nodes with the same value of this label count as one place; one without it is none.
    pub topology_key: String,
}

/// How evenly pods must be spread. Only what must be: a preference decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Spread {
    /// Which pods of the same namespace are counted. `None` is no pod at all.
    pub selector: Option<Selector>,
    /// Nodes with the same value of this label count as one place; one without it takes no such pod.
    pub topology_key: String,
    /// By how many pods the fullest place may be ahead of the emptiest. At least 1.
    pub max_skew: u32,
    /// With fewer places than this, the emptiest counts as empty.
    pub min_domains: Option<u32>,
    /// Whether only nodes that the pod's own selector and affinity admit are places. Kubernetes' default is yes.
    pub honors_affinity: bool,
    /// Whether only nodes whose taints the pod bears are places. Kubernetes' default is no.
    pub honors_taints: bool,
}

/// A port of the node itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostPort {
    /// On this address; `0.0.0.0` is all of them.
    pub ip: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The port.
    pub port: u16,
}

/// Where a pod's volume lets it be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeNeed {
    /// It exists, or can be made, on nodes that one of these terms admits.
    On(Vec<NodeTerm>),
    /// It becomes one of these volumes that exist and are free, each on its own nodes. Two pods cannot have the same.
    OneOf(Vec<FreeVolume>),
    /// Nowhere, as it is now.
    Nowhere(String),
}

/// A volume that exists, and belongs to nobody yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FreeVolume {
    /// Its name.
    pub name: String,
    /// The nodes it can be used on; `None` is all of them.
    pub on: Option<Vec<NodeTerm>>,
}

impl Is {
    /// Whether a label's value is so; `None` is a label that is not there.
    pub fn holds(&self, value: Option<&str>) -> bool {
        let number = || value?.parse::<i64>().ok();
        match self {
            Self::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Self::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
            Self::There => value.is_some(),
            Self::Absent => value.is_none(),
            Self::Above(bound) => number().is_some_and(|number| number > *bound),
            Self::Below(bound) => number().is_some_and(|number| number < *bound),
            Self::Never => false,
        }
    }
}

impl Requirement {
    /// Whether these labels are so.
    pub fn holds(&self, labels: &Labels) -> bool {
        self.is.holds(labels.get(&self.key).map(String::as_str))
    }
}

impl Selector {
    /// Whether an object with these labels is chosen.
    pub fn chooses(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }
}

impl NodeTerm {
    /// Whether it admits a node. One that is yet to come has no name that anybody could ask for.
    pub fn admits(&self, labels: &Labels, name: Option<&NodeName>) -> bool {
        let asks = !self.labels.is_empty() || !self.name.is_empty();
        asks && self.labels.iter().all(|requirement| requirement.holds(labels))
            && self.name.iter().all(|is| is.holds(name.map(NodeName::as_str)))
    }
}

impl PodTerm {
    /// Whether it means a pod with these labels in this namespace, which has labels of its own.
    pub fn means(&self, namespace: &str, of_namespace: &Labels, pod: &Labels) -> bool {
        let there = self.namespaces.iter().any(|name| name == namespace)
            || self.namespace_selector.as_ref().is_some_and(|one| one.chooses(of_namespace));
        there && self.selector.as_ref().is_some_and(|selector| selector.chooses(pod))
    }
}

impl HostPort {
    /// Whether two pods with these cannot be on one node.
    pub fn clashes(&self, other: &Self) -> bool {
        const ALL: &str = "0.0.0.0";
        (self.port, &self.protocol) == (other.port, &other.protocol)
            && (self.ip == other.ip || self.ip == ALL || other.ip == ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn requirement(key: &str, is: Is) -> Requirement {
        Requirement { key: key.to_owned(), is }
    }

    fn values(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn each_word_means_what_kubernetes_means_by_it() {
        let table = [
            (Is::In(values(&["a", "b"])), Some("b"), true),
            (Is::In(values(&["a", "b"])), Some("c"), false),
            (Is::In(values(&["a"])), None, false),
            (Is::NotIn(values(&["a"])), Some("b"), true),
            (Is::NotIn(values(&["a"])), Some("a"), false),
            (Is::NotIn(values(&["a"])), None, true),
            (Is::There, Some(""), true),
            (Is::There, None, false),
            (Is::Absent, None, true),
            (Is::Absent, Some(""), false),
            (Is::Above(4), Some("5"), true),
            (Is::Above(4), Some("4"), false),
            (Is::Above(4), Some("many"), false),
            (Is::Above(4), None, false),
            (Is::Below(4), Some("-5"), true),
            (Is::Below(4), Some("4"), false),
            (Is::Below(4), None, false),
            (Is::Never, Some("a"), false),
            (Is::Never, None, false),
        ];
        for (is, value, holds) in table {
            assert_eq!(is.holds(value), holds, "{is:?} of {value:?}");
        }
    }

    #[test]
    fn a_selector_that_asks_nothing_chooses_everything_and_a_node_term_nothing() {
        assert!(Selector::default().chooses(&labels(&[])));
        assert!(!NodeTerm::default().admits(&labels(&[("a", "b")]), Some(&"n".into())));
    }

    #[test]
    fn all_that_is_asked_must_hold() {
        let two = vec![requirement("a", Is::There), requirement("b", Is::Absent)];
        assert!(Selector(two.clone()).chooses(&labels(&[("a", "")])));
        assert!(!Selector(two.clone()).chooses(&labels(&[("a", ""), ("b", "")])));
        assert!(!Selector(two).chooses(&labels(&[])));
    }

    #[test]
    fn a_node_that_is_yet_to_come_has_no_name_to_ask_for() {
        let named = |is| NodeTerm { labels: Vec::new(), name: vec![is] };
        let this = named(Is::In(values(&["n1"])));
        assert!(this.admits(&labels(&[]), Some(&"n1".into())));
        assert!(!this.admits(&labels(&[]), Some(&"n2".into())));
        assert!(!this.admits(&labels(&[]), None));
        assert!(named(Is::NotIn(values(&["n1"]))).admits(&labels(&[]), None));
    }

    #[test]
    fn a_pod_term_means_pods_of_named_and_of_selected_namespaces() {
        let term = |namespaces: &[&str], namespace_selector| PodTerm {
            selector: Some(Selector(vec![requirement("app", Is::There)])),
            namespaces: values(namespaces),
            namespace_selector,
            topology_key: "zone".to_owned(),
        };
        let (app, none) = (labels(&[("app", "web")]), labels(&[]));
        assert!(term(&["shop"], None).means("shop", &none, &app));
        assert!(!term(&["shop"], None).means("shop", &none, &none));
        assert!(!term(&["shop"], None).means("other", &none, &app));
        let team = Selector(vec![requirement("team", Is::There)]);
        assert!(term(&[], Some(team.clone())).means("other", &labels(&[("team", "a")]), &app));
        assert!(!term(&[], Some(team)).means("other", &none, &app));
        assert!(term(&[], Some(Selector::default())).means("other", &none, &app));
        let nobody = PodTerm { selector: None, ..term(&["shop"], None) };
        assert!(!nobody.means("shop", &none, &app));
    }

    #[test]
    fn ports_clash_on_one_address_and_on_all_of_them() {
        let port = |ip: &str, protocol: &str, port| HostPort {
            ip: ip.to_owned(),
            protocol: protocol.to_owned(),
            port,
        };
        let one = port("10.0.0.1", "TCP", 80);
        for (other, clashes) in [
            (port("10.0.0.1", "TCP", 80), true),
            (port("0.0.0.0", "TCP", 80), true),
            (port("10.0.0.2", "TCP", 80), false),
            (port("10.0.0.1", "UDP", 80), false),
            (port("10.0.0.1", "TCP", 81), false),
        ] {
            assert_eq!(one.clashes(&other), clashes, "{other:?}");
            assert_eq!(other.clashes(&one), clashes, "{other:?}");
        }
    }
}
