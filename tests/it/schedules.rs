//! Schedules that are played to real Alertmanagers and to the simulated one: both deliver the same bodies, in
//! the same order, at the same times.

mod ours;
mod pair;
mod real;
mod record;
mod schedule;
mod tables;
mod world;

use bellwether::sim::alertmanager::Release;
use futures_util::future::join_all;
use world::World;

/// How late the machine may be before a difference is its own: then the play is repeated.
const LATE: f64 = 0.15;

/// How often a play that the machine spoilt is repeated.
const PLAYS: u32 = 3;

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
            match ours.difference(&real, schedule) {
                Some(_) if real.late > LATE && play < PLAYS => spoilt.push(schedule.clone()),
                Some(difference) => wrong.push(difference),
                None => {}
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
    World { schedules: tables::all(), ..World::default() }
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
