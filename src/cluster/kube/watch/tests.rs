//! What is kept of a kind of objects, and how old it is, after one event after another.

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

fn object(uid: &str) -> One<Namespace> {
    called(uid, Some(uid))
}

fn called(uid: &str, name: Option<&str>) -> One<Namespace> {
    let name = name.map_or_else(String::new, |name| format!(r#","name":"{name}""#));
    one(&format!(r#"{{"metadata":{{"uid":"{uid}"{name}}}}}"#))
}

fn one(text: &str) -> One<Namespace> {
    serde_json::from_str(text).unwrap()
}

fn tell(watch: &Watch<()>, event: Event<One<Namespace>>, at: u32) {
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
    let is_news = |event: Event<One<Namespace>>| {
        watch.hear(event, &named, SECOND);
        watch.news.notified().now_or_never().is_some()
    };
    let called = |name: Option<&str>| called("a", name);
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
    assert_eq!(watch.as_of(SECOND * 101), AsOf::Never("namespaces are not listed yet".to_owned()));
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

/// As no apiserver should tell one: its labels are no labels.
fn unread(name: &str) -> One<Namespace> {
    one(&format!(r#"{{"metadata":{{"uid":"{name}","name":"{name}","labels":7}}}}"#))
}

/// Why it is not the whole.
fn missing(watch: &Watch<()>) -> Option<String> {
    match watch.as_of(SECOND * 110) {
        AsOf::At(..) => None,
        AsOf::Never(why) => Some(why),
    }
}

#[test]
fn while_one_of_a_list_cannot_be_read_the_rest_is_not_the_whole_and_it_is_named() {
    let watch = watched();
    tell(&watch, Event::Init, 104);
    tell(&watch, Event::InitApply(object("a")), 104);
    tell(&watch, Event::InitApply(unread("bad")), 104);
    assert_eq!(missing(&watch), None, "a list that is under way tells nothing");
    tell(&watch, Event::InitDone, 105);
    let why = missing(&watch).unwrap();
    assert!(why.starts_with("1 of the namespaces cannot be read: bad: invalid type"), "{why}");
    list(&watch, 106);
    assert_eq!(missing(&watch), None, "the next list is without it");
}

#[test]
fn one_that_cannot_be_read_any_more_is_not_lost_in_the_events_behind_it() {
    let end: [fn(&Watch<()>); 2] = [
        |watch| tell(watch, Event::Apply(object("bad")), 107),
        |watch| tell(watch, Event::Delete(unread("bad")), 107),
    ];
    for ends in end {
        let watch = watched();
        tell(&watch, Event::Apply(unread("bad")), 104);
        tell(&watch, Event::Apply(object("b")), 105);
        watch.heard.begins(SECOND * 106);
        assert!(missing(&watch).unwrap().contains("bad: invalid type"));
        ends(&watch);
        assert_eq!(missing(&watch), None);
    }
}

/// Nobody could tell it from another.
#[test]
fn one_without_a_uid_cannot_be_read() {
    let watch = watched();
    tell(&watch, Event::Apply(one(r#"{"metadata":{"name":"bare"}}"#)), 104);
    let why = missing(&watch).unwrap();
    assert_eq!(why, "1 of the namespaces cannot be read: bare: it has no uid");
}

/// What it is called comes through, and where it stands in the watch: else all would be listed anew for it.
#[test]
fn of_one_that_cannot_be_read_its_names_are_known() {
    let bad = one(
        r#"{"metadata":{"uid":"u","name":"n","resourceVersion":"7","annotations":[]},"spec":{}}"#,
    );
    let meta = bad.meta();
    let known = [&meta.uid, &meta.name, &meta.resource_version].map(Option::as_deref);
    assert_eq!(known, [Some("u"), Some("n"), Some("7")]);
    let event = r#"{"type":"MODIFIED","object":{"metadata":{"name":"n"},"spec":7}}"#;
    let event: kube::core::WatchEvent<One<Namespace>> = serde_json::from_str(event).unwrap();
    assert!(matches!(event, kube::core::WatchEvent::Modified(One::Unread(..))), "{event:?}");
}
