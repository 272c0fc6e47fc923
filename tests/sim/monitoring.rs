//! Prometheus and its Alertmanagers: the shipped rules as plain conditions of the world, and the simulated
//! Alertmanagers that deliver and pause.

use bellwether::alertmanager::{self, KnownRoutes};
use bellwether::config::AlertmanagerConfig;
use bellwether::model::{
    Cordon, Guard, Matcher, Placement, PodKind, Readiness, Silence, SilenceId, SilenceState, Truth,
    duration,
};
use bellwether::sim::World;
use bellwether::sim::alertmanager::{
    Alertmanager, Answer, Config, Delivery, Flags, NewSilence, Pair, Peer, Posted, Stop,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often rules are evaluated.
pub(crate) const EVALUATION: Duration = Duration::from_secs(15);

/// How often what fires is sent again, and how long one sending holds.
const RESEND: Duration = Duration::from_mins(1);
const HOLDS: Duration = Duration::from_mins(4);

/// How long a resolved alert is sent.
const RESOLVED_FOR: Duration = Duration::from_mins(15);

/// A rule as a condition.
struct Rule {
    name: &'static str,
    labels: &'static [(&'static str, &'static str)],
    lasts: Duration,
    holds: fn(&Metrics) -> bool,
}

/// The shipped rules, in their own words in `rules/`.
const RULES: [Rule; 6] = [
    Rule {
        name: "Watchdog",
        labels: &[("autoscale", "watchdog")],
        lasts: Duration::ZERO,
        holds: |_| true,
    },
    Rule {
        name: "PodsPending",
        labels: &[("autoscale", "up"), ("pool", "workers")],
        lasts: Duration::from_secs(10),
        holds: |seen| seen.pending,
    },
    Rule {
        name: "BatchPending",
        labels: &[("autoscale", "up"), ("pool", "batch")],
        lasts: Duration::from_secs(10),
        holds: |seen| seen.batch_pending,
    },
    Rule {
        name: "CPUHigh",
        labels: &[("autoscale", "up"), ("pool", "workers"), ("step", "1")],
        lasts: Duration::from_mins(2),
        holds: |seen| seen.cpu > 0.7,
    },
    Rule {
        name: "SustainedIdle",
        labels: &[("autoscale", "down"), ("pool", "workers")],
        lasts: Duration::from_mins(10),
        holds: |seen| seen.cpu < 0.3 && !seen.pending,
    },
    Rule {
        name: "BatchIdle",
        labels: &[("autoscale", "down"), ("pool", "batch")],
        lasts: Duration::from_mins(10),
        holds: |seen| !seen.batch_pending && !seen.batch_runs,
    },
];

/// What the rules read.
struct Metrics {
    pending: bool,
    batch_pending: bool,
    batch_runs: bool,
    /// Share of the workers' cores that is busy.
    cpu: f64,
}

/// One rule's state.
#[derive(Clone, Debug, Default)]
struct Standing {
    active_since: Option<Timestamp>,
    fires_since: Option<Timestamp>,
    resolved_at: Option<Timestamp>,
    sent: Option<Timestamp>,
}

/// One or two Alertmanagers.
#[derive(Debug)]
enum Servers {
    One(Box<Alertmanager>),
    Two(Box<Pair>),
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Monitoring {
    world: World,
    /// What each workload uses of what it asks for.
    pub(crate) usage: BTreeMap<String, f64>,
    rules: Vec<Standing>,
    pub(crate) is_up: bool,
    pub(crate) is_blind: bool,
    servers: Servers,
    config: AlertmanagerConfig,
    routes: KnownRoutes,
    silences: u64,
}

const PEERS: [Peer; 2] = [Peer::First, Peer::Second];

impl Monitoring {
    pub(crate) fn new(
        world: World,
        alertmanagers: usize,
        config: AlertmanagerConfig,
        seed: u64,
        now: Timestamp,
    ) -> Self {
        let routes = Config::parse(include_str!("../../alertmanager/alertmanager.yml")).unwrap();
        let flags = Flags { seed: Some(seed), ..Flags::default() };
        let servers = if alertmanagers == 1 {
            Servers::One(Box::new(Alertmanager::new(routes, flags, now)))
        } else {
            Servers::Two(Box::new(Pair::new(&routes, &flags, Duration::from_millis(200), now)))
        };
        Self {
            world,
            usage: BTreeMap::new(),
            rules: vec![Standing::default(); RULES.len()],
            is_up: true,
            is_blind: false,
            servers,
            config,
            routes: KnownRoutes::default(),
            silences: 0,
        }
    }

    fn peers(&self) -> &'static [Peer] {
        match &self.servers {
            Servers::One(_) => &PEERS[..1],
            Servers::Two(_) => &PEERS,
        }
    }

    fn peer(&mut self, peer: Peer) -> &mut Alertmanager {
        match &mut self.servers {
            Servers::One(server) => server,
            Servers::Two(pair) => pair.peer(peer),
        }
    }

    /// Prometheus forgets what was pending when it starts.
    pub(crate) fn start(&mut self) {
        self.is_up = true;
        self.rules = vec![Standing::default(); RULES.len()];
    }

    /// One evaluation, and what it sends.
    pub(crate) fn evaluate(&mut self, now: Timestamp) {
        if !self.is_up {
            return;
        }
        let seen = self.metrics();
        let mut posted = Vec::new();
        for (rule, standing) in RULES.iter().zip(&mut self.rules) {
            let holds = rule.name == "Watchdog" || (!self.is_blind && (rule.holds)(&seen));
            posted.extend(standing.evaluate(rule, holds, now));
        }
        if posted.is_empty() {
            return;
        }
        match &mut self.servers {
            Servers::One(server) => _ = server.post(posted, now),
            Servers::Two(pair) => {
                for peer in PEERS {
                    pair.post(peer, posted.clone(), now);
                }
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "shares of cores")]
    fn metrics(&self) -> Metrics {
        let view = self.world.view();
        let waits = |name: &str| {
            view.pods.iter().any(|pod| {
                pod.name.starts_with(name)
                    && matches!(pod.placement, Placement::Unschedulable { .. })
            })
        };
        let nodes = view.nodes.iter().filter(|node| {
            !node.control_plane
                && node.readiness == Readiness::Ready
                && node.cordon != Cordon::Foreign
        });
        let cores: u64 = nodes.map(|node| node.allocatable.cpu_milli).sum();
        let runs =
            view.pods.iter().filter(|pod| pod.node().is_some() && pod.kind == PodKind::Normal);
        let busy = runs.map(|pod| {
            let workload = pod.name.split('-').next().unwrap_or_default();
            self.usage.get(workload).copied().unwrap_or(0.5) * pod.spec.requests.cpu_milli as f64
        });
        Metrics {
            pending: waits("web"),
            batch_pending: waits("batch"),
            batch_runs: view.pods.iter().any(|pod| pod.name.starts_with("batch")),
            cpu: if cores == 0 { 0.5 } else { busy.sum::<f64>() / cores as f64 },
        }
    }

    /// When an Alertmanager has something to do next.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        match &self.servers {
            Servers::One(server) => server.next_due(),
            Servers::Two(pair) => pair.next_due(),
        }
    }

    /// What is delivered by now.
    pub(crate) fn deliveries(&mut self, now: Timestamp) -> Vec<(Peer, Delivery)> {
        match &mut self.servers {
            Servers::One(server) => {
                server.advance(now).into_iter().map(|delivery| (Peer::First, delivery)).collect()
            }
            Servers::Two(pair) => pair.advance(now),
        }
    }

    pub(crate) fn answered(&mut self, peer: Peer, id: u64, answer: Answer, now: Timestamp) {
        match &mut self.servers {
            Servers::One(server) => server.answered(id, answer, now),
            Servers::Two(pair) => pair.answered(peer, id, answer, now),
        }
    }

    /// Somebody silences a direction.
    pub(crate) fn silence(&mut self, autoscale: &str, lasts: Duration, now: Timestamp) {
        self.silences += 1;
        let silence = NewSilence {
            id: SilenceId::new(format!("silence-{}", self.silences)),
            matchers: vec![Matcher {
                name: "autoscale".to_owned(),
                value: autoscale.to_owned(),
                is_regex: autoscale.contains('*'),
                is_equal: true,
            }],
            starts: now,
            ends: duration::after(now, lasts),
            created_by: "Ada".to_owned(),
            comment: "not now".to_owned(),
        };
        match &mut self.servers {
            Servers::One(server) => _ = server.silence(silence, now),
            Servers::Two(pair) => {
                let _ = pair.silence(Peer::First, silence.clone(), now)
                    || pair.silence(Peer::Second, silence, now);
            }
        }
    }

    pub(crate) fn stop(&mut self, peer: usize, kill: bool, now: Timestamp) {
        let stop = if kill { Stop::Kill } else { Stop::Clean };
        match &mut self.servers {
            Servers::One(server) => server.stop(stop, now),
            Servers::Two(pair) => pair.stop(PEERS[peer], stop, now),
        }
    }

    pub(crate) fn start_alertmanager(&mut self, peer: usize, now: Timestamp) {
        match &mut self.servers {
            Servers::One(server) => server.start(now),
            Servers::Two(pair) => pair.start(PEERS[peer], now),
        }
    }

    /// What a process is told that asks now.
    pub(crate) fn truth(&mut self, is_answered: bool, now: Timestamp) -> Truth {
        let receiver = self.config.receiver.clone();
        let mut told = Vec::new();
        for (number, peer) in self.peers().iter().enumerate() {
            let answer = if is_answered { self.peer(*peer).told(&receiver, now) } else { None };
            told.push((
                format!("http://am-{number}"),
                answer.ok_or_else(|| "no answer".to_owned()),
            ));
        }
        alertmanager::truth(told, &self.config, &self.routes)
    }

    /// Silences that are active in an Alertmanager that runs.
    pub(crate) fn active_silences(&mut self, now: Timestamp) -> Vec<Silence> {
        let truth = self.truth(true, now);
        let all = truth.silences.into_values();
        all.filter(|silence| silence.state == SilenceState::Active).collect()
    }

    pub(crate) fn guard(&self) -> Guard {
        if !self.is_up {
            return Guard::Unknown { why: "connection refused".to_owned() };
        }
        if self.is_blind {
            return Guard::Unknown { why: "no data".to_owned() };
        }
        Guard::Holds
    }
}

impl Standing {
    /// What is sent of this rule now.
    fn evaluate(&mut self, rule: &Rule, holds: bool, now: Timestamp) -> Option<Posted> {
        if holds {
            let active = *self.active_since.get_or_insert(now);
            if duration::since(active, now) >= rule.lasts && self.fires_since.is_none() {
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
        let mut labels: BTreeMap<String, String> = rule
            .labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        labels.insert("alertname".to_owned(), rule.name.to_owned());
        labels.insert("cluster".to_owned(), "default".to_owned());
        let (labels, annotations) = (labels, BTreeMap::new());
        let generator_url = "http://prometheus/graph".to_owned();
        Some(Posted {
            labels,
            annotations,
            starts_at: Some(starts),
            ends_at: Some(ends),
            generator_url,
        })
    }
}
