//! Two that know each other.

use super::*;

const DELAY: f64 = 0.25;

/// A pair whose webhook answers at once, or after so many seconds.
struct Two {
    pair: Pair,
    after: f64,
    answers: Vec<(Timestamp, Peer, u64)>,
    seen: Vec<String>,
}

impl Two {
    fn new() -> Self {
        let delay = Duration::from_secs_f64(DELAY);
        let pair = Pair::new(&config(EACH), &Flags::default(), delay, second(0.0));
        Self { pair, after: 0.0, answers: Vec::new(), seen: Vec::new() }
    }

    fn wait(&mut self, until: f64) -> &mut Self {
        loop {
            self.answers.sort();
            let answer = self.answers.first().copied();
            let due = self.pair.next_due();
            match (answer, due) {
                (Some((at, peer, id)), _)
                    if at <= second(until) && due.is_none_or(|due| at <= due) =>
                {
                    self.answers.remove(0);
                    self.pair.answered(peer, id, Answer::Ok, at);
                }
                (_, Some(due)) if due <= second(until) => {
                    for (peer, delivery) in self.pair.advance(due) {
                        let at = duration::after(delivery.at, Duration::from_secs_f64(self.after));
                        self.answers.push((at, peer, delivery.id));
                        self.seen.push(format!("{peer:?} {}", show(&delivery)));
                    }
                }
                _ => break,
            }
        }
        assert!(self.pair.advance(second(until)).is_empty());
        self
    }

    fn post(&mut self, at: f64, peers: &[Peer], alert: &Posted) -> &mut Self {
        self.wait(at);
        for peer in peers {
            self.pair.post(*peer, vec![alert.clone()], second(at));
        }
        self.wait(at)
    }

    fn state(&mut self, at: f64, peer: Peer) -> String {
        self.wait(at);
        let told = self.pair.peer(peer).told("bellwether", second(at)).unwrap();
        told.alerts[0]["status"]["state"].as_str().unwrap_or("absent").to_owned()
    }
}

const BOTH: [Peer; 2] = [Peer::First, Peer::Second];

#[test]
fn the_second_waits_and_finds_that_all_was_told() {
    let mut two = Two::new();
    two.post(0.0, &BOTH, &fires("A", 0.0)).wait(20.0);
    assert_eq!(two.seen, ["First 0 A:firing"]);
}

#[test]
fn the_second_tells_what_the_first_did_not() {
    let mut two = Two::new();
    two.post(0.0, &[Peer::Second], &fires("A", 0.0)).wait(20.0);
    assert_eq!(two.seen, ["Second 15 A:firing"]);
}

#[test]
fn a_webhook_slower_than_the_wait_is_told_twice() {
    let mut two = Two::new();
    let flags = Flags { peer_timeout: Duration::from_secs(5), ..Flags::default() };
    two.pair = Pair::new(&config(EACH), &flags, Duration::from_millis(250), second(0.0));
    two.after = 6.0;
    two.post(0.0, &BOTH, &fires("A", 0.0)).wait(9.0);
    assert_eq!(two.seen, ["First 0 A:firing", "Second 5 A:firing"]);
}

#[test]
fn a_flush_of_the_second_lasts_longer_by_its_wait() {
    let mut two = Two::new();
    two.after = 9.0;
    two.post(0.0, &[Peer::Second], &fires("A", 0.0)).wait(25.0);
    assert_eq!(two.seen, ["Second 15 A:firing"], "answered at 24, given up only at 25");
    two.wait(39.0);
    assert_eq!(two.seen.len(), 1);
}

#[test]
fn silences_reach_the_other_after_a_while_and_alerts_never() {
    let mut two = Two::new();
    two.post(0.0, &BOTH, &fires("A", 0.0));
    two.pair.silence(Peer::First, silence("s", "alertname=A", (1.0, 99.0)), second(1.0));
    assert_eq!(two.state(1.0, Peer::First), "suppressed");
    assert_eq!(two.state(1.2, Peer::Second), "active");
    assert_eq!(two.state(1.25, Peer::Second), "suppressed");
    assert!(two.pair.expire(Peer::Second, &SilenceId::from("s"), second(2.0)));
    assert_eq!(two.state(2.25, Peer::First), "active");
    two.post(2.5, &[Peer::First], &fires("B", 2.5));
    let told = two.pair.peer(Peer::Second).told("bellwether", second(3.0)).unwrap();
    assert_eq!(told.alerts.as_array().unwrap().len(), 1);
}

