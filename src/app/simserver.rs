//! Serves a simulated world over HTTP: the metrics that rules read, and its controls.

use crate::sim::{World, control};
use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A change of the world is a few lines of JSON.
const BODY_LIMIT: usize = 1 << 20;

/// Serves until told to stop.
pub(super) async fn serve(
    address: SocketAddr,
    world: World,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("sim.listen: cannot bind {address}"))?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted?,
        };
        let world = world.clone();
        let service = service_fn(move |request| answer(world.clone(), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(30))
            .serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(section = "sim", error = %error, "connection ended");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    world: World,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let host = head
        .headers
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(response(400, "text/plain", "body too long or cut\n".to_owned())),
    };
    let answer = control::handle(&world, head.method.as_str(), head.uri.path(), &body, host);
    Ok(response(answer.status, answer.content_type, answer.body))
}

fn response(status: u16, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(http::header::CONTENT_TYPE, content_type)
        .body(Full::new(Bytes::from(body)))
        .expect("a known status and content type make a response")
}
