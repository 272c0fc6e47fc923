//! A Docker of a test's own, apart from the machine's network and mounts, and the workers that run in it: containers, each with a
//! containerd and a real kubelet, of the image that `tests/worker` says.

use super::control_plane::ADMIN;
use super::{server, wait};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;
use tempfile::TempDir;

/// What a kubelet and what it starts may do beyond what Docker lets every container do.
pub(crate) const RIGHTS: [&str; 4] = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG"];

/// What runs it, apart.
const SECLUDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/secluded-dockerd");

/// What keeps it from what it needs of the kernel.
pub(crate) const UNCONFINED: [&str; 3] =
    ["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"];

/// Overlays cannot lie upon overlays, so what it unpacks is in volumes.
pub(crate) const VOLUMES: [&str; 2] = ["/var/lib/containerd", "/var/lib/kubelet"];

/// The image of a worker.
pub(crate) const IMAGE: &str = "local/worker:1";

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
        let WayOut { link, gateway, inside, bridge } = way_out();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let root = client.parent().unwrap().parent().unwrap();
        let child = Command::new(SECLUDED)
            .args([root, folder.path()])
            .args([&link, &gateway, &inside, &bridge])
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
        let deadline = Instant::now() + wait::LIMIT;
        while !self.ask(&["version"]).await.status.success() {
            let runs = self.child.try_wait().unwrap().is_none();
            assert!(runs && Instant::now() < deadline, "dockerd does not answer:\n{}", told());
        }
    }

    /// Starts a worker, which joins at this address as the node of its name, with these labels. `ca` vouches for who answers there.
    pub(crate) async fn run(&self, name: &str, labels: &[(&str, &str)], server: &str, ca: &Path) {
        let mut words: Vec<String> =
            ["run", "--detach", "--name", name, "--hostname", name].map(str::to_owned).into();
        words.extend(RIGHTS.map(|right| format!("--cap-add={right}")));
        words.extend(UNCONFINED.map(|option| format!("--security-opt={option}")));
        words.extend(VOLUMES.map(|path| format!("--volume={path}")));
        words.extend(self.binds(ca).map(|bind| format!("--volume={bind}")));
        let told = [("URL", server), ("TOKEN", ADMIN), ("NODE_NAME", name)];
        words.extend(told.map(|(what, value)| format!("--env=K3S_{what}={value}")));
        words.extend([IMAGE.to_owned(), "agent".to_owned()]);
        words.extend(labels.iter().map(|(key, value)| format!("--node-label={key}={value}")));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.does(&words).await;
    }

    /// What a worker needs of this machine.
    pub(crate) fn binds(&self, ca: &Path) -> [String; 3] {
        let shown = |from: &Path, to: &str| format!("{}:{to}:ro", from.display());
        [
            "/sys/fs/cgroup:/sys/fs/cgroup:rw".to_owned(),
            shown(&self.kubelet, "/usr/bin/control-plane"),
            shown(ca, "/etc/ca.crt"),
        ]
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The process whose network is its own.
    #[cfg(feature = "docker")]
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Images on their way have so many bytes from now on; with `None` as many as there are.
    #[cfg(feature = "docker")]
    pub(crate) async fn has_room_for_pulls(&self, bytes: Option<&str>) {
        let folder = self.folder.path().join("data/tmp");
        let mut words = vec!["--target".to_owned(), self.process().to_string()];
        words.extend(["--mount", "--wd=/"].map(str::to_owned));
        match bytes {
            Some(bytes) => {
                let size = format!("size={bytes}");
                let mount = ["mount", "-t", "tmpfs", "-o", &size, "tmpfs"];
                words.extend(mount.map(str::to_owned));
            }
            None => words.push("umount".to_owned()),
        }
        let done = tokio::process::Command::new("nsenter").args(&words).arg(folder).status().await;
        assert!(done.unwrap().success(), "nsenter {words:?}");
    }

    /// Ends it as `kill -9` would, and starts it again on what it had.
    #[cfg(feature = "docker")]
    pub(crate) async fn restart(&mut self) {
        use std::io::Write as _;
        self.child.stdin.as_mut().unwrap().write_all(b"again\n").unwrap();
        let line = || std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        wait::until("another dockerd", async || line().contains("dockerd was started again")).await;
        self.is_ready().await;
    }

    /// A folder of the machine that is this volume.
    #[cfg(feature = "docker")]
    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.folder.path().join("data/volumes").join(name).join("_data")
    }

    /// The program `docker`.
    #[cfg(feature = "docker")]
    pub(crate) fn client(&self) -> &Path {
        &self.client
    }

    /// An image like a worker's whose containers do nothing.
    #[cfg(feature = "docker")]
    pub(crate) async fn idle_image(&self) -> String {
        let (made, name) = ("to-be-idle", "local/idle:1");
        self.does(&["create", "--name", made, IMAGE]).await;
        let idle = r#"ENTRYPOINT ["/bin/busybox", "sh", "-c", "echo idle; exec sleep 3600"]"#;
        self.does(&["commit", "--change", idle, made, name]).await;
        self.does(&["rm", made]).await;
        name.to_owned()
    }

    /// What `docker` says to these words, a line for each thing.
    #[cfg(feature = "docker")]
    pub(crate) async fn says(&self, words: &[&str]) -> Vec<String> {
        let output = self.does(words).await;
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// A signal for the kubelet of a worker.
    pub(crate) async fn signal(&self, name: &str, signal: &str) {
        self.does(&["kill", "--signal", signal, name]).await;
    }

    /// Ends a worker at once, with all that it has. One that is not there has ended.
    pub(crate) async fn remove(&self, name: &str) {
        self.does(&["rm", "--force", "--volumes", name]).await;
    }

    pub(crate) async fn does(&self, words: &[&str]) -> Output {
        let output = self.ask(words).await;
        let (status, told) = (output.status, String::from_utf8_lossy(&output.stderr));
        assert!(status.success(), "docker {}: {status}: {told}", words.join(" "));
        output
    }

    /// The same, whatever comes of it.
    #[cfg(feature = "docker")]
    pub(crate) async fn tries(&self, words: &[&str]) -> Output {
        self.ask(words).await
    }

    async fn ask(&self, words: &[&str]) -> Output {
        let mut command = tokio::process::Command::from(self.command());
        command.args(words).output().await.unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.client);
        command.arg("--host").arg(self.url()).stdin(Stdio::null());
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

/// How a Docker and this machine reach each other.
struct WayOut {
    /// The link's name.
    link: String,
    /// Its address on this side.
    gateway: String,
    /// Its address on the other.
    inside: String,
    /// The address of the bridge that the containers are on.
    bridge: String,
}

/// One that no other test has. The link's addresses are of those that RFC 2544 sets apart for tests, the containers' of those that RFC
/// 6598 leaves to networks behind networks.
fn way_out() -> WayOut {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let number = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
    let id = std::process::id();
    let net = (id.wrapping_mul(8) + number) % 0x4000;
    let (third, fourth) = (net >> 6, (net & 0x3f) << 2);
    let at = |host: u32| format!("198.18.{third}.{}", fourth + host);
    WayOut {
        link: format!("bw{id:x}-{number}"),
        gateway: at(1),
        inside: at(2),
        bridge: format!("100.{}.{}.1", 64 + (net >> 8), net & 0xff),
    }
}
