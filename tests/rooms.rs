//! The import rule, read off the sources: rooms stand in layers and import only from below.
//!
//! This table *is* the rule; `docs/architecture.md` shows it. Nothing is linked, so it is fast.
#![expect(clippy::unwrap_used, reason = "a test says what broke by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Room, what it may import, and crates it must not name.
const ROOMS: &[(&str, &[&str], &[&str])] = &[
    ("model", &[], PURE),
    ("clock", &["model"], NETWORK),
    ("killpoint", &[], NETWORK),
    ("telemetry", &[], NETWORK),
    ("config", &["model"], NETWORK),
    ("cost", &["model"], PURE),
    ("metrics", &["model"], NETWORK),
    ("wire", &["config"], &["hyper", "kube", "redb"]),
    ("alert", &["model", "config"], PURE),
    ("policy", &["model", "cost", "config"], PURE),
    (
        "provider",
        &["model", "config", "metrics", "clock"],
        &["kube", "redis", "redb", "hyper", "reqwest"],
    ),
    ("cluster", &["model", "config", "metrics", "clock"], &["redis", "redb", "hyper", "reqwest"]),
    ("store", &["model", "config", "metrics", "clock"], &["kube", "hyper", "reqwest"]),
    ("alertmanager", &["model", "config", "metrics", "clock", "wire"], &["kube", "redb", "hyper"]),
    ("prometheus", &["model", "config", "metrics", "wire"], &["kube", "redb", "hyper"]),
    (
        "sim",
        &["model", "config", "clock", "provider", "cluster", "alertmanager", "prometheus"],
        NETWORK,
    ),
    (
        "reconcile",
        &[
            "model",
            "config",
            "clock",
            "killpoint",
            "metrics",
            "cost",
            "policy",
            "alertmanager",
            "prometheus",
            "provider",
            "cluster",
            "store",
        ],
        &["kube", "redis", "redb", "hyper", "reqwest"],
    ),
    (
        "http",
        &["model", "config", "killpoint", "metrics", "alert", "store"],
        &["kube", "redb", "reqwest"],
    ),
    (
        "app",
        &[
            "model",
            "config",
            "clock",
            "metrics",
            "alertmanager",
            "prometheus",
            "provider",
            "cluster",
            "store",
            "sim",
            "reconcile",
            "http",
        ],
        &["kube", "redb", "reqwest"],
    ),
    (
        "demo",
        &[
            "app",
            "alertmanager",
            "clock",
            "config",
            "model",
            "prometheus",
            "reconcile",
            "sim",
            "store",
        ],
        &["redb", "hyper"],
    ),
    (
        "cli",
        &[
            "app",
            "clock",
            "config",
            "demo",
            "killpoint",
            "metrics",
            "model",
            "provider",
            "store",
            "telemetry",
            "wire",
        ],
        &["redb", "hyper"],
    ),
];

/// Crates that act or wait: pure rooms never name them.
const PURE: &[&str] = &[
    "tokio",
    "tokio_util",
    "hyper",
    "hyper_util",
    "reqwest",
    "redb",
    "redis",
    "kube",
    "tracing",
    "rand",
    "prometheus",
    "async_trait",
];
/// Crates that talk to others.
const NETWORK: &[&str] = &["hyper", "hyper_util", "reqwest", "redb", "redis", "kube"];

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

/// Each room's production code: comments and inline tests left out.
fn rooms() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut rooms: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        let is_test = inside.components().any(|part| {
            ["tests", "tests.rs", "fixtures.rs"].iter().any(|t| part.as_os_str() == *t)
        });
        let room =
            inside.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
        if room == "lib" || room == "main" || is_test {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        rooms.entry(room).or_default().push((file, code));
    }
    rooms
}

/// The rooms named by `crate::…` paths, grouped `use crate::{…}` included.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            for part in group.split_inclusive([',', '{', '}']) {
                if depth == 0 {
                    found.insert(word(part.trim_start()));
                }
                depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
                if depth < 0 {
                    break;
                }
            }
        } else {
            found.insert(word(rest));
        }
    }
    found.remove("");
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn every_room_imports_only_what_its_row_allows() {
    let mut wrong = Vec::new();
    let rooms = rooms();
    for (room, files) in &rooms {
        let Some((_, allowed, _)) = ROOMS.iter().find(|(name, ..)| name == room) else {
            wrong.push(format!("room {room} is not in the table"));
            continue;
        };
        for (file, code) in files {
            for import in imports(code).into_iter().filter(|import| rooms.contains_key(import)) {
                if import != *room && !allowed.contains(&import.as_str()) {
                    wrong.push(format!("{}: {room} may not import {import}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_room_names_a_crate_that_is_not_its_business() {
    let mut wrong = Vec::new();
    for (room, files) in rooms() {
        let forbidden =
            ROOMS.iter().find(|(name, ..)| *name == room).map_or(&[][..], |(_, _, crates)| crates);
        for (file, code) in files {
            for name in forbidden {
                let path = format!("{name}::");
                let mut uses = code.match_indices(&path).filter(|(at, _)| {
                    let before = code[..*at].chars().next_back().unwrap_or(' ');
                    !before.is_alphanumeric() && before != '_' && before != ':'
                });
                if uses.next().is_some() {
                    wrong.push(format!("{}: {room} may not name the crate {name}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_cycle_and_no_ghost() {
    let existing = rooms();
    let mut below: BTreeSet<&str> = BTreeSet::new();
    for (room, allowed, _) in ROOMS {
        assert!(existing.contains_key(*room), "the table lists {room}, which does not exist");
        for import in *allowed {
            assert!(
                below.contains(import),
                "{room} imports {import}, which does not stand below it in the table"
            );
        }
        below.insert(room);
    }
}
