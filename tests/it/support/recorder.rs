//! Stands between Alertmanager and the service: hands deliveries on, notes each, and answers in the service's place
//! when it is told to.

use super::scripted::{Request, read};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The service gets it, and its answer goes back.
    Pass,
    /// The service gets it at once, and its answer goes back only after so long.
    Late(Duration),
    /// The service does not get it; this code is the answer.
    Answer(u16),
    /// The service does not get it; the answer is a redirect to this address.
    Redirect(String),
}

/// One request of Alertmanager.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) at: Instant,
    /// `Null` where there is none.
    pub(crate) body: Value,
    /// What it was answered.
    pub(crate) code: u16,
    /// How long the service took, where it got it.
    pub(crate) took: Duration,
}

/// A running recorder; ended when dropped.
pub(crate) struct Recorder {
    pub(crate) url: String,
    desk: Arc<Desk>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Desk {
    /// The service.
    to: String,
    rule: Mutex<Rule>,
    log: Mutex<Vec<Delivery>>,
}

impl Recorder {
    /// Starts one on a free port, before a service at `127.0.0.1:port`.
    #[expect(clippy::disallowed_methods, reason = "ends with the value")]
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let to = format!("127.0.0.1:{port}");
        let desk = Arc::new(Desk { to, rule: Mutex::new(Rule::Pass), log: Mutex::default() });
        let own = desk.clone();
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let desk = own.clone();
                // Whoever asked may have gone; that is theirs to judge.
                tokio::spawn(async move { drop(desk.serve(connection).await) });
            }
        });
        Self { url, desk, task: task.abort_handle() }
    }

    /// What becomes of deliveries from now on.
    pub(crate) fn rule(&self, rule: Rule) {
        *self.desk.rule.lock().unwrap() = rule;
    }

    /// All that came so far, in order.
    pub(crate) fn all(&self) -> Vec<Delivery> {
        self.desk.log.lock().unwrap().clone()
    }

    /// Deliveries of an alert of this name.
    pub(crate) fn of(&self, name: &str) -> Vec<Delivery> {
        self.all().into_iter().filter(|delivery| delivery.status(name).is_some()).collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Delivery {
    /// What it says of the alert of this name.
    pub(crate) fn status(&self, name: &str) -> Option<&str> {
        let alerts = self.body["alerts"].as_array()?;
        alerts.iter().find(|alert| alert["labels"]["alertname"] == name)?["status"].as_str()
    }
}

impl Desk {
    async fn serve(&self, mut connection: TcpStream) -> std::io::Result<()> {
        let Some(request) = read(&mut connection).await else { return Ok(()) };
        let (at, rule) = (Instant::now(), self.rule.lock().unwrap().clone());
        let answer = match &rule {
            Rule::Pass | Rule::Late(_) => self.pass(&request).await?,
            Rule::Answer(code) => head(*code, ""),
            Rule::Redirect(to) => head(302, &format!("location: {to}\r\n")),
        };
        self.log.lock().unwrap().push(Delivery {
            at,
            body: serde_json::from_str(&request.body).unwrap_or_default(),
            code: code(&answer),
            took: at.elapsed(),
        });
        if let Rule::Late(after) = rule {
            tokio::time::sleep(after).await;
        }
        connection.write_all(&answer).await
    }

    /// What the service answers to the very same request.
    async fn pass(&self, request: &Request) -> std::io::Result<Vec<u8>> {
        let Request { method, target, headers, body } = request;
        let line = |(name, value): (&String, &String)| format!("{name}: {value}\r\n");
        let kept = headers.iter().filter(|(name, _)| *name != "connection");
        let lines: String = kept.map(line).collect();
        let mut service = TcpStream::connect(&self.to).await?;
        let whole = format!("{method} {target} HTTP/1.1\r\n{lines}connection: close\r\n\r\n{body}");
        service.write_all(whole.as_bytes()).await?;
        let mut answer = Vec::new();
        service.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

fn head(code: u16, more: &str) -> Vec<u8> {
    format!("HTTP/1.1 {code} x\r\nconnection: close\r\n{more}content-length: 0\r\n\r\n")
        .into_bytes()
}

fn code(answer: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(answer);
    text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}
