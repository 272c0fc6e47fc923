//! What the environment sets, and what it no longer sets.

use super::{MINIMAL, changed, full, parse_value, worker_pool};
use crate::config::{Config, ConfigErrors, Loaded, StoreUrl};
use crate::model::{ClusterName, PoolName};
use serde_json::json;
use std::collections::BTreeMap;

fn with(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let env: BTreeMap<String, String> =
        variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Config::parse(text, &env)
}

#[test]
fn a_variable_stands_above_the_file_and_the_file_above_the_default() {
    let text = format!("log: {{ level: warn }}\nreconcile: {{ interval: 10s }}\n{MINIMAL}");
    let config = with(&text, &[("BELLWETHER_LOG_LEVEL", "debug")]).unwrap().config;
    assert_eq!(config.service.log_level, "debug");
    assert_eq!(config.service.interval.as_secs(), 10);
    assert_eq!(config.service.overdue.as_secs(), 120);
}

#[test]
fn every_short_name_sets_its_field() {
    let variables = [
        ("BELLWETHER_LISTEN", "0.0.0.0:1"),
        ("BELLWETHER_BEARER_TOKEN", "abc"),
        ("BELLWETHER_STORE_URL", "memory:"),
        ("BELLWETHER_ALERTMANAGER_URLS", "[http://a, http://b]"),
        ("BELLWETHER_PROMETHEUS_URLS", "http://p"),
        ("BELLWETHER_RECONCILE_INTERVAL", "1s"),
        ("BELLWETHER_LOG_FORMAT", "json"),
        ("BELLWETHER_LOG_LEVEL", "debug"),
    ];
    let config = with(MINIMAL, &variables).unwrap().config;
    let value = json!({
        "listen": "0.0.0.0:1", "auth": { "bearer_token": "abc" }, "store": { "url": "memory:" },
        "alertmanager": { "urls": ["http://a", "http://b"] }, "prometheus": { "urls": ["http://p"] },
        "reconcile": { "interval": "1s" }, "log": { "format": "json", "level": "debug" },
        "clusters": { "default": {
            "kubernetes": { "sim": {} },
            "pools": { "workers": { "provider": { "sim": {} }, "max": 10 } },
        } },
    });
    assert_eq!(config, parse_value(&value).unwrap());
    let file = super::fields::secret_file();
    let file = file.path().to_str().unwrap();
    let config = with(MINIMAL, &[("BELLWETHER_BEARER_TOKEN_FILE", file)]).unwrap().config;
    assert_eq!(config.service.auth.tokens[0].1.expose(), "from-a-file");
}

/// Every field that holds one value can be set by its path; the table of fields is the list.
#[test]
fn a_path_sets_any_single_field() {
    let file = super::fields::secret_file();
    let mut tried = 0;
    for case in super::fields::cases(file.path()) {
        let text = match &case.good {
            serde_json::Value::String(text) => text.clone(),
            other if other.is_number() || other.is_boolean() => other.to_string(),
            _ => continue,
        };
        let mut before = case.before();
        let mut expected = changed(&before, &case.path, case.good.clone());
        if let Some(other) = &case.without {
            super::remove(&mut expected, other);
            super::remove(&mut before, other);
        }
        let name = format!("BELLWETHER__{}", super::steps(&case.path).join("__"));
        let config = with(&before.to_string(), &[(&name, &text)]);
        let config = config.unwrap_or_else(|errors| panic!("{name}: {errors}")).config;
        assert_eq!(config, parse_value(&expected).unwrap(), "{name}");
        tried += 1;
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn a_shell_that_has_no_dashes_can_still_name_a_pool() {
    let text = MINIMAL.replace("workers", "spot-workers");
    for name in [
        "BELLWETHER__clusters__default__pools__spot-workers__max",
        "BELLWETHER__clusters__default__pools__spot_workers__max",
        "BELLWETHER__CLUSTERS__DEFAULT__POOLS__SPOT_WORKERS__MAX",
    ] {
        let config = with(&text, &[(name, "7")]).unwrap().config;
        let pools = &config.clusters[&ClusterName::from("default")].pools;
        assert_eq!(pools[&PoolName::from("spot-workers")].max, 7);
        assert_eq!(pools.len(), 1);
    }
}

#[test]
fn a_path_that_leads_nowhere_is_an_error_that_names_the_variable() {
    for name in [
        "BELLWETHER__",
        "BELLWETHER__listne",
        "BELLWETHER__auth__tokens__0__token",
        "BELLWETHER__listen__port",
        "BELLWETHER__clusters__default__pools__wrokers__max",
        "BELLWETHER__clusters__staging__mode",
        "BELLWETHER__clusters__default__pools__workers",
        "BELLWETHER__clusters____mode",
    ] {
        let text = format!("listen: 127.0.0.1:1\n{MINIMAL}");
        let errors = with(&text, &[(name, "hunter2")]).expect_err(name);
        assert!(!errors.to_string().contains("hunter2"), "{errors}");
        if name != "BELLWETHER__clusters__default__pools__workers" {
            assert!(errors.to_string().contains(name), "{name}: {errors}");
        }
    }
}

#[test]
fn a_wrong_value_in_a_variable_names_the_variable() {
    let name = "BELLWETHER__clusters__default__pools__workers__max";
    let errors = with(MINIMAL, &[(name, "seven")]).unwrap_err().0;
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].path, "clusters.default.pools.workers.max");
    assert_eq!(errors[0].found.as_deref(), Some(&*format!("\"seven\" in {name}")));
}

