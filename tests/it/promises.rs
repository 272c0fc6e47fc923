//! What our packing promises, the real kube-scheduler keeps: the nodes of a plan are made, and it must bind every pod.
//!
//! Apps by chance, each asking for zones, pools, neighbours, spreads and ports; the scheduler is as it comes out of the
//! box. It does not put pods where we would: where they are of several sizes, or ask for several things, it may leave gaps
//! that the last ones do not fit into. Those are what the next plan is for, and they must be few.

mod apps;
mod stage;

use apps::{Apps, Asks};
use stage::{Round, Stage};

/// Seeds of mixed pods.
const MIXED: std::ops::Range<u64> = 101..106;

/// Of a hundred mixed pods at least so many find their place in the first plan.
const AT_ONCE: usize = 90;

/// So many plans must be enough, whatever the scheduler leaves.
const ROUNDS: usize = 3;

#[tokio::test]
#[expect(clippy::print_stdout, reason = "what came of it is for people")]
async fn the_scheduler_binds_every_pod_that_workers_are_launched_for() {
    let Some(stage) = Stage::open().await else { return };
    let kinds = Asks::ALL.into_iter().map(Some).chain([None]);
    for (seed, asks) in (1..).zip(kinds) {
        let apps = Apps::alike(seed, asks);
        stage.deploy(&apps).await;
        let round = stage.round().await;
        println!("promises: {asks:?}: {round}");
        assert!(round.workers > 0, "nothing is needed:\n{apps}");
        assert_eq!(round.left, Vec::<String>::new(), "not bound:\n{apps}");
        stage.clear().await;
    }
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "what came of it is for people")]
async fn what_the_scheduler_leaves_of_mixed_pods_is_little_and_the_next_plan_serves_it() {
    let Some(stage) = Stage::open().await else { return };
    let (mut waited, mut left) = (0, 0);
    for seed in MIXED {
        let apps = Apps::mixed(seed);
        stage.deploy(&apps).await;
        let mut rounds: Vec<Round> = Vec::new();
        while rounds.last().is_none_or(|round| !round.left.is_empty()) {
            assert!(rounds.len() < ROUNDS, "seed {seed}: {:?} are left\n{apps}", rounds.last());
            rounds.push(stage.round().await);
        }
        let told: Vec<String> = rounds.iter().map(ToString::to_string).collect();
        println!("promises: seed {seed}: {}", told.join("; then "));
        waited += rounds[0].pods;
        left += rounds[0].left.len();
        stage.clear().await;
    }
    println!("promises: {left} of {waited} mixed pods were left to the next plan");
    assert!((waited - left) * 100 >= waited * AT_ONCE, "{left} of {waited} pods were left");
}
