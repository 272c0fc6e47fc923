//! One or two Prometheuses and one or two simulated Alertmanagers that deliver and pause.

use crate::happening::{Reconfigured, Says};
use crate::prometheus::{Metrics, Prometheus, Sick};
use bellwether::alertmanager::{self, KnownRoutes, Told};
use bellwether::config::AlertmanagerConfig;
use bellwether::model::{Guard, Matcher, SilenceId, Truth, Want, duration};
use bellwether::sim::World;
use bellwether::sim::alertmanager::{
    Alertmanager, Answer, Config, Delivery, Flags, NewSilence, Pair, Peer, Stop,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// The routes that ship.
const SHIPPED: &str = include_str!("../../alertmanager/alertmanager.yml");

/// How often rules are evaluated.
pub(crate) const EVALUATION: Duration = Duration::from_secs(15);

/// How much later than the first the second Prometheus evaluates.
pub(crate) const BEHIND: Duration = Duration::from_secs(7);

/// One or two Alertmanagers.
#[derive(Debug)]
enum Servers {
    One(Box<Alertmanager>),
    Two(Box<Pair>),
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Monitoring {
    world: World,
    /// What each workload uses of what it asks for.
    pub(crate) usage: BTreeMap<String, f64>,
    pub(crate) sick: Sick,
    /// What each forecast that there is wants.
    pub(crate) forecasts: Vec<u32>,
    pub(crate) prometheuses: Vec<Prometheus>,
    servers: Servers,
    /// The file that a starting Alertmanager reads.
    file: Config,
    config: AlertmanagerConfig,
    routes: KnownRoutes,
    silences: u64,
}

const PEERS: [Peer; 2] = [Peer::First, Peer::Second];

impl Monitoring {
    pub(crate) fn new(
        world: World,
        (prometheuses, alertmanagers): (usize, usize),
        config: AlertmanagerConfig,
        seed: u64,
        now: Timestamp,
    ) -> Self {
        let file = Config::parse(SHIPPED).unwrap();
        let flags = Flags { seed: Some(seed), ..Flags::default() };
        let servers = if alertmanagers == 1 {
            Servers::One(Box::new(Alertmanager::new(file.clone(), flags, now)))
        } else {
            Servers::Two(Box::new(Pair::new(&file, &flags, Duration::from_millis(200), now)))
        };
        Self {
            world,
            usage: BTreeMap::new(),
            sick: Sick::default(),
            forecasts: Vec::new(),
            prometheuses: (0..prometheuses).map(|_| Prometheus::new()).collect(),
            servers,
            file,
            config,
            routes: KnownRoutes::default(),
            silences: 0,
        }
    }

    fn peers(&self) -> &'static [Peer] {
        match &self.servers {
            Servers::One(_) => &PEERS[..1],
            Servers::Two(_) => &PEERS,
        }
    }

    fn peer(&mut self, peer: Peer) -> &mut Alertmanager {
        match &mut self.servers {
            Servers::One(server) => server,
            Servers::Two(pair) => pair.peer(peer),
        }
    }

    /// One evaluation of one of them, and what it sends to every Alertmanager.
    pub(crate) fn evaluate(&mut self, prometheus: usize, now: Timestamp) {
        let mut seen = Metrics::of(&self.world, &self.usage, &self.sick);
        seen.forecasts = self.forecasts.len();
        let posted = self.prometheuses[prometheus].evaluate(&seen, now);
        if posted.is_empty() {
            return;
        }
        match &mut self.servers {
            Servers::One(server) => _ = server.post(posted, now),
            Servers::Two(pair) => {
                for peer in PEERS {
                    pair.post(peer, posted.clone(), now);
                }
            }
        }
    }

    /// Somebody changes Alertmanager's file, for so long, and has it read.
    pub(crate) fn reconfigure(&mut self, to: Reconfigured, lasts: Duration, now: Timestamp) {
        let text = match to {
            Reconfigured::Same => SHIPPED.to_owned(),
            Reconfigured::Rare => SHIPPED
                .replace("group_interval: 15s", "group_interval: 5m")
                .replace("repeat_interval: 55s", "repeat_interval: 20m"),
            Reconfigured::Muted => {
                let wait = "          group_wait: 30s\n";
                SHIPPED.replace(wait, &format!("{wait}          mute_time_intervals: [night]\n"))
            }
            Reconfigured::Renamed => SHIPPED
                .replace("receiver: bellwether\n", "receiver: scaler\n")
                .replace("- name: bellwether\n", "- name: scaler\n"),
        };
        assert!(to == Reconfigured::Same || text != SHIPPED, "{to:?} changes nothing");
        let night = (now, duration::after(now, lasts));
        self.file = Config::parse(&text).unwrap().with_window("night", &[night]);
        self.reload(now);
    }

    /// The file is the shipped one again.
    pub(crate) fn restore(&mut self, now: Timestamp) {
        self.file = Config::parse(SHIPPED).unwrap();
        self.reload(now);
    }

    fn reload(&mut self, now: Timestamp) {
        match &mut self.servers {
            Servers::One(server) => server.reload(self.file.clone(), now),
            Servers::Two(pair) => pair.reload(&self.file, now),
        }
    }

    /// When an Alertmanager has something to do next.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        match &self.servers {
            Servers::One(server) => server.next_due(),
            Servers::Two(pair) => pair.next_due(),
        }
    }

    /// What is delivered by now.
    pub(crate) fn deliveries(&mut self, now: Timestamp) -> Vec<(Peer, Delivery)> {
        match &mut self.servers {
            Servers::One(server) => {
                server.advance(now).into_iter().map(|delivery| (Peer::First, delivery)).collect()
            }
            Servers::Two(pair) => pair.advance(now),
        }
    }

    pub(crate) fn answered(&mut self, peer: Peer, id: u64, answer: Answer, now: Timestamp) {
        match &mut self.servers {
            Servers::One(server) => server.answered(id, answer, now),
            Servers::Two(pair) => pair.answered(peer, id, answer, now),
        }
    }

    /// Somebody silences a direction.
    pub(crate) fn silence(&mut self, autoscale: &str, lasts: Duration, now: Timestamp) {
        self.silences += 1;
        let silence = NewSilence {
            id: SilenceId::new(format!("silence-{}", self.silences)),
            matchers: vec![Matcher {
                name: "autoscale".to_owned(),
                value: autoscale.to_owned(),
                is_regex: autoscale.contains('*'),
                is_equal: true,
            }],
            starts: now,
            ends: duration::after(now, lasts),
            created_by: "Ada".to_owned(),
            comment: "not now".to_owned(),
        };
        match &mut self.servers {
            Servers::One(server) => _ = server.silence(silence, now),
            Servers::Two(pair) => {
                // On either, if that one is there.
                let mut order = PEERS;
                if self.silences.is_multiple_of(2) {
                    order.reverse();
                }
                let _ = pair.silence(order[0], silence.clone(), now)
                    || pair.silence(order[1], silence, now);
            }
        }
    }

    pub(crate) fn stop(&mut self, peer: usize, kill: bool, now: Timestamp) {
        let stop = if kill { Stop::Kill } else { Stop::Clean };
        match &mut self.servers {
            Servers::One(server) => server.stop(stop, now),
            Servers::Two(pair) => pair.stop(PEERS[peer], stop, now),
        }
    }

    pub(crate) fn start_alertmanager(&mut self, peer: usize, now: Timestamp) {
        match &mut self.servers {
            Servers::One(server) => server.start(now),
            Servers::Two(pair) => pair.start(PEERS[peer], now),
        }
        let file = self.file.clone();
        self.peer(PEERS[peer]).reload(file, now);
    }

    /// The two hear each other no more, or again.
    pub(crate) fn cut(&mut self, is_cut: bool, now: Timestamp) {
        if let Servers::Two(pair) = &mut self.servers {
            pair.set_cut(is_cut, now);
        }
    }

    /// How many Alertmanagers there are, running or not.
    pub(crate) fn alertmanagers(&self) -> usize {
        self.peers().len()
    }

    /// What one of them answers now.
    pub(crate) fn told(&mut self, peer: usize, now: Timestamp) -> Option<Told> {
        let receiver = self.config.receiver.clone();
        self.peer(PEERS[peer]).told(&receiver, now)
    }

    /// What a process makes of what each of them answered, or did not.
    pub(crate) fn truth(&self, told: Vec<Option<Told>>) -> Truth {
        let named = told.into_iter().enumerate().map(|(peer, told)| {
            (format!("http://am-{peer}"), told.ok_or_else(|| "no answer".to_owned()))
        });
        alertmanager::truth(named.collect(), &self.config, &self.routes)
    }

    /// What all that run say now.
    pub(crate) fn present(&mut self, now: Timestamp) -> Truth {
        let told = (0..self.alertmanagers()).map(|peer| self.told(peer, now)).collect();
        self.truth(told)
    }

    /// A guard must hold on every Prometheus: who does not know is worse than who says no.
    pub(crate) fn guard(&self) -> Guard {
        let says: Vec<Says> = self.prometheuses.iter().filter_map(Prometheus::says).collect();
        match says.first() {
            None => Guard::Holds,
            Some(_) if says.contains(&Says::Unknown) => {
                Guard::Unknown { why: "no answer, or no data".to_owned() }
            }
            Some(_) => Guard::Fails { detail: "answer is 0".to_owned() },
        }
    }

    /// The size that the forecasts want, which every Prometheus must know of.
    pub(crate) fn want(&self) -> Want {
        let is_known = self.prometheuses.iter().all(Prometheus::is_well);
        let most = self.forecasts.iter().max().filter(|_| is_known);
        most.map_or_else(
            || Want::Unknown { why: "empty answer".to_owned() },
            |want| Want::Workers(*want),
        )
    }
}
