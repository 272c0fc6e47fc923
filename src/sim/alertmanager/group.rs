//! One aggregation group: its alerts, its one clock, and the one flush it may have under way.

use super::alerts::Alert;
use super::labels::{self, Labels};
use super::log::Content;
use crate::model::Fingerprint;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The wait before the second attempt of a flush, and what it is multiplied by for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const GROWTH: f64 = 1.5;
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A group: the place of its route, and the hash of the labels that name it.
pub(super) type GroupId = (usize, Fingerprint);

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    /// As bodies and the log name it.
    pub(super) key: String,
    pub(super) labels: Labels,
    pub(super) alerts: BTreeMap<Fingerprint, Arc<Alert>>,
    /// When it is flushed next.
    pub(super) tick: Timestamp,
    pub(super) was_flushed: bool,
    pub(super) flush: Option<Flush>,
    /// Under which time it is queued.
    pub(super) queued: Option<Timestamp>,
}

/// A flush under way. What it delivers was settled when it began, however long it takes.
#[derive(Clone, Debug)]
pub(super) struct Flush {
    /// Every alert of the group.
    pub(super) snapshot: Vec<Item>,
    /// Those that were not muted.
    pub(super) unmuted: Vec<Item>,
    pub(super) content: Content,
    /// The tick that began it: what time intervals are compared with.
    pub(super) ticked: Timestamp,
    pub(super) began: Timestamp,
    /// When it is given up.
    pub(super) ends: Timestamp,
    pub(super) step: Step,
    pub(super) attempts: u32,
    pause: Duration,
}

/// Where a flush stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Until gossip has settled.
    Settling(Timestamp),
    /// For the peers before us to deliver it.
    Waiting(Timestamp),
    /// For an answer to this delivery; another attempt comes no sooner than at that time.
    Posting(u64, Timestamp),
    /// Until the next attempt.
    Resting(Timestamp),
}

/// One alert as it stood when the flush began.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) alert: Arc<Alert>,
    pub(super) is_resolved: bool,
}

impl Group {
    pub(super) fn new(key: String, labels: Labels, tick: Timestamp) -> Self {
        let alerts = BTreeMap::new();
        Self { key, labels, alerts, tick, was_flushed: false, flush: None, queued: None }
    }

    /// When something happens here unless something comes from outside before.
    pub(super) fn due(&self) -> Timestamp {
        let Some(flush) = &self.flush else { return self.tick };
        match flush.step {
            Step::Settling(until) | Step::Waiting(until) | Step::Resting(until) => {
                until.min(flush.ends)
            }
            Step::Posting(..) => flush.ends,
        }
    }

    /// Begins a flush of everything in it; `settled` is when gossip has settled.
    pub(super) fn begin(&mut self, now: Timestamp, ends: Timestamp, settled: Timestamp) {
        let item =
            |alert: &Arc<Alert>| Item { alert: alert.clone(), is_resolved: alert.is_resolved(now) };
        let mut snapshot: Vec<Item> = self.alerts.values().map(item).collect();
        snapshot.sort_by(|one, other| labels::compare(&one.alert.labels, &other.alert.labels));
        self.flush = Some(Flush {
            snapshot,
            unmuted: Vec::new(),
            content: Content::default(),
            ticked: self.tick,
            began: now,
            ends,
            step: Step::Settling(settled),
            attempts: 0,
            pause: FIRST_PAUSE,
        });
    }

    /// Ends the flush. What was resolved leaves the group if all went well, delivered or not, unless it was
    /// posted again meanwhile.
    pub(super) fn finish(&mut self, is_well: bool) {
        let Some(flush) = self.flush.take() else { return };
        for item in flush.snapshot.iter().filter(|item| is_well && item.is_resolved) {
            let fingerprint = &item.alert.fingerprint;
            let held = self.alerts.get(fingerprint);
            if held.is_some_and(|held| held.revision == item.alert.revision) {
                self.alerts.remove(fingerprint);
            }
        }
    }
}

impl Flush {
    /// The wait until the next attempt, spread by a factor around one.
    pub(super) fn next_pause(&mut self, spread: f64) -> Duration {
        let pause = self.pause.mul_f64(spread);
        self.pause = self.pause.mul_f64(GROWTH).min(LONGEST_PAUSE);
        pause
    }

    /// What the log will say was delivered.
    pub(super) fn count(&mut self) {
        let mut content = Content::default();
        for item in &self.unmuted {
            let set = if item.is_resolved { &mut content.resolved } else { &mut content.firing };
            set.insert(item.alert.fingerprint.clone());
        }
        self.content = content;
    }
}
