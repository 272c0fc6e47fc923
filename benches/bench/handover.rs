//! How long nobody acts when the process that has the claim ends: two real programs on one Redis, with the usual claim.
//! From the signal to the moment at which Redis has the other one for the holder.

use super::process::Running;
use super::results::{Measure, median};
use super::support::redis::{self, RunningRedis};
use anyhow::Context;
use rustix::process::Signal;
use std::path::Path;
use std::time::{Duration, Instant};

/// Hand-overs of each kind.
const TIMES: usize = 10;

/// The longest one may take.
const LIMIT: Duration = Duration::from_mins(1);

/// How often Redis is asked.
const LOOK: Duration = Duration::from_millis(2);

/// Medians, asked to end and killed.
pub(crate) fn handover() -> anyhow::Result<Vec<Measure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = runtime.block_on(redis::start(&[])).context("Redis is missing")?;
    let world = tempfile::tempdir()?;
    let mut pair = Pair::start(&server, world.path())?;
    let mut measures = Vec::new();
    for (name, signal) in [("sigterm", Signal::TERM), ("sigkill", Signal::KILL)] {
        let times: anyhow::Result<Vec<f64>> = (0..TIMES).map(|_| pair.hand_over(signal)).collect();
        measures.push(Measure::new(&format!("handover.{name}.ms"), median(times?), "ms"));
    }
    Ok(measures)
}

/// Two programs on one world.
struct Pair<'a> {
    server: &'a RunningRedis,
    world: &'a Path,
    both: [Running; 2],
}

impl<'a> Pair<'a> {
    fn start(server: &'a RunningRedis, world: &'a Path) -> anyhow::Result<Self> {
        let both = [one(server, world)?, one(server, world)?];
        Ok(Self { server, world, both })
    }

    /// Ends the one that has the claim, and starts another in its place once that is over.
    fn hand_over(&mut self, signal: Signal) -> anyhow::Result<f64> {
        let both = self.both.each_ref().map(Running::id);
        let holder = self.wait(&both)?;
        let place = usize::from(both[1] == holder);
        let begun = Instant::now();
        self.both[place].signal(signal)?;
        self.wait(&[both[1 - place]])?;
        let took = begun.elapsed().as_secs_f64() * 1e3;
        self.both[place] = one(self.server, self.world)?;
        Ok(took)
    }

    /// Waits until one of these processes has the claim.
    fn wait(&self, processes: &[u32]) -> anyhow::Result<u32> {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            let holder: Option<String> = self.server.ask(&["HGET", "{bw:default}:claim", "holder"]);
            let holder = holder.as_deref().and_then(|name| name.split('-').next()?.parse().ok());
            if let Some(holder) = holder.filter(|holder| processes.contains(holder)) {
                return Ok(holder);
            }
            std::thread::sleep(LOOK);
        }
        anyhow::bail!("none of {processes:?} has the claim")
    }
}

fn one(server: &RunningRedis, world: &Path) -> anyhow::Result<Running> {
    Running::start(|_| {
        format!(
            "store: {{ url: '{}' }}
log: {{ level: error }}
alertmanager: {{ urls: [http://127.0.0.1:9] }}
prometheus: {{ urls: [http://127.0.0.1:9] }}
clusters:
  default:
    kubernetes: {{ sim: {{ state: '{}' }} }}
    pools: {{ workers: {{ provider: {{ sim: {{}} }}, max: 9 }} }}
",
            server.url(),
            world.join("world.json").display()
        )
    })
}
