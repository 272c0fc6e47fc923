//! A real Kubernetes control plane: etcd and the API server, and what else a test wants of the controllers, the
//! scheduler, and kwok, which plays the kubelets of nodes that are objects only.

mod access;
mod objects;
mod part;
mod service;

pub(crate) use access::{ADMIN, AUDITED, RESTRICTED, client, write_kubeconfig};
pub(crate) use objects::{
    FakeNode, create, is_bound, is_ready, is_running, pod, silence, until, why_unschedulable,
};
pub(crate) use part::Part;
pub(crate) use service::{SERVICE, manifest};

use super::authority::Authority;
use super::server::{self, Ready, Server};
use super::{ports, wait};
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

/// How many may run at once, for each takes 0.4 GB and, while it starts, all of a small machine.
static ROOM: Semaphore = Semaphore::const_new(2);

/// What a test may choose. Etcd and the API server are always there.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The other parts.
    pub(crate) parts: Vec<Part>,
    /// More flags, for example `--node-monitor-grace-period=5s` of the controllers. `FOLDER` is where its files are.
    pub(crate) flags: Vec<(Part, &'static str)>,
    /// Fields of the scheduler's configuration file; `None` is none.
    pub(crate) scheduler: Option<Value>,
    /// The address of this machine at which the API server listens.
    pub(crate) address: String,
}

/// Where nobody else can reach it.
const LOOPBACK: &str = "127.0.0.1";

impl Default for Setting {
    fn default() -> Self {
        let parts = vec![Part::Controllers, Part::Scheduler, Part::Kwok];
        Self { parts, flags: Vec::new(), scheduler: None, address: LOOPBACK.to_owned() }
    }
}

impl Setting {
    /// The API server alone: nobody schedules, and no object changes but by who writes it.
    pub(crate) fn bare() -> Self {
        Self { parts: Vec::new(), ..Self::default() }
    }
}

/// A running control plane; killed when dropped.
pub(crate) struct ControlPlane {
    servers: BTreeMap<Part, Server>,
    site: Site,
    /// A kubeconfig of the service account, once somebody asked for it.
    service: OnceCell<PathBuf>,
    _room: SemaphorePermit<'static>,
}

/// What its parts share.
struct Site {
    control_plane: PathBuf,
    kwok: PathBuf,
    folder: TempDir,
    authority: Authority,
    /// The ports of etcd and of the API server, which the others must know.
    etcd: u16,
    api_server: u16,
    address: String,
}

/// A whole one; `None` after a printed skip where it is missing.
pub(crate) async fn start() -> Option<ControlPlane> {
    start_with(&Setting::default()).await
}

/// One with what the test wants of it.
pub(crate) async fn start_with(setting: &Setting) -> Option<ControlPlane> {
    let site = Site::new(setting)?;
    let room = ROOM.acquire().await.unwrap();
    Some(ControlPlane::start(site, setting, room).await)
}

/// Two at once: of tests that started one after the other, two could wait for each other.
pub(crate) async fn start_two(setting: &Setting) -> Option<[ControlPlane; 2]> {
    let (first, second) = (Site::new(setting)?, Site::new(setting)?);
    let mut room = ROOM.acquire_many(2).await.unwrap();
    let half = room.split(1).unwrap();
    let first = ControlPlane::start(first, setting, room);
    let second = ControlPlane::start(second, setting, half);
    Some(tokio::join!(first, second).into())
}

impl Site {
    fn new(setting: &Setting) -> Option<Self> {
        let site = Self {
            control_plane: server::find("control-plane-1.36", "control-plane")?,
            kwok: server::find("kwok-0.8", "kwok")?,
            folder: tempfile::tempdir().unwrap(),
            authority: Authority::new(),
            etcd: ports::free(),
            api_server: ports::free(),
            address: setting.address.clone(),
        };
        // One pair for every part that speaks TLS, so that none makes keys of its own.
        site.authority.write_pair_of(&[LOOPBACK, &site.address], site.folder.path());
        access::write_users(site.folder.path());
        access::write_audit_policy(site.folder.path());
        let contexts = [(ADMIN, &site, ADMIN), (RESTRICTED, &site, RESTRICTED)];
        access::write(&site.kubeconfig(), &contexts);
        Some(site)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn url(&self) -> String {
        format!("https://{}:{}", self.address, self.api_server)
    }

    async fn start(&self, part: Part, setting: &Setting) -> (Part, Server) {
        let port = match part {
            Part::Etcd => self.etcd,
            Part::ApiServer => self.api_server,
            _ => ports::free(),
        };
        let program = if part == Part::Kwok { &self.kwok } else { &self.control_plane };
        let flags = setting.flags.iter().filter(|(of, _)| *of == part);
        let mut words = part.words(self, port, setting.parts.contains(&Part::Controllers));
        let own = self.folder.path().display().to_string();
        words.extend(flags.map(|(_, flag)| flag.replace("FOLDER", &own)));
        if let (Part::Scheduler, Some(fields)) = (part, &setting.scheduler) {
            words.push(format!("--config={}", self.configure_scheduler(fields).display()));
        }
        let folder = tempfile::tempdir().unwrap();
        let ready = Ready { path: part.ready(), client: self.access() };
        let at = if part == Part::ApiServer { &self.address } else { LOOPBACK };
        let url = format!("{}://{at}:{port}", part.scheme());
        (part, Server::start_at(program.clone(), words, folder, (url, ready)).await)
    }

    /// Writes the scheduler's configuration. Where there is one, no flag says which API server it serves.
    fn configure_scheduler(&self, fields: &Value) -> PathBuf {
        let mut file = json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": { "leaderElect": false },
            "clientConnection": { "kubeconfig": self.kubeconfig(), "qps": 1000, "burst": 1000 },
        });
        let fields = fields.as_object().unwrap().clone();
        file.as_object_mut().unwrap().extend(fields);
        let path = self.folder.path().join("scheduler.json");
        std::fs::write(&path, file.to_string()).unwrap();
        path
    }

    /// A client that every part lets in.
    fn access(&self) -> reqwest::Client {
        let ca = std::fs::read(self.authority.ca_file()).unwrap();
        let token = format!("Bearer {ADMIN}").parse().unwrap();
        reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()])
            .default_headers([(reqwest::header::AUTHORIZATION, token)].into_iter().collect())
            .build()
            .unwrap()
    }
}

