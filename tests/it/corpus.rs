//! The kept inputs of the fuzz targets, replayed: each once broke something or reaches code that no other does.

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets' own library")]
mod targets;

use std::path::{Path, PathBuf};

/// What the corpus may weigh, so that it stays a part of the repository that nobody minds.
const FILES: usize = 300;
const BYTES: u64 = 500_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(corpus().join(target)).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_kept_input_holds_what_its_fuzz_target_promises() {
    let mut broken = Vec::new();
    for (target, run) in targets::TARGETS {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "no input is kept for {target}");
        for input in inputs {
            let data = std::fs::read(&input).unwrap();
            if std::panic::catch_unwind(|| run(&data)).is_err() {
                broken.push(input);
            }
        }
    }
    assert!(broken.is_empty(), "promises are broken by {broken:#?}");
}

#[test]
fn the_corpus_has_a_folder_and_a_program_for_every_target_and_stays_small() {
    let fuzz = corpus().parent().unwrap().to_owned();
    let mut names: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    for (folder, ending) in [("corpus", ""), ("dictionaries", ""), ("fuzz_targets", ".rs")] {
        let entries = std::fs::read_dir(fuzz.join(folder)).unwrap();
        let mut there: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        there.sort();
        assert_eq!(there, names.iter().map(|name| format!("{name}{ending}")).collect::<Vec<_>>());
    }
    let all: Vec<PathBuf> = names.iter().flat_map(|name| inputs(name)).collect();
    let bytes: u64 = all.iter().map(|input| input.metadata().unwrap().len()).sum();
    assert!(all.len() < FILES && bytes < BYTES, "{} files, {bytes} bytes", all.len());
}
