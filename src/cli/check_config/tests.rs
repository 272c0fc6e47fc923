use super::*;
use serde_json::Value;
use std::collections::BTreeMap;

const GOOD: &str = "
auth: { bearer_token: hunter2 }
alertmanager: { urls: [http://am:9093] }
prometheus: { urls: [http://prom:9090] }
clusters:
  default:
    kubernetes: { sim: {} }
    pools: { workers: { provider: { sim: {} }, max: 10 } }
";

fn check(text: &str, output: Output) -> (i32, String) {
    let env = BTreeMap::from([("MIN_NODES".to_owned(), "2".to_owned())]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut out = Vec::new();
    let code = check_config(file.path(), output, &env, &mut out);
    (code, String::from_utf8(out).unwrap())
}

#[test]
fn a_good_file_is_ok_and_warnings_are_told() {
    let (code, told) = check(GOOD, Output::Table { width: Some(80) });
    assert_eq!(code, OK);
    assert!(told.contains("ok, 1 cluster and 1 pool"), "{told}");
    assert!(told.contains("MIN_NODES"), "{told}");
    assert!(told.lines().all(|line| line.chars().count() <= 80 || line.contains("ok,")), "{told}");
}

#[test]
fn json_holds_the_whole_configuration_without_secrets() {
    let (code, told) = check(GOOD, Output::Json);
    let value: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &value["ok"]), (OK, &Value::Bool(true)));
    assert_eq!(value["config"]["clusters"]["default"]["pools"]["workers"]["min_age"], "10m");
    assert_eq!(value["warnings"][0]["name"], "MIN_NODES");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn every_error_is_told_with_path_value_and_mend() {
    let bad = GOOD.replace("max: 10", "max: seven, replacements_per_huor: 3");
    let (code, told) = check(&bad, Output::Table { width: Some(80) });
    assert_eq!(code, ERRORS);
    for part in [
        "clusters.default.pools.workers.replacements_per_huor ",
        "\"seven\"",
        "must be a",
        "unknown field",
        "2 errors",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(told.contains("MIN_NODES"), "{told}");
    let (code, told) = check(&bad, Output::Json);
    let value: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &value["config"]), (ERRORS, &Value::Null));
    assert_eq!(value["errors"][0]["path"], "clusters.default.pools.workers.max");
    assert_eq!(value["errors"][0]["found"], "\"seven\"");
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault_of_usage() {
    let env = BTreeMap::new();
    for path in ["/nonexistent/bellwether.yaml", "/"] {
        let mut out = Vec::new();
        let code = check_config(Path::new(path), Output::Json, &env, &mut out);
        assert_eq!(code, USAGE);
        assert!(String::from_utf8(out).unwrap().contains("cannot be read"));
    }
}
