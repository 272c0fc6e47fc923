//! `provider`: who makes a pool's machines.

mod docker;
mod ec2;
mod exec;
mod shape;

pub use self::docker::{DockerConfig, DockerHost, TokenFile};
pub use self::ec2::{Ec2Config, Image, Source, TAG_VALUE_MAX};
pub use self::exec::ExecConfig;
pub use self::shape::ShapeConfig;
use crate::config::reader::Section;
use crate::config::value;
use serde_json::{Value, json};

/// The providers there are.
const ALL: [&str; 4] = ["docker", "ec2", "exec", "sim"];

/// Who makes a pool's machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderConfig {
    /// `sim`: the simulated provider of the cluster's world.
    Sim {
        /// `unnamed`: its machines bear no worker's name, as those of a cloud that tags all machines of one call alike. Default false.
        unnamed: bool,
    },
    /// `exec`: a program of the user's own.
    Exec(Box<ExecConfig>),
    /// `docker`: containers on one or several Docker hosts.
    Docker(Box<DockerConfig>),
    /// `ec2`: instances of AWS.
    Ec2(Box<Ec2Config>),
}

impl ProviderConfig {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        s.section("provider", |s| {
            let named: Vec<&str> = ALL.into_iter().filter(|name| s.has(name)).collect();
            if let [_, second, ..] = named[..] {
                let mend = format!("a pool has one provider; keep this or `{}`", named[0]);
                s.refuse(second, mend.into());
            }
            let docker = s.has("docker").then(|| s.section("docker", DockerConfig::read));
            let ec2 = s.has("ec2").then(|| s.section("ec2", Ec2Config::read));
            let exec = s.has("exec").then(|| s.section("exec", ExecConfig::read));
            let unnamed = s
                .section("sim", |s| s.take("unnamed", value::truth))
                .unwrap_or_default();
            if named.is_empty() {
                let mend = "a pool needs a provider; write `provider: { sim: {} }`, or `docker`, `ec2` or `exec` with its fields";
                s.refuse("sim", mend.into());
            }
            match (docker, ec2, exec) {
                (Some(docker), ..) => Self::Docker(Box::new(docker)),
                (None, Some(ec2), _) => Self::Ec2(Box::new(ec2)),
                (None, None, Some(exec)) => Self::Exec(Box::new(exec)),
                (None, None, None) => Self::Sim { unnamed },
            }
        })
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Sim { unnamed } => json!({ "sim": { "unnamed": unnamed } }),
            Self::Exec(exec) => json!({ "exec": exec.to_value() }),
            Self::Docker(docker) => json!({ "docker": docker.to_value() }),
            Self::Ec2(ec2) => json!({ "ec2": ec2.to_value() }),
        }
    }

    /// Its word in the file, in logs and in metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sim { .. } => "sim",
            Self::Exec(_) => "exec",
            Self::Docker(_) => "docker",
            Self::Ec2(_) => "ec2",
        }
    }

    /// Whether its machines bear their workers' names. Otherwise each is known by its own id.
    pub fn names_workers(&self) -> bool {
        !matches!(self, Self::Ec2(_) | Self::Sim { unnamed: true })
    }

    /// Whether this could be the id of one of its machines, where they bear no names.
    pub fn is_machine(&self, id: &str) -> bool {
        !self.names_workers() && id.starts_with("i-")
    }

    /// Letters that labels may have together, and taints, where a machine reads each in one place as it boots.
    pub(super) fn line_max(&self) -> Option<usize> {
        matches!(self, Self::Ec2(_)).then_some(TAG_VALUE_MAX)
    }

    /// Share of a pool that is to be spot, in percent; `None` where its provider's own order decides.
    pub fn spot_share(&self) -> Option<u32> {
        match self {
            Self::Ec2(ec2) => Some(ec2.spot),
            Self::Sim { .. } | Self::Exec(_) | Self::Docker(_) => None,
        }
    }
}
