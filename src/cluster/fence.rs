//! Who may act on a cluster, as the cluster itself has it.
//!
//! A store can forget: where a replica of Redis that lagged takes over, a claim it never heard of is given
//! out again, and a token twice. The lease is kept beside the nodes, and does not forget. So a claim is acted
//! under only with the lease as well, which also keeps two installs with two stores off each other.

use crate::model::{Claim, Token, duration};
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// The witness of one cluster. Implementations keep a [`Lease`], or what answers as one, and pass one contract suite
/// (`tests/it/contract/fence.rs`). Who asks waits for a third of the claim's life at most, and takes a later answer for
/// [`Refusal::Away`].
#[async_trait]
pub trait Fence: fmt::Debug + Send + Sync + 'static {
    /// The last token the lease was held under. A store that knows only older ones has forgotten.
    async fn last(&self) -> Result<Token>;

    /// Takes the lease for a claim, or prolongs it.
    async fn hold(&self, claim: &Claim, ttl: Duration) -> Result<()>;

    /// Gives the lease back, if this claim has it.
    async fn let_go(&self, claim: &Claim) -> Result<()>;
}

/// Why a claim has not got the lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Another has it.
    #[error("the cluster's lease is held by {holder} until {until}")]
    Held {
        /// Who.
        holder: String,
        /// Until when, unless prolonged.
        until: Timestamp,
    },
    /// A claim with this token had it: the store gave out one that is not newer.
    #[error("the cluster's lease was held under token {last}")]
    Outdated {
        /// The last token seen.
        last: Token,
    },
    /// The cluster did not answer.
    #[error("the cluster's lease is out of reach: {0}")]
    Away(String),
}

impl Refusal {
    /// The words of all of them in metrics: a closed set.
    pub const KINDS: [&'static str; 3] = ["held", "outdated", "away"];

    /// Its word in metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Held { .. } => "held",
            Self::Outdated { .. } => "outdated",
            Self::Away(_) => "away",
        }
    }
}

/// A witness's answer.
pub type Result<T> = std::result::Result<T, Refusal>;

/// The lease itself. Pure, so that a witness need only keep it, and change it in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The largest token it was held under; never forgotten.
    token: Token,
    /// Who had it last; `None` once it was given back.
    held: Option<Held>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Held {
    holder: String,
    expires: Timestamp,
}

impl Lease {
    /// Takes it for a claim, or prolongs it.
    pub fn hold(&mut self, claim: &Claim, ttl: Duration, now: Timestamp) -> Result<()> {
        if let Some(held) = &self.held
            && held.holder != claim.holder
            && now < held.expires
        {
            return Err(Refusal::Held { holder: held.holder.clone(), until: held.expires });
        }
        if claim.token < self.token || (claim.token == self.token && !self.is_of(claim)) {
            return Err(Refusal::Outdated { last: self.token });
        }
        self.token = claim.token;
        let expires = duration::after(now, ttl);
        self.held = Some(Held { holder: claim.holder.clone(), expires });
        Ok(())
    }

    /// One as it was kept: the largest token, and who had it until when.
    pub fn of(token: Token, held: Option<(String, Timestamp)>) -> Self {
        Self { token, held: held.map(|(holder, expires)| Held { holder, expires }) }
    }

    /// Who had it last, and until when; `None` once it was given back.
    pub fn held(&self) -> Option<(&str, Timestamp)> {
        self.held.as_ref().map(|held| (held.holder.as_str(), held.expires))
    }

    /// The last token it was held under.
    pub fn last(&self) -> Token {
        self.token
    }

    /// Gives it back; one that another has stays as it is.
    pub fn let_go(&mut self, claim: &Claim) {
        if self.is_of(claim) {
            self.held = None;
        }
    }

    /// Whether this claim had it last.
    fn is_of(&self, claim: &Claim) -> bool {
        self.token == claim.token
            && self.held.as_ref().is_some_and(|held| held.holder == claim.holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn claim(holder: &str, token: u64) -> Claim {
        Claim {
            cluster: "c".into(),
            holder: holder.to_owned(),
            token: Token(token),
            expires: Timestamp::UNIX_EPOCH,
        }
    }

    /// Held by `a` under token 5 from 0 s to 10 s.
    fn held() -> Lease {
        let mut lease = Lease::default();
        lease.hold(&claim("a", 5), TTL, at(0)).unwrap();
        lease
    }

    #[test]
    fn another_gets_it_after_its_end_and_no_sooner() {
        let mut lease = held();
        let refusal = Refusal::Held { holder: "a".to_owned(), until: at(10) };
        assert_eq!(lease.hold(&claim("b", 6), TTL, at(9)), Err(refusal));
        assert_eq!(lease.hold(&claim("b", 6), TTL, at(10)), Ok(()));
    }

    #[test]
    fn its_holder_prolongs_it_even_late_as_long_as_nobody_took_it() {
        let mut lease = held();
        lease.hold(&claim("a", 5), TTL, at(30)).unwrap();
        assert!(lease.hold(&claim("b", 6), TTL, at(39)).is_err());
        lease.hold(&claim("b", 6), TTL, at(40)).unwrap();
        assert!(matches!(lease.hold(&claim("a", 5), TTL, at(41)), Err(Refusal::Held { .. })));
    }

    #[test]
    fn a_token_that_is_not_newer_is_refused_also_when_the_lease_is_free() {
        for (holder, token) in [("b", 4), ("b", 5), ("a", 4)] {
            let mut lease = held();
            let refused = lease.hold(&claim(holder, token), TTL, at(10));
            assert_eq!(refused, Err(Refusal::Outdated { last: Token(5) }), "{holder} {token}");
        }
    }

    #[test]
    fn what_is_given_back_is_free_at_once_and_its_token_stays_known() {
        let mut lease = held();
        lease.let_go(&claim("a", 5));
        let refused = lease.hold(&claim("b", 5), TTL, at(1));
        assert_eq!(lease.last(), Token(5));
        assert_eq!(refused, Err(Refusal::Outdated { last: Token(5) }));
        lease.hold(&claim("b", 6), TTL, at(1)).unwrap();
    }

    #[test]
    fn one_that_another_has_is_not_given_back() {
        for other in [claim("b", 5), claim("a", 4), claim("a", 6)] {
            let mut lease = held();
            lease.let_go(&other);
            assert_eq!(lease, held(), "{other:?}");
        }
    }
}
