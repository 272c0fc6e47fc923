//! The alerts an Alertmanager holds in memory, merged as they come.

use super::config::Config;
use super::labels::Labels;
use crate::model::{Fingerprint, duration};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One alert as Prometheus posts it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Posted {
    /// Its labels; those without a value are dropped.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// Since when it fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// When it is over unless posted again; in the past, it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// Where it comes from.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
}

/// One alert as it is held.
#[derive(Clone, Debug)]
pub(super) struct Alert {
    pub(super) fingerprint: Fingerprint,
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
    pub(super) starts: Timestamp,
    pub(super) ends: Timestamp,
    /// Its end is only a timeout: whoever posted it named none.
    timeout: bool,
    pub(super) updated: Timestamp,
    /// Grows with every post, so that two at one instant differ.
    pub(super) revision: u64,
    pub(super) generator_url: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    held: BTreeMap<Fingerprint, Arc<Alert>>,
    revision: u64,
}

// === impl Posted ===

impl Posted {
    /// As it is held, unless Alertmanager refuses it.
    fn read(self, now: Timestamp, config: &Config) -> Option<Alert> {
        let Self { mut labels, annotations, starts_at, ends_at, generator_url } = self;
        labels.retain(|_, value| !value.is_empty());
        let starts = starts_at.or(ends_at).unwrap_or(now);
        let timeout = ends_at.is_none();
        let ends = ends_at.unwrap_or_else(|| duration::after(now, config.resolve_timeout));
        if labels.is_empty() || ends < starts {
            return None;
        }
        let fingerprint = Fingerprint::of(&labels);
        let updated = now;
        Some(Alert {
            fingerprint,
            labels,
            annotations,
            starts,
            ends,
            timeout,
            updated,
            revision: 0,
            generator_url,
        })
    }
}

// === impl Alert ===

impl Alert {
    pub(super) fn is_resolved(&self, now: Timestamp) -> bool {
        self.ends <= now
    }

    /// This one, with what the one before it knew better.
    fn merge(mut self, before: &Alert, now: Timestamp) -> Self {
        let overlaps = (self.ends > before.starts && self.ends < before.ends)
            || (self.starts > before.starts && self.starts < before.ends);
        if !overlaps {
            return self;
        }
        self.starts = self.starts.min(before.starts);
        let is_later = before.ends > self.ends;
        let keeps_end = if self.is_resolved(now) {
            // Of two that are over, the later end counts.
            before.is_resolved(now)
        } else {
            // An end that was named counts while it is the latest; a timeout's does not.
            !before.timeout
        };
        if is_later && keeps_end {
            self.ends = before.ends;
        }
        self
    }
}

// === impl Alerts ===

impl Alerts {
    /// Takes one in; how it is held now, unless it is refused.
    pub(super) fn put(
        &mut self,
        posted: Posted,
        now: Timestamp,
        config: &Config,
    ) -> Option<Arc<Alert>> {
        let mut alert = posted.read(now, config)?;
        if let Some(before) = self.held.get(&alert.fingerprint) {
            alert = alert.merge(before, now);
        }
        self.revision += 1;
        alert.revision = self.revision;
        let alert = Arc::new(alert);
        self.held.insert(alert.fingerprint.clone(), alert.clone());
        Some(alert)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Alert>> {
        self.held.values()
    }

    /// Forgets what is over.
    pub(super) fn collect(&mut self, now: Timestamp) {
        self.held.retain(|_, alert| !alert.is_resolved(now));
    }

    pub(super) fn clear(&mut self) {
        self.held.clear();
    }
}
