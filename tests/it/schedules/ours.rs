//! Plays a schedule to the simulated Alertmanager, on virtual time.

use super::record::{Arrival, Desk, Record, look};
use super::schedule::{Event, Mode, Schedule, moment, seconds};
use super::world::{WINDOWS, World};
use bellwether::model::{Matcher, SilenceId};
use bellwether::sim::alertmanager::{
    Alertmanager, Answer, Config, Delivery, Flags, NewSilence, Release,
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// One play.
struct Play<'a> {
    schedule: &'a Schedule,
    origin: Timestamp,
    config: Config,
    server: Alertmanager,
    desk: Desk,
    /// Answers on their way, by when they arrive.
    answers: BTreeMap<(Timestamp, u64), Answer>,
    record: Record,
}

/// Plays one.
pub(crate) fn play(world: &World, schedule: &Schedule, release: Release) -> Record {
    let origin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut config = Config::parse(&world.config("http://127.0.0.1:1")).unwrap();
    for (name, from, to) in WINDOWS {
        config = config.with_window(name, &[(moment(origin, from), moment(origin, to))]);
    }
    let flags = Flags { release, ..world.flags() };
    let mut play = Play {
        schedule,
        origin,
        server: Alertmanager::new(config.clone(), flags, moment(origin, -1.0)),
        config,
        desk: Desk::new(Mode::Code(200)),
        answers: BTreeMap::new(),
        record: Record::default(),
    };
    for (at, event) in &schedule.events {
        play.wait(moment(origin, *at));
        play.happen(*at, event);
    }
    play.wait(moment(origin, schedule.until));
    play.record
}

impl Play<'_> {
    /// Lets time pass.
    fn wait(&mut self, until: Timestamp) {
        loop {
            let answer =
                self.answers.first_key_value().map(|((at, id), answer)| (*at, *id, *answer));
            let due = self.server.next_due();
            match (answer, due) {
                (Some((at, id, answer)), _) if at <= until && due.is_none_or(|due| at <= due) => {
                    self.answers.remove(&(at, id));
                    self.server.answered(id, answer, at);
                }
                (_, Some(due)) if due <= until => {
                    for delivery in self.server.advance(due) {
                        self.arrive(delivery);
                    }
                }
                _ => break,
            }
        }
        for delivery in self.server.advance(until) {
            self.arrive(delivery);
        }
    }

    fn arrive(&mut self, Delivery { id, body, at, .. }: Delivery) {
        let reply = self.desk.answer();
        let answer = reply.meaning();
        self.answers.insert((moment(at, reply.after), id), answer);
        self.record.arrivals.push(Arrival::new(body, seconds(self.origin, at), self.origin));
    }

    fn happen(&mut self, at: f64, event: &Event) {
        let (now, origin, name) = (moment(self.origin, at), self.origin, self.schedule.name);
        match event {
            Event::Post(alerts) => {
                let posted = alerts.iter().map(|alert| alert.posted(name, origin, at)).collect();
                assert!(self.server.post(posted, now), "posted to nobody");
            }
            Event::Silence(id, matchers, from, to) => {
                let silence =
                    new_silence(name, id, matchers, (moment(origin, *from), moment(origin, *to)));
                assert!(self.server.silence(silence, now));
            }
            Event::Expire(id) => assert!(self.server.expire(&SilenceId::new(*id), now)),
            Event::Answer(mode) => self.desk = Desk::new(*mode),
            Event::Look => {
                let told = self.server.told(name, now).unwrap();
                let lines = look(&told.alerts, &BTreeMap::new(), origin);
                self.record.looks.push((format!("{at:.1}"), lines));
            }
            Event::Stop(stop) => self.server.stop(*stop, now),
            Event::Start => self.server.start(now),
            Event::At(..) => panic!("only pairs have peers"),
            Event::Reload => self.server.reload(self.config.clone(), now),
        }
    }
}

/// A silence of a schedule.
pub(crate) fn new_silence(
    case: &str,
    id: &str,
    matchers: &str,
    (starts, ends): (Timestamp, Timestamp),
) -> NewSilence {
    NewSilence {
        id: SilenceId::new(id),
        matchers: silence_matchers(case, matchers),
        starts,
        ends,
        created_by: "Ada".to_owned(),
        comment: "a test".to_owned(),
    }
}

/// What a silence of a schedule mutes: nothing of another schedule.
pub(crate) fn silence_matchers(case: &str, text: &str) -> Vec<Matcher> {
    let matcher = |(name, value): (&str, &str)| Matcher {
        name: name.to_owned(),
        value: value.to_owned(),
        is_regex: false,
        is_equal: true,
    };
    let words = text.split(' ').filter_map(|word| word.split_once('=')).map(matcher);
    words.chain([matcher(("case", case))]).collect()
}
