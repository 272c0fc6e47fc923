//! What the apiserver tells of one kind of object, kept as small views, and how long ago it was true.
//!
//! The library's watcher lists in pages, watches, resumes, and lists anew where it fell behind. It says nothing while
//! nothing changes; so that silence is not taken for news, a watch is short, and each answer of the server is noted.

mod one;

#[cfg(test)]
mod tests;

use self::one::One;
use super::access::{Access, told};
use crate::clock::Clock;
use crate::model::Uid;
use futures_util::TryStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use rand::RngExt as _;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Waits after one failure after another, doubling from the first to the last.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How long an answer must last before it counts. One that only says that the watch cannot go on where it was looks good
/// at first, however long nothing was heard before.
const SETTLED: Duration = Duration::from_millis(300);

/// When the server was heard, on the boot clock. Shared with the connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<Mutex<Signs>>);

/// Signs of two answers in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Signs {
    /// The last sign of the answer before.
    before: Duration,
    /// When this one began.
    began: Duration,
    /// Its last sign.
    last: Duration,
}

/// One kind of object.
#[derive(Debug)]
pub(super) struct Watch<V> {
    /// What is watched, as the API calls it: `pods`.
    what: &'static str,
    heard: Heard,
    /// Told of whatever is seen that was not seen before.
    news: Arc<Notify>,
    kept: Mutex<Kept<V>>,
}

#[derive(Debug)]
struct Kept<V> {
    items: HashMap<Uid, V>,
    unread: Unread,
    /// A list that is under way: it takes the place of the items when it is whole.
    coming: Option<Coming<V>>,
    is_whole: bool,
    error: Option<Failed>,
}

/// Objects that cannot be read, by namespace and name, each with why: what is kept is not the whole while there is one.
type Unread = BTreeMap<String, String>;

/// A try that failed.
#[derive(Debug)]
struct Failed {
    why: String,
    /// Until when all was known before it.
    known_until: Duration,
}

#[derive(Debug)]
struct Coming<V> {
    items: HashMap<Uid, V>,
    unread: Unread,
    /// When it began, which is what it tells of.
    began: Duration,
    /// Until when what is kept was true.
    kept_at: Duration,
}

/// A moment at which what is kept was true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AsOf {
    /// On the boot clock; why nothing newer came, if something failed.
    At(Duration, Option<String>),
    /// What is kept is not the whole: there was no list yet, or an object of it cannot be read.
    Never(String),
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Signs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A good answer begins.
    pub(super) fn begins(&self, now: Duration) {
        let mut signs = self.lock();
        *signs = Signs { before: signs.last, began: now, last: now };
    }

    /// It goes on.
    pub(super) fn goes_on(&self, now: Duration) {
        let mut signs = self.lock();
        signs.last = signs.last.max(now);
    }

    /// It was none: what is known is from before it; until when.
    fn failed(&self) -> Duration {
        let mut signs = self.lock();
        signs.last = signs.before;
        signs.last
    }

    /// All was told that there was then.
    fn is_whole_of(&self, then: Duration) {
        *self.lock() = Signs { before: then, began: then, last: then };
    }

    /// Until when nothing can have been missed.
    fn at(&self, now: Duration) -> Duration {
        let signs = self.lock();
        let is_settled = now.saturating_sub(signs.began) >= SETTLED;
        if is_settled { signs.last } else { signs.before }
    }
}

impl<V> Watch<V> {
    fn new(what: &'static str, news: Arc<Notify>) -> Self {
        let kept = Kept {
            items: HashMap::new(),
            unread: Unread::new(),
            coming: None,
            is_whole: false,
            error: None,
        };
        Self { what, heard: Heard::default(), news, kept: Mutex::new(kept) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept<V>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what is there.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut HashMap<Uid, V>) -> T) -> T {
        look(&mut self.lock().items)
    }

    pub(super) fn as_of(&self, now: Duration) -> AsOf {
        let kept = self.lock();
        let told = |error: &Failed| format!("{} cannot be watched: {}", self.what, error.why);
        let error = kept.error.as_ref();
        match &kept.coming {
            _ if !kept.is_whole => {
                let unlisted = || format!("{} are not listed yet", self.what);
                AsOf::Never(error.map_or_else(unlisted, told))
            }
            _ if !kept.unread.is_empty() => AsOf::Never(self.told_unread(&kept.unread)),
            // What is kept is from before the list began.
            Some(coming) => AsOf::At(coming.kept_at, error.map(told)),
            None => {
                let at = self.heard.at(now);
                // Where nothing changes, no event says that it is over; a later good answer does.
                AsOf::At(at, error.filter(|error| at <= error.known_until).map(told))
            }
        }
    }

    /// Names the first, and how many there are.
    fn told_unread(&self, unread: &Unread) -> String {
        let first = unread.iter().next().map(|(name, why)| format!("{name}: {why}"));
        let what = self.what;
        format!("{} of the {what} cannot be read: {}", unread.len(), first.unwrap_or_default())
    }

