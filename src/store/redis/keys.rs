//! Names of keys. `docs/redis.md` has the table.

use crate::model::ClusterName;

/// What is kept of a cluster, each under a key of its own. `prelude.lua` knows their types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Schema,
    Claim,
    Signals,
    Workers,
    Intents,
    Pools,
    Cluster,
    History,
}

impl Kind {
    /// All of them, as `commit.lua` and `restore.lua` take them.
    pub(super) const ALL: [Self; 8] = [
        Self::Schema,
        Self::Claim,
        Self::Signals,
        Self::Workers,
        Self::Intents,
        Self::Pools,
        Self::Cluster,
        Self::History,
    ];

    /// The key. A cluster's keys share their hash tag, which is what stands between the first `{` and the
    /// first `}`: so they stay on one server whatever is made of this. No name reaches into another's
    /// keys: what stands before and behind it is fixed.
    pub(super) fn key(self, cluster: &ClusterName) -> String {
        format!("{{bw:{cluster}}}:{}", self.word())
    }

    /// Its number in [`Kind::ALL`], from 1, as Lua counts.
    pub(super) fn number(self) -> usize {
        self as usize + 1
    }

    fn word(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Claim => "claim",
            Self::Signals => "signals",
            Self::Workers => "workers",
            Self::Intents => "intents",
            Self::Pools => "pools",
            Self::Cluster => "cluster",
            Self::History => "history",
        }
    }
}

/// Written to see whether writes are taken. No cluster's name is empty.
pub(super) const READY: &str = "{bw:}:ready";

/// Where wakes are published. Channels do not belong to a database, so its number is part of the name.
pub(super) fn wakes(database: u32) -> String {
    format!("bw:wakes:{database}")
}
