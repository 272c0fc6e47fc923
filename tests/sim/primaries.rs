//! The store that all processes share, as one server after another: each takes over with what it had heard of by
//! then, and the rest is forgotten, claims included.

use crate::scenario::CLUSTER;
use bellwether::clock::Clock;
use bellwether::store::{Dump, Memory, Retention, Store as _};
use futures_util::FutureExt as _;
use std::sync::{Arc, Mutex};

#[derive(Debug)]
pub(crate) struct Primaries {
    clock: Clock,
    retention: Retention,
    /// Each that there was, the present one last.
    all: Mutex<Vec<Arc<Memory>>>,
    /// What the next one has heard of, once it lags.
    heard: Mutex<Option<Dump>>,
}

impl Primaries {
    pub(crate) fn new(clock: Clock, retention: Retention) -> Self {
        let first = Arc::new(Memory::new(clock, retention));
        Self { clock, retention, all: Mutex::new(vec![first]), heard: Mutex::default() }
    }

    /// The one that answers now.
    pub(crate) fn present(&self) -> Arc<Memory> {
        self.all.lock().unwrap().last().expect("there is a first").clone()
    }

    /// All that ever answered, and what they had then.
    pub(crate) fn all(&self) -> Vec<Arc<Memory>> {
        self.all.lock().unwrap().clone()
    }

    /// What is written from here on is forgotten at the next fail-over.
    pub(crate) fn lag(&self) {
        let dump = self.present().dump(&CLUSTER.into()).now_or_never();
        *self.heard.lock().unwrap() = dump.map(Result::unwrap);
    }

    /// Another takes over.
    pub(crate) fn fail_over(&self) {
        let Some(heard) = self.heard.lock().unwrap().take() else { return };
        let next = Memory::new(self.clock, self.retention);
        next.restore(&CLUSTER.into(), &heard).now_or_never().expect("at once").unwrap();
        self.all.lock().unwrap().push(Arc::new(next));
    }
}
