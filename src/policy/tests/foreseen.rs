//! Pods that are need before the scheduler has judged them, and what happens where that was wrong.

use crate::model::{Foreseen, Placement, Uid, duration};
use crate::policy::fixtures::{MINUTE, SECOND, World};
use crate::policy::sensors;

/// An alert asks, `workers` are full, and this many pods have not been judged that a new worker each would hold.
fn unjudged(workers: u32, pods: u32) -> World {
    let mut world = World::of(workers);
    world.up(None);
    (1..=workers).for_each(|number| _ = world.pod_on(number, 1_950));
    (0..pods).for_each(|_| _ = world.add_pod(Placement::Waiting, 1_500));
    world
}

/// One launch was decided for so many pods that had not been judged; they are the last ones.
fn foreseen(pods: u32) -> World {
    let mut world = unjudged(1, pods);
    world.pool().max = 200;
    world.memory.cluster.foreseen = world.plan().memory.foreseen;
    assert_eq!(world.memory.cluster.foreseen.open.len(), pods as usize);
    world.later(SECOND * 3);
    world
}

fn becomes(world: &mut World, nth: usize, placement: Placement) {
    world.pods().nth(1 + nth).unwrap().placement = placement;
}

fn follow(world: &mut World) -> Foreseen {
    world.memory.cluster.foreseen = world.plan().memory.foreseen;
    world.memory.cluster.foreseen.clone()
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

/// It waits for a moment only: it is no pod without a place, to nobody.
#[test]
fn a_pod_that_nobody_has_judged_and_for_which_there_is_room_is_not_told_of() {
    let mut world = World::of(2);
    world.up(None);
    world.down();
    world.add_pod(Placement::Waiting, 100);
    let told = sensors(&world.observed, &world.memory, &world.limits, world.now).unwrap();
    assert_eq!(told.unschedulable.values().sum::<usize>(), 0);
    assert_eq!(world.launches(), 0);
}

#[test]
fn a_pod_that_nobody_has_judged_and_no_worker_could_hold_is_not_told_of() {
    let mut world = unjudged(0, 0);
    world.add_pod(Placement::Waiting, 99_000);
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
fn a_pod_that_was_launched_for_is_foreseen_once() {
    let mut world = foreseen(1);
    assert_eq!(follow(&mut world).open.len(), 1, "still not judged");
    let pod = world.pods().nth(1).unwrap().uid.clone();
    assert!(world.memory.cluster.foreseen.open.contains_key(&pod));
}

#[test]
fn a_pod_that_the_scheduler_marks_was_foreseen_rightly() {
    let mut world = foreseen(2);
    let since = world.now;
    becomes(&mut world, 0, Placement::Unschedulable { since });
    let told = follow(&mut world);
    assert_eq!((told.open.len(), told.right, told.wrong), (1, 1, 0));
}

#[test]
fn a_pod_on_a_node_that_was_there_was_foreseen_wrongly() {
    let mut world = foreseen(2);
    becomes(&mut world, 0, Placement::Bound("n1".into()));
    let told = follow(&mut world);
    assert_eq!((told.open.len(), told.right, told.wrong), (1, 0, 1));
}

#[test]
fn a_pod_on_a_node_that_came_since_was_foreseen_rightly() {
    let mut world = foreseen(1);
    let came = duration::before(world.now, SECOND * 2);
    world.node(1).created = came;
    becomes(&mut world, 0, Placement::Bound("n1".into()));
    let told = follow(&mut world);
    assert_eq!((told.right, told.wrong), (1, 0));
}

#[test]
fn of_a_pod_that_is_gone_nobody_knows() {
    let mut world = foreseen(1);
    world.view().pods.pop();
    assert_eq!(follow(&mut world), Foreseen::default());
}

#[test]
fn an_unknown_or_old_view_judges_nothing() {
    let mut world = foreseen(1);
    becomes(&mut world, 0, Placement::Bound("n1".into()));
    let mut unknown = world.clone();
    unknown.view_is_unknown();
    assert_eq!(follow(&mut unknown).open.len(), 1);
    world.now = duration::after(world.now, MINUTE * 2);
    assert_eq!(follow(&mut world).open.len(), 1);
}

/// So many were right and so many wrong, and one more is wrong.
fn wrong_again(right: u32, wrong: u32) -> World {
    let mut world = foreseen(1);
    let known = &mut world.memory.cluster.foreseen;
    (known.right, known.wrong) = (right, wrong);
    becomes(&mut world, 0, Placement::Bound("n1".into()));
    follow(&mut world);
    world
}

#[test]
fn where_more_than_one_in_a_hundred_is_wrong_nothing_is_foreseen_any_more() {
    let is_off = |right, wrong| wrong_again(right, wrong).memory.cluster.foreseen.off.is_some();
    assert!(!is_off(0, 0), "one may be chance");
    assert!(is_off(0, 1));
    assert!(is_off(197, 1), "2 of 199");
    assert!(!is_off(198, 1), "2 of 200");
    let mut world = wrong_again(0, 1);
    world.add_pod(Placement::Waiting, 1_500);
    assert_eq!(world.launches(), 0);
    world.pending(1, 1_500);
    assert_eq!(world.launches(), 1, "what is marked is need as ever");
}

#[test]
fn a_new_configuration_foresees_again() {
    let mut world = wrong_again(0, 1);
    assert!(follow(&mut world).off.is_some(), "and it stays so");
    world.limits.pending.age = SECOND;
    assert_eq!(follow(&mut world), Foreseen::default());
}

/// Else what was right for years would excuse what is wrong now.
#[test]
fn what_is_long_ago_counts_less() {
    let known = wrong_again(1_400, 5).memory.cluster.foreseen;
    assert_eq!((known.right, known.wrong, known.off), (700, 3, None));
}

#[test]
fn what_no_launch_was_decided_for_is_not_followed_up() {
    let mut world = unjudged(1, 1);
    world.pool().max = 1;
    assert_eq!(follow(&mut world).open.keys().collect::<Vec<&Uid>>(), Vec::<&Uid>::new());
}
