//! `bellwether provider test`, on the worked example of the docs and on programs that get something wrong.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;
use tempfile::TempDir;
use tokio::process::Command;

/// The worked example.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/wake-on-lan");

/// Machines that are on where a file of their name is.
struct Rack {
    folder: TempDir,
}

impl Rack {
    fn new(machines: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = |number: u32| {
            json!({
                "name": format!("n{number}"),
                "mac": format!("02:00:00:00:00:{number:02}"),
                "address": format!("192.0.2.{number}"),
                "shape": "box",
                "zone": "rack",
            })
        };
        let machines: Vec<Value> = (1..=machines).map(machine).collect();
        let shapes = json!([{ "name": "box", "cpu": 8, "memory": "32Gi" }]);
        let inventory = json!({ "machines": machines, "shapes": shapes });
        let rack = Self { folder };
        std::fs::write(rack.path("inventory.json"), inventory.to_string()).unwrap();
        rack
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The options of the example, with commands that play a network.
    fn options(&self) -> Vec<(&'static str, String)> {
        let on = self.path("on-{name}").display().to_string();
        vec![
            ("inventory", self.path("inventory.json").display().to_string()),
            ("wake", format!("touch {on}")),
            ("join", String::new()),
            ("sleep", format!("rm -f {on}")),
            ("is_up", format!("test -e {on}")),
        ]
    }

    fn are_on(&self) -> usize {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("on-")).count()
    }
}

/// Tries a program, which may be several words.
async fn tried(program: &[&str], options: &[(&str, String)], more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    command.args(["provider", "test", "--limit", "3s", "--call", "3s"]).args(more);
    for (name, value) in options {
        command.arg("--option").arg(format!("{name}={value}"));
    }
    command.arg("--").args(program).output().await.unwrap()
}

fn findings(output: &Output) -> Vec<(String, Option<String>)> {
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let finding = |one: &Value| (text(&one["property"]).unwrap(), text(&one["wrong"]));
    told["findings"].as_array().unwrap().iter().map(finding).collect()
}

#[tokio::test]
async fn the_worked_example_keeps_what_every_provider_keeps() {
    let rack = Rack::new(3);
    let output = tried(&[EXAMPLE], &rack.options(), &["--output", "json"]).await;
    let findings = findings(&output);
    let wrong: Vec<_> = findings.iter().filter(|(_, wrong)| wrong.is_some()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((findings.len(), rack.are_on()), (11, 0));
    assert!(output.status.success());
}

#[tokio::test]
async fn a_person_reads_what_is_tried_line_by_line() {
    let rack = Rack::new(3);
    let output = tried(&[EXAMPLE], &rack.options(), &[]).await;
    let told = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 12);
    assert_eq!(lines[0], "  ok     it says that it can work (`check`)");
    assert_eq!(lines[11], "all 11 kept: a pool may name this program");
    // Without machines nothing is launched, and nothing said of what was not tried.
    let output = tried(&[EXAMPLE], &rack.options(), &["--read-only"]).await;
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told.lines().count(), 5);
    assert!(told.contains("without --read-only"), "{told}");
}

#[tokio::test]
async fn a_rack_with_one_machine_is_told_to_lack_one_and_keeps_none() {
    let rack = Rack::new(1);
    let output = tried(&[EXAMPLE], &rack.options(), &["--output", "json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let findings = findings(&output);
    let wrong: Vec<_> = findings.iter().filter_map(|(_, wrong)| wrong.clone()).collect();
    assert_eq!(wrong.len(), 1, "{findings:#?}");
    assert!(wrong[0].contains("no capacity"), "{wrong:?}");
    assert_eq!(rack.are_on(), 0, "the one that was launched is off again");
}

/// Wraps the example in a program that changes what it says.
fn bent(rack: &Rack, python: &str) -> PathBuf {
    let program = rack.path("bent");
    let text = format!(
        "import json, subprocess, sys
call = json.load(sys.stdin)
def ask(call):
    done = subprocess.run([{EXAMPLE:?}], input=json.dumps(call), capture_output=True, text=True)
    return json.loads(done.stdout)
{python}
print(json.dumps(answer))
"
    );
    std::fs::write(&program, text).unwrap();
    program
}

#[tokio::test]
async fn what_a_program_gets_wrong_is_told_by_name() {
    let broken = [
        (
            "the same launch again answers with the same machines",
            "import os
if call['verb'] == 'launch' and call['batch'] != 'x':
    call['workers'] = [f'{worker}.{os.getpid()}' for worker in call['workers']]
answer = ask(call)
for one in answer.get('instances', []):
    one['worker'] = one['worker'].split('.')[0]",
            4,
        ),
        (
            "the list tells of each machine what it was launched with",
            "answer = ask(call)
for one in answer.get('instances', []) if call['verb'] == 'list' else []:
    one['cluster_uid'] = 'other'",
            3,
        ),
        (
            "the list of another pool is without them",
            "if call['verb'] == 'list': call['pool'] = 'trial'
answer = ask(call)",
            3,
        ),
        (
            "a machine is ended, and no other",
            "answer = {} if call['verb'] == 'terminate' else ask(call)",
            3,
        ),
        (
            "ending a machine twice, or one that nobody knows, is well",
            "answer = ask(call)
if call.get('ids') == ['nobody']: answer = {'error': {'kind': 'invalid', 'message': 'who?'}}",
            3,
        ),
        ("it lists the pool", "answer = {} if call['verb'] == 'list' else ask(call)", 3),
        (
            "it offers shapes, each with CPU and memory, and somewhere",
            "answer = {'shapes': []} if call['verb'] == 'shapes' else ask(call)",
            3,
        ),
    ];
    for (property, python, machines) in broken {
        let rack = Rack::new(machines);
        let program = bent(&rack, python);
        // Read by Python, and not run itself: what was just written a child of another test may still hold open.
        let words = ["/usr/bin/env", "python3", program.to_str().unwrap()];
        let output = tried(&words, &rack.options(), &["--output", "json"]).await;
        let findings = findings(&output);
        let first = findings.iter().find(|(_, wrong)| wrong.is_some());
        assert_eq!(first.map(|(name, _)| &**name), Some(property), "{findings:#?}");
        assert_eq!(output.status.code(), Some(1), "{property}");
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told_by_its_path() {
    let output = tried(&["/nonexistent/cloud"], &[], &["--output", "json"]).await;
    let (_, wrong) = findings(&output).remove(0);
    assert!(wrong.unwrap().contains("/nonexistent/cloud"));
    let output = tried(&["cloud"], &[], &[]).await;
    assert!(String::from_utf8(output.stderr).unwrap().contains("whole path"));
}