#[test]
fn an_empty_variable_is_not_set() {
    let config = with(MINIMAL, &[("BELLWETHER_STORE_URL", "")]).unwrap().config;
    assert_ne!(config.service.store, StoreUrl::Memory);
}

/// A Service called `bellwether` gives every pod variables that look like ours.
#[test]
fn variables_that_kubernetes_makes_are_left_alone() {
    let variables = [
        ("BELLWETHER_PORT", "tcp://10.0.0.1:8080"),
        ("BELLWETHER_SERVICE_HOST", "10.0.0.1"),
        ("BELLWETHER_SERVICE_PORT", "8080"),
        ("BELLWETHER_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("PROMETHEUS_URL", "http://prom"),
        ("LOG_LEVEL", "debug"),
    ];
    let loaded = with(MINIMAL, &variables).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config, super::parse(MINIMAL).unwrap());
    let warnings = with(MINIMAL, &[("BELLWETHER_LISTN", "x")]).unwrap().warnings;
    assert!(warnings[0].mend.contains("BELLWETHER_LISTEN"));
}

/// F-138, F-140, F-141, F-142
#[test]
fn variables_of_earlier_tools_are_told_with_the_field_to_use() {
    for (name, instead) in [
        ("AUTOSCALER_MIN_NODES", "clusters.NAME.pools.NAME.min"),
        ("AUTOSCALER_CPU_THRESHOLD_UP", "rules/"),
        ("AUTOSCALER_SOMETHING_ELSE", "docs/configuration.md"),
        ("MAX_NODES", "clusters.NAME.pools.NAME.max"),
        ("MIN_WORKERS", "clusters.NAME.pools.NAME.min"),
        ("COOLDOWN_DOWN_SEC", "clusters.NAME.pools.NAME.cooldown.down"),
        ("SCALE_UP_CPU_THRESHOLD", "rules/"),
    ] {
        let loaded = with(MINIMAL, &[(name, "3")]).unwrap();
        assert_eq!(loaded.config, super::parse(MINIMAL).unwrap(), "{name} is not read");
        assert_eq!(loaded.warnings.len(), 1);
        assert_eq!(loaded.warnings[0].name, name);
        assert!(loaded.warnings[0].mend.contains(instead), "{}", loaded.warnings[0]);
    }
}

#[test]
fn the_fields_named_in_place_of_earlier_variables_exist() {
    let known = super::known_fields();
    let fields = crate::config::env::EARLIER.iter().map(|(_, instead)| *instead);
    for field in fields.filter(|instead| !instead.contains(' ')) {
        assert!(known.iter().any(|name| name.starts_with(field)), "{field}");
    }
}

#[test]
fn a_token_of_a_list_can_come_from_a_variable() {
    let name = "BELLWETHER__auth__tokens__0__token";
    let config = with(&full().to_string(), &[(name, "abc")]).unwrap().config;
    assert_eq!(config.service.auth.tokens[0].1.expose(), "abc");
    assert_eq!(worker_pool(&config).max, 10);
}
