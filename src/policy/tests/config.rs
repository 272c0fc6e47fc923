//! Every limit that this room reads changes what is planned: a world in which it decides, and the
//! change of that one field. `config::tests::behaviour` holds the list against the file's fields.

use crate::config::{Amount, Expander, Mode, OrderBy, Require};
use crate::model::{
    Breaker, BreakerState, Cordon, Effect, Failure, Intent, LaunchRequest, PeerState, Permit, Pin,
    Price, Purpose, Refusal, Resources, Taint, Template, Toleration, Unhelpable, View, WorkerState,
    duration,
};
use crate::policy::fixtures::{DAY, GIB, MINUTE, SECOND, World, shape};
use std::time::Duration;

/// A field, a world in which it decides, and another value.
type Row = (&'static str, fn() -> World, fn(&mut World));

const POOL: [Row; 41] = [
    ("min", || World::of(1), |w| w.pool().min = 2),
    ("max", || rising(2), |w| w.pool().max = 2),
    ("priority", second_pool, |w| w.pool_named("workers").priority = 1),
    ("permanent", idle, |w| _ = w.pool().permanent.insert("w1".to_owned())),
    ("node.labels.NAME", picky, |w| _ = w.pool().node.labels.insert("tier".into(), "batch".into())),
    ("node.taints[].key", tolerant, |w| w.pool().node.taints[0].key = "other".to_owned()),
    ("node.taints[].value", tolerant, |w| w.pool().node.taints[0].value = "no".to_owned()),
    ("node.taints[].effect", tainted, |w| {
        w.pool().node.taints[0].effect = Effect::PreferNoSchedule;
    }),
    ("node.startup_taints", starting, |w| w.pool().node.startup_taints.clear()),
    ("node.reserved.cpu", first, |w| w.pool().node.reserved.cpu_milli = 500),
    ("node.reserved.memory", first, |w| w.pool().node.reserved.memory = 4 * GIB),
    ("step.up", || rising(4), |w| w.pool().step.up = Amount::Count(1)),
    ("step.down", idle, |w| w.pool().step.down = Amount::Count(2)),
    ("step.empty", empty, |w| w.pool().step.empty = Amount::Count(1)),
    ("surge", sick_at_max, |w| w.pool().surge = 0),
    ("limits.launches_per_hour", || rising(4), |w| w.pool().limits.launches_per_hour = 1),
    ("limits.cpu", || rising(2), |w| w.pool().limits.cpu_milli = Some(4_000)),
    ("limits.memory", || rising(2), |w| w.pool().limits.memory = Some(8 * GIB)),
    ("cooldown.up", grown_a_while_ago, |w| w.pool().cooldown.up = MINUTE * 2),
    ("cooldown.down", shrunk_a_while_ago, |w| w.pool().cooldown.down = MINUTE * 2),
    ("cooldown.pending", need_after_growing, |w| w.pool().cooldown.pending = MINUTE * 5),
    ("settle", need, |w| w.pool().settle = Duration::from_millis(50)),
    ("settle_max", settling, |w| w.pool().settle_max = Duration::from_millis(500)),
    ("min_age", idle, |w| w.pool().min_age = DAY * 2),
    ("max_age", || World::of(2), |w| w.pool().max_age = Some(MINUTE * 60)),
    ("replace_drifted", drifted, |w| w.pool().replace_drifted = true),
    ("evict.kube_system_after", with_kube_system, |w| w.pool().evict.kube_system_after = MINUTE),
    ("evict.local_storage", with_local_storage, |w| w.pool().evict.local_storage = true),
    ("mode", || rising(1), |w| w.pool().mode = Mode::DryRun),
    ("order", newest_is_fullest, |w| w.pool().order = OrderBy::Newest),
    ("headroom.cpu", idle, |w| w.pool().headroom = Resources::new(64_000, 0)),
    ("headroom.memory", idle, |w| w.pool().headroom = Resources::new(0, 64 * GIB)),
    ("join_deadline", booting, |w| w.pool().join_deadline = MINUTE),
    ("not_ready_deadline", not_ready, |w| w.pool().not_ready_deadline = MINUTE),
    ("repair_budget", many_not_ready, |w| w.pool().repair_budget = 100),
    ("replacements_per_hour", sick, |w| w.pool().replacements_per_hour = 1),
    ("drain.load_balancers", cordoned, |w| w.pool().drain.load_balancers = MINUTE),
    ("drain.detach", attached, |w| w.pool().drain.detach = Duration::ZERO),
    ("drain.force_last", taken_in_a_moment, |w| w.pool().drain.force_last = SECOND * 10),
    ("drain.timeout", draining, |w| w.pool().drain.timeout = MINUTE),
    ("budget.per_hour", || rising(2), |w| w.pool().budget.per_hour = Some(Price(100_000))),
];

const CLUSTER: [Row; 24] = [
    ("expanders", many_alike, |w| w.limits.expanders = vec![Expander::Fewest]),
    ("expendable_below", need, |w| w.limits.expendable_below = 1),
    ("pending.age", need, |w| w.limits.pending.age = MINUTE * 2),
    ("pending.predict", not_judged, |w| w.limits.pending.predict = false),
    ("guards.down", idle, |w| w.limits.guards.down = vec!["up".to_owned()]),
    ("timing.view_max_age", seen_a_while_ago, |w| w.limits.timing.view_max_age = SECOND * 10),
    ("timing.manual_ttl", wished_a_while_ago, |w| w.limits.timing.manual_ttl = MINUTE),
    ("timing.refusal", late, |w| w.limits.timing.refusal = MINUTE),
    ("timing.refusal_max", late_again, |w| w.limits.timing.refusal_max = MINUTE * 90),
    ("timing.breaker", not_launched, |w| w.limits.timing.breaker = MINUTE),
    ("timing.breaker_max", not_launched_again, |w| w.limits.timing.breaker_max = MINUTE * 5),
    ("timing.back_off", never_joined, |w| w.limits.timing.back_off = MINUTE),
    ("timing.back_off_max", never_joined, |w| w.limits.timing.back_off_max = MINUTE * 5),
    ("timing.help_check", launched_in_vain, |w| w.limits.timing.help_check = MINUTE * 5),
    ("timing.unhelpable", launched_in_vain, |w| w.limits.timing.unhelpable = MINUTE),
    ("timing.unhelpable_max", launched_in_vain, |w| w.limits.timing.unhelpable_max = MINUTE),
    ("timing.gone_for", gone, |w| w.limits.timing.gone_for = MINUTE),
    ("timing.rebuild_hold", store_lost, |w| w.limits.timing.rebuild_hold = MINUTE),
    ("timing.call", asked_a_while_ago, |w| w.limits.timing.call = MINUTE * 5),
    ("alertmanager.require", two_of_three, |w| w.limits.alertmanager.require = Require::Majority),
    ("alertmanager.ttl_max", delivered_a_while_ago, |w| w.limits.alertmanager.ttl_max = MINUTE),
    ("alertmanager.restart_hold", restarted, |w| w.limits.alertmanager.restart_hold = MINUTE),
    ("alertmanager.watchdog_ttl", heard_a_while_ago, |w| {
        w.limits.alertmanager.watchdog_ttl = MINUTE;
    }),
    ("alertmanager.ttl", forgotten_soon, |w| w.limits.alertmanager.ttl = DAY),
];

/// F-139
#[test]
fn every_limit_changes_what_is_planned() {
    for (field, world, change) in POOL.iter().chain(&CLUSTER) {
        let mut world = world();
        let before = world.plan();
        change(&mut world);
        assert_ne!(before, world.plan(), "{field} changes nothing");
    }
}

fn rising(step: u32) -> World {
    let mut world = World::of(1);
    world.up(Some(step));
    world
}

/// Four workers with a small pod each.
fn idle() -> World {
    let mut world = World::of(4);
    (1..=4).for_each(|number| _ = world.pod_on(number, 100));
    world.down();
    world
}

fn empty() -> World {
    let mut world = World::of(4);
    world.down();
    world
}

fn need() -> World {
    let mut world = World::of(0);
    world.up(None);
    world.pending(1, 1_800);
    world
}

/// Nothing is there yet, and a pod takes a whole worker.
fn first() -> World {
    need()
}

fn picky() -> World {
    let mut world = need();
    world.spec().node_selector.insert("tier".into(), "batch".into());
    world
}

fn tainted() -> World {
    let mut world = need();
    let taint = Taint { key: "gpu".into(), value: "yes".into(), effect: Effect::NoSchedule };
    world.pool().node.taints.push(taint);
    world
}

fn tolerant() -> World {
    let mut world = tainted();
    let toleration = Toleration { key: "gpu".into(), value: Some("yes".into()), effect: None };
    world.spec().tolerations.push(toleration);
    world
}

/// A pool `spare` that comes first by its name, and pods that either would do for.
fn second_pool() -> World {
    let mut world = need();
    world.add_pool("spare", 10);
    world.signal_named("Up").pool = None;
    world
}

/// A worker that came a moment ago, and still carries a taint of its own.
fn starting() -> World {
    let mut world = need();
    let number = world.ready("workers");
    world.pool().node.startup_taints.insert("agent".to_owned());
    let now = world.now;
    let node = world.node(number);
    node.created = now;
    let (key, value) = ("agent".to_owned(), String::new());
    node.taints.push(Taint { key, value, effect: Effect::NoSchedule });
    world
}

/// Pods for which a large worker costs more than small ones.
fn many_alike() -> World {
    let mut world = need();
    let large = Resources::new(8_000, 16 * GIB).with_pods(110);
    world.shapes().push(shape("large", large, Some(900_000)));
    world.pending(5, 1_000);
    world
}

fn sick() -> World {
    let mut world = World::of(2);
    world.replace(1);
    let at = duration::before(world.now, MINUTE);
    world.memory.cluster.replacements.push(at);
    world
}

fn sick_at_max() -> World {
    let mut world = sick();
    world.pool().max = 2;
    world
}

fn grown(world: &mut World, ago: Duration) {
    let at = duration::before(world.now, ago);
    let memory = world.remembered();
    (memory.up_started, memory.up_ended) = (Some(at), Some(at));
}

fn grown_a_while_ago() -> World {
    let mut world = rising(1);
    grown(&mut world, MINUTE * 3);
    world
}

fn shrunk_a_while_ago() -> World {
    let mut world = idle();
    let at = duration::before(world.now, MINUTE * 3);
    world.remembered().down_ended = Some(at);
    world
}

fn need_after_growing() -> World {
    let mut world = need();
    grown(&mut world, MINUTE * 3);
    world
}

fn not_judged() -> World {
    let mut world = World::of(0);
    world.up(None);
    world.add_pod(crate::model::Placement::Waiting, 1_950);
    world
}

fn settling() -> World {
    let mut world = need();
    world.pool().settle = Duration::from_millis(50);
    let first = duration::before(world.now, Duration::from_millis(800));
    world.remembered().need_first = Some(first);
    world
}

fn with_pin(pin: &Pin) -> World {
    let mut world = idle();
    (1..=4).for_each(|number| world.pinned_on(number, pin.clone()));
    world
}

fn with_kube_system() -> World {
    let mut world = with_pin(&Pin::KubeSystem);
    let since = duration::before(world.now, MINUTE * 5);
    for number in 1..=4 {
        let worker = format!("w{number}").as_str().into();
        world.memory.cluster.kube_system_since.insert(worker, since);
    }
    world
}

fn with_local_storage() -> World {
    with_pin(&Pin::LocalStorage)
}

fn newest_is_fullest() -> World {
    let mut world = idle();
    world.pod_on(4, 500);
    world.worker(4).created = duration::before(world.now, DAY / 2);
    world
}

fn cordoned() -> World {
    let mut world = idle();
    world.leaving(1, WorkerState::Cordoned, Purpose::Idle);
    world
}

fn taken_in_a_moment() -> World {
    let mut world = draining();
    world.instance(1).notice = Some(duration::after(world.now, SECOND * 20));
    world.worker(1).purpose = Some(Purpose::Notice);
    world
}

fn attached() -> World {
    let mut world = empty();
    world.leaving(1, WorkerState::Drained, Purpose::Idle);
    world.view().attached.as_mut().unwrap().insert("n1".into(), vec!["pv-1".to_owned()]);
    world
}

fn booting() -> World {
    let mut world = World::of(1);
    world.set(1, WorkerState::Booting);
    world.worker(1).node = None;
    world.view().nodes.clear();
    world.later(MINUTE * 3);
    world
}

fn not_ready() -> World {
    let mut world = World::of(4);
    world.sick_for(1, MINUTE * 3);
    world
}

fn many_not_ready() -> World {
    let mut world = World::of(4);
    (1..=3).for_each(|number| world.sick_for(number, MINUTE * 30));
    world
}

fn draining() -> World {
    let mut world = idle();
    world.set(1, WorkerState::Draining);
    world.worker(1).purpose = Some(Purpose::Idle);
    world.node(1).cordon = Cordon::Ours;
    world.later(MINUTE * 3);
    world
}

/// A drain past its deadline.
fn late() -> World {
    let mut world = draining();
    world.later(MINUTE * 3);
    world
}

/// The same, after others.
fn late_again() -> World {
    let mut world = late();
    let until = duration::before(world.now, MINUTE);
    let refusal = Refusal { count: 4, until, why: String::new() };
    world.memory.cluster.refusals.insert("w1".into(), refusal);
    world
}

fn seen_a_while_ago() -> World {
    let mut world = idle();
    let at = duration::before(world.now, SECOND * 30);
    if let View::Known { at: seen, .. } = &mut world.observed.cluster {
        *seen = at;
    }
    world
}

fn wished_a_while_ago() -> World {
    let mut world = World::of(1);
    let at = duration::before(world.now, MINUTE * 5);
    world.manual(1).last_seen = at;
    world
}

fn drifted() -> World {
    let mut world = World::of(2);
    let other = Taint { key: "old".to_owned(), value: String::new(), effect: Effect::NoSchedule };
    world.worker(1).template = Some(Template { taints: vec![other], ..Template::default() });
    world
}

/// One is past its deadline.
fn never_joined() -> World {
    let mut world = World::of(1);
    world.booting(MINUTE * 6);
    world
}

fn not_launched() -> World {
    let mut world = World::of(1);
    world.set(1, WorkerState::Failed { failure: Failure::NotLaunched });
    world.worker(1).instance = None;
    world.instances("workers").clear();
    world.view().nodes.clear();
    world
}

fn not_launched_again() -> World {
    let mut world = not_launched();
    world.remembered().breaker = Breaker { state: BreakerState::Open, failures: 9, retry_at: None };
    world
}

/// A batch that has been Ready for two minutes, and its pod still waits, for the second time.
fn launched_in_vain() -> World {
    let mut world = World::of(1);
    world.up(None);
    world.pending(1, 1_900);
    world.node(1).cordon = Cordon::Foreign;
    let (uid, ready) = (world.view().pods[0].uid.clone(), duration::before(world.now, MINUTE * 2));
    world.worker(1).batch = Some("batch".into());
    world.worker(1).ready = Some(ready);
    let memory = world.remembered();
    memory.watching.insert("batch".into(), vec![uid.clone()]);
    memory.unhelpable.insert(uid, Unhelpable { vain: 3, until: None });
    world
}

fn gone() -> World {
    let mut world = World::of(1);
    world.set(1, WorkerState::Gone);
    world.instances("workers").clear();
    world.view().nodes.clear();
    world.later(MINUTE * 30);
    world
}

fn store_lost() -> World {
    let mut world = World::of(3);
    world.down();
    world.memory.cluster.store_forgot = Some(duration::before(world.now, MINUTE * 2));
    world
}

/// A launch was asked for a minute ago, and nothing is known of it.
fn asked_a_while_ago() -> World {
    let mut world = World::of(1);
    world.set(1, WorkerState::Requested);
    (world.worker(1).instance, world.worker(1).node) = (None, None);
    world.worker(1).batch = Some("batch".into());
    world.instances("workers").clear();
    world.view().nodes.clear();
    let offering = world.shapes()[0].offerings[0].clone();
    let request = LaunchRequest {
        cluster: "c".into(),
        cluster_uid: "uid-1".into(),
        pool: "workers".into(),
        batch: "batch".into(),
        token: None,
        orders: vec![crate::model::Order { worker: "w1".into(), offering }],
        fallback: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        taints: Vec::new(),
    };
    let intent = Intent { at: world.now, request, permit: Permit::Need, pods: Vec::new() };
    world.memory.intents.insert("batch".into(), intent);
    world.later(MINUTE);
    world
}

fn two_of_three() -> World {
    let mut world = idle();
    let started = Some(duration::before(world.now, DAY));
    let peer = PeerState { url: "http://am-3".to_owned(), started, error: None };
    world.observed.truth.peers.push(peer);
    world.a_peer_is_away();
    world
}

fn delivered_a_while_ago() -> World {
    let mut world = idle();
    world.observed.truth.ttl = MINUTE * 10;
    world.signal_named("Idle").last_seen = duration::before(world.now, MINUTE * 2);
    world
}

fn restarted() -> World {
    let mut world = idle();
    let before = duration::before(world.now, DAY);
    world.memory.cluster.alertmanagers.insert("http://am-1".to_owned(), before);
    world.observed.truth.peers[0].started = Some(world.now);
    world
}

fn heard_a_while_ago() -> World {
    let mut world = idle();
    world.signal_named("Watchdog").last_seen = duration::before(world.now, MINUTE * 2);
    world
}

/// An alert that was heard last so long ago that its record is dropped.
fn forgotten_soon() -> World {
    let mut world = World::of(1);
    let at = world.now;
    world.up(None).last_seen = duration::before(at, MINUTE * 60);
    world
}
