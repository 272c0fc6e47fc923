//! The environment: variables that set a field, and those of earlier tools that no longer do.

use super::error::{ConfigError, Warning};
use super::reader::closest;
use super::tree::Tree;
use std::collections::BTreeMap;
use std::fmt;

/// `BELLWETHER__clusters__default__pools__workers__max=7` sets the field with that path.
const BY_PATH: &str = "BELLWETHER__";

/// Short names for the fields that differ from place to place. Other variables that begin with
/// `BELLWETHER_` are left alone: Kubernetes makes some for a Service called `bellwether`.
pub(super) const BY_NAME: [(&str, &str); 9] = [
    ("BELLWETHER_LISTEN", "listen"),
    ("BELLWETHER_BEARER_TOKEN", "auth.bearer_token"),
    ("BELLWETHER_BEARER_TOKEN_FILE", "auth.bearer_token_file"),
    ("BELLWETHER_STORE_URL", "store.url"),
    ("BELLWETHER_ALERTMANAGER_URLS", "alertmanager.urls"),
    ("BELLWETHER_PROMETHEUS_URLS", "prometheus.urls"),
    ("BELLWETHER_RECONCILE_INTERVAL", "reconcile.interval"),
    ("BELLWETHER_LOG_FORMAT", "log.format"),
    ("BELLWETHER_LOG_LEVEL", "log.level"),
];

const RULES: &str = "a threshold is part of the alerting rule: edit it in rules/";

/// The variables of the tools that came before, and what takes their place. Names that other
/// programs use as well (`PROMETHEUS_URL`, `LOG_LEVEL`, …) are not here.
pub(super) const EARLIER: [(&str, &str); 45] = [
    ("AUTOSCALER_CHECK_INTERVAL", "reconcile.interval"),
    ("AUTOSCALER_DRY_RUN", "clusters.NAME.mode"),
    ("AUTOSCALER_API_HOST", "listen"),
    ("AUTOSCALER_API_PORT", "listen"),
    ("AUTOSCALER_METRICS_PORT", "listen"),
    ("AUTOSCALER_PENDING_PODS_THRESHOLD", RULES),
    ("AUTOSCALER_CPU_THRESHOLD_UP", RULES),
    ("AUTOSCALER_MEMORY_THRESHOLD_UP", RULES),
    ("AUTOSCALER_CPU_THRESHOLD_DOWN", RULES),
    ("AUTOSCALER_MEMORY_THRESHOLD_DOWN", RULES),
    ("AUTOSCALER_MIN_NODES", "clusters.NAME.pools.NAME.min"),
    ("AUTOSCALER_MAX_NODES", "clusters.NAME.pools.NAME.max"),
    ("AUTOSCALER_SCALE_UP_COOLDOWN", "clusters.NAME.pools.NAME.cooldown.up"),
    ("AUTOSCALER_SCALE_DOWN_COOLDOWN", "clusters.NAME.pools.NAME.cooldown.down"),
    ("AUTOSCALER_WORKER_PREFIX", "clusters.NAME.pools.NAME.provider"),
    ("AUTOSCALER_PERMANENT_WORKERS", "clusters.NAME.pools.NAME.permanent"),
    ("AUTOSCALER_WORKER_START_NUMBER", "clusters.NAME.pools.NAME.provider"),
    ("AUTOSCALER_WORKER_VERIFICATION_TIMEOUT", "clusters.NAME.pools.NAME.join_deadline"),
    ("STATE_TABLE", "store.url"),
    ("METRICS_HISTORY_TABLE", "store.history.age"),
    ("DYNAMODB_TABLE", "store.url"),
    ("MIN_NODES", "clusters.NAME.pools.NAME.min"),
    ("MAX_NODES", "clusters.NAME.pools.NAME.max"),
    ("MIN_WORKERS", "clusters.NAME.pools.NAME.min"),
    ("MAX_WORKERS", "clusters.NAME.pools.NAME.max"),
    ("WORKER_LAUNCH_TEMPLATE_ID", "clusters.NAME.pools.NAME.provider"),
    ("WORKER_SPOT_TEMPLATE_ID", "clusters.NAME.pools.NAME.provider"),
    ("SPOT_PERCENTAGE", "clusters.NAME.pools.NAME.provider"),
    ("MONTHLY_BUDGET", "clusters.NAME.pools.NAME.budget.per_hour"),
    ("ENABLE_PREDICTIVE_SCALING", "a forecast is a rule with a `want_query`: add it in rules/"),
    ("ENABLE_CUSTOM_METRICS", "any metric in Prometheus can be used by a rule in rules/"),
    ("SNS_TOPIC_ARN", "who hears is decided by the routes in alertmanager/"),
    ("SCALE_UP_CPU_THRESHOLD", RULES),
    ("SCALE_DOWN_CPU_THRESHOLD", RULES),
    ("CPU_UP", RULES),
    ("CPU_DOWN", RULES),
    ("PENDING_UP_SEC", RULES),
    ("IDLE_DOWN_SEC", RULES),
    ("COOLDOWN_UP_SEC", "clusters.NAME.pools.NAME.cooldown.up"),
    ("COOLDOWN_DOWN_SEC", "clusters.NAME.pools.NAME.cooldown.down"),
    ("DRAIN_TIMEOUT_SEC", "clusters.NAME.pools.NAME.drain.timeout"),
    ("JOIN_TIMEOUT_SEC", "clusters.NAME.pools.NAME.join_deadline"),
    ("PODS_PER_NODE", "clusters.NAME.pools.NAME.node"),
    ("MAX_BATCH_UP", "clusters.NAME.pools.NAME.step.up"),
    // Whatever else begins like this.
    ("AUTOSCALER_", "docs/configuration.md tells what takes the place of the others"),
];

