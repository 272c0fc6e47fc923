//! How alerts that are posted again are merged.

use super::*;

/// Start and end of the only alert, as the API tells them.
fn span(play: &mut Play, at: f64) -> (i64, i64) {
    let told = play.server.told("bellwether", second(at)).unwrap();
    let told = |name: &str| told.alerts[0][name].as_str().unwrap();
    let time = |name: &str| told(name).parse::<Timestamp>().unwrap().as_second();
    (time("startsAt"), time("endsAt"))
}

#[test]
fn spans_that_overlap_keep_the_earliest_start() {
    let mut play = Play::new(EACH);
    play.fire(10.0, "A").post(20.0, [fires("A", 15.0)]);
    assert_eq!(span(&mut play, 20.0).0, 10);
    play.post(21.0, [fires("A", -5.0)]);
    assert_eq!(span(&mut play, 21.0).0, -5);
}

#[test]
fn a_span_after_the_last_one_is_a_new_start() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").end(3.0, "A", 0.0).fire(5.0, "A");
    assert_eq!(span(&mut play, 5.0).0, 5);
}

#[test]
fn the_latest_end_counts_while_it_fires() {
    let mut play = Play::new(EACH);
    play.post(0.0, [until("A", 0.0, 60.0)]).post(1.0, [until("A", 0.0, 30.0)]);
    assert_eq!(span(&mut play, 1.0).1, 60);
}

#[test]
fn an_end_that_was_not_named_is_a_timeout_and_yields_to_one_that_was() {
    let mut play = Play::new(EACH);
    let endless = Posted { ends_at: None, ..fires("A", 0.0) };
    play.post(0.0, [endless]);
    assert_eq!(span(&mut play, 0.0).1, 300, "resolve_timeout");
    play.post(1.0, [until("A", 0.0, 30.0)]);
    assert_eq!(span(&mut play, 1.0).1, 30);
}

#[test]
fn of_two_ends_in_the_past_the_later_counts() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").end(5.0, "A", 0.0).post(6.0, [until("A", 0.0, 3.0)]).wait(10.0);
    let last = play.all.last().unwrap();
    assert_eq!(last.body["alerts"][0]["endsAt"], "1970-01-01T00:00:05Z");
}

#[test]
fn what_is_over_is_told_no_more_but_still_merges_until_it_is_collected() {
    let again = |at: f64| {
        let mut play = Play::new(EACH);
        play.fire(0.0, "A").end(60.0, "A", 0.0).wait(61.0);
        let told = play.server.told("bellwether", second(61.0)).unwrap();
        assert_eq!(told.alerts, serde_json::json!([]));
        play.post(at, [until("A", 30.0, at + 100.0)]);
        span(&mut play, at).0
    };
    assert_eq!(again(1700.0), 0);
    assert_eq!(again(1900.0), 30, "--alerts.gc-interval is 30 m");
}

#[test]
fn it_ends_by_itself_when_nobody_posts_it_again() {
    let mut play = Play::new(EACH);
    play.post(0.0, [until("A", 0.0, 17.0)]).wait(30.0);
    assert_eq!(play.seen(), ["0 A:firing", "20 A:resolved"]);
}

#[test]
fn labels_without_a_value_are_dropped_and_an_alert_without_labels_is_refused() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A pool=").post(0.0, [Posted::default(), until("B", 5.0, 1.0)]).wait(1.0);
    assert_eq!(play.seen(), ["0 A:firing"]);
    assert_eq!(play.all[0].body["alerts"][0]["labels"], serde_json::json!({ "alertname": "A" }));
}

#[test]
fn what_prometheus_posts_can_be_read() {
    let posted: Vec<Posted> = serde_json::from_str(
        r#"[{"labels":{"alertname":"A"},"annotations":{"summary":"x"},"startsAt":"1970-01-01T00:00:00Z",
        "endsAt":"1970-01-01T00:04:00Z","generatorURL":"http://prometheus/graph"}]"#,
    )
    .unwrap();
    let expected = Posted {
        annotations: Labels::from([("summary".to_owned(), "x".to_owned())]),
        generator_url: "http://prometheus/graph".to_owned(),
        ..fires("A", 0.0)
    };
    assert_eq!(posted, [expected]);
}
