//! A registry of images that has one, of one layer: half of that it gives at once, and the rest when a test says so.

use super::dockerd::Dockerd;
use super::server;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The layer has so many bytes and some more.
pub(crate) const SIZE: usize = 20_000_000;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

pub(crate) struct Registry {
    address: String,
    gives: watch::Sender<bool>,
    asked: Arc<AtomicUsize>,
    size: usize,
    task: AbortHandle,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What it has.
struct Image {
    /// As it tells of it.
    manifest: Blob,
    config: Blob,
    layer: Blob,
}

struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    /// By the digest that the file has.
    fn of(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        let told = Command::new("sha256sum").arg(&path).output().unwrap().stdout;
        let told = String::from_utf8(told).unwrap();
        let digest = format!("sha256:{}", told.split_whitespace().next().unwrap());
        Self { digest, bytes: std::fs::read(path).unwrap() }
    }

    fn written(folder: &Path, name: &str, content: &Value) -> Self {
        std::fs::write(folder.join(name), content.to_string()).unwrap();
        Self::of(folder, name)
    }

    fn described(&self, kind: &str) -> Value {
        let kind = format!("application/vnd.docker.{kind}");
        json!({ "mediaType": kind, "size": self.bytes.len(), "digest": self.digest })
    }
}

impl Image {
    /// Busybox, and much of nothing.
    fn for_machine(architecture: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let worker = server::find("worker-image-12", "../share/worker.tar").unwrap();
        let tar = |words: &[&str]| {
            let done = Command::new("tar").arg("-C").arg(at).args(words).status().unwrap();
            assert!(done.success(), "tar {words:?}");
        };
        tar(&["-xf", worker.to_str().unwrap(), "./bin/busybox"]);
        std::fs::write(at.join("nothing"), vec![0; SIZE]).unwrap();
        tar(&["-cf", at.join("layer").to_str().unwrap(), "bin/busybox", "nothing"]);
        let layer = Blob::of(at, "layer");
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Entrypoint": ["/bin/busybox", "sh", "-c", "exec /bin/busybox sleep 3600"] },
            "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
        });
        let config = Blob::written(at, "config", &config);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.described("container.image.v1+json"),
            "layers": [layer.described("image.rootfs.diff.tar")],
        });
        Self { manifest: Blob::written(at, "manifest", &manifest), config, layer }
    }
}

impl Registry {
    /// Where a Docker of a test's own reaches it, with an image for such machines.
    #[expect(clippy::disallowed_methods, reason = "ends with the value")]
    pub(crate) async fn start(dockerd: &Dockerd, architecture: &str) -> Self {
        let listener = TcpListener::bind((&*dockerd.gateway, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let image = Arc::new(Image::for_machine(architecture));
        let size = image.layer.bytes.len();
        let (gives, given) = watch::channel(false);
        let asked = Arc::<AtomicUsize>::default();
        let counted = asked.clone();
        let serving = async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (image, given, counted) = (image.clone(), given.clone(), counted.clone());
                connections.spawn(async move {
                    // Docker asks over TLS first, and goes when it hears no such answer.
                    let _: std::io::Result<()> = answer(stream, &image, given, &counted).await;
                });
            }
        };
        let task = tokio::spawn(serving).abort_handle();
        Self { address, gives, asked, size, task }
    }

    /// The name of its image.
    pub(crate) fn image(&self) -> String {
        format!("{}/agents/idle:1", self.address)
    }

    /// Bytes of the layer.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The whole layer from now on.
    pub(crate) fn give(&self) {
        self.gives.send_replace(true);
    }

    /// How often the layer was asked for.
    pub(crate) fn times_asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Answers one request.
async fn answer(
    stream: TcpStream,
    image: &Image,
    mut given: watch::Receiver<bool>,
    counted: &AtomicUsize,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (status, kind, blob) = match path.rsplit('/').next().unwrap_or("") {
        "" => ("200 OK", "application/json", None),
        last if last == image.config.digest => {
            ("200 OK", "application/octet-stream", Some(&image.config))
        }
        last if last == image.layer.digest => {
            ("200 OK", "application/octet-stream", Some(&image.layer))
        }
        last if last == "1" || last == image.manifest.digest => {
            ("200 OK", MANIFEST, Some(&image.manifest))
        }
        _ => ("404 Not Found", "application/json", None),
    };
    let (bytes, digest) = blob.map_or((&[][..], ""), |blob| (&blob.bytes, &blob.digest));
    let length = bytes.len();
    let told = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nDocker-Content-Digest: {digest}\r\n\r\n"
    );
    stream.write_all(told.as_bytes()).await?;
    if method != "GET" {
        return stream.shutdown().await;
    }
    let at_once = if bytes.len() < SIZE { bytes.len() } else { bytes.len() / 2 };
    stream.write_all(&bytes[..at_once]).await?;
    stream.flush().await?;
    if at_once < bytes.len() {
        counted.fetch_add(1, Ordering::SeqCst);
        let _ = given.wait_for(|gives| *gives).await;
        stream.write_all(&bytes[at_once..]).await?;
    }
    stream.shutdown().await
}
