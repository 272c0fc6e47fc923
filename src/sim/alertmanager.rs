//! A simulated Alertmanager: what the real one delivers, when and when not, on anybody's time.
//!
//! A pure state machine: no clock, no socket, no task. The caller says what time it is, hands in what
//! Prometheus and people do, takes deliveries out and says how they were answered. The same calls at the
//! same times make the same deliveries. `tests/it/schedules.rs` plays its schedules to real Alertmanagers
//! too, and holds the two against each other.
//!
//! What is played: routes and groups, the three intervals, the notification log, resolution, silences,
//! inhibition, time intervals, retries with the body of the first attempt, restarts, reloads, and pairs
//! ([`Pair`]). What is not: editing a silence, limits, templates, and anything but webhooks.

mod alerts;
mod api;
mod body;
mod config;
mod engine;
mod group;
mod inhibition;
mod labels;
mod log;
mod peers;
mod silences;

pub use alerts::Posted;
pub use config::{Config, ConfigError, Flags, Race, Release};
pub use labels::Labels;
pub use peers::{Pair, Peer};
pub use silences::NewSilence;

use crate::model::SilenceId;
use alerts::{Alert, Alerts};
use engine::Chore;
use group::{Group, GroupId, Step};
use inhibition::Inhibitor;
use jiff::Timestamp;
use log::Log;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use silences::Silences;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    config: Arc<Config>,
    flags: Flags,
    started: Timestamp,
    state: State,
    /// Up to when everything has happened.
    clock: Timestamp,
    alerts: Alerts,
    inhibitor: Inhibitor,
    groups: BTreeMap<GroupId, Group>,
    /// Every group once, by when something happens to it.
    queue: BTreeSet<(Timestamp, GroupId)>,
    chores: BTreeMap<Chore, Timestamp>,
    log: Log,
    silences: Silences,
    /// What a crash leaves.
    saved: (Log, Silences),
    rng: Option<StdRng>,
    deliveries: u64,
    /// Deliveries that were not answered yet.
    posting: BTreeMap<u64, GroupId>,
    outbox: Vec<Delivery>,
    gossip: Vec<Gossip>,
    /// How many peers deliver before it.
    position: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Down,
}

/// One attempt to deliver to a webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Names it to [`Alertmanager::answered`].
    pub id: u64,
    /// The group's key.
    pub group: String,
    /// The receiver's name.
    pub receiver: String,
    /// The body, version 4.
    pub body: Value,
    /// When it is sent.
    pub at: Timestamp,
    /// When what it says was settled.
    pub snapshot_at: Timestamp,
    /// 1, and more for what is sent again within one flush.
    pub attempt: u32,
}

/// How a delivery was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 2xx.
    Ok,
    /// 5xx, or no answer at all: tried again soon, with the same body.
    Retry,
    /// Anything else: not tried again, but not noted as delivered either.
    Refused,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// By its own will: silences and the notification log are kept.
    Clean,
    /// As `kill -9`: both are what they were at the last snapshot.
    Kill,
}

/// What peers tell each other.
#[derive(Clone, Debug)]
enum Gossip {
    Silence(silences::Held),
    Logged(log::Key, log::Entry),
}

impl Alertmanager {
    /// One that starts with nothing on its disk.
    pub fn new(config: Config, flags: Flags, started: Timestamp) -> Self {
        let mut new = Self {
            inhibitor: Inhibitor::new(&config.inhibit_rules, flags.release),
            rng: flags.seed.map(StdRng::seed_from_u64),
            config: Arc::new(config),
            flags,
            started,
            state: State::Down,
            clock: started,
            alerts: Alerts::default(),
            groups: BTreeMap::new(),
            queue: BTreeSet::new(),
            chores: BTreeMap::new(),
            log: Log::default(),
            silences: Silences::default(),
            saved: Default::default(),
            deliveries: 0,
            posting: BTreeMap::new(),
            outbox: Vec::new(),
            gossip: Vec::new(),
            position: 0,
        };
        new.start(started);
        new
    }

    /// Takes alerts as Prometheus posts them. False while it is down.
    pub fn post(&mut self, alerts: Vec<Posted>, now: Timestamp) -> bool {
        self.run(now);
        if self.is_down() {
            return false;
        }
        let config = self.config.clone();
        let taken: Vec<Arc<Alert>> =
            alerts.into_iter().filter_map(|alert| self.alerts.put(alert, now, &config)).collect();
        let see = |me: &mut Self| taken.iter().for_each(|alert| me.inhibitor.see(alert));
        if self.flags.race == Race::Source {
            see(self);
        }
        for alert in &taken {
            self.dispatch(alert);
        }
        self.run(now);
        if self.flags.race == Race::Target {
            see(self);
        }
        true
    }

