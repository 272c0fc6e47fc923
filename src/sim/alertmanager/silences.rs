//! Silences, as one Alertmanager holds them.

use super::labels::{self, Labels};
use crate::model::{Matcher, Silence, SilenceId, SilenceState, duration};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// A silence to be set.
#[derive(Clone, Debug)]
pub struct NewSilence {
    /// Its id, which the real one draws itself.
    pub id: SilenceId,
    /// All of these must match.
    pub matchers: Vec<Matcher>,
    /// From when; the past means now.
    pub starts: Timestamp,
    /// Until when.
    pub ends: Timestamp,
    /// Who sets it.
    pub created_by: String,
    /// Why.
    pub comment: String,
}

/// One that is held.
#[derive(Clone, Debug)]
pub(super) struct Held {
    told: NewSilence,
    matchers: Vec<labels::Matcher>,
    updated: Timestamp,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Silences {
    held: BTreeMap<SilenceId, Held>,
}

impl Held {
    fn state(&self, now: Timestamp) -> SilenceState {
        if now < self.told.starts {
            SilenceState::Pending
        } else if now < self.told.ends {
            SilenceState::Active
        } else {
            SilenceState::Expired
        }
    }

    /// As the API tells it.
    pub(super) fn tell(&self, now: Timestamp) -> Silence {
        let told = self.told.clone();
        Silence {
            id: told.id,
            matchers: told.matchers,
            starts: told.starts,
            ends: told.ends,
            created_by: told.created_by,
            comment: told.comment,
            state: self.state(now),
        }
    }
}

impl Silences {
    /// Sets a new one; `None` where Alertmanager refuses it: no matcher, an expression that is none, or an end
    /// that has passed.
    pub(super) fn set(&mut self, mut new: NewSilence, now: Timestamp) -> Option<Held> {
        new.starts = new.starts.max(now);
        let matchers: Option<Vec<_>> = new.matchers.iter().map(labels::Matcher::new).collect();
        let matchers = matchers.filter(|matchers| !matchers.is_empty())?;
        if new.ends <= new.starts {
            return None;
        }
        let held = Held { told: new, matchers, updated: now };
        self.held.insert(held.told.id.clone(), held.clone());
        Some(held)
    }

    /// Ends one now.
    pub(super) fn expire(&mut self, id: &SilenceId, now: Timestamp) -> Option<Held> {
        let held = self.held.get_mut(id)?;
        match held.state(now) {
            SilenceState::Expired => return None,
            SilenceState::Active => {}
            SilenceState::Pending => held.told.starts = now,
        }
        held.told.ends = now;
        held.updated = now;
        Some(held.clone())
    }

    /// Takes one that a peer tells of: the later change counts.
    pub(super) fn merge(&mut self, other: &Held) {
        let is_news =
            self.held.get(&other.told.id).is_none_or(|known| known.updated < other.updated);
        if is_news {
            self.held.insert(other.told.id.clone(), other.clone());
        }
    }

    /// Which of them mute these labels now.
    pub(super) fn muting(&self, labels: &Labels, now: Timestamp) -> Vec<SilenceId> {
        let active = self.held.values().filter(|held| held.state(now) == SilenceState::Active);
        let muting = active.filter(|held| labels::all_match(&held.matchers, labels));
        muting.map(|held| held.told.id.clone()).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    /// Forgets what ended long ago.
    pub(super) fn collect(&mut self, now: Timestamp, retention: Duration) {
        self.held.retain(|_, held| duration::after(held.told.ends, retention) > now);
    }
}
