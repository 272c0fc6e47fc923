//! Reading and writing all that is kept of a cluster.

use super::file::broken;
use super::tables::{self, CLAIMS, LAST_ENTRY, Outcome, Refusal, Tables, json};
use crate::model::{ClusterName, Entry};
use crate::store::holding::Holding;
use crate::store::{Dump, Error, HistoryQuery, Result};
use redb::{ReadTransaction, ReadableTable as _};

/// All that is kept of a cluster, of one moment.
pub(super) fn dump(at: &ReadTransaction, cluster: &ClusterName) -> Result<Dump> {
    let name = cluster.as_str();
    let holding: Option<Holding> = match tables::open(at, CLAIMS)? {
        Some(table) => tables::one(&table, "claims", name)?,
        None => None,
    };
    let last_entry: Option<u64> = match tables::open(at, LAST_ENTRY)? {
        Some(table) => tables::one(&table, "last_entry", name)?,
        None => None,
    };
    let query = HistoryQuery { limit: usize::MAX, before: None };
    let mut history: Vec<Entry> = tables::history(at, cluster, &query)?;
    history.reverse();
    Ok(Dump {
        token: holding.unwrap_or_default().last(),
        last_entry: last_entry.unwrap_or_default(),
        memory: tables::load(at, cluster)?,
        signals: tables::signals(at, cluster)?,
        history,
    })
}

impl Tables<'_> {
    /// Writes a dump of a cluster of which nothing is kept.
    pub(super) fn restore(&mut self, cluster: &ClusterName, dump: &Dump) -> Outcome<()> {
        let name = cluster.as_str();
        if self.keeps(name)? {
            return Err(Refusal::This(Error::Occupied { cluster: cluster.clone() }));
        }
        self.hold(cluster, &Holding::given(dump.token))?;
        self.last_entry.insert(name, json(&dump.last_entry).as_str())?;
        self.cluster.insert(name, json(&dump.memory.cluster).as_str())?;
        for signal in &dump.signals {
            self.signals.insert((name, signal.id.as_str()), json(signal).as_str())?;
        }
        for (id, worker) in &dump.memory.workers {
            self.workers.insert((name, id.as_str()), json(worker).as_str())?;
        }
        for (batch, intent) in &dump.memory.intents {
            self.intents.insert((name, batch.as_str()), json(intent).as_str())?;
        }
        for (pool, memory) in &dump.memory.pools {
            self.pools.insert((name, pool.as_str()), json(memory).as_str())?;
        }
        for entry in &dump.history {
            self.history.insert((name, entry.id), json(entry).as_str())?;
        }
        Ok(())
    }

    /// Whether anything is kept of a cluster: all but signals come with a claim, whose token stays.
    fn keeps(&self, name: &str) -> Outcome<bool> {
        if self.claims.get(name)?.is_some() || self.last_entry.get(name)?.is_some() {
            return Ok(true);
        }
        let signals = self.signals.range((name, "")..).map_err(broken)?.next();
        Ok(signals.transpose()?.is_some_and(|(key, _)| key.value().0 == name))
    }
}
