//! `clusters.NAME.pools.NAME`: one group of alike workers.

mod parts;
mod provider;
mod removed;

use self::parts::{default_launches, read_resources, resources_value};
pub use self::provider::{
    DockerConfig, DockerHost, Ec2Config, ExecConfig, Image, ProviderConfig, ShapeConfig, Source,
    TAG_VALUE_MAX, TokenFile,
};
use super::cluster::MODES;
use super::reader::Section;
use super::{Mode, value};
use crate::model::{Effect, PoolName, Price, Resources, Taint, Template, duration};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// More workers than any Kubernetes cluster takes (its own limit is 5,000 nodes).
const MOST: u32 = 10_000;

const ORDERS: [(&str, OrderBy); 3] =
    [("emptiest", OrderBy::Emptiest), ("newest", OrderBy::Newest), ("oldest", OrderBy::Oldest)];

const EFFECTS: [(&str, Effect); 3] = [
    ("NoSchedule", Effect::NoSchedule),
    ("PreferNoSchedule", Effect::PreferNoSchedule),
    ("NoExecute", Effect::NoExecute),
];

/// One pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Its name.
    pub name: PoolName,
    /// `provider`: who makes its machines.
    pub provider: ProviderConfig,
    /// `min`: fewest workers; restored without an alert. Default 0.
    pub min: u32,
    /// `max`: most workers. Required.
    pub max: u32,
    /// `priority`: pools of a higher one grow first, where the cluster's `expanders` ask for it. Default 0.
    pub priority: u32,
    /// `permanent`: names of nodes or workers that are never removed.
    pub permanent: BTreeSet<String>,
    /// `node`: what a new worker will look like.
    pub node: NodeTemplate,
    /// `step`: how many at a time.
    pub step: Steps,
    /// `surge`: workers above `max` while one is replaced. Default 1.
    pub surge: u32,
    /// `limits`: what the pool may hold in all.
    pub limits: Limits,
    /// `cooldown`.
    pub cooldown: Cooldowns,
    /// `settle`: new need is held until none has come for this long, at most `settle_max`. Default 50 ms.
    pub settle: Duration,
    /// `settle_max`. Default 1 s.
    pub settle_max: Duration,
    /// `min_age`: younger workers are not removed. Default 10 m.
    pub min_age: Duration,
    /// `max_age`: older workers are replaced. Default never.
    pub max_age: Option<Duration>,
    /// `replace_drifted`: workers that were launched with other labels or taints are replaced. Default false: they are told.
    pub replace_drifted: bool,
    /// `evict`: which pods may be moved.
    pub evict: EvictConfig,
    /// `mode`: the cluster's, unless set.
    pub mode: Mode,
    /// `order`: which worker goes first. Default emptiest; of containers the newest.
    pub order: OrderBy,
    /// `headroom`: kept free beyond what is asked for. Default none.
    pub headroom: Resources,
    /// `join_deadline`: a worker must be Ready this long after it was launched. Default 5 m.
    pub join_deadline: Duration,
    /// `not_ready_deadline`: a worker NotReady for longer is replaced. Default 10 m.
    pub not_ready_deadline: Duration,
    /// `repair_budget`: share of the pool that may be sick before repair holds, in percent. Default 30.
    pub repair_budget: u32,
    /// `replacements_per_hour`: spot notices excepted. Default 10.
    pub replacements_per_hour: u32,
    /// `drain`.
    pub drain: DrainConfig,
    /// `budget`: the most the pool may cost. Default none.
    pub budget: Budget,
    /// Whether the file does not name it any more: it is to be drained, and never grows.
    pub removed: bool,
}

/// What a new worker will look like, for scaling from zero. Corrected from real ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeTemplate {
    /// `labels`.
    pub labels: BTreeMap<String, String>,
    /// `taints`.
    pub taints: Vec<Taint>,
    /// `startup_taints`: keys of those that a new worker carries until something on it has started. Until
    /// `join_deadline` they keep no pod off.
    pub startup_taints: BTreeSet<String>,
    /// `reserved`: what the node keeps for itself.
    pub reserved: Resources,
}

impl NodeTemplate {
    /// What a new worker is launched as.
    pub fn template(&self) -> Template {
        Template { labels: self.labels.clone(), taints: self.taints.clone() }
    }
}

/// How many workers one decision may add or remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// `up`: the most that alerts and queries add at once. Default 4.
    pub up: Amount,
    /// `down`: the most that one decision removes. Default 1.
    pub down: Amount,
    /// `empty`: the most empty workers that go at once. Default 10.
    pub empty: Amount,
}

/// A number, or a share of the pool's current size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// This many.
    Count(u32),
    /// This percentage of the workers there are, rounded up, at least 1.
    Percent(u32),
}

/// What a pool may hold in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `launches_per_hour`. Default: the larger of 60 and 2 × max.
    pub launches_per_hour: u32,
    /// `cpu`: cores in all, in millicores. Default none.
    pub cpu_milli: Option<u64>,
    /// `memory`: bytes in all. Default none.
    pub memory: Option<u64>,
}

