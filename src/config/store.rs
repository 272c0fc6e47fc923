//! Where state is kept, and how a Redis that keeps it is reached.

use super::error::Mend;
use super::pem::{self, PemFile};
use super::reader::Section;
use super::secret::{MASK, Secret};
use super::tree::Tree;
use super::value;
use crate::model::duration;
use serde_json::{Value, json};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where Redis listens unless told otherwise.
const PORT: u16 = 6379;

/// Where Sentinel does.
const SENTINEL_PORT: u16 = 26379;

/// Where state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`: nowhere; for trying out.
    Memory,
    /// `file:DIRECTORY`: the embedded store.
    File(PathBuf),
    /// `redis://`, `rediss://`, `redis+sentinel://` or `rediss+sentinel://`.
    Redis(RedisUrl),
}

/// Where a Redis is. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl {
    /// The server, or those that know it.
    pub servers: RedisServers,
    /// The database's number.
    pub database: u32,
    /// Whether it is spoken to over TLS, Sentinel too.
    pub tls: bool,
}

/// One server, or the Sentinels that tell which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisServers {
    /// `HOST:PORT`.
    One(HostPort),
    /// `HOST:PORT,HOST:PORT/NAME`.
    Sentinel {
        /// The Sentinels, in any order.
        sentinels: Vec<HostPort>,
        /// What they call the primary.
        name: String,
    },
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// Name or address; one of IPv6 without its brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// How a Redis lets us in. A change counts from the next connection on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisAccess {
    /// `username` and `password`, of the server.
    pub login: Login,
    /// `sentinel.username` and `sentinel.password`, of the Sentinels.
    pub sentinel: Login,
    /// `ca_file`: certificate authority to trust instead of the system's (PEM file).
    pub ca_file: Option<PemFile>,
    /// `client_cert_file`: client certificate and key (one PEM file with both).
    pub client_cert_file: Option<PemFile>,
    /// `timeout`: limit for one call, connecting included. Default 2 s.
    pub timeout: Duration,
}

/// Who we say we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// An ACL user; without one, the default user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

// === impl StoreUrl ===

impl StoreUrl {
    /// Reads `url`.
    pub(super) fn read(tree: &Tree) -> Result<Self, Mend> {
        const MEND: &str = "must be file:DIRECTORY, memory:, redis://HOST:PORT/DATABASE, rediss://… \
                            (TLS), or redis+sentinel://HOST:PORT,HOST:PORT/NAME/DATABASE";
        let written = value::text(tree)?;
        match written.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            // `file:///var/lib/x` means the same directory as `file:/var/lib/x`.
            Some(("file", directory)) => match directory.strip_prefix("//").unwrap_or(directory) {
                "" => Err(MEND.into()),
                directory => Ok(Self::File(PathBuf::from(directory))),
            },
            Some((scheme, rest)) => {
                let (plain, sentinel) = match scheme.strip_suffix("+sentinel") {
                    Some(plain) => (plain, true),
                    None => (scheme, false),
                };
                let rest = rest.strip_prefix("//").ok_or(MEND)?;
                match plain {
                    "redis" => RedisUrl::read(rest, false, sentinel).map(Self::Redis),
                    "rediss" => RedisUrl::read(rest, true, sentinel).map(Self::Redis),
                    _ => Err(MEND.into()),
                }
            }
            None => Err(MEND.into()),
        }
    }

    fn redis(&self) -> Option<&RedisUrl> {
        match self {
            Self::Redis(url) => Some(url),
            Self::Memory | Self::File(_) => None,
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::File(directory) => write!(f, "file:{}", directory.display()),
            Self::Redis(url) => url.fmt(f),
        }
    }
}

// === impl RedisUrl ===

