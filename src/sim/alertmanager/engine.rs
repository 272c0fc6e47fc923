//! What happens when: groups tick, and a flush takes its steps.

use super::alerts::Alert;
use super::body::{self, Envelope};
use super::config::{Release, Webhook};
use super::group::{Flush, Group, GroupId, Item, Step};
use super::labels;
use super::log::Entry;
use super::{Alertmanager, Delivery, Gossip};
use crate::model::{Fingerprint, duration};
use jiff::Timestamp;
use rand::RngExt as _;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;
use std::time::Duration;

/// A flush is given at least this long, however short the group interval.
const SHORTEST_FLUSH: Duration = Duration::from_secs(10);

/// How often sources of inhibition that are over are forgotten.
const INHIBITION_GC: Duration = Duration::from_mins(15);

/// A task that recurs; nothing is delivered by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Chore {
    Cleanup,
    Inhibition,
    Snapshot,
    Alerts,
}

impl Alertmanager {
    /// The chores of a process that starts now.
    pub(super) fn chores(&self) -> BTreeMap<Chore, Timestamp> {
        let chores = [Chore::Cleanup, Chore::Inhibition, Chore::Snapshot, Chore::Alerts];
        let first = |chore| (chore, duration::after(self.started, self.period(chore)));
        chores.into_iter().map(first).collect()
    }

    fn period(&self, chore: Chore) -> Duration {
        match chore {
            Chore::Cleanup => self.flags.cleanup,
            Chore::Inhibition => INHIBITION_GC,
            Chore::Snapshot => self.flags.maintenance,
            Chore::Alerts => self.flags.alerts_gc,
        }
    }

    /// Lets everything happen that is due by now, each thing at its own time.
    pub(super) fn run(&mut self, now: Timestamp) {
        while !self.is_down() {
            let group = self.queue.first().map(|(at, _)| *at);
            let chore = self.chores.iter().min_by_key(|(_, at)| **at).map(|(c, at)| (*c, *at));
            match (group, chore) {
                (group, Some((chore, at))) if at <= now && group.is_none_or(|group| at < group) => {
                    self.clock = self.clock.max(at);
                    self.chores.insert(chore, duration::after(at, self.period(chore)));
                    self.do_chore(chore);
                }
                (Some(at), _) if at <= now => {
                    self.clock = self.clock.max(at);
                    let Some((_, id)) = self.queue.pop_first() else { break };
                    self.turn(&id);
                }
                _ => break,
            }
        }
        self.clock = self.clock.max(now);
    }

    fn do_chore(&mut self, chore: Chore) {
        let now = self.clock;
        match chore {
            Chore::Inhibition => self.inhibitor.collect(now),
            Chore::Alerts => self.alerts.collect(now),
            Chore::Snapshot => self.snapshot(),
            Chore::Cleanup => {
                let is_empty = |group: &Group| group.alerts.is_empty() && group.flush.is_none();
                self.groups.retain(|_, group| !is_empty(group));
                self.queue.retain(|(_, id)| self.groups.contains_key(id));
            }
        }
    }

    /// Forgets what is old and keeps the rest where a crash cannot reach it.
    pub(super) fn snapshot(&mut self) {
        self.log.collect(self.clock);
        self.silences.collect(self.clock, self.flags.retention);
        self.saved = (self.log.clone(), self.silences.clone());
    }

    /// An alert joins its groups.
    pub(super) fn dispatch(&mut self, alert: &Arc<Alert>) {
        let config = self.config.clone();
        for place in config.matching(&alert.labels) {
            if config.webhook(place).is_none() {
                continue;
            }
            let route = &config.routes[place];
            let named = route.group_by.of(&alert.labels);
            let id = (place, Fingerprint::of(&named));
            let is_old = duration::after(alert.starts, route.group_wait) < self.clock;
            let started = duration::after(self.started, self.flags.start_delay);
            let (group, may_hurry) = match self.groups.entry(id.clone()) {
                btree_map::Entry::Occupied(place) => {
                    let group = place.into_mut();
                    let may_hurry = self.flags.release == Release::V0_25 && !group.was_flushed;
                    (group, may_hurry)
                }
                btree_map::Entry::Vacant(place) => {
                    let tick = duration::after(self.clock, route.group_wait).max(started);
                    let key = format!("{}:{}", route.key, labels::show(&named));
                    (place.insert(Group::new(key, named, tick)), true)
                }
            };
            group.alerts.insert(alert.fingerprint.clone(), alert.clone());
            if is_old && may_hurry {
                group.tick = self.clock.max(started);
            }
            self.enqueue(&id);
        }
    }

