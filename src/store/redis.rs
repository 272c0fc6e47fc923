//! The store that several replicas share: Redis, alone or behind Sentinel.
//!
//! What must be one act is one Lua script (`redis/*.lua`), which asks the claim and the time by the server's own
//! clock. All keys of a cluster share a hash tag. Records are JSON, as in the embedded store. `docs/redis.md` has
//! the keys, and what happens at each fault.

mod copy;
mod fault;
mod keys;
mod link;
mod primary;
mod record;
mod script;
mod wake;

use self::keys::Kind;
use self::link::Link;
use self::record::Recorder;
use self::wake::Wakes;
use super::{Dump, Error, HistoryQuery, Result, Retention, Store, Wake, after};
use crate::config::{Config, RedisUrl};
use crate::model::{self, Changes, Claim, ClusterName, Entry, Intent, Signal, Token, Worker};
use async_trait::async_trait;
use jiff::Timestamp;
use redis::ScriptInvocation;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The order in which this process sends commits. A new claim begins anew, whatever process it is for.
static ORDER: AtomicU64 = AtomicU64::new(1);

/// A store in Redis. Another one for the same database is another replica's.
#[derive(Debug)]
pub struct Redis {
    link: Link,
    /// Who we are to other replicas' wakes.
    name: String,
    recorder: Recorder,
    wakes: Wakes,
    retention: Retention,
    /// Claims with a commit whose answer did not come: it may still be on its way.
    unsettled: Mutex<BTreeMap<ClusterName, Claim>>,
}

impl Redis {
    /// A store at this address. Nothing is connected yet, so a Redis that is away is no error here.
    /// Credentials, certificates and the time limit are read from the configuration at each connection.
    pub fn new(url: RedisUrl, config: watch::Receiver<Arc<Config>>, retention: Retention) -> Self {
        let name = format!("{:016x}", rand::random::<u64>());
        Self {
            link: Link::new(url, config),
            recorder: Recorder::new(name.clone()),
            name,
            wakes: Wakes::default(),
            retention,
            unsettled: Mutex::default(),
        }
    }

    /// Sees to it that no commit whose answer did not come is done after this: what is read next would be
    /// without it.
    async fn settle(&self, cluster: &ClusterName) -> Result<()> {
        let Some(claim) = self.unsettled().get(cluster).cloned() else { return Ok(()) };
        let mut call = script::SETTLE.prepare_invoke();
        call.key(Kind::Schema.key(cluster)).key(Kind::Claim.key(cluster));
        call.arg(claim.token.0).arg(next_order());
        let _: u64 = self.link.run(&call).await?;
        self.unsettled().remove(cluster);
        Ok(())
    }

    async fn read(&self, cluster: &ClusterName, kinds: &[Kind]) -> Result<Vec<Vec<String>>> {
        let mut call = script::LOAD.prepare_invoke();
        call.key(Kind::Schema.key(cluster));
        for kind in kinds {
            call.key(kind.key(cluster));
        }
        Ok(self.link.run(&call).await?)
    }

    fn unsettled(&self) -> MutexGuard<'_, BTreeMap<ClusterName, Claim>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Redis {
    async fn now(&self) -> Result<Timestamp> {
        let limit = self.link.timeout();
        let ask = async |mut connection| redis::cmd("TIME").query_async(&mut connection).await;
        let (seconds, micros): (i64, i64) = self.link.ask(limit, ask).await?;
        micros_since_1970(seconds.saturating_mul(1_000_000).saturating_add(micros))
    }

    /// Only a write shows that writes are taken.
    async fn ready(&self) -> Result<()> {
        let limit = self.link.timeout();
        // Of all that sets, this also fails where the key is another program's, and changes nothing then.
        let set = ["HSET", keys::READY, "by", &self.name];
        let ask = async |mut connection| {
            redis::cmd(set[0]).arg(&set[1..]).query_async(&mut connection).await
        };
        let _: i64 = self.link.ask(limit, ask).await?;
        Ok(())
    }

    async fn claim(
        &self,
        cluster: &ClusterName,
        holder: &str,
        ttl: Duration,
        past: Token,
    ) -> Result<Claim> {
        let mut call = script::TAKE.prepare_invoke();
        after(past)?;
        claim_keys(&mut call, cluster).arg(holder).arg(micros(ttl)).arg(past.0);
        let (word, told, expires): (String, String, i64) = self.link.run(&call).await?;
        let expires = micros_since_1970(expires)?;
        if word == "held" {
            return Err(Error::Held { holder: told, until: expires });
        }
        let token = Token(told.parse().map_err(|_| strange("a token that is no number"))?);
        if token > Token::LAST {
            after(token)?;
        }
        let (cluster, holder) = (cluster.clone(), holder.to_owned());
        Ok(Claim { cluster, holder, token, expires })
    }

