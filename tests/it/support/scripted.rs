//! A server that answers what a test tells it to, byte by byte: what a well-kept one could not be made to say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// By lower-case names.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// What is written back; the connection ends after it.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A code and a body.
    Whole(u16, String),
    /// A good one with this line more in its head, and a body.
    #[cfg_attr(not(feature = "ec2"), expect(dead_code, reason = "the metadata's alone"))]
    Headed(String, String),
    /// A redirect to an address.
    Redirect(String),
    /// A head that promises more than comes.
    Half,
    /// A code without a body, after a while.
    Late(Duration, u16),
    /// Nothing: the connection ends.
    Hangup,
    /// A code without a body, each time the test lets one through.
    Held(Arc<Semaphore>, u16),
    /// Nothing, ever.
    Silence,
    /// A body of this many bytes.
    Endless(usize),
}

/// A running script; ended when dropped.
pub(crate) struct Scripted {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Request>>>,
    task: AbortHandle,
}

type Script = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

impl Scripted {
    /// Starts one on a free port.
    #[expect(clippy::disallowed_methods, reason = "ends with the value")]
    pub(crate) async fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, script): (Arc<Mutex<Vec<Request>>>, Script) =
            (Arc::default(), Arc::new(script));
        let log = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, log.clone(), script.clone()));
            }
        });
        Self { url, asked, task: task.abort_handle() }
    }

    /// Starts one that always answers the same.
    pub(crate) async fn always(answer: Answer) -> Self {
        Self::start(move |_| answer.clone()).await
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut connection: TcpStream, log: Arc<Mutex<Vec<Request>>>, script: Script) {
    let Some(request) = read(&mut connection).await else { return };
    log.lock().unwrap().push(request.clone());
    // Whoever asked may have gone; that is theirs to judge.
    let _ = write(&mut connection, script(&request)).await;
}

/// One whole request; `None` where the connection ends before.
pub(super) async fn read(connection: &mut TcpStream) -> Option<Request> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let mut first = lines.next()?.split(' ').map(str::to_owned);
            let headers: BTreeMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
            if body.len() >= length {
                let (method, target) = (first.next()?, first.next()?);
                return Some(Request { method, target, headers, body: body.to_owned() });
            }
        }
        match connection.read(&mut chunk).await.ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

async fn write(to: &mut TcpStream, answer: Answer) -> std::io::Result<()> {
    let head =
        |code: u16, more: &str| format!("HTTP/1.1 {code} x\r\nconnection: close\r\n{more}\r\n");
    match answer {
        Answer::Whole(code, body) => {
            let length = format!("content-length: {}\r\n", body.len());
            to.write_all((head(code, &length) + &body).as_bytes()).await
        }
        Answer::Headed(line, body) => {
            let more = format!("{line}\r\ncontent-length: {}\r\n", body.len());
            to.write_all((head(200, &more) + &body).as_bytes()).await
        }
        Answer::Redirect(target) => {
            let more = format!("location: {target}\r\ncontent-length: 0\r\n");
            to.write_all(head(302, &more).as_bytes()).await
        }
        Answer::Half => {
            to.write_all((head(200, "content-length: 100\r\n") + "[{").as_bytes()).await
        }
        Answer::Late(after, code) => {
            tokio::time::sleep(after).await;
            to.write_all(head(code, "content-length: 0\r\n").as_bytes()).await
        }
        Answer::Held(gate, code) => {
            gate.acquire().await.unwrap().forget();
            to.write_all(head(code, "content-length: 0\r\n").as_bytes()).await
        }
        Answer::Hangup => Ok(()),
        Answer::Silence => std::future::pending().await,
        Answer::Endless(count) => {
            to.write_all(head(200, "").as_bytes()).await?;
            let chunk = vec![b' '; 1 << 20];
            for _ in 0..count.div_ceil(chunk.len()) {
                to.write_all(&chunk).await?;
            }
            Ok(())
        }
    }
}
