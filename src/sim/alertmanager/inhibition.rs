//! Which alerts mute which, and what each release forgets about it.

use super::alerts::Alert;
use super::config::{InhibitRule, Release};
use super::labels::{Labels, all_match};
use crate::model::Fingerprint;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of the alerts that inhibit others, rule by rule.
#[derive(Debug)]
pub(super) struct Inhibitor {
    rules: Vec<(InhibitRule, Known)>,
    release: Release,
}

#[derive(Debug, Default)]
struct Known {
    sources: BTreeMap<Fingerprint, Arc<Alert>>,
    /// By the values of the labels that must be equal, the one source that 0.31 remembers.
    index: BTreeMap<Vec<String>, Fingerprint>,
}

impl Inhibitor {
    pub(super) fn new(rules: &[InhibitRule], release: Release) -> Self {
        let rules = rules.iter().map(|rule| (rule.clone(), Known::default())).collect();
        Self { rules, release }
    }

    /// Learns of an alert.
    pub(super) fn see(&mut self, alert: &Arc<Alert>) {
        for (rule, known) in &mut self.rules {
            if all_match(&rule.source, &alert.labels) {
                known.see(alert, equal_values(rule, &alert.labels));
            }
        }
    }

    /// Who mutes an alert with these labels.
    pub(super) fn muting(&self, labels: &Labels, now: Timestamp) -> Option<Fingerprint> {
        self.rules.iter().find_map(|(rule, known)| {
            if !all_match(&rule.target, labels) {
                return None;
            }
            let is_both = all_match(&rule.source, labels);
            let equal = equal_values(rule, labels);
            // An alert that could mute and be muted by one rule is not muted by another such.
            let is_excluded = |source: &Alert| is_both && all_match(&rule.target, &source.labels);
            let counts = |source: &&Arc<Alert>| {
                let is_over = source.is_resolved(now) || is_excluded(source);
                !is_over && equal_values(rule, &source.labels) == equal
            };
            let source = if self.release == Release::V0_31 {
                known.sources.get(known.index.get(&equal)?).filter(counts)
            } else {
                known.sources.values().find(counts)
            };
            source.map(|source| source.fingerprint.clone())
        })
    }

    /// Forgets sources that are over.
    pub(super) fn collect(&mut self, now: Timestamp) {
        for (rule, known) in &mut self.rules {
            let over: Vec<Arc<Alert>> =
                known.sources.values().filter(|source| source.is_resolved(now)).cloned().collect();
            for source in over {
                known.sources.remove(&source.fingerprint);
                // As 0.31 does: even where the index names another source.
                known.index.remove(&equal_values(rule, &source.labels));
            }
        }
    }
}

impl Known {
    fn see(&mut self, alert: &Arc<Alert>, equal: Vec<String>) {
        self.sources.insert(alert.fingerprint.clone(), alert.clone());
        let named = self.index.get(&equal).and_then(|named| self.sources.get(named));
        // Replaced only by one that ends no sooner, so a source that is over can hide one that is not
        // until that one is posted again.
        if named.is_none_or(|named| named.is_resolved(alert.ends)) {
            self.index.insert(equal, alert.fingerprint.clone());
        }
    }
}

fn equal_values(rule: &InhibitRule, labels: &Labels) -> Vec<String> {
    rule.equal.iter().map(|name| labels.get(name).cloned().unwrap_or_default()).collect()
}