    /// Puts a group where it belongs in the queue.
    pub(super) fn enqueue(&mut self, id: &GroupId) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let due = group.due();
        if let Some(before) = group.queued.replace(due) {
            self.queue.remove(&(before, id.clone()));
        }
        self.queue.insert((due, id.clone()));
    }

    /// A group's time has come.
    fn turn(&mut self, id: &GroupId) {
        let Some(group) = self.groups.get_mut(id) else { return };
        group.queued = None;
        match group.flush.as_ref().map(|flush| (flush.ends <= self.clock, flush.step)) {
            None => self.tick(id),
            Some((true, _) | (_, Step::Posting(..))) => self.finish(id, false),
            Some((_, Step::Settling(_))) => self.mute(id),
            Some((_, Step::Waiting(_))) => self.dedup(id),
            Some((_, Step::Resting(_))) => self.send(id),
        }
        self.enqueue(id);
    }

    fn tick(&mut self, id: &GroupId) {
        let (now, wait) = (self.clock, self.peer_wait());
        let interval = self.config.routes[id.0].group_interval;
        let settled = duration::after(self.started, self.flags.settle).max(now);
        let Some(group) = self.groups.get_mut(id) else { return };
        if !group.alerts.is_empty() {
            let lasts = interval.max(SHORTEST_FLUSH).saturating_add(wait);
            group.begin(now, duration::after(now, lasts), settled);
        }
        group.tick = duration::after(now, interval);
        group.was_flushed = true;
        if group.flush.is_some() && settled <= now {
            self.mute(id);
        }
    }

    /// Leaves out what is muted: asked once, however long the flush then takes.
    fn mute(&mut self, id: &GroupId) {
        let (now, wait) = (self.clock, self.peer_wait());
        let Some(flush) = self.groups.get(id).and_then(|group| group.flush.as_ref()) else {
            return;
        };
        let is_muted = |item: &Item| {
            let labels = &item.alert.labels;
            self.inhibitor.muting(labels, now).is_some()
                || !self.silences.muting(labels, now).is_empty()
        };
        let unmuted: Vec<Item> = if self.config.is_muted(id.0, flush.ticked) {
            Vec::new()
        } else {
            flush.snapshot.iter().filter(|item| !is_muted(item)).cloned().collect()
        };
        if unmuted.is_empty() {
            // Nothing to do is success: what was resolved is forgotten without a word.
            return self.finish(id, true);
        }
        self.change(id, |flush| {
            flush.unmuted = unmuted;
            flush.step = Step::Waiting(duration::after(now, wait));
        });
        if wait.is_zero() {
            self.dedup(id);
        }
    }

    /// Leaves out what the log says was delivered.
    fn dedup(&mut self, id: &GroupId) {
        self.change(id, Flush::count);
        let Some((group, webhook)) = self.groups.get(id).zip(self.config.webhook(id.0)) else {
            return;
        };
        let Some(flush) = &group.flush else { return };
        let route = &self.config.routes[id.0];
        let key = (route.receiver.clone(), group.key.clone());
        let repeat_before = duration::before(self.clock, route.repeat_interval);
        if !self.log.is_due(&key, &flush.content, webhook.send_resolved, repeat_before) {
            self.finish(id, true);
        } else if !webhook.send_resolved && flush.content.firing.is_empty() {
            self.write_log(id);
            self.finish(id, true);
        } else {
            self.send(id);
        }
    }

    /// Hands the delivery out.
    fn send(&mut self, id: &GroupId) {
        let spread = self.rng.as_mut().map_or(1.0, |rng| rng.random_range(0.5..=1.5));
        let (now, number) = (self.clock, self.deliveries + 1);
        self.deliveries = number;
        self.change(id, |flush| {
            flush.attempts += 1;
            flush.step = Step::Posting(number, duration::after(now, flush.next_pause(spread)));
        });
        let Some((group, webhook)) = self.groups.get(id).zip(self.config.webhook(id.0)) else {
            return;
        };
        let Some(flush) = &group.flush else { return };
        let Webhook { send_resolved, max_alerts } = webhook;
        let sent: Vec<&Item> =
            flush.unmuted.iter().filter(|item| send_resolved || !item.is_resolved).collect();
        let receiver = &self.config.routes[id.0].receiver;
        let external_url = &self.flags.external_url;
        let envelope = Envelope { receiver, group, external_url, max_alerts };
        self.posting.insert(number, id.clone());
        self.outbox.push(Delivery {
            id: number,
            group: group.key.clone(),
            receiver: receiver.clone(),
            body: body::write(&envelope, &sent),
            at: now,
            snapshot_at: flush.began,
            attempt: flush.attempts,
        });
    }

    /// Writes what was delivered, and tells the peers.
    pub(super) fn write_log(&mut self, id: &GroupId) {
        let Some(group) = self.groups.get(id) else { return };
        let Some(flush) = &group.flush else { return };
        let route = &self.config.routes[id.0];
        let key = (route.receiver.clone(), group.key.clone());
        let (now, content) = (self.clock, flush.content.clone());
        let entry = Entry::new(now, content, route.repeat_interval, self.flags.retention);
        if self.log.merge(key.clone(), entry.clone(), now) {
            self.gossip.push(Gossip::Logged(key, entry));
        }
    }

    pub(super) fn finish(&mut self, id: &GroupId, is_well: bool) {
        let Some(group) = self.groups.get_mut(id) else { return };
        if let Some(Step::Posting(number, _)) = group.flush.as_ref().map(|flush| flush.step) {
            self.posting.remove(&number);
        }
        group.finish(is_well);
        if self.flags.release == Release::V0_34 && group.alerts.is_empty() {
            let queued = self.groups.remove(id).and_then(|group| group.queued);
            if let Some(at) = queued {
                self.queue.remove(&(at, id.clone()));
            }
        }
    }

    pub(super) fn change(&mut self, id: &GroupId, change: impl FnOnce(&mut Flush)) {
        if let Some(flush) = self.groups.get_mut(id).and_then(|group| group.flush.as_mut()) {
            change(flush);
        }
    }

    fn peer_wait(&self) -> Duration {
        self.flags.peer_timeout.saturating_mul(self.position)
    }
}