    /// Sets a silence. False where it is refused, or nobody is there.
    pub fn silence(&mut self, silence: NewSilence, now: Timestamp) -> bool {
        self.run(now);
        let set = if self.is_down() { None } else { self.silences.set(silence, now) };
        let is_set = set.is_some();
        self.gossip.extend(set.map(Gossip::Silence));
        is_set
    }

    /// Ends a silence. False where there is none to end.
    pub fn expire(&mut self, id: &SilenceId, now: Timestamp) -> bool {
        self.run(now);
        let ended = if self.is_down() { None } else { self.silences.expire(id, now) };
        let is_ended = ended.is_some();
        self.gossip.extend(ended.map(Gossip::Silence));
        is_ended
    }

    /// When something may be delivered next, unless something comes from outside before.
    pub fn next_due(&self) -> Option<Timestamp> {
        if self.outbox.is_empty() { self.next_work() } else { Some(self.clock) }
    }

    /// What is delivered by now, in order. Each wants an answer.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Delivery> {
        self.run(now);
        std::mem::take(&mut self.outbox)
    }

    /// How a delivery was answered. Too late, it is as if it was not.
    pub fn answered(&mut self, id: u64, answer: Answer, now: Timestamp) {
        self.run(now);
        let Some(group) = self.posting.remove(&id) else { return };
        match answer {
            Answer::Ok => {
                self.write_log(&group);
                self.finish(&group, true);
            }
            Answer::Refused => self.finish(&group, false),
            Answer::Retry => self.change(&group, |flush| {
                if let Step::Posting(_, again) = flush.step {
                    flush.step = Step::Resting(again);
                }
            }),
        }
        self.enqueue(&group);
        self.run(now);
    }

    /// Reads another configuration: every group is made anew, and what was being sent is given up.
    pub fn reload(&mut self, config: Config, now: Timestamp) {
        self.run(now);
        if self.is_down() {
            return;
        }
        self.forget_groups();
        self.inhibitor = Inhibitor::new(&config.inhibit_rules, self.flags.release);
        self.config = Arc::new(config);
        let held: Vec<Arc<Alert>> = self.alerts.iter().cloned().collect();
        for alert in &held {
            self.inhibitor.see(alert);
            self.dispatch(alert);
        }
        self.run(now);
    }

    /// Ends it. Alerts are only ever in memory.
    pub fn stop(&mut self, stop: Stop, now: Timestamp) {
        self.run(now);
        if self.is_down() {
            return;
        }
        if stop == Stop::Clean {
            self.snapshot();
        }
        self.forget_groups();
        self.alerts.clear();
        self.inhibitor = Inhibitor::new(&self.config.inhibit_rules, self.flags.release);
        (self.log, self.silences) = self.saved.clone();
        self.state = State::Down;
    }

    /// Starts it again with what it kept.
    pub fn start(&mut self, now: Timestamp) {
        if self.is_down() {
            self.clock = self.clock.max(now);
            self.state = State::Up;
            self.started = now;
            self.chores = self.chores();
        }
    }

    /// When it started.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// Whether nobody is there.
    pub fn is_down(&self) -> bool {
        self.state == State::Down
    }

    fn forget_groups(&mut self) {
        self.groups.clear();
        self.queue.clear();
        self.posting.clear();
    }

    /// When something happens next.
    fn next_work(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| (*at).max(self.clock))
    }

    fn set_position(&mut self, position: u32) {
        self.position = position;
    }

    /// What there is to tell peers since last asked.
    fn tell(&mut self) -> Vec<Gossip> {
        std::mem::take(&mut self.gossip)
    }

    /// Everything there is to tell.
    fn tell_all(&self) -> Vec<Gossip> {
        let silences = self.silences.iter().cloned().map(Gossip::Silence);
        let logged = self.log.iter().map(|(key, entry)| Gossip::Logged(key.clone(), entry.clone()));
        silences.chain(logged).collect()
    }

    /// A peer tells something.
    fn hear(&mut self, gossip: Gossip, now: Timestamp) {
        self.run(now);
        match gossip {
            _ if self.is_down() => {}
            Gossip::Silence(silence) => self.silences.merge(&silence),
            Gossip::Logged(key, entry) => {
                self.log.merge(key, entry, now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
