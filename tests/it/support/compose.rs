//! The lab of `compose/` in a Docker of a test's own: the shipped files, on images that stand for those that only a registry has
//! (`tests/lab`), with rules that are ten times as fast.

use super::authority::Authority;
use super::dockerd::{Dockerd, RIGHTS, UNCONFINED, VOLUMES};
use super::{server, wait};
use bellwether::demo::render::faster;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The top of the repository.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// So many times as fast as the shipped rules go.
const FACTOR: u32 = 10;

/// How often something is asked for that takes a process to ask.
const LOOK: Duration = Duration::from_millis(500);

/// Everything ends with it.
pub(crate) struct Compose {
    pub(crate) dockerd: Dockerd,
    /// A copy of what the lab is made of.
    copy: TempDir,
    /// Which Compose.
    program: PathBuf,
}

impl Compose {
    /// With the images, and nothing begun. `None` after a printed skip where something is missing.
    pub(crate) async fn new(version: &str) -> Option<Self> {
        let program = server::made("image/bellwether", "make lab-program")?;
        Self::around(version, program.parent().unwrap()).await
    }

    /// The same, with the image made around the program in a folder that `tests/lab/program` filled.
    pub(crate) async fn around(version: &str, program: &Path) -> Option<Self> {
        let compose = server::find(&format!("compose-{version}"), "docker-compose")?;
        for (needed, part) in [
            ("lab-image-12", "../share/lab.tar"),
            ("prometheus-3.16", "prometheus"),
            ("alertmanager-0.31", "alertmanager"),
        ] {
            server::find(needed, part)?;
        }
        let dockerd = Dockerd::start().await?;
        let lab = Self { dockerd, copy: copy(), program: compose };
        lab.build_images(program).await;
        Some(lab)
    }

    async fn build_images(&self, program: &Path) {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        fs::copy(authority.ca_file(), folder.path().join("ca.pem")).unwrap();
        let own: Vec<String> = (2..255).map(|host| format!("172.30.92.{host}")).collect();
        let kubelets: Vec<&str> = own.iter().map(String::as_str).collect();
        authority.write_pair_of(&kubelets, folder.path());
        for part in ["pem", "key"] {
            let at = |name: &str| folder.path().join(format!("{name}.{part}"));
            fs::rename(at("server"), at("kubelet")).unwrap();
        }
        authority.write_pair_of(&["k3s-server", "127.0.0.1"], folder.path());
        let cache = self.dockerd.client().ancestors().nth(3).unwrap().to_owned();
        let build = Path::new(ROOT).join("tests/lab/build");
        let words = [build.as_path(), &cache, folder.path(), program];
        let words = words.map(|word| word.as_os_str().to_owned());
        let output = self.command(&words).output().await.unwrap();
        succeeded("tests/lab/build", &output);
    }

    /// What these lines of a shell print, in a folder of the copy. There `docker` is this one's, and its loopback is the lab's.
    pub(crate) async fn run(&self, folder: &str, lines: &str) -> String {
        let lines = format!("cd {}\n{lines}", self.copy.path().join(folder).display());
        let words = ["sh", "-ec", &lines].map(OsString::from);
        let output = self.command(&words).output().await.unwrap();
        if !output.status.success() {
            self.tell("docker compose logs --no-color --tail=15").await;
        }
        succeeded(&lines, &output)
    }

    /// Prints what a command prints, for whoever wonders what failed.
    #[expect(clippy::print_stderr, reason = "it is told with the failure")]
    async fn tell(&self, line: &str) {
        let line = format!("cd {}\n{line}", self.copy.path().join("compose").display());
        let words = ["sh", "-c", &line].map(OsString::from);
        let output = self.command(&words).output().await.unwrap();
        eprintln!("{}", String::from_utf8_lossy(&output.stdout));
    }

