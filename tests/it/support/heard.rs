//! What pods tell: an ear that they can reach.

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A word, and when it was heard.
pub(crate) type Word = (String, Instant);

/// Hears what is asked for; ended when dropped.
pub(crate) struct Heard {
    /// Pods ask for paths behind it: those are their words.
    pub(crate) url: String,
    words: Arc<Mutex<Vec<Word>>>,
    task: AbortHandle,
}

impl Heard {
    /// Listens at an address of this machine, on a free port.
    #[expect(clippy::disallowed_methods, reason = "ends with the value")]
    pub(crate) async fn start(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let words = Arc::<Mutex<Vec<Word>>>::default();
        let all = Arc::clone(&words);
        let serving = async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let words = Arc::clone(&all);
                connections.spawn(async move {
                    let answer = service_fn(move |request| {
                        ready(Ok::<_, Infallible>(hear(&request, &words)))
                    });
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        };
        Self { url, words, task: tokio::spawn(serving).abort_handle() }
    }

    /// When a word was heard first.
    pub(crate) fn first(&self, word: &str) -> Option<Instant> {
        self.words.lock().unwrap().iter().find(|(heard, _)| heard == word).map(|(_, at)| *at)
    }

    /// When a word was heard last.
    pub(crate) fn last(&self, word: &str) -> Option<Instant> {
        self.words.lock().unwrap().iter().rfind(|(heard, _)| heard == word).map(|(_, at)| *at)
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn hear(request: &Request<Incoming>, words: &Mutex<Vec<Word>>) -> Response<Empty<Bytes>> {
    let word = request.uri().path().trim_start_matches('/').to_owned();
    words.lock().unwrap().push((word, Instant::now()));
    Response::new(Empty::new())
}
