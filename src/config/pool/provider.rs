//! `provider`: who makes a pool's machines.

mod docker;
mod exec;
mod shape;

pub use self::docker::{DockerConfig, DockerHost, TokenFile};
pub use self::exec::ExecConfig;
pub use self::shape::ShapeConfig;
use crate::config::reader::Section;
use serde_json::{Value, json};

/// What can be asked of a provider of this version.
const PROVIDERS: &str = "`docker`, `exec` and `sim` are available";

/// The providers there are.
const ALL: [&str; 3] = ["docker", "exec", "sim"];

/// Who makes a pool's machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderConfig {
    /// `sim`: the simulated provider of the cluster's world.
    Sim,
    /// `exec`: a program of the user's own.
    Exec(Box<ExecConfig>),
    /// `docker`: containers on one or several Docker hosts.
    Docker(Box<DockerConfig>),
}

impl ProviderConfig {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        s.section("provider", |s| {
            s.not_yet("ec2", PROVIDERS);
            let named: Vec<&str> = ALL.into_iter().filter(|name| s.has(name)).collect();
            if let [_, second, ..] = named[..] {
                let mend = format!("a pool has one provider; keep this or `{}`", named[0]);
                s.refuse(second, mend.into());
            }
            let docker = s.has("docker").then(|| s.section("docker", DockerConfig::read));
            let exec = s.has("exec").then(|| s.section("exec", ExecConfig::read));
            s.section("sim", |_| ());
            if named.is_empty() && !s.has("ec2") {
                let mend = "a pool needs a provider; write `provider: { sim: {} }`, or `docker` or `exec` with its fields";
                s.refuse("sim", mend.into());
            }
            match (docker, exec) {
                (Some(docker), _) => Self::Docker(Box::new(docker)),
                (None, Some(exec)) => Self::Exec(Box::new(exec)),
                (None, None) => Self::Sim,
            }
        })
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Sim => json!({ "sim": {} }),
            Self::Exec(exec) => json!({ "exec": exec.to_value() }),
            Self::Docker(docker) => json!({ "docker": docker.to_value() }),
        }
    }

    /// Its word in the file, in logs and in metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Exec(_) => "exec",
            Self::Docker(_) => "docker",
        }
    }
}
