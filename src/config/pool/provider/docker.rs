//! `provider.docker`: workers as containers, each a k3s agent.

use super::ShapeConfig;
use super::exec::is_variable;
use crate::config::error::Mend;
use crate::config::pem::{self, PemFile};
use crate::config::reader::Section;
use crate::config::tree::Tree;
use crate::config::{Secret, text_file, value};
use crate::model::duration;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Where a Docker is, where the file does not say.
const SOCKET: &str = "unix:///var/run/docker.sock";

/// The zone of a Docker whose host has no name.
const ZONE: &str = "local";

/// What a token may have.
const TOKEN_MAX: usize = 64 * 1024;

/// Containers that are workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerConfig {
    /// `image`: with a version, or a digest. Required.
    pub image: String,
    /// `server`: where the agents join (`K3S_URL`). Required.
    pub server: String,
    /// `token_file`: what they join with (`K3S_TOKEN`). Required.
    pub token: TokenFile,
    /// `shapes`: how large a worker may be. Required.
    pub shapes: Vec<ShapeConfig>,
    /// `hosts`: Dockers by the zone that each is. Default the machine's own, as the zone `local`.
    pub hosts: BTreeMap<String, DockerHost>,
    /// `network`: the Docker network they are in. Default `bridge`.
    pub network: String,
    /// `args`: more arguments of the agent.
    pub args: Vec<String>,
    /// `env`: more variables of the agent. Shown wherever the configuration is.
    pub env: BTreeMap<String, String>,
    /// `volumes`: paths in the container that get a volume of its own, which goes with it. Default k3s' and the kubelet's.
    pub volumes: Vec<String>,
    /// `binds`: `HOST:CONTAINER[:OPTIONS]`, as of `docker run --volume`.
    pub binds: Vec<String>,
    /// `tmpfs`: paths in the container that are in memory. Default `/run` and `/var/run`.
    pub tmpfs: Vec<String>,
    /// `privileged`. Default true: an agent needs it where nothing less is worked out.
    pub privileged: bool,
    /// `cap_add`: rights beyond what Docker gives, where it is not privileged.
    pub cap_add: Vec<String>,
    /// `security_opt`, as of `docker run --security-opt`.
    pub security_opt: Vec<String>,
    /// `parallel`: containers that are made at once. Default 3.
    pub parallel: usize,
    /// `pull_timeout`: how long getting the image may take. Default 10 m.
    pub pull_timeout: Duration,
}

/// One Docker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerHost {
    /// `url`: `unix:///PATH`, or `tcp://HOST:PORT` with TLS.
    pub url: String,
    /// `ca_file`: whom to trust, beside those that the system trusts, to have signed its certificate. Required for `tcp`.
    pub ca_file: Option<PemFile>,
    /// `client_cert_file`: our certificate and its key, in one file. Required for `tcp`.
    pub client_cert_file: Option<PemFile>,
}

/// A file with what agents join with, as it was when the configuration was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it held.
    pub text: Option<Secret>,
}

impl DockerConfig {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let texts = |s: &mut Section<'_>, name| s.list(name, value::text);
        let privileged = s.take("privileged", value::truth).unwrap_or(true);
        let cap_add = texts(s, "cap_add").unwrap_or_default();
        let mend =
            "a privileged container has every right; set `privileged: false`, or leave these out";
        s.check(!privileged || cap_add.is_empty(), ["cap_add"; 2], mend);
        Self {
            image: s.required("image", image).unwrap_or_default(),
            server: s.required("server", server).unwrap_or_default(),
            token: TokenFile::read(s),
            shapes: ShapeConfig::read_all(s),
            hosts: read_hosts(s),
            network: s.take("network", value::text).unwrap_or_else(|| "bridge".to_owned()),
            args: s.list("args", value::any_text).unwrap_or_default(),
            env: s.section("env", read_env),
            volumes: s.list("volumes", inside).unwrap_or_else(|| {
                ["/var/lib/rancher/k3s", "/var/lib/kubelet"].map(str::to_owned).into()
            }),
            binds: s.list("binds", bind).unwrap_or_default(),
            tmpfs: s
                .list("tmpfs", inside)
                .unwrap_or_else(|| ["/run", "/var/run"].map(str::to_owned).into()),
            privileged,
            cap_add,
            security_opt: texts(s, "security_opt").unwrap_or_default(),
            parallel: s.take("parallel", value::whole(1..=100)).unwrap_or(3),
            pull_timeout: s.take("pull_timeout", value::lasting).unwrap_or(Duration::from_mins(10)),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        let hosts = self.hosts.iter().map(|(zone, host)| (zone.clone(), host.to_value()));
        json!({
            "image": self.image,
            "server": self.server,
            "token_file": self.token.path,
            "shapes": self.shapes.iter().map(ShapeConfig::to_value).collect::<Vec<_>>(),
            "hosts": hosts.collect::<Value>(),
            "network": self.network,
            "args": self.args,
            "env": self.env,
            "volumes": self.volumes,
            "binds": self.binds,
            "tmpfs": self.tmpfs,
            "privileged": self.privileged,
            "cap_add": self.cap_add,
            "security_opt": self.security_opt,
            "parallel": self.parallel,
            "pull_timeout": duration::format(self.pull_timeout),
        })
    }
}

