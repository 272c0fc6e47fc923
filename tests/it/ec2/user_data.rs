//! `docs/examples/ec2-user-data.sh`, amid stand-ins for all that it calls: as whom a machine joins, and what it says when it does not.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/ec2-user-data.sh");
const ID: &str = "i-0123456789abcdef0";
/// As `put-parameter` takes it from a file.
const TOKEN: &str = "K10c0ffee::node:53c437\n";

/// What is asked of the machine and of SSM, and what they answer.
const ANSWERS: [(&str, &str); 10] = [
    ("meta-data/instance-id", ID),
    ("meta-data/instance-type", "t3a.small"),
    ("meta-data/placement/availability-zone", "us-east-1b"),
    ("meta-data/placement/region", "us-east-1"),
    ("meta-data/tags/instance/Name", "workers-1"),
    ("meta-data/tags/instance/bellwether:pool", "workers"),
    ("meta-data/tags/instance/bellwether:node-labels", "tier=web size=big"),
    ("meta-data/tags/instance/bellwether:node-taints", "team=web:NoSchedule old=:NoExecute"),
    ("parameters/k3s/join-token", TOKEN),
    ("parameters/k3s/master-ip", "10.0.0.10\n"),
];

/// All that the script can call: its `PATH` has nothing else.
const NAMES: [&str; 12] = [
    "aws",
    "curl",
    "grep",
    "install",
    "journalctl",
    "mktemp",
    "rm",
    "sh",
    "sleep",
    "systemctl",
    "timeout",
    "tr",
];

/// Plays whom it is called as, once it has noted how. Where there is a folder `asked`, who could be away is away at first.
const STAND_IN: &str = r#"#!/bin/bash
name=${0##*/}
echo "$name $*" >>"$STAGE/calls"
export -p >>"$STAGE/environments"
PATH=/usr/bin:/bin

again() {
  ! mkdir "$STAGE/asked/$1" 2>/dev/null
}

case "$name $*" in
  'curl '*' -X PUT -H X-aws-ec2-metadata-token-ttl-seconds: '*' http://169.254.169.254/latest/api/token')
    again metadata || exit 7
    echo session
    ;;
  'curl '*' -H @'*' http://169.254.169.254/latest/meta-data/'*)
    [[ $* =~ ' -H @'([^ ]+) ]]
    grep -qx 'X-aws-ec2-metadata-token: session' "${BASH_REMATCH[1]}" || exit 22
    url=${!#}
    thing=$STAGE/meta-data/${url#*/meta-data/}
    if [[ -d $thing ]]; then ls "$thing"; else cat "$thing"; fi 2>/dev/null || exit 22
    ;;
  'aws ssm get-parameter --region us-east-1 --name '*' --with-decryption --query Parameter.Value --output text')
    again parameters || exit 254
    cat "$STAGE/parameters$6" 2>/dev/null || exit 254
    ;;
  'timeout 3 bash -c '*' answers 10.0.0.10')
    again server || exit 1
    timeout 3 bash -c "${4/6443/$PORT}" answers 127.0.0.1
    ;;
  'curl '*' -o '*' https://get.k3s.io')
    again installer || exit 6
    [[ $* =~ ' -o '([^ ]+) ]]
    cat >"${BASH_REMATCH[1]}" <<'END'
printf '%s\n' "$INSTALL_K3S_SKIP_START" "$INSTALL_K3S_VERSION" "$@" >"$STAGE/installed"
END
    ;;
  'systemctl start --no-block k3s-agent')
    [[ -e $STAGE/installed ]] && touch "$STAGE/started"
    ;;
  'curl '*' http://127.0.0.1:10248/healthz')
    { [[ -e $STAGE/started ]] && again kubelet; } || exit 7
    ;;
  'journalctl '*) ;;
  'sleep '*) sleep 0.1 ;;
  curl* | aws* | systemctl* | timeout*) exit 2 ;;
  *) exec "$name" "$@" ;;
esac
"#;

struct Machine {
    folder: TempDir,
}

/// How the script ended, and what it said.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    said: String,
}

