//! Two Alertmanagers that tell each other of silences and deliveries, and of nothing else.

use super::{Alertmanager, Answer, Config, Delivery, Flags, Gossip, NewSilence, Posted, Stop};
use crate::model::{SilenceId, duration};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// One of the two: the first delivers at once, the second waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Position 0.
    First,
    /// Position 1, as long as the first is seen.
    Second,
}

/// A cluster of two.
#[derive(Debug)]
pub struct Pair {
    peers: [Alertmanager; 2],
    /// How long news take.
    delay: Duration,
    /// Whether they hear each other.
    is_cut: bool,
    /// News on their way, by the time they arrive and a number.
    underway: BTreeMap<(Timestamp, u64), (Peer, Gossip)>,
    sent: u64,
}

const BOTH: [Peer; 2] = [Peer::First, Peer::Second];

impl Peer {
    fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

impl Pair {
    /// Two that start together; news take `delay`.
    pub fn new(config: &Config, flags: &Flags, delay: Duration, started: Timestamp) -> Self {
        let seeds = [flags.seed, flags.seed.map(|seed| seed.wrapping_add(1))];
        let start =
            |seed| Alertmanager::new(config.clone(), Flags { seed, ..flags.clone() }, started);
        let mut pair = Self {
            peers: seeds.map(start),
            delay,
            is_cut: false,
            underway: BTreeMap::new(),
            sent: 0,
        };
        pair.place();
        pair
    }

    /// One of them, to be asked.
    pub fn peer(&mut self, peer: Peer) -> &mut Alertmanager {
        match peer {
            Peer::First => &mut self.peers[0],
            Peer::Second => &mut self.peers[1],
        }
    }

    /// Posts alerts to one; Prometheus posts the same to both. False where it is down.
    pub fn post(&mut self, peer: Peer, alerts: Vec<Posted>, now: Timestamp) -> bool {
        self.run(now);
        let is_taken = self.peer(peer).post(alerts, now);
        self.spread(now);
        is_taken
    }

    /// Sets a silence on one, which tells the other. False where it is refused.
    pub fn silence(&mut self, peer: Peer, silence: NewSilence, now: Timestamp) -> bool {
        self.run(now);
        let is_set = self.peer(peer).silence(silence, now);
        self.spread(now);
        is_set
    }

    /// Ends a silence on one, which tells the other.
    pub fn expire(&mut self, peer: Peer, id: &SilenceId, now: Timestamp) -> bool {
        self.run(now);
        let is_ended = self.peer(peer).expire(id, now);
        self.spread(now);
        is_ended
    }

    /// When something happens next.
    pub fn next_due(&self) -> Option<Timestamp> {
        let peers = self.peers.iter().filter_map(Alertmanager::next_due);
        let news = self.underway.keys().map(|(at, _)| *at);
        peers.chain(news).min()
    }

    /// What is delivered by now, and by whom.
    pub fn advance(&mut self, now: Timestamp) -> Vec<(Peer, Delivery)> {
        self.run(now);
        let mut all = Vec::new();
        for peer in BOTH {
            let deliveries = self.peer(peer).advance(now);
            all.extend(deliveries.into_iter().map(|delivery| (peer, delivery)));
        }
        all.sort_by_key(|(peer, delivery)| (delivery.at, *peer));
        all
    }

    /// How a delivery was answered.
    pub fn answered(&mut self, peer: Peer, id: u64, answer: Answer, now: Timestamp) {
        self.run(now);
        self.peer(peer).answered(id, answer, now);
        self.spread(now);
    }

    /// Both read another configuration.
    pub fn reload(&mut self, config: &Config, now: Timestamp) {
        self.run(now);
        for peer in BOTH {
            self.peer(peer).reload(config.clone(), now);
        }
        self.spread(now);
    }

    /// Cuts the line between them, or mends it; a mended line carries everything they know.
    pub fn set_cut(&mut self, is_cut: bool, now: Timestamp) {
        self.run(now);
        self.is_cut = is_cut;
        self.place();
        self.share(now);
    }

    /// Ends one.
    pub fn stop(&mut self, peer: Peer, stop: Stop, now: Timestamp) {
        self.run(now);
        self.peer(peer).stop(stop, now);
        self.spread(now);
        self.place();
    }

    /// Starts one again; it learns what the other knows.
    pub fn start(&mut self, peer: Peer, now: Timestamp) {
        self.run(now);
        self.peer(peer).start(now);
        self.place();
        self.share(now);
    }

    /// Lets everything happen in its order, whichever of them it happens to.
    fn run(&mut self, now: Timestamp) {
        loop {
            let due = |peer: &Alertmanager| peer.next_work();
            let work = self.peers.iter().filter_map(due).min();
            let news = self.underway.first_key_value().map(|((at, _), _)| *at);
            let next = match (work, news) {
                (Some(work), Some(news)) => work.min(news),
                (Some(at), None) | (None, Some(at)) => at,
                (None, None) => break,
            };
            if next > now {
                break;
            }
            if news == Some(next)
                && let Some((_, (peer, gossip))) = self.underway.pop_first()
            {
                self.peer(peer).hear(gossip, next);
            }
            for peer in BOTH {
                self.peer(peer).run(next);
            }
            self.spread(next);
        }
        for peer in BOTH {
            self.peer(peer).run(now);
        }
        self.spread(now);
    }

    /// Sends what either has to tell.
    fn spread(&mut self, now: Timestamp) {
        for peer in BOTH {
            for gossip in self.peer(peer).tell() {
                self.send(peer.other(), gossip, now);
            }
        }
    }

    /// Sends all that both know, as after a join.
    fn share(&mut self, now: Timestamp) {
        for peer in BOTH {
            for gossip in self.peer(peer).tell_all() {
                self.send(peer.other(), gossip, now);
            }
        }
    }

    fn send(&mut self, to: Peer, gossip: Gossip, now: Timestamp) {
        if self.is_cut || self.peers.iter().any(Alertmanager::is_down) {
            return;
        }
        self.sent += 1;
        self.underway.insert((duration::after(now, self.delay), self.sent), (to, gossip));
    }

    /// Whoever sees no other is the first.
    fn place(&mut self) {
        let is_alone = self.is_cut || self.peers[0].is_down();
        self.peers[1].set_position(u32::from(!is_alone));
    }
}
