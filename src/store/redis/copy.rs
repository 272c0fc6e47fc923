//! Reading and writing all that is kept of a cluster.

use super::keys::Kind;
use super::link::Link;
use super::{json, memory, micros_of, parse, records, script, strange};
use crate::model::{ClusterName, Entry, Token};
use crate::store::{Dump, Error, Result};
use std::time::Duration;

/// Copies are made in quiet times, and a large history takes longer than a call may.
const LIMIT: Duration = Duration::from_mins(1);

pub(super) async fn dump(link: &Link, cluster: &ClusterName) -> Result<Dump> {
    let mut call = script::DUMP.prepare_invoke();
    for kind in Kind::ALL {
        call.key(kind.key(cluster));
    }
    let found: Vec<Vec<String>> = link.run_within(&call, LIMIT).await?;
    let [last, signals, workers, intents, pools, own, history] =
        found.try_into().map_err(|_| strange("more or less than was asked"))?;
    let number = |at: usize| last.get(at).and_then(|text| text.parse().ok());
    let numbers = number(0).zip(number(1));
    let (token, last_entry) = numbers.ok_or_else(|| strange("numbers that are none"))?;
    let key = Kind::History.key(cluster);
    let entry = |pair: &[String]| {
        let id = pair[0].parse().map_err(|_| strange("an entry whose number is none"))?;
        Ok(Entry { id, ..parse(&key, &pair[0], &pair[1])? })
    };
    Ok(Dump {
        token: Token(token),
        last_entry,
        memory: memory(cluster, [workers, intents, pools, own])?,
        signals: records(Kind::Signals, cluster, signals)?.into_iter().map(|(_, it)| it).collect(),
        history: history.chunks_exact(2).map(entry).collect::<Result<_>>()?,
    })
}

pub(super) async fn restore(link: &Link, cluster: &ClusterName, dump: &Dump) -> Result<()> {
    let mut call = script::RESTORE.prepare_invoke();
    for kind in Kind::ALL {
        call.key(kind.key(cluster));
    }
    call.arg(dump.token.0).arg(dump.last_entry);
    let mut put = |kind: Kind, id: &str, record: String| {
        call.arg("put").arg(kind.number()).arg(id).arg(record);
    };
    for signal in &dump.signals {
        put(Kind::Signals, signal.id.as_str(), json(signal));
    }
    for (id, worker) in &dump.memory.workers {
        put(Kind::Workers, id.as_str(), json(worker));
    }
    for (batch, intent) in &dump.memory.intents {
        put(Kind::Intents, batch.as_str(), json(intent));
    }
    for (name, pool) in &dump.memory.pools {
        put(Kind::Pools, name.as_str(), json(pool));
    }
    call.arg("cluster").arg(json(&dump.memory.cluster));
    for entry in &dump.history {
        call.arg("entry").arg(entry.id).arg(micros_of(entry.at)).arg(json(entry));
    }
    match link.run_within(&call, LIMIT).await? {
        1_u64 => Ok(()),
        _ => Err(Error::Occupied { cluster: cluster.clone() }),
    }
}
