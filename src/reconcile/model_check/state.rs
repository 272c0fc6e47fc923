//! One state of the model: two processes, one store, one provider, one clock.

use super::TICK;
use super::desk::{Planned, Record};
use crate::cluster::fence::Lease;
use crate::model::{BatchId, Claim, Token, WorkerId, duration};
use crate::reconcile::claims::belief::{self, Ask, Belief};
use crate::reconcile::{MAX_SKEW, skew};
use crate::store::{self, Holding};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// The time, in ticks.
    pub(super) tick: u8,
    /// By how many ticks the store's clock went ahead of the others.
    pub(super) ahead: u8,
    pub(super) store: Arc<Kept>,
    /// The store before its last write, while it may still lose it.
    pub(super) before: Option<Arc<Kept>>,
    /// Whether it has lost one.
    pub(super) lost: bool,
    /// The cluster's lease, where it is asked.
    pub(super) lease: Lease,
    /// Who really has it, or had it last: noted as the store's holder is.
    pub(super) witnessed: Option<Holder>,
    /// What the cluster was asked for by whom, and will do at some time.
    pub(super) in_flight: Option<(usize, Claim)>,
    /// Every machine that was ever launched.
    pub(super) machines: Arc<Vec<Machine>>,
    /// Who stored which intent.
    pub(super) authors: Arc<Vec<(BatchId, usize)>>,
    /// How many machines are needed.
    pub(super) need: u32,
    pub(super) replicas: [Arc<Replica>; 2],
    /// How many more things may go wrong.
    pub(super) faults: u8,
    /// What the last step was.
    pub(super) seen: BTreeSet<Seen>,
}

/// What the store keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Kept {
    pub(super) holding: Holding,
    pub(super) record: Record,
    /// Who really has the claim: noted beside the rules that are checked, never read by them.
    pub(super) holder: Option<Holder>,
}

/// Who really has the claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Holder {
    pub(super) who: usize,
    pub(super) token: Token,
    pub(super) until: Timestamp,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Machine {
    /// The idempotency token it was launched with.
    pub(super) worker: WorkerId,
    pub(super) batch: BatchId,
    pub(super) launched: Timestamp,
    pub(super) ended: bool,
}

/// One process: a keeper and a loop, side by side.
#[expect(clippy::struct_excessive_bools, reason = "each may be so, whatever the others are")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Replica {
    pub(super) belief: Belief,
    /// How far its keeper is with what it asked.
    pub(super) answer: Option<Answer>,
    pub(super) pass: Pass,
    /// Its loop hangs for good; its keeper goes on.
    pub(super) hung: bool,
    /// Its wall clock is wrong by more than is allowed.
    pub(super) astray: bool,
    /// Its keeper asked in this tick, and does so no more in it: its time is about as long. Where a lease is asked.
    pub(super) asked: bool,
    /// It cannot reach the cluster.
    pub(super) cut_off: bool,
    /// Its machine sleeps.
    pub(super) asleep: bool,
    /// For how many ticks it slept: known to a monotonic clock only, and kept only for that.
    pub(super) slept: u8,
}

/// What a keeper asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Answer {
    /// On the boot clock.
    pub(super) asked_at: Duration,
    pub(super) told: Told,
}

/// What came of it so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Told {
    /// The store has answered, and the lease is to be asked for.
    Store { asked: Ask, answer: store::Result<Claim> },
    /// All is on its way to the keeper.
    All(belief::Answer),
}

/// How far a pass is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Pass {
    /// None is under way.
    #[default]
    Idle,
    /// Claim, memory and machines were looked at.
    Looked { claim: Claim, record: Record, listed: Arc<Vec<Machine>>, at: Timestamp },
    /// The intent is stored; these calls have been made, one outcome each.
    Acting { claim: Claim, planned: Planned, done: Vec<Done> },
    /// The check right before the next call said yes.
    Checked { claim: Claim, planned: Planned, done: Vec<Done> },
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Done {
    /// The check right before it said no.
    Refused,
    /// It was answered.
    Answered,
    /// It had its effect, and the answer was lost.
    Unanswered,
}

/// Something noted of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Seen {
    /// A commit went through for one who did not have the claim.
    CommitWithoutClaim,
    /// The check right before an act passed for one who did not have the claim.
    CheckWithoutClaim,
    /// A commit was made by one whose clock is astray.
    CommitAstray,
    /// The lease was taken under a token that is not newer than the last.
    LeaseWentBack,
    /// A call was made after its claim had gone: between the check and the call.
    LateCall,
    /// A call was made for an intent that another process had stored.
    TakenOver,
}

impl State {
    pub(super) fn replica(&mut self, who: usize) -> &mut Replica {
        Arc::make_mut(&mut self.replicas[who])
    }

    /// The store's clock.
    pub(super) fn stores(&self) -> Timestamp {
        duration::after(epoch(), TICK * u32::from(self.tick + self.ahead))
    }

    /// The cluster's clock, which is not the store's.
    pub(super) fn clusters(&self) -> Timestamp {
        duration::after(epoch(), TICK * u32::from(self.tick))
    }

    /// The wall clock of a process: one is right, the other as wrong as is allowed.
    fn wall(&self, who: usize) -> Timestamp {
        let astray = if self.replicas[who].astray { 5 } else { 0 };
        let off = if who == 0 { Duration::ZERO } else { MAX_SKEW };
        duration::after(epoch(), TICK * u32::from(self.tick) + off + MAX_SKEW * astray)
    }

    /// Whether the two are too far apart for this process to act.
    pub(super) fn is_astray(&self, who: usize) -> bool {
        skew(self.wall(who), self.stores()) > MAX_SKEW
    }

    /// Machines that live.
    pub(super) fn live(&self) -> usize {
        self.machines.iter().filter(|machine| !machine.ended).count()
    }

    /// Notes something that is done by one who has not got the claim.
    pub(super) fn note(&mut self, what: Seen, who: usize, claim: &Claim) {
        let has = match what {
            // What is stored is fenced by the store's own claim.
            Seen::CommitWithoutClaim => self.has_stored(who, claim.token),
            _ => self.has_claim(who, claim.token),
        };
        if !has {
            self.seen.insert(what);
        }
    }

    /// Whether this process has the claim, by the truth of the lease where it is asked, else of the store.
    pub(super) fn has_claim(&self, who: usize, token: Token) -> bool {
        match &self.witnessed {
            Some(holder) => is_held(holder, who, token, self.clusters()),
            None => self.has_stored(who, token),
        }
    }

    fn has_stored(&self, who: usize, token: Token) -> bool {
        let holder = self.store.holder.as_ref();
        holder.is_some_and(|holder| is_held(holder, who, token, self.stores()))
    }
}

fn is_held(holder: &Holder, who: usize, token: Token, now: Timestamp) -> bool {
    holder.who == who && holder.token == token && now < holder.until
}

/// When it all begins, by the store's clock.
pub(super) fn epoch() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

impl Replica {
    /// Whether it can be counted on to act.
    pub(super) fn is_well(&self) -> bool {
        !self.hung && !self.astray && !self.cut_off
    }

    /// Whether its loop goes on.
    pub(super) fn runs(&self) -> bool {
        !self.hung && !self.asleep
    }
}
