//! What bodies say.

use super::*;
use crate::alert::payload;
use crate::model::Fingerprint;
use serde_json::json;

fn webhook(route: &str, webhook: &str) -> Play {
    Play::with(Config::parse(&file(route, webhook)).unwrap(), Flags::default())
}

#[test]
fn a_body_is_what_alertmanager_sends() {
    let mut play = Play::new(NAMED);
    let note = |summary: &str| Labels::from([("summary".to_owned(), summary.to_owned())]);
    let [mut one, mut other] = [fires("A i=1 x=y", 0.5), fires("A i=2 x=y", 0.0)];
    (one.annotations, other.annotations) = (note("same"), note("same"));
    other.generator_url = "http://p".to_owned();
    play.post(0.0, [other, one]).wait(5.0);
    let alert = |i: &str, starts: &str, url: &str| {
        let labels = labels(&format!("A i={i} x=y"));
        json!({
            "status": "firing", "labels": labels, "annotations": { "summary": "same" },
            "startsAt": starts, "endsAt": "0001-01-01T00:00:00Z", "generatorURL": url,
            "fingerprint": Fingerprint::of(&labels),
        })
    };
    let expected = json!({
        "version": "4", "groupKey": "{}:{alertname=\"A\"}", "truncatedAlerts": 0,
        "receiver": "bellwether", "status": "firing",
        "alerts": [
            alert("1", "1970-01-01T00:00:00.5Z", ""),
            alert("2", "1970-01-01T00:00:00Z", "http://p"),
        ],
        "groupLabels": { "alertname": "A" },
        "commonLabels": { "alertname": "A", "x": "y" },
        "commonAnnotations": { "summary": "same" },
        "externalURL": "http://alertmanager:9093",
    });
    assert_eq!(play.all[0].body, expected);
}

#[test]
fn our_own_reader_reads_it() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").wait(1.0);
    let body = play.all[0].body.to_string();
    let delivery = payload::Delivery::parse(body.as_bytes()).unwrap();
    let alert = delivery.alerts[0].as_ref().unwrap();
    assert_eq!(alert.starts_at, Some(second(0.0)));
    assert_eq!(alert.fingerprint, play.all[0].body["alerts"][0]["fingerprint"]);
}

#[test]
fn the_receivers_name_is_an_expression_that_matches_it() {
    let text = file(EACH, "").replace("bellwether", "auto.scaler");
    let mut play = Play::with(Config::parse(&text).unwrap(), Flags::default());
    play.fire(0.0, "A").wait(1.0);
    assert_eq!(play.all[0].body["receiver"], "auto\\.scaler");
    assert_eq!(play.all[0].receiver, "auto.scaler");
}

#[test]
fn it_is_resolved_only_when_all_that_it_shows_are() {
    let mut play = webhook(NAMED, "");
    play.post(0.0, [fires("A i=1", 0.0), fires("A i=2", 0.0)]).end(7.0, "A i=1", 0.0).wait(15.0);
    play.end(17.0, "A i=2", 0.0).wait(25.0);
    let status: Vec<_> = play.all.iter().map(|delivery| &delivery.body["status"]).collect();
    assert_eq!(status, ["firing", "firing", "resolved"]);
}

#[test]
fn a_cut_body_has_the_status_of_what_is_left() {
    let mut play = webhook(NAMED, ", max_alerts: 1");
    play.post(0.0, [fires("A i=1", 0.0), fires("A i=2", 0.0)]).end(7.0, "A i=1", 0.0).wait(15.0);
    assert_eq!(play.seen(), ["5 A:firing", "15 A:resolved"]);
    let body = &play.all[1].body;
    assert_eq!((&body["status"], &body["truncatedAlerts"]), (&json!("resolved"), &json!(1)));
    assert_eq!(body["commonLabels"], json!({ "alertname": "A", "i": "1" }));
}

#[test]
fn alerts_stand_by_job_then_instance_then_labels() {
    let mut play = Play::new("group_wait: 5s");
    let order = [
        "A job=a",
        "A job=b instance=1",
        "A job=b instance=2",
        "A instance=1 z=1",
        "A instance=9",
        "A",
        "A z=1",
        "A y=1",
        "A x=1 z=1",
    ];
    let posted: Vec<Posted> = order.iter().rev().map(|text| fires(text, 0.0)).collect();
    play.post(0.0, posted).wait(5.0);
    let came: Vec<Labels> = play.all[0].body["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| serde_json::from_value(alert["labels"].clone()).unwrap())
        .collect();
    assert_eq!(came, order.map(labels));
}

#[test]
fn a_group_is_named_as_go_would_write_it() {
    let text = super::labels("A path=C:\\x say=\"hi\"\n\t");
    assert_eq!(
        crate::sim::alertmanager::labels::show(&text),
        r#"{alertname="A", path="C:\\x", say="\"hi\"\n\t"}"#
    );
}
