//! How a file may change, and what a bad one does.

use super::{Program, workers};
use crate::support::inlet::delivery;
use crate::support::wait;
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::Path;

/// Stands in every bad file, and must stand nowhere else.
const SECRET: &str = "hunter2-never-shown";

/// Puts a file aside and renames it over the one in use, as careful writers do.
fn rename_over(file: &Path, text: &str) {
    let aside = file.with_extension("new");
    std::fs::write(&aside, text).unwrap();
    std::fs::rename(aside, file).unwrap();
}

/// A new version of a mounted folder, as Kubernetes swaps it in: a link to a link.
fn swap_in(mount: &Path, version: &str, files: &[(&str, &str)]) {
    let folder = mount.join(version);
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let _ = std::fs::remove_file(mount.join("..new"));
    symlink(version, mount.join("..new")).unwrap();
    std::fs::rename(mount.join("..new"), mount.join("..data")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_file_at_once_and_says_what_came_of_it() {
    let program = Program::start(&workers(9, "")).await;
    program.hang_up();
    wait::until("it to say that nothing changed", || async {
        program.process.log().contains("configuration read again; nothing changed")
    })
    .await;
    assert!(!program.process.log().contains("configuration reloaded"));
    program.reload(&workers(7, "")).await;
    assert_eq!(program.max().await, 7, "in force by the time it is told");
    assert!(program.process.log().contains("configuration reloaded"));
}

/// Nobody sends SIGHUP.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_taken_however_it_changes() {
    let program = Program::start(&workers(9, "")).await;
    program.write(&workers(8, ""));
    program.max_becomes(8, "a file written over").await;
    let before = std::fs::metadata(&program.file).unwrap().modified().unwrap();
    program.write(&workers(7, ""));
    let file = std::fs::File::options().write(true).open(&program.file).unwrap();
    file.set_modified(before).unwrap();
    program.max_becomes(7, "a file of the same size and time").await;
    rename_over(&program.file, &program.text(&workers(6, "")));
    program.max_becomes(6, "a file renamed over it").await;
    program.write(&workers(6, "# a comment"));
    wait::until("it to say that nothing changed", || async {
        program.process.log().contains("nothing changed")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_file_is_taken_when_its_link_is_swapped() {
    let mount = |folder: &Path| {
        swap_in(folder, "..v1", &[("bellwether.yaml", "")]);
        symlink("..data/bellwether.yaml", folder.join("bellwether.yaml")).unwrap();
    };
    let program = Program::start_at(&workers(9, ""), "bellwether.yaml", None, mount).await;
    let text = program.text(&workers(5, ""));
    swap_in(program.folder.path(), "..v2", &[("bellwether.yaml", &text)]);
    program.max_becomes(5, "the link to be followed").await;
}

/// What is wrong with a file, how it is made so, and the path that is told.
type Bad = (&'static str, Box<dyn Fn()>, String);

fn bad_files(program: &Program) -> Vec<Bad> {
    let file = program.file.clone();
    let own = file.display().to_string();
    let written = |text: Vec<u8>| -> Box<dyn Fn()> {
        let file = file.clone();
        Box::new(move || {
            let _ = std::fs::remove_dir(&file);
            std::fs::write(&file, &text).unwrap();
        })
    };
    let token = format!("auth: {{ bearer_token: {SECRET} }}");
    let text = |text: &str| program.text(text).into_bytes();
    let gone = {
        let file = file.clone();
        Box::new(move || std::fs::remove_file(&file).unwrap())
    };
    let folder = {
        let file = file.clone();
        Box::new(move || std::fs::create_dir(&file).unwrap())
    };
    vec![
        ("missing", gone, own.clone()),
        ("a folder", folder, own.clone()),
        ("no text", written([SECRET.as_bytes(), &[0xff, 0xfe]].concat()), own),
        ("empty", written(Vec::new()), "clusters".to_owned()),
        (
            "no YAML",
            written(format!("auth: {{ bearer_token: \"{SECRET}\n: [").into_bytes()),
            "line ".to_owned(),
        ),
        (
            "wrong fields",
            written(text(&workers(9, &token).replace("max: 9", "max: many, mox: 1"))),
            "clusters.one.pools.workers.mox".to_owned(),
        ),
        (
            "a misspelt secret",
            written(text(&workers(9, &format!("auth: {{ bearer_tokem: {SECRET} }}")))),
            "auth.bearer_tokem".to_owned(),
        ),
        (
            "a secret's file is missing",
            written(text(&workers(9, "auth: { bearer_token_file: FOLDER/nothing }"))),
            "auth.bearer_token_file".to_owned(),
        ),
        (
            "a secret's file is empty",
            written(text(&workers(9, "auth: { bearer_token_file: FOLDER/empty }"))),
            "auth.bearer_token_file".to_owned(),
        ),
        (
            "half a certificate",
            written(text(&workers(
                9,
                "alertmanager: { urls: [https://a], client_cert_file: FOLDER/half.pem }",
            ))),
            "alertmanager.client_cert_file".to_owned(),
        ),
    ]
}

/// It runs on as before, says what is wrong since when wherever people look, and forgets it once it is mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_of_any_kind_keeps_the_running_one_and_is_told_until_it_is_mended() {
    let program = Program::start(&workers(9, "")).await;
    std::fs::write(program.folder.path().join("empty"), "\n").unwrap();
    let half = format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n");
    std::fs::write(program.folder.path().join("half.pem"), half).unwrap();
    let running = program.get("/v1/config").await;
    assert_eq!(program.metric("bellwether_config_last_reload_successful").await, Some(1.0));
    let mut since = Value::Null;
    for (kind, make, path) in bad_files(&program) {
        make();
        program.hang_up();
        let told = |standing: &Value| {
            let errors = standing["wrong"]["errors"].as_array();
            errors.is_some_and(|errors| {
                errors.iter().any(|e| e["path"].as_str().unwrap().starts_with(&path))
            })
        };
        let standing = program.stands(kind, told).await;
        if since.is_null() {
            since = standing["wrong"]["since"].clone();
        }
        assert_eq!(standing["wrong"]["since"], since, "{kind}: since the first");
        assert_eq!(program.metric("bellwether_config_last_reload_successful").await, Some(0.0));
        assert_eq!(program.get("/v1/config").await, running, "{kind}");
        for path in ["/healthz", "/readyz"] {
            let answer = program.client.get(program.url(path)).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{kind}: {path}");
        }
        assert_eq!(program.post(&delivery(&json!({}))).await.0, 200, "{kind}");
        shown(&program, kind, &path).await;
    }
    program.reload(&workers(9, "")).await;
    assert_eq!(program.metric("bellwether_config_last_reload_successful").await, Some(1.0));
    program.write("- 1");
    let again = program.stands("the file that is looked at", |s| !s["wrong"].is_null()).await;
    assert!(again["wrong"]["since"].as_str() > since.as_str(), "it was mended in between");
}

/// In the log in one line, in the status; never a secret.
async fn shown(program: &Program, kind: &str, path: &str) {
    let log = program.process.log();
    let line = log.lines().rev().find(|line| line.contains("new configuration is wrong"));
    assert!(line.is_some_and(|line| line.contains(path)), "{kind}: {log}");
    let status = program.get("/v1/status").await.to_string();
    for text in [&log, &status, &program.metrics().await] {
        assert!(!text.contains(SECRET), "{kind}: {text}");
    }
}

/// Every fault of a file is told, each with its value and its mend.
#[tokio::test(flavor = "multi_thread")]
async fn all_faults_of_a_file_are_told_at_once() {
    let program = Program::start(&workers(9, "")).await;
    program.write(&workers(9, "log: { level: loud }").replace("max: 9", "max: many, mox: 1"));
    program.hang_up();
    let standing = program.stands("the faults", |standing| !standing["wrong"].is_null()).await;
    let errors = standing["wrong"]["errors"].as_array().unwrap();
    let paths: Vec<&str> = errors.iter().map(|error| error["path"].as_str().unwrap()).collect();
    let pool = "clusters.one.pools.workers";
    assert_eq!(paths, [&format!("{pool}.max"), &format!("{pool}.mox"), "log.level"]);
    assert_eq!(errors[0]["found"], "\"many\"");
    assert!(errors.iter().all(|error| !error["mend"].as_str().unwrap().is_empty()));
    let log = program.process.log();
    let line = log.lines().find(|line| line.contains("new configuration is wrong")).unwrap();
    assert!(paths.iter().all(|path| line.contains(path)), "{line}");
    let table = program.status(&[]);
    let told = format!("  {pool}.max: found \"many\"; must be a whole number");
    assert!(table.contains("configuration: wrong since 2") && table.contains(&told), "{table}");
    let printed: Value = serde_json::from_str(&program.status(&["--output", "json"])).unwrap();
    assert_eq!(printed["config"]["wrong"], standing["wrong"]);
    assert!(printed["clusters"]["one"]["status"]["pools"].is_array());
    program.reload(&workers(9, "")).await;
    let table = program.status(&[]);
    assert!(!table.contains("configuration:") && table.contains("workers"), "{table}");
}
