//! How an HTTP service is reached: addresses, credentials, TLS, and a limit on what it may answer.

use crate::config::{Credentials, Endpoint};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Identity, Method, RequestBuilder, Url, redirect};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// More than any sane answer; beyond it somebody is not who we think.
const BODY_LIMIT: usize = 32 << 20;

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
    #[error("answered {0}")]
    Status(u16),
    /// Success, but not what was asked for.
    #[error("unreadable answer: {0}")]
    Unreadable(String),
}

/// One address of a service.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its base address, without credentials; the resolved one behind it where they differ.
    pub name: String,
    base: Url,
    client: Client,
    credentials: Option<Credentials>,
}

/// Chooses the crypto provider of this process; calling it again changes nothing. Several are linked
/// through dependencies, and rustls chooses none by itself then.
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
    /// cannot be reached at all is an error with its URL.
    pub async fn get(&self) -> Vec<Result<Peer, (String, Error)>> {
        let mut peers = Vec::new();
        for url in &self.endpoint.urls {
            match resolve(url).await {
                Ok((base, addresses)) => {
                    let many = addresses.len() > 1;
                    peers.extend(
                        addresses.into_iter().map(|address| self.peer(url, &base, address, many)),
                    );
                }
                Err(error) => peers.push(Err((url.clone(), error))),
            }
        }
        peers
    }

    fn peer(
        &self,
        url: &str,
        base: &Url,
        address: SocketAddr,
        many: bool,
    ) -> Result<Peer, (String, Error)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (url.to_owned(), address);
        if let Some(peer) = known.get(&key) {
            return Ok(peer.clone());
        }
        let name = if many { format!("{url} ({address})") } else { url.to_owned() };
        let peer = Peer::new(&self.endpoint, name.clone(), base.clone(), address)
            .map_err(|error| (name, error))?;
        known.insert(key, peer.clone());
        Ok(peer)
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
            builder =
                builder.tls_certs_only([Certificate::from_pem(&read(file)?).map_err(unusable)?]);
        }
        if let Some(file) = &endpoint.client_cert_file {
            builder = builder.identity(Identity::from_pem(&read(file)?).map_err(unusable)?);
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
        serde_json::from_slice(&body).map_err(|error| Error::Unreadable(error.to_string()))
    }
}

/// Sends a request; the body of a successful answer, bounded.
pub async fn send(request: RequestBuilder) -> Result<Vec<u8>, Error> {
    let mut answer = request.send().await.map_err(away)?;
    if !answer.status().is_success() {
        return Err(Error::Status(answer.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(away)? {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(Error::Unreadable(format!("more than {BODY_LIMIT} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
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

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|error| Error::Config(format!("{}: {error}", file.display())))
}

fn unusable(error: reqwest::Error) -> Error {
    Error::Config(error.without_url().to_string())
}
