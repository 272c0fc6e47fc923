//! Recording signals: all that wait go into one call, and share its way to the server.
//!
//! [`Signal::merge`] says what becomes of two records, so merging is done here, with what is taken to be there: what
//! we left, or nothing. It is written if that is so; if not, the server tells what is there, and it is done again.
//!
//! There is no writer task. Whoever gets the lead writes for all that wait; one that is cut off (its caller hung
//! up) leaves the others to get in line again, which is harmless: merging twice is merging once.

use super::keys::{self, Kind};
use super::link::Link;
use super::script;
use crate::model::{ClusterName, Signal, SignalId};
use crate::store::{Error, Result};
use redis::ScriptInvocation;
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

/// Records remembered at most, and the length in bytes of those that are: 2 MB together.
const REMEMBERED: usize = 1_024;
const RECORD_SIZE: usize = 2_048;

/// Where signals wait.
#[derive(Debug)]
pub(super) struct Recorder {
    /// Who wakes, so that nobody is woken by itself.
    name: String,
    line: Mutex<VecDeque<Waiting>>,
    lead: tokio::sync::Mutex<()>,
    places: Semaphore,
    /// What we left there. A guess: others write too.
    left: Mutex<Records>,
}

#[derive(Debug)]
struct Waiting {
    signals: Vec<Signal>,
    answer: oneshot::Sender<Result<()>>,
}

type Key = (ClusterName, SignalId);

/// One record for each signal of a group.
type Batch = BTreeMap<Key, Signal>;

/// Records as they are stored.
type Records = BTreeMap<Key, String>;

