//! A Prometheus: the shipped rules as plain conditions of the world, in their own words in `rules/`.

use crate::happening::{RuleEdit, Says};
use bellwether::model::{ClusterView, Cordon, Placement, PodKind, duration};
use bellwether::sim::World;
use bellwether::sim::alertmanager::Posted;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often what fires is sent again, and how long one sending holds.
const RESEND: Duration = Duration::from_mins(1);
const HOLDS: Duration = Duration::from_mins(4);

/// How long a resolved alert is sent.
const RESOLVED_FOR: Duration = Duration::from_mins(15);

/// A rule as a condition.
struct Rule {
    name: &'static str,
    labels: &'static [(&'static str, &'static str)],
    /// The size it wants, as PromQL; or none.
    want: Option<&'static str>,
    lasts: Duration,
    holds: fn(&Metrics) -> bool,
}

const RULES: [Rule; 7] = [
    Rule {
        name: "Watchdog",
        labels: &[("autoscale", "watchdog")],
        want: None,
        lasts: Duration::ZERO,
        holds: |_| true,
    },
    Rule {
        name: "PodsPending",
        labels: &[("autoscale", "up"), ("pool", "workers")],
        want: None,
        lasts: Duration::from_secs(10),
        holds: |seen| seen.pending,
    },
    Rule {
        name: "BatchPending",
        labels: &[("autoscale", "up"), ("pool", "batch")],
        want: None,
        lasts: Duration::from_secs(10),
        holds: |seen| seen.batch_pending,
    },
    Rule {
        name: "CPUHigh",
        labels: &[("autoscale", "up"), ("pool", "workers"), ("step", "1")],
        want: None,
        lasts: Duration::from_mins(2),
        holds: |seen| seen.cpu > 0.7,
    },
    Rule {
        name: "SustainedIdle",
        labels: &[("autoscale", "down"), ("pool", "workers")],
        want: None,
        lasts: Duration::from_mins(10),
        holds: |seen| seen.cpu < 0.3 && !seen.pending,
    },
    Rule {
        name: "BatchIdle",
        labels: &[("autoscale", "down"), ("pool", "batch")],
        want: None,
        lasts: Duration::from_mins(10),
        holds: |seen| !seen.batch_pending && !seen.batch_runs,
    },
    Rule {
        name: "Forecast",
        labels: &[("autoscale", "up"), ("pool", "workers")],
        want: Some(WANTED),
        lasts: Duration::from_mins(1),
        holds: |seen| seen.forecasts > 0,
    },
];

/// What the forecast's rule has as its query.
const WANTED: &str = "wanted";

/// The one rule about single nodes: it has a series for each.
const SICK: Rule = Rule {
    name: "NodeSick",
    labels: &[("autoscale", "replace")],
    want: None,
    lasts: Duration::from_mins(1),
    holds: |_| true,
};

/// Names of rules that somebody may edit.
pub(crate) const EDITED: [&str; 4] = ["PodsPending", "CPUHigh", "SustainedIdle", "Watchdog"];

/// What the rules read.
pub(crate) struct Metrics {
    pending: bool,
    batch_pending: bool,
    batch_runs: bool,
    /// Share of the workers' cores that is busy.
    cpu: f64,
    /// Nodes that are not well, each with its pool.
    sick: BTreeSet<(String, String)>,
    /// How many forecasts want some size.
    pub(crate) forecasts: usize,
}

/// Which nodes are not well, as far as they are there.
#[derive(Debug, Default)]
pub(crate) struct Sick {
    /// By name, and by the number of what made them so.
    pub(crate) named: Vec<(usize, String)>,
    /// Whatever it is, it befalls every node: so many times over.
    pub(crate) every: usize,
}

/// One rule's state.
#[derive(Clone, Debug, Default)]
struct Standing {
    active_since: Option<Timestamp>,
    fires_since: Option<Timestamp>,
    resolved_at: Option<Timestamp>,
    sent: Option<Timestamp>,
}

