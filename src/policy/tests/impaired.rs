//! Machines that run and are not well: people are told, and nothing is decided by it.

use crate::model::{Plan, Reason, Transition};
use crate::policy::fixtures::{World, worker_id};

fn say(world: &mut World, number: u32, words: Option<&str>) {
    world.instance(number).told = words.map(str::to_owned);
}

/// Of whom a line of history is told in a pass, and what, once that is stored.
fn lines(world: &mut World) -> Vec<(String, String)> {
    let plan = world.plan();
    world.commit(&plan);
    told(&plan)
}

fn told(plan: &Plan) -> Vec<(String, String)> {
    let line = |transition: &Transition| match transition {
        Transition::Told { worker, reason: Reason::Impaired { machines: 1, what } } => {
            Some((worker.to_string(), what.clone()))
        }
        _ => None,
    };
    plan.transitions.iter().filter_map(line).collect()
}

fn line(number: u32, words: &str) -> (String, String) {
    (worker_id(number).to_string(), format!("i{number}: {words}"))
}

#[test]
fn what_the_provider_says_of_a_machine_that_runs_is_told_and_ends_nothing() {
    let mut world = World::of(3);
    for number in [1, 2] {
        say(&mut world, number, Some("a check fails"));
    }
    let decision = world.decision();
    let what = "i1: a check fails".to_owned();
    assert!(decision.also.contains(&Reason::Impaired { machines: 2, what }), "{decision:#?}");
    let plan = world.plan();
    assert_eq!(plan.steps, []);
    assert_eq!(told(&plan), [line(1, "a check fails"), line(2, "a check fails")]);
    assert_eq!(plan.transitions.len(), 2, "and no record moves: {plan:#?}");
}

#[test]
fn a_worker_whose_machine_is_not_well_has_one_line_of_history_for_each_time_that_it_is_told_anew() {
    let mut world = World::of(3);
    say(&mut world, 1, Some("a check fails"));
    assert_eq!(lines(&mut world), [line(1, "a check fails")]);
    assert_eq!(lines(&mut world), []);
    assert!(world.plan().is_quiet());
    say(&mut world, 1, Some("another fails"));
    assert_eq!(lines(&mut world), [line(1, "another fails")]);
    say(&mut world, 1, None);
    assert_eq!(lines(&mut world), []);
    say(&mut world, 1, Some("another fails"));
    assert_eq!(lines(&mut world), [line(1, "another fails")], "it was well in between");
}

#[test]
fn a_list_that_is_not_known_says_of_no_machine_that_it_is_well_again() {
    let mut world = World::of(3);
    say(&mut world, 1, Some("a check fails"));
    lines(&mut world);
    let known = world.observed.instances.clone();
    world.list_is_unknown();
    assert_eq!(lines(&mut world), []);
    world.observed.instances = known;
    assert_eq!(lines(&mut world), [], "it was told before");
}

/// After a restart, say, where AWS cannot be asked for its checks at first.
#[test]
fn a_machine_of_which_nothing_could_be_asked_is_not_taken_for_well() {
    let mut world = World::of(3);
    say(&mut world, 1, Some("a check fails"));
    lines(&mut world);
    say(&mut world, 1, None);
    world.instance(1).unchecked = true;
    assert_eq!(lines(&mut world), []);
    world.instance(1).unchecked = false;
    say(&mut world, 1, Some("a check fails"));
    assert_eq!(lines(&mut world), [], "it was told before");
}

/// Its node is Ready, so it is there.
#[test]
fn a_list_that_lacks_a_machine_says_of_it_neither() {
    let mut world = World::of(3);
    say(&mut world, 1, Some("a check fails"));
    lines(&mut world);
    let known = world.observed.instances.clone();
    world.unlisted(1);
    assert_eq!(lines(&mut world), []);
    world.observed.instances = known;
    assert_eq!(lines(&mut world), [], "it was told before");
}

#[test]
fn of_a_worker_that_is_gone_nothing_is_remembered() {
    let mut world = World::of(3);
    say(&mut world, 1, Some("a check fails"));
    lines(&mut world);
    world.memory.workers.remove(&worker_id(1));
    lines(&mut world);
    assert!(world.memory.cluster.impaired.is_empty());
}
