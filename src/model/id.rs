//! Names and ids: one newtype each, so that no two can be mixed up.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// FNV-1a, as Prometheus hashes label sets.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Stands after each label name and value in the hash; it cannot occur in UTF-8.
const SEPARATOR: u8 = 0xff;

/// Declares string newtypes that all behave alike: ordered, printable, serialised as plain text.
macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps text as it is; whoever reads outside input validates first.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    )*};
}

text_ids! {
    /// A cluster's name in the configuration. Never an identity by itself: see [`ClusterUid`].
    ClusterName;
    /// The UID of the cluster's kube-system namespace: which cluster it really is.
    ClusterUid;
    /// A pool's name in the configuration, unique within its cluster.
    PoolName;
    /// Our name for one machine through its life; the provider's idempotency token and tag.
    WorkerId;
    /// One launch decision; tagged on every instance it creates.
    BatchId;
    /// The provider's name for a machine.
    InstanceId;
    /// Kubernetes' name for a machine. Bind by UID, never by this alone.
    NodeName;
    /// A Kubernetes object's UID.
    Uid;
    /// One signal in the store.
    SignalId;
    /// One turn of the loop, for logs and history.
    PassId;
    /// Alertmanager's fingerprint of an alert: a hash of its labels only, stable across firings.
    Fingerprint;
    /// One silence in Alertmanager.
    SilenceId;
    /// An instance type.
    ShapeName;
    /// An availability zone.
    Zone;
}

impl Fingerprint {
    /// The hash that Alertmanager makes of these labels.
    pub fn of(labels: &BTreeMap<String, String>) -> Self {
        let mut hash = FNV_OFFSET;
        let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        for (name, value) in labels {
            let bytes = name.bytes().chain([SEPARATOR]).chain(value.bytes()).chain([SEPARATOR]);
            bytes.for_each(&mut add);
        }
        Self(format!("{hash:016x}"))
    }
}

/// A fencing token: grows with every change of the claim's holder and never shrinks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Token(pub u64);

impl Token {
    /// The largest there is: up to here Redis' scripts count exactly. With one each second it is 285 million years away,
    /// so a larger one was written by somebody else.
    pub const LAST: Self = Self((1 << 53) - 1);

    /// The one after it, if there is one.
    pub fn next(self) -> Option<Self> {
        (self < Self::LAST).then(|| Self(self.0 + 1))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_one_alertmanager_makes() {
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let labels = [("case", "silenced_when_it_was_told"), ("alertname", "A")].map(text);
        assert_eq!(Fingerprint::of(&BTreeMap::from(labels)).as_str(), "fa3fa64bf713f001");
        assert_eq!(Fingerprint::of(&BTreeMap::new()).as_str(), "cbf29ce484222325");
    }
}
