//! What can happen next; `lease.rs` has the cluster's part. Each move calls the code's own functions with the values of the state and
//! keeps what they answer; it never decides by itself who may do what.

use super::desk::{Call, Look, instance_id};
use super::lease::Way;
use super::state::{Answer, Done, Holder, Kept, Machine, Pass, Replica, Seen, State, Told, epoch};
use super::{Action, Check, Fault, Mutant, OVERDUE, TICK, TTL};
use crate::cluster::fence::Lease;
use crate::model::{Claim, LaunchRequest, Token, duration};
use crate::reconcile::claims::belief::{Ask, Denied, Granted};
use crate::store::{self, Bid, Error, Holding};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

const NAMES: [&str; 2] = ["a", "b"];

impl Check {
    /// Does one step. False where it cannot happen: then nothing has changed.
    pub(super) fn apply(&self, state: &mut State, action: Action) -> bool {
        state.seen.clear();
        match action {
            Action::Tick => self.tick(state),
            Action::Ask(who) => self.ask(state, who) && (self.lease || self.hear(state, who)),
            Action::Lease(who) => self.lease(state, who, Way::Answered),
            Action::Arrive => self.arrive(state),
            Action::Hear(who) => self.hear(state, who),
            Action::Look(who) => self.look(state, who),
            Action::Commit(who) => self.commit(state, who),
            Action::Check(who) => self.check(state, who),
            Action::Call(who) => self.call(state, who, Done::Answered),
            Action::Conclude(who) => self.conclude(state, who),
            Action::Wake(who) => wake(state, who),
            Action::Fault(fault, who) => self.fault(state, fault, who),
        }
    }

    /// What one process may be able to do next.
    pub(super) fn choices(&self, state: &State, who: usize, actions: &mut Vec<Action>) {
        let replica = &state.replicas[who];
        if replica.asleep {
            return actions.push(Action::Wake(who));
        }
        match &replica.answer {
            None => actions.push(Action::Ask(who)),
            Some(Answer { told: Told::Store { .. }, .. }) => actions.push(Action::Lease(who)),
            Some(answer) if answer.asked_at < self.boot(state, who) => {
                actions.push(Action::Hear(who));
            }
            Some(_) => {}
        }
        match &replica.pass {
            _ if replica.hung => {}
            Pass::Idle => actions.push(Action::Look(who)),
            Pass::Looked { .. } => actions.push(Action::Commit(who)),
            Pass::Checked { .. } => actions.push(Action::Call(who)),
            Pass::Acting { planned, done, .. } if done.len() == planned.calls.len() => {
                actions.push(Action::Conclude(who));
            }
            Pass::Acting { .. } => actions.push(Action::Check(who)),
        }
    }

    // --- clocks ---

    /// The boot clock of a process: each machine its own, and none stops while it sleeps.
    pub(super) fn boot(&self, state: &State, who: usize) -> Duration {
        let slept = match self.mutant {
            Some(Mutant::MonotonicClock) => state.replicas[who].slept,
            _ => 0,
        };
        Duration::from_hours(1 + who as u64) + TICK * u32::from(state.tick - slept)
    }

    fn tick(&self, state: &mut State) -> bool {
        let is_asked = |replica: &Arc<Replica>| {
            matches!(replica.answer, Some(Answer { told: Told::Store { .. }, .. }))
        };
        let waits = !self.late_lease && state.replicas.iter().any(is_asked);
        if state.tick >= self.horizon || waits {
            return false;
        }
        self.pass_time(state);
        true
    }

    pub(super) fn pass_time(&self, state: &mut State) {
        state.tick += 1;
        for who in [0, 1] {
            if state.replicas[who].asleep && self.mutant == Some(Mutant::MonotonicClock) {
                state.replica(who).slept += 1;
            }
            self.forget_what_is_over(state, who);
            if state.replicas[who].asked {
                state.replica(who).asked = false;
            }
        }
    }

