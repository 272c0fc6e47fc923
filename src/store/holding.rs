//! The rules of the claim, the same for every store: who holds it, until when, under which token.

use super::{Error, Result, after};
use crate::model::{Claim, ClusterName, Token, duration};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Who asks for a claim: as [`Store::claim`](super::Store::claim) is asked.
#[derive(Clone, Debug)]
pub(crate) struct Bid {
    pub(crate) cluster: ClusterName,
    pub(crate) holder: String,
    pub(crate) ttl: Duration,
    /// A token that was given out and may be forgotten.
    pub(crate) past: Token,
}

/// The claim of one cluster as it is stored. It is never deleted, so that tokens grow for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Holding {
    /// The last token that was given out.
    token: Token,
    /// Who has it; `None` once it was given back.
    held: Option<Held>,
    /// When a token was last given out past one that was forgotten here.
    #[serde(default)]
    forgot: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Held {
    holder: String,
    expires: Timestamp,
}

impl Holding {
    /// Held by nobody, after this token was given out.
    pub(super) fn given(token: Token) -> Self {
        Self { token, ..Self::default() }
    }

    /// The last token that was given out.
    pub(super) fn last(&self) -> Token {
        self.token
    }

    /// When it was last found to have forgotten.
    pub(in crate::store) fn forgot(&self) -> Option<Timestamp> {
        self.forgot
    }

    /// Gives the claim to who asks, under the next token, unless another has it.
    pub(crate) fn take(&mut self, bid: &Bid, now: Timestamp) -> Result<Claim> {
        if let Some(held) = &self.held
            && held.holder != bid.holder
            && now < held.expires
        {
            return Err(Error::Held { holder: held.holder.clone(), until: held.expires });
        }
        let expires = duration::after(now, bid.ttl);
        let next = after(self.token.max(bid.past))?;
        if self.token < bid.past {
            self.forgot = Some(now);
        }
        self.token = next;
        self.held = Some(Held { holder: bid.holder.clone(), expires });
        let (cluster, holder) = (bid.cluster.clone(), bid.holder.clone());
        Ok(Claim { cluster, holder, token: self.token, expires })
    }

    /// Prolongs the claim while it is current.
    pub(crate) fn renew(&mut self, claim: &Claim, ttl: Duration, now: Timestamp) -> Result<Claim> {
        self.check(claim, now)?;
        let expires = duration::after(now, ttl);
        self.held = Some(Held { holder: claim.holder.clone(), expires });
        Ok(Claim { expires, ..claim.clone() })
    }

    /// Frees the claim; the token stays known.
    pub(crate) fn release(&mut self, claim: &Claim, now: Timestamp) -> Result<()> {
        self.check(claim, now)?;
        self.held = None;
        Ok(())
    }

    /// Whether this claim is the current one. The expiry asked is the stored one: the caller's
    /// copy may be older, or made up.
    pub(crate) fn check(&self, claim: &Claim, now: Timestamp) -> Result<()> {
        match &self.held {
            Some(held)
                if self.token == claim.token
                    && held.holder == claim.holder
                    && now < held.expires =>
            {
                Ok(())
            }
            Some(_) | None => Err(Error::Fenced { token: claim.token }),
        }
    }
}