/// Cooldowns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooldowns {
    /// `up`: from a scale-up's intent until this long after its workers are Ready or given up. Default 5 m.
    pub up: Duration,
    /// `down`: from the end of the last scale-up or scale-down. Default 10 m.
    pub down: Duration,
    /// `pending`: for need that packing proves. Default 0 s.
    pub pending: Duration,
}

/// Which pods may be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvictConfig {
    /// `kube_system_after`: kube-system pods without a budget hold their worker this long. Default 1 h.
    pub kube_system_after: Duration,
    /// `local_storage`: move pods with data on the node's own disk. Default false.
    pub local_storage: bool,
}

/// Which worker goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderBy {
    /// The one with the least requested.
    Emptiest,
    /// The youngest (last in, first out).
    Newest,
    /// The oldest.
    Oldest,
}

/// How a worker is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainConfig {
    /// `timeout`: longer, and the worker is given back. Default 5 m.
    pub timeout: Duration,
    /// `load_balancers`: how long load balancers are given to forget a node before its pods are evicted. Default 0 s.
    pub load_balancers: Duration,
    /// `detach`: how long volumes are given to come off an empty node before its machine is ended. Default 2 m.
    pub detach: Duration,
    /// `force_last`: the last part of a spot notice, in which budgets hold no pod any more. Default 30 s.
    pub force_last: Duration,
    /// `when_removed`: drain the pool once it leaves the file, instead of leaving it alone. Default false.
    pub when_removed: bool,
}

/// The most a pool may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// `per_hour`, in the currency of the prices.
    pub per_hour: Option<Price>,
}

impl OrderBy {
    /// Where the file says nothing. Containers go last in, first out, as labs number them.
    fn usual(provider: &ProviderConfig) -> Self {
        match provider {
            ProviderConfig::Docker(_) => Self::Newest,
            ProviderConfig::Sim { .. } | ProviderConfig::Exec(_) | ProviderConfig::Ec2(_) => {
                Self::Emptiest
            }
        }
    }
}

impl Amount {
    /// The number it stands for in a pool of `size` workers; never less than 1.
    pub fn of(self, size: u32) -> u32 {
        match self {
            Self::Count(count) => count.max(1),
            Self::Percent(percent) => {
                let share = (u64::from(size) * u64::from(percent)).div_ceil(100);
                u32::try_from(share).unwrap_or(u32::MAX).max(1)
            }
        }
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self { up: Amount::Count(4), down: Amount::Count(1), empty: Amount::Count(10) }
    }
}

impl Default for Cooldowns {
    fn default() -> Self {
        let (up, down) = (Duration::from_mins(5), Duration::from_mins(10));
        Self { up, down, pending: Duration::ZERO }
    }
}

impl Default for EvictConfig {
    fn default() -> Self {
        Self { kube_system_after: Duration::from_hours(1), local_storage: false }
    }
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(5),
            load_balancers: Duration::ZERO,
            detach: Duration::from_mins(2),
            force_last: Duration::from_secs(30),
            when_removed: false,
        }
    }
}

impl PoolConfig {
    /// A pool of up to `max` simulated workers with every default.
    pub fn new(name: PoolName, max: u32) -> Self {
        Self {
            name,
            provider: ProviderConfig::Sim { unnamed: false },
            min: 0,
            max,
            priority: 0,
            permanent: BTreeSet::new(),
            node: NodeTemplate::default(),
            step: Steps::default(),
            surge: 1,
            limits: Limits { launches_per_hour: default_launches(max), ..Limits::default() },
            cooldown: Cooldowns::default(),
            settle: Duration::from_millis(50),
            settle_max: Duration::from_secs(1),
            min_age: Duration::from_mins(10),
            max_age: None,
            replace_drifted: false,
            evict: EvictConfig::default(),
            mode: Mode::Act,
            order: OrderBy::Emptiest,
            headroom: Resources::default(),
            join_deadline: Duration::from_mins(5),
            not_ready_deadline: Duration::from_mins(10),
            repair_budget: 30,
            replacements_per_hour: 10,
            drain: DrainConfig::default(),
            budget: Budget::default(),
            removed: false,
        }
    }

    pub(super) fn read(s: &mut Section<'_>, name: &str, mode: Mode) -> Self {
        Self::read_within(s, name, mode, ProviderConfig::line_max)
    }

