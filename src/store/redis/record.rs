//! Recording signals: all that wait go into one call, and share its way to the server.
//!
//! [`Signal::merge`] says what becomes of two records, so merging is done here: what is there is read, merged,
//! and written if it is still there. Who comes in between makes it be done again with what it left.
//!
//! There is no writer task. Whoever gets the lead writes for all that wait; one that is cut off (its caller hung
//! up) leaves the others to get in line again, which is harmless: merging twice is merging once.

use super::keys::{self, Kind};
use super::link::Link;
use super::script;
use crate::model::{ClusterName, Signal, SignalId};
use crate::store::{Error, Result};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

/// Callers that wait at most; more wait outside. Bounds the memory of a burst.
const PLACES: usize = 1_024;

/// Signals in one call at most, so that the first of a burst is not kept for the last. One caller's go together.
const GROUP: usize = 512;

/// What each signal adds to the time limit: the largest delivery that is taken must not be too large to be stored.
const EACH: Duration = Duration::from_micros(50);

/// Where signals wait.
#[derive(Debug)]
pub(super) struct Recorder {
    /// Who wakes, so that nobody is woken by itself.
    name: String,
    line: Mutex<VecDeque<Waiting>>,
    lead: tokio::sync::Mutex<()>,
    places: Semaphore,
}

#[derive(Debug)]
struct Waiting {
    signals: Vec<Signal>,
    answer: oneshot::Sender<Result<()>>,
}

/// One record for each signal of a group.
type Batch = BTreeMap<(ClusterName, SignalId), Signal>;

impl Recorder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            line: Mutex::default(),
            lead: tokio::sync::Mutex::default(),
            places: Semaphore::new(PLACES),
        }
    }

    /// Stores signals, and answers when they are stored or refused.
    pub(super) async fn record(&self, link: &Link, signals: &[Signal]) -> Result<()> {
        let place = self.places.acquire().await;
        let _place = place.map_err(|_| Error::Away("the store is closed".to_owned()))?;
        loop {
            let (answer, mut answered) = oneshot::channel();
            self.line().push_back(Waiting { signals: signals.to_vec(), answer });
            let told = loop {
                tokio::select! {
                    biased;
                    told = &mut answered => break told,
                    _lead = self.lead.lock() => self.lead(link).await,
                }
            };
            // Without an answer, the one that had the lead was cut off.
            if let Ok(outcome) = told {
                return outcome;
            }
        }
    }

    /// Writes the next group. Where the server is away it is so for all that wait: none waits for a time
    /// limit of its own.
    async fn lead(&self, link: &Link) {
        let group = self.next();
        if group.is_empty() {
            return;
        }
        let outcomes = self.write(link, &group).await;
        let away = outcomes.iter().find_map(|outcome| match outcome {
            Err(error @ Error::Away(_)) => Some(error.clone()),
            _ => None,
        });
        for (waiting, outcome) in group.into_iter().zip(outcomes) {
            // Whoever does not listen any more gave up, and will look again.
            let _ = waiting.answer.send(outcome);
        }
        if let Some(error) = away {
            for waiting in self.line().drain(..) {
                let _ = waiting.answer.send(Err(error.clone()));
            }
        }
    }

    fn next(&self) -> Vec<Waiting> {
        let mut line = self.line();
        let (mut group, mut count) = (Vec::new(), 0);
        while let Some(next) = line.front()
            && (group.is_empty() || count + next.signals.len() <= GROUP)
        {
            count += next.signals.len();
            group.extend(line.pop_front());
        }
        group
    }

    /// Writes a group in one call. What cannot be read refuses those it belongs to: then each goes alone.
    async fn write(&self, link: &Link, group: &[Waiting]) -> Vec<Result<()>> {
        let all = group.iter().flat_map(|waiting| &waiting.signals);
        let together = self.store(link, batch(all)).await;
        match together {
            Err(Error::Unreadable(_)) if group.len() > 1 => {
                let mut outcomes = Vec::with_capacity(group.len());
                for waiting in group {
                    outcomes.push(self.store(link, batch(&waiting.signals)).await);
                }
                outcomes
            }
            outcome => vec![outcome; group.len()],
        }
    }

    async fn store(&self, link: &Link, batch: Batch) -> Result<()> {
        let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let limit = link.timeout() + EACH.saturating_mul(count);
        let deadline = Instant::now() + limit;
        let clusters: Vec<&ClusterName> = {
            let mut names: Vec<_> = batch.keys().map(|(cluster, _)| cluster).collect();
            names.dedup();
            names
        };
        let number = |cluster: &ClusterName| clusters.partition_point(|name| *name < cluster) + 1;
        let mut known = script::KNOWN.prepare_invoke();
        for cluster in &clusters {
            known.key(Kind::Schema.key(cluster)).key(Kind::Signals.key(cluster));
        }
        for (cluster, id) in batch.keys() {
            known.arg(number(cluster)).arg(id.as_str());
        }
        let mut there: Vec<String> = link.run_within(&known, limit).await?;
        loop {
            let mut record = script::RECORD.prepare_invoke();
            for cluster in &clusters {
                record.key(Kind::Schema.key(cluster)).key(Kind::Signals.key(cluster));
            }
            record.arg(keys::wakes(link.url().database)).arg(&self.name);
            for (((cluster, id), signal), there) in batch.iter().zip(&there) {
                let merged = merged(there, signal, || Kind::Signals.key(cluster))?;
                record.arg(number(cluster)).arg(id.as_str()).arg(there).arg(merged);
            }
            let changed: Vec<String> = link.run_within(&record, limit).await?;
            if changed.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let told = "others record the same signals all the time; nothing was stored";
                return Err(Error::Away(told.to_owned()));
            }
            for change in changed.chunks_exact(2) {
                let place =
                    change[0].parse::<usize>().ok().and_then(|n| there.get_mut(n.checked_sub(1)?));
                let strange = || {
                    Error::Unreadable("redis answered for a signal that was not asked".to_owned())
                };
                place.ok_or_else(strange)?.clone_from(&change[1]);
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn batch<'a>(signals: impl IntoIterator<Item = &'a Signal>) -> Batch {
    let mut batch = Batch::new();
    for signal in signals {
        let key = (signal.cluster.clone(), signal.id.clone());
        let whole = match batch.remove(&key) {
            Some(known) => known.merge(signal.clone()),
            None => signal.clone(),
        };
        batch.insert(key, whole);
    }
    batch
}

/// The record to write over the one that is there.
fn merged(there: &str, signal: &Signal, key: impl FnOnce() -> String) -> Result<String> {
    let whole = match there {
        "" => signal.clone(),
        known => {
            let known: Signal = super::parse(&key(), signal.id.as_str(), known)?;
            known.merge(signal.clone())
        }
    };
    Ok(super::json(&whole))
}
