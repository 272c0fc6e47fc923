//! How an HTTP service is reached: addresses, credentials, TLS, and a limit on what it may answer.
//!
//! Every address that a name resolves to is a [`Peer`] of its own, for each may say something else.
//! No redirect is followed and no proxy asked: credentials go where the configuration says.

use crate::config::{Credentials, Endpoint, PemFile};
use futures_util::future::join_all;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Identity, Method, RequestBuilder, Response, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// More than any sane answer; beyond it somebody is not who we think.
const BODY_LIMIT: usize = 32 << 20;

/// How much of a refusal is read, to say why.
const REFUSAL_LIMIT: usize = 16 << 10;

/// How much of somebody else's text an error repeats.
const SAID_LIMIT: usize = 300;

/// Why a call gave no answer that can be used. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// Nobody there, or no answer in time.
    #[error("no answer: {0}")]
    Away(String),
    /// An answer other than success.
    #[error("answered {code}{}{said}", if said.is_empty() { "" } else { ": " })]
    Status {
        /// The code.
        code: u16,
        /// Why, where it told so in JSON.
        said: String,
    },
    /// Success, but not what was asked for.
    #[error("unreadable answer: {0}")]
    Unreadable(String),
}

/// One address of a service.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its base address, without credentials; the resolved one behind it where a name has several.
    pub name: String,
    base: Url,
    client: Client,
    credentials: Option<Credentials>,
}

/// A peer, or the address that cannot be one and why.
pub type Reached = Result<Peer, (String, Error)>;

/// Chooses the crypto provider of this process; calling it again changes nothing. Several may be
/// linked through dependencies, and rustls chooses none by itself then.
pub fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The peers of one client. Names are resolved at every call; connections are kept.
#[derive(Debug)]
pub struct Peers {
    endpoint: Endpoint,
    known: Mutex<BTreeMap<(String, SocketAddr), Peer>>,
}

impl Peers {
    /// Peers of an endpoint; nothing is resolved yet.
    pub fn new(endpoint: Endpoint) -> Self {
        install_crypto();
        Self { endpoint, known: Mutex::default() }
    }

    /// Every address that each configured URL's name resolves to now, as a peer of its own. One that
    /// cannot be reached at all is an error with its URL, so there are never fewer than URLs.
    pub async fn get(&self) -> Vec<Reached> {
        let urls = &self.endpoint.urls;
        let resolved = join_all(urls.iter().map(|url| self.resolve(url))).await;
        let mut peers = Vec::new();
        for (url, resolved) in urls.iter().zip(resolved) {
            match resolved {
                Ok((base, addresses)) => {
                    self.forget_others(url, &addresses);
                    let many = addresses.len() > 1;
                    for address in addresses {
                        let name = if many { format!("{url} ({address})") } else { url.clone() };
                        peers.push(self.peer((url.clone(), address), name, &base));
                    }
                }
                Err(error) => peers.push(Err((url.clone(), error))),
            }
        }
        peers
    }

    /// One URL's addresses. A resolver that hangs counts as one that does not answer.
    async fn resolve(&self, url: &str) -> Result<(Url, Vec<SocketAddr>), Error> {
        tokio::time::timeout(self.endpoint.timeout, resolve(url))
            .await
            .unwrap_or_else(|_| Err(Error::Away("its name was not resolved in time".to_owned())))
    }

    /// Addresses come and go; their connections need not stay.
    fn forget_others(&self, url: &str, addresses: &[SocketAddr]) {
        self.lock().retain(|(of, address), _| of != url || addresses.contains(address));
    }

    fn peer(&self, key: (String, SocketAddr), name: String, base: &Url) -> Reached {
        if let Some(peer) = self.lock().get(&key).cloned() {
            return Ok(Peer { name, ..peer });
        }
        let peer = Peer::new(&self.endpoint, name.clone(), base.clone(), key.1)
            .map_err(|error| (name, error))?;
        self.lock().insert(key, peer.clone());
        Ok(peer)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, SocketAddr), Peer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn resolve(url: &str) -> Result<(Url, Vec<SocketAddr>), Error> {
    let mut base = Url::parse(url).map_err(|error| Error::Config(error.to_string()))?;
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    let host =
        base.host_str().ok_or_else(|| Error::Config("an address without a host".to_owned()))?;
    let port = base.port_or_known_default().unwrap_or(80);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| Error::Away(error.to_string()))?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(Error::Away("its name has no address".to_owned()));
    }
    Ok((base, addresses))
}

