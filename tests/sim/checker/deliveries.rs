//! I9: what was answered 2xx is kept, and what was lost before that heals by the next repeat.

use super::Checker;
use crate::scenario::CLUSTER;
use bellwether::model::{AlertState, Fingerprint, Signal, Truth, duration};
use bellwether::store::Store as _;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// For how long a delivery counts by the routes that ship: a repeat, a tick of the group, and the way.
const COUNTS: Duration = Duration::from_secs(55 + 15 + 15);

/// How long after an alert became active it has reached us: its group waits for half a minute where it asks to remove, and
/// one delivery may have been lost just before.
const HEALS: Duration = Duration::from_mins(2);

/// Deliveries that were answered 2xx, and alerts that should have been delivered.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// When each alert was last sent that was answered so, and to the how-many-th store.
    taken: BTreeMap<String, (Timestamp, usize)>,
    /// Since when each alert is active, as far as was looked.
    active: BTreeMap<Fingerprint, Timestamp>,
}

impl Checker {
    /// A delivery is sent now, to the how-many-th store.
    pub(crate) fn sent(&self) -> (Timestamp, usize) {
        (self.now(), self.store.all().len())
    }

    /// Alerts that were sent then are answered 2xx: the store has each as of then or later, or had until it failed over.
    pub(crate) async fn answered(&self, fingerprints: &[String], sent: (Timestamp, usize)) {
        let mut signals = Vec::new();
        for store in self.store.all() {
            signals.extend(store.signals(&CLUSTER.into()).await.unwrap());
        }
        for print in fingerprints {
            if !has(&signals, print, sent.0) {
                let what =
                    format!("alert {print} of {} was answered 200 and is not stored", sent.0);
                self.violated("I9", what);
            }
            let taken = &mut self.state().deliveries.taken;
            let before = taken.insert(print.clone(), sent);
            if let Some(before) = before.filter(|before| *before > sent) {
                taken.insert(print.clone(), before);
            }
        }
    }

    /// What was taken is still there for as long as it counts, unless another store took over.
    pub(crate) async fn still_kept(&self) {
        let (now, number) = (self.now(), self.store.all().len());
        let signals = self.store.present().signals(&CLUSTER.into()).await.unwrap();
        let lost: Vec<String> = {
            let taken = &mut self.state().deliveries.taken;
            taken.retain(|_, (at, store)| duration::since(*at, now) < COUNTS && *store == number);
            let is_lost =
                |(print, (at, _)): &(&String, &(Timestamp, usize))| !has(&signals, print, *at);
            taken.iter().filter(is_lost).map(|(print, _)| print.clone()).collect()
        };
        for print in lost {
            self.violated("I9", format!("alert {print} was stored, and is lost while it counts"));
        }
    }

    /// Every alert that is active was delivered of late, whatever became of the delivery before: as far as nothing has kept
    /// deliveries from us for a while.
    pub(crate) async fn reached(&self, truth: &Truth) {
        let (now, pools) = (self.now(), self.pools());
        let signals = self.store.present().signals(&CLUSTER.into()).await.unwrap();
        let missing: Vec<Fingerprint> = {
            let mut state = self.state();
            let is_well = state.clocks.is_well(now);
            let active = &mut state.deliveries.active;
            let counts =
                |print: &Fingerprint| truth.alerts.get(print).is_some_and(AlertState::is_active);
            active.retain(|print, _| is_well && counts(print));
            for print in truth.alerts.keys().filter(|print| is_well && counts(print)) {
                active.entry(print.clone()).or_insert(now);
            }
            let is_due = |since: Timestamp| duration::since(since, now) > HEALS;
            let due = active.iter().filter(|(_, since)| is_due(**since)).map(|(print, _)| print);
            let late = duration::before(now, COUNTS);
            due.filter(|print| !has(&signals, print.as_str(), late)).cloned().collect()
        };
        for print in missing {
            let labels = &truth.alerts[&print].labels;
            // Of a pool that the file does not name it is taken and not kept.
            let is_named =
                |pool: &String| pools.contains(pool) && self.is_acted_on(&pool.as_str().into());
            if labels.get("pool").is_none_or(is_named) {
                self.violated("I9", format!("alert {labels:?} is active and reached nobody"));
            }
        }
    }
}

/// Whether an alert is stored as it was delivered then or later.
fn has(signals: &[Signal], print: &str, at: Timestamp) -> bool {
    signals.iter().any(|signal| signal.id.as_str() == print && signal.last_seen >= at)
}
