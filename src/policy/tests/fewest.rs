//! How close the packing comes to the fewest workers there could be: a slow search tries every way.

use crate::model::{Is, Labels, PodTerm, Requirement, Selector};
use crate::policy::fixtures::{GIB, World};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Of each worker: millicores and MiB.
const ROOM: (u64, u64) = (2_000, 4 * 1024);
const CASES: u64 = 400;

/// A pod: millicores, MiB, and the group whose pods must not share a node.
type Small = (u64, u64, Option<u8>);

fn case(seed: u64) -> Vec<Small> {
    let mut random = StdRng::seed_from_u64(seed);
    let pod = |random: &mut StdRng| {
        let apart = random.random_bool(0.3).then(|| random.random_range(0..2_u8));
        (random.random_range(1..=18_u64) * 100, random.random_range(1..=30_u64) * 128, apart)
    };
    let count = random.random_range(2..=9);
    (0..count).map(|_| pod(&mut random)).collect()
}

/// How many workers are launched for such pods.
fn launched(pods: &[Small]) -> usize {
    let mut world = World::of(0);
    world.up(None);
    world.pool().max = 100;
    for (cpu, mebibytes, apart) in pods {
        world.pending(1, *cpu);
        let spec = world.spec();
        spec.requests.memory = mebibytes << 20;
        let Some(group) = apart else { continue };
        spec.labels = Labels::from([("group".to_owned(), group.to_string())]);
        let is = Is::In(vec![group.to_string()]);
        spec.pod_anti_affinity = vec![PodTerm {
            selector: Some(Selector(vec![Requirement { key: "group".to_owned(), is }])),
            namespaces: vec!["default".to_owned()],
            namespace_selector: None,
            topology_key: "kubernetes.io/hostname".to_owned(),
        }];
    }
    world.launches()
}

/// The fewest workers that hold all pods, by trying every way to part them.
fn fewest(pods: &[Small]) -> usize {
    let mut best = pods.len();
    part(pods, &mut Vec::new(), &mut best);
    best
}

fn part<'p>(left: &'p [Small], bins: &mut Vec<Vec<&'p Small>>, best: &mut usize) {
    let Some((pod, rest)) = left.split_first() else {
        *best = bins.len().min(*best);
        return;
    };
    for at in 0..bins.len() {
        if holds(&bins[at], pod) {
            bins[at].push(pod);
            part(rest, bins, best);
            bins[at].pop();
        }
    }
    if bins.len() + 1 < *best {
        bins.push(vec![pod]);
        part(rest, bins, best);
        bins.pop();
    }
}

fn holds(bin: &[&Small], (cpu, mebibytes, apart): &Small) -> bool {
    let sum = |of: fn(&Small) -> u64| bin.iter().map(|pod| of(pod)).sum::<u64>();
    sum(|pod| pod.0) + cpu <= ROOM.0
        && sum(|pod| pod.1) + mebibytes <= ROOM.1
        && (apart.is_none() || bin.iter().all(|pod| pod.2 != *apart))
}

#[test]
fn the_packing_takes_at_most_a_twentieth_more_workers_than_the_fewest() {
    assert_eq!((ROOM.0, ROOM.1 << 20), (2_000, 4 * GIB), "as the worlds' small shape");
    let cases: Vec<Vec<Small>> = (0..CASES).map(case).collect();
    let ours: usize = cases.iter().map(|pods| launched(pods)).sum();
    let best: usize = cases.iter().map(|pods| fewest(pods)).sum();
    assert!(ours >= best, "{ours} for {best}: the search is wrong");
    assert!(ours * 100 <= best * 105, "{ours} workers, where {best} would do");
}
