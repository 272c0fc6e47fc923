//! What all Alertmanagers together say is true.

use super::{Fingerprint, Silence, SilenceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The answers of all Alertmanagers, merged: one that says suppressed wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Every Alertmanager asked.
    pub peers: Vec<PeerState>,
    /// Alerts routed to our receiver, resolved ones left out.
    pub alerts: BTreeMap<Fingerprint, AlertState>,
    /// Every silence any of them knows, expired ones included.
    pub silences: BTreeMap<SilenceId, Silence>,
    /// How long a delivery counts, from the routes' own configuration (`alertmanager.ttl` where it
    /// cannot be read).
    #[serde(with = "super::duration::text")]
    pub ttl: Duration,
    /// Faults of the set-up, for people: a repeat above 5 m on our route, no such receiver, ….
    pub findings: Vec<String>,
}

/// One Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerState {
    /// Its address, without credentials.
    pub url: String,
    /// When it started, if it answered.
    pub started: Option<Timestamp>,
    /// Why it did not answer.
    pub error: Option<String>,
}

/// One alert as the API tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertState {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, up to a minute old: shown, never read as numbers.
    pub annotations: BTreeMap<String, String>,
    /// Start of the episode: the earliest any peer tells.
    pub starts_at: Timestamp,
    /// Silences that mute it, by any peer.
    pub silenced_by: Vec<SilenceId>,
    /// Alerts that inhibit it, by any peer.
    pub inhibited_by: Vec<Fingerprint>,
}

impl Truth {
    /// How many answered.
    pub fn answered(&self) -> usize {
        self.peers.iter().filter(|peer| peer.error.is_none()).count()
    }
}

impl AlertState {
    /// Neither silenced nor inhibited.
    pub fn is_active(&self) -> bool {
        self.silenced_by.is_empty() && self.inhibited_by.is_empty()
    }
}
