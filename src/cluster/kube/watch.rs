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
    /// A list that is under way: it takes the place of the items when it is whole.
    coming: Option<Coming<V>>,
    is_whole: bool,
    error: Option<Failed>,
}

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
    /// There was no whole list yet.
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
        let kept = Kept { items: HashMap::new(), coming: None, is_whole: false, error: None };
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
            // What is kept is from before the list began.
            Some(coming) => AsOf::At(coming.kept_at, error.map(told)),
            None => {
                let at = self.heard.at(now);
                // Where nothing changes, no event says that it is over; a later good answer does.
                AsOf::At(at, error.filter(|error| at <= error.known_until).map(told))
            }
        }
    }

    fn hear<K: Resource>(&self, event: Event<K>, view: &impl Fn(&K) -> Option<V>, now: Duration)
    where
        V: PartialEq,
    {
        let uid = |object: &K| object.meta().uid.clone().map(Uid::new);
        let mut kept = self.lock();
        match event {
            Event::Init => {
                let kept_at = kept.coming.take().map(|coming| coming.kept_at);
                let kept_at = kept_at.unwrap_or_else(|| self.heard.at(now));
                kept.coming = Some(Coming { items: HashMap::new(), began: now, kept_at });
            }
            Event::InitApply(object) => {
                if let (Some(coming), Some(uid), Some(view)) =
                    (&mut kept.coming, uid(&object), view(&object))
                {
                    coming.items.insert(uid, view);
                }
            }
            Event::InitDone => {
                if let Some(coming) = kept.coming.take() {
                    (kept.items, kept.is_whole) = (coming.items, true);
                    self.heard.is_whole_of(coming.began);
                    self.news.notify_one();
                }
            }
            Event::Apply(object) => {
                let Some(uid) = uid(&object) else { return };
                let view = view(&object);
                // A kubelet reports all the time, and mostly what is known.
                if kept.items.get(&uid) != view.as_ref() {
                    self.news.notify_one();
                }
                // One of which there is nothing more to see is gone for us: a pod that is finished.
                match view {
                    Some(view) => kept.items.insert(uid, view),
                    None => kept.items.remove(&uid),
                };
            }
            Event::Delete(object) => {
                if uid(&object).and_then(|uid| kept.items.remove(&uid)).is_some() {
                    self.news.notify_one();
                }
            }
        }
        // A failed try begins a list anew, and only a whole one shows that it is over.
        if kept.coming.is_none() {
            kept.error = None;
        }
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
    api: Api<K>,
    config: watcher::Config,
    watch: Arc<Watch<V>>,
    clock: Clock,
    view: impl Fn(&K) -> Option<V>,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    V: PartialEq,
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use k8s_openapi::api::core::v1::Namespace;
    use kube::core::Status;

    const SECOND: Duration = Duration::from_secs(1);

    /// A watch whose list began at 100 s and was whole two seconds later; its answer began at 103 s.
    fn watched() -> Watch<()> {
        let watch = Watch::new("namespaces", Arc::default());
        list(&watch, 100);
        watch.heard.begins(SECOND * 103);
        watch
    }

    fn list(watch: &Watch<()>, at: u32) {
        tell(watch, Event::Init, at);
        watch.heard.begins(SECOND * (at + 1));
        tell(watch, Event::InitApply(object("a")), at + 1);
        tell(watch, Event::InitDone, at + 2);
    }

    fn object(uid: &str) -> Namespace {
        let mut namespace = Namespace::default();
        namespace.metadata.uid = Some(uid.to_owned());
        namespace
    }

    fn tell(watch: &Watch<()>, event: Event<Namespace>, at: u32) {
        watch.hear(event, &|_| Some(()), SECOND * at);
    }

    fn at(watch: &Watch<()>, now: u32) -> Duration {
        match watch.as_of(SECOND * now) {
            AsOf::At(at, _) => at,
            AsOf::Never(why) => panic!("{why}"),
        }
    }

    fn gone() -> watcher::Error {
        watcher::Error::WatchError(Box::new(Status::failure("too old", "Expired").with_code(410)))
    }

    #[test]
    fn what_was_not_seen_before_is_news_and_the_same_again_is_none() {
        let watch: Watch<String> = Watch::new("namespaces", Arc::default());
        let named = |object: &Namespace| object.metadata.name.clone();
        let is_news = |event: Event<Namespace>| {
            watch.hear(event, &named, SECOND);
            watch.news.notified().now_or_never().is_some()
        };
        let called = |name: Option<&str>| {
            let mut object = object("a");
            object.metadata.name = name.map(str::to_owned);
            object
        };
        assert!(!is_news(Event::Init));
        assert!(!is_news(Event::InitApply(called(Some("x")))), "a part of a list is none");
        assert!(is_news(Event::InitDone));
        assert!(!is_news(Event::Apply(called(Some("x")))), "a report of what is known");
        assert!(is_news(Event::Apply(called(Some("y")))));
        assert!(is_news(Event::Apply(called(None))), "it is gone for us");
        assert!(!is_news(Event::Delete(called(None))), "it was gone before");
    }

    #[test]
    fn nothing_is_known_before_a_list_is_whole() {
        let watch = Watch::new("namespaces", Arc::default());
        tell(&watch, Event::Init, 100);
        tell(&watch, Event::InitApply(object("a")), 101);
        assert_eq!(
            watch.as_of(SECOND * 101),
            AsOf::Never("namespaces are not listed yet".to_owned())
        );
        watch.fail(&gone());
        let AsOf::Never(why) = watch.as_of(SECOND * 102) else { panic!() };
        assert_eq!(why, "namespaces cannot be watched: too old");
        assert!(watch.look(|items| items.is_empty()));
    }

    #[test]
    fn a_list_tells_of_when_it_began() {
        let watch = Watch::new("namespaces", Arc::default());
        list(&watch, 100);
        assert_eq!(at(&watch, 110), SECOND * 100);
    }

    #[test]
    fn each_sign_of_the_server_makes_the_view_new() {
        let watch = watched();
        assert_eq!(at(&watch, 104), SECOND * 103);
        watch.heard.goes_on(SECOND * 115);
        assert_eq!(at(&watch, 120), SECOND * 115);
        watch.heard.begins(SECOND * 123);
        assert_eq!(at(&watch, 124), SECOND * 123);
    }

    #[test]
    fn an_answer_that_has_just_begun_does_not_count_yet() {
        let watch = watched();
        watch.heard.begins(SECOND * 700);
        assert_eq!(at(&watch, 700), SECOND * 103);
        assert_eq!(at(&watch, 701), SECOND * 700);
    }

    #[test]
    fn after_a_long_silence_one_that_says_it_cannot_go_on_leaves_the_view_as_old_as_it_is() {
        let watch = watched();
        watch.heard.begins(SECOND * 700);
        watch.heard.goes_on(SECOND * 700);
        watch.fail(&gone());
        assert_eq!(at(&watch, 710), SECOND * 103);
        // So it does while the new list is under way, however often that is begun.
        tell(&watch, Event::Init, 710);
        watch.heard.begins(SECOND * 711);
        assert_eq!(at(&watch, 715), SECOND * 103);
        tell(&watch, Event::Init, 716);
        assert_eq!(at(&watch, 718), SECOND * 103);
        tell(&watch, Event::InitDone, 719);
        assert_eq!(at(&watch, 719), SECOND * 716);
        assert!(watch.look(|items| items.is_empty()), "what was not listed is gone");
    }

    #[test]
    fn a_connection_that_fails_makes_nothing_new() {
        let watch = watched();
        watch.heard.begins(SECOND * 123);
        for _ in 0..3 {
            watch.fail(&gone());
        }
        assert_eq!(at(&watch, 130), SECOND * 103);
        watch.heard.begins(SECOND * 140);
        assert_eq!(at(&watch, 141), SECOND * 140);
    }

    #[test]
    fn a_failure_is_over_once_the_server_is_heard_again_though_nothing_changed() {
        let watch = watched();
        let error = |now: u32| match watch.as_of(SECOND * now) {
            AsOf::At(_, error) => error,
            AsOf::Never(why) => panic!("{why}"),
        };
        watch.heard.begins(SECOND * 123);
        watch.fail(&gone());
        assert_eq!(error(124).as_deref(), Some("namespaces cannot be watched: too old"));
        watch.heard.begins(SECOND * 140);
        assert!(error(140).is_some(), "it may be no good answer yet");
        assert_eq!(error(141), None);
    }

    #[test]
    fn an_object_of_which_there_is_nothing_more_to_see_is_gone() {
        let watch = watched();
        tell(&watch, Event::Apply(object("b")), 104);
        assert_eq!(watch.look(|items| items.len()), 2);
        watch.hear(Event::Apply(object("b")), &|_: &Namespace| None, SECOND * 105);
        tell(&watch, Event::Delete(object("a")), 106);
        assert!(watch.look(|items| items.is_empty()));
    }
}
