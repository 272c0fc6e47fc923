//! Pods that are need before the scheduler has judged them, and what happens where that was wrong.

use crate::model::{Ask, Placement, Predictions, duration};
use crate::policy::fixtures::{MINUTE, SECOND, World};
use crate::policy::{sensors, without_launch};

/// An alert asks, `workers` are full, and this many pods came a moment ago that a new worker each would hold.
fn unjudged(workers: u32, pods: u32) -> World {
    let mut world = World::of(workers);
    world.up(None);
    world.pool().max = 400;
    world.pool().limits.launches_per_hour = 1_000;
    (1..=workers).for_each(|number| _ = world.pod_on(number, 1_950));
    (0..pods).for_each(|_| fresh(&mut world, 1_500));
    world
}

fn fresh(world: &mut World, cpu_milli: u64) {
    let now = world.now;
    world.add_pod(Placement::Waiting, cpu_milli).created = now;
}

/// A launch was decided for pods that had not been judged, and a minute has passed.
fn foreseen(mut world: World) -> World {
    let noted = world.plan().pools[&"workers".into()].foreseen.clone();
    assert_eq!(noted.len(), 1, "it is noted");
    world.remembered().foreseen = noted;
    world.later(MINUTE);
    let now = world.now;
    if let crate::model::View::Known { at, .. } = &mut world.observed.cluster {
        *at = now;
    }
    world
}

/// The pods that had not been judged, from the first.
fn become_of(world: &mut World, placements: &[Placement]) {
    let pods = world.pods().filter(|pod| pod.placement == Placement::Waiting);
    pods.zip(placements).for_each(|(pod, placement)| pod.placement = placement.clone());
}

fn on(node: &str) -> Placement {
    Placement::Bound(node.into())
}

fn marked(world: &World) -> Placement {
    Placement::Unschedulable { since: world.now }
}

fn told(world: &World) -> (u32, u32) {
    let Predictions { right, wrong, .. } = world.plan().memory.predictions;
    (right, wrong)
}

#[test]
fn a_pod_that_nobody_has_judged_and_for_which_there_is_no_place_is_need() {
    assert_eq!(unjudged(1, 2).launches(), 2);
}

#[test]
fn nothing_is_foreseen_where_the_file_says_so() {
    let mut world = unjudged(1, 2);
    world.limits.pending.predict = false;
    assert_eq!(world.launches(), 0);
}

/// Its scheduler does not work, or it was placed while we heard nothing.
#[test]
fn what_nobody_judges_for_minutes_is_not_foreseen() {
    let mut world = unjudged(1, 2);
    world.later(SECOND * 119);
    assert_eq!(world.launches(), 2);
    world.later(SECOND);
    assert_eq!(world.launches(), 0);
}

/// It waits for a moment only: it is no pod without a place, to nobody.
#[test]
fn a_pod_that_nobody_has_judged_and_for_which_there_is_room_is_not_told_of() {
    let mut world = World::of(2);
    world.up(None);
    fresh(&mut world, 100);
    let told = sensors(&world.observed, &world.memory, &world.limits, world.now).unwrap();
    assert_eq!(told.unschedulable.values().sum::<usize>(), 0);
    assert_eq!(world.launches(), 0);
}

#[test]
fn a_pod_that_nobody_has_judged_and_no_worker_could_hold_is_not_told_of() {
    let mut world = unjudged(0, 0);
    fresh(&mut world, 99_000);
    let told = sensors(&world.observed, &world.memory, &world.limits, world.now).unwrap();
    assert_eq!(told.unschedulable.values().sum::<usize>(), 0);
    assert!(world.decision().also.is_empty(), "{:?}", world.decision().also);
}

#[test]
fn what_is_foreseen_is_told_to_rules_as_what_is_marked() {
    let world = unjudged(1, 3);
    let told = sensors(&world.observed, &world.memory, &world.limits, world.now).unwrap();
    let worker = told.unschedulable.iter().find(|(why, _)| why.reason == "worker").unwrap();
    assert_eq!(*worker.1, 3);
}

#[test]
fn a_pod_that_the_scheduler_marks_or_puts_on_a_new_node_was_foreseen_rightly() {
    let mut world = foreseen(unjudged(1, 3));
    let came = duration::before(world.now, SECOND * 30);
    world.node(1).created = came;
    let marked = marked(&world);
    become_of(&mut world, &[on("n1"), marked]);
    assert_eq!(told(&world), (3, 0), "one still waits, so it has no place either");
}

#[test]
fn a_pod_on_a_node_that_was_there_was_foreseen_wrongly() {
    let mut world = foreseen(unjudged(1, 3));
    become_of(&mut world, &[on("n1")]);
    assert_eq!(told(&world), (2, 1));
}

