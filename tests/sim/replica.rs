//! One process: the loop, the claim's keeper and the inlet as one future, which can be dropped or stopped at any step.

use crate::happening::When;
use bellwether::http::Inlet;
use bellwether::reconcile::{Reconciler, Terms};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What the driver does to a process.
#[derive(Debug, Default)]
pub(crate) struct Control {
    plan: Mutex<Option<(When, Fate)>>,
    stopped: AtomicBool,
    dead: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Dies,
    Stops,
}

impl Control {
    /// This becomes of it then, wherever it then is.
    pub(crate) fn plan(&self, when: When, fate: Fate) {
        *self.plan.lock().unwrap() = Some((when, fate));
        self.wake();
    }

    /// It commits what it is about to do: what was to be counted from there is counted from now on.
    pub(crate) fn begins_acts(&self) {
        if let Some((when, _)) = &mut *self.plan.lock().unwrap()
            && let When::Intent(steps) = *when
        {
            *when = When::Steps(steps);
        }
    }

    pub(crate) fn go_on(&self) {
        self.stopped.store(false, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// One step towards what is planned; what becomes of it now.
    fn step(&self) -> Option<Fate> {
        let mut plan = self.plan.lock().unwrap();
        match &mut *plan {
            Some((When::Steps(0), _)) => plan.take().map(|(_, fate)| fate),
            Some((When::Steps(left), _)) => {
                *left -= 1;
                None
            }
            Some((When::Intent(_), _)) | None => None,
        }
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
        if self.control.is_stopped() {
            return Poll::Pending;
        }
        match self.control.step() {
            Some(Fate::Stops) => {
                self.control.stopped.store(true, Ordering::SeqCst);
                return Poll::Pending;
            }
            Some(Fate::Dies) => self.inner = None,
            None => {}
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

/// Runs a process until it dies. Connections come in through the channel.
pub(crate) async fn live(
    reconciler: Reconciler,
    inlet: Inlet,
    mut connections: mpsc::UnboundedReceiver<DuplexStream>,
    terms: impl Fn() -> Terms + Send + Sync + 'static,
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
        tokio::join!(claims.keep(terms, never.clone()), reconciler.run(never.clone()), serving);
    };
    Puppet { inner: Some(Box::pin(work)), control }.await;
}
