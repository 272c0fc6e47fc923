//! Whether all parts are up: each takes a handle at the start and drops it when it is ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which parts are missing. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Handles out, by name: a part may take several.
    missing: BTreeMap<String, u32>,
    stopping: bool,
}

/// A part that is not ready. Dropping it says that it is.
#[derive(Debug)]
pub struct Pending {
    name: String,
    readiness: Readiness,
}

// === impl Readiness ===

impl Readiness {
    /// Nothing is missing until somebody takes a handle.
    pub fn new() -> Self {
        Self::default()
    }

    /// A part that is not ready yet.
    #[must_use = "dropping it says that the part is ready"]
    pub fn pending(&self, name: impl Into<String>) -> Pending {
        let name = name.into();
        *self.lock().missing.entry(name.clone()).or_default() += 1;
        Pending { name, readiness: self.clone() }
    }

    /// From now on not ready: shutdown begins, and no new work should come here.
    pub fn stop(&self) {
        self.lock().stopping = true;
    }

    /// What is missing; empty when ready.
    pub fn missing(&self) -> Vec<String> {
        let shared = self.lock();
        let stopping = shared.stopping.then(|| "shutting down".to_owned());
        stopping.into_iter().chain(shared.missing.keys().cloned()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Pending ===

impl Drop for Pending {
    fn drop(&mut self) {
        let mut shared = self.readiness.lock();
        if let Some(count) = shared.missing.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                shared.missing.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_every_handle_is_dropped_and_never_again_after_the_stop() {
        let readiness = Readiness::new();
        let (store, one, two) =
            (readiness.pending("store"), readiness.pending("loop"), readiness.pending("loop"));
        assert_eq!(readiness.missing(), ["loop", "store"]);
        drop((store, one));
        assert_eq!(readiness.missing(), ["loop"]);
        drop(two);
        assert!(readiness.missing().is_empty());
        readiness.stop();
        assert_eq!(readiness.missing(), ["shutting down"]);
    }
}
