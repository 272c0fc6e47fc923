//! A small configuration; the benches use it too.

use bellwether::config::Config;
use std::collections::BTreeMap;

/// Two clusters: `one` with the pool `workers`, `two` with the pools `workers` and `gpu`.
const TEXT: &str = "
alertmanager: { urls: [http://127.0.0.1:9] }
prometheus: { urls: [http://127.0.0.1:9] }
clusters:
  one:
    kubernetes: { sim: {} }
    pools:
      workers: { provider: { sim: {} }, max: 10 }
  two:
    kubernetes: { sim: {} }
    pools:
      workers: { provider: { sim: {} }, max: 10 }
      gpu: { provider: { sim: {} }, max: 10 }
";

/// The configuration, without tokens.
pub(crate) fn configuration() -> Config {
    Config::parse(TEXT, &BTreeMap::<String, String>::new()).expect("the text is right").config
}