    fn hear<K>(&self, event: Event<One<K>>, view: &impl Fn(&K) -> Option<V>, now: Duration)
    where
        K: Resource<DynamicType = ()>,
        V: PartialEq,
    {
        let mut kept = self.lock();
        match event {
            Event::Init => {
                let kept_at = kept.coming.take().map(|coming| coming.kept_at);
                let kept_at = kept_at.unwrap_or_else(|| self.heard.at(now));
                let (items, unread) = (HashMap::new(), Unread::new());
                kept.coming = Some(Coming { items, unread, began: now, kept_at });
            }
            Event::InitApply(object) => {
                let Some(coming) = &mut kept.coming else { return };
                match object.read() {
                    Ok((uid, object)) => {
                        coming.items.extend(view(object).map(|view| (uid, view)));
                    }
                    Err(why) => self.is_unread(&mut coming.unread, &object, why),
                }
            }
            Event::InitDone => {
                if let Some(coming) = kept.coming.take() {
                    (kept.items, kept.unread) = (coming.items, coming.unread);
                    kept.is_whole = true;
                    self.heard.is_whole_of(coming.began);
                    self.news.notify_one();
                }
            }
            Event::Apply(object) => self.apply(&mut kept, &object, view),
            Event::Delete(object) => {
                let was_unread = kept.unread.remove(&named(&object)).is_some();
                let uid = object.meta().uid.clone().map(Uid::new);
                let was_seen = uid.and_then(|uid| kept.items.remove(&uid)).is_some();
                if was_seen || was_unread {
                    self.news.notify_one();
                }
            }
        }
        // A failed try begins a list anew, and only a whole one shows that it is over.
        if kept.coming.is_none() {
            kept.error = None;
        }
    }

    fn apply<K>(&self, kept: &mut Kept<V>, object: &One<K>, view: &impl Fn(&K) -> Option<V>)
    where
        K: Resource<DynamicType = ()>,
        V: PartialEq,
    {
        let (uid, read) = match object.read() {
            Ok(read) => read,
            Err(why) => {
                // A kubelet that reports again and again of a node that cannot be read tells nothing new.
                let is_news = kept.unread.get(&named(object)) != Some(&why);
                self.is_unread(&mut kept.unread, object, why);
                if is_news {
                    self.news.notify_one();
                }
                return;
            }
        };
        let was_unread = !kept.unread.is_empty() && kept.unread.remove(&named(object)).is_some();
        let view = view(read);
        // A kubelet reports all the time, and mostly what is known.
        if kept.items.get(&uid) != view.as_ref() || was_unread {
            self.news.notify_one();
        }
        // One of which there is nothing more to see is gone for us: a pod that is finished.
        match view {
            Some(view) => kept.items.insert(uid, view),
            None => kept.items.remove(&uid),
        };
    }

    fn is_unread<K>(&self, unread: &mut Unread, object: &One<K>, why: String)
    where
        K: Resource<DynamicType = ()>,
    {
        let (what, object) = (self.what, named(object));
        if unread.get(&object) != Some(&why) {
            tracing::warn!(
                section = "cluster",
                what,
                object,
                error = why,
                "an object cannot be read: nothing is known while it is there"
            );
        }
        unread.insert(object, why);
    }

    fn fail(&self, error: &watcher::Error) {
        let known_until = self.heard.failed();
        let why = told_of_watch(error);
        let before = self.lock().error.replace(Failed { why: why.clone(), known_until });
        if before.is_none_or(|before| before.why != why) {
            tracing::warn!(
                section = "cluster",
                what = self.what,
                error = why,
                "watch failed; trying again"
            );
        }
    }
}

/// Starts to watch all objects of a kind, and goes on until the task is ended.
pub(super) fn start<K, V>(
    access: &Access,
    what: &'static str,
    (clock, news): (Clock, &Arc<Notify>),
    tasks: &mut tokio::task::JoinSet<()>,
    view: impl Fn(&K) -> Option<V> + Send + 'static,
) -> Result<Arc<Watch<V>>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    V: PartialEq + Debug + Send + 'static,
{
    let watch = Arc::new(Watch::new(what, news.clone()));
    let api = Api::all(access.listening(watch.heard.clone(), clock)?);
    let config = watcher::Config::default().timeout(access.watch_seconds());
    tasks.spawn(follow(api, config, watch.clone(), clock, view));
    Ok(watch)
}

async fn follow<K, V>(
    api: Api<One<K>>,
    config: watcher::Config,
    watch: Arc<Watch<V>>,
    clock: Clock,
    view: impl Fn(&K) -> Option<V>,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    V: PartialEq,
{
    let anew = || watcher(api.clone(), config.clone());
    let mut events = pin!(anew());
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
                if loses_an_event(&error) {
                    events.set(anew());
                }
                let jitter = rand::rng().random_range(0.5..1.0);
                tokio::time::sleep(wait.mul_f64(jitter)).await;
                wait = (wait * 2).min(WAITS.1);
            }
        }
    }
}

/// Whether something was told that could not be read even as far as [`One`] does: the library goes on after it as if it had not been
/// told, so all is to be listed anew.
fn loses_an_event(error: &watcher::Error) -> bool {
    let watcher::Error::WatchFailed(error) = error else { return false };
    matches!(error, kube::Error::SerdeError(_) | kube::Error::Api(_))
}

/// By its namespace, where it has one, and its name.
fn named<K: Resource<DynamicType = ()>>(object: &One<K>) -> String {
    let name = object.name_any();
    object.namespace().map_or(name.clone(), |namespace| format!("{namespace}/{name}"))
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
