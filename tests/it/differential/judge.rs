//! What our rules say of a pod, and whether the scheduler says the same.

use super::stage::Verdict;
use bellwether::model::{ClusterView, Cordon, Effect, Node, Pod, PodSpec, Taint};
use bellwether::policy::{self, Predicate};
use std::collections::BTreeMap;

/// Why the scheduler does something else than we say, and may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Explanation {
    /// It takes a cordon for one more taint, which a pod may bear. A node that somebody is about to empty is no room
    /// to us, whoever could go there.
    BearsTheCordon,
    /// It does not look at whether a node is Ready, but at the taint that a controller sets because of that, which a
    /// pod may bear. A node that does not answer is no room to us, whoever could go there.
    BearsSilence,
}

impl Explanation {
    pub(super) const ALL: [Self; 2] = [Self::BearsTheCordon, Self::BearsSilence];

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::BearsTheCordon => {
                "the pod bears the taint of a cordon; we count no room on a cordoned node"
            }
            Self::BearsSilence => {
                "the pod bears the taints of a node that is not Ready; we count no room there"
            }
        }
    }

    /// Whether this node is open to the pod, for who thinks so.
    fn opens(self, node: &Node, spec: &PodSpec) -> bool {
        let bears = |key: &str| {
            let taint =
                Taint { key: key.to_owned(), value: String::new(), effect: Effect::NoSchedule };
            spec.tolerations.iter().any(|toleration| toleration.covers(&taint))
        };
        let is_borne = match node.cordon {
            Cordon::None => true,
            Cordon::Foreign => bears("node.kubernetes.io/unschedulable"),
            Cordon::Ours => {
                bears("node.kubernetes.io/unschedulable") && bears("bellwether.dev/draining")
            }
        };
        match self {
            Self::BearsTheCordon => node.is_ready() && is_borne,
            // The taints that tell of it are judged as all others.
            Self::BearsSilence => is_borne,
        }
    }
}

/// What we say: of each node, all that forbids it.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) nodes: BTreeMap<String, Vec<Predicate>>,
    /// The nodes whose being closed has an explanation.
    explained: BTreeMap<String, Explanation>,
}

impl Answer {
    pub(super) fn of(view: &ClusterView, pod: &Pod) -> Self {
        let places = policy::places(view, pod);
        let nodes = places.into_iter().map(|(name, forbidden)| (name.to_string(), forbidden));
        let explain = |node: &Node| {
            let mut all = Explanation::ALL.into_iter();
            let explanation = all.find(|explanation| explanation.opens(node, &pod.spec))?;
            Some((node.at.name.to_string(), explanation))
        };
        Self { nodes: nodes.collect(), explained: view.nodes().filter_map(explain).collect() }
    }

    /// The node it would be on: of those that only what is ignored forbids, the one it likes most.
    fn choice<'o>(
        &self,
        order: &'o [String],
        ignored: impl Fn(&str, Predicate) -> bool,
    ) -> Option<&'o str> {
        let is_open = |name: &&str| {
            self.nodes
                .get(*name)
                .is_some_and(|forbidden| forbidden.iter().all(|it| ignored(name, *it)))
        };
        order.iter().map(String::as_str).find(is_open)
    }

    pub(super) fn agrees(&self, order: &[String], verdict: &Verdict) -> bool {
        self.choice(order, |_, _| false) == verdict.node()
    }

    /// Whether we would say something else if one of the predicates were not there.
    pub(super) fn would_differ_without(
        &self,
        predicate: Predicate,
        order: &[String],
        verdict: &Verdict,
    ) -> bool {
        self.choice(order, |_, it| it == predicate) != verdict.node()
    }

    /// Whether nothing but this predicate keeps an unschedulable pod off some node.
    pub(super) fn is_decided_by(&self, predicate: Predicate, verdict: &Verdict) -> bool {
        let is_it = |forbidden: &Vec<Predicate>| *forbidden == [predicate];
        verdict.node().is_none() && self.nodes.values().any(is_it)
    }

    /// How many predicates forbid some node.
    pub(super) fn at_work(&self) -> usize {
        let forbids =
            |predicate: &&Predicate| self.nodes.values().any(|all| all.contains(predicate));
        Predicate::ALL.iter().filter(forbids).count()
    }

    /// Why the scheduler says something else, where that is known: without it we agree.
    pub(super) fn explanation(&self, order: &[String], verdict: &Verdict) -> Option<Explanation> {
        let ignored = |name: &str, predicate| {
            predicate == Predicate::Closed && self.explained.contains_key(name)
        };
        let node = verdict.node()?;
        (self.choice(order, ignored) == Some(node)).then(|| self.explained.get(node).copied())?
    }
}

impl Verdict {
    pub(super) fn node(&self) -> Option<&str> {
        match self {
            Self::Bound(node) => Some(node),
            Self::Unschedulable(_) => None,
        }
    }
}
