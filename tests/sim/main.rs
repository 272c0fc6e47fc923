//! The whole service on virtual time, in a world that goes wrong in every way there is.
//!
//! One seed makes one run: a configuration, six hours of load, pauses and faults, and then quiet. After every act the
//! invariants of the design are checked by code that shares nothing with the rules that decided it. A run that breaks
//! one is shrunk to the fewest happenings that still break it, and told in words.
//!
//! `make sim SEEDS=300 FROM=1`, or for one seed `make sim SEEDS=1 FROM=42`.
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
mod replica;
mod scenario;
mod shrink;
mod universe;

use scenario::Scenario;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use universe::{Outcome, play};

/// How many seeds a plain `cargo test` plays.
const SEEDS: u64 = 300;

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "how a run is chosen by hand")]
    let number = |name: &str, default| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (from, seeds) = (number("FROM", 1), number("SEEDS", SEEDS));
    if !is_asked_for() {
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    let (next, failed) = (AtomicU64::new(from), Mutex::new(Vec::new()));
    let acts = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let outcome = play(&Scenario::of(seed));
                    acts.fetch_add(outcome.acts, Ordering::Relaxed);
                    if !outcome.violations.is_empty() {
                        println!("seed {seed}: {}", outcome.violations[0]);
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let pace = seeds as f64 / minutes;
    println!(
        "sim: {seeds} seeds of {} simulated hours, {} acts, {} violated, {pace:.0} seeds a minute",
        scenario::HOURS,
        acts.load(Ordering::Relaxed),
        failed.len(),
    );
    let Some(seed) = failed.iter().min() else { return ExitCode::SUCCESS };
    tell(*seed);
    ExitCode::FAILURE
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
