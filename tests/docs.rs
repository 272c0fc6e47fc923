//! Documentation that names things of the code is held against the code. Nothing is linked.
#![expect(clippy::unwrap_used, reason = "a test says what broke by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

/// Every metric the code registers, with its labels: `http_requests_total` -> `route,code`.
fn registered() -> BTreeMap<String, String> {
    let files = read("src/metrics.rs") + &read("src/metrics/sensed.rs");
    let code: String = files.split_whitespace().collect::<Vec<_>>().join(" ").replace(" .", ".");
    let kinds =
        ["counters", "int_gauges", "int_gauge", "gauges", "gauge", "histograms", "histogram"];
    let mut found = BTreeMap::new();
    for kind in kinds {
        for (at, call) in code.match_indices(&format!("f.{kind}(")) {
            let arguments = &code[at + call.len()..];
            let name = arguments.split('"').nth(1).unwrap_or_default();
            let labels = arguments.split(");").next().unwrap_or_default();
            let ends = [") ,", "),", ") }"].into_iter().filter_map(|end| arguments.find(end));
            let end = ends.min().unwrap_or(labels.len());
            let own = &arguments[..end];
            let labels: Vec<&str> =
                own.split("&[").nth(1).unwrap_or_default().split('"').skip(1).step_by(2).collect();
            found.insert(format!("bellwether_{name}"), labels.join(","));
        }
    }
    found
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let documented: BTreeMap<String, String> = read("docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .map(|family| match family.split_once('{') {
            Some((name, labels)) => (name.to_owned(), labels.trim_end_matches('}').to_owned()),
            None => (family, String::new()),
        })
        .collect();
    assert_eq!(documented, registered());
}

#[test]
fn every_feature_has_its_line_and_the_tests_it_names_exist() {
    let mut files = Vec::new();
    sources(&root().join("tests"), &mut files);
    sources(&root().join("src"), &mut files);
    let code: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let exists = |test: &str| code.iter().any(|text| text.contains(&format!("fn {test}(")));
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for line in read("docs/features.md").lines().filter(|line| line.starts_with("| F-")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (id, tests) = (cells[1], cells[cells.len() - 2]);
        if !seen.insert(id.to_owned()) {
            wrong.push(format!("{id} stands twice"));
        }
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() && !tests.starts_with("later") && !tests.starts_with("replaced") {
            wrong.push(format!("{id} names no test"));
        }
        wrong.extend(
            named
                .iter()
                .filter(|t| !exists(t) && !root().join(t).exists())
                .map(|t| format!("{id}: no test {t}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.len() > 40, "docs/features.md lists only {} features", seen.len());
}

/// A test by its path below `tests/it`, as `cargo test` names it: its room is a file, which holds it.
fn is_there(path: &str) -> bool {
    let Some((room, test)) = path.rsplit_once("::") else { return false };
    let file = format!("tests/it/{}.rs", room.replace("::", "/"));
    let code = fs::read_to_string(root().join(file)).unwrap_or_default();
    code.contains(&format!("\nasync fn {test}(")) || code.contains(&format!("\nfn {test}("))
}

/// The tests of a room below `tests/it`, by the same paths.
fn tests_of(room: &str) -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&root().join("tests/it").join(room), &mut files);
    let mut found = BTreeSet::new();
    for file in files {
        let code = fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        for part in code.split("#[tokio::test").skip(1) {
            let test = part.split("async fn ").nth(1).unwrap().split('(').next().unwrap();
            found.insert(format!("{room}::{name}::{test}"));
        }
    }
    found
}

/// Each row of the page's table of this room ends with a test that exists, and each test of the room has one row.
fn rows_are_the_tests_of(page: &str, room: &str) {
    let text = read(page);
    let rows =
        text.lines().filter(|line| line.starts_with("| ") && line.contains(&format!("`{room}::")));
    let last = |row: &str| row.split('`').rev().nth(1).unwrap_or_default().to_owned();
    let named: Vec<String> = rows.map(last).collect();
    let wrong: Vec<&String> = named.iter().filter(|test| !is_there(test)).collect();
    assert!(wrong.is_empty(), "{page} names what is not there: {wrong:#?}");
    let once: BTreeSet<String> = named.iter().cloned().collect();
    assert_eq!(once.len(), named.len(), "a test stands twice");
    let unnamed: Vec<String> = tests_of(room).difference(&once).cloned().collect();
    assert!(unnamed.is_empty(), "{page} lacks {unnamed:#?}");
}

#[test]
fn every_trap_names_its_test_and_every_test_of_a_trap_is_named() {
    rows_are_the_tests_of("docs/alertmanager.md", "traps");
}

#[test]
fn every_failure_of_a_replica_names_its_test_and_every_test_of_one_is_named() {
    rows_are_the_tests_of("docs/operations.md", "replicas");
}
