//! What the apiserver tells of one kind of object, kept as small views, and how long ago it was true.
//!
//! The library's watcher lists in pages, watches, resumes, and lists anew where it fell behind. It says nothing while
//! nothing changes; so that silence is not taken for news, a watch is short, and each answer of the server is noted.

use super::access::{Access, told};
use crate::clock::Clock;
use crate::model::Uid;
use futures_util::TryStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use rand::RngExt as _;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Waits after one failure after another, doubling from the first to the last.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// When the server was last heard, on the boot clock. Shared with the connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<AtomicU64>);

/// One kind of object.
#[derive(Debug)]
pub(super) struct Watch<V> {
    /// What is watched, as the API calls it: `pods`.
    what: &'static str,
    heard: Heard,
    kept: Mutex<Kept<V>>,
}

#[derive(Debug)]
struct Kept<V> {
    items: HashMap<Uid, V>,
    /// A list that is under way, and since when: it takes the place of the items when it is whole.
    coming: Option<(HashMap<Uid, V>, Duration)>,
    is_whole: bool,
    error: Option<String>,
}

/// A moment at which what is kept was true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AsOf {
    /// On the boot clock; why nothing newer came, if something failed.
    At(Duration, Option<String>),
    /// There was no whole list yet.
    Never(String),
}

impl Heard {
    pub(super) fn note(&self, now: Duration) {
        self.0.fetch_max(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn at(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl<V> Watch<V> {
    fn new(what: &'static str) -> Self {
        let kept = Kept { items: HashMap::new(), coming: None, is_whole: false, error: None };
        Self { what, heard: Heard::default(), kept: Mutex::new(kept) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept<V>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what is there.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut HashMap<Uid, V>) -> T) -> T {
        look(&mut self.lock().items)
    }

    pub(super) fn as_of(&self) -> AsOf {
        let kept = self.lock();
        let error =
            kept.error.as_ref().map(|error| format!("{} cannot be watched: {error}", self.what));
        match &kept.coming {
            _ if !kept.is_whole => {
                AsOf::Never(error.unwrap_or_else(|| format!("{} are not listed yet", self.what)))
            }
            // What is kept is from before the list began.
            Some((_, since)) => AsOf::At(*since, error),
            None => AsOf::At(self.heard.at(), error),
        }
    }

    fn hear<K: Resource>(&self, event: Event<K>, view: &impl Fn(&K) -> Option<V>, now: Duration) {
        let uid = |object: &K| object.meta().uid.clone().map(Uid::new);
        let mut kept = self.lock();
        match event {
            Event::Init => {
                let since = kept.coming.take().map_or(self.heard.at(), |(_, since)| since);
                kept.coming = Some((HashMap::new(), since));
            }
            Event::InitApply(object) => {
                if let (Some((items, _)), Some(uid), Some(view)) =
                    (&mut kept.coming, uid(&object), view(&object))
                {
                    items.insert(uid, view);
                }
            }
            Event::InitDone => {
                if let Some((items, _)) = kept.coming.take() {
                    (kept.items, kept.is_whole) = (items, true);
                }
            }
            Event::Apply(object) => {
                let Some(uid) = uid(&object) else { return };
                // One of which there is nothing more to see is gone for us: a pod that is finished.
                match view(&object) {
                    Some(view) => kept.items.insert(uid, view),
                    None => kept.items.remove(&uid),
                };
            }
            Event::Delete(object) => {
                uid(&object).and_then(|uid| kept.items.remove(&uid));
            }
        }
        // A failed try begins a list anew, and only a whole one shows that it is over.
        if kept.coming.is_none() {
            kept.error = None;
            self.heard.note(now);
        }
    }

    fn fail(&self, error: &watcher::Error) {
        let error = told_of_watch(error);
        let is_new = self.lock().error.replace(error.clone()).as_ref() != Some(&error);
        if is_new {
            tracing::warn!(
                section = "cluster",
                what = self.what,
                error,
                "watch failed; trying again"
            );
        }
    }
}

/// Starts to watch all objects of a kind, and goes on until the task is ended.
pub(super) fn start<K, V>(
    access: &Access,
    what: &'static str,
    clock: Clock,
    tasks: &mut tokio::task::JoinSet<()>,
    view: impl Fn(&K) -> Option<V> + Send + 'static,
) -> Result<Arc<Watch<V>>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    V: Debug + Send + 'static,
{
    let watch = Arc::new(Watch::new(what));
    let api = Api::all(access.listening(watch.heard.clone(), clock)?);
    let config = watcher::Config::default().timeout(access.watch_seconds());
    tasks.spawn(follow(api, config, watch.clone(), clock, view));
    Ok(watch)
}

async fn follow<K, V>(
    api: Api<K>,
    config: watcher::Config,
    watch: Arc<Watch<V>>,
    clock: Clock,
    view: impl Fn(&K) -> Option<V>,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = pin!(watcher(api, config));
    let mut wait = WAITS.0;
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                // A list that begins is no success yet.
                if !matches!(event, Event::Init) {
                    wait = WAITS.0;
                }
                watch.hear(event, &view, clock.boottime());
            }
            // The watcher has no end; not polling it is how it is told to wait.
            Ok(None) => return,
            Err(error) => {
                watch.fail(&error);
                let jitter = rand::rng().random_range(0.5..1.0);
                tokio::time::sleep(wait.mul_f64(jitter)).await;
                wait = (wait * 2).min(WAITS.1);
            }
        }
    }
}

fn told_of_watch(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => told(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => "an object came without its version".to_owned(),
    }
}