    fn command(&self, words: &[OsString]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("nsenter");
        let network = format!("--net=/proc/{}/ns/net", self.dockerd.process());
        let copy = self.copy.path();
        let files = ["compose/docker-compose.yml", "images.yml"].map(|file| copy.join(file));
        command
            .arg(network)
            .arg("env")
            .arg(format!(
                "PATH={}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                copy.join("bin").display()
            ))
            .args(words)
            .env("DOCKER_HOST", self.dockerd.url())
            .env("DOCKER_SOCKET", self.dockerd.socket())
            .env("DOCKER_CONFIG", copy.join("docker"))
            .env("DOCKER", self.dockerd.client())
            .env("COMPOSE_PROGRAM", &self.program)
            .env("COMPOSE_FILE", files.map(|file| file.display().to_string()).join(":"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// What Bellwether's own program in its container says to these words, as JSON. Nothing while it is away.
    pub(crate) async fn asked(&self, words: &str) -> Value {
        let line =
            format!("docker compose exec -T bellwether bellwether {words} --output json || true");
        serde_json::from_str(&self.run("compose", &line).await).unwrap_or_default()
    }

    /// Names of workers that are Ready, and of the others that are not gone.
    pub(crate) async fn workers(&self) -> (Vec<String>, Vec<String>) {
        let told = self.asked("workers").await;
        let all = told["clusters"]["default"]["workers"].as_array().cloned().unwrap_or_default();
        let name = |worker: &Value| worker["id"].as_str().unwrap().to_owned();
        let there = all.iter().filter(|worker| worker["state"]["state"] != "gone");
        let (ready, others): (Vec<_>, Vec<_>) =
            there.partition(|worker| worker["state"]["state"] == "ready");
        (ready.into_iter().map(name).collect(), others.into_iter().map(name).collect())
    }

    /// Waits for it; in vain it tells how the lab is.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        if wait::comes_true_at(LOOK, wait::LIMIT, || async { holds().await }).await {
            return;
        }
        self.tell("docker compose exec -T bellwether bellwether history").await;
        self.tell("docker compose exec -T bellwether bellwether status").await;
        self.tell("docker compose exec -T k3s-server kubectl get nodes,pods --output wide").await;
        self.tell("docker compose exec -T k3s-server kubectl get events").await;
        self.tell("curl --silent http://127.0.0.1:8000/metrics | grep '^lab_'").await;
        panic!("waited {:?} for {what}, in vain", wait::LIMIT);
    }

    /// Waits until so many workers are Ready, or more.
    pub(crate) async fn has_ready(&self, count: usize) {
        let what = format!("{count} Ready workers");
        self.until(&what, async || self.workers().await.0.len() >= count).await;
    }

    /// The Docker's own view of the containers that Compose made, by service: their state and health.
    pub(crate) async fn services(&self) -> Vec<(String, String)> {
        let format = "{{.Label \"com.docker.compose.service\"}} {{.Status}}";
        let words =
            ["ps", "--all", "--filter", "label=com.docker.compose.service", "--format", format];
        let lines = self.dockerd.says(&words).await;
        let parts = lines.iter().filter_map(|line| line.split_once(' '));
        parts.map(|(service, status)| (service.to_owned(), status.to_owned())).collect()
    }
}

/// What was printed.
fn succeeded(what: &str, output: &Output) -> String {
    let [printed, told] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{what}\n{}: {printed}\n{told}", output.status);
    printed.into_owned()
}

/// The lab's files as they are shipped, faster, and with what the machine of a test needs of workers.
fn copy() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let to = copy.path();
    for folder in ["compose", "rules", "alertmanager"] {
        copy_folder(&Path::new(ROOT).join(folder), &to.join(folder));
    }
    fs::create_dir_all(to.join("deploy")).unwrap();
    fs::create_dir_all(to.join("bin")).unwrap();
    let files = [
        ("deploy/rbac.yaml", "deploy/rbac.yaml"),
        ("Makefile", "Makefile"),
        ("tests/lab/images.yml", "images.yml"),
        ("tests/lab/docker", "bin/docker"),
        ("tests/lab/docker", "bin/docker-compose"),
    ];
    for (from, place) in files {
        fs::copy(Path::new(ROOT).join(from), to.join(place)).unwrap();
    }
    let bellwether = to.join("compose/bellwether.yaml");
    fs::write(&bellwether, for_a_test(&fs::read_to_string(&bellwether).unwrap())).unwrap();
    copy
}

/// All but the passwords of a lab that may run here.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy_folder(&from, &to);
        } else if from.file_name().unwrap() != ".env" {
            fs::copy(&from, &to).unwrap();
            if is_timed(&from) {
                fs::write(&to, faster(&fs::read_to_string(&from).unwrap(), FACTOR)).unwrap();
            }
        }
    }
}

/// Rules, and who reads them.
fn is_timed(file: &Path) -> bool {
    let name = file.file_name().unwrap().to_str().unwrap();
    let is_rules = file.components().any(|part| part.as_os_str() == "rules");
    is_rules && file.extension() == Some("yaml".as_ref())
        || ["prometheus.yml", "alertmanager.yml"].contains(&name)
}

/// Bellwether's file, in keeping with faster rules; and its workers with no more rights than a machine of tests may have to give.
fn for_a_test(shipped: &str) -> String {
    let list = |words: &[&str]| serde_json::to_string(words).unwrap();
    let workers = format!(
        "image: local/k3s:1
            privileged: false
            cap_add: {}
            security_opt: {}
            volumes: {}
            tmpfs: []
            binds: [\"/sys/fs/cgroup:/sys/fs/cgroup:rw\"]",
        list(&RIGHTS),
        list(&UNCONFINED),
        list(&VOLUMES),
    );
    let changes = [
        ("image: rancher/k3s:v1.33.5-k3s1", workers.as_str()),
        ("args: [", "args: [\"--kubelet-arg=housekeeping-interval=1s\", "),
        ("min: 1\n", "min: 1\n        min_age: 0s\n        cooldown: { up: 0s, down: 0s }\n"),
        (
            "urls: [http://prometheus:9090]",
            "urls: [http://prometheus:9090], scrape_interval: 1500ms",
        ),
        ("clusters:\n", "reconcile: { interval: 5s }\nclusters:\n"),
    ];
    changes.iter().fold(shipped.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "compose/bellwether.yaml does not say {from}");
        text.replace(from, to)
    })
}
