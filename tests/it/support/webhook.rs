//! A webhook that the API server asks, over TLS, and that denies everything.

use super::authority::Authority;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// A running one; ended when dropped.
pub(crate) struct Webhook {
    pub(crate) url: String,
    authority: Authority,
    task: AbortHandle,
}

impl Webhook {
    /// Starts one on a free port, with what it says to everybody.
    #[expect(clippy::disallowed_methods, reason = "ends with the value")]
    pub(crate) async fn start(words: &'static str) -> Self {
        bellwether::wire::install_crypto();
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        authority.write_pair_of(&["127.0.0.1"], folder.path());
        let chain = vec![CertificateDer::from_pem_file(folder.path().join("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(folder.path().join("server.key")).unwrap();
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let serving = async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(connection).await else { return };
                    let answer = service_fn(move |request| deny(request, words));
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        };
        Self { url, authority, task: tokio::spawn(serving).abort_handle() }
    }

    /// The certificate that vouches for it, as a webhook's configuration holds it.
    pub(crate) fn ca_bundle(&self) -> Value {
        let pem = std::fs::read(self.authority.ca_file()).unwrap();
        json!(k8s_openapi::ByteString(pem))
    }

    /// It answers no more.
    pub(crate) fn end(&self) {
        self.task.abort();
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.end();
    }
}

async fn deny(
    request: Request<Incoming>,
    words: &str,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap();
    let response = json!({
        "uid": review["request"]["uid"],
        "allowed": false,
        "status": { "code": 403, "message": words },
    });
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": response,
    });
    let body = Full::new(Bytes::from(answer.to_string()));
    Ok(Response::builder().header("content-type", "application/json").body(body).unwrap())
}
