//! The default store: one file in a directory, written by group commit.
//!
//! Writers queue up; one of them becomes the leader, takes all that wait into one transaction,
//! and answers each only after that transaction is on disk. So the cost of a sync is shared by
//! everyone who came while the last one ran. Readers see the last committed state and never wait
//! for a writer. Records are JSON under text keys, so that a damaged store can be read by people.

mod copy;
mod file;
mod queue;
mod tables;

use self::file::Opened;
use self::queue::{Queue, Write};
use super::holding::Bid;
use super::{Dump, Error, HistoryQuery, Result, Retention, Store};
use crate::clock::Clock;
use crate::model::{self, Changes, Claim, ClusterName, Entry, Signal, Token};
use async_trait::async_trait;
use jiff::Timestamp;
use redb::ReadTransaction;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The embedded store. A clone is another handle on the same open file.
#[derive(Clone)]
pub struct Embedded {
    clock: Clock,
    file: Arc<Opened>,
    queue: Queue,
}

impl Embedded {
    /// Opens the store in `dir`, making both where there is none. A file that is there is never
    /// replaced: one that cannot be read is [`Error::Unreadable`], one that another process has
    /// open is [`Error::Away`].
    pub fn open(dir: &Path, clock: Clock, retention: Retention) -> Result<Self> {
        let file = Arc::new(Opened::open(dir)?);
        let queue = Queue::new(&file, clock, retention);
        Ok(Self { clock, file, queue })
    }

    /// Reads on a thread that may block: pages come from the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let file = Arc::clone(&self.file);
        let reading = tokio::task::spawn_blocking(move || file.read(read));
        reading.await.map_err(|error| Error::Away(format!("reading was cut short: {error}")))?
    }

    async fn write(&self, write: Write) -> Result<Option<Claim>> {
        self.queue.write(write).await
    }

    async fn write_claim(&self, write: Write) -> Result<Claim> {
        let claim = self.write(write).await?;
        claim.ok_or_else(|| Error::Away("the writer gave no claim".to_owned()))
    }
}

#[async_trait]
impl Store for Embedded {
    async fn now(&self) -> Result<Timestamp> {
        Ok(self.clock.now())
    }

    /// As the last write found it: whoever has the claim writes every few seconds.
    async fn ready(&self) -> Result<()> {
        let file = Arc::clone(&self.file);
        let asking = tokio::task::spawn_blocking(move || file.failure());
        asking.await.map_err(|error| Error::Away(format!("asking was cut short: {error}")))?
    }

    async fn claim(
        &self,
        cluster: &ClusterName,
        holder: &str,
        ttl: Duration,
        past: Token,
    ) -> Result<Claim> {
        let bid = Bid { cluster: cluster.clone(), holder: holder.to_owned(), ttl, past };
        self.write_claim(Write::Take(bid)).await
    }

    async fn renew(&self, claim: &Claim, ttl: Duration) -> Result<Claim> {
        self.write_claim(Write::Renew { claim: claim.clone(), ttl }).await
    }

    async fn release(&self, claim: &Claim) -> Result<()> {
        self.write(Write::Release { claim: claim.clone() }).await.map(drop)
    }

    async fn load(&self, cluster: &ClusterName) -> Result<model::Memory> {
        let cluster = cluster.clone();
        self.read(move |at| tables::load(at, &cluster)).await
    }

    async fn commit(&self, claim: &Claim, changes: &Changes) -> Result<()> {
        let (claim, changes) = (claim.clone(), Box::new(changes.clone()));
        self.write(Write::Commit { claim, changes }).await.map(drop)
    }

    async fn record_signals(&self, signals: &[Signal]) -> Result<()> {
        if signals.is_empty() {
            return Ok(());
        }
        self.write(Write::Signals(signals.to_vec())).await.map(drop)
    }

    async fn signals(&self, cluster: &ClusterName) -> Result<Vec<Signal>> {
        let cluster = cluster.clone();
        self.read(move |at| tables::signals(at, &cluster)).await
    }

    async fn history(&self, cluster: &ClusterName, query: &HistoryQuery) -> Result<Vec<Entry>> {
        let (cluster, query) = (cluster.clone(), query.clone());
        self.read(move |at| tables::history(at, &cluster, &query)).await
    }

    async fn dump(&self, cluster: &ClusterName) -> Result<Dump> {
        let cluster = cluster.clone();
        self.read(move |at| copy::dump(at, &cluster)).await
    }

    async fn restore(&self, cluster: &ClusterName, dump: &Dump) -> Result<()> {
        let (cluster, dump) = (cluster.clone(), Box::new(dump.clone()));
        self.write(Write::Restore { cluster, dump }).await.map(drop)
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("file", &self.file).finish_non_exhaustive()
    }
}