/// Named texts from outside: the environment, or a map in tests.
pub trait Strings: fmt::Debug {
    /// The text of that name.
    fn get(&self, name: &str) -> Option<String>;
    /// Every name there is.
    fn names(&self) -> Vec<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnv;

impl Strings for ProcessEnv {
    fn get(&self, name: &str) -> Option<String> {
        // Lossy, so that text that is no UTF-8 is refused by its field instead of passing as unset.
        std::env::var_os(name).map(|text| text.to_string_lossy().into_owned())
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
    }
}

impl Strings for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// Puts the variables that set a field into the tree. An empty variable counts as not set, since
/// that is what `${NAME:-}` in a compose file makes of one.
pub(super) fn apply(tree: &mut Tree, env: &dyn Strings) -> Vec<ConfigError> {
    if *tree == Tree::Null {
        *tree = Tree::Map(BTreeMap::new());
    }
    let mut errors = Vec::new();
    let mut set = |name: &str, path: Vec<String>| {
        if let Some(text) = env.get(name).filter(|text| !text.is_empty()) {
            let variable = Tree::Variable { name: name.to_owned(), text };
            if let Err(mend) = put(tree, &path, variable) {
                errors.push(ConfigError { path: name.to_owned(), found: None, mend });
            }
        }
    };
    for (name, path) in BY_NAME {
        set(name, path.split('.').map(str::to_owned).collect());
    }
    let mut names = env.names();
    names.sort();
    for name in names {
        if let Some(path) = name.strip_prefix(BY_PATH) {
            set(&name, path.split("__").map(str::to_owned).collect());
        }
    }
    errors
}

/// What the environment holds and we do not read, though it looks as if it were meant for us.
pub fn warnings(env: &dyn Strings) -> Vec<Warning> {
    let known: Vec<String> = BY_NAME.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut warnings: Vec<Warning> = Vec::new();
    for name in env.names() {
        if let Some(mend) = earlier(&name) {
            warnings.push(Warning { name, mend });
        } else if name.starts_with("BELLWETHER_") && !name.starts_with(BY_PATH) {
            let meant = closest(&name, known.iter()).filter(|meant| {
                // Two letters at most: BELLWETHER_PORT and its like come from Kubernetes.
                **meant != name && meant.len().abs_diff(name.len()) <= 2
            });
            if let Some(meant) = meant {
                warnings
                    .push(Warning { name, mend: format!("is not read; did you mean {meant}?") });
            }
        }
    }
    warnings.sort();
    warnings
}

fn earlier(name: &str) -> Option<String> {
    let exact = EARLIER.iter().find(|(old, _)| *old == name);
    let (_, instead) = exact
        .or_else(|| EARLIER.iter().find(|(old, _)| old.ends_with('_') && name.starts_with(old)))?;
    let instead = if instead.contains(' ') {
        (*instead).to_owned()
    } else {
        format!("set `{instead}` in the file")
    };
    Some(format!("belongs to an earlier tool and is not read; {instead}"))
}

/// Sets what the path names. Names that stand there are matched without regard to case, and with `_`
/// for `-`, which no shell's variable can hold.
fn put(tree: &mut Tree, path: &[String], variable: Tree) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        *tree = variable;
        return Ok(());
    };
    if first.is_empty() {
        return Err("a path is made of names with two underscores between them".to_owned());
    }
    match tree {
        Tree::Map(fields) => {
            let same = |known: &&String| {
                known.eq_ignore_ascii_case(first)
                    || known.replace('-', "_").eq_ignore_ascii_case(first)
            };
            let shouted = !first.contains(|c: char| c.is_ascii_lowercase());
            let new = || if shouted { first.to_ascii_lowercase() } else { first.clone() };
            let known = fields.get_key_value(first).map(|(known, _)| known);
            let key = known.or_else(|| fields.keys().find(same)).cloned().unwrap_or_else(new);
            let field = fields.entry(key).or_insert(Tree::Null);
            if !rest.is_empty() && *field == Tree::Null {
                *field = Tree::Map(BTreeMap::new());
            }
            put(field, rest, variable)
        }
        Tree::List(items) => {
            let count = items.len();
            let item = first.parse::<usize>().ok().and_then(|at| items.get_mut(at));
            let item =
                item.ok_or_else(|| format!("`{first}` names no entry of a list of {count}"))?;
            put(item, rest, variable)
        }
        _ => Err(format!("`{first}` names a field of what is a single value")),
    }
}
