//! How to reach an HTTP service: address, credentials, TLS.

use super::error::Mend;
use super::pem::{self, PemFile};
use super::reader::Section;
use super::secret::{MASK, Secret};
use super::value;
use crate::model::duration;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// No header of ours may be set by hand: these frame the message or are set by the client.
const RESERVED: [&str; 5] =
    ["host", "content-length", "content-type", "connection", "transfer-encoding"];

/// The same for every address of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `urls`: base addresses, a path prefix included: `http://alertmanager:9093/prefix`; never with
    /// a slash at the end.
    pub urls: Vec<String>,
    /// `bearer_token` or `basic`: how to say who we are.
    pub credentials: Option<Credentials>,
    /// `headers`: more headers, for example a tenant's. Values are secrets: they may carry one.
    pub headers: BTreeMap<String, Secret>,
    /// `ca_file`: certificate authority to trust instead of the system's (PEM file).
    pub ca_file: Option<PemFile>,
    /// `client_cert_file`: client certificate and key (one PEM file with both).
    pub client_cert_file: Option<PemFile>,
    /// `timeout`: limit for one call. Default 5 s.
    pub timeout: Duration,
}

/// How to say who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// `Authorization: Bearer …`.
    Bearer(Secret),
    /// `Authorization: Basic …`.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: Secret,
    },
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            credentials: None,
            headers: BTreeMap::new(),
            ca_file: None,
            client_cert_file: None,
            timeout: Duration::from_secs(5),
        }
    }
}

impl Endpoint {
    /// Reads the fields that every client has. What is not set comes from `base`; but credentials,
    /// headers and certificates belong to the addresses, and never follow to other ones.
    pub(super) fn read(s: &mut Section<'_>, base: &Self) -> Self {
        let urls = s.list("urls", value::url);
        let stranger = Self { timeout: base.timeout, ..Self::default() };
        let base = if urls.is_some() { &stranger } else { base };
        if urls.as_ref().is_some_and(|urls| urls.iter().collect::<BTreeSet<_>>().len() < urls.len())
        {
            s.refuse("urls", "the same address stands here twice; keep one".into());
        }
        let urls = urls.unwrap_or_else(|| base.urls.clone());
        let credentials = Credentials::read(s);
        let credentials = credentials.or_else(|| base.credentials.clone());
        let headers = s.section("headers", |s| read_headers(s, credentials.is_some()));
        Self {
            urls,
            credentials,
            headers: headers.unwrap_or_else(|| base.headers.clone()),
            ca_file: PemFile::read(s, "ca_file", pem::authorities).or_else(|| base.ca_file.clone()),
            client_cert_file: PemFile::read(s, "client_cert_file", pem::identity)
                .or_else(|| base.client_cert_file.clone()),
            timeout: s.take("timeout", value::lasting).unwrap_or(base.timeout),
        }
    }

    /// Refuses a client without an address, unless the one it would have taken was itself refused.
    pub(super) fn check_urls(&self, s: &Section<'_>, top: &str) {
        let (own, top) = (s.path_of("urls"), format!("{top}.urls"));
        if self.urls.is_empty() && !s.is_refused(&own) && !s.is_refused(&top) {
            s.refuse("urls", format!("must name at least one address, here or in `{top}`").into());
        }
    }

    /// Adds its fields to a section that is written out.
    pub(super) fn write(&self, fields: &mut Value) {
        fields["urls"] = json!(self.urls);
        fields["headers"] =
            self.headers.keys().map(|name| (name.clone(), Value::from(MASK))).collect();
        let path = |file: &Option<PemFile>| json!(file.as_ref().map(|file| &file.path));
        fields["ca_file"] = path(&self.ca_file);
        fields["client_cert_file"] = path(&self.client_cert_file);
        fields["timeout"] = json!(duration::format(self.timeout));
        fields["bearer_token"] = Value::Null;
        fields["basic"] = Value::Null;
        match &self.credentials {
            None => {}
            Some(Credentials::Bearer(_)) => fields["bearer_token"] = MASK.into(),
            Some(Credentials::Basic { username, .. }) => {
                fields["basic"] = json!({ "username": username, "password": MASK });
            }
        }
    }
}

impl Credentials {
    fn read(s: &mut Section<'_>) -> Option<Self> {
        let bearer = s.secret("bearer_token", value::token).map(Self::Bearer);
        let has_basic = s.is_set("basic");
        let basic = s.section("basic", |s| {
            let username = if has_basic {
                s.required("username", username)
            } else {
                s.take("username", username)
            };
            let password = s.secret("password", |_| Ok(()));
            if has_basic && !s.is_set("password") && !s.is_set("password_file") {
                s.refuse("password", "must be set, or `password_file`".into());
            }
            Some(Self::Basic { username: username?, password: password? })
        });
        if bearer.is_some() && has_basic {
            s.refuse("basic", "set either `basic` or `bearer_token`, not both".into());
        }
        bearer.or(basic)
    }
}

/// Each header is a secret, so each also has its `NAME_file`.
fn read_headers(s: &mut Section<'_>, with_credentials: bool) -> Option<BTreeMap<String, Secret>> {
    let keys = s.own_names();
    let mut headers = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for key in &keys {
        let name = key.strip_suffix("_file").unwrap_or(key);
        let lower = name.to_ascii_lowercase();
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            s.refuse_name(key, "is no name of a header".into());
        } else if RESERVED.contains(&&*lower) {
            s.refuse_name(key, "is set by the client itself".into());
        } else if with_credentials && lower == "authorization" {
            s.refuse_name(key, "is already set by `bearer_token` or `basic`".into());
        } else if !seen.insert(lower) {
            s.refuse_name(key, "stands here twice; keep one".into());
        } else if let Some(secret) = s.secret(name, value::header_value) {
            headers.insert(name.to_owned(), secret);
        }
    }
    if keys.is_empty() { None } else { Some(headers) }
}

fn username(tree: &super::tree::Tree) -> Result<String, Mend> {
    let read = value::text(tree)?;
    if read.contains(':') { Err("must not hold a colon".into()) } else { Ok(read) }
}
