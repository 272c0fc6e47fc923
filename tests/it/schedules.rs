//! Schedules that are played to real Alertmanagers and to the simulated one: both deliver the same bodies, in
//! the same order, at the same times.

mod ours;
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

/// Plays a world to a real Alertmanager and to ours.
async fn compare(version: &str, release: Release, mut world: World) {
    for play in 1..=PLAYS {
        let Some(records) = real::play(version, &world).await else { return };
        let (mut spoilt, mut wrong) = (Vec::new(), Vec::new());
        for (schedule, real) in world.schedules.iter().zip(records) {
            let ours = ours::play(&world, schedule, release);
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

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_0_25_delivers_as_ours_does() {
    let (version, release) = RELEASES[0];
    compare(version, release, World { schedules: tables::all(), ..World::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_0_31_delivers_as_ours_does() {
    let (version, release) = RELEASES[1];
    compare(version, release, World { schedules: tables::all(), ..World::default() }).await;
}

/// Each process ends in its own way, all at once.
#[tokio::test(flavor = "multi_thread")]
async fn both_come_back_with_what_they_kept() {
    let worlds = |worlds: Vec<World>, (version, release): (&'static str, Release)| {
        worlds.into_iter().map(move |world| compare(version, release, world))
    };
    let older = worlds(tables::processes::all(), RELEASES[0]);
    let newer = worlds(tables::processes::all(), RELEASES[1]);
    join_all(older.chain(newer).chain(worlds(tables::processes::later(), RELEASES[1]))).await;
}
