//! What pending pods would need: what new nodes will offer, which pods are waited for already, and
//! which pools may grow for them.

use crate::model::{
    Cordon, Effect, Permit, PodKind, Purpose, Reason, Resources, Taint, Verdict, View, WorkerState,
    duration,
};
use crate::policy::fixtures::{
    GIB, MINUTE, Reads as _, SECOND, World, code, launches, shape, small,
};

///
#[test]
fn waiting_pods_add_as_many_workers_as_they_need() {
    let mut world = World::of(0);
    world.up(None);
    world.pending(5, 900);
    let decision = world.decision();
    assert_eq!(launches(&decision), 3, "two pods of 900m on each worker of 2000m");
    assert_eq!(decision.reason, Reason::PodsPending { pods: 5, workers: 3 });
    let Verdict::Launch { intent } = decision.verdict else { panic!("no launch") };
    assert_eq!(intent.pods.len(), 5);
    assert_eq!(intent.permit, Permit::Up { signals: vec!["fp-Up".into()] });
    world.resolve("Up");
    assert_eq!(world.launches(), 0, "an alert that is over opens no pool");
}

/// no Alertmanager, no alert.
#[test]
fn while_no_alertmanager_answers_proven_need_is_served() {
    let mut world = World::of(0);
    world.pending(2, 900);
    world.alertmanager_away();
    let Verdict::Launch { intent } = world.decision().verdict else { panic!("no launch") };
    assert_eq!((intent.request.orders.len(), &intent.permit), (1, &Permit::Need));
}

#[test]
fn what_daemon_pods_take_of_each_node_is_not_promised_again() {
    let mut world = World::of(1);
    world.pod_on(1, 300).kind = PodKind::Daemon;
    world.pod_on(1, 1_700);
    world.up(None);
    world.pending(2, 900);
    assert_eq!(world.launches(), 2, "1700m are left on a new worker");
}

#[test]
fn daemon_pods_of_other_pools_take_nothing() {
    let mut world = World::of(0);
    world.add_pool("others", 1);
    let number = world.ready("others");
    world.pod_on(number, 1_900).kind = PodKind::Daemon;
    world.up(None);
    world.pending(1, 900);
    assert_eq!(world.launches(), 1);
}

/// Pods that may stand anywhere may have taken what was bought for those that may not.
#[test]
fn room_where_a_pod_may_not_stand_is_none_and_what_it_lacks_is_launched_for_once() {
    let mut world = World::of(0);
    world.add_pool("others", 10);
    world.ready("others");
    for pool in ["workers", "others"] {
        world.pool_named(pool).node.labels.insert("tier".to_owned(), pool.to_owned());
    }
    world.booting(SECOND);
    world.up(None);
    for _ in 0..3 {
        world.pending(1, 900);
        world.spec().node_selector.insert("tier".to_owned(), "workers".to_owned());
    }
    let plan = world.plan();
    assert_eq!(launches(plan.of("workers")), 1, "the one that comes is for two of them");
    world.apply(&plan);
    assert_eq!(launches(world.plan().of("workers")), 0);
}

#[test]
fn a_pool_grows_for_its_own_alert_only() {
    let mut world = World::of(0);
    world.add_pool("others", 10);
    world.up(None);
    world.pending(3, 1_500);
    let plan = world.plan();
    assert_eq!((launches(plan.of("workers")), launches(plan.of("others"))), (3, 0));
}

#[test]
fn what_does_not_fit_into_one_pool_is_given_to_the_next() {
    let mut world = World::of(0);
    world.add_pool("others", 1);
    world.up(None).pool = None;
    world.pending(3, 1_500);
    let plan = world.plan();
    assert_eq!((launches(plan.of("others")), launches(plan.of("workers"))), (1, 2));
}

#[test]
fn a_wish_opens_its_pool_for_the_pods_that_wait() {
    let mut world = World::of(0);
    world.pending(3, 1_500);
    world.manual(1);
    assert_eq!(world.launches(), 3);
}

#[test]
fn a_wish_that_is_paused_or_too_old_asks_for_nothing() {
    let mut world = World::of(1);
    let now = world.now;
    world.manual(1).last_seen = duration::before(now, MINUTE * 10);
    assert_eq!(world.launches(), 1);
    let mut paused = world.clone();
    paused.silence("manual");
    assert_eq!(code(&paused), "paused");
    world.signal_named("manual").last_seen = duration::before(now, MINUTE * 11);
    assert_eq!(code(&world), "nothing_asked");
}

