//! One process: the loop, the claim's keeper and the inlet as one future, which can be dropped or stopped at any step.

use bellwether::http::Inlet;
use bellwether::reconcile::Reconciler;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What the driver does to a process.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// Steps until it dies, and one; never while zero.
    fuse: AtomicU64,
    /// Steps until it is stopped, and one; never while zero.
    stops: AtomicU64,
    stopped: AtomicBool,
    dead: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Control {
    /// It dies after so many steps, wherever it then is.
    pub(crate) fn die_after(&self, steps: u64) {
        self.fuse.store(steps + 1, Ordering::SeqCst);
        self.wake();
    }

    /// It is stopped after so many steps, wherever it then is.
    pub(crate) fn stop_after(&self, steps: u64) {
        self.stops.store(steps + 1, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn go_on(&self) {
        self.stops.store(0, Ordering::SeqCst);
        self.stopped.store(false, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.lock().unwrap().take() {
            waker.wake();
        }
    }
}

/// A future that stops or ends where it is told.
struct Puppet {
    inner: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    control: Arc<Control>,
}

impl Future for Puppet {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        *self.control.waker.lock().unwrap() = Some(context.waker().clone());
        if burn(&self.control.stops) {
            self.control.stopped.store(true, Ordering::SeqCst);
        }
        if self.control.stopped.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        if burn(&self.control.fuse) {
            self.inner = None;
        }
        let ended = self.inner.as_mut().is_none_or(|inner| inner.as_mut().poll(context).is_ready());
        if ended {
            self.inner = None;
            self.control.dead.store(true, Ordering::SeqCst);
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// One step of a fuse; true when it has burnt down.
fn burn(fuse: &AtomicU64) -> bool {
    let left = fuse.load(Ordering::SeqCst);
    fuse.store(left.saturating_sub(1), Ordering::SeqCst);
    left == 1
}

/// Runs a process until it dies. Connections come in through the channel.
pub(crate) async fn live(
    reconciler: Reconciler,
    inlet: Inlet,
    mut connections: mpsc::UnboundedReceiver<DuplexStream>,
    ttl: Duration,
    control: Arc<Control>,
) {
    use futures_util::stream::{FuturesUnordered, StreamExt as _};
    let work = async move {
        let never = CancellationToken::new();
        let claims = reconciler.claims();
        let serving = async {
            let mut open = FuturesUnordered::new();
            loop {
                tokio::select! {
                    biased;
                    Some(stream) = connections.recv() => {
                        let inlet = inlet.clone();
                        open.push(async move { inlet.serve(stream, ([127, 0, 0, 1], 1).into()).await });
                    }
                    Some(()) = open.next(), if !open.is_empty() => {}
                    else => std::future::pending::<()>().await,
                }
            }
        };
        tokio::join!(claims.keep(ttl, never.clone()), reconciler.run(never.clone()), serving);
    };
    Puppet { inner: Some(Box::pin(work)), control }.await;
}
