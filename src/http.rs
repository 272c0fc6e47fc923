//! The HTTP server: takes webhooks and wishes, shows what is going on, and never acts.
//!
//! A handler parses, makes one durable write, wakes the loop and answers; it can neither launch nor
//! drain, since it cannot name the rooms that do. A caller may hang up at any moment, so whatever a
//! handler stores is one write, whole or not at all.
//!
//! Statuses say what the caller should do: 2xx it is stored; 4xx sending it again cannot help;
//! 503 please try again (the store is away, or we are draining). Never 429 (Alertmanager would drop
//! the delivery), never a redirect, and 500 only for a fault of our own.

pub mod answer;
pub mod ask;
pub mod auth;
pub mod body;
pub mod damper;
pub mod readiness;
pub mod reads;
pub mod routes;
pub mod webhook;

use crate::config::{Config, Standing};
use crate::metrics::Metrics;
use crate::model::{ClusterName, Explanation, Subject};
use crate::store::Store;
use answer::{ApiError, Code};
use bytes::Bytes;
use damper::Damper;
use http_body_util::Full;
use hyper::header::HeaderName;
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use hyper_util::service::TowerToHyperService;
use readiness::Readiness;
use reads::ClusterReport;
use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::{ServiceBuilder, service_fn};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};

/// Connections that wait to be accepted: a storm of alerts opens thousands at once.
const BACKLOG: u32 = 4096;

/// First and longest pause after a failed accept (out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Bytes of one request head at most; hyper answers 431 beyond.
const HEAD_BYTES: usize = 64 * 1024;

/// Names a request in logs and answers.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything a handler may use.
pub struct State {
    /// Where signals go.
    pub store: Arc<dyn Store>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The newest configuration.
    pub config: watch::Receiver<Arc<Config>>,
    /// How it stands to its file.
    pub standing: watch::Receiver<Standing>,
    /// The way to the loop.
    pub handle: Handle,
    /// Whether all parts are up.
    pub readiness: Readiness,
    /// How much a caller may take of us.
    pub limits: Limits,
}

/// Looks up what the last pass of a cluster saw and did.
pub type Report = Box<dyn Fn(&ClusterName) -> Option<Arc<ClusterReport>> + Send + Sync>;

/// Says why a pod or node of a cluster is as it is.
pub type Explain = Box<dyn Fn(&ClusterName, &Subject) -> Option<Explanation> + Send + Sync>;

/// What the loop offers to the server.
pub struct Handle {
    /// Wakes the loop of a cluster. Carries no data: the pass looks at everything anyway.
    pub wake: Box<dyn Fn(&ClusterName) + Send + Sync>,
    /// What the last pass of a cluster saw and did; `None` before the first.
    pub report: Report,
    /// Why a pod or node is as it is, as of the last pass; `None` where that did not see it.
    pub explain: Explain,
}

/// How much a caller may take of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more wait in the kernel.
    pub connections: usize,
    /// A request's head must be here this long after the connection is ready for it. Idle
    /// connections end with it too.
    pub head: Duration,
    /// A request's body must be here this long after its head.
    pub body: Duration,
    /// Bytes of a body at most.
    pub body_bytes: usize,
    /// How long requests may take to finish once we stop.
    pub drain: Duration,
}

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Anybody could do anything.
    #[error("no token is configured, so only a loopback address may be served, not {0}")]
    Open(SocketAddr),
    /// The socket is of no use.
    #[error("listener is of no use")]
    Listener(#[source] io::Error),
}

/// What all connections share.
struct Server {
    state: State,
    routes: routes::Table,
    ids: Numbered,
    stopping: CancellationToken,
    damper: Damper,
}

/// The handlers of one process, for connections that somebody else accepts.
#[derive(Clone)]
pub struct Inlet(Arc<Server>);

/// A connection with its slot.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
}

/// Numbers requests, with a beginning that differs from process to process.
#[derive(Clone)]
struct Numbered {
    process: u32,
    next: Arc<AtomicU64>,
}

// === impl State ===

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("limits", &self.limits).finish_non_exhaustive()
    }
}

// === impl Handle ===

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            body_bytes: 10 * 1024 * 1024,
            drain: Duration::from_secs(10),
        }
    }
}

// === impl Inlet ===

impl Inlet {
    /// Handlers that refuse new work once `stopping`.
    pub fn new(state: State, stopping: CancellationToken) -> Self {
        Self(Arc::new(Server {
            state,
            routes: routes::Table::new(),
            ids: Numbered { process: rand::random(), next: Arc::default() },
            stopping,
            damper: Damper::default(),
        }))
    }

    /// Serves one connection to its end, whatever it runs on.
    pub async fn serve<S>(&self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        ended(self.0.clone().connection(stream, peer).await, peer);
    }
}

impl fmt::Debug for Inlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inlet")
    }
}

// === impl Server ===

impl Server {
    /// One connection, to be driven to its end.
    fn connection<S>(
        self: Arc<Self>,
        stream: S,
        peer: SocketAddr,
    ) -> impl GracefulConnection<Error = hyper::Error> + Send
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let ids = self.ids.clone();
        let head = self.state.limits.head;
        let handler = service_fn(move |request: Request<hyper::body::Incoming>| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(routes::respond(&server, peer, request).await) }
        });
        let service = ServiceBuilder::new()
            .layer(SetRequestIdLayer::new(REQUEST_ID, ids))
            .layer(PropagateRequestIdLayer::new(REQUEST_ID))
            .layer(CatchPanicLayer::custom(panicked))
            .service(handler);
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
    }
}

// === impl Numbered ===

impl MakeRequestId for Numbered {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}-{number:x}", self.process).parse().ok().map(RequestId::new)
    }
}

// === free functions ===

/// Opens a socket with a queue deep enough for a storm of alerts.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the last process's connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stopping`, then finishes what is under way, for as long as [`Limits::drain`].
pub async fn serve(
    listener: TcpListener,
    state: State,
    stopping: CancellationToken,
) -> Result<(), Error> {
    let address = listener.local_addr().map_err(Error::Listener)?;
    if state.config.borrow().service.auth.tokens.is_empty() && !address.ip().is_loopback() {
        return Err(Error::Open(address));
    }
    let drain = state.limits.drain;
    let slots = Arc::new(Semaphore::new(state.limits.connections));
    let Inlet(server) = Inlet::new(state, stopping.clone());
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stopping.cancelled() => break,
            // Ended connections are taken out as they end; a panic stays within its own.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Accepted { stream, peer, permit } = accepted;
        let connection = graceful.watch(Arc::clone(&server).connection(stream, peer));
        connections.spawn(async move {
            let _permit = permit;
            ended(connection.await, peer);
        });
    }
    drop(listener);
    server.state.readiness.stop();
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests cut off at shutdown");
    }
    connections.shutdown().await;
    Ok(())
}

/// How a connection ended is its caller's doing: it hung up, was too slow, or did not speak HTTP.
fn ended(result: Result<(), hyper::Error>, peer: SocketAddr) {
    if let Err(error) = result {
        tracing::debug!(client.ip = %peer.ip(), %error, "connection ended early");
    }
}

/// The next connection, as soon as there is a slot for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Accepted {
    let permit = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    let mut pause = ACCEPT_PAUSE;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and whole; waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                return Accepted { stream, peer, permit };
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }
}

fn panicked(_: Box<dyn Any + Send>) -> Response<Full<Bytes>> {
    // The panic hook has written where; what it said may hold a body, so it goes nowhere else.
    tracing::error!("request handler panicked");
    ApiError::new(Code::Fault, "a fault of ours; it is in the log").into_response()
}
