//! What each process asked of Alertmanager and Prometheus, and what it was answered: whether it asked again before it acted.

use super::{Checker, SLOWEST_PASS};
use bellwether::model::{
    BatchId, Changes, Guard, Memory, PoolName, Truth, Want, Worker, WorkerId, duration,
};
use jiff::Timestamp;

/// What one process asked, in which order: of all this nothing need take any time.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    steps: u64,
    /// At which step it last wrote down what it is about to do, or did.
    committed: u64,
    /// At which it was last told what the Alertmanagers say, and at which last that the guard holds.
    truth: u64,
    holds: u64,
    /// What it was last told that the forecasts want.
    want: Option<u32>,
}

impl Asked {
    /// One step more.
    fn step(&mut self) -> u64 {
        self.steps += 1;
        self.steps
    }
}

/// How long a rule takes to ask for what a forecast wants, and that to be delivered.
const FORETOLD: std::time::Duration = std::time::Duration::from_mins(2);

impl Checker {
    /// A process was told what the Alertmanagers say, as far as they answered.
    pub(crate) fn told(&self, replica: usize, truth: &Truth) {
        self.asked_of_nodes(truth);
        let now = self.now();
        let mut state = self.state();
        let asked = &mut state.seen.entry(replica).or_default().asked;
        asked.truth = asked.step();
        for id in truth.silences.keys() {
            state.told.entry((replica, id.clone())).or_insert(now);
        }
    }

    /// A process was answered what the guard says.
    pub(crate) fn guarded(&self, replica: usize, guard: &Guard) {
        if *guard == Guard::Holds {
            let mut state = self.state();
            let asked = &mut state.seen.entry(replica).or_default().asked;
            asked.holds = asked.step();
        }
    }

    /// A process was answered how many workers the forecasts want.
    pub(crate) fn wanted(&self, replica: usize, want: &Want) {
        self.state().seen.entry(replica).or_default().asked.want = match want {
            Want::Workers(want) => Some(*want),
            Want::Unknown { .. } => None,
        };
    }

    /// A process writes down what it is about to do, or did.
    pub(crate) fn commits(&self, replica: usize, changes: &Changes) {
        let mut state = self.state();
        let asked = &mut state.seen.entry(replica).or_default().asked;
        asked.committed = asked.step();
        let want = asked.want.unwrap_or_default();
        for intent in &changes.intents {
            state.wants.entry(intent.request.batch.clone()).or_insert(want);
        }
        drop(state);
        for intent in &changes.intents {
            self.is_to_replace(&intent.request, &intent.permit);
        }
    }

    /// What a forecast wants from now on.
    pub(crate) fn forecast(&self, want: Option<u32>) {
        let now = self.now();
        self.state().forecast = want.map(|want| (now, want));
    }

    /// I3: who acts asked again what is paused, after it wrote down that it will act.
    pub(super) fn asked_again(&self, replica: usize, what: &str) {
        let asked = self.state().seen.get(&replica).map(|seen| seen.asked.clone());
        let asked = asked.unwrap_or_default();
        if asked.truth <= asked.committed {
            self.violated("I3", format!("{what} without asking again: {asked:?}"));
        }
    }

    /// I3: the guard holds, and was asked again after it was written down that this worker goes.
    pub(super) fn guard_holds(&self, replica: usize, worker: &WorkerId) {
        let asked = self.state().seen.get(&replica).map(|seen| seen.asked.clone());
        let asked = asked.unwrap_or_default();
        if asked.holds <= asked.committed {
            self.violated("I3", format!("cordon {worker} though no guard holds: {asked:?}"));
        }
    }

    /// How many workers a batch may have because a forecast wants so many.
    pub(super) fn forecast_lacks(
        &self,
        batch: &BatchId,
        pool: &PoolName,
        memory: &Memory,
    ) -> usize {
        let want = self.state().wants.get(batch).copied().unwrap_or_default();
        let is_other = |worker: &&Worker| {
            worker.pool == *pool && worker.is_serving() && worker.batch.as_ref() != Some(batch)
        };
        (want as usize).saturating_sub(memory.workers.values().filter(is_other).count())
    }

    /// How many workers a forecast surely wants to stay of a pool.
    pub(super) fn foretold(&self, pool: &PoolName) -> u32 {
        let (now, (_, max)) = (self.now(), self.bounds(pool));
        let state = self.state();
        let is_known = |since: Timestamp| duration::since(since, now) > SLOWEST_PASS + FORETOLD;
        let forecast = state.forecast.filter(|(since, _)| is_known(*since));
        let is_its = pool.as_str() == "workers" && state.clocks.is_well(now);
        forecast.filter(|_| is_its).map_or(0, |(_, want)| want.min(max))
    }
}
