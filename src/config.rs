//! The configuration: one YAML file, the environment for secrets and overrides, as checked types.
//!
//! What is in here can be trusted: names are valid, limits agree, durations are durations. Reading
//! reports every error at once, each with its path, the value found, and the mend, and never a
//! secret. It has no effect and keeps nothing, so a reload is just another [`Config::load`].

pub mod alertmanager;
pub mod cluster;
pub mod endpoint;
mod env;
mod error;
pub mod pem;
pub mod pool;
pub mod prometheus;
mod reader;
pub mod secret;
pub mod service;
pub mod sim;
mod standing;
pub mod store;
mod text_file;
mod tree;
mod value;

pub use alertmanager::{AlertmanagerConfig, Require};
pub use cluster::{
    ClusterConfig, Expander, Guards, Kubernetes, KubernetesConfig, Mode, Pending, Timing,
};
pub use endpoint::{Credentials, Endpoint};
pub use env::{ProcessEnv, Strings, warnings};
pub use error::{ConfigError, ConfigErrors, Warning};
pub use pem::PemFile;
pub use pool::{
    Amount, Budget, Cooldowns, DockerConfig, DockerHost, DrainConfig, Ec2Config, EvictConfig,
    ExecConfig, Image, Limits, NodeTemplate, OrderBy, PoolConfig, ProviderConfig, ShapeConfig,
    Source, Steps, TAG_VALUE_MAX, TokenFile,
};
pub use prometheus::PrometheusConfig;
pub use secret::Secret;
pub use service::{Auth, LogFormat, Role, ServiceConfig};
pub use sim::{SimConfig, SimShape};
pub use standing::{Standing, Wrong};
pub use store::{HostPort, Login, RedisAccess, RedisServers, RedisUrl, StoreUrl};

use self::reader::{Reader, Section};
use self::tree::Tree;
use crate::model::ClusterName;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Cores as the file has them (`2`, `"1500m"`), in millicores. `None` of what is no such amount.
pub fn cpu_of(value: &Value) -> Option<u64> {
    value::cpu(&Tree::from(value.clone())).ok()
}

/// Memory as the file has it (`2147483648`, `"2Gi"`), in bytes. `None` of what is no such amount.
pub fn memory_of(value: &Value) -> Option<u64> {
    value::memory(&Tree::from(value.clone())).ok()
}

/// The version of the file's form.
const VERSION: u32 = 1;

/// A file larger than this is none of ours.
const FILE_MAX: usize = 8 * 1024 * 1024;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How the process serves and stores.
    pub service: ServiceConfig,
    /// The clusters, each on its own: a failure in one never touches another.
    pub clusters: BTreeMap<ClusterName, ClusterConfig>,
}

/// A configuration with what its owner should know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Nothing wrong, but worth a look.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Reads the file at `path`, with the variables of `env` above what stands in it.
    pub fn load(path: &Path, env: &dyn Strings) -> Result<Loaded, ConfigErrors> {
        let text = text_file::read(path, FILE_MAX).map_err(|error| {
            ConfigErrors(vec![ConfigError {
                path: path.display().to_string(),
                found: None,
                mend: format!("the file cannot be read ({})", error.kind()),
            }])
        })?;
        Self::parse(&text, env)
    }

    /// Reads the text of a file. Files that secrets stand in are read too.
    pub fn parse(text: &str, env: &dyn Strings) -> Result<Loaded, ConfigErrors> {
        let (result, _) = Self::parse_recording(text, env);
        result.map(|config| Loaded { config, warnings: warnings(env) }).map_err(ConfigErrors)
    }

    /// The configuration with every field and default filled in, secrets masked. It reads back to
    /// the same, but for the secrets.
    pub fn to_value(&self) -> Value {
        let clusters = self.clusters.iter().map(|(name, one)| (name.to_string(), one.to_value()));
        let mut value = json!({ "version": VERSION, "clusters": clusters.collect::<Value>() });
        self.service.write(&mut value);
        value
    }

    /// The same, with every field that was asked for, names taken out: the tests hold the
    /// documentation against them.
    fn parse_recording(
        text: &str,
        env: &dyn Strings,
    ) -> (Result<Self, Vec<ConfigError>>, BTreeSet<String>) {
        let mut tree = match Tree::parse(text) {
            Ok(tree) => tree,
            Err(error) => return (Err(vec![error]), BTreeSet::new()),
        };
        let mut errors = env::apply(&mut tree, env);
        let reader = Reader::default();
        let config = reader.root(&tree, Self::read);
        let (found, fields) = reader.finish();
        errors.extend(found);
        (if errors.is_empty() { Ok(config) } else { Err(errors) }, fields)
    }

    fn read(s: &mut Section<'_>) -> Self {
        s.take("version", value::whole(VERSION..=VERSION));
        let service = ServiceConfig::read(s);
        let alertmanager = s.section("alertmanager", |s| {
            AlertmanagerConfig::read(s, &AlertmanagerConfig::default())
        });
        let prometheus =
            s.section("prometheus", |s| PrometheusConfig::read(s, &PrometheusConfig::default()));
        let clusters =
            s.each("clusters", |s, name| ClusterConfig::read(s, name, &alertmanager, &prometheus));
        if clusters.is_empty() && !s.is_refused("clusters") {
            s.refuse("clusters", "must hold at least one cluster".into());
        }
        let clusters = clusters.into_iter().map(|(name, one)| (ClusterName::new(name), one));
        Self { service, clusters: clusters.collect() }
    }
}

#[cfg(test)]
mod tests;
