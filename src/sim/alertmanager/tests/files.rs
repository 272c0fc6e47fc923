//! What is read of a configuration file.

use super::*;

const SHIPPED: &str = include_str!("../../../../alertmanager/alertmanager.yml");

/// The shipped file, played.
fn shipped() -> Play {
    Play::with(Config::parse(SHIPPED).unwrap(), Flags::default())
}

#[test]
fn the_shipped_routes_are_played() {
    let mut play = shipped();
    let up = "Full autoscale=up cluster=c";
    let down = "Idle autoscale=down cluster=c";
    play.post(0.0, [fires(up, 0.0), fires(down, 0.0), fires("Other cluster=c", 0.0)]);
    play.post(50.0, [fires(up, 0.0), fires(down, 0.0)]).wait(100.0);
    assert_eq!(
        play.seen(),
        ["0 Full:firing", "30 Idle:firing", "60 Full:firing", "90 Idle:firing"]
    );
    let up = r#"{}/{autoscale=~"up|down|replace|watchdog"}"#;
    let down = r#"{}/{autoscale=~"up|down|replace|watchdog"}/{autoscale="down"}"#;
    let key = |route: &str, labels: &str| format!("{route}:{{{labels}}}");
    assert_eq!(play.all[0].group, key(up, r#"alertname="Full", autoscale="up", cluster="c""#));
    assert_eq!(play.all[1].group, key(down, r#"alertname="Idle", autoscale="down", cluster="c""#));
}

#[test]
fn the_shipped_rule_inhibits_scale_down_only() {
    let mut play = shipped();
    play.fire(0.0, "PrometheusBlind cluster=c").fire(1.0, "Full autoscale=up cluster=c");
    play.fire(2.0, "Idle autoscale=down cluster=c").wait(40.0);
    assert_eq!(play.seen(), ["1 Full:firing"]);
}

#[test]
fn a_route_inherits_all_but_its_time_intervals() {
    let config = Config::parse(
        "route: { receiver: a, group_by: [x], group_wait: 1s, group_interval: 2s, repeat_interval: 3s, \
         routes: [{ matchers: ['b=c'], mute_time_intervals: [always], routes: [{ matchers: [d=e] }] }] }\n\
         receivers: [{ name: a, webhook_configs: [{}] }]",
    )
    .unwrap()
    .with_window("always", &[(second(0.0), second(1e6))]);
    let deepest = &config.routes[2];
    assert_eq!(deepest.receiver, "a");
    let intervals = [deepest.group_wait, deepest.group_interval, deepest.repeat_interval];
    assert_eq!(intervals, [1, 2, 3].map(Duration::from_secs));
    assert_eq!(deepest.group_by.of(&labels("A x=1 y=2")), labels("x=1"));
    assert!(config.is_muted(1, second(5.0)) && !config.is_muted(2, second(5.0)));
}

#[test]
fn the_first_route_that_matches_takes_an_alert_unless_it_continues() {
    let routes = |first: &str| {
        let text = format!(
            "route: {{ receiver: a, routes: [{{ matchers: ['x=~\"1|2\"'] {first} }}, \
             {{ matchers: ['x!=2'] }}, {{ matchers: [x!~3.*] }}] }}\nreceivers: [{{ name: a }}]"
        );
        Config::parse(&text).unwrap()
    };
    let config = routes("");
    assert_eq!(config.matching(&labels("x=1")), [1]);
    assert_eq!(config.matching(&labels("x=3")), [2]);
    assert_eq!(config.matching(&labels("y=1")), [2], "an absent label is empty text");
    assert_eq!(routes(", continue: true").matching(&labels("x=1")), [1, 2]);
    assert_eq!(routes(", continue: true").matching(&labels("x=2")), [1, 3]);
    let strict = Config::parse("route: { receiver: a, routes: [{ matchers: [x=1] }] }").unwrap();
    assert_eq!(strict.matching(&labels("x=2")), [0], "nobody below takes it");
}

#[test]
fn expressions_match_the_whole_value() {
    let matcher = super::super::labels::Matcher::parse("x=~\"a|b\"").unwrap();
    assert!(matcher.matches(&labels("x=b")));
    assert!(!matcher.matches(&labels("x=ab")) && !matcher.matches(&labels("x=bc")));
}

#[test]
fn defaults_are_alertmanagers_own() {
    let config = Config::parse("route: { receiver: a }").unwrap();
    let route = &config.routes[0];
    assert_eq!(route.group_wait, Duration::from_secs(30));
    assert_eq!(route.group_interval, Duration::from_mins(5));
    assert_eq!(route.repeat_interval, Duration::from_hours(4));
    assert!(route.group_by.of(&labels("A")).is_empty());
}

#[test]
fn what_cannot_be_read_is_refused() {
    for wrong in [
        "route: 1",
        "route: { group_wait: soon }",
        "route: { group_interval: 0s }",
        "route: { repeat_interval: 0s }",
        "route: { matchers: ['x'] }",
        "route: { matchers: ['x=~\"(\"'] }",
    ] {
        assert!(Config::parse(wrong).is_err(), "{wrong}");
    }
}
