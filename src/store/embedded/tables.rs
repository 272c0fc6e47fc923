//! The tables, and what each write does to them. JSON under text keys.

use super::file::broken;
use super::queue::Write;
use crate::model::{
    Changes, Claim, ClusterMemory, ClusterName, Entry, Intent, Memory, Signal, SignalId, Worker,
};
use crate::store::holding::Holding;
use crate::store::{Error, HistoryQuery, Result, Retention};
use jiff::Timestamp;
use redb::{
    Key, ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, TableError,
    WriteTransaction,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Records of a cluster: (cluster, id) to JSON. The two parts of a key are kept apart by the file,
/// so no name can reach into another's records.
type Records = TableDefinition<'static, (&'static str, &'static str), &'static str>;
/// One record per cluster.
type PerCluster = TableDefinition<'static, &'static str, &'static str>;
type RecordsTable<'t> = Table<'t, (&'static str, &'static str), &'static str>;
type PerClusterTable<'t> = Table<'t, &'static str, &'static str>;
type HistoryTable<'t> = Table<'t, (&'static str, u64), &'static str>;

/// About the file itself.
pub(super) const META: PerCluster = TableDefinition::new("meta");
pub(super) const CLAIMS: PerCluster = TableDefinition::new("claims");
const SIGNALS: Records = TableDefinition::new("signals");
const WORKERS: Records = TableDefinition::new("workers");
const INTENTS: Records = TableDefinition::new("intents");
const POOLS: Records = TableDefinition::new("pools");
const CLUSTER: PerCluster = TableDefinition::new("cluster");
const HISTORY: TableDefinition<'static, (&str, u64), &str> = TableDefinition::new("history");
/// The number of the last entry; it outlives the entry, so that numbers never come again.
pub(super) const LAST_ENTRY: PerCluster = TableDefinition::new("last_entry");

/// Why a write was not done.
pub(super) enum Refusal {
    /// This write only, which has changed nothing: the transaction may go on.
    This(Error),
    /// The file failed: nothing of the transaction may be kept.
    All(Error),
}

pub(super) type Outcome<T> = std::result::Result<T, Refusal>;

/// All tables, open for writing.
pub(super) struct Tables<'t> {
    pub(super) claims: PerClusterTable<'t>,
    pub(super) signals: RecordsTable<'t>,
    pub(super) workers: RecordsTable<'t>,
    pub(super) intents: RecordsTable<'t>,
    pub(super) pools: RecordsTable<'t>,
    pub(super) cluster: PerClusterTable<'t>,
    pub(super) history: HistoryTable<'t>,
    pub(super) last_entry: PerClusterTable<'t>,
}

/// The part of an entry that pruning needs; what else it says may be newer than we are.
#[derive(Deserialize)]
struct Aged {
    at: Timestamp,
}

impl<'t> Tables<'t> {
    pub(super) fn open(at: &'t WriteTransaction) -> Result<Self> {
        Ok(Self {
            claims: at.open_table(CLAIMS).map_err(broken)?,
            signals: at.open_table(SIGNALS).map_err(broken)?,
            workers: at.open_table(WORKERS).map_err(broken)?,
            intents: at.open_table(INTENTS).map_err(broken)?,
            pools: at.open_table(POOLS).map_err(broken)?,
            cluster: at.open_table(CLUSTER).map_err(broken)?,
            history: at.open_table(HISTORY).map_err(broken)?,
            last_entry: at.open_table(LAST_ENTRY).map_err(broken)?,
        })
    }

    /// Does one write. Every part of it that can be refused comes before the first change.
    pub(super) fn apply(
        &mut self,
        write: Write,
        retention: &Retention,
        now: Timestamp,
    ) -> Outcome<Option<Claim>> {
        match write {
            Write::Take(bid) => {
                let mut holding = self.holding(&bid.cluster)?;
                let claim = holding.take(&bid, now)?;
                self.hold(&bid.cluster, &holding)?;
                Ok(Some(claim))
            }
            Write::Renew { claim, ttl } => {
                let mut holding = self.holding(&claim.cluster)?;
                let renewed = holding.renew(&claim, ttl, now)?;
                self.hold(&claim.cluster, &holding)?;
                Ok(Some(renewed))
            }
            Write::Release { claim } => {
                let mut holding = self.holding(&claim.cluster)?;
                holding.release(&claim, now)?;
                self.hold(&claim.cluster, &holding)?;
                Ok(None)
            }
            Write::Commit { claim, changes } => {
                self.holding(&claim.cluster)?.check(&claim, now)?;
                self.commit(claim.cluster.as_str(), &changes, retention, now)?;
                Ok(None)
            }
            Write::Signals(signals) => self.merge(signals).map(|()| None),
            Write::Restore { cluster, dump } => self.restore(&cluster, &dump).map(|()| None),
        }
    }

    fn holding(&self, cluster: &ClusterName) -> Outcome<Holding> {
        Ok(one(&self.claims, "claims", cluster.as_str())?.unwrap_or_default())
    }

    pub(super) fn hold(&mut self, cluster: &ClusterName, holding: &Holding) -> Outcome<()> {
        self.claims.insert(cluster.as_str(), json(holding).as_str())?;
        Ok(())
    }

    fn merge(&mut self, signals: Vec<Signal>) -> Outcome<()> {
        // All are read before one is written: a stored one that cannot be read refuses the whole.
        let mut merged: BTreeMap<(ClusterName, SignalId), Signal> = BTreeMap::new();
        for signal in signals {
            let key = (signal.cluster.clone(), signal.id.clone());
            let known = match merged.remove(&key) {
                Some(known) => Some(known),
                None => self.signal(key.0.as_str(), key.1.as_str())?,
            };
            let whole = match known {
                Some(known) => known.merge(signal),
                None => signal,
            };
            merged.insert(key, whole);
        }
        for ((cluster, id), signal) in &merged {
            self.signals.insert((cluster.as_str(), id.as_str()), json(signal).as_str())?;
        }
        Ok(())
    }

    fn signal(&self, cluster: &str, id: &str) -> Outcome<Option<Signal>> {
        Ok(one(&self.signals, "signals", (cluster, id))?)
    }

    fn commit(
        &mut self,
        cluster: &str,
        changes: &Changes,
        retention: &Retention,
        now: Timestamp,
    ) -> Outcome<()> {
        let mut last: u64 = one(&self.last_entry, "last_entry", cluster)?.unwrap_or_default();
        let mut forget = Vec::new();
        for (id, last_seen) in &changes.forget_signals {
            let stored = self.signal(cluster, id.as_str())?;
            if stored.is_some_and(|signal| signal.last_seen == *last_seen) {
                forget.push(id.as_str());
            }
        }
        for id in forget {
            self.signals.remove((cluster, id))?;
        }
        self.commit_records(cluster, changes)?;
        for entry in &changes.history {
            last += 1;
            let entry = Entry { id: last, ..entry.clone() };
            self.history.insert((cluster, last), json(&entry).as_str())?;
        }
        if !changes.history.is_empty() {
            self.last_entry.insert(cluster, json(&last).as_str())?;
        }
        self.prune(cluster, last, retention, now)
    }

    fn commit_records(&mut self, cluster: &str, changes: &Changes) -> Outcome<()> {
        for worker in &changes.workers {
            self.workers.insert((cluster, worker.id.as_str()), json(worker).as_str())?;
        }
        for worker in &changes.forget_workers {
            self.workers.remove((cluster, worker.as_str()))?;
        }
        for intent in &changes.intents {
            let key = (cluster, intent.request.batch.as_str());
            self.intents.insert(key, json(intent).as_str())?;
        }
        for batch in &changes.settled {
            self.intents.remove((cluster, batch.as_str()))?;
        }
        for (pool, memory) in &changes.pools {
            self.pools.insert((cluster, pool.as_str()), json(memory).as_str())?;
        }
        if let Some(memory) = &changes.cluster {
            self.cluster.insert(cluster, json(memory).as_str())?;
        }
        Ok(())
    }

    /// Drops the oldest entries that are too many or too old. Numbers have no gaps, so the first
    /// and the last tell how many there are.
    fn prune(
        &mut self,
        cluster: &str,
        last: u64,
        retention: &Retention,
        now: Timestamp,
    ) -> Outcome<()> {
        let mut ended = Vec::new();
        for entry in self.history.range((cluster, 0)..=(cluster, last))? {
            let (key, value) = entry?;
            let number = key.value().1;
            let at = serde_json::from_str::<Aged>(value.value()).ok().map(|entry| entry.at);
            if ended.len() == Retention::DROPS_PER_COMMIT
                || !retention.ends(last - number + 1, at, now)
            {
                break;
            }
            ended.push(number);
        }
        for number in ended {
            self.history.remove((cluster, number))?;
        }
        Ok(())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::This(error)
    }
}

impl From<redb::StorageError> for Refusal {
    fn from(error: redb::StorageError) -> Self {
        Self::All(broken(error))
    }
}

/// All memory of a cluster.
pub(super) fn load(at: &ReadTransaction, cluster: &ClusterName) -> Result<Memory> {
    let workers: Vec<Worker> = of_cluster(at, WORKERS, cluster)?;
    let intents: Vec<Intent> = of_cluster(at, INTENTS, cluster)?;
    let memory: Option<ClusterMemory> = match open(at, CLUSTER)? {
        Some(table) => one(&table, "cluster", cluster.as_str())?,
        None => None,
    };
    let holding: Option<Holding> = match open(at, CLAIMS)? {
        Some(table) => one(&table, "claims", cluster.as_str())?,
        None => None,
    };
    Ok(Memory {
        workers: workers.into_iter().map(|worker| (worker.id.clone(), worker)).collect(),
        intents: intents.into_iter().map(|it| (it.request.batch.clone(), it)).collect(),
        pools: keyed(at, POOLS, cluster)?
            .into_iter()
            .map(|(k, v)| (k.as_str().into(), v))
            .collect(),
        cluster: memory.unwrap_or_default(),
        life: None,
        forgot: holding.and_then(|holding| holding.forgot()),
    })
}

/// The signals of a cluster.
pub(super) fn signals(at: &ReadTransaction, cluster: &ClusterName) -> Result<Vec<Signal>> {
    of_cluster(at, SIGNALS, cluster)
}

/// History of a cluster, newest first.
pub(super) fn history(
    at: &ReadTransaction,
    cluster: &ClusterName,
    query: &HistoryQuery,
) -> Result<Vec<Entry>> {
    let Some(table) = open(at, HISTORY)? else { return Ok(Vec::new()) };
    let cluster = cluster.as_str();
    let range = match query.before {
        Some(before) => table.range((cluster, 0)..(cluster, before)),
        None => table.range((cluster, 0)..=(cluster, u64::MAX)),
    };
    let newest = range.map_err(broken)?.rev().take(query.limit);
    newest
        .map(|entry| {
            let (key, value) = entry.map_err(broken)?;
            parse("history", &key.value(), value.value())
        })
        .collect()
}

fn of_cluster<T: DeserializeOwned>(
    at: &ReadTransaction,
    table: Records,
    cluster: &ClusterName,
) -> Result<Vec<T>> {
    Ok(keyed(at, table, cluster)?.into_iter().map(|(_, record)| record).collect())
}

/// All records of a cluster in one table, with their ids. One that cannot be read fails the whole:
/// a worker left out would be a worker that is not there.
fn keyed<T: DeserializeOwned>(
    at: &ReadTransaction,
    table: Records,
    cluster: &ClusterName,
) -> Result<Vec<(String, T)>> {
    let Some(opened) = open(at, table)? else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    for record in opened.range((cluster.as_str(), "")..).map_err(broken)? {
        let (key, value) = record.map_err(broken)?;
        let key = key.value();
        if key.0 != cluster.as_str() {
            break;
        }
        let name = redb::TableHandle::name(&table).to_owned();
        records.push((key.1.to_owned(), parse(&name, &key, value.value())?));
    }
    Ok(records)
}

/// Opens a table for reading; one that was never written is not there.
pub(super) fn open<K: Key + 'static>(
    at: &ReadTransaction,
    table: TableDefinition<'static, K, &'static str>,
) -> Result<Option<ReadOnlyTable<K, &'static str>>> {
    match at.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(broken(error)),
    }
}

pub(super) fn one<'k, K: Key + 'static, T: DeserializeOwned>(
    table: &impl ReadableTable<K, &'static str>,
    name: &str,
    key: K::SelfType<'k>,
) -> Result<Option<T>>
where
    K::SelfType<'k>: fmt::Debug + Clone,
{
    let Some(value) = table.get(key.clone()).map_err(broken)? else { return Ok(None) };
    parse(name, &key, value.value()).map(Some)
}

fn parse<T: DeserializeOwned>(table: &str, key: &impl fmt::Debug, value: &str) -> Result<T> {
    serde_json::from_str(value).map_err(|error| {
        Error::Unreadable(format!(
            "record {key:?} of table {table} is of no kind we know ({error}); a newer version may \
             have written it"
        ))
    })
}

pub(super) fn json(record: &impl Serialize) -> String {
    serde_json::to_string(record).expect("records are plain data with text keys")
}
