//! Where requests come in.
#![expect(clippy::disallowed_methods, reason = "the tasks of a test end with it")]

use super::behind::Asked;
use super::scene::Scene;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// Opens one on a free port: at which address, and what closes it.
pub(super) async fn open(scene: Arc<Scene>) -> (String, AbortHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let scene = scene.clone();
            connections.spawn(async move {
                let answer = service_fn(move |request| hear(request, scene.clone()));
                // Whoever is cut off, or goes, is told no more.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    };
    (url, tokio::spawn(serving).abort_handle())
}

/// An error ends the connection, without an answer.
async fn hear(request: Request<Incoming>, scene: Arc<Scene>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let asked = Asked { method: head.method, uri: head.uri, headers: head.headers, body };
    let own = scene.clone();
    // What was begun is not undone when whoever asked hangs up.
    let told = tokio::spawn(async move { own.answer(asked).await }).await.unwrap();
    let told = told.ok_or(io::ErrorKind::ConnectionAborted)?;
    let answer = Response::builder()
        .status(told.status)
        .header("content-type", told.kind)
        .header("date", scene.date());
    Ok(answer.body(Full::new(Bytes::from(told.body))).unwrap())
}