impl ControlPlane {
    async fn start(site: Site, setting: &Setting, room: SemaphorePermit<'static>) -> Self {
        bellwether::wire::install_crypto();
        let (servers, service) = (BTreeMap::new(), OnceCell::new());
        let mut plane = Self { servers, site, service, _room: room };
        for part in [Part::Etcd, Part::ApiServer] {
            plane.servers.extend([plane.site.start(part, setting).await]);
        }
        let rest = setting.parts.iter().map(|part| plane.site.start(*part, setting));
        let rest = join_all(rest).await;
        plane.servers.extend(rest);
        plane.has_namespaces().await;
        plane
    }

    /// The API server is ready before it has made these.
    async fn has_namespaces(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client().await);
        wait::until("the first namespaces", || async {
            let list = namespaces.list(&kube::api::ListParams::default()).await.unwrap();
            let has = |name: &str| list.iter().any(|it| it.metadata.name.as_deref() == Some(name));
            has("default") && has("kube-node-lease")
        })
        .await;
    }

    /// The API server's address.
    pub(crate) fn url(&self) -> String {
        self.site.url()
    }

    /// The file with the certificate that vouches for the API server.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.site.authority.ca_file()
    }

    /// A kubeconfig with the contexts [`ADMIN`], which is the current one, and [`RESTRICTED`].
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.site.kubeconfig()
    }

    /// What the API server noted of requests, where it is [`AUDITED`]: a line of JSON for each.
    pub(crate) fn audit(&self) -> String {
        std::fs::read_to_string(self.site.folder.path().join("audit.log")).unwrap_or_default()
    }

    /// The API server's port.
    #[cfg(feature = "killpoints")]
    pub(crate) fn port(&self) -> u16 {
        self.site.api_server
    }

    /// A kubeconfig that leads there by way of another port.
    #[cfg(feature = "killpoints")]
    pub(crate) fn through(&self, port: u16, kubeconfig: &std::path::Path) -> PathBuf {
        let direct = std::fs::read_to_string(kubeconfig).unwrap();
        let through = direct.replace(&self.url(), &format!("https://127.0.0.1:{port}"));
        assert_ne!(direct, through);
        let path = self.site.folder.path().join(format!("kubeconfig-{port}"));
        std::fs::write(&path, through).unwrap();
        path
    }

    /// A client that every part lets in.
    pub(crate) fn access(&self) -> reqwest::Client {
        self.site.access()
    }

    /// Etcd forgets all states of objects but the newest.
    pub(crate) async fn compact(&self) {
        let etcd = async |path: &str, body: Value| -> Value {
            let url = format!("http://{LOOPBACK}:{}/v3/kv/{path}", self.site.etcd);
            let answer = self.access().post(url).json(&body).send().await.unwrap();
            assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
            answer.json().await.unwrap()
        };
        // Keys and values in base64: any key tells the revision of all.
        let told = etcd("range", json!({ "key": "AA==" })).await;
        let revision = &told["header"]["revision"];
        etcd("compaction", json!({ "revision": revision, "physical": true })).await;
    }

    /// Ends a part at once, as a crash would.
    pub(crate) fn kill(&mut self, part: Part) {
        self.servers.get_mut(&part).unwrap().kill();
    }

    /// Asks a part to end, and waits until it has.
    pub(crate) async fn stop(&mut self, part: Part) {
        self.servers.get_mut(&part).unwrap().stop().await;
    }

    /// Starts a part that was ended, on its port and its data.
    pub(crate) async fn restart(&mut self, part: Part) {
        self.servers.get_mut(&part).unwrap().restart().await;
    }
}
