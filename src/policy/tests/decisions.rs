//! What a decision tells people, whatever it decides.

use crate::config::Mode;
use crate::model::{Pin, Reason, Resources, Verdict};
use crate::policy::fixtures::{Reads as _, World, blocked, launches};

#[test]
fn a_pool_that_holds_wants_what_it_has_and_says_whether_it_would_act() {
    let mut world = World::of(3);
    let decision = world.decision();
    assert!(matches!(decision.verdict, Verdict::Hold));
    assert_eq!((decision.have, decision.want, decision.dry_run), (3, 3, false));
    world.pool().mode = Mode::DryRun;
    assert!(world.decision().dry_run);
    world.memory.cluster.uid = Some("another".into());
    assert_eq!((world.decision().have, world.decision().want), (3, 3), "of another cluster too");
}

#[test]
fn a_signal_that_does_not_count_is_told_beside_its_own_pool_only() {
    let mut world = World::of(1);
    world.add_pool("others", 3);
    world.down().pool = Some("others".into());
    world.told_of("Idle").inhibited_by.push("fp-Up".into());
    let plan = world.plan();
    assert_eq!(plan.of("others").reason.code(), "inhibited");
    let decision = plan.of("workers");
    assert_eq!((&decision.reason, &decision.also), (&Reason::NothingAsked, &Vec::new()));
}

#[test]
fn what_keeps_each_worker_is_told_once() {
    let mut world = World::of(3);
    world.down();
    world.pool().headroom = Resources::new(100_000, 0);
    let Reason::NoCandidate { blocked } = world.held() else { panic!() };
    let ids: Vec<String> = blocked.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(ids, ["w1", "w2", "w3"]);
}

#[test]
fn a_pod_is_told_by_its_namespace_and_name() {
    let mut world = World::of(1);
    world.down();
    world.pinned_on(1, Pin::Bare);
    world.spec().namespace = "shop".into();
    world.first_pod().name = "db-0".into();
    let Reason::PodPinned { pod, .. } = &blocked(&world.held())["w1"] else { panic!() };
    assert_eq!(pod, "shop/db-0");
}

#[test]
fn a_wish_is_told_with_its_owner_and_its_number() {
    for by in [2, -2] {
        let mut world = World::of(4);
        world.manual(by);
        assert_eq!(world.decision().reason, Reason::ManualScale { who: "ada".to_owned(), by });
    }
}

#[test]
fn whatever_asks_for_workers_is_told() {
    let mut world = World::of(1);
    world.up(Some(2));
    world.manual(1);
    let mut told: Vec<String> =
        world.decision().signals.iter().map(|id| id.as_str().to_owned()).collect();
    told.sort();
    assert_eq!(told, ["fp-Up", "manual-2"]);
}

#[test]
fn that_a_pool_is_full_is_told_where_it_cuts_a_need_and_not_where_it_is_met() {
    let mut world = World::of(1);
    world.manual(2);
    for (max, launched, told) in [(3, 2, false), (2, 1, true)] {
        world.pool().max = max;
        let decision = world.decision();
        assert_eq!(launches(&decision), launched);
        assert_eq!(decision.also.contains(&Reason::AtMax { max }), told, "{max}");
    }
}