    /// The same, where a provider bounds in this way what its machines read of their nodes as they boot.
    fn read_within(
        s: &mut Section<'_>,
        name: &str,
        mode: Mode,
        line_max: fn(&ProviderConfig) -> Option<usize>,
    ) -> Self {
        let max = s.required("max", value::whole(0..=MOST)).unwrap_or(MOST);
        let base = Self::new(PoolName::new(name), max);
        let provider = ProviderConfig::read(s);
        let (order, line_max) = (OrderBy::usual(&provider), line_max(&provider));
        let pool = Self {
            provider,
            min: s.take("min", value::whole(0..=MOST)).unwrap_or(base.min),
            priority: s.take("priority", value::whole(0..=MOST)).unwrap_or(base.priority),
            permanent: s.list("permanent", value::text).unwrap_or_default().into_iter().collect(),
            node: s.section("node", |s| NodeTemplate::read(s, line_max)),
            step: s.section("step", Steps::read),
            surge: s.take("surge", value::whole(0..=MOST)).unwrap_or(base.surge),
            limits: s.section("limits", |s| Limits::read(s, base.limits)),
            cooldown: s.section("cooldown", Cooldowns::read),
            settle: s.take("settle", value::duration).unwrap_or(base.settle),
            settle_max: s.take("settle_max", value::duration).unwrap_or(base.settle_max),
            min_age: s.take("min_age", value::duration).unwrap_or(base.min_age),
            max_age: s.take("max_age", value::lasting),
            replace_drifted: s
                .take("replace_drifted", value::truth)
                .unwrap_or(base.replace_drifted),
            evict: s.section("evict", EvictConfig::read),
            mode: s.take("mode", value::one_of(&MODES)).unwrap_or(mode),
            order: s.take("order", value::one_of(&ORDERS)).unwrap_or(order),
            headroom: s.section("headroom", read_resources),
            join_deadline: s.take("join_deadline", value::lasting).unwrap_or(base.join_deadline),
            not_ready_deadline: s
                .take("not_ready_deadline", value::lasting)
                .unwrap_or(base.not_ready_deadline),
            repair_budget: s
                .take("repair_budget", value::whole(0..=100))
                .unwrap_or(base.repair_budget),
            replacements_per_hour: s
                .take("replacements_per_hour", value::whole(0..=MOST))
                .unwrap_or(base.replacements_per_hour),
            drain: s.section("drain", DrainConfig::read),
            budget: s.section("budget", Budget::read),
            ..base
        };
        pool.check(s);
        pool
    }

    /// What no field can say alone.
    fn check(&self, s: &Section<'_>) {
        let (min, max) = (self.min, self.max);
        let mend = format!("`min` ({min}) must be at most `max` ({max})");
        s.check(min <= max, ["min", "max"], mend);
        let permanent = u32::try_from(self.permanent.len()).unwrap_or(u32::MAX);
        let mend = format!("`permanent` names {permanent} workers, more than `max` ({max})");
        s.check(permanent <= max, ["permanent", "max"], mend);
        let [settle, settle_max, join, min_age] =
            [self.settle, self.settle_max, self.join_deadline, self.min_age].map(duration::format);
        let mend = format!("`settle` ({settle}) must be at most `settle_max` ({settle_max})");
        s.check(self.settle <= self.settle_max, ["settle", "settle_max"], mend);
        let [told, timeout] = [self.drain.load_balancers, self.drain.timeout].map(duration::format);
        let mend = format!("`load_balancers` ({told}) must be shorter than `timeout` ({timeout})");
        let fields = ["drain.load_balancers", "drain.timeout"];
        s.check(self.drain.load_balancers < self.drain.timeout, fields, mend);
        let Some(max_age) = self.max_age else { return };
        let told = format!("`max_age` ({}) must be above", duration::format(max_age));
        let mend =
            format!("{told} `join_deadline` ({join}), or every worker is too old when it joins");
        s.check(max_age > self.join_deadline, ["max_age", "join_deadline"], mend);
        let mend =
            format!("{told} `min_age` ({min_age}), or no worker is ever of an age to be removed");
        s.check(max_age > self.min_age, ["max_age", "min_age"], mend);
    }

    pub(super) fn to_value(&self) -> Value {
        json!({
            "provider": self.provider.to_value(),
            "min": self.min,
            "max": self.max,
            "priority": self.priority,
            "permanent": self.permanent,
            "node": self.node.to_value(),
            "step": self.step.to_value(),
            "surge": self.surge,
            "limits": self.limits.to_value(),
            "cooldown": self.cooldown.to_value(),
            "settle": duration::format(self.settle),
            "settle_max": duration::format(self.settle_max),
            "min_age": duration::format(self.min_age),
            "max_age": self.max_age.map(duration::format),
            "replace_drifted": self.replace_drifted,
            "evict": self.evict.to_value(),
            "mode": value::word(&MODES, &self.mode),
            "order": value::word(&ORDERS, &self.order),
            "headroom": resources_value(&self.headroom),
            "join_deadline": duration::format(self.join_deadline),
            "not_ready_deadline": duration::format(self.not_ready_deadline),
            "repair_budget": self.repair_budget,
            "replacements_per_hour": self.replacements_per_hour,
            "drain": self.drain.to_value(),
            "budget": { "per_hour": self.budget.per_hour.map(value::price_number) },
        })
    }
}
