//! Why a pod is nowhere, or a worker still there, in words.

use crate::model::{
    Cordon, Explanation, Failure, Labels, Pin, Placement, PodKind, Subject, Unhelpable,
    WorkerState, duration,
};
use crate::policy::explain;
use crate::policy::fixtures::{MINUTE, World};

fn about(world: &World, subject: &Subject) -> Option<Explanation> {
    explain(subject, &world.observed, &world.memory, &world.limits, &world.plan())
}

/// What is said of the last pod.
fn of_pod(world: &mut World) -> Explanation {
    let name = world.pods().last().unwrap().name.clone();
    let subject = Subject::Pod { namespace: "default".to_owned(), name };
    about(world, &subject).unwrap()
}

fn of_node(world: &World, name: &str) -> Explanation {
    about(world, &Subject::Node(name.into())).unwrap()
}

#[test]
fn what_was_not_seen_is_not_explained() {
    let mut world = World::of(1);
    let pod = |name: &str| Subject::Pod { namespace: "default".to_owned(), name: name.to_owned() };
    assert_eq!(about(&world, &pod("none")), None);
    assert_eq!(about(&world, &Subject::Node("n9".into())), None);
    world.view_is_unknown();
    assert_eq!(about(&world, &Subject::Node("n1".into())), None);
}

#[test]
fn a_waiting_pod_is_told_what_forbids_it_each_node_and_what_would_help() {
    let mut world = World::of(5);
    (1..=4).for_each(|number| _ = world.pod_on(number, 1_950));
    world.node(5).cordon = Cordon::Foreign;
    world.pending(1, 500);
    let told = of_pod(&mut world);
    assert!(told.subject.starts_with("pod default/pod-"), "{told:#?}");
    assert_eq!(told.state, "waits for a node for 1m");
    assert_eq!(
        told.why,
        [
            "4 node(s): too little CPU is left (n1, n2, n3, and 1 more)",
            "1 node(s): it takes no new pods (n5)",
        ]
    );
    assert_eq!(told.helps, ["pool workers: a new small would host it"]);
    assert_eq!(told.decided.len(), 1);
    assert!(told.decided[0].starts_with("pool workers has 5, wants 5: "), "{told:#?}");
    world.pool().max = 5;
    let told = of_pod(&mut world);
    assert_eq!(told.helps, ["pool workers: a new small would host it, but it is at `max` (5)"]);
}

#[test]
fn a_pod_that_no_worker_would_host_is_told_why_pool_by_pool() {
    let mut world = World::of(0);
    world.add_pool("spare", 3);
    world.pending(1, 500);
    world.spec().node_selector = Labels::from([("disk".to_owned(), "ssd".to_owned())]);
    world.pool().node.labels.insert("disk".to_owned(), "ssd".to_owned());
    let told = of_pod(&mut world);
    assert_eq!(
        told.helps,
        [
            "pool spare: no new worker would host it: no node has the label disk=ssd",
            "pool workers: a new small would host it",
        ]
    );
}

#[test]
fn a_pod_for_which_nothing_is_launched_is_told_so() {
    let why = |change: fn(&mut World)| {
        let mut world = World::of(0);
        world.pending(1, 500);
        change(&mut world);
        of_pod(&mut world).why.first().cloned().unwrap_or_default()
    };
    assert_eq!(why(|_| ()), "");
    assert!(why(|world| world.spec().priority = -11).contains("`expendable_below` (-10)"));
    let in_vain = why(|world| {
        let (uid, until) = (world.first_pod().uid.clone(), duration::after(world.now, MINUTE));
        world.remembered().unhelpable.insert(uid, Unhelpable { vain: 2, until: Some(until) });
    });
    assert!(in_vain.contains("in vain: nothing more until"), "{in_vain}");
    let launched = why(|world| {
        let uid = world.first_pod().uid.clone();
        world.remembered().watching.insert("batch".into(), vec![uid]);
    });
    assert!(launched.starts_with("a worker was launched for it"), "{launched}");
    let for_another =
        |world: &mut World| _ = world.remembered().watching.insert("b".into(), vec!["x".into()]);
    assert_eq!(why(for_another), "");
    let gated = |world: &mut World| world.first_pod().placement = Placement::Gated;
    let mut world = World::of(0);
    world.pending(1, 500);
    gated(&mut world);
    assert!(of_pod(&mut world).state.contains("scheduling gates"));
}

#[test]
fn a_pod_on_a_node_is_told_whether_it_could_go_elsewhere() {
    let mut world = World::of(2);
    world.pod_on(1, 500);
    let told = of_pod(&mut world);
    assert_eq!(
        (told.state.as_str(), &*told.why),
        ("is on node n1", &["there is room for it elsewhere".to_owned()][..])
    );
    world.node(2).cordon = Cordon::Foreign;
    assert_eq!(of_pod(&mut world).why, ["there is no room for it elsewhere, so its node stays"]);
    world.pinned_on(1, Pin::Bare);
    assert_eq!(of_pod(&mut world).why.len(), 2);
    world.pod_on(1, 100).kind = PodKind::Daemon;
    assert_eq!(of_pod(&mut world).why, ["it needs no other place: it goes with its node"]);
}

#[test]
fn a_worker_is_told_what_keeps_it() {
    let mut world = World::of(2);
    world.pod_on(1, 500);
    let told = of_node(&world, "n1");
    assert_eq!(told.state, "worker w1 of pool workers: ready for 1d; the node is Ready");
    assert_eq!(told.why, ["1 pod(s) would have to move"]);
    assert_eq!(told.helps, ["an alert with `autoscale: down` may let it go"]);
    world.pod_on(2, 1_900);
    let told = of_node(&world, "n1");
    assert!(told.why[1].starts_with("it stays: "), "{told:#?}");
    assert_eq!(told.helps, [""; 0]);
    world.pool().permanent.insert("w1".to_owned());
    assert!(of_node(&world, "n1").why[1].contains("permanent"));
    world.set(1, WorkerState::Booting);
    let told = of_node(&world, "n1");
    assert!(told.state.contains("booting"));
    assert_eq!(told.why, [""; 0], "nobody thinks of removing it");
}

#[test]
fn a_node_that_is_none_of_ours_is_told_so() {
    let mut world = World::of(2);
    world.node(1).worker = None;
    assert_eq!(of_node(&world, "n1").state, "is none of ours; it is Ready");
    let node = world.node(2);
    (node.worker, node.control_plane, node.cordon) = (None, true, Cordon::Ours);
    assert_eq!(
        of_node(&world, "n2").state,
        "carries the control plane; it is Ready, cordoned by us"
    );
}

#[test]
fn one_that_never_joined_is_told_with_what_its_console_said_last() {
    let mut world = World::of(1);
    let number = world.booting(MINUTE * 6);
    world.set(number, WorkerState::Failed { failure: Failure::NeverJoined });
    let worker = world.worker(number);
    worker.last_words = Some("starting\nno route to the server".to_owned());
    let (id, machine) = (worker.id.to_string(), worker.instance.clone().unwrap().to_string());
    for name in [id.as_str(), machine.as_str()] {
        let told = of_node(&world, name);
        assert!(told.state.contains("without a node"), "{}", told.state);
        assert!(told.state.contains(&machine), "{}", told.state);
        let words = ["its console: starting", "its console: no route to the server"];
        assert_eq!(told.why, words);
    }
}
