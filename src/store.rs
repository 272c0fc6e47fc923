//! What must outlive the process: claims, signals, workers, intents, cooldowns, silences, history.
//!
//! Two kinds of write: [`Store::record_signals`] is the only unfenced one, since any replica may
//! take a webhook; [`Store::commit`] asks for the claim and refuses an older token. Every write is
//! whole or not at all, and durable when it answers (memory excepted; Redis as its `appendfsync` has it).

mod dump;
mod embedded;
mod holding;
mod memory;
mod redis;

pub use dump::Dump;
pub use embedded::Embedded;
#[cfg(test)]
pub(crate) use holding::{Bid, Holding};
pub use memory::Memory;
pub use redis::Redis;

use crate::clock::Clock;
use crate::config::{Config, StoreUrl};
use crate::model::{self, Changes, Claim, ClusterName, Entry, Signal, Token, duration};
use async_trait::async_trait;
use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A store. Every implementation passes the same contract suite (`tests/it/contract/store.rs`).
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The store's clock: every stamp that is compared with another comes from here.
    async fn now(&self) -> Result<Timestamp>;

    /// Whether it takes writes, as far as it can tell. A store may answer and yet take none: it is full, or reads its
    /// file still.
    async fn ready(&self) -> Result<()> {
        self.now().await.map(drop)
    }

    /// Takes the claim of a cluster if it is free, expired, or already this holder's, with a token
    /// that is larger than every token before, and than `past`: one that was given out, as the cluster's lease
    /// has it. Where this store knows only smaller ones it has forgotten, and writes that down
    /// ([`model::Memory::forgot`]). [`Error::Held`] while another holds it.
    async fn claim(
        &self,
        cluster: &ClusterName,
        holder: &str,
        ttl: Duration,
        past: Token,
    ) -> Result<Claim>;

    /// Prolongs a claim. [`Error::Fenced`] when it expired or went to another.
    async fn renew(&self, claim: &Claim, ttl: Duration) -> Result<Claim>;

    /// Gives a claim back. One that is not ours any more stays untouched: [`Error::Fenced`].
    async fn release(&self, claim: &Claim) -> Result<()>;

    /// All memory of a cluster; empty for one that was never seen. A store that can forget what it
    /// answered tells its life.
    async fn load(&self, cluster: &ClusterName) -> Result<model::Memory>;

    /// Stores a set of changes whole, or nothing: [`Error::Fenced`] when the claim expired (taken
    /// by another or not), was taken in another life of the store, or another token was given out since. History entries get their numbers
    /// here, and what passes [`Retention`] goes. A signal to forget stays when its `last_seen` is
    /// another than the one given: it was delivered again.
    async fn commit(&self, claim: &Claim, changes: &Changes) -> Result<()>;

    /// Stores signals, merging each with what is there ([`Signal::merge`]).
    async fn record_signals(&self, signals: &[Signal]) -> Result<()>;

    /// The signals of a cluster.
    async fn signals(&self, cluster: &ClusterName) -> Result<Vec<Signal>>;

    /// History of a cluster, newest first.
    async fn history(&self, cluster: &ClusterName, query: &HistoryQuery) -> Result<Vec<Entry>>;

    /// All that is kept of a cluster, of one moment; what there is not is empty.
    async fn dump(&self, cluster: &ClusterName) -> Result<Dump>;

    /// Stores a dump, whole or not at all; [`Error::Occupied`] where anything is kept of the cluster, if
    /// only a token.
    async fn restore(&self, cluster: &ClusterName, dump: &Dump) -> Result<()>;

    /// Waits until somebody else did something that is worth a look at once. Only a hint, for the sake of
    /// speed; a store that nobody else can write never answers.
    async fn wake(&self) -> Wake {
        std::future::pending().await
    }
}

/// What somebody else did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Recorded signals of this cluster.
    Recorded(ClusterName),
    /// Gave back the claim of this cluster.
    Released(ClusterName),
    /// Perhaps anything, of any cluster: nobody listened for a while.
    Unknown,
}

/// Which part of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// At most this many entries.
    pub limit: usize,
    /// Only entries with a smaller number: for paging.
    pub before: Option<u64>,
}

/// How much history is kept; whatever is passed first ends the oldest entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Entries per cluster.
    pub entries: u64,
    /// Age.
    pub age: Duration,
}

impl Retention {
    /// How many entries one commit drops at most: a lowered limit must not make one commit long.
    const DROPS_PER_COMMIT: usize = 1_000;

    /// Whether the oldest of `count` entries has to go.
    fn ends(&self, count: u64, oldest: Option<Timestamp>, now: Timestamp) -> bool {
        count > self.entries || oldest.is_some_and(|at| duration::since(at, now) > self.age)
    }
}

/// What went wrong, as far as the caller can act on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// Another holds the claim.
    #[error("claim is held by {holder} until {until}")]
    Held {
        /// Who.
        holder: String,
        /// Until when, unless renewed.
        until: Timestamp,
    },
    /// The claim is not current any more: do nothing under it.
    #[error("claim with token {token} is not current")]
    Fenced {
        /// The token that was refused.
        token: Token,
    },
    /// The store cannot be reached or written. Nothing was stored, but where the text says that it is not
    /// known: then the answer was lost, and whoever wrote looks again before it writes anew.
    #[error("store away: {0}")]
    Away(String),
    /// Something is kept of a cluster that was to be restored; it stays.
    #[error(
        "cluster {cluster} is not empty in this store, and stays as it is; restore into an empty one"
    )]
    Occupied {
        /// Which.
        cluster: ClusterName,
    },
    /// What is stored cannot be read: damaged, or written by a newer version.
    #[error("store unreadable: {0}")]
    Unreadable(String),
}

/// A store's answer.
pub type Result<T> = std::result::Result<T, Error>;

/// The token after this one. Past [`Token::LAST`] there is none.
fn after(token: Token) -> Result<Token> {
    token.next().ok_or_else(|| {
        Error::Unreadable(format!("its last token is {token}, which no store of ours gives out"))
    })
}

/// Opens the store that the configuration names. A Redis that is away is no error: it is connected
/// when it is needed, with what the configuration says by then.
pub fn connect(config: &watch::Receiver<Arc<Config>>, clock: Clock) -> Result<Arc<dyn Store>> {
    let service = config.borrow().service.clone();
    let retention = Retention { entries: service.history_entries, age: service.history_age };
    Ok(match service.store {
        StoreUrl::Memory => Arc::new(Memory::new(clock, retention)),
        StoreUrl::File(dir) => Arc::new(Embedded::open(&dir, clock, retention)?),
        StoreUrl::Redis(url) => Arc::new(Redis::new(url, config.clone(), retention)),
    })
}
