//! Schedules that are played to real Alertmanagers and to the simulated one: both deliver the same bodies, in
//! the same order, at the same times.

mod chance;
mod ours;
mod pair;
mod real;
mod record;
mod schedule;
mod tables;
pub(crate) mod world;

use bellwether::sim::alertmanager::Release;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use world::World;

/// How often a schedule is played at most, where the machine spoilt it. A difference that is not chance stays.
const PLAYS: u32 = 5;

const RELEASES: [(&str, Release); 2] = [("0.25", Release::V0_25), ("0.31", Release::V0_31)];

/// Whom a world is played to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Servers {
    One,
    Pair,
}

/// Plays a world to real Alertmanagers and to ours.
async fn compare(servers: Servers, (version, release): (&str, Release), mut world: World) {
    for play in 1..=PLAYS {
        let records = match servers {
            Servers::One => real::play(version, &world).await,
            Servers::Pair => pair::real(version, &world).await,
        };
        let Some(records) = records else { return };
        let (mut spoilt, mut wrong) = (Vec::new(), Vec::new());
        for (schedule, real) in world.schedules.iter().zip(records) {
            let ours = match servers {
                Servers::One => ours::play(&world, schedule, release),
                Servers::Pair => pair::ours(&world, schedule, release),
            };
            let Some(difference) = ours.difference(&real, schedule) else { continue };
            if difference.may_be_chance && play < PLAYS {
                spoilt.push(schedule.clone());
            } else {
                wrong.push(difference.text);
            }
        }
        assert!(wrong.is_empty(), "{version}:\n{}", wrong.join("\n\n"));
        if spoilt.is_empty() {
            return;
        }
        world.schedules = spoilt;
    }
}

/// Those that need no process of their own.
fn shared() -> World {
    let schedules = [tables::all(), chance::all()].concat();
    World { schedules, ..World::default() }
}

/// Receivers and silences are told apart by the schedules' names.
#[test]
fn no_two_schedules_have_one_name() {
    let worlds = [tables::processes::all(), tables::processes::later()].concat();
    let alone = worlds.into_iter().flat_map(|world| world.schedules);
    let all: Vec<_> =
        shared().schedules.into_iter().chain(tables::pairs::all()).chain(alone).collect();
    let names: BTreeSet<_> = all.iter().map(|schedule| schedule.name).collect();
    assert_eq!(names.len(), all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_0_25_delivers_as_ours_does() {
    compare(Servers::One, RELEASES[0], shared()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_0_31_delivers_as_ours_does() {
    compare(Servers::One, RELEASES[1], shared()).await;
}

/// Each process ends in its own way, all at once.
#[tokio::test(flavor = "multi_thread")]
async fn both_come_back_with_what_they_kept() {
    let worlds =
        |worlds: Vec<World>, release| worlds.into_iter().map(move |world| (release, world));
    let older = worlds(tables::processes::all(), RELEASES[0]);
    let newer = worlds(tables::processes::all(), RELEASES[1]);
    let later = worlds(tables::processes::later(), RELEASES[1]);
    let play = |(release, world)| compare(Servers::One, release, world);
    join_all(older.chain(newer).chain(later).map(play)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_deliver_as_ours_does() {
    let world = World { schedules: tables::pairs::all(), ..World::default() };
    join_all(RELEASES.map(|release| compare(Servers::Pair, release, world.clone()))).await;
}