impl RedisUrl {
    /// Reads what stands behind `//`.
    fn read(rest: &str, tls: bool, sentinel: bool) -> Result<Self, Mend> {
        if rest.contains('@') {
            let mend = "holds a user; use the fields `username` and `password_file` beside it";
            return Err(mend.into());
        }
        if rest.contains(['?', '#']) {
            return Err("must end with the database; `?` and `#` have no meaning here".into());
        }
        let mut parts = rest.split('/');
        let hosts = parts.next().unwrap_or_default();
        let servers = if sentinel {
            let sentinels = hosts.split(',').map(|host| HostPort::read(host, SENTINEL_PORT));
            let name = parts.next().filter(|name| !name.is_empty());
            RedisServers::Sentinel {
                sentinels: sentinels.collect::<Result<_, _>>()?,
                name: name
                    .ok_or("must name the primary behind the Sentinels: /NAME/DATABASE")?
                    .to_owned(),
            }
        } else {
            RedisServers::One(HostPort::read(hosts, PORT)?)
        };
        let database = match parts.next() {
            None | Some("") => Some(0),
            Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse().ok(),
            Some(_) => None,
        };
        match (database, parts.next()) {
            // Redis counts them with a signed number.
            (Some(database), None) if i32::try_from(database).is_ok() => {
                Ok(Self { servers, database, tls })
            }
            _ => Err("must end with the database's number, such as /0".into()),
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        match &self.servers {
            RedisServers::One(server) => write!(f, "{scheme}://{server}/{}", self.database),
            RedisServers::Sentinel { sentinels, name } => {
                let sentinels: Vec<String> = sentinels.iter().map(ToString::to_string).collect();
                write!(f, "{scheme}+sentinel://{}/{name}/{}", sentinels.join(","), self.database)
            }
        }
    }
}

// === impl HostPort ===

impl HostPort {
    fn read(text: &str, port: u16) -> Result<Self, Mend> {
        const MEND: &str = "must name hosts such as redis:6379, 10.0.0.1 or [::1]:6379";
        let (host, rest) = match text.strip_prefix('[') {
            Some(inner) => inner.split_once(']').ok_or(MEND)?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match rest.strip_prefix(':') {
            Some(digits) => digits.parse().ok().filter(|port| *port > 0),
            None if rest.is_empty() => Some(port),
            None => None,
        };
        let right = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let host = Some(host).filter(|host| !host.is_empty() && host.chars().all(right));
        match (host, port) {
            (Some(host), Some(port)) => Ok(Self { host: host.to_owned(), port }),
            _ => Err(MEND.into()),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

// === impl RedisAccess ===

impl Default for RedisAccess {
    fn default() -> Self {
        Self {
            login: Login::default(),
            sentinel: Login::default(),
            ca_file: None,
            client_cert_file: None,
            timeout: Duration::from_secs(2),
        }
    }
}

impl RedisAccess {
    /// Reads the fields beside `url`. Those that would do nothing with this address are refused: whoever
    /// names an authority believes that the line is encrypted.
    pub(super) fn read(s: &mut Section<'_>, url: &StoreUrl, claim_ttl: Duration) -> Self {
        let base = Self::default();
        let redis = url.redis();
        let has_sentinel =
            redis.is_some_and(|url| matches!(url.servers, RedisServers::Sentinel { .. }));
        let is_known = !s.is_refused(&s.path_of("url"));
        let use_of = |has_use: bool, scheme| (is_known && !has_use).then_some(scheme);
        let login = Login::read(s, use_of(redis.is_some(), "redis://"));
        let sentinel = use_of(has_sentinel, "redis+sentinel://");
        let sentinel = s.section("sentinel", |s| Login::read(s, sentinel));
        let ca_file = PemFile::read(s, "ca_file", pem::authorities);
        let client_cert_file = PemFile::read(s, "client_cert_file", pem::identity);
        let tls = use_of(redis.is_some_and(|url| url.tls), "rediss://");
        refuse_useless(s, &["ca_file", "client_cert_file"], tls);
        let timeout = s.take("timeout", value::lasting).unwrap_or(base.timeout);
        let told = [timeout, claim_ttl].map(duration::format);
        let mend = format!(
            "`timeout` ({}) must be at most half of `claim_ttl` ({}), or one slow call loses the claim",
            told[0], told[1]
        );
        s.check(redis.is_none() || timeout * 2 <= claim_ttl, ["timeout", "claim_ttl"], mend);
        Self { login, sentinel, ca_file, client_cert_file, timeout }
    }

    /// Adds its fields to a section that is written out.
    pub(super) fn write(&self, fields: &mut Value) {
        self.login.write(fields);
        fields["sentinel"] = json!({});
        self.sentinel.write(&mut fields["sentinel"]);
        let path = |file: &Option<PemFile>| json!(file.as_ref().map(|file| &file.path));
        fields["ca_file"] = path(&self.ca_file);
        fields["client_cert_file"] = path(&self.client_cert_file);
        fields["timeout"] = json!(duration::format(self.timeout));
    }
}

// === impl Login ===

impl Login {
    fn read(s: &mut Section<'_>, useless: Option<&str>) -> Self {
        let login = Self {
            username: s.take("username", value::text),
            password: s.secret("password", |_| Ok(())),
        };
        if useless.is_some() {
            refuse_useless(s, &["username", "password", "password_file"], useless);
        } else if login.username.is_some() && !s.is_set("password") && !s.is_set("password_file") {
            s.refuse("password", "must be set, or `password_file`".into());
        }
        login
    }

    fn write(&self, fields: &mut Value) {
        fields["username"] = json!(self.username);
        fields["password"] = json!(self.password.as_ref().map(|_| MASK));
    }
}

/// Refuses those of these fields that are set, where only another address would have a use for them.
fn refuse_useless(s: &Section<'_>, names: &[&str], scheme: Option<&str>) {
    let Some(scheme) = scheme else { return };
    for name in names.iter().filter(|name| s.is_set(name)) {
        s.refuse(name, format!("has no use without a `store.url` of {scheme}").into());
    }
}
