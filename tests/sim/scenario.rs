//! A seed becomes a configuration and hours of happenings.

use crate::happening::{
    Edit, Happening, Link, Mail, Reconfigured, RuleEdit, Says, Trouble, What, When,
};
use crate::prometheus::EDITED;
use crate::secrets::{BEARER, PASSWORD, TOKEN};
use bellwether::sim::Faults;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use std::time::Duration;

/// How long it goes wrong; after that the world must settle.
pub(crate) const HOURS: u64 = 6;

/// The cluster of every run.
pub(crate) const CLUSTER: &str = "default";

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) replicas: usize,
    pub(crate) alertmanagers: usize,
    pub(crate) prometheuses: usize,
    pub(crate) two_pools: bool,
    /// Whether the second is to be drained once it leaves the file.
    pub(crate) when_removed: bool,
    min: u32,
    max: u32,
    surge: u32,
    /// Whether the owner names a worker that must stay.
    pub(crate) permanent: bool,
    boot: u64,
    require: &'static str,
    pub(crate) happenings: Vec<Happening>,
}

impl Scenario {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let min = rng.random_range(0..3);
        let alertmanagers = rng.random_range(1..=2);
        let mut scenario = Self {
            seed,
            replicas: rng.random_range(1..=2),
            alertmanagers,
            prometheuses: rng.random_range(1..=2),
            two_pools: rng.random_bool(0.4),
            min,
            max: min + rng.random_range(2..7),
            when_removed: seed.is_multiple_of(2),
            surge: rng.random_range(0..=1),
            permanent: rng.random_bool(0.3),
            boot: rng.random_range(20..120),
            require: if rng.random_bool(0.3) { "majority" } else { "all" },
            happenings: Vec::new(),
        };
        scenario.happenings = happenings(&mut rng, &scenario);
        scenario
    }

    /// Its configuration file.
    pub(crate) fn config(&self) -> String {
        let pool = |name: &str, min: u32, max: u32, more: &str| {
            format!(
                "      {name}: {{ provider: {{ sim: {{ unnamed: {} }} }}, min: {min}, max: {max}, surge: {}, {more}cooldown: {{ up: 3m, down: 5m }}, min_age: 5m, evict: {{ kube_system_after: 10m }}, node: {{ reserved: {{ cpu: 100m, memory: 300Mi }}, labels: {{ tier: {name} }} }} }}\n",
                self.is_unnamed(name),
                self.surge
            )
        };
        // Pods of a pool that is drained come to the other.
        let more = if self.two_pools && self.when_removed { 3 } else { 0 };
        let mut pools = pool("workers", self.min, self.max + more, "");
        if self.two_pools {
            let drain = format!("drain: {{ when_removed: {} }}, ", self.when_removed);
            pools += &pool("batch", 0, 3, &drain);
        }
        let urls = ["http://am-0", "http://am-1"][..self.alertmanagers].join(", ");
        format!(
            "listen: 127.0.0.1:0
auth: {{ bearer_token: {TOKEN} }}
store: {{ url: \"memory:\" }}
alertmanager: {{ urls: [{urls}], require: {}, basic: {{ username: bellwether, password: {PASSWORD} }} }}
prometheus: {{ urls: [http://prometheus], bearer_token: {BEARER} }}
clusters:
  {CLUSTER}:
    kubernetes: {{ sim: {{ seed: {}, boot: {}s }} }}
    guards: {{ down: [up] }}
    pools:
{pools}",
            self.require, self.seed, self.boot
        )
    }

    /// Whether the machines of a pool bear no worker's name; not of the same in every seed.
    fn is_unnamed(&self, pool: &str) -> bool {
        let among = if pool == "workers" { [1, 3] } else { [1, 4] };
        among.contains(&(self.seed % 5))
    }

    /// The most pods of the workload `web` that find room at `max`: two on a worker.
    pub(crate) fn most(&self) -> u32 {
        self.max * 2
    }
}

fn happenings(rng: &mut StdRng, scenario: &Scenario) -> Vec<Happening> {
    let end = HOURS * 3600;
    let mut all = Vec::new();
    let mut at = 5;
    while at < end {
        all.push(Happening { at: Duration::from_secs(at), what: load(rng, scenario) });
        at += rng.random_range(240..2400);
    }
    if scenario.two_pools {
        // Longer than its cooldown.
        let (at, lasts) = (rng.random_range(3600..end), rng.random_range(600..4000));
        let what = What::Edit { edit: Edit::Gone, lasts: Duration::from_secs(lasts) };
        all.push(Happening { at: Duration::from_secs(at), what });
    }
    // Some runs are calm, some are wild.
    let gap = *[300, 900, 2400].choose(rng).expect("not empty");
    let mut at = rng.random_range(30..gap);
    while at < end {
        let at_moment = Duration::from_millis(at * 1000 + rng.random_range(0..1000));
        all.push(Happening { at: at_moment, what: trouble(rng, scenario) });
        at += rng.random_range(gap / 4..gap * 2);
    }
    if scenario.seed.is_multiple_of(3) {
        all.extend(fail_overs(scenario.seed));
    }
    all.extend(oddities(scenario));
    if scenario.seed % 3 == 1 {
        all.extend(waits(scenario.seed));
    }
    all.extend(sick(scenario.seed));
    all.sort_by_key(|happening| happening.at);
    all
}

/// A draw of its own, so that what else happens stays what it was.
fn fail_overs(seed: u64) -> Vec<Happening> {
    let rng = &mut StdRng::seed_from_u64(!seed);
    let one = |_| {
        let at = Duration::from_millis(rng.random_range(30_000..HOURS * 3_600_000));
        let lasts = Duration::from_millis(rng.random_range(10..10_000));
        Happening { at, what: What::FailOver { lasts } }
    };
    (0..4).map(one).collect()
}

/// Drawn apart as well: nodes that are to be replaced, for long enough.
fn sick(seed: u64) -> Vec<Happening> {
    let rng = &mut StdRng::seed_from_u64(seed ^ 0x51C4);
    let one = |_| {
        let at = Duration::from_secs(rng.random_range(900..HOURS * 3600));
        let (machine, is_every) = (rng.random_range(0..8), rng.random_bool(0.15));
        let lasts = Duration::from_secs(rng.random_range(120..2400));
        Happening { at, what: What::Sick { machine, is_every, lasts } }
    };
    (0..2 + seed % 3).map(one).collect()
}

/// Drawn apart as well: what lasts longer than anything may be waited for.
fn waits(seed: u64) -> Vec<Happening> {
    let rng = &mut StdRng::seed_from_u64(seed ^ 0x3A17);
    let one = |_| {
        let at = Duration::from_secs(rng.random_range(1800..HOURS * 3600));
        let mut faults = Faults::default();
        match rng.random_range(0..4) {
            0 => faults.never_join = true,
            1 => faults.never_ready = true,
            _ => faults.evictions_blocked = true,
        }
        let lasts = Duration::from_secs(rng.random_range(900..2400));
        Happening { at, what: What::Fault { faults: Box::new(faults), lasts } }
    };
    (0..4).map(one).collect()
}

/// Drawn apart as well: machines that are protected, nodes of others, answers that come late.
fn oddities(scenario: &Scenario) -> Vec<Happening> {
    let rng = &mut StdRng::seed_from_u64(scenario.seed ^ 0x0DD);
    let one = |_| {
        let at = Duration::from_secs(rng.random_range(600..HOURS * 3600));
        let what = match rng.random_range(0..5) {
            0 => What::Stranger,
            1 | 2 => What::Protect { machine: rng.random_range(0..8), lasts: lasts(rng) * 2 },
            _ => {
                let late = Trouble::Late(Duration::from_millis(rng.random_range(100..90_000)));
                let (replica, link) = (rng.random_range(0..scenario.replicas), link(rng, scenario));
                What::Trouble { replica, link, trouble: late, lasts: lasts(rng) }
            }
        };
        Happening { at, what }
    };
    (0..scenario.seed % 5).map(one).collect()
}

fn load(rng: &mut StdRng, scenario: &Scenario) -> What {
    let usage = *[0.05, 0.3, 0.6, 0.95].choose(rng).expect("not empty");
    if scenario.two_pools && rng.random_bool(0.4) {
        return What::Load { workload: "batch", replicas: rng.random_range(0..=6), usage };
    }
    What::Load { workload: "web", replicas: rng.random_range(0..=scenario.most()), usage }
}

/// Seconds up to minutes, seldom long.
fn lasts(rng: &mut StdRng) -> Duration {
    let longest = *[20, 90, 400, 1500].choose(rng).expect("not empty");
    Duration::from_secs(rng.random_range(5..longest))
}

fn trouble(rng: &mut StdRng, scenario: &Scenario) -> What {
    match rng.random_range(0..10) {
        0 => people(rng, scenario),
        1 | 2 => machines(rng),
        3 => What::Fault { faults: Box::new(fault(rng)), lasts: lasts(rng) },
        4 | 5 => {
            let replica = rng.random_range(0..scenario.replicas);
            trouble_of_a_link(rng, scenario, replica)
        }
        6 => What::Mail { mail: mail(rng), lasts: lasts(rng) },
        7 | 8 => process(rng, scenario),
        _ => monitoring(rng, scenario),
    }
}

fn people(rng: &mut StdRng, scenario: &Scenario) -> What {
    let directions = ["up", "down", "replace", "restore", "repair", "gc", ".*"];
    match rng.random_range(0..6) {
        0 | 1 => What::Silence {
            autoscale: directions.choose(rng).expect("not empty"),
            lasts: lasts(rng) * 2,
        },
        2 => edit(rng),
        3 => What::Wish { by: *[-2, -1, 1, 2].choose(rng).expect("not empty") },
        4 => What::Rules {
            rule: EDITED.choose(rng).expect("not empty"),
            edit: *[RuleEdit::Gone, RuleEdit::Slow, RuleEdit::Misspelt]
                .choose(rng)
                .expect("not empty"),
            lasts: lasts(rng) * 2,
        },
        _ => What::Reconfigure {
            to: *[
                Reconfigured::Same,
                Reconfigured::Rare,
                Reconfigured::Muted,
                Reconfigured::Renamed,
            ]
            .choose(rng)
            .expect("not empty"),
            lasts: lasts(rng) * if scenario.alertmanagers == 1 { 4 } else { 2 },
        },
    }
}

fn machines(rng: &mut StdRng) -> What {
    let machine = rng.random_range(0..8);
    match rng.random_range(0..6) {
        0 => What::Kill(machine),
        1 => What::Notice(machine),
        2 => What::Cordon(machine),
        3 => What::Foreign,
        4 => What::Silent { machine, lasts: lasts(rng) },
        _ => What::Anew { machine, is_deleted: rng.random_bool(0.5) },
    }
}

fn process(rng: &mut StdRng, scenario: &Scenario) -> What {
    let replica = rng.random_range(0..scenario.replicas);
    let millis = match rng.random_range(0..4) {
        0 => 5000,
        1 => -5000,
        _ => rng.random_range(-5000..5000),
    };
    let when = if rng.random_bool(0.5) {
        When::Steps(rng.random_range(0..400))
    } else {
        When::Intent(rng.random_range(0..12))
    };
    match rng.random_range(0..4) {
        0 => What::Crash { replica, when },
        1 => What::Stop { replica, when, lasts: lasts(rng) },
        2 => What::Skew { replica, millis },
        _ => What::Astray { replica, millis, lasts: lasts(rng) },
    }
}

fn monitoring(rng: &mut StdRng, scenario: &Scenario) -> What {
    let number = rng.random_range(0..scenario.prometheuses);
    match rng.random_range(0..8) {
        0 | 1 => What::Alertmanager {
            peer: rng.random_range(0..scenario.alertmanagers),
            kill: rng.random_bool(0.5),
            back: lasts(rng),
        },
        2 => What::Prometheus { number, back: lasts(rng) },
        3 if scenario.alertmanagers > 1 => What::Cut { lasts: lasts(rng) * 2 },
        4 | 5 => {
            let says = *[Says::Fails, Says::Unknown].choose(rng).expect("not empty");
            What::Guard { number, says, lasts: lasts(rng) * 2 }
        }
        6 => What::Forecast { want: rng.random_range(0..=scenario.max + 1), lasts: lasts(rng) * 3 },
        _ => What::Blind { number, lasts: lasts(rng) },
    }
}

fn trouble_of_a_link(rng: &mut StdRng, scenario: &Scenario, replica: usize) -> What {
    let (link, mut trouble, mut lasts) = (link(rng, scenario), how(rng), lasts(rng));
    if link == Link::Cluster && rng.random_bool(0.3) {
        trouble = Trouble::Stale;
    }
    if trouble == Trouble::Stale && !matches!(link, Link::Provider | Link::Cluster) {
        // Nothing is kept of these that could be old; their answers may be, by as long as they take.
        trouble = Trouble::Late(lasts.min(Duration::from_secs(90)));
    }
    if (link, trouble) == (Link::Provider, Trouble::Stale) {
        // Lists carry no time, so nobody can tell; providers are behind by seconds, not by hours.
        lasts = lasts.min(Duration::from_secs(90));
    }
    What::Trouble { replica, link, trouble, lasts }
}

fn fault(rng: &mut StdRng) -> Faults {
    let mut faults = Faults::default();
    match rng.random_range(0..10) {
        0 => faults.list_errors = true,
        1 => faults.list_empty = true,
        2 => faults.observe_errors = true,
        3 => capacity(rng, &mut faults),
        4 => faults.never_join = true,
        5 => faults.never_ready = true,
        6 => faults.launch_errors = true,
        7 => faults.lose_launch_reply = true,
        8 => faults.lose_terminate_reply = true,
        _ => faults.evictions_blocked = true,
    }
    faults
}

/// None, none of some kind, or not enough.
fn capacity(rng: &mut StdRng, faults: &mut Faults) {
    match rng.random_range(0..4) {
        0 => faults.no_capacity = true,
        1 => faults.at_most = Some(rng.random_range(1..5)),
        _ => {
            let kinds = ["spot", "on-demand", "a", "b"];
            let kind: &str = kinds.choose(rng).expect("not empty");
            faults.no_capacity_for.insert(kind.to_owned());
        }
    }
}

fn link(rng: &mut StdRng, scenario: &Scenario) -> Link {
    let links = [
        Link::Provider,
        Link::Cluster,
        Link::Alertmanager(rng.random_range(0..scenario.alertmanagers)),
        Link::Prometheus,
        Link::Store,
        Link::Claim,
    ];
    *links.choose(rng).expect("not empty")
}

fn how(rng: &mut StdRng) -> Trouble {
    match rng.random_range(0..6) {
        0 => Trouble::Before,
        1 => Trouble::After,
        2 => Trouble::Stale,
        3 => Trouble::Flaky(30),
        _ => Trouble::Slow(Duration::from_millis(rng.random_range(100..90_000))),
    }
}

fn mail(rng: &mut StdRng) -> Mail {
    match rng.random_range(0..4) {
        0 => Mail::Lost,
        1 => Mail::Twice,
        2 => Mail::Unanswered,
        _ => Mail::Late(Duration::from_secs(rng.random_range(1..240))),
    }
}

fn edit(rng: &mut StdRng) -> What {
    let edit = match rng.random_range(0..4) {
        0 => Edit::Min(rng.random_range(0..3)),
        1 => Edit::Max(rng.random_range(3..9)),
        2 => Edit::DryRun,
        _ => Edit::Gone,
    };
    What::Edit { edit, lasts: lasts(rng) }
}