impl Peer {
    fn new(
        endpoint: &Endpoint,
        name: String,
        base: Url,
        address: SocketAddr,
    ) -> Result<Self, Error> {
        let mut builder = Client::builder()
            .timeout(endpoint.timeout)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .default_headers(headers(endpoint)?);
        if let Some(host) = base.domain() {
            builder = builder.resolve(host, address);
        }
        if let Some(file) = &endpoint.ca_file {
            let bundle = Certificate::from_pem_bundle(file.text.expose().as_bytes());
            builder = builder.tls_certs_only(bundle.map_err(|_| no_pem(file))?);
        } else if base.scheme() == "http" {
            // Plain HTTP stays so; without this the system's certificates are read, and must be there.
            builder = builder.tls_certs_only([]);
        }
        if let Some(file) = &endpoint.client_cert_file {
            let identity = Identity::from_pem(file.text.expose().as_bytes());
            builder = builder.identity(identity.map_err(|_| no_pem(file))?);
        }
        let client = builder.build().map_err(unusable)?;
        Ok(Self { name, base, client, credentials: endpoint.credentials.clone() })
    }

    /// A request to a path below the base address.
    pub fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Error> {
        let url = self
            .base
            .join(path.trim_start_matches('/'))
            .map_err(|error| Error::Config(error.to_string()))?;
        let request = self.client.request(method, url);
        Ok(match &self.credentials {
            None => request,
            Some(Credentials::Bearer(token)) => request.bearer_auth(token.expose()),
            Some(Credentials::Basic { username, password }) => {
                request.basic_auth(username, Some(password.expose()))
            }
        })
    }

    /// `GET`, with a JSON answer.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        let body = send(self.request(Method::GET, path)?.query(query)).await?;
        json(&body)
    }
}

/// Sends a request; the body of a successful answer, bounded.
pub async fn send(request: RequestBuilder) -> Result<Vec<u8>, Error> {
    let mut answer = request.send().await.map_err(away)?;
    let status = answer.status();
    if status.is_success() {
        return body(&mut answer, BODY_LIMIT).await;
    }
    let refusal = body(&mut answer, REFUSAL_LIMIT).await.unwrap_or_default();
    Err(Error::Status { code: status.as_u16(), said: said(&refusal) })
}

/// Reads JSON; an error says where it broke off.
pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Unreadable(short(&error.to_string())))
}

/// Somebody else's text, cut to what fits into a line.
pub fn short(text: &str) -> String {
    text.chars().take(SAID_LIMIT).collect()
}

async fn body(answer: &mut Response, limit: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(away)? {
        if body.len() + chunk.len() > limit {
            return Err(Error::Unreadable(format!("more than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Why it refused: Prometheus tells `error`, Alertmanager `message` or a bare text. Pages that a proxy
/// writes for browsers say nothing.
fn said(refusal: &[u8]) -> String {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Refusal {
        Bare(String),
        Error { error: String },
        Message { message: String },
    }
    let refusal = serde_json::from_slice(refusal);
    refusal.map_or_else(
        |_| String::new(),
        |(Refusal::Bare(text)
         | Refusal::Error { error: text }
         | Refusal::Message { message: text })| short(&text),
    )
}

/// What went wrong on the way, without the address: it may carry what nobody should read.
fn away(error: reqwest::Error) -> Error {
    if error.is_timeout() {
        return Error::Away("timed out".to_owned());
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Error::Away(text)
}

fn headers(endpoint: &Endpoint) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in &endpoint.headers {
        let wrong = || Error::Config(format!("header {name} is not one"));
        let key: HeaderName = name.parse().map_err(|_| wrong())?;
        let mut value: HeaderValue = value.expose().parse().map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// Without the cause: it may quote the file, and that may hold a key.
fn no_pem(file: &PemFile) -> Error {
    Error::Config(format!("{}: no PEM that can be used", file.path.display()))
}

fn unusable(error: reqwest::Error) -> Error {
    Error::Config(error.without_url().to_string())
}