    async fn renew(&self, claim: &Claim, ttl: Duration) -> Result<Claim> {
        let mut call = script::RENEW.prepare_invoke();
        claim_keys(&mut call, &claim.cluster);
        call.arg(claim.token.0).arg(&claim.holder).arg(micros(ttl));
        let expires: Option<i64> = self.link.run(&call).await?;
        let expires = expires.ok_or(Error::Fenced { token: claim.token })?;
        Ok(Claim { expires: micros_since_1970(expires)?, ..claim.clone() })
    }

    async fn release(&self, claim: &Claim) -> Result<()> {
        let mut call = script::RELEASE.prepare_invoke();
        claim_keys(&mut call, &claim.cluster).arg(claim.token.0).arg(&claim.holder);
        call.arg(keys::wakes(self.link.url().database)).arg(&self.name);
        current(self.link.run(&call).await?, claim)
    }

    async fn load(&self, cluster: &ClusterName) -> Result<model::Memory> {
        self.settle(cluster).await?;
        let kinds = [Kind::Workers, Kind::Intents, Kind::Pools, Kind::Cluster, Kind::Claim];
        let found = self.read(cluster, &kinds).await?;
        let [workers, intents, pools, own, claim, life] =
            found.try_into().map_err(|_| strange("more or less than was asked"))?;
        let (life, forgot) = (life.into_iter().next(), forgot(&claim)?);
        Ok(model::Memory { life, forgot, ..memory(cluster, [workers, intents, pools, own])? })
    }

    async fn commit(&self, claim: &Claim, changes: &Changes) -> Result<()> {
        let mut call = script::COMMIT.prepare_invoke();
        for kind in Kind::ALL {
            call.key(kind.key(&claim.cluster));
        }
        call.arg(claim.token.0).arg(&claim.holder).arg(next_order());
        call.arg(self.retention.entries).arg(micros(self.retention.age));
        call.arg(Retention::DROPS_PER_COMMIT);
        write_changes(&mut call, changes);
        let outcome = self.link.run(&call).await;
        if outcome.as_ref().is_err_and(|fault| fault.is_open) {
            self.unsettled().insert(claim.cluster.clone(), claim.clone());
        }
        current(outcome?, claim)
    }

    async fn record_signals(&self, signals: &[Signal]) -> Result<()> {
        if signals.is_empty() {
            return Ok(());
        }
        self.recorder.record(&self.link, signals).await
    }

    async fn signals(&self, cluster: &ClusterName) -> Result<Vec<Signal>> {
        let found = self.read(cluster, &[Kind::Signals]).await?;
        let signals = found.into_iter().next().unwrap_or_default();
        let signals = records(Kind::Signals, cluster, signals)?;
        Ok(signals.into_iter().map(|(_, signal)| signal).collect())
    }

    async fn history(&self, cluster: &ClusterName, query: &HistoryQuery) -> Result<Vec<Entry>> {
        let largest = query.before.map_or(u64::MAX, |before| before.saturating_sub(1));
        // Redis takes no entries to mean all of them, and counts them with a signed number.
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut call = script::HISTORY.prepare_invoke();
        call.key(Kind::Schema.key(cluster)).key(Kind::History.key(cluster));
        let found: Vec<String> = self.link.run(call.arg(largest).arg(limit)).await?;
        let key = Kind::History.key(cluster);
        let entry = |pair: &[String]| {
            let id = pair[0].parse().map_err(|_| strange("an entry whose number is none"))?;
            Ok(Entry { id, ..parse(&key, &pair[0], &pair[1])? })
        };
        found.chunks_exact(2).map(entry).collect()
    }

    async fn dump(&self, cluster: &ClusterName) -> Result<Dump> {
        copy::dump(&self.link, cluster).await
    }

    async fn restore(&self, cluster: &ClusterName, dump: &Dump) -> Result<()> {
        copy::restore(&self.link, cluster, dump).await
    }

    async fn wake(&self) -> Wake {
        self.wakes.next(&self.link, &self.name).await
    }
}

fn claim_keys<'c, 's>(
    call: &'c mut ScriptInvocation<'s>,
    cluster: &ClusterName,
) -> &'c mut ScriptInvocation<'s> {
    call.key(Kind::Schema.key(cluster)).key(Kind::Claim.key(cluster))
}

