//! `clusters.NAME`: one cluster.

use super::reader::Section;
use super::{AlertmanagerConfig, PoolConfig, PrometheusConfig, ProviderConfig, SimConfig, value};
use crate::model::{ClusterName, PoolName, duration};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::time::Duration;

const EXPANDERS: [(&str, Expander); 4] = [
    ("priority", Expander::Priority),
    ("price", Expander::Price),
    ("least_waste", Expander::LeastWaste),
    ("fewest", Expander::Fewest),
];

/// The longest name of a pool.
const POOL_NAME: usize = 48;

/// The words of `mode`.
pub(super) const MODES: [(&str, Mode); 2] = [("act", Mode::Act), ("dry_run", Mode::DryRun)];

/// One cluster. `policy` takes it as its `Limits`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterConfig {
    /// Its name.
    pub name: ClusterName,
    /// `kubernetes`: how to reach it.
    pub kubernetes: KubernetesConfig,
    /// `mode`: act, or only say what would be done. Default act.
    pub mode: Mode,
    /// `accept_unlabelled`: take alerts without a `cluster` label as this cluster's. Default false.
    pub accept_unlabelled: bool,
    /// `expanders`: which new worker is taken where several would do; the next decides what one leaves open.
    /// Default `priority`, `price`, `least_waste`.
    pub expanders: Vec<Expander>,
    /// `expendable_below`: pods of a lower priority are no need, and need no other place. Default -10.
    pub expendable_below: i32,
    /// `pending`: which pods without a node are need.
    pub pending: Pending,
    /// `guards`: PromQL that must hold at the moment of acting.
    pub guards: Guards,
    /// `alertmanager`, or the top-level one.
    pub alertmanager: AlertmanagerConfig,
    /// `prometheus`, or the top-level one.
    pub prometheus: PrometheusConfig,
    /// Deadlines that hold for all pools.
    pub timing: Timing,
    /// `pools`.
    pub pools: BTreeMap<PoolName, PoolConfig>,
}

/// How a cluster is reached, and what is simulated of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KubernetesConfig {
    /// The real cluster; `None` where it is simulated, too.
    pub real: Option<Kubernetes>,
    /// `sim`: simulated machines, and the cluster they are nodes of unless it is a real one.
    pub sim: SimConfig,
}

/// A real cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kubernetes {
    /// `in_cluster: true`: the one we run in, as the service account of our pod.
    InCluster,
    /// `kubeconfig`: one that a file tells of.
    File {
        /// The file.
        kubeconfig: PathBuf,
        /// `context`. Default the file's own current one.
        context: Option<String>,
    },
}

/// Whether we act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Act.
    Act,
    /// Plan, record, show, touch nothing.
    DryRun,
}

/// What is looked at to choose between new workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expander {
    /// The pool's `priority`, the highest first.
    Priority,
    /// The price for each pod it holds, the lowest first; one that is not known comes last.
    Price,
    /// The share of its CPU and memory that stays unused, the least first.
    LeastWaste,
    /// How many of the pods it holds, the most first: so the fewest workers.
    Fewest,
}

impl Expander {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Priority, Self::Price, Self::LeastWaste, Self::Fewest];

    /// Those that are asked where the file says nothing.
    pub fn usual() -> Vec<Self> {
        vec![Self::Priority, Self::Price, Self::LeastWaste]
    }
}

/// Cluster Autoscaler's own.
pub(crate) const EXPENDABLE_BELOW: i32 = -10;

/// Which pods without a node are need; all under `pending`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// `age`: younger ones are none. Default 0 s.
    pub age: Duration,
    /// `predict`: need not wait for the scheduler's verdict where our packing knows of no place. Default true.
    pub predict: bool,
}

impl Default for Pending {
    fn default() -> Self {
        Self { age: Duration::ZERO, predict: true }
    }
}

impl Pending {
    fn read(s: &mut Section<'_>) -> Self {
        let base = Self::default();
        Self {
            age: s.take("age", value::duration).unwrap_or(base.age),
            predict: s.take("predict", value::truth).unwrap_or(base.predict),
        }
    }