/// A pool of which nothing is there yet, whose nodes keep something for themselves.
fn empty(cpu_milli: u64) -> World {
    let mut world = World::of(0);
    world.up(None);
    world.pool().node.reserved = Resources::new(200, GIB);
    world.pending(1, cpu_milli);
    world
}

#[test]
fn before_there_is_a_node_its_capacity_less_what_it_keeps_is_promised() {
    assert_eq!(empty(1_800).launches(), 1);
    assert_eq!(empty(1_801).launches(), 0);
}

#[test]
fn the_least_of_the_nodes_there_are_corrects_what_is_promised() {
    for (seen, asked, launches) in [(1_500, 1_500, 1), (1_500, 1_501, 0), (1_950, 1_900, 1)] {
        let mut world = World::of(2);
        world.up(None);
        world.pool().node.reserved = Resources::new(200, GIB);
        for node in world.nodes() {
            node.allocatable.cpu_milli = seen;
        }
        world.node(2).allocatable.cpu_milli = seen + 20;
        world.pod_on(1, seen);
        world.pod_on(2, seen);
        world.pending(1, asked);
        assert_eq!(world.launches(), launches, "seen {seen}, asked {asked}");
    }
}

/// A full node, and pods that wait.
fn full(pods: u32, change: impl FnOnce(&mut World)) -> usize {
    let mut world = World::of(1);
    world.up(None);
    world.pod_on(1, 2_000);
    world.pending(pods, 100);
    change(&mut world);
    world.launches()
}

#[test]
fn memory_and_pods_are_corrected_too() {
    assert_eq!(full(4, |_| {}), 1);
    assert_eq!(full(4, |world| world.node(1).allocatable.memory = GIB / 4), 2, "128 MiB for each");
    assert_eq!(full(4, |world| world.node(1).allocatable.pods = 1), 4);
}

#[test]
fn a_device_that_shows_up_on_a_node_is_promised() {
    let gpu = || "nvidia.com/gpu".to_owned();
    assert_eq!(full(1, |world| _ = world.spec().requests.extended.insert(gpu(), 1)), 0);
    let launches = full(1, |world| {
        world.spec().requests.extended.insert(gpu(), 1);
        world.node(1).allocatable.extended.insert(gpu(), 1);
    });
    assert_eq!(launches, 1);
}

#[test]
fn another_shapes_nodes_correct_nothing() {
    let mut world = World::of(1);
    world.up(None);
    world.shapes().push(shape("large", Resources::new(8_000, 32 * GIB).with_pods(110), Some(9)));
    world.node(1).allocatable.cpu_milli = 100;
    world.pending(1, 7_000);
    assert_eq!(world.launches(), 1);
}

#[test]
fn a_device_that_has_not_shown_up_on_a_node_is_promised_all_the_same() {
    let mut world = World::of(1);
    world.up(None);
    let mut capacity = small();
    capacity.extended.insert("nvidia.com/gpu".to_owned(), 1);
    *world.shapes() = vec![shape("small", capacity, Some(50_000))];
    world.pending(1, 100);
    world.spec().requests.extended.insert("nvidia.com/gpu".to_owned(), 1);
    assert_eq!(world.launches(), 1);
}

/// Two workers are on their way for four pods, and then their shape is not known any more.
fn on_its_way(change: impl FnOnce(&mut World)) -> World {
    let mut world = World::of(0);
    world.up(None);
    world.pending(4, 900);
    let plan = world.plan();
    world.apply(&plan);
    assert_eq!(world.memory.workers.len(), 2);
    change(&mut world);
    world
}

#[test]
fn pods_that_a_worker_of_an_unknown_shape_comes_for_are_not_launched_for_again() {
    let other = || shape("other", small(), Some(50_000));
    let mut world = on_its_way(|world| *world.shapes() = vec![other()]);
    assert_eq!(world.launches(), 0, "its shape is not sold any more");
    world.pending(2, 900);
    assert_eq!(world.launches(), 1, "others are a need of their own");

    let mut world = on_its_way(|world| world.shapes().push(other()));
    assert_eq!(world.launches(), 0);
    world.memory.workers.pop_last();
    assert_eq!(world.launches(), 1, "one of the two will not come");

    let world = on_its_way(|world| {
        world.add_pool("second", 10);
        let unknown = View::Unknown { why: "timeout".to_owned() };
        world.observed.shapes.insert("workers".into(), unknown);
    });
    for pool in ["workers", "second"] {
        assert_eq!(launches(&world.decision_of(pool)), 0, "{pool}: what it can buy is not known");
    }
}

