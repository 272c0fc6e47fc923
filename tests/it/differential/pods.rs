//! Pods by chance: what each asks for, and one thing of which there is, more often than not, too little.

mod maker;
mod others;
mod squeeze;
mod volumes;

use super::draft::Draft;
use super::world::{NAMESPACES, World};
use bellwether::policy::Predicate;
use maker::Maker;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

/// How many more things a pod asks for.
const MORE: [usize; 6] = [0, 1, 1, 2, 2, 3];

/// What decides too seldom by itself, since more must come together for it.
const SCARCE: [Predicate; 6] = [
    Predicate::Cpu,
    Predicate::Memory,
    Predicate::HostPorts,
    Predicate::Volumes,
    Predicate::AntiAffinity,
    Predicate::TopologySpread,
];

/// The next pod.
pub(super) fn draft(world: &mut World, number: usize) -> Draft {
    let (namespace, _) = *NAMESPACES.choose(&mut world.rng).unwrap();
    let draft = Draft::new(format!("p{}-{number}", world.seed), namespace, world.order());
    let mut maker = Maker { world, draft };
    maker.be_usual();
    let first = if maker.is_so(0.35) { maker.one(&SCARCE) } else { maker.one(&Predicate::ALL) };
    if maker.is_so(0.55) {
        maker.squeeze(first);
    } else {
        maker.ask(first);
    }
    for _ in 0..maker.one(&MORE) {
        let more = maker.one(&Predicate::ALL);
        maker.ask(more);
    }
    maker.draft
}

/// Whether one of the cluster's pods goes now.
pub(super) fn somebody_leaves(world: &mut World) -> bool {
    world.placed.len() > 6 && world.rng.random_bool(0.15)
}