/// One of them. Two have the same rules, and begin to see the same thing at different times.
#[derive(Debug)]
pub(crate) struct Prometheus {
    rules: Vec<Standing>,
    /// What the rule about single nodes says of each, by name and pool.
    nodes: BTreeMap<(String, String), Standing>,
    edits: Vec<(&'static str, RuleEdit)>,
    is_up: bool,
    /// Whether it sees none of its targets.
    pub(crate) is_blind: bool,
    /// What it says of the guard while that does not hold.
    pub(crate) guard: Vec<Says>,
}

impl Prometheus {
    pub(crate) fn new() -> Self {
        let rules = vec![Standing::default(); RULES.len()];
        Self {
            rules,
            nodes: BTreeMap::new(),
            edits: Vec::new(),
            is_up: true,
            is_blind: false,
            guard: Vec::new(),
        }
    }

    pub(crate) fn stop(&mut self) {
        self.is_up = false;
    }

    /// It forgets what was pending when it starts.
    pub(crate) fn start(&mut self) {
        self.is_up = true;
        self.rules = vec![Standing::default(); RULES.len()];
        self.nodes.clear();
    }

    /// Whether it can be asked.
    pub(crate) fn is_well(&self) -> bool {
        self.is_up && !self.is_blind
    }

    /// What it answers to the guard.
    pub(crate) fn says(&self) -> Option<Says> {
        if !self.is_well() || self.guard.contains(&Says::Unknown) {
            return Some(Says::Unknown);
        }
        self.guard.first().copied()
    }

    /// Its rules are read anew. A rule that is another one now begins from nothing, and what it had sent is not
    /// resolved but runs out.
    pub(crate) fn edit(&mut self, rule: &'static str, edit: RuleEdit) {
        self.edits.push((rule, edit));
        self.forget(rule);
    }

    pub(crate) fn take_back(&mut self, rule: &'static str, edit: RuleEdit) {
        if let Some(at) = self.edits.iter().position(|one| *one == (rule, edit)) {
            self.edits.remove(at);
        }
        self.forget(rule);
    }

    fn forget(&mut self, name: &str) {
        for (rule, standing) in RULES.iter().zip(&mut self.rules) {
            if rule.name == name {
                *standing = Standing::default();
            }
        }
    }

    /// One evaluation, and what it sends.
    pub(crate) fn evaluate(&mut self, seen: &Metrics, now: Timestamp) -> Vec<Posted> {
        if !self.is_up {
            return Vec::new();
        }
        let mut posted = Vec::new();
        for (rule, standing) in RULES.iter().zip(&mut self.rules) {
            let edited = self.edits.iter().rev().find(|(name, _)| *name == rule.name);
            let edit = edited.map(|(_, edit)| *edit);
            let holds = rule.name == "Watchdog" || (!self.is_blind && (rule.holds)(seen));
            if edit != Some(RuleEdit::Gone) {
                posted.extend(standing.evaluate(rule, edit, holds, now));
            }
        }
        posted.extend(self.evaluate_nodes(seen, now));
        posted
    }

