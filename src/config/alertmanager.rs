//! `alertmanager`: where the truth about alerts and silences is asked.

use super::Endpoint;
use super::reader::Section;
use super::value;
use crate::model::duration;
use serde_json::{Value, json};
use std::time::Duration;

const REQUIRE: [(&str, Require); 2] = [("all", Require::All), ("majority", Require::Majority)];

/// One cluster's Alertmanagers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertmanagerConfig {
    /// Where they are. Every address a name resolves to is asked.
    pub endpoint: Endpoint,
    /// `receiver`: the name of our receiver in Alertmanager's configuration. Default `bellwether`.
    pub receiver: String,
    /// `require`: how many must answer before something is removed. Default `all`.
    pub require: Require,
    /// `ttl`: how long a delivery counts where Alertmanager's own configuration cannot be read. Default 6 m.
    pub ttl: Duration,
    /// `ttl_max`: the most a delivery counts for down and replace. Default 6 m.
    pub ttl_max: Duration,
    /// `ttl_slack`: added to `repeat_interval + group_interval`, for the way. Default 15 s.
    pub ttl_slack: Duration,
    /// `repeat_max`: a repeat interval above this on our route is reported as a fault of the set-up. Default 5 m.
    pub repeat_max: Duration,
    /// `restart_hold`: no removal for this long after an Alertmanager restarted: it forgets fresh silences. Default 5 m.
    pub restart_hold: Duration,
    /// `watchdog_ttl`: the watchdog alert counts as alive for this long after it was last delivered. Default 3 m.
    pub watchdog_ttl: Duration,
}

/// How many Alertmanagers must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Require {
    /// All of them.
    All,
    /// More than half.
    Majority,
}

impl Default for AlertmanagerConfig {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::default(),
            receiver: "bellwether".to_owned(),
            require: Require::All,
            ttl: Duration::from_mins(6),
            ttl_max: Duration::from_mins(6),
            ttl_slack: Duration::from_secs(15),
            repeat_max: Duration::from_mins(5),
            restart_hold: Duration::from_mins(5),
            watchdog_ttl: Duration::from_mins(3),
        }
    }
}

impl AlertmanagerConfig {
    /// Reads the section; what is not set comes from `base`.
    pub(super) fn read(s: &mut Section<'_>, base: &Self) -> Self {
        Self {
            endpoint: Endpoint::read(s, &base.endpoint),
            receiver: s.take("receiver", value::text).unwrap_or_else(|| base.receiver.clone()),
            require: s.take("require", value::one_of(&REQUIRE)).unwrap_or(base.require),
            ttl: s.take("ttl", value::lasting).unwrap_or(base.ttl),
            ttl_max: s.take("ttl_max", value::lasting).unwrap_or(base.ttl_max),
            ttl_slack: s.take("ttl_slack", value::duration).unwrap_or(base.ttl_slack),
            repeat_max: s.take("repeat_max", value::lasting).unwrap_or(base.repeat_max),
            restart_hold: s.take("restart_hold", value::duration).unwrap_or(base.restart_hold),
            watchdog_ttl: s.take("watchdog_ttl", value::lasting).unwrap_or(base.watchdog_ttl),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        let mut fields = json!({
            "receiver": self.receiver,
            "require": value::word(&REQUIRE, &self.require),
            "ttl": duration::format(self.ttl),
            "ttl_max": duration::format(self.ttl_max),
            "ttl_slack": duration::format(self.ttl_slack),
            "repeat_max": duration::format(self.repeat_max),
            "restart_hold": duration::format(self.restart_hold),
            "watchdog_ttl": duration::format(self.watchdog_ttl),
        });
        self.endpoint.write(&mut fields);
        fields
    }
}