    fn to_value(self) -> Value {
        json!({ "age": duration::format(self.age), "predict": self.predict })
    }
}

/// PromQL that must hold at the moment of acting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    /// `down`: before anything is removed because of an alert.
    pub down: Vec<String>,
}

/// Deadlines that hold for all pools of a cluster; all under `timing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// `view_max_age`: a view older than this removes nothing. Default 1 m.
    pub view_max_age: Duration,
    /// `manual_ttl`: how long an operator's request waits to be done. Default 10 m.
    pub manual_ttl: Duration,
    /// `refusal`: no candidate for this long after a failed drain, doubling up to `refusal_max`. Default 1 h.
    pub refusal: Duration,
    /// `refusal_max`. Default 24 h.
    pub refusal_max: Duration,
    /// `breaker`: first wait of an open breaker, doubling up to `breaker_max`. Default 3 m.
    pub breaker: Duration,
    /// `breaker_max`. Default 30 m.
    pub breaker_max: Duration,
    /// `back_off`: others are preferred for this long to an offering that had no capacity, doubling up to
    /// `back_off_max`; four times as long to one whose machine did not join. Default 3 m.
    pub back_off: Duration,
    /// `back_off_max`. Default 1 h.
    pub back_off_max: Duration,
    /// `help_check`: how long after its workers are Ready a batch may take to place its pods. Default 1 m.
    pub help_check: Duration,
    /// `unhelpable`: a pod that was not helped twice is no need for this long, doubling up to
    /// `unhelpable_max`. Default 5 m.
    pub unhelpable: Duration,
    /// `unhelpable_max`. Default 1 h.
    pub unhelpable_max: Duration,
    /// `gone_for`: how long records of gone workers are kept. Default 1 h.
    pub gone_for: Duration,
    /// `rebuild_hold`: no removal for this long when the store was new, or may have forgotten. Default 10 m.
    pub rebuild_hold: Duration,
    /// `call`: limit for one call of the provider or the cluster. Default 30 s.
    pub call: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            view_max_age: Duration::from_mins(1),
            manual_ttl: Duration::from_mins(10),
            refusal: Duration::from_hours(1),
            refusal_max: Duration::from_hours(24),
            breaker: Duration::from_mins(3),
            breaker_max: Duration::from_mins(30),
            back_off: Duration::from_mins(3),
            back_off_max: Duration::from_hours(1),
            help_check: Duration::from_mins(1),
            unhelpable: Duration::from_mins(5),
            unhelpable_max: Duration::from_hours(1),
            gone_for: Duration::from_hours(1),
            rebuild_hold: Duration::from_mins(10),
            call: Duration::from_secs(30),
        }
    }
}

impl ClusterConfig {
    /// Whether nothing is to be done to it: no pool acts.
    pub fn is_dry(&self) -> bool {
        self.pools.values().all(|pool| pool.mode == Mode::DryRun)
    }

