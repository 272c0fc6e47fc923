//! Guards and wanted sizes, evaluated by real Prometheuses, and what is made of answers that are none.

use crate::support::prometheus::{self as real, RunningPrometheus, VERSIONS};
use crate::support::scripted::{Answer, Scripted};
use crate::support::wait;
use bellwether::clock::Clock;
use bellwether::config::{Credentials, Endpoint, PrometheusConfig, Secret};
use bellwether::metrics::Metrics;
use bellwether::model::{Guard, Want};
use bellwether::prometheus::{Http, Prometheus};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Stale is three of these: long enough for a busy machine that scrapes each second.
const SCRAPE: Duration = Duration::from_secs(10);

fn client(urls: &[&str]) -> Http {
    let urls = urls.iter().map(|url| (*url).to_owned()).collect();
    let endpoint = Endpoint { urls, ..Endpoint::default() };
    let config = PrometheusConfig { endpoint, scrape_interval: SCRAPE };
    Http::new(&config, Arc::new(Metrics::new()))
}

/// A number that has a value each second, by rules alone: nothing must be discovered and scraped first.
const RULES: &str = r#"
groups:
  - name: numbers
    interval: 1s
    rules:
      - { record: fresh, expr: "vector(3)" }
      - { record: zero, expr: "vector(0)" }
      - { record: two, expr: "vector(1)", labels: { n: a } }
      - { record: two, expr: "vector(4)", labels: { n: b } }
      - { record: ticks_total, expr: "vector(time())" }
      - { record: odd, expr: "vector(1)", labels: { path: 'C:\dir', say: '"hi"' } }
"#;

const NO_SCRAPES: &str = "rule_files: [rules.yaml]";

/// A Prometheus with these numbers.
async fn start(version: &str, rules: &str) -> Option<(RunningPrometheus, Http)> {
    let prometheus = real::start(version, NO_SCRAPES, rules).await?;
    prometheus.answers("fresh and rate(fresh[1m])").await;
    let client = client(&[&prometheus.url]);
    Some((prometheus, client))
}

/// Something that is scraped; its page can be changed, or taken away.
struct Exporter {
    server: Scripted,
    page: Arc<Mutex<Option<String>>>,
}

impl Exporter {
    async fn start(page: String) -> Self {
        let page = Arc::new(Mutex::new(Some(page)));
        let shown = page.clone();
        let server = Scripted::start(move |_| match shown.lock().unwrap().clone() {
            Some(page) => Answer::Whole(200, page),
            None => Answer::Whole(500, String::new()),
        })
        .await;
        Self { server, page }
    }

    fn show(&self, page: String) {
        *self.page.lock().unwrap() = Some(page);
    }

    fn fail(&self) {
        *self.page.lock().unwrap() = None;
    }

    /// A Prometheus that scrapes it each second as `job="exporter"`.
    async fn scraped_by(&self, version: &str) -> Option<(RunningPrometheus, Http)> {
        // Before 3.0 there was no such field, and none was needed.
        let protocol = if version.starts_with('2') {
            ""
        } else {
            "fallback_scrape_protocol: PrometheusText0.0.4, "
        };
        let target = self.server.url.trim_start_matches("http://");
        let config = format!(
            "{NO_SCRAPES}
global: {{ scrape_interval: 1s, scrape_timeout: 1s }}
scrape_configs: [{{ job_name: exporter, {protocol}static_configs: [{{ targets: ['{target}'] }}] }}]"
        );
        let prometheus = real::start(version, &config, RULES).await?;
        prometheus.answers("up == 1 and on () fresh").await;
        let client = client(&[&prometheus.url]);
        Some((prometheus, client))
    }
}

/// A page with a sample that says itself how old it is, so that it stays visible, beside one of now.
fn aged(age: Duration) -> String {
    let at = (Clock::system().now() - age).as_millisecond();
    format!("aged{{n=\"old\"}} 1 {at}\naged{{n=\"new\"}} 1\n")
}

fn why(guard: Guard) -> String {
    match guard {
        Guard::Unknown { why } => why,
        other => panic!("not unknown: {other:?}"),
    }
}

