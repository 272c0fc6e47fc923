//! Which server to ask, and how it is spoken to.

use super::fault::{self, Fault, Sent};
use crate::config::{HostPort, Login, RedisAccess, RedisServers, RedisUrl};
use crate::store::Error;
use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo as _, RedisConnectionInfo, RedisResult, TlsCertificates,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// The part of a call's time that the Sentinels get: the rest is for the server that they name.
const SENTINELS_SHARE: u32 = 3;

/// A client for the server that is the primary now.
pub(super) async fn client(
    url: &RedisUrl,
    access: &RedisAccess,
    limit: Duration,
) -> Result<Client, Fault> {
    let server = match &url.servers {
        RedisServers::One(server) => server.clone(),
        RedisServers::Sentinel { sentinels, name } => {
            named(sentinels, name, url, access, limit / SENTINELS_SHARE).await?
        }
    };
    client_of(&server, &access.login, url.database, url.tls, access)
}

/// A connection that nothing of ours ends but our own time limits.
pub(super) async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Refuses a server that is no primary, which Sentinel may still name during a fail-over, and says what
/// of its settings could lose what it took.
pub(super) async fn check(
    url: &RedisUrl,
    connection: &mut MultiplexedConnection,
) -> RedisResult<()> {
    let info: String = match redis::cmd("INFO").query_async(connection).await {
        Ok(info) => info,
        // A user need not be allowed to ask; then its writes tell what it is.
        Err(error) if error.code() == Some("NOPERM") => return Ok(()),
        Err(error) => return Err(error),
    };
    let told: BTreeMap<&str, &str> = info.lines().filter_map(|line| line.split_once(':')).collect();
    let is = |name: &str, value: &str| told.get(name).is_some_and(|found| *found == value);
    if matches!(url.servers, RedisServers::Sentinel { .. }) && !is("role", "master") {
        return Err((
            redis::ErrorKind::Client,
            "the server that Sentinel names is no primary; a fail-over may be under way",
        )
            .into());
    }
    if !is("aof_enabled", "1") {
        tracing::warn!(
            section = "store",
            "redis keeps no log of its writes: what was answered can be lost with it; set appendonly yes"
        );
    } else if let Some(appendfsync) = spared(connection).await? {
        tracing::warn!(
            section = "store",
            appendfsync,
            "redis does not wait for its disk: the last second of what was answered can be lost with its machine; \
             set appendfsync always"
        );
    }
    let evicts = told.get("maxmemory_policy").is_some_and(|policy| *policy != "noeviction");
    if evicts && !is("maxmemory", "0") {
        tracing::warn!(
            section = "store",
            "redis may evict our keys when it is full; set maxmemory-policy noeviction"
        );
    }
    Ok(())
}

/// What it does instead of writing to its disk before it answers; `None` also where the user may not ask.
async fn spared(connection: &mut MultiplexedConnection) -> RedisResult<Option<String>> {
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET").arg("appendfsync");
    match ask.query_async::<Vec<String>>(connection).await {
        Ok(told) => Ok(told.into_iter().nth(1).filter(|value| value != "always")),
        // Whatever it answers: many a managed one does not have it, or not for us.
        Err(error) if error.code().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The primary that most of the Sentinels name; one that was cut off may name the last one.
async fn named(
    sentinels: &[HostPort],
    name: &str,
    url: &RedisUrl,
    access: &RedisAccess,
    limit: Duration,
) -> Result<HostPort, Fault> {
    let asked = sentinels.iter().map(|sentinel| async move {
        let client = client_of(sentinel, &access.sentinel, 0, url.tls, access)?;
        let said = |error| fault::meaning(&sentinel.to_string(), &error, Sent::No);
        let late = |_| fault::late(&sentinel.to_string(), limit, Sent::No);
        tokio::time::timeout(limit, ask(&client, name)).await.map_err(late)?.map_err(said)
    });
    let (mut votes, mut failed) = (BTreeMap::<HostPort, usize>::new(), None);
    for answer in join_all(asked).await {
        match answer {
            Ok(Some((host, port))) => *votes.entry(HostPort { host, port }).or_default() += 1,
            Ok(None) => {
                failed = Some(unnamed(format!(
                    "the Sentinels know no primary named {name}; see the name in store.url"
                )));
            }
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    let most = votes.into_iter().max_by_key(|(_, votes)| *votes);
    let none = || failed.unwrap_or_else(|| unnamed("no Sentinel answered".to_owned()));
    most.map(|(server, _)| server).ok_or_else(none)
}

fn unnamed(why: String) -> Fault {
    Fault { error: Error::Away(why), is_open: false }
}

async fn ask(client: &Client, name: &str) -> RedisResult<Option<(String, u16)>> {
    let mut connection = connect(client).await?;
    let mut ask = redis::cmd("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name).query_async(&mut connection).await
}

fn client_of(
    server: &HostPort,
    login: &Login,
    database: u32,
    tls: bool,
    access: &RedisAccess,
) -> Result<Client, Fault> {
    let said = |error| fault::meaning(&server.to_string(), &error, Sent::No);
    let info = info(server, login, database, tls).map_err(said)?;
    if !tls {
        return Client::open(info).map_err(said);
    }
    let pem = |file: &crate::config::PemFile| file.text.expose().as_bytes().to_vec();
    // Each reader takes its part out of the one file.
    let client_tls = access
        .client_cert_file
        .as_ref()
        .map(|file| ClientTlsConfig { client_cert: pem(file), client_key: pem(file) });
    let root_cert = access.ca_file.as_ref().map(pem);
    Client::build_with_tls(info, TlsCertificates { client_tls, root_cert }).map_err(said)
}

fn info(server: &HostPort, login: &Login, database: u32, tls: bool) -> RedisResult<ConnectionInfo> {
    let (host, port) = (server.host.clone(), server.port);
    let address = if tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let mut redis = RedisConnectionInfo::default().set_db(i64::from(database));
    if let Some(username) = &login.username {
        redis = redis.set_username(username);
    }
    if let Some(password) = &login.password {
        redis = redis.set_password(password.expose());
    }
    Ok(address.into_connection_info()?.set_redis_settings(redis))
}