    /// A claim that is over is not told apart from none: only a stop would still speak of it.
    fn forget_what_is_over(&self, state: &mut State, who: usize) {
        let boot = self.boot(state, who);
        let is_over = state.replicas[who].belief.current(boot).is_none();
        if is_over && !self.may.contains(&Fault::Stop) {
            state.replica(who).belief.give_back();
        }
    }

    // --- the keeper ---

    pub(super) fn ask(&self, state: &mut State, who: usize) -> bool {
        let replica = &state.replicas[who];
        if replica.asleep || replica.answer.is_some() || replica.asked {
            return false;
        }
        let (asked_at, now) = (self.boot(state, who), state.stores());
        let asked = replica.belief.ask(asked_at);
        let answer = match &asked {
            Ask::Nothing(_) => return false,
            // The cluster is asked first, for the lease's last token.
            Ask::Claim if self.lease && replica.cut_off => return false,
            Ask::Claim => self.take(&mut state.store.holding.clone(), state, who, now),
            Ask::Renew(claim) => {
                let mut holding = state.store.holding.clone();
                holding.renew(claim, TTL, now).map(|claim| (holding, claim))
            }
        };
        if matches!(answer, Err(Error::Held { .. })) {
            // It says nothing new to one who has no claim.
            return false;
        }
        let answer = answer.map(|(holding, claim)| {
            let holder = Holder { who, token: claim.token, until: duration::after(now, TTL) };
            self.write(state, |store| (store.holding, store.holder) = (holding, Some(holder)));
            claim
        });
        let told = if self.lease {
            Told::Store { asked, answer }
        } else {
            Told::All(answer.map(granted).map_err(Denied::Store))
        };
        let replica = state.replica(who);
        (replica.answer, replica.asked) = (Some(Answer { asked_at, told }), self.lease);
        true
    }

    // --- the store's part ---

    fn take(
        &self,
        holding: &mut Holding,
        state: &State,
        who: usize,
        now: Timestamp,
    ) -> store::Result<(Holding, Claim)> {
        if self.mutant == Some(Mutant::TakeFromOther)
            && let Some(holder) = &state.store.holder
        {
            // As if it did not matter that another holds it.
            let _ = holding.release(&claim_of(holder.who, holder.token), now);
        }
        let before = holding.clone();
        let past = if self.lease { state.lease.last() } else { Token(0) };
        let mut claim = holding.take(&bid(who, past), now)?;
        if self.mutant == Some(Mutant::TokenStays) {
            claim.token = token(&before).max(Token(1));
            set_token(holding, claim.token);
        }
        Ok((holding.clone(), claim))
    }

    pub(super) fn hear(&self, state: &mut State, who: usize) -> bool {
        let heard_at = self.boot(state, who);
        let replica = state.replica(who);
        if replica.asleep {
            return false;
        }
        let Some(Answer { mut asked_at, told: Told::All(answer) }) = replica.answer.clone() else {
            return false;
        };
        replica.answer = None;
        if self.mutant == Some(Mutant::EndsFromAnswer) {
            asked_at = heard_at;
        }
        replica.belief.hear(answer, asked_at, TTL);
        self.forget_what_is_over(state, who);
        true
    }

    // --- the loop ---

    fn look(&self, state: &mut State, who: usize) -> bool {
        let (boot, at) = (self.boot(state, who), state.stores());
        let replica = &state.replicas[who];
        if !replica.runs() || replica.pass != Pass::Idle {
            return false;
        }
        // One without a claim stands by: it looks, judges its clock, and does nothing.
        let Some(claim) = replica.belief.current(boot).cloned() else {
            return self.judge_clock(state, who);
        };
        let (record, listed) = (state.store.record.clone(), state.machines.clone());
        let look = Look { record: &record, listed: &listed, at, need: state.need };
        // A pass that will find nothing to do, now or later, is as good as one that stands by.
        let times = [at, duration::after(at, TICK), duration::after(at, TICK * 8)];
        if times.iter().all(|now| self.desk.plan(look, &claim, *now).changes.is_empty()) {
            return self.judge_clock(state, who);
        }
        let replica = state.replica(who);
        if self.mutant != Some(Mutant::OverdueRenews) {
            replica.belief.pass_began(boot, OVERDUE);
        }
        replica.pass = Pass::Looked { claim, record, listed, at };
        true
    }

