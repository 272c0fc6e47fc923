//! A way to a Docker: a socket of its own, or a port where both sides show certificates. It counts how many containers
//! are made at once.
#![expect(clippy::disallowed_methods, reason = "the tasks of a test end with it")]

use super::authority::Authority;
use super::dockerd::Dockerd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// As Docker says it.
const FULL: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 65\r\n\r\n{\"message\":\"write /var/lib/docker/tmp: no space left on device\"}\r\n";

pub(crate) struct Gate {
    url: String,
    at_once: Arc<AtOnce>,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

#[derive(Default)]
struct AtOnce {
    now: AtomicUsize,
    most: AtomicUsize,
    /// Whether the next answer about one that was made is lost.
    loses: AtomicBool,
    /// Whether the next answer about one that was made does not come.
    holds: AtomicBool,
    /// Whether there is no room for another.
    is_full: AtomicBool,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    pub(crate) fn of(dockerd: &Dockerd) -> Self {
        let (folder, at_once) = (tempfile::tempdir().unwrap(), Arc::<AtOnce>::default());
        let path = folder.path().join("gate.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (socket, counted) = (dockerd.socket(), at_once.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(lead(stream, socket.clone(), counted.clone()));
            }
        });
        Self { url: format!("unix://{}", path.display()), at_once, task, _folder: folder }
    }

    /// Shows a certificate of this authority, and lets in who shows another.
    pub(crate) async fn with_tls(dockerd: &Dockerd, authority: &Authority) -> Self {
        bellwether::wire::install_crypto();
        let (folder, at_once) = (tempfile::tempdir().unwrap(), Arc::<AtOnce>::default());
        authority.write_pair_of(&["127.0.0.1"], folder.path());
        let acceptor = TlsAcceptor::from(Arc::new(config(authority, folder.path())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        let (socket, counted) = (dockerd.socket(), at_once.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, socket, counted) =
                    (acceptor.clone(), socket.clone(), counted.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        lead(stream, socket, counted).await;
                    }
                });
            }
        });
        Self { url, at_once, task, _folder: folder }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// How many were made at once, at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.at_once.most.load(Ordering::SeqCst)
    }

    /// The next that is made is made, and nobody hears of it.
    pub(crate) fn lose_an_answer(&self) {
        self.at_once.loses.store(true, Ordering::SeqCst);
    }

    /// The next that is made is made, and whoever asked waits until Docker itself is gone.
    pub(crate) fn hold_an_answer(&self) {
        self.at_once.holds.store(true, Ordering::SeqCst);
    }

    /// There is no room for another from now on.
    pub(crate) fn fill(&self) {
        self.at_once.is_full.store(true, Ordering::SeqCst);
    }

    pub(crate) fn forget(&self) {
        self.at_once.most.store(0, Ordering::SeqCst);
    }
}

/// Leads a connection on. A container is being made from its request until the first of its answer.
async fn lead(
    mut from: impl AsyncRead + AsyncWrite + Unpin,
    socket: PathBuf,
    counted: Arc<AtOnce>,
) {
    let mut part = vec![0; 16 << 10];
    let led = async {
        let mut to = UnixStream::connect(socket).await?;
        let read = from.read(&mut part).await?;
        let makes = String::from_utf8_lossy(&part[..read]).contains("/containers/create");
        if makes && counted.is_full.load(Ordering::SeqCst) {
            from.write_all(FULL.as_bytes()).await?;
            return Ok((0, 0));
        }
        if makes {
            let now = counted.now.fetch_add(1, Ordering::SeqCst) + 1;
            counted.most.fetch_max(now, Ordering::SeqCst);
        }
        to.write_all(&part[..read]).await?;
        let read = to.read(&mut part).await?;
        if makes {
            counted.now.fetch_sub(1, Ordering::SeqCst);
        }
        if makes && counted.loses.swap(false, Ordering::SeqCst) {
            return Ok((0, 0));
        }
        if makes && counted.holds.swap(false, Ordering::SeqCst) {
            // The connection ends with the Docker.
            while to.read(&mut part).await? != 0 {}
            return Ok((0, 0));
        }
        from.write_all(&part[..read]).await?;
        copy_bidirectional(&mut from, &mut to).await
    };
    // Whoever leaves early is not waited for.
    let _: std::io::Result<_> = led.await;
}

fn config(authority: &Authority, folder: &std::path::Path) -> ServerConfig {
    let certificates = |path: PathBuf| {
        CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(authority.ca_file()));
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(folder.join("server.pem")), key)
        .unwrap()
}
