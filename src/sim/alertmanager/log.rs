//! The notification log: what was last delivered of each group, which is all that keeps it from being
//! delivered again.

use crate::model::{Fingerprint, duration};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Receiver and group.
pub(super) type Key = (String, String);

/// The last delivery of one group.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) content: Content,
    pub(super) expires: Timestamp,
}

/// Which alerts a delivery is about. Neither annotations nor times are remembered.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) firing: BTreeSet<Fingerprint>,
    pub(super) resolved: BTreeSet<Fingerprint>,
}

/// The log.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    entries: BTreeMap<Key, Entry>,
}

impl Log {
    /// Whether this has to be delivered.
    pub(super) fn is_due(
        &self,
        key: &Key,
        content: &Content,
        send_resolved: bool,
        repeat_before: Timestamp,
    ) -> bool {
        let Some(entry) = self.entries.get(key) else {
            return !content.firing.is_empty();
        };
        let last = &entry.content;
        if !content.firing.is_subset(&last.firing) {
            return true;
        }
        if content.firing.is_empty() {
            // Also where resolutions are not sent, so that the log knows of them.
            return !last.firing.is_empty();
        }
        if send_resolved && !content.resolved.is_subset(&last.resolved) {
            return true;
        }
        entry.at < repeat_before
    }

    /// Writes what was delivered; whether it was news.
    pub(super) fn merge(&mut self, key: Key, entry: Entry, now: Timestamp) -> bool {
        let is_news =
            entry.expires >= now && self.entries.get(&key).is_none_or(|known| known.at <= entry.at);
        if is_news {
            self.entries.insert(key, entry);
        }
        is_news
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// Forgets what has expired. Until then an expired entry still counts.
    pub(super) fn collect(&mut self, now: Timestamp) {
        self.entries.retain(|_, entry| entry.expires > now);
    }
}

impl Entry {
    pub(super) fn new(
        at: Timestamp,
        content: Content,
        repeat: Duration,
        retention: Duration,
    ) -> Self {
        let lasts = repeat.saturating_mul(2);
        Self { at, content, expires: duration::after(at, lasts.min(retention)) }
    }
}
