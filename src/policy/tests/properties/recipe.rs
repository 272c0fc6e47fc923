//! Worlds of any kind: small, so that a counter-example is.

use crate::config::Mode;
use crate::model::{
    Ask, BreakerState, Cordon, Failure, Pin, Purpose, Readiness, Want, WorkerState, duration,
};
use crate::policy::fixtures::{MINUTE, World};
use proptest::prelude::*;

/// What a world is made of.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    workers: Vec<(u8, Vec<(u8, u8)>)>,
    pending: Vec<u8>,
    bounds: (u32, u32, u32),
    asks: Vec<(u8, u32)>,
    silenced: Option<u8>,
    troubles: Vec<u8>,
    memory: u8,
}

pub(super) fn recipe() -> impl Strategy<Value = Recipe> {
    let pods = prop::collection::vec((0_u8..3, 0_u8..12), 0..3);
    (
        prop::collection::vec((0_u8..22, pods), 0..6),
        prop::collection::vec(0_u8..4, 0..5),
        (0_u32..4, 0_u32..6, 0_u32..2),
        prop::collection::vec((0_u8..8, 0_u32..4), 0..4),
        prop::option::weighted(0.2, 0_u8..5),
        prop::collection::vec(0_u8..40, 0..3),
        0_u8..10,
    )
        .prop_map(|(workers, pending, bounds, asks, silenced, troubles, memory)| Recipe {
            workers,
            pending,
            bounds,
            asks,
            silenced,
            troubles,
            memory,
        })
}

pub(super) fn made(recipe: &Recipe) -> World {
    let mut world = World::of(u32::try_from(recipe.workers.len()).unwrap());
    let (min, more, surge) = recipe.bounds;
    let pool = world.pool();
    (pool.min, pool.max, pool.surge) = (min, min + more, surge);
    for (number, (state, pods)) in (1..).zip(&recipe.workers) {
        for (size, pin) in pods {
            let pod = world.pod_on(number, [100, 500, 900][usize::from(*size)]);
            pod.pins.extend(match pin {
                0 => Some(Pin::Bare),
                1 => Some(Pin::LocalStorage),
                2 => Some(Pin::KubeSystem),
                3 => Some(Pin::DisruptionBudget("pdb".to_owned())),
                _ => None,
            });
        }
        worker(&mut world, number, *state);
    }
    for size in &recipe.pending {
        world.pending(1, [500, 1_500, 1_900, 99_000][usize::from(*size)]);
    }
    for (ask, size) in &recipe.asks {
        asked(&mut world, *ask, *size);
    }
    if let Some(which) = recipe.silenced {
        let autoscale = ["up", "down", "replace", "manual", "restore"][usize::from(which)];
        world.silence(autoscale);
    }
    remembered(&mut world, recipe.memory);
    recipe.troubles.iter().for_each(|trouble| troubled(&mut world, *trouble));
    world
}

fn worker(world: &mut World, number: u32, state: u8) {
    let now = world.now;
    match state {
        0 => world.node(number).cordon = Cordon::Foreign,
        1 => world.node(number).readiness = Readiness::NotReady { since: now },
        2 => {
            let since = duration::before(now, MINUTE * 30);
            world.node(number).readiness = Readiness::NotReady { since };
        }
        3 => world.set(number, WorkerState::Joined),
        4 => {
            world.set(number, WorkerState::Booting);
            world.unjoined(number);
            world.worker(number).node = None;
        }
        5..=8 => {
            let states = [WorkerState::Cordoned, WorkerState::Draining, WorkerState::Drained];
            world.leaving(number, states[usize::from(state) % 3].clone(), Purpose::Idle);
        }
        9 => world.unlisted(number),
        10 => world.instance(number).notice = Some(now),
        11 => world.instance(number).protected = true,
        12 => world.set(number, WorkerState::Terminating),
        13 => world.set(number, WorkerState::Failed { failure: Failure::NeverReady }),
        14 => {
            world.pool().permanent.insert(format!("w{number}"));
        }
        _ => {}
    }
}

fn asked(world: &mut World, ask: u8, size: u32) {
    let manual = i32::try_from(size).unwrap();
    match ask {
        0 => drop(world.up(Some(size)).id.clone()),
        1 => drop(world.alert("Pods", "up", Ask::Up { step: None, want_query: None }).id.clone()),
        2 => world.up_wants(Want::Workers(size * 2)),
        3 | 4 => drop(world.down().id.clone()),
        5 => drop(world.manual(if size == 0 { 1 } else { manual }).id.clone()),
        6 => drop(world.manual(if size == 0 { -1 } else { -manual }).id.clone()),
        _ => drop(world.replace(size + 1).id.clone()),
    }
}

fn remembered(world: &mut World, memory: u8) {
    let now = world.now;
    let pool = world.remembered();
    match memory {
        0 => pool.down_ended = Some(now),
        1 => (pool.up_started, pool.up_ended) = (Some(now), Some(now)),
        2 => {
            (pool.breaker.state, pool.breaker.failures) = (BreakerState::Open, 1);
            pool.breaker.retry_at = Some(now);
        }
        3 => pool.launches = vec![(now, 58)],
        _ => {}
    }
}

fn troubled(world: &mut World, trouble: u8) {
    match trouble {
        0 => world.watchdog_falls_silent(),
        1 => world.alertmanager_away(),
        2 => world.a_peer_is_away(),
        3 => world.pool().mode = Mode::DryRun,
        _ => {}
    }
}
