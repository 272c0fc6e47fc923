//! Group commit: all writes that wait go into one transaction, and share its sync.
//!
//! There is no writer thread. Whoever finds no leader makes one, on tokio's blocking pool, and it
//! leads until nobody waits. That way the writer runs inside the runtime: a paused clock stands
//! still while it works, and shows it the virtual time.

use super::file::{Opened, broken};
use super::tables::{Refusal, Tables};
use crate::clock::Clock;
use crate::model::{Changes, Claim, ClusterName, Signal};
use crate::store::holding::Bid;
use crate::store::{Dump, Error, Result, Retention};
use redb::WriteTransaction;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Writes that wait at most; more callers wait outside. Bounds the memory of a burst.
const PLACES: usize = 1_024;

/// Writes per transaction at most, so that the first of a burst is not kept for the last.
const GROUP: usize = 256;

/// One write, whole or not at all.
#[derive(Debug)]
pub(super) enum Write {
    /// Take a claim; answered with it.
    Take(Bid),
    /// Prolong a claim; answered with it.
    Renew { claim: Claim, ttl: Duration },
    /// Give a claim back.
    Release { claim: Claim },
    /// Changes under a claim.
    Commit { claim: Claim, changes: Box<Changes> },
    /// Signals, merged with what is there.
    Signals(Vec<Signal>),
    /// All of a cluster of which nothing is kept.
    Restore { cluster: ClusterName, dump: Box<Dump> },
}

/// Where writes wait.
#[derive(Clone)]
pub(super) struct Queue {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
}

struct Shared {
    /// Held for no longer than a transaction: when a caller has its answer and drops the store, the
    /// file is closed, and may be opened again at once.
    file: Weak<Opened>,
    clock: Clock,
    retention: Retention,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    led: bool,
}

struct Waiting {
    write: Write,
    answer: oneshot::Sender<Result<Option<Claim>>>,
    place: OwnedSemaphorePermit,
}

/// The one that writes. Dropped in any way, it leaves the line free for the next.
struct Leader {
    shared: Arc<Shared>,
    resigned: bool,
}

impl Queue {
    pub(super) fn new(file: &Arc<Opened>, clock: Clock, retention: Retention) -> Self {
        let shared =
            Shared { file: Arc::downgrade(file), clock, retention, line: Mutex::default() };
        Self { shared: Arc::new(shared), places: Arc::new(Semaphore::new(PLACES)) }
    }

    /// Queues a write, and answers when it is on disk or refused.
    pub(super) async fn write(&self, write: Write) -> Result<Option<Claim>> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| Error::Away("the store is closed".to_owned()))?;
        let (answer, answered) = oneshot::channel();
        if let Some(leader) = self.shared.join(Waiting { write, answer, place }) {
            tokio::task::spawn_blocking(move || leader.lead());
        }
        let cut_short = || Error::Away("the writer was cut short; try again".to_owned());
        answered.await.unwrap_or_else(|_| Err(cut_short()))
    }
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets in line; whoever finds no leader is given the lead.
    fn join(self: &Arc<Self>, waiting: Waiting) -> Option<Leader> {
        let mut line = self.line();
        line.waiting.push_back(waiting);
        let first = !std::mem::replace(&mut line.led, true);
        first.then(|| Leader { shared: Arc::clone(self), resigned: false })
    }
}

impl Leader {
    fn lead(mut self) {
        while let Some(group) = self.next() {
            self.write(group);
        }
    }

    /// The next group. Gives the lead up under the same lock that finds nobody waiting, so that no
    /// write can come in between and wait for ever.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        let mut line = self.shared.line();
        let count = line.waiting.len().min(GROUP);
        line.led = count > 0;
        self.resigned = !line.led;
        line.led.then(|| line.waiting.drain(..count).collect())
    }

    /// Writes a group in one durable transaction, then answers. When the transaction fails, all
    /// of it fails: nothing of it is stored.
    fn write(&self, group: Vec<Waiting>) {
        let mut writes = Vec::with_capacity(group.len());
        let mut answers = Vec::with_capacity(group.len());
        for Waiting { write, answer, place } in group {
            writes.push(write);
            answers.push((answer, place));
        }
        let outcomes = match self.transact(writes) {
            Ok(outcomes) => outcomes,
            Err(error) => vec![Err(error); answers.len()],
        };
        for ((answer, place), outcome) in answers.into_iter().zip(outcomes) {
            // Whoever does not listen any more gave up, and will look again.
            let _ = answer.send(outcome);
            drop(place);
        }
    }

    fn transact(&self, writes: Vec<Write>) -> Result<Vec<Result<Option<Claim>>>> {
        let closed = || Error::Away("the store is closed".to_owned());
        let file = self.shared.file.upgrade().ok_or_else(closed)?;
        let transaction = file.begin_write()?;
        self.within(transaction, writes).inspect_err(|error| file.fail(error))
    }

    fn within(
        &self,
        transaction: WriteTransaction,
        writes: Vec<Write>,
    ) -> Result<Vec<Result<Option<Claim>>>> {
        let mut outcomes = Vec::with_capacity(writes.len());
        let mut tables = Tables::open(&transaction)?;
        for write in writes {
            // The time is asked for each anew: a claim may run out while the group is written.
            match tables.apply(write, &self.shared.retention, self.shared.clock.now()) {
                Ok(answer) => outcomes.push(Ok(answer)),
                Err(Refusal::This(error)) => outcomes.push(Err(error)),
                Err(Refusal::All(error)) => return Err(error),
            }
        }
        drop(tables);
        if outcomes.iter().any(Result::is_ok) {
            transaction.commit().map_err(broken)?;
        } else {
            transaction.abort().map_err(broken)?;
        }
        Ok(outcomes)
    }
}

impl Drop for Leader {
    /// After a panic, or when the runtime stops before the lead begins, those in line are sent away
    /// (their answers' ends close) and the next one leads.
    fn drop(&mut self) {
        if !self.resigned {
            let mut line = self.shared.line();
            line.led = false;
            line.waiting.clear();
        }
    }
}