impl DockerHost {
    fn read(s: &mut Section<'_>) -> Self {
        let url = s.take("url", host_url).unwrap_or_else(|| SOCKET.to_owned());
        let ca_file = PemFile::read(s, "ca_file", pem::authorities);
        let client_cert_file = PemFile::read(s, "client_cert_file", pem::identity);
        if url.starts_with("tcp://") {
            for name in ["ca_file", "client_cert_file"] {
                if !s.is_set(name) {
                    let mend = "must be set: who reaches a Docker over the network owns its machine, so both sides prove who they are";
                    s.refuse(name, mend.into());
                }
            }
        }
        Self { url, ca_file, client_cert_file }
    }

    fn to_value(&self) -> Value {
        let path = |file: &Option<PemFile>| json!(file.as_ref().map(|file| &file.path));
        json!({
            "url": self.url,
            "ca_file": path(&self.ca_file),
            "client_cert_file": path(&self.client_cert_file),
        })
    }
}

impl TokenFile {
    /// Reads the file that `token_file` names. Errors never quote it.
    fn read(s: &mut Section<'_>) -> Self {
        let Some(path) = s.required("token_file", value::path) else { return Self::default() };
        let read = text_file::read(&path, TOKEN_MAX)
            .map_err(|error| format!("the file cannot be read ({})", error.kind()).into());
        let text = read.and_then(|text| {
            let token = text.trim_end_matches(['\n', '\r']);
            value::token(token).map(|()| Secret::new(token))
        });
        match text {
            Ok(text) => Self { path, text: Some(text) },
            Err(mend) => {
                s.refuse("token_file", mend);
                Self { path, text: None }
            }
        }
    }
}

fn read_hosts(s: &mut Section<'_>) -> BTreeMap<String, DockerHost> {
    let hosts: BTreeMap<_, _> = s.each("hosts", |s, _| DockerHost::read(s)).into_iter().collect();
    if !hosts.is_empty() {
        return hosts;
    }
    let own = DockerHost { url: SOCKET.to_owned(), ca_file: None, client_cert_file: None };
    [(ZONE.to_owned(), own)].into()
}

fn read_env(s: &mut Section<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for name in s.own_names() {
        if !is_variable(&name) {
            s.refuse_name(&name, "is no name of a variable".into());
        } else if ["K3S_URL", "K3S_TOKEN", "K3S_NODE_NAME"].contains(&&*name) {
            s.refuse_name(&name, "is set by `server`, `token_file` and the worker's name".into());
        } else if let Some(text) = s.take(&name, value::any_text) {
            env.insert(name, text);
        }
    }
    env
}

/// An image that means the same tomorrow.
fn image(tree: &Tree) -> Result<String, Mend> {
    let read = value::text(tree)?;
    let name = read.rsplit('/').next().unwrap_or_default();
    let is_pinned = read.contains("@sha256:")
        || name.split_once(':').is_some_and(|(_, tag)| !tag.is_empty() && tag != "latest");
    if is_pinned && !read.contains(char::is_whitespace) {
        Ok(read)
    } else {
        Err("must name a version or a digest, like rancher/k3s:v1.33.5-k3s1: workers of one pool are alike".into())
    }
}

fn server(tree: &Tree) -> Result<String, Mend> {
    let read = value::url(tree)?;
    if read.starts_with("https://") {
        Ok(read)
    } else {
        Err("must begin with https://, like https://k3s-server:6443".into())
    }
}

fn host_url(tree: &Tree) -> Result<String, Mend> {
    let read = value::text(tree)?;
    let is_socket = read.strip_prefix("unix://").is_some_and(|path| path.starts_with('/'));
    let is_address = read.strip_prefix("tcp://").is_some_and(|at| {
        at.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok()
        })
    });
    if is_socket || is_address {
        Ok(read)
    } else {
        Err("must be unix:///PATH, or tcp://HOST:PORT".into())
    }
}

fn inside(tree: &Tree) -> Result<String, Mend> {
    let read = value::text(tree)?;
    if read.starts_with('/') && !read.contains(':') {
        Ok(read)
    } else {
        Err("must be a whole path in the container, like /var/lib/kubelet".into())
    }
}

fn bind(tree: &Tree) -> Result<String, Mend> {
    let read = value::text(tree)?;
    let parts: Vec<&str> = read.split(':').collect();
    match parts[..] {
        [from, to] | [from, to, _] if !from.is_empty() && to.starts_with('/') => Ok(read),
        _ => Err("must be HOST:CONTAINER or HOST:CONTAINER:OPTIONS".into()),
    }
}
