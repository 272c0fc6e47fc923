//! The list of kill points is complete, in both directions: each point is reached in the code and killed at by a test,
//! and each effect is followed by a point.

use bellwether::killpoint::Point;
use std::collections::BTreeSet;
use std::path::Path;

/// What the loop and the inlet call to change something. Of what else these traits offer, all but one are looks.
const EFFECTS: [&str; 13] = [
    "provider.launch",
    "provider.terminate",
    "cluster.cordon",
    "cluster.uncordon",
    "cluster.evict_step",
    "cluster.remove_node",
    "fence.hold",
    "fence.let_go",
    "store.claim",
    "store.renew",
    "store.release",
    "store.commit",
    "store.record_signals",
];
/// Changes something, and is no part of the running service: a person calls it, with the program stopped.
const BY_HAND: &str = "store.restore";
/// `store.ready` may write, where nothing is ever read.
const LOOKS: [&str; 16] = [
    "provider.turn",
    "provider.list",
    "provider.may_end",
    "provider.shapes",
    "provider.complaints",
    "provider.console",
    "cluster.observe",
    "cluster.changed",
    "fence.last",
    "store.now",
    "store.ready",
    "store.load",
    "store.signals",
    "store.history",
    "store.dump",
    "store.wake",
];

/// What the enum names, what stands in `ALL`, what the code reaches, and what is killed at are the same points.
#[test]
fn every_kill_point_is_listed_reached_once_in_the_code_and_killed_at_by_a_test() {
    let listed: BTreeSet<String> = Point::ALL.iter().map(|point| format!("{point:?}")).collect();
    assert_eq!(listed.len(), Point::ALL.len(), "one stands twice in the list");
    let declaration = read("src/killpoint.rs");
    let variants = declaration.split_once("pub enum Point {").unwrap().1.split_once('}').unwrap().0;
    let declared = variants.lines().filter_map(|line| line.trim().strip_suffix(','));
    assert_eq!(declared.map(str::to_owned).collect::<BTreeSet<_>>(), listed);
    let mut reached = Vec::new();
    for (path, text) in sources("src") {
        let calls = text.split("killpoint::reached(").skip(1).filter(|_| path != "killpoint.rs");
        reached.extend(calls.map(|rest| {
            rest.split(')').next().unwrap_or_default().trim_start_matches("Point::").to_owned()
        }));
    }
    reached.sort();
    assert_eq!(reached, listed.iter().cloned().collect::<Vec<_>>(), "each once, and by its name");
    let tests = include_str!("../crash.rs");
    for point in &listed {
        let call = format!("survives(Point::{point}, Fate::Killed, ");
        assert!(tests.contains(&call), "no test kills at {point}");
    }
}

/// Between an effect and the next one, or the end of its file, there is a point.
#[test]
fn every_effect_is_followed_by_a_kill_point() {
    let mut found = BTreeSet::new();
    let acting = |path: &str| path.starts_with("reconcile") || path.starts_with("http");
    for (path, text) in sources("src").into_iter().filter(|(path, _)| acting(path)) {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        assert!(!code.contains(BY_HAND), "{path}: {BY_HAND} is an effect there");
        let mut calls: Vec<(usize, &str)> = EFFECTS
            .into_iter()
            .flat_map(|effect| code.match_indices(effect).map(move |(at, _)| (at, effect)))
            .filter(|(at, effect)| code[at + effect.len()..].starts_with('('))
            .collect();
        calls.sort_unstable();
        for (number, (at, effect)) in calls.iter().enumerate() {
            let end = calls.get(number + 1).map_or(code.len(), |(next, _)| *next);
            let is_followed = code[*at..end].contains("killpoint::reached(");
            assert!(is_followed, "{path}: {effect} without a kill point behind it");
            found.insert(*effect);
        }
    }
    assert_eq!(found, EFFECTS.into(), "an effect that is called nowhere, or under another name");
}

/// A new method of a trait must be told to be an effect or a look.
#[test]
fn every_call_to_others_is_an_effect_or_a_look() {
    let mut offered = BTreeSet::new();
    let fence = ("fence", "cluster/fence");
    for (room, file) in
        [("provider", "provider"), ("cluster", "cluster"), fence, ("store", "store")]
    {
        let text = read(&format!("src/{file}.rs"));
        let body = text.split_once("pub trait ").unwrap().1.split_once("\n}").unwrap().0;
        let methods = body.split("async fn ").skip(1);
        let names = methods.map(|rest| rest.split(['(', '<']).next().unwrap_or_default());
        offered.extend(names.map(|name| format!("{room}.{name}")));
    }
    let known =
        EFFECTS.iter().chain(&LOOKS).chain([&BY_HAND]).map(|call| (*call).to_owned()).collect();
    assert_eq!(offered, known);
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Every source file below a folder, by its path from there. The calls of tests and of the model check are made
/// up.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !name.contains("model_check") && !name.contains("tests") {
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}
