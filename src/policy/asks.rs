//! Which signals count, and why the others do not.
//!
//! A delivery is a hint. An alert counts when it was delivered to us within its time *and* Alertmanager
//! says that it is active, neither silenced nor inhibited. Delivery is needed because muting by time
//! intervals never shows in the API; the API is needed because silences, inhibition and resolution
//! never come by webhook. `resolved` and absence are never a cause to act.

use super::scene::labels;
use super::{forgotten, pauses};
use crate::config::{ClusterConfig, Require};
use crate::model::{
    AlertState, Ask, ClusterMemory, Direction, Fingerprint, PoolName, Reason, Signal, Source,
    Truth, duration,
};
use jiff::Timestamp;

/// What a signal's standing depends on.
#[derive(Clone, Copy)]
pub(super) struct Court<'a> {
    pub(super) truth: &'a Truth,
    pub(super) memory: &'a ClusterMemory,
    pub(super) signals: &'a [Signal],
    pub(super) limits: &'a ClusterConfig,
    pub(super) now: Timestamp,
}

impl Court<'_> {
    /// Whether a signal counts now.
    pub(super) fn standing(&self, signal: &Signal) -> Result<(), Reason> {
        match (&signal.ask, &signal.source) {
            (Ask::Watchdog, _) => self.watchdog_alive(),
            (Ask::Scale { .. } | Ask::Reconcile | Ask::Foresee, _) | (_, Source::Manual { .. }) => {
                self.manual(signal)
            }
            (_, Source::Alert { fingerprint, resolved, .. }) => {
                self.target(signal)?;
                match self.truth.alerts.get(fingerprint) {
                    // A silenced alert is not delivered any more: the pause is the reason, not the silence of the wire.
                    Some(state) => self.muted(signal, state)?,
                    None => self.unconfirmed(signal, *resolved)?,
                }
                self.delivered(signal)?;
                self.remembered(signal)?;
                if signal.direction() == Direction::Up { Ok(()) } else { self.removal() }
            }
        }
    }

    /// Whether a standing is news: that an alert is over is none.
    pub(super) fn is_news(&self, signal: &Signal, reason: &Reason) -> bool {
        let is_over = matches!(signal.source, Source::Alert { resolved: true, .. });
        !matches!(reason, Reason::NotConfirmed { .. }) || !is_over && self.delivered(signal).is_ok()
    }

    /// Pauses of alerts that never reached us: muted from the start, so that only the API tells of them.
    pub(super) fn muted_unheard(&self, pool: &PoolName) -> Option<Reason> {
        self.unheard(pool).find_map(|state| self.silenced(state))
    }

    /// An alert that asks for a step or a size and never reached us. What the packing would answer is
    /// seen without it.
    pub(super) fn unheard_up(&self, pool: &PoolName) -> Option<String> {
        let mut ups = self.unheard(pool).filter(|state| {
            state.labels.get("autoscale").is_some_and(|word| word == "up")
                && (state.labels.contains_key("step")
                    || state.annotations.contains_key("want_query"))
        });
        let up = ups.next()?;
        Some(up.labels.get("alertname").cloned().unwrap_or_default())
    }

    /// Active alerts for a pool that no delivery told us of.
    fn unheard<'s>(&'s self, pool: &'s PoolName) -> impl Iterator<Item = &'s AlertState> + 's {
        let heard = |print: &Fingerprint| {
            self.signals.iter().any(|signal| signal.fingerprint() == Some(print))
        };
        let unheard = self.truth.alerts.iter().filter(move |(print, _)| !heard(print));
        unheard.map(|(_, state)| state).filter(|state| {
            let label = |name: &str| state.labels.get(name).map(String::as_str);
            label("autoscale").is_some_and(|word| word != "watchdog")
                && label("cluster").is_none_or(|cluster| cluster == self.limits.name.as_str())
                && label("pool").is_none_or(|name| name == pool.as_str())
        })
    }

    /// What must hold before anything is removed because of an alert.
    pub(super) fn removal(&self) -> Result<(), Reason> {
        self.confirmed()?;
        forgotten::removals(self.memory, &self.limits.timing, self.now)?;
        if let Some(until) = self.memory.down_held_until.filter(|until| self.now < *until) {
            return Err(Reason::AlertmanagerRestarted { until });
        }
        self.watchdog_alive()?;
        self.watchdog_told()
    }

    /// Enough Alertmanagers answered to know of every pause.
    pub(super) fn confirmed(&self) -> Result<(), Reason> {
        let (answered, asked) = (self.truth.answered(), self.truth.peers.len());
        let enough = match self.limits.alertmanager.require {
            Require::All => answered == asked,
            Require::Majority => answered * 2 > asked,
        };
        if answered == 0 || !enough { Err(away(self.truth)) } else { Ok(()) }
    }

    /// The watchdog alert reaches us all the time; when it stops, Prometheus may be dead.
    pub(super) fn watchdog_alive(&self) -> Result<(), Reason> {
        match self.last_watchdog() {
            Some(at) if duration::since(at, self.now) <= self.limits.alertmanager.watchdog_ttl => {
                Ok(())
            }
            last => Err(Reason::WatchdogMissing { last }),
        }
    }

    /// That the watchdog is over is delivered at the next tick of its group only: till then the alerts of a
    /// dead Prometheus end one by one, and the busy one may end before the idle one.
    fn watchdog_told(&self) -> Result<(), Reason> {
        let is_told = |signal: &Signal| {
            signal.fingerprint().is_some_and(|print| self.truth.alerts.contains_key(print))
        };
        // One that is away might tell of it.
        let all_answered = self.truth.answered() == self.truth.peers.len();
        if all_answered && !self.watchdogs().any(is_told) {
            return Err(Reason::WatchdogMissing { last: self.last_watchdog() });
        }
        Ok(())
    }

    fn last_watchdog(&self) -> Option<Timestamp> {
        self.watchdogs().map(|signal| signal.last_seen).max()
    }

    /// Watchdogs that were not delivered as over.
    fn watchdogs(&self) -> impl Iterator<Item = &Signal> {
        self.signals.iter().filter(|signal| {
            matches!(signal.ask, Ask::Watchdog)
                && !matches!(signal.source, Source::Alert { resolved: true, .. })
        })
    }

    /// The pool a signal speaks for.
    pub(super) fn pool_of(&self, signal: &Signal) -> Option<PoolName> {
        signal.pool.clone().or_else(|| {
            let mut pools = self.limits.configured();
            pools.next().filter(|_| pools.next().is_none()).map(|pool| pool.name.clone())
        })
    }

    fn target(&self, signal: &Signal) -> Result<(), Reason> {
        let wrong =
            |detail: String| Err(Reason::WrongTarget { alert: signal.name.clone(), detail });
        match &signal.pool {
            Some(pool) if !self.limits.configured().any(|one| one.name == *pool) => {
                wrong(format!("there is no pool {pool}"))
            }
            None if signal.direction() == Direction::Down
                && self.limits.configured().count() > 1 =>
            {
                wrong("the cluster has several pools; the rule must name one".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn delivered(&self, signal: &Signal) -> Result<(), Reason> {
        let ttl = match signal.direction() {
            Direction::Down | Direction::Replace => {
                self.truth.ttl.min(self.limits.alertmanager.ttl_max)
            }
            _ => self.truth.ttl,
        };
        if duration::since(signal.last_seen, self.now) <= ttl {
            return Ok(());
        }
        Err(Reason::NotDelivered { alert: signal.name.clone() })
    }

    fn muted(&self, signal: &Signal, state: &AlertState) -> Result<(), Reason> {
        if let Some(paused) = self.silenced(state) {
            return Err(paused);
        }
        if let Some(by) = state.inhibited_by.first() {
            return Err(Reason::Inhibited { alert: signal.name.clone(), by: self.name_of(by) });
        }
        Ok(())
    }

    fn silenced(&self, state: &AlertState) -> Option<Reason> {
        let id = state.silenced_by.first()?;
        let known = self.truth.silences.get(id).or_else(|| self.memory.silences.get(id));
        Some(known.map_or_else(
            || Reason::Paused {
                silence: id.clone(),
                by: "unknown".to_owned(),
                until: Timestamp::MAX,
                comment: String::new(),
                remembered: false,
            },
            |silence| pauses::paused(silence, self.truth),
        ))
    }

    /// An alert that no Alertmanager tells of. Peers do not share alerts, so the one that would tell may
    /// be the one that is away: then, and only for more workers, a fresh delivery is enough, as long as
    /// the watchdog tells that Prometheus lives.
    fn unconfirmed(&self, signal: &Signal, resolved: bool) -> Result<(), Reason> {
        if self.truth.answered() == self.truth.peers.len() && self.truth.answered() > 0 {
            return Err(Reason::NotConfirmed { alert: signal.name.clone() });
        }
        if signal.direction() != Direction::Up {
            return Err(away(self.truth));
        }
        if resolved {
            return Err(Reason::NotConfirmed { alert: signal.name.clone() });
        }
        // Neither of the two confirms it: what its pods prove is served all the same.
        self.watchdog_alive()
    }

    fn remembered(&self, signal: &Signal) -> Result<(), Reason> {
        let Source::Alert { labels, .. } = &signal.source else {
            return Ok(());
        };
        pauses::check(labels, self.memory, self.truth, self.now)
    }

    fn manual(&self, signal: &Signal) -> Result<(), Reason> {
        if duration::since(signal.last_seen, self.now) > self.limits.timing.manual_ttl {
            return Err(Reason::NotDelivered { alert: signal.name.clone() });
        }
        forgotten::wish(self.memory, signal.last_seen, self.limits.timing.manual_ttl)?;
        match self.pool_of(signal) {
            Some(pool) => pauses::check(
                &labels("manual", self.limits, &pool),
                self.memory,
                self.truth,
                self.now,
            ),
            None => Ok(()),
        }
    }

    fn name_of(&self, fingerprint: &Fingerprint) -> String {
        let alert = self.signals.iter().find(|signal| signal.fingerprint() == Some(fingerprint));
        alert.map_or_else(|| fingerprint.to_string(), |signal| signal.name.clone())
    }
}

fn away(truth: &Truth) -> Reason {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Reason::AlertmanagerAway { answered: count(truth.answered()), asked: count(truth.peers.len()) }
}