    fn commit(&self, state: &mut State, who: usize) -> bool {
        let now = state.stores();
        let Pass::Looked { claim, record, listed, at } = state.replicas[who].pass.clone() else {
            return false;
        };
        if !state.replicas[who].runs() {
            return false;
        }
        let is_astray = state.is_astray(who);
        self.judge_clock(state, who);
        if is_astray && self.mutant != Some(Mutant::SkewIgnored) {
            return end_pass(state.replica(who));
        }
        // No two passes read the same millisecond.
        let read =
            duration::after(now, Duration::from_millis(who as u64 + 2 * u64::from(state.lost)));
        let look = Look { record: &record, listed: &listed, at, need: state.need };
        let planned = self.desk.plan(look, &claim, read);
        if !planned.changes.is_empty() {
            if self.fence(state, &claim, now).is_err() {
                return end_pass(state.replica(who));
            }
            state.note(Seen::CommitWithoutClaim, who, &claim);
            if is_astray {
                state.seen.insert(Seen::CommitAstray);
            }
            let record = self.desk.intended(&state.store.record, &planned);
            if self.mutant != Some(Mutant::IntentNotStored) {
                self.write(state, |store| store.record = record);
            }
            let batches = planned.changes.intents.iter().map(|intent| intent.request.batch.clone());
            if !planned.changes.intents.is_empty() {
                Arc::make_mut(&mut state.authors).extend(batches.map(|batch| (batch, who)));
            }
        }
        if planned.calls.is_empty() {
            return end_pass(state.replica(who));
        }
        state.replica(who).pass = Pass::Acting { claim, planned, done: Vec::new() };
        true
    }

    /// Whether this changes what is believed of the clock.
    fn judge_clock(&self, state: &mut State, who: usize) -> bool {
        if self.mutant == Some(Mutant::AstrayRenews) {
            return false;
        }
        let before = state.replicas[who].belief.clone();
        let is_astray = state.is_astray(who);
        let belief = &mut state.replica(who).belief;
        belief.judge_clock(is_astray);
        *belief != before
    }

    /// The claim is asked right before each call.
    fn check(&self, state: &mut State, who: usize) -> bool {
        let boot = self.boot(state, who);
        let Pass::Acting { claim, planned, mut done } = state.replicas[who].pass.clone() else {
            return false;
        };
        if !state.replicas[who].runs() || done.len() == planned.calls.len() {
            return false;
        }
        let current = state.replicas[who].belief.current(boot);
        let is_ours = current.is_some_and(|current| current.token == claim.token);
        if !is_ours && self.mutant != Some(Mutant::ActUnchecked) {
            done.push(Done::Refused);
            state.replica(who).pass = Pass::Acting { claim, planned, done };
            return true;
        }
        state.note(Seen::CheckWithoutClaim, who, &claim);
        state.replica(who).pass = Pass::Checked { claim, planned, done };
        self.late_calls || self.call(state, who, Done::Answered)
    }

    pub(super) fn call(&self, state: &mut State, who: usize, outcome: Done) -> bool {
        let now = state.stores();
        let Pass::Checked { claim, planned, mut done } = state.replicas[who].pass.clone() else {
            return false;
        };
        if !state.replicas[who].runs() {
            return false;
        }
        state.note(Seen::LateCall, who, &claim);
        match &planned.calls[done.len()] {
            Call::Launch(request) => self.launch(state, request, now),
            Call::Replay(request) => {
                if state.authors.iter().any(|(batch, by)| *batch == request.batch && *by != who) {
                    state.seen.insert(Seen::TakenOver);
                }
                self.launch(state, request, now);
            }
            Call::Terminate(id) => {
                let is_it = |machine: &&mut Machine| instance_id(&machine.worker) == *id;
                Arc::make_mut(&mut state.machines)
                    .iter_mut()
                    .filter(is_it)
                    .for_each(|machine| machine.ended = true);
            }
        }
        done.push(outcome);
        state.replica(who).pass = Pass::Acting { claim, planned, done };
        true
    }