#[test]
fn an_older_word_about_a_silence_does_not_undo_a_newer_one() {
    let mut two = Two::new();
    two.post(0.0, &BOTH, &fires("A", 0.0));
    two.pair.silence(Peer::First, silence("s", "alertname=A", (1.0, 99.0)), second(1.0));
    two.wait(2.0);
    two.pair.set_cut(true, second(2.0));
    two.pair.expire(Peer::Second, &SilenceId::from("s"), second(3.0));
    two.pair.set_cut(false, second(4.0));
    assert_eq!(
        (two.state(5.0, Peer::First), two.state(5.0, Peer::Second)),
        ("active".into(), "active".into())
    );
}

#[test]
fn a_cut_line_makes_both_the_first() {
    let mut two = Two::new();
    two.pair.set_cut(true, second(0.0));
    two.post(1.0, &BOTH, &fires("A", 1.0)).wait(2.0);
    assert_eq!(two.seen, ["First 1 A:firing", "Second 1 A:firing"]);
}

#[test]
fn a_survivor_is_the_first_and_knows_what_was_told() {
    let mut two = Two::new();
    two.post(0.0, &BOTH, &fires("A", 0.0)).wait(16.0);
    two.pair.stop(Peer::First, Stop::Kill, second(16.0));
    two.post(17.0, &[Peer::Second], &fires("B", 17.0)).wait(20.0);
    assert_eq!(two.seen, ["First 0 A:firing", "Second 17 B:firing"]);
}

#[test]
fn whoever_comes_back_learns_what_the_other_knows() {
    let mut two = Two::new();
    two.post(0.0, &BOTH, &fires("A", 0.0)).wait(1.0);
    two.pair.silence(Peer::Second, silence("s", "alertname=B", (1.0, 99.0)), second(1.0));
    two.wait(2.0);
    two.pair.stop(Peer::First, Stop::Kill, second(2.0));
    two.pair.start(Peer::First, second(3.0));
    two.post(4.0, &[Peer::First], &fires("A", 0.0))
        .post(4.0, &[Peer::First], &fires("B", 4.0))
        .wait(5.0);
    assert_eq!(two.seen, ["First 0 A:firing"]);
}

#[test]
fn what_is_said_while_the_line_is_cut_arrives_once_it_is_mended() {
    let mut two = Two::new();
    two.post(0.0, &BOTH, &fires("A", 0.0)).wait(1.0);
    two.pair.set_cut(true, second(1.0));
    two.pair.silence(Peer::First, silence("s", "alertname=A", (1.0, 99.0)), second(1.0));
    assert_eq!(two.state(5.0, Peer::Second), "active");
    two.pair.set_cut(false, second(5.0));
    assert_eq!(two.state(6.0, Peer::Second), "suppressed");
}

#[test]
fn an_older_entry_of_the_log_does_not_undo_a_newer_one() {
    let mut two = Two::new();
    two.pair.set_cut(true, second(0.0));
    two.post(0.0, &BOTH, &fires("A", 0.0)).post(1.0, &[Peer::First], &until("A", 0.0, 1.0));
    two.wait(12.0);
    two.pair.set_cut(false, second(12.0));
    two.post(13.0, &[Peer::First], &fires("A", 13.0)).wait(21.0);
    assert_eq!(
        two.seen,
        ["First 0 A:firing", "Second 0 A:firing", "First 10 A:resolved", "First 20 A:firing"]
    );
}

#[test]
fn an_entry_that_has_expired_is_not_learnt() {
    let mut two = Two::new();
    two.post(0.0, &BOTH, &fires("A", 0.0)).wait(1.0);
    two.pair.stop(Peer::First, Stop::Kill, second(1.0));
    two.pair.stop(Peer::Second, Stop::Clean, second(2.0));
    two.pair.start(Peer::Second, second(100.0));
    two.pair.start(Peer::First, second(101.0));
    two.post(102.0, &[Peer::First], &until("A", 0.0, 102.0)).wait(120.0);
    assert_eq!(two.seen, ["First 0 A:firing"]);
}
