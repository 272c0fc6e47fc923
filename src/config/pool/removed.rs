//! Pools that left the file, whose last word there was to drain them.

use super::PoolConfig;
use crate::config::reader::Reader;
use crate::config::tree::Tree;
use crate::config::{ClusterConfig, Mode};
use crate::model::{Farewell, PoolMemory, PoolName, Resources};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

impl PoolConfig {
    /// What is to be remembered of it, in case it leaves the file.
    pub fn farewell(&self) -> Option<Farewell> {
        let config = || Farewell { config: self.to_value(), left: None };
        self.drain.when_removed.then(config)
    }

    /// As it was remembered, with nothing to keep: nothing at least, nothing free.
    fn removed(name: &PoolName, config: &Value) -> Option<Self> {
        let reader = Reader::default();
        let mut config = config.clone();
        // Nothing is launched any more, so the script that machines boot with may have left with it.
        let ec2 = config.pointer_mut("/provider/ec2").and_then(Value::as_object_mut);
        ec2.and_then(|ec2| ec2.remove("user_data_file"));
        let tree = Tree::from(config);
        // Nor does a label that no tag holds matter, which was taken before that was refused.
        let pool = reader.root(&tree, |s| Self::read_within(s, name.as_str(), Mode::Act, |_| None));
        // One that a newer or older version wrote and this one cannot read is left alone.
        let (errors, _) = reader.finish();
        let rest =
            |pool| Self { min: 0, surge: 0, headroom: Resources::default(), removed: true, ..pool };
        errors.is_empty().then(|| rest(pool))
    }
}

impl ClusterConfig {
    /// With the pools that left the file and are to be drained, as they were remembered; but where no pool in the file
    /// acts, neither do these.
    pub fn with_removed(&self, memory: &BTreeMap<PoolName, PoolMemory>) -> Cow<'_, Self> {
        let missing = memory.iter().filter(|(name, _)| !self.pools.contains_key(*name));
        let removed: Vec<PoolConfig> = missing
            .filter_map(|(name, memory)| {
                PoolConfig::removed(name, &memory.farewell.as_ref()?.config)
            })
            .collect();
        if removed.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut all = self.clone();
        let is_dry = self.is_dry();
        let removed = removed.into_iter().map(|pool| {
            let mode = if is_dry { Mode::DryRun } else { pool.mode };
            PoolConfig { mode, ..pool }
        });
        all.pools.extend(removed.map(|pool| (pool.name.clone(), pool)));
        Cow::Owned(all)
    }

    /// The pools that the file names.
    pub fn configured(&self) -> impl Iterator<Item = &PoolConfig> + Clone {
        self.pools.values().filter(|pool| !pool.removed)
    }
}