fn unwanted(want: Want) -> String {
    match want {
        Want::Unknown { why } => why,
        other @ Want::Workers(_) => panic!("not unknown: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_holds_on_fresh_samples_that_are_not_zero() {
    for version in VERSIONS {
        let Some((_prometheus, client)) = start(version, RULES).await else { return };
        for expression in [
            "fresh == 3",
            "fresh",
            "two",
            "count(two{n=\"a\"} == 1) >= 0.95 * sum(max without (instance) (fresh)) / 3",
            "max_over_time(fresh[1m]) > 1",
            "rate(ticks_total[1m]) > 0",
            "min_over_time((fresh > bool 1)[1s:1s])",
            "odd{path=\"C:\\\\dir\",say=\"\\\"hi\\\"\"}",
            "{__name__=~\"fre.h\",n!=\"x\"}",
            "vector(1)",
            "scalar(fresh)",
        ] {
            assert_eq!(client.guard(expression).await, Guard::Holds, "{version} {expression}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_with_a_zero_fails_and_says_where() {
    for version in VERSIONS {
        let Some((prometheus, client)) = start(version, RULES).await else { return };
        for expression in ["fresh == bool 2", "zero", "two > bool 1", "sum(zero)"] {
            match client.guard(expression).await {
                Guard::Fails { detail } => assert!(detail.starts_with(&prometheus.url), "{detail}"),
                other => panic!("{version} {expression}: {other:?}"),
            }
        }
    }
}

/// W-02, W-04: no data, an error and a doubt are unknown, whatever the expression makes of them.
#[tokio::test(flavor = "multi_thread")]
async fn w_02_w_04_what_prometheus_does_not_know_is_unknown() {
    for version in VERSIONS {
        let Some((_prometheus, client)) = start(version, RULES).await else { return };
        for (expression, word) in [
            ("fresh == 2", "empty answer"),
            ("no_such_metric == 1", "no_such_metric has no data"),
            ("no_such_metric or vector(1)", "no_such_metric has no data"),
            ("absent(no_such_metric)", "no_such_metric has no data"),
            ("fresh / zero", "inf"),
            ("zero / zero", "NaN"),
            ("two * on () two", "answered 422: found duplicate series"),
            ("fresh[5s]", "neither a vector nor a scalar"),
            ("\"text\"", "neither a vector nor a scalar"),
            ("fresh offset 1s", "not judged"),
            ("fresh >", "not judged"),
        ] {
            let why = why(client.guard(expression).await);
            assert!(why.contains(word), "{version} {expression}: {why}");
        }
    }
}

/// Warnings came with 2.49; they cast doubt on the answer. Infos, of the same age, do not.
#[tokio::test(flavor = "multi_thread")]
async fn a_warning_makes_an_answer_unknown_and_an_info_does_not() {
    let Some((prometheus, client)) = start("3.16", RULES).await else { return };
    let why = why(client.guard("count(quantile(2, fresh))").await);
    assert!(why.contains("warning") && why.contains("quantile"), "{why}");
    assert!(unwanted(client.want("count(quantile(2, fresh))").await).contains("warning"));

    let told = prometheus.query("rate(fresh[1m]) + 1").await;
    assert!(told["infos"].is_array(), "{told}");
    assert_eq!(client.guard("rate(fresh[1m]) + 1").await, Guard::Holds);
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_older_than_three_scrape_intervals_are_stale() {
    for version in VERSIONS {
        let exporter = Exporter::start(aged(SCRAPE * 3 + Duration::from_secs(5))).await;
        let Some((prometheus, client)) = exporter.scraped_by(version).await else { return };
        prometheus.answers("count(aged) == 2").await;
        let old = why(client.guard("aged == 1").await);
        assert!(old.contains("aged is stale") && old.contains("more than 30s"), "{old}");
        // One stale series among fresh ones is enough, also inside a range, a sum or a subquery.
        for expression in [
            "fresh + on () count(aged)",
            "sum(max_over_time(aged[5m]))",
            "fresh > bool 0 unless on () zero == 1 unless on () aged == 2",
            "max_over_time(sum(aged)[5m:10s])",
        ] {
            assert!(why(client.guard(expression).await).contains("stale"), "{expression}");
        }
        assert_eq!(client.guard("fresh").await, Guard::Holds);
        exporter.show(aged(Duration::ZERO));
        wait::until("the guard to hold again", || async {
            client.guard("aged == 1").await == Guard::Holds
        })
        .await;
    }
}

/// A target that went down leaves no samples: its guard is unknown, one on `up` fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_makes_its_guards_unknown() {
    for version in VERSIONS {
        let exporter = Exporter::start("load 2\n".to_owned()).await;
        let Some((prometheus, client)) = exporter.scraped_by(version).await else { return };
        prometheus.answers("load").await;
        assert_eq!(client.guard("max_over_time(load[5m]) > 1").await, Guard::Holds);
        assert_eq!(client.guard("up{job=\"exporter\"}").await, Guard::Holds);
        exporter.fail();
        prometheus.forgets("load").await;
        let gone = why(client.guard("max_over_time(load[5m]) > 1").await);
        assert!(gone.contains("load has no data"), "{gone}");
        assert!(matches!(client.guard("up{job=\"exporter\"}").await, Guard::Fails { .. }));
        assert!(unwanted(client.want("load").await).contains("empty answer"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_prometheus_knows_nothing() {
    for version in VERSIONS {
        let Some((mut prometheus, client)) = start(version, RULES).await else { return };
        assert_eq!(client.guard("vector(1)").await, Guard::Holds);
        prometheus.kill();
        let away = why(client.guard("vector(1)").await);
        assert!(away.contains(&prometheus.url) && away.contains("no answer"), "{away}");
        assert!(unwanted(client.want("vector(1)").await).contains("no answer"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wanted_size_is_one_number_rounded_up() {
    for version in VERSIONS {
        let Some((_prometheus, client)) = start(version, RULES).await else { return };
        for (query, expected) in [
            ("fresh", 3),
            ("scalar(fresh)", 3),
            ("fresh / 2", 2),
            ("sum(two) * 1.01", 6),
            ("zero", 0),
        ] {
            assert_eq!(client.want(query).await, Want::Workers(expected), "{version} {query}");
        }
        for (query, word) in [
            ("two", "2 series"),
            ("no_such_metric", "empty"),
            ("-fresh", "-3"),
            ("zero / zero", "NaN"),
            ("fresh / zero", "inf"),
            ("fresh[5s]", "neither"),
            ("fresh +", "answered 400: invalid parameter"),
        ] {
            let why = unwanted(client.want(query).await);
            assert!(why.contains(word), "{version} {query}: {why}");
        }
    }
}

/// A guard must hold everywhere, and up beats down: of two wanted sizes the larger.
#[tokio::test(flavor = "multi_thread")]
async fn two_prometheuses_must_both_answer_and_the_careful_one_wins() {
    let more = RULES.replace("vector(3)", "vector(9)").replace("vector(0)", "vector(2)");
    let more = more.replace("record: two", "record: three");
    let Some((one, _)) = start("2.42", RULES).await else { return };
    let Some((mut other, _)) = start("3.16", &more).await else { return };
    for urls in [[&*one.url, &*other.url], [&*other.url, &*one.url]] {
        let client = client(&urls);
        assert_eq!(client.guard("fresh > 1").await, Guard::Holds);
        assert!(
            matches!(client.guard("zero").await, Guard::Fails { detail } if detail.starts_with(&one.url))
        );
        let unknown = why(client.guard("two > 0").await);
        assert!(unknown.starts_with(&other.url), "{unknown}");
        assert_eq!(client.want("fresh").await, Want::Workers(9));
    }
    other.kill();
    let client = client(&[&one.url, &other.url]);
    assert!(why(client.guard("fresh > 1").await).starts_with(&other.url));
    assert!(unwanted(client.want("fresh").await).starts_with(&other.url));
}

// === answers that are none ===

#[tokio::test]
async fn a_query_is_posted_with_its_limit() {
    let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"4"]}}"#;
    let server = Scripted::always(Answer::Whole(200, scalar.to_owned())).await;
    assert_eq!(client(&[&server.url]).want("sum(a + b)").await, Want::Workers(4));
    let request = server.asked().remove(0);
    assert_eq!((&*request.method, &*request.target), ("POST", "/api/v1/query"));
    assert_eq!(request.body, "query=sum%28a+%2B+b%29&timeout=5s");
}

#[tokio::test]
async fn whatever_is_no_answer_is_unknown() {
    for answer in [
        Answer::Whole(500, String::new()),
        Answer::Whole(200, "<html></html>".to_owned()),
        Answer::Whole(200, "{}".to_owned()),
        Answer::Whole(200, r#"{"status":"success"}"#.to_owned()),
        Answer::Whole(200, r#"{"status":"error","error":"x"}"#.to_owned()),
        Answer::Redirect("http://127.0.0.1:1".to_owned()),
        Answer::Half,
    ] {
        let server = Scripted::always(answer.clone()).await;
        let client = client(&[&server.url]);
        assert!(matches!(client.guard("vector(1)").await, Guard::Unknown { .. }), "{answer:?}");
        assert!(matches!(client.want("vector(1)").await, Want::Unknown { .. }), "{answer:?}");
    }
}

#[tokio::test]
async fn without_any_prometheus_nothing_is_known() {
    assert!(why(client(&[]).guard("vector(1)").await).contains("no Prometheus"));
    assert!(unwanted(client(&[]).want("vector(1)").await).contains("no Prometheus"));
}

/// I10.
#[tokio::test]
async fn no_secret_shows_in_an_answer_or_in_debug() {
    let server = Scripted::always(Answer::Whole(401, String::new())).await;
    let endpoint = Endpoint {
        urls: vec![server.url.clone()],
        credentials: Some(Credentials::Bearer(Secret::new("hunter2"))),
        ..Endpoint::default()
    };
    let config = PrometheusConfig { endpoint, scrape_interval: SCRAPE };
    let client = Http::new(&config, Arc::new(Metrics::new()));
    let shown = format!("{:?} {client:?}", client.guard("vector(1)").await);
    assert!(shown.contains("answered 401") && !shown.contains("hunter2"), "{shown}");
}
