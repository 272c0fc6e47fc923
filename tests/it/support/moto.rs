//! A moto of a test's own, which plays AWS's APIs as far as it does.

use super::ports;
use super::server::{self, Ready, Server};

/// One on a free port; `None` after a printed skip where it is missing.
pub(crate) async fn start() -> Option<Server> {
    let program = server::find("moto-5.2", "moto_server")?;
    bellwether::wire::install_crypto();
    let port = ports::free();
    let words = ["-H", "127.0.0.1", "-p"].map(str::to_owned);
    let words = words.into_iter().chain([port.to_string()]).collect();
    let ready = Ready { path: "/moto-api/", client: reqwest::Client::new() };
    let site = (format!("http://127.0.0.1:{port}"), ready);
    Some(Server::start_at(program, words, tempfile::tempdir().unwrap(), site).await)
}