#[test]
fn it_is_judged_when_the_scheduler_has_had_its_time() {
    let mut world = foreseen(unjudged(1, 3));
    become_of(&mut world, &[on("n1")]);
    world.now = duration::before(world.now, SECOND);
    assert_eq!(told(&world), (0, 0));
}

/// Pods are alike: it takes those it likes, and as many as there was room for are none of the launch's.
#[test]
fn which_of_several_pods_take_the_room_that_there_was_is_the_schedulers_choice() {
    let mut world = World::of(1);
    world.up(None);
    (0..4).for_each(|_| fresh(&mut world, 1_500));
    assert_eq!(world.launches(), 3, "one fits on what is there");
    let mut world = foreseen(world);
    for order in [[0, 3], [3, 0]] {
        let mut world = world.clone();
        let mut placements = vec![marked(&world); 4];
        placements[order[0]] = on("n1");
        become_of(&mut world, &placements);
        assert_eq!(told(&world), (3, 0));
    }
    become_of(&mut world, &[on("n1"), on("n1")]);
    assert_eq!(told(&world), (2, 1), "two were there");
}

#[test]
fn of_pods_that_are_gone_nobody_knows() {
    let mut world = foreseen(unjudged(1, 3));
    world.view().pods.truncate(1);
    assert_eq!(told(&world), (0, 0));
    assert!(world.plan().pools[&"workers".into()].foreseen.is_empty());
}

#[test]
fn an_unknown_or_old_view_judges_nothing() {
    let mut world = foreseen(unjudged(1, 3));
    become_of(&mut world, &[on("n1")]);
    let mut unknown = world.clone();
    unknown.view_is_unknown();
    assert_eq!(told(&unknown), (0, 0));
    world.view_is_stale();
    assert_eq!(told(&world), (0, 0));
    assert_eq!(world.plan().pools[&"workers".into()].foreseen.len(), 1);
}

/// Nothing was asked for.
#[test]
fn a_launch_that_was_refused_is_not_followed_up() {
    let world = unjudged(1, 1);
    let (plan, before) = (world.plan(), world.memory.pools.get(&"workers".into()).cloned());
    let planned = &plan.pools[&"workers".into()];
    assert_eq!(planned.foreseen.len(), 1);
    let crate::model::Verdict::Launch { intent } = world.decision().verdict else { panic!() };
    let memory = without_launch(planned, &before.unwrap_or_default(), &intent);
    assert!(memory.foreseen.is_empty());
}

/// So many were right and so many wrong, and one more is wrong.
fn wrong_again(right: u32, wrong: u32) -> World {
    let mut world = foreseen(unjudged(1, 1));
    world.memory.cluster.predictions = Predictions { right, wrong, off: None };
    become_of(&mut world, &[on("n1")]);
    let plan = world.plan();
    world.memory.cluster.predictions = plan.memory.predictions;
    world.remembered().foreseen.clear();
    world
}

#[test]
fn where_more_than_one_in_a_hundred_is_wrong_nothing_is_foreseen_any_more() {
    let is_off = |right, wrong| wrong_again(right, wrong).memory.cluster.predictions.off.is_some();
    assert!(!is_off(0, 98), "fewer than a hundred say nothing");
    assert!(is_off(98, 1));
    assert!(is_off(197, 1), "2 of 199");
    assert!(!is_off(198, 1), "2 of 200");
    let mut world = wrong_again(98, 1);
    fresh(&mut world, 1_500);
    assert_eq!(world.launches(), 0);
    world.pending(1, 1_500);
    assert_eq!(world.launches(), 1, "what is marked is need as ever");
}

#[test]
fn a_new_configuration_foresees_again() {
    let mut world = wrong_again(98, 1);
    assert!(world.plan().memory.predictions.off.is_some(), "and it stays so");
    world.limits.pending.age = SECOND;
    assert_eq!(world.plan().memory.predictions, Predictions::default());
}

#[test]
fn an_operator_who_resumes_it_foresees_again() {
    let mut world = wrong_again(98, 1);
    world.manual(1).ask = Ask::Foresee;
    let plan = world.plan();
    assert_eq!(plan.memory.predictions, Predictions::default());
    world.apply(&plan);
    world.later(SECOND);
    let plan = world.plan();
    assert_eq!(plan.expired.len(), 1, "the wish is done with");
    world.apply(&plan);
    fresh(&mut world, 1_500);
    assert_eq!(world.launches(), 1);
}

/// Else what was right for years would excuse what is wrong now.
#[test]
fn what_is_long_ago_counts_less() {
    let known = wrong_again(1_400, 5).memory.cluster.predictions;
    assert_eq!(known, Predictions { right: 700, wrong: 3, off: None });
}
