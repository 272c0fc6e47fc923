//! Silences: how people pause us.

use super::SilenceId;
use jiff::Timestamp;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One silence as Alertmanager tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its id.
    pub id: SilenceId,
    /// All of these must match.
    pub matchers: Vec<Matcher>,
    /// From when.
    pub starts: Timestamp,
    /// Until when.
    pub ends: Timestamp,
    /// Who set it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Where it stands, by Alertmanager's own word.
    pub state: SilenceState,
}

/// Where a silence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SilenceState {
    /// Mutes now.
    Active,
    /// Will mute.
    Pending,
    /// Mutes no more: ended, or taken back.
    Expired,
}

/// One matcher of a silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matcher {
    /// The label; one that is absent matches as empty text.
    pub name: String,
    /// Text, or an expression anchored at both ends.
    pub value: String,
    /// Whether `value` is an expression.
    #[serde(rename = "isRegex")]
    pub is_regex: bool,
    /// False turns it round. Alertmanager before 0.22 does not send it.
    #[serde(rename = "isEqual", default = "yes")]
    pub is_equal: bool,
}

fn yes() -> bool {
    true
}

impl Silence {
    /// Whether it mutes this label set at `now`. One that Alertmanager calls active has begun, whatever
    /// our clock says.
    pub fn mutes(&self, labels: &BTreeMap<String, String>, now: Timestamp) -> bool {
        self.state != SilenceState::Expired
            && (self.state == SilenceState::Active || self.starts <= now)
            && now < self.ends
            && !self.matchers.is_empty()
            && self.matchers.iter().all(|matcher| matcher.matches(labels))
    }
}

impl Matcher {
    /// Whether it matches. An expression we cannot read matches everything: better paused than wrong.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.name).map_or("", String::as_str);
        if !self.is_regex {
            return (value == self.value) == self.is_equal;
        }
        match Regex::new(&format!("^(?:{})$", self.value)) {
            Ok(regex) => regex.is_match(value) == self.is_equal,
            Err(_) => true,
        }
    }
}