    /// The provider, by its contract: an order that was fulfilled before launches nothing.
    fn launch(&self, state: &mut State, request: &LaunchRequest, now: Timestamp) {
        for order in &request.orders {
            let is_known = state.machines.iter().any(|machine| machine.worker == order.worker);
            if !is_known || self.mutant == Some(Mutant::ProviderForgets) {
                Arc::make_mut(&mut state.machines).push(Machine {
                    worker: order.worker.clone(),
                    batch: request.batch.clone(),
                    launched: now,
                    ended: false,
                });
            }
        }
    }

    fn conclude(&self, state: &mut State, who: usize) -> bool {
        let now = state.stores();
        let Pass::Acting { claim, planned, done } = &state.replicas[who].pass else {
            return false;
        };
        if !state.replicas[who].runs() || done.len() < planned.calls.len() {
            return false;
        }
        let changes = self.desk.outcome(planned, done, claim);
        let claim = claim.clone();
        if !changes.is_empty() && self.fence(state, &claim, now).is_ok() {
            state.note(Seen::CommitWithoutClaim, who, &claim);
            let record = self.desk.concluded(&state.store.record, &changes);
            self.write(state, |store| store.record = record);
        }
        end_pass(state.replica(who))
    }

    // --- the store ---

    /// What a commit asks of the stored claim.
    fn fence(&self, state: &State, claim: &Claim, now: Timestamp) -> store::Result<()> {
        let holding = &state.store.holding;
        match (self.mutant, &state.store.holder) {
            (Some(Mutant::CommitUnfenced), _) => Ok(()),
            (Some(Mutant::CommitExpired), _) => holding.check(claim, epoch()),
            (Some(Mutant::CommitForOther), Some(holder)) => {
                let holder = NAMES[holder.who].to_owned();
                holding.check(&Claim { holder, ..claim.clone() }, now)
            }
            _ => holding.check(claim, now),
        }
    }

    pub(super) fn write(&self, state: &mut State, change: impl FnOnce(&mut Kept)) {
        if self.may.contains(&Fault::LastWriteLost) && !state.lost && state.faults > 0 {
            state.before = Some(state.store.clone());
        }
        change(Arc::make_mut(&mut state.store));
    }
}

fn wake(state: &mut State, who: usize) -> bool {
    std::mem::take(&mut state.replica(who).asleep)
}

fn end_pass(replica: &mut Replica) -> bool {
    replica.pass = Pass::Idle;
    replica.belief.pass_ended();
    true
}

pub(super) fn claim_of(who: usize, token: Token) -> Claim {
    let expires = Timestamp::UNIX_EPOCH;
    Claim { cluster: "c".into(), holder: NAMES[who].to_owned(), token, expires }
}

fn bid(who: usize, past: Token) -> Bid {
    Bid { cluster: "c".into(), holder: NAMES[who].to_owned(), ttl: TTL, past }
}

/// The last token given out, read and written as the store's file holds it.
pub(super) fn token(holding: &Holding) -> Token {
    let stored = serde_json::to_value(holding).unwrap();
    serde_json::from_value(stored["token"].clone()).unwrap()
}

pub(super) fn granted(claim: Claim) -> Granted {
    Granted { claim, leased: true }
}

pub(super) fn with_token(lease: &Lease, token: Token) -> Lease {
    let mut stored = serde_json::to_value(lease).unwrap();
    stored["token"] = serde_json::to_value(token).unwrap();
    serde_json::from_value(stored).unwrap()
}

fn set_token(holding: &mut Holding, token: Token) {
    let mut stored = serde_json::to_value(&*holding).unwrap();
    stored["token"] = serde_json::to_value(token).unwrap();
    *holding = serde_json::from_value(stored).unwrap();
}
