//! Our rules of placement against the real kube-scheduler: clusters and pods by chance, each pod put to both.
//!
//! A seed makes a cluster and its pods, and plays the same way again: `make differential FROM=17 CASES=40`. Of each pod
//! we say on which nodes it could be, from what our own watches tell. Pods like the nodes in an order of their own, and
//! the scheduler is set up to go by nothing else among those that it permits, so the node it takes must be the first
//! one that we permit.

mod draft;
mod judge;
mod play;
mod pods;
mod stage;
mod table;
mod volumes;
mod world;

use play::PER_CLUSTER;
use stage::Stage;
use table::Table;
use tokio::time::Instant;

/// How many cases a plain `cargo test` plays.
const CASES: usize = 2_000;

/// How many disagreements are enough to stop.
const ENOUGH: usize = 8;

/// A choice of whoever starts it.
#[expect(clippy::disallowed_methods, reason = "how a run is chosen by hand")]
fn chosen<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "what came of it is for people")]
async fn our_rules_permit_what_the_scheduler_permits_and_nothing_else() {
    let Some(mut stage) = Stage::open().await else { return };
    let from: u64 = chosen("FROM").unwrap_or(1);
    let cases = chosen("CASES").unwrap_or(CASES);
    let (started, mut table, mut stories) = (Instant::now(), Table::default(), Vec::new());
    let mut seeds = from..;
    while table.cases < cases && stories.len() < ENOUGH {
        let seed = seeds.next().unwrap();
        let left = PER_CLUSTER.min(cases - table.cases);
        for story in play::play(&mut stage, seed, left, &mut table).await {
            println!("{story}");
            stories.push(story);
        }
        if seed.is_multiple_of(5) {
            println!(
                "differential: {} cases, {:.0} s",
                table.cases,
                started.elapsed().as_secs_f64()
            );
        }
    }
    table.took = started.elapsed();
    println!("\n{table}");
    assert!(
        stories.is_empty(),
        "{} disagreements that nothing explains:\n{}",
        stories.len(),
        stories.join("\n")
    );
    let lacks = table.lacks();
    assert!(lacks.is_empty(), "{}", lacks.join("\n"));
}

/// The pods of a cluster whose scheduler gives each the node it likes most.
fn played(seed: u64) -> Vec<serde_json::Value> {
    let mut world = world::World::of(seed);
    let mut told = Vec::new();
    for number in 0..PER_CLUSTER {
        let draft = pods::draft(&mut world, number);
        let json = draft.json();
        let _: k8s_openapi::api::core::v1::Pod = serde_json::from_value(json.clone()).unwrap();
        told.push(json);
        world.placed.push(world::Placed { node: draft.order[0].clone(), draft });
    }
    told
}

#[test]
fn a_seed_makes_the_same_pods_again() {
    for seed in 1..=20 {
        assert_eq!(played(seed), played(seed));
    }
    assert_ne!(played(1), played(2));
}
