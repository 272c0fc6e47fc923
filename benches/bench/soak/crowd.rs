//! Everybody else: readers, and those who send nonsense or hang up.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// How often something is read, and how often somebody is a nuisance.
const READ: Duration = Duration::from_millis(250);
const ANNOY: Duration = Duration::from_millis(100);

const PAGES: [&str; 8] = [
    "/v1/status",
    "/metrics",
    "/v1/workers",
    "/v1/history",
    "/v1/pools",
    "/v1/plan",
    "/readyz",
    "/v1/decisions",
];

/// What is no delivery, each on a connection of its own. A hang-up comes in the midst of each.
const NONSENSE: [&str; 6] = [
    "POST /v1/alerts HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{\"alerts\":[",
    "POST /v1/alerts HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]",
    "POST /v1/alerts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{",
    "GET /v1/nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /v1/signals HTTP/1.1\r\nHost: x\r\n\r\n",
    "\0\0\r\n",
];

/// Reads one page after the other.
pub(super) async fn read(address: SocketAddr) -> anyhow::Result<()> {
    let client = reqwest::Client::new();
    let mut ticks = tokio::time::interval(READ);
    for page in PAGES.iter().cycle() {
        ticks.tick().await;
        let answer = client.get(format!("http://{address}{page}")).send().await?;
        answer.error_for_status()?.bytes().await?;
    }
    Ok(())
}

/// Sends nonsense, and hangs up without waiting for an answer.
pub(super) async fn annoy(address: SocketAddr) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(ANNOY);
    for bytes in NONSENSE.iter().cycle() {
        ticks.tick().await;
        TcpStream::connect(address).await?.write_all(bytes.as_bytes()).await?;
    }
    Ok(())
}