#[test]
fn headroom_is_launched_beyond_what_pods_ask_for_and_only_with_them() {
    let with = |cpu_milli, memory| {
        let mut world = World::of(1);
        world.up(None);
        world.pod_on(1, 2_000);
        world.pool().headroom = Resources::new(cpu_milli, memory);
        world
    };
    assert_eq!(with(4_000, 0).launches(), 0, "nothing is asked for");
    for (cpu_milli, memory, launches) in
        [(0, 0, 1), (1_000, 0, 1), (1_001, 0, 2), (3_000, 0, 2), (0, 9 * GIB, 2), (0, 12 * GIB, 3)]
    {
        let mut world = with(cpu_milli, memory);
        world.pending(1, 1_000);
        assert_eq!(world.launches(), launches, "{cpu_milli}m, {memory} bytes");
    }
}

#[test]
fn room_on_a_closed_node_is_no_headroom() {
    let with = |cordon| {
        let mut world = World::of(2);
        world.up(None);
        world.pod_on(1, 2_000);
        world.pod_on(2, 1_000);
        world.pool().headroom = Resources::new(1_000, 0);
        world.node(2).cordon = cordon;
        world.pending(1, 1_500);
        world.launches()
    };
    assert_eq!(with(Cordon::None), 1);
    assert_eq!(with(Cordon::Foreign), 2);
}

#[test]
fn room_on_nodes_that_are_not_the_pools_is_no_headroom_of_it() {
    let mut world = World::of(3);
    world.down();
    (1..=3).for_each(|number| _ = world.pod_on(number, 100));
    world.pool().headroom = Resources::new(2_500, 0);
    assert_eq!(world.drains().len(), 1);
    world.memory.workers.remove(&"w3".into());
    world.instances("workers").remove(2);
    let foreign = world.node(3);
    (foreign.worker, foreign.pool) = (None, None);
    assert_eq!(world.drains().len(), 0);
}

/// A pod that waits, and the worker that was launched for it, which keeps it off by a taint or a cordon.
fn kept_off(change: impl FnOnce(&mut World)) -> usize {
    let mut world = World::of(1);
    world.up(None);
    world.pending(1, 1_500);
    let pod = world.view().pods[0].uid.clone();
    let now = world.now;
    (world.worker(1).batch, world.worker(1).ready) = (Some("b".into()), Some(now));
    world.remembered().watching.insert("b".into(), vec![pod]);
    change(&mut world);
    world.launches()
}

fn tainted(world: &mut World) {
    let (key, value) = ("starting".to_owned(), String::new());
    world.node(1).taints.push(Taint { key, value, effect: Effect::NoSchedule });
}

#[test]
fn a_new_node_that_keeps_its_pod_off_for_now_is_not_launched_for_again() {
    assert_eq!(kept_off(tainted), 0, "by a taint");
    assert_eq!(kept_off(|world| world.node(1).cordon = Cordon::Foreign), 0, "by a cordon");
    let filled = |world: &mut World| {
        tainted(world);
        world.pod_on(1, 1_000);
    };
    assert_eq!(kept_off(filled), 1, "there is no room for it either");
    assert_eq!(kept_off(|world| world.unjoined(1)), 1, "whether it has room is not known");
    let leaves = |world: &mut World| world.leaving(1, WorkerState::Draining, Purpose::Manual);
    assert_eq!(kept_off(leaves), 1, "it is on its way out");
}

#[test]
fn of_the_workers_that_were_launched_for_a_pod_one_that_keeps_it_off_is_enough() {
    let another = |batch: &'static str| {
        move |world: &mut World| {
            tainted(world);
            let full = world.ready("workers");
            world.pod_on(full, 1_900);
            world.worker(full).batch = Some(batch.into());
            let pods = world.remembered().watching.remove(&"b".into()).unwrap();
            world.remembered().watching.insert("b".into(), vec!["another".into()]);
            world.remembered().watching.insert(batch.into(), pods);
        }
    };
    assert_eq!(kept_off(another("b")), 0);
    assert_eq!(kept_off(another("c")), 1, "the other was launched for somebody else");
}