impl Recorder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            line: Mutex::default(),
            lead: tokio::sync::Mutex::default(),
            places: Semaphore::new(PLACES),
            left: Mutex::default(),
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

    /// Writes a batch. As often as somebody else wrote meanwhile it is done again, with what is there by now.
    async fn store(&self, link: &Link, batch: Batch) -> Result<()> {
        let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let limit = link.timeout() + EACH.saturating_mul(count);
        let deadline = Instant::now() + limit;
        let mut there = self.guess(&batch);
        let mut is_guess = true;
        loop {
            let merged = merge(&batch, &there)?;
            let call = self.call(link, &there, &merged);
            let changed: Vec<String> = link.run_within(&call, limit).await?;
            if changed.is_empty() {
                self.remember(merged);
                return Ok(());
            }
            if !is_guess && Instant::now() >= deadline {
                let told = "others record the same signals all the time; nothing was stored";
                return Err(Error::Away(told.to_owned()));
            }
            learn(&mut there, &changed)?;
            is_guess = false;
        }
    }

    /// The script's call, which writes what was merged where it finds what we think is there.
    fn call(&self, link: &Link, there: &Records, merged: &Records) -> ScriptInvocation<'static> {
        let mut clusters: Vec<&ClusterName> = merged.keys().map(|(cluster, _)| cluster).collect();
        clusters.dedup();
        let mut call = script::RECORD.prepare_invoke();
        for cluster in &clusters {
            call.key(Kind::Schema.key(cluster)).key(Kind::Signals.key(cluster));
        }
        call.arg(keys::wakes(link.url().database)).arg(&self.name);
        for (((cluster, id), there), merged) in there.iter().zip(merged.values()) {
            let number = clusters.partition_point(|name| *name < cluster) + 1;
            call.arg(number).arg(id.as_str()).arg(there).arg(merged);
        }
        call
    }

    /// What may be there, for each signal of a batch: what we left, or nothing.
    fn guess(&self, batch: &Batch) -> Records {
        let left = self.left();
        let guess = |key: &Key| (key.clone(), left.get(key).cloned().unwrap_or_default());
        batch.keys().map(guess).collect()
    }

    /// Remembers what we left there, as far as there is room: a burst begins anew.
    fn remember(&self, records: Records) {
        let mut left = self.left();
        for (key, record) in records {
            if record.len() <= RECORD_SIZE {
                left.insert(key, record);
            } else {
                left.remove(&key);
            }
        }
        if left.len() > REMEMBERED {
            left.clear();
        }
    }

    fn line(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> MutexGuard<'_, Records> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
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

/// What to write over what is there.
fn merge(batch: &Batch, there: &Records) -> Result<Records> {
    let merged = |((key, signal), there): ((&Key, &Signal), &String)| {
        let whole = match there.as_str() {
            "" => signal.clone(),
            known => {
                let known: Signal =
                    super::parse(&Kind::Signals.key(&key.0), key.1.as_str(), known)?;
                known.merge(signal.clone())
            }
        };
        Ok((key.clone(), super::json(&whole)))
    };
    batch.iter().zip(there.values()).map(merged).collect()
}

/// Puts what the server told to be there in the place of what we took to be there.
fn learn(there: &mut Records, told: &[String]) -> Result<()> {
    let mut there: Vec<&mut String> = there.values_mut().collect();
    for change in told.chunks_exact(2) {
        let place = change[0].parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let record = place.and_then(|place| there.get_mut(place));
        let strange =
            || Error::Unreadable("redis answered for a signal that was not asked".to_owned());
        record.ok_or_else(strange)?.clone_from(&change[1]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Ask, Source};
    use jiff::Timestamp;

    fn signal(id: &str) -> Signal {
        Signal {
            id: id.into(),
            cluster: "c".into(),
            pool: None,
            ask: Ask::Watchdog,
            name: id.to_owned(),
            source: Source::Manual { who: "test".to_owned() },
            summary: String::new(),
            description: String::new(),
            first_seen: Timestamp::UNIX_EPOCH,
            last_seen: Timestamp::UNIX_EPOCH,
        }
    }

    /// How many callers there are in each group, of callers with so many signals.
    fn groups(sizes: &[usize]) -> Vec<usize> {
        let recorder = Recorder::new("a".to_owned());
        for size in sizes {
            let (answer, _) = oneshot::channel();
            let signals = vec![signal("s"); *size];
            recorder.line().push_back(Waiting { signals, answer });
        }
        let next = || Some(recorder.next().len()).filter(|count| *count > 0);
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_group_takes_who_waits_up_to_its_size_and_never_parts_a_caller_s() {
        assert_eq!(groups(&[1, GROUP - 1, 1]), [2, 1]);
        assert_eq!(groups(&[GROUP + 1, 1]), [1, 1]);
        assert_eq!(groups(&[1, GROUP, 1]), [1, 1, 1]);
        assert_eq!(groups(&[200, 200, GROUP - 400, 1]), [3, 1]);
    }

    #[test]
    fn what_was_left_is_guessed_as_far_as_there_is_room_to_remember_it() {
        let key = |id: &str| -> Key { ("c".into(), id.into()) };
        let guessed = |recorder: &Recorder, id: &str| {
            recorder.guess(&batch([&signal(id)])).remove(&key(id)).unwrap()
        };
        let recorder = Recorder::new("a".to_owned());
        let long = |length: usize| "x".repeat(length);
        let records = [("long", RECORD_SIZE), ("longer", RECORD_SIZE + 1)];
        recorder.remember(records.map(|(id, length)| (key(id), long(length))).into());
        assert_eq!(guessed(&recorder, "long"), long(RECORD_SIZE));
        assert_eq!(guessed(&recorder, "longer"), "");
        let more = |from: usize, to: usize| {
            (from..to).map(|number| (key(&number.to_string()), "x".to_owned())).collect()
        };
        recorder.remember(more(1, REMEMBERED));
        assert_eq!(guessed(&recorder, "1"), "x", "there is room for as many");
        assert_eq!(guessed(&recorder, "long"), long(RECORD_SIZE));
        recorder.remember(more(REMEMBERED, REMEMBERED + 1));
        assert_eq!(guessed(&recorder, "1"), "", "and a burst begins anew");
    }
}