impl Machine {
    async fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["bin", "tmp", "root/dev"] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        // By a child: what this process just wrote a child of another test may still hold open, and then it cannot be run.
        let stand_in = machine.path("stand-in");
        let mut write = Command::new("/bin/sh");
        write.args(["-c", r#"printf %s "$1" >"$0" && chmod 755 "$0""#]).arg(&stand_in);
        assert!(write.arg(STAND_IN).status().await.unwrap().success());
        for name in NAMES {
            symlink(&stand_in, machine.path("bin").join(name)).unwrap();
        }
        for (name, answer) in ANSWERS {
            let path = machine.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, answer).unwrap();
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn lacks(&self, name: &str) {
        let path = self.path(name);
        let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        gone.unwrap();
    }

    /// Runs the script to its end. Its server listens at a port of ours, or nobody does.
    async fn boots(&self, deadline: u32, port: u16) -> Ended {
        let folders = [("PATH", "bin"), ("ROOT", "root"), ("TMPDIR", "tmp"), ("STAGE", "")];
        let mut command = Command::new("/bin/bash");
        command
            .arg(SCRIPT)
            .env_clear()
            .envs(folders.map(|(variable, folder)| (variable, self.path(folder))))
            .env("DEADLINE", deadline.to_string())
            .env("PORT", port.to_string());
        let output = command.output().await.unwrap();
        assert_eq!(fs::read_dir(self.path("tmp")).unwrap().count(), 0, "it leaves nothing behind");
        let told = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
        let said = told(&output.stdout);
        assert!(!said.is_empty(), "it says how it ended: {}", told(&output.stderr));
        assert_eq!(said, self.file("root/dev/console"), "{}", told(&output.stderr));
        Ended { code: output.status.code(), said }
    }

    /// It gives up at once or at its deadline, says why, and no agent is there.
    async fn gives_up(&self, port: u16, why: &str) {
        let ended = self.boots(1, port).await;
        assert_eq!((ended.code, &*ended.said), (Some(1), &*format!("bellwether: {why}\n")));
        let calls = self.file("calls");
        assert!(!calls.contains("k3s.io") && !calls.contains("systemctl"), "{calls}");
    }
}

#[tokio::test]
async fn it_starts_the_agent_as_the_worker_that_its_tags_say() {
    let machine = Machine::new().await;
    fs::create_dir(machine.path("asked")).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ended = machine.boots(60, server.local_addr().unwrap().port()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.said, format!("bellwether: {ID} is a worker of workers\n"));
    let token_file = machine.path("root/etc/rancher/k3s/agent-token");
    let installed = machine.file("installed");
    let lines: Vec<&str> = installed.lines().collect();
    assert_eq!(lines[0], "true", "started by us, without waiting");
    assert!(lines[1].starts_with('v') && lines[1].contains("+k3s"), "{}", lines[1]);
    let node = format!(
        "agent
--server https://10.0.0.10:6443
--token-file {}
--node-name {ID}
--node-label bellwether.dev/pool=workers
--node-label bellwether.dev/worker={ID}
--node-label topology.kubernetes.io/zone=us-east-1b
--node-label node.kubernetes.io/instance-type=t3a.small
--kubelet-arg=provider-id=aws:///us-east-1b/{ID}
--node-label tier=web
--node-label size=big
--node-taint team=web:NoSchedule
--node-taint old=:NoExecute",
        token_file.display()
    );
    assert_eq!(lines[2..], node.split_whitespace().collect::<Vec<_>>());
    let asked = fs::read_dir(machine.path("asked")).unwrap();
    let asked: BTreeSet<_> =
        asked.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let away = ["installer", "kubelet", "metadata", "parameters", "server"].map(str::to_owned);
    assert_eq!(asked, away.into(), "each was away at first, and asked again");
}

/// W-43.
#[tokio::test]
async fn its_token_is_in_a_file_of_its_own_and_nowhere_else() {
    let machine = Machine::new().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ended = machine.boots(60, server.local_addr().unwrap().port()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let token_file = machine.path("root/etc/rancher/k3s/agent-token");
    assert_eq!(fs::read_to_string(&token_file).unwrap(), TOKEN.trim());
    assert_eq!(fs::metadata(token_file).unwrap().permissions().mode() & 0o777, 0o600);
    let (calls, environments) = (machine.file("calls"), machine.file("environments"));
    assert!(calls.contains("--token-file") && environments.contains("INSTALL_K3S_VERSION"));
    for (place, text) in [("argument", calls), ("variable", environments), ("word", ended.said)] {
        assert!(!text.contains("53c437"), "{place}");
    }
}

#[tokio::test]
async fn where_the_server_does_not_answer_before_the_deadline_it_gives_up_and_says_so() {
    let machine = Machine::new().await;
    // Ours, and nobody listens there.
    let server = TcpSocket::new_v4().unwrap();
    server.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = server.local_addr().unwrap().port();
    machine.gives_up(port, "nobody answers at 10.0.0.10:6443").await;
}

#[tokio::test]
async fn where_the_metadata_has_no_tags_it_says_what_to_set() {
    let machine = Machine::new().await;
    machine.lacks("meta-data/tags");
    let why = "the metadata has no tags: set InstanceMetadataTags to enabled";
    machine.gives_up(0, why).await;
    assert!(!machine.file("calls").contains("aws ssm"), "nothing is asked for that it cannot use");
}

#[tokio::test]
async fn a_machine_of_no_pool_or_without_a_token_that_proves_the_server_does_not_join() {
    let machine = Machine::new().await;
    fs::write(machine.path("parameters/k3s/join-token"), "53c437\n").unwrap();
    let why = "the parameter /k3s/join-token does not begin with K10: take the whole token";
    machine.gives_up(0, why).await;
    machine.lacks("parameters/k3s/join-token");
    machine.gives_up(0, "the parameter /k3s/join-token cannot be read").await;
    machine.lacks("meta-data/tags/instance/bellwether:pool");
    let why = "the tag bellwether:pool is not there: this is no worker of a pool";
    machine.gives_up(0, why).await;
}
