//! The cluster's part: the lease beside the store's claim, as the keeper asks for it and as the cluster answers.

use super::moves::{claim_of, granted, with_token};
use super::state::{Answer, Holder, Seen, State, Told};
use super::{Check, Mutant, TTL};
use crate::cluster::fence::Refusal;
use crate::model::{Claim, Token, duration};
use crate::reconcile::claims::belief::{Ask, Denied, Granted};

/// How the cluster answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Answered,
    Away,
    Lost,
    Late,
}

impl Check {
    /// What the keeper does with the store's answer, at any time after it.
    pub(super) fn lease(&self, state: &mut State, who: usize, way: Way) -> bool {
        let replica = &state.replicas[who];
        let Some(Answer { asked_at, told: Told::Store { asked, answer } }) = replica.answer.clone()
        else {
            return false;
        };
        if replica.asleep {
            return false;
        }
        let answer = match (answer, asked) {
            (Ok(claim), asked) => self.hold(state, who, &claim, way).map_err(|refusal| {
                if asked == Ask::Claim || !matches!(refusal, Refusal::Away(_)) {
                    self.leave(state, who, &claim, &refusal);
                }
                Denied::Lease(refusal)
            }),
            (Err(error), Ask::Renew(claim)) => {
                self.let_go(state, who, &claim);
                Err(Denied::Store(error))
            }
            (Err(error), _) => Err(Denied::Store(error)),
        };
        state.replica(who).answer = Some(Answer { asked_at, told: Told::All(answer) });
        self.hear(state, who)
    }

    /// The lease beside the claim, as the keeper asks for it.
    fn hold(
        &self,
        state: &mut State,
        who: usize,
        claim: &Claim,
        way: Way,
    ) -> Result<Granted, Refusal> {
        let away = || Err(Refusal::Away("no answer".to_owned()));
        match way {
            _ if state.replicas[who].cut_off => away(),
            Way::Away => away(),
            Way::Late => {
                state.in_flight = Some((who, claim.clone()));
                away()
            }
            Way::Lost => {
                let _ = self.held(state, who, claim);
                away()
            }
            Way::Answered => self.held(state, who, claim).map(|()| granted(claim.clone())),
        }
    }

    /// What the cluster does when it is asked.
    fn held(&self, state: &mut State, who: usize, claim: &Claim) -> Result<(), Refusal> {
        let (now, last) = (state.clusters(), state.witnessed.clone());
        match (self.mutant, &last) {
            (Some(Mutant::LeaseFromOther), Some(last)) => {
                state.lease.let_go(&claim_of(last.who, last.token));
            }
            (Some(Mutant::LeaseTokenIgnored), _) if claim.token < state.lease.last() => {
                state.lease = with_token(&state.lease, Token(0));
            }
            _ => {}
        }
        state.lease.hold(claim, TTL, now)?;
        let is_another = |last: &Holder| (last.who, last.token) != (who, claim.token);
        if last.is_some_and(|last| is_another(&last) && claim.token <= last.token) {
            state.seen.insert(Seen::LeaseWentBack);
        }
        let until = duration::after(now, TTL);
        state.witnessed = Some(Holder { who, token: claim.token, until });
        Ok(())
    }

    /// A claim without the lease is given back.
    fn leave(&self, state: &mut State, who: usize, claim: &Claim, refusal: &Refusal) {
        if matches!(refusal, Refusal::Away(_)) {
            self.let_go(state, who, claim);
        }
        let (mut holding, now) = (state.store.holding.clone(), state.stores());
        if holding.release(claim, now).is_ok() {
            self.write(state, |store| (store.holding, store.holder) = (holding, None));
        }
    }

    pub(super) fn let_go(&self, state: &mut State, who: usize, claim: &Claim) {
        if !self.lease || state.replicas[who].cut_off {
            return;
        }
        let now = state.clusters();
        state.lease.let_go(claim);
        if let Some(last) = &mut state.witnessed
            && last.who == who
            && last.token == claim.token
        {
            last.until = last.until.min(now);
        }
    }

    /// What was asked for long ago is done.
    pub(super) fn arrive(&self, state: &mut State) -> bool {
        let Some((who, claim)) = state.in_flight.take() else {
            return false;
        };
        let _ = self.held(state, who, &claim);
        true
    }
}
