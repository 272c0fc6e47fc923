//! The whole service on virtual time, in a world that goes wrong in every way there is.
//!
//! One seed makes one run: a configuration, six hours of load, pauses and faults, and then quiet. After every act the
//! invariants of the design are checked by code that shares nothing with the rules that decided it. A run that breaks
//! one is shrunk to the fewest happenings that still break it, and told in words.
//!
//! `make sim SEEDS=300 FROM=1`, or for one seed `make sim SEEDS=1 FROM=42`; `STORY=1` tells the first one's
//! story though nothing breaks.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says what broke by panicking, and tells its story"
)]

mod checker;
mod happening;
mod links;
mod monitoring;
mod post;
mod primaries;
mod prometheus;
mod replica;
mod scenario;
mod secrets;
mod shrink;
mod universe;

use checker::Violation;
use scenario::Scenario;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use universe::{Outcome, play};

/// The program's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How many seeds a plain `cargo test` plays.
const SEEDS: u64 = 300;

fn main() -> ExitCode {
    if !is_asked_for() {
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    let run = Run {
        from: chosen("FROM").unwrap_or(1),
        seeds: chosen("SEEDS").unwrap_or(SEEDS),
        until: chosen("UNTIL"),
        ..Run::default()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| run.play());
        }
    });
    if let Some(until) = &run.until {
        return run.noticed(until);
    }
    let failed = run.failed.into_inner().unwrap();
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let pace = run.seeds as f64 / minutes;
    println!(
        "sim: {} seeds of {} simulated hours, {} acts, {} violated, {pace:.0} seeds a minute",
        run.seeds,
        scenario::HOURS,
        run.acts.into_inner(),
        failed.len(),
    );
    if chosen::<u8>("STORY").is_some() {
        play(&Scenario::of(run.from)).story.iter().for_each(|line| println!("  {line}"));
    }
    let Some((seed, _)) = failed.iter().min_by_key(|(seed, _)| *seed) else {
        return ExitCode::SUCCESS;
    };
    tell(*seed);
    ExitCode::FAILURE
}

/// How often it is told how far it is, and a seed is played twice.
const PROGRESS: u64 = 50;

/// Seeds that are played, and what came of them.
#[derive(Default)]
struct Run {
    from: u64,
    seeds: u64,
    /// An invariant that is known to be broken: played until that is noticed.
    until: Option<String>,
    begun: AtomicU64,
    acts: AtomicU64,
    failed: Mutex<Vec<(u64, Violation)>>,
}

impl Run {
    fn play(&self) {
        while !self.is_noticed() {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            if number >= self.seeds {
                return;
            }
            let seed = self.from + number;
            if number > 0 && number.is_multiple_of(PROGRESS) {
                println!("sim: {number} seeds");
            }
            let outcome = play(&Scenario::of(seed));
            self.acts.fetch_add(outcome.acts, Ordering::Relaxed);
            let violation = outcome.violations.first().cloned();
            let violation = violation.or_else(|| replayed(seed, number, &outcome));
            if let Some(violation) = violation {
                println!("seed {seed}: {violation}");
                self.failed.lock().unwrap().push((seed, violation));
            }
        }
    }

    fn is_noticed(&self) -> bool {
        let failed = self.failed.lock().unwrap();
        failed.iter().any(|(_, violation)| self.until.as_deref() == Some(violation.invariant))
    }

    fn noticed(&self, invariant: &str) -> ExitCode {
        if !self.is_noticed() {
            return ExitCode::FAILURE;
        }
        let begun = self.begun.load(Ordering::Relaxed).min(self.seeds);
        println!("noticed {invariant} within {begun} seeds");
        ExitCode::SUCCESS
    }
}

/// Now and then a seed is played again: what cannot be told again cannot be mended.
fn replayed(seed: u64, number: u64, before: &Outcome) -> Option<Violation> {
    if !number.is_multiple_of(PROGRESS) {
        return None;
    }
    let again = play(&Scenario::of(seed));
    let mut lines = before.story.iter().zip(&again.story);
    let what = match lines.find(|(before, again)| before != again) {
        Some((before, again)) => format!("{before:?} and then {again:?}"),
        None if before.story.len() == again.story.len() => return None,
        None => "one story is longer than the other".to_owned(),
    };
    Some(Violation { invariant: "replay", what })
}

/// A choice of whoever starts it.
#[expect(clippy::disallowed_methods, reason = "how a run is chosen by hand")]
fn chosen<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Whether `cargo test` wants this one: not when it lists tests, or runs those of another name.
fn is_asked_for() -> bool {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut names = arguments.iter().filter(|argument| !argument.starts_with('-'));
    let is_named = names.clone().next().is_none() || names.any(|name| "sim".contains(&**name));
    is_named && !arguments.iter().any(|argument| argument == "--list")
}

/// The shortest story that still breaks what this seed breaks.
fn tell(seed: u64) {
    let scenario = shrink::shrink(&Scenario::of(seed));
    let Outcome { violations, story, .. } = play(&scenario);
    println!("\nseed {seed}, shrunk to {} happenings:\n", scenario.happenings.len());
    println!("{}", scenario.config());
    for line in story {
        println!("  {line}");
    }
    for violation in violations {
        println!("\nviolated: {violation}");
    }
    println!("\nagain: make sim SEEDS=1 FROM={seed}");
}