/// The changes as `commit.lua` takes them.
fn write_changes(call: &mut ScriptInvocation<'_>, changes: &Changes) {
    let mut put = |kind: Kind, id: &str, record: String| {
        call.arg("put").arg(kind.number()).arg(id).arg(record);
    };
    for worker in &changes.workers {
        put(Kind::Workers, worker.id.as_str(), json(worker));
    }
    for intent in &changes.intents {
        put(Kind::Intents, intent.request.batch.as_str(), json(intent));
    }
    for (pool, memory) in &changes.pools {
        put(Kind::Pools, pool.as_str(), json(memory));
    }
    let mut drop = |kind: Kind, id: &str| {
        call.arg("drop").arg(kind.number()).arg(id);
    };
    for worker in &changes.forget_workers {
        drop(Kind::Workers, worker.as_str());
    }
    for batch in &changes.settled {
        drop(Kind::Intents, batch.as_str());
    }
    if let Some(memory) = &changes.cluster {
        call.arg("cluster").arg(json(memory));
    }
    for (id, last_seen) in &changes.forget_signals {
        call.arg("forget").arg(id.as_str()).arg(last_seen.to_string());
    }
    for entry in &changes.history {
        call.arg("entry").arg(micros_of(entry.at)).arg(json(entry));
    }
}

/// Memory from the records of workers, intents, pools and the cluster.
fn memory(cluster: &ClusterName, found: [Vec<String>; 4]) -> Result<model::Memory> {
    let [workers, intents, pools, own] = found;
    let workers: Vec<(String, Worker)> = records(Kind::Workers, cluster, workers)?;
    let intents: Vec<(String, Intent)> = records(Kind::Intents, cluster, intents)?;
    let pools = records(Kind::Pools, cluster, pools)?;
    let own = own.first().map(|record| parse(&Kind::Cluster.key(cluster), "", record));
    Ok(model::Memory {
        workers: workers.into_iter().map(|(_, it)| (it.id.clone(), it)).collect(),
        intents: intents.into_iter().map(|(_, it)| (it.request.batch.clone(), it)).collect(),
        pools: pools.into_iter().map(|(name, it)| (name.as_str().into(), it)).collect(),
        cluster: own.transpose()?.unwrap_or_default(),
        life: None,
        forgot: None,
    })
}

/// When the store was last found to have forgotten, of the claim's fields and values.
fn forgot(claim: &[String]) -> Result<Option<Timestamp>> {
    let told = claim.chunks_exact(2).find(|pair| pair[0] == "forgot");
    let micros = told.map(|pair| pair[1].parse().map_err(|_| strange("a time that is none")));
    micros.transpose()?.map(micros_since_1970).transpose()
}

/// The records of a hash, by their ids in order. One that cannot be read fails the whole: a worker left out would
/// be a worker that is not there.
fn records<T: DeserializeOwned>(
    kind: Kind,
    cluster: &ClusterName,
    found: Vec<String>,
) -> Result<Vec<(String, T)>> {
    let key = kind.key(cluster);
    let mut found = found.into_iter();
    let mut records = BTreeMap::new();
    while let (Some(id), Some(record)) = (found.next(), found.next()) {
        let record = parse(&key, &id, &record)?;
        records.insert(id, record);
    }
    Ok(records.into_iter().collect())
}

fn current(done: u64, claim: &Claim) -> Result<()> {
    if done == 1 { Ok(()) } else { Err(Error::Fenced { token: claim.token }) }
}

fn next_order() -> u64 {
    ORDER.fetch_add(1, Ordering::Relaxed)
}

fn micros(span: Duration) -> u64 {
    // Above this nothing is exact in Lua, and no time to live of ours is above a year.
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX).min(1 << 52)
}

fn micros_of(at: Timestamp) -> i64 {
    at.as_microsecond()
}

fn micros_since_1970(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| strange("a time that is none"))
}

fn strange(what: &str) -> Error {
    Error::Unreadable(format!("redis answered with {what}; a newer version may have written it"))
}

fn parse<T: DeserializeOwned>(key: &str, id: &str, record: &str) -> Result<T> {
    serde_json::from_str(record).map_err(|error| {
        Error::Unreadable(format!(
            "record {id:?} of key {key} in redis is of no kind we know ({error}); a newer version may have \
             written it, or another program uses this database (store.url)"
        ))
    })
}

fn json(record: &impl Serialize) -> String {
    serde_json::to_string(record).expect("records are plain data with text keys")
}
