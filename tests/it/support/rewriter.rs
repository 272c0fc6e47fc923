//! A proxy before a real API server, in plain HTTP: what the server tells may be changed on its way, object by object, and its lists come
//! in small pages, of which those behind the first may be held back.

use super::control_plane::ControlPlane;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Collected, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The line of an event, or an answer's whole.
type Told = UnsyncBoxBody<Bytes, Infallible>;

/// What becomes of an object.
type Change = fn(&mut Value);

/// A running proxy; ended when dropped.
pub(crate) struct Rewriter {
    kubeconfig: PathBuf,
    way: Arc<Way>,
    task: AbortHandle,
}

struct Way {
    server: String,
    client: reqwest::Client,
    change: Mutex<Change>,
    /// Objects on one page of a list.
    page: usize,
    /// Whether pages behind the first are let through.
    is_open: watch::Sender<bool>,
    /// Pages behind the first that were asked for, and how each was answered.
    pages: Mutex<Vec<u16>>,
}

impl Rewriter {
    /// Starts one that changes nothing yet, for who may do everything.
    #[expect(clippy::disallowed_methods, reason = "ends with the value")]
    pub(crate) async fn start(plane: &ControlPlane, page: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let file = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{ "name": "it", "cluster": { "server": url } }],
            "users": [{ "name": "it", "user": {} }],
            "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it" } }],
        });
        let kubeconfig = plane.kubeconfig().with_file_name("kubeconfig-rewriter");
        std::fs::write(&kubeconfig, file.to_string()).unwrap();
        let way = Arc::new(Way {
            server: plane.url(),
            client: plane.access(),
            change: Mutex::new(|_| ()),
            page,
            is_open: watch::Sender::new(true),
            pages: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, way.clone()));
        Self { kubeconfig, way, task: task.abort_handle() }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    /// What becomes of each object from now on.
    pub(crate) fn change(&self, change: Change) {
        *self.way.change.lock().unwrap() = change;
    }

    /// Whether pages behind the first are let through.
    pub(crate) fn open(&self, is_open: bool) {
        self.way.is_open.send_replace(is_open);
    }

    /// The answers to pages behind the first.
    pub(crate) fn pages(&self) -> Vec<u16> {
        self.way.pages.lock().unwrap().clone()
    }

    /// How many pages are waited for.
    pub(crate) fn waiting(&self) -> usize {
        self.way.is_open.receiver_count()
    }
}

impl Drop for Rewriter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, way: Arc<Way>) {
    while let Ok((stream, _)) = listener.accept().await {
        let way = way.clone();
        let answer = service_fn(move |request| {
            let way = way.clone();
            async move { Ok::<_, Infallible>(way.pass(request).await) }
        });
        let http = hyper::server::conn::http1::Builder::new();
        #[expect(clippy::disallowed_methods, reason = "ends with the connection")]
        tokio::spawn(http.serve_connection(TokioIo::new(stream), answer));
    }
}

impl Way {
    async fn pass(self: Arc<Self>, request: Request<Incoming>) -> Response<Told> {
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default();
        let (is_watch, is_later) = (query.contains("watch="), query.contains("continue="));
        if is_later {
            let mut is_open = self.is_open.subscribe();
            is_open.wait_for(|is_open| *is_open).await.unwrap();
        }
        let smaller = query.replace("limit=500", &format!("limit={}", self.page));
        let url = format!("{}{}?{smaller}", self.server, head.uri.path());
        let mut asked = self.client.request(head.method, url);
        for name in ["content-type", "accept"] {
            asked = asked.headers(head.headers.get(name).map_or_else(Default::default, |value| {
                [(http::HeaderName::from_static(name), value.clone())].into_iter().collect()
            }));
        }
        let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
        let Ok(answer) = asked.body(body).send().await else { return told(502, "away") };
        let status = answer.status().as_u16();
        if is_later {
            self.pages.lock().unwrap().push(status);
        }
        if is_watch && status == 200 {
            return self.events(answer);
        }
        let text = answer.text().await.unwrap_or_default();
        match serde_json::from_str::<Value>(&text) {
            Ok(mut list) => {
                let items = list.get_mut("items").and_then(Value::as_array_mut);
                items.into_iter().flatten().for_each(|item| self.changed(item));
                told(status, &list.to_string())
            }
            Err(_) => told(status, &text),
        }
    }

    fn changed(&self, object: &mut Value) {
        (self.change.lock().unwrap())(object);
    }

    /// A line for each event, as soon as it is whole.
    fn events(self: Arc<Self>, answer: reqwest::Response) -> Response<Told> {
        let begun = (self, answer, Vec::new(), VecDeque::new());
        let lines = stream::unfold(begun, |(way, mut answer, mut rest, mut ready)| async move {
            while ready.is_empty() {
                rest.extend_from_slice(&answer.chunk().await.ok()??);
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let mut event: Value = serde_json::from_slice(&line).unwrap();
                    way.changed(&mut event["object"]);
                    ready.push_back(Bytes::from(format!("{event}\n")));
                }
            }
            let line = ready.pop_front()?;
            Some((Ok(Frame::data(line)), (way, answer, rest, ready)))
        });
        Response::new(StreamBody::new(Box::pin(lines)).boxed_unsync())
    }
}

fn told(status: u16, text: &str) -> Response<Told> {
    let mut told = Response::new(Full::new(Bytes::from(text.to_owned())).boxed_unsync());
    *told.status_mut() = status.try_into().unwrap();
    told.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    told
}