    /// Tells this configuration from another one, for as long as the program is the same.
    pub fn digest(&self) -> String {
        let pools = self.configured().map(|pool| (pool.name.clone(), pool.clone())).collect();
        let mut hasher = DefaultHasher::new();
        Self { pools, ..self.clone() }.to_value().to_string().hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// Reads one cluster; what it does not say about its servers comes from the top of the file.
    pub(super) fn read(
        s: &mut Section<'_>,
        name: &str,
        alertmanager: &AlertmanagerConfig,
        prometheus: &PrometheusConfig,
    ) -> Self {
        let mode = s.take("mode", value::one_of(&MODES)).unwrap_or(Mode::Act);
        let pools = s.each("pools", |s, name| PoolConfig::read(s, name, mode));
        if pools.is_empty() && !s.is_refused(&s.path_of("pools")) {
            s.refuse("pools", "a cluster needs at least one pool".into());
        }
        let kubernetes = KubernetesConfig::read(s);
        check_machines(s, &kubernetes, &pools);
        check_names(s, &pools);
        Self {
            name: ClusterName::new(name),
            kubernetes,
            mode,
            accept_unlabelled: s.take("accept_unlabelled", value::truth).unwrap_or(false),
            expanders: read_expanders(s),
            expendable_below: s
                .take("expendable_below", value::priority)
                .unwrap_or(EXPENDABLE_BELOW),
            pending: s.section("pending", Pending::read),
            guards: s.section("guards", |s| Guards {
                down: s.list("down", value::text).unwrap_or_default(),
            }),
            alertmanager: s.section("alertmanager", |s| {
                let read = AlertmanagerConfig::read(s, alertmanager);
                read.endpoint.check_urls(s, "alertmanager");
                read
            }),
            prometheus: s.section("prometheus", |s| {
                let read = PrometheusConfig::read(s, prometheus);
                read.endpoint.check_urls(s, "prometheus");
                read
            }),
            timing: s.section("timing", Timing::read),
            pools: pools.into_iter().map(|(name, pool)| (PoolName::new(name), pool)).collect(),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        let pools = self.pools.iter().map(|(name, pool)| (name.to_string(), pool.to_value()));
        json!({
            "kubernetes": self.kubernetes.to_value(),
            "mode": value::word(&MODES, &self.mode),
            "accept_unlabelled": self.accept_unlabelled,
            "expanders": self.expanders.iter().map(|one| value::word(&EXPANDERS, one)).collect::<Value>(),
            "expendable_below": self.expendable_below,
            "pending": self.pending.to_value(),
            "guards": { "down": self.guards.down },
            "alertmanager": self.alertmanager.to_value(),
            "prometheus": self.prometheus.to_value(),
            "timing": self.timing.to_value(),
            "pools": pools.collect::<Value>(),
        })
    }
}

/// A worker is named after its pool, a moment and a number, and a label of its node holds 63 letters.
fn check_names(s: &Section<'_>, pools: &[(String, PoolConfig)]) {
    for (name, _) in pools.iter().filter(|(name, _)| name.len() > POOL_NAME) {
        let field = format!("pools.{name}");
        if !s.is_refused(&s.path_of(&field)) {
            let mend = format!(
                "is too long a name for labels of its workers; at most {POOL_NAME} letters"
            );
            s.refuse(&field, mend.into());
        }
    }
}

/// Real machines join no simulated cluster.
fn check_machines(s: &Section<'_>, kubernetes: &KubernetesConfig, pools: &[(String, PoolConfig)]) {
    let real = pools.iter().find(|(_, pool)| !matches!(pool.provider, ProviderConfig::Sim { .. }));
    let Some((name, pool)) = real.filter(|_| kubernetes.real.is_none()) else { return };
    if !s.is_refused_below("kubernetes") {
        let kind = pool.provider.kind();
        let mend = format!(
            "is simulated, and the machines of the pool {name} are not (`{kind}`); say which cluster they join: `in_cluster: true` or `kubeconfig: FILE`"
        );
        s.refuse("kubernetes", mend.into());
    }
}

fn read_expanders(s: &mut Section<'_>) -> Vec<Expander> {
    let Some(read) = s.list("expanders", value::one_of(&EXPANDERS)) else {
        return Expander::usual();
    };
    let twice = (1..read.len()).any(|at| read[..at].contains(&read[at]));
    s.check(!twice, ["expanders"; 2], "names one of them twice; each decides once".to_owned());
    read
}

impl KubernetesConfig {
    fn read(s: &mut Section<'_>) -> Self {
        s.section("kubernetes", |s| Self {
            real: Kubernetes::read(s),
            sim: s.section("sim", SimConfig::read),
        })
    }

    fn to_value(&self) -> Value {
        let sim = self.sim.to_value();
        match &self.real {
            None => json!({ "in_cluster": false, "sim": sim }),
            Some(Kubernetes::InCluster) => json!({ "in_cluster": true, "sim": sim }),
            Some(Kubernetes::File { kubeconfig, context }) => {
                json!({ "in_cluster": false, "kubeconfig": kubeconfig, "context": context, "sim": sim })
            }
        }
    }
}

impl Kubernetes {
    fn read(s: &mut Section<'_>) -> Option<Self> {
        let in_cluster = s.take("in_cluster", value::truth).unwrap_or(false);
        let kubeconfig = s.take("kubeconfig", value::path);
        let context = s.take("context", value::text);
        if s.has("kubeconfig") && in_cluster {
            s.refuse(
                "in_cluster",
                "says which cluster this is, and so does `kubeconfig`; keep one".into(),
            );
        }
        if context.is_some() && !s.has("kubeconfig") {
            s.refuse("context", "is one of a `kubeconfig`; name that file, too".into());
        }
        if !in_cluster && !s.has("kubeconfig") && !s.has("sim") {
            let mend =
                "say which cluster this is: `in_cluster: true`, `kubeconfig: FILE` or `sim: {}`";
            s.refuse("in_cluster", mend.into());
        }
        match kubeconfig {
            Some(kubeconfig) => Some(Self::File { kubeconfig, context }),
            None => in_cluster.then_some(Self::InCluster),
        }
    }
}

impl Timing {
    fn read(s: &mut Section<'_>) -> Self {
        let base = Self::default();
        let mut lasting = |name, default| s.take(name, value::lasting).unwrap_or(default);
        let timing = Self {
            view_max_age: lasting("view_max_age", base.view_max_age),
            manual_ttl: lasting("manual_ttl", base.manual_ttl),
            refusal: lasting("refusal", base.refusal),
            refusal_max: lasting("refusal_max", base.refusal_max),
            breaker: lasting("breaker", base.breaker),
            breaker_max: lasting("breaker_max", base.breaker_max),
            back_off: lasting("back_off", base.back_off),
            back_off_max: lasting("back_off_max", base.back_off_max),
            help_check: lasting("help_check", base.help_check),
            unhelpable: lasting("unhelpable", base.unhelpable),
            unhelpable_max: lasting("unhelpable_max", base.unhelpable_max),
            gone_for: base.gone_for,
            rebuild_hold: base.rebuild_hold,
            call: lasting("call", base.call),
        };
        let mut any = |name, default| s.take(name, value::duration).unwrap_or(default);
        let timing = Self {
            gone_for: any("gone_for", base.gone_for),
            rebuild_hold: any("rebuild_hold", base.rebuild_hold),
            ..timing
        };
        let pairs = [
            ("refusal", timing.refusal, "refusal_max", timing.refusal_max),
            ("breaker", timing.breaker, "breaker_max", timing.breaker_max),
            ("back_off", timing.back_off, "back_off_max", timing.back_off_max),
            ("unhelpable", timing.unhelpable, "unhelpable_max", timing.unhelpable_max),
        ];
        for (name, first, name_max, most) in pairs {
            let (told, told_max) = (duration::format(first), duration::format(most));
            let mend = format!("`{name}` ({told}) must be at most `{name_max}` ({told_max})");
            s.check(first <= most, [name, name_max], mend);
        }
        timing
    }

    fn to_value(self) -> Value {
        let fields = [
            ("view_max_age", self.view_max_age),
            ("manual_ttl", self.manual_ttl),
            ("refusal", self.refusal),
            ("refusal_max", self.refusal_max),
            ("breaker", self.breaker),
            ("breaker_max", self.breaker_max),
            ("back_off", self.back_off),
            ("back_off_max", self.back_off_max),
            ("help_check", self.help_check),
            ("unhelpable", self.unhelpable),
            ("unhelpable_max", self.unhelpable_max),
            ("gone_for", self.gone_for),
            ("rebuild_hold", self.rebuild_hold),
            ("call", self.call),
        ];
        fields.into_iter().map(|(name, span)| (name, duration::format(span))).collect()
    }
}
