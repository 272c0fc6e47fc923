//! A Docker of a test's own, apart from the machine's network and mounts, and the workers that run in it: containers, each with a
//! containerd and a real kubelet, of the image that `tests/worker` says.

use super::server;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long it may take to start.
const LIMIT: Duration = Duration::from_mins(1);

/// What a kubelet and what it starts may do beyond what Docker lets every container do.
const RIGHTS: [&str; 4] = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG"];

/// What runs it, apart.
const SECLUDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/secluded-dockerd");

/// The image of a worker.
const IMAGE: &str = "local/worker:1";

/// A running one. Its containers end with it.
pub(crate) struct Dockerd {
    child: Child,
    folder: TempDir,
    client: PathBuf,
    kubelet: PathBuf,
    /// Where its containers reach this machine.
    pub(crate) gateway: String,
}

impl Dockerd {
    /// Starts one that knows the image of a worker. `None` after a printed skip where a part of it is missing, or this
    /// machine lets nobody run one.
    pub(crate) async fn start() -> Option<Self> {
        let client = server::find("docker-20.10", "docker")?;
        let kubelet = server::find("control-plane-1.36", "control-plane")?;
        let image = server::find("worker-image-12", "../share/worker.tar")?;
        if let Err(why) = is_possible() {
            server::skip(why);
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (link, gateway, inside) = way_out();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let root = client.parent().unwrap().parent().unwrap();
        let child = Command::new(SECLUDED)
            .args([root, folder.path()])
            .args([&link, &gateway, &inside])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut dockerd = Self { child, folder, client, kubelet, gateway };
        dockerd.is_ready().await;
        let entrypoint = "ENTRYPOINT [\"/entrypoint\"]";
        dockerd.does(&["import", "--change", entrypoint, image.to_str().unwrap(), IMAGE]).await;
        Some(dockerd)
    }

    async fn is_ready(&mut self) {
        let log = self.folder.path().join("log");
        let told = || std::fs::read_to_string(&log).unwrap();
        let deadline = Instant::now() + LIMIT;
        while !self.ask(&["version"]).await.status.success() {
            let runs = self.child.try_wait().unwrap().is_none();
            assert!(runs && Instant::now() < deadline, "dockerd does not answer:\n{}", told());
        }
    }

    /// Starts a worker, which joins where the kubeconfig leads, as the node of its name with these labels. `ca` is the file
    /// that the kubeconfig names.
    pub(crate) async fn run(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        kubeconfig: &Path,
        ca: &Path,
    ) {
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let shown =
            |from: &Path, to: &Path| format!("--volume={}:{}:ro", from.display(), to.display());
        let mut words: Vec<String> =
            ["run", "--detach", "--name", name, "--hostname", name].map(str::to_owned).into();
        words.extend(RIGHTS.map(|right| format!("--cap-add={right}")));
        words.extend(
            ["seccomp", "apparmor", "systempaths"]
                .map(|by| format!("--security-opt={by}=unconfined")),
        );
        // Overlays cannot lie upon overlays, so what it unpacks is in volumes.
        words.extend(
            ["/var/lib/containerd", "/var/lib/kubelet"].map(|path| format!("--volume={path}")),
        );
        words.push("--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw".to_owned());
        words.push(shown(&self.kubelet, Path::new("/usr/bin/control-plane")));
        words.push(shown(kubeconfig, Path::new("/etc/kubeconfig")));
        words.push(shown(ca, ca));
        words.extend([IMAGE.to_owned(), format!("--hostname-override={name}")]);
        words.push(format!("--node-labels={}", labels.join(",")));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.does(&words).await;
    }

    /// A signal for the kubelet of a worker.
    pub(crate) async fn signal(&self, name: &str, signal: &str) {
        self.does(&["kill", "--signal", signal, name]).await;
    }

    /// Ends a worker at once, with all that it has. One that is not there has ended.
    pub(crate) async fn remove(&self, name: &str) {
        self.does(&["rm", "--force", "--volumes", name]).await;
    }

    async fn does(&self, words: &[&str]) {
        let output = self.ask(words).await;
        let (status, told) = (output.status, String::from_utf8_lossy(&output.stderr));
        assert!(status.success(), "docker {}: {status}: {told}", words.join(" "));
    }

    async fn ask(&self, words: &[&str]) -> Output {
        let mut command = tokio::process::Command::from(self.command());
        command.args(words).output().await.unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.client);
        let socket = self.folder.path().join("docker.sock");
        command.arg("--host").arg(format!("unix://{}", socket.display())).stdin(Stdio::null());
        command
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // Nothing of theirs stays behind in the machine's cgroups, as it would if they only were killed.
        if let Ok(listed) = self.command().args(["ps", "--all", "--quiet"]).output() {
            let ids = String::from_utf8_lossy(&listed.stdout);
            let _ = self.command().args(["rm", "--force"]).args(ids.split_whitespace()).output();
        }
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Whether this machine lets a dockerd run. Its workers were tried with cgroups of version 1 only.
fn is_possible() -> Result<(), &'static str> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root may run a dockerd");
    }
    if !Path::new("/sys/fs/cgroup/memory").is_dir() {
        return Err("the workers need cgroups of version 1");
    }
    let apart = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "true"];
    let may = Command::new("unshare").args(apart).stderr(Stdio::null()).status();
    may.is_ok_and(|may| may.success()).then_some(()).ok_or("`unshare --net` is refused here")
}

/// A link's name, its address on this side and on the other, of which no other test has one. The addresses are of those that RFC
/// 2544 sets apart for tests.
fn way_out() -> (String, String, String) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let number = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
    let id = std::process::id();
    let net = (id.wrapping_mul(8) + number) % 0x4000;
    let (third, fourth) = (net >> 6, (net & 0x3f) << 2);
    let at = |host: u32| format!("198.18.{third}.{}", fourth + host);
    (format!("bw{id:x}-{number}"), at(1), at(2))
}
