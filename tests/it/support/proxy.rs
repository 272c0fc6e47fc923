//! A TCP proxy between two parts: its link may be cut, late, half open or slow, for connections that stand too.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The most that is carried, and is late, as one.
const PIECE: usize = 16 << 10;

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Well,
    /// Every connection ends at once.
    Cut,
    /// What is sent arrives after so long, in each direction.
    Late(Duration),
    /// Connections are taken, and what is sent arrives nowhere. Those that lost something end when it is mended.
    HalfOpen,
    /// So many bytes arrive in each tenth of a second.
    Slow(usize),
}

/// A running proxy; ended when dropped.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    link: watch::Sender<Link>,
    task: AbortHandle,
}

impl Proxy {
    /// Starts one on a free port, before a server at `127.0.0.1:port`, which need not be there yet.
    #[expect(clippy::disallowed_methods, reason = "ends with the value")]
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (link, seen) = watch::channel(Link::Well);
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let seen = seen.clone();
                // Either side may have gone; that is theirs to judge.
                tokio::spawn(async move { drop(join(connection, port, seen).await) });
            }
        });
        Self { port: own, link, task: task.abort_handle() }
    }

    /// Starts one before a server that is still to be started; at which port.
    pub(crate) async fn before_a_free_port() -> (Self, u16) {
        let port = super::ports::free();
        (Self::start(port).await, port)
    }

    /// Its address for HTTP.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How the link is from now on.
    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn join(near: TcpStream, port: u16, link: watch::Receiver<Link>) -> io::Result<()> {
    if *link.borrow() == Link::Cut {
        return Ok(());
    }
    let far = TcpStream::connect(("127.0.0.1", port)).await?;
    for side in [&near, &far] {
        side.set_nodelay(true)?;
    }
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let mut told = link.clone();
    // Both directions end together: with half of a connection nobody has anything to do.
    tokio::select! {
        ended = carry(near_in, far_out, link.clone()) => ended,
        ended = carry(far_in, near_out, link) => ended,
        _ = told.wait_for(|link| *link == Link::Cut) => Ok(()),
    }
}

/// Carries one direction to its end.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut link: watch::Receiver<Link>,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let now = *link.borrow_and_update();
        match now {
            Link::Well => to.write_all(&buffer[..read]).await?,
            Link::Cut => return Ok(()),
            Link::Late(late) => {
                tokio::time::sleep(late).await;
                to.write_all(&buffer[..read]).await?;
            }
            Link::Slow(bytes) => {
                for piece in buffer[..read].chunks(bytes) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    to.write_all(piece).await?;
                }
            }
            Link::HalfOpen => {
                // The task goes on until it is mended, also when this side gives up.
                let _ = link.wait_for(|link| *link != Link::HalfOpen).await;
                return Ok(());
            }
        }
    }
}