    fn evaluate_nodes(&mut self, seen: &Metrics, now: Timestamp) -> Vec<Posted> {
        for node in &seen.sick {
            self.nodes.entry(node.clone()).or_default();
        }
        let mut posted = Vec::new();
        for (node, standing) in &mut self.nodes {
            let holds = !self.is_blind && seen.sick.contains(node);
            posted.extend(standing.evaluate(&SICK, None, holds, now).map(|mut alert| {
                let (name, pool) = node.clone();
                alert.labels.extend([("node".to_owned(), name), ("pool".to_owned(), pool)]);
                alert
            }));
        }
        self.nodes.retain(|_, it| it.active_since.is_some() || it.fires_since.is_some());
        posted
    }
}

impl Metrics {
    /// What there is to see. `usage`: what each workload uses of what it asks for; `sick`: which nodes are not well.
    #[expect(clippy::cast_precision_loss, reason = "shares of cores")]
    pub(crate) fn of(world: &World, usage: &BTreeMap<String, f64>, sick: &Sick) -> Self {
        let view = world.view();
        let waits = |name: &str| {
            view.pods.iter().any(|pod| {
                pod.name.starts_with(name)
                    && matches!(pod.placement, Placement::Unschedulable { .. })
            })
        };
        let nodes = view.nodes.iter().filter(|node| {
            !node.control_plane && node.is_ready() && node.cordon != Cordon::Foreign
        });
        let cores: u64 = nodes.map(|node| node.allocatable.cpu_milli).sum();
        let runs =
            view.pods.iter().filter(|pod| pod.node().is_some() && pod.kind == PodKind::Normal);
        let busy = runs.map(|pod| {
            let workload = pod.name.split('-').next().unwrap_or_default();
            usage.get(workload).copied().unwrap_or(0.5) * pod.spec.requests.cpu_milli as f64
        });
        Self {
            pending: waits("web"),
            batch_pending: waits("batch"),
            batch_runs: view.pods.iter().any(|pod| pod.name.starts_with("batch")),
            cpu: if cores == 0 { 0.5 } else { busy.sum::<f64>() / cores as f64 },
            sick: sick.among(&view),
            forecasts: 0,
        }
    }
}

impl Sick {
    fn among(&self, view: &ClusterView) -> BTreeSet<(String, String)> {
        let is_sick = |name: &str| self.every > 0 || self.named.iter().any(|(_, one)| one == name);
        let sick = view.nodes().filter(|node| is_sick(node.at.name.as_str()));
        sick.filter_map(|node| Some((node.at.name.to_string(), node.pool.as_ref()?.to_string())))
            .collect()
    }
}

impl Standing {
    /// What is sent of this rule now.
    fn evaluate(
        &mut self,
        rule: &Rule,
        edit: Option<RuleEdit>,
        holds: bool,
        now: Timestamp,
    ) -> Option<Posted> {
        let lasts = if edit == Some(RuleEdit::Slow) { rule.lasts * 3 } else { rule.lasts };
        if holds {
            let active = *self.active_since.get_or_insert(now);
            if duration::since(active, now) >= lasts && self.fires_since.is_none() {
                (self.fires_since, self.resolved_at, self.sent) = (Some(now), None, None);
            }
        } else {
            self.active_since = None;
            if self.fires_since.is_some() && self.resolved_at.is_none() {
                (self.resolved_at, self.sent) = (Some(now), None);
            }
        }
        let starts = self.fires_since?;
        if self.resolved_at.is_some_and(|at| duration::since(at, now) > RESOLVED_FOR) {
            *self = Self { active_since: self.active_since, ..Self::default() };
            return None;
        }
        if self.sent.is_some_and(|at| duration::since(at, now) < RESEND) {
            return None;
        }
        self.sent = Some(now);
        let ends = self.resolved_at.unwrap_or_else(|| duration::after(now, HOLDS));
        Some(Posted {
            labels: labels(rule, edit),
            annotations: rule
                .want
                .map(|query| ("want_query".to_owned(), query.to_owned()))
                .into_iter()
                .collect(),
            starts_at: Some(starts),
            ends_at: Some(ends),
            generator_url: "http://prometheus/graph".to_owned(),
        })
    }
}

fn labels(rule: &Rule, edit: Option<RuleEdit>) -> BTreeMap<String, String> {
    let own = rule.labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut labels: BTreeMap<String, String> = own.collect();
    labels.insert("alertname".to_owned(), rule.name.to_owned());
    labels.insert("cluster".to_owned(), "default".to_owned());
    if edit == Some(RuleEdit::Misspelt) {
        labels.insert("pool".to_owned(), "wrokers".to_owned());
    }
    labels
}
