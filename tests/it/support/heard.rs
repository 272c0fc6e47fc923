//! What pods tell: an ear that they can reach.

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    work: Arc<Work>,
    task: AbortHandle,
}

/// Who asks for `job-ANYTHING` is given it, one in so many times; otherwise nothing is heard, and there is none.
struct Work {
    one_in: AtomicUsize,
    asked: AtomicUsize,
}

impl Heard {
    /// Listens at an address of this machine, on a free port.
    #[expect(clippy::disallowed_methods, reason = "ends with the value")]
    pub(crate) async fn start(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let words = Arc::<Mutex<Vec<Word>>>::default();
        let work = Arc::new(Work { one_in: AtomicUsize::new(1), asked: AtomicUsize::new(0) });
        let (all, jobs) = (Arc::clone(&words), Arc::clone(&work));
        let serving = async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (words, work) = (Arc::clone(&all), Arc::clone(&jobs));
                connections.spawn(async move {
                    let answer = service_fn(move |request| {
                        ready(Ok::<_, Infallible>(hear(&request, &words, &work)))
                    });
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        };
        Self { url, words, work, task: tokio::spawn(serving).abort_handle() }
    }

    /// From now on one in so many that ask for a job is given it.
    #[cfg_attr(not(feature = "docker"), expect(dead_code, reason = "the lab's alone"))]
    pub(crate) fn give(&self, one_in: usize) {
        self.work.one_in.store(one_in, Ordering::Relaxed);
    }

    /// Words that begin so, without their beginning.
    #[cfg_attr(not(feature = "docker"), expect(dead_code, reason = "the lab's alone"))]
    pub(crate) fn all(&self, beginning: &str) -> BTreeSet<String> {
        let words = self.words.lock().unwrap();
        words
            .iter()
            .filter_map(|(word, _)| word.strip_prefix(beginning).map(str::to_owned))
            .collect()
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

fn hear(
    request: &Request<Incoming>,
    words: &Mutex<Vec<Word>>,
    work: &Work,
) -> Response<Empty<Bytes>> {
    let word = request.uri().path().trim_start_matches('/').to_owned();
    if word.starts_with("job-") {
        let asked = work.asked.fetch_add(1, Ordering::Relaxed);
        if !asked.is_multiple_of(work.one_in.load(Ordering::Relaxed)) {
            let mut none = Response::new(Empty::new());
            *none.status_mut() = StatusCode::NOT_FOUND;
            return none;
        }
    }
    words.lock().unwrap().push((word, Instant::now()));
    Response::new(Empty::new())
}
