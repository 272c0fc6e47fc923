use super::*;
use crate::model::{InstanceState, Market, Order, Price};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A program that is a shell script. It knows a folder of its own as `$1`.
struct Script {
    exec: Exec,
    folder: TempDir,
}

fn script(text: &str) -> Script {
    script_with(text, |_| ())
}

fn script_with(text: &str, change: impl FnOnce(&mut ExecConfig)) -> Script {
    let folder = tempfile::tempdir().unwrap();
    // Read by a shell, and not run itself: what was just written a child of another test may still hold open.
    let program = folder.path().join("program");
    fs::write(&program, text).unwrap();
    let args = [&*program, folder.path()].map(|path| path.to_str().unwrap().to_owned());
    let mut config = ExecConfig {
        program: PathBuf::from("/bin/sh"),
        args: args.into(),
        env: [].into(),
        options: [("region".to_owned(), "eu".to_owned())].into(),
    };
    change(&mut config);
    Script { exec: Exec::new("lab".into(), config), folder }
}

impl Script {
    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    async fn list(&self) -> Result<Vec<Instance>> {
        self.exec.list(&"workers".into()).await
    }

    async fn launch(&self) -> Result<Launched> {
        self.exec.launch(&request()).await
    }
}

fn answers(answer: &str) -> Script {
    script(&format!("cat >/dev/null\ncat <<'END'\n{answer}\nEND"))
}

fn offering(shape: &str, zone: &str) -> Offering {
    let price = Some(Price(10_000));
    Offering { shape: shape.into(), zone: zone.into(), market: Market::OnDemand, price }
}

fn request() -> LaunchRequest {
    let order = |worker: &str| Order { worker: worker.into(), offering: offering("small", "a") };
    LaunchRequest {
        cluster: "lab".into(),
        cluster_uid: "uid-1".into(),
        pool: "workers".into(),
        batch: "b".into(),
        token: None,
        orders: vec![order("w1"), order("w2")],
        fallback: vec![offering("small", "a"), offering("small", "b"), offering("large", "a")],
        labels: [("tier".to_owned(), "batch".to_owned())].into(),
        taints: Vec::new(),
    }
}

fn two(first: &str, second: &str) -> String {
    format!(
        r#"{{"instances":[{{"id":"i1","worker":"w1","shape":"small",{first}}},{{"id":"i2","worker":"w2","shape":"small",{second}}}]}}"#
    )
}

#[tokio::test]
async fn a_launch_says_all_there_is_to_know_in_one_line() {
    let script = script(&format!(
        "cat >$1/told\ncat <<'END'\n{}\nEND",
        two(r#""zone":"a""#, r#""zone":"a""#)
    ));
    let launched = script.launch().await.unwrap();
    assert_eq!(launched.instances.len(), 2);
    assert_eq!(launched.instances[0].2, offering("small", "a"), "the price is as it was asked");
    let told = script.file("told");
    assert_eq!(told.lines().count(), 1);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let place =
        |shape, zone| serde_json::json!({ "shape": shape, "zone": zone, "market": "on-demand" });
    let wanted = serde_json::json!({
        "version": 1,
        "verb": "launch",
        "cluster": "lab",
        "cluster_uid": "uid-1",
        "pool": "workers",
        "batch": "b",
        "count": 2,
        "workers": ["w1", "w2"],
        "offerings": [place("small", "a"), place("small", "b"), place("large", "a")],
        "labels": { "tier": "batch" },
        "taints": [],
        "options": { "region": "eu" },
    });
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn an_offering_that_was_passed_over_had_nothing() {
    let script = answers(&two(r#""zone":"a""#, r#""zone":"b""#));
    let launched = script.launch().await.unwrap();
    assert_eq!(launched.instances[1].2, offering("small", "b"));
    assert_eq!(launched.short.len(), 1);
    assert_eq!(launched.short[0].0, offering("small", "a"));
    // What it leaves out is as the first that was asked for.
    let launched = answers(&two(r#""x":1"#, r#""x":1"#)).launch().await.unwrap();
    assert!(launched.short.is_empty());
}

#[tokio::test]
async fn part_of_a_launch_is_success_for_that_part() {
    let answer = r#"{"instances":[{"id":"i1","worker":"w1","shape":"small","zone":"a"}],"error":{"kind":"quota","message":"two at most"}}"#;
    let launched = answers(answer).launch().await.unwrap();
    assert_eq!(launched.instances.len(), 1);
    assert_eq!(launched.failed, [("w2".into(), Error::Quota("two at most".to_owned()))]);
}

#[tokio::test]
async fn without_capacity_anywhere_every_offering_is_told_short() {
    let launched =
        answers(r#"{"error":{"kind":"capacity","message":"full"}}"#).launch().await.unwrap();
    assert_eq!((launched.failed.len(), launched.short.len()), (2, 3));
}

#[tokio::test]
async fn what_may_have_been_left_behind_is_listed_first() {
    let unknown = [
        r#"{"error":{"kind":"quota","left_behind":"unknown"}}"#,
        r#"{"error":{"kind":"denied","left_behind":["i7"]}}"#,
        r#"{"error":{"kind":"timed_out"}}"#,
        r#"{"instances":[{"id":"i1","worker":"w1","shape":"small"}]}"#,
        r#"{"instances":[{"id":"i1","worker":"w9","shape":"small"}]}"#,
        r#"{"instances":[{"id":"i1","worker":"w1","batch":"other","shape":"small"}]}"#,
        r#"{"instances":[{"id":"i1","worker":"w1","shape":"small"},{"id":"i1","worker":"w2","shape":"small"}]}"#,
        r#"{"instances":[{"id":"i1","worker":"w1","shape":"huge"},{"id":"i2","worker":"w2","shape":"small"}]}"#,
        r#"{"instances":[{"id":"i1","shape":"small"}]}"#,
        "garbage",
        "",
    ];
    for answer in unknown {
        let error = answers(answer).launch().await.unwrap_err();
        assert_eq!(error.left_behind(), LeftBehind::Unknown, "{answer}: {error}");
    }
}

#[tokio::test]
async fn each_kind_of_error_means_what_ours_does() {
    let kinds = [
        "capacity",
        "quota",
        "throttled",
        "denied",
        "invalid",
        "unavailable",
        "timed_out",
        "not_found",
    ];
    for kind in kinds {
        let script =
            answers(&format!(r#"{{"error":{{"kind":"{kind}","left_behind":"nothing"}}}}"#));
        assert_eq!(script.list().await.unwrap_err().kind(), kind);
        let ended = script.exec.terminate(&"u".into(), &"workers".into(), &"i1".into()).await;
        assert_eq!(ended.is_ok(), kind == "not_found", "one that is gone is well");
    }
}

#[tokio::test]
async fn a_list_is_whole_or_an_error() {
    let whole = r#"{"instances":[
        {"id":"i1","worker":"w1","batch":"b","cluster_uid":"u","shape":"small","zone":"a","market":"spot",
         "state":"stopping","created_at":"2026-01-01T00:00:00Z","protected":true,"notice":"2026-01-01T00:02:00Z","more":1},
        {"id":"i2","shape":"small","zone":"a","state":"gone","created_at":"2026-01-01T00:00:00Z"},
        {"id":"i3","shape":"small","zone":"a","state":"stopped","created_at":"2026-01-01T00:00:00Z","reason":"by hand; token=hunter2"}]}"#;
    let list = answers(whole).list().await.unwrap();
    assert_eq!((list[0].state, list[0].market), (InstanceState::Ending, Market::Spot));
    assert!(list[0].protected && list[0].notice.is_some());
    assert_eq!((list[1].state, list[1].worker.clone()), (InstanceState::Gone, None));
    assert_eq!(list[2].state, InstanceState::Stopped);
    assert_eq!(list[2].told.as_deref(), Some("by hand; token=***"));
    assert_eq!(answers(r#"{"instances":[]}"#).list().await.unwrap(), []);
    let one = r#""id":"i1","shape":"small","zone":"a","state":"running","created_at":"2026-01-01T00:00:00Z""#;
    let broken = [
        "{}".to_owned(),
        format!(r#"{{"instances":[{{{one}}},{{{one}}}]}}"#),
        format!(r#"{{"instances":[{{{}}}]}}"#, one.replace("running", "fine")),
        format!(r#"{{"instances":[{{{}}}]}}"#, one.replace(r#""state":"running","#, "")),
        format!(r#"{{"instances":[{{{}}}]}}"#, one.replace(r#""zone":"a","#, "")),
        format!(r#"{{"instances":[{{{}}}]}}"#, one.replace("2026-01-01T", "yesterday ")),
    ];
    for answer in &broken {
        assert!(answers(answer).list().await.unwrap_err().is_transient(), "{answer}");
    }
}

#[tokio::test]
async fn shapes_are_offered_in_their_zones_and_markets() {
    let answer = r#"{"shapes":[{"name":"small","cpu":"1500m","memory":"4Gi","zones":["a","b"],"extended":{"gpu":1},
        "price_per_hour":0.05,"spot_price_per_hour":0.02},
        {"name":"spot","cpu":2,"memory":1024,"pods":20,"zones":["a"],"markets":["spot"]}]}"#;
    let shapes = answers(answer).exec.shapes(&"workers".into()).await.unwrap();
    let capacity = &shapes[0].capacity;
    assert_eq!((capacity.cpu_milli, capacity.memory, capacity.pods), (1_500, 4 << 30, 110));
    assert_eq!(capacity.extended["gpu"], 1);
    let sold: Vec<_> = shapes[0]
        .offerings
        .iter()
        .map(|one| (one.zone.as_str(), one.market, one.price.unwrap().0))
        .collect();
    let (demand, spot) = (Market::OnDemand, Market::Spot);
    assert_eq!(
        sold,
        [("a", demand, 50_000), ("b", demand, 50_000), ("a", spot, 20_000), ("b", spot, 20_000)]
    );
    let markets: Vec<_> = shapes[1].offerings.iter().map(|one| (one.market, one.price)).collect();
    assert_eq!(markets, [(spot, None)]);
    let small = r#""name":"s","cpu":1,"memory":1,"zones":["a"]"#;
    for (good, bad) in [
        (r#""cpu":1"#, r#""cpu":"fast""#),
        (r#""memory":1"#, r#""memory":-1"#),
        (r#"["a"]"#, "[]"),
        (r#""cpu":1"#, r#""cpu":1,"price_per_hour":-1"#),
    ] {
        let answer = format!(r#"{{"shapes":[{{{}}}]}}"#, small.replace(good, bad));
        let error = answers(&answer).exec.shapes(&"workers".into()).await.unwrap_err();
        assert!(error.to_string().contains("`s`"), "{answer}: {error}");
    }
}

#[tokio::test]
async fn what_can_be_bought_is_asked_once_in_a_while() {
    let script = script(
        r#"echo x >>$1/asked; echo '{"shapes":[{"name":"s","cpu":1,"memory":1,"zones":["a"]}]}'"#,
    );
    for _ in 0..3 {
        script.exec.shapes(&"workers".into()).await.unwrap();
    }
    assert_eq!(script.file("asked").lines().count(), 1);
}

#[tokio::test]
async fn its_environment_is_clean_but_for_what_is_named() {
    let script = script_with("env >$1/env; pwd >$1/pwd; echo '{\"instances\":[]}'", |config| {
        config.env = ["HOME".to_owned(), "NOT_SET_ANYWHERE".to_owned()].into();
    });
    script.list().await.unwrap();
    let env = script.file("env");
    let names: Vec<&str> =
        env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert!(names.contains(&"PATH") && names.contains(&"HOME"), "{names:?}");
    let own = ["PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_"];
    assert!(names.iter().all(|name| own.contains(name)), "{names:?}");
    assert_eq!(script.file("pwd"), "/\n");
}

#[tokio::test]
async fn a_program_that_ends_badly_is_told_with_its_last_words() {
    let script = script("echo first >&2; echo the token=hunter2 is refused >&2; exit 3");
    let error = script.list().await.unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.contains("the token="), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    let error = script_with("", |config| config.program = PathBuf::from("/nonexistent/cloud"));
    let error = error.list().await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(why) if why.contains("/nonexistent/cloud")), "{error}");
    // It says why, and by its exit that it failed: the first counts.
    let both = self::script(r#"echo '{"error":{"kind":"denied","message":"no"}}'; exit 1"#);
    assert_eq!(both.list().await, Err(Error::Denied("no".to_owned())));
    let error = self::script("kill -9 $$").list().await.unwrap_err().to_string();
    assert!(error.contains("signal: 9"), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let error = script("exec yes").list().await.unwrap_err().to_string();
    assert!(error.contains("more than 8 MiB"), "{error}");
}

/// Words beside the answer may be many: the last are kept, and nobody waits to say them.
#[tokio::test]
async fn a_program_that_talks_much_beside_its_answer_is_heard() {
    let script = script("yes noise | head -c 3000000 >&2; echo the end >&2; exit 1");
    let error = script.list().await.unwrap_err().to_string();
    assert!(error.contains("the end"), "{error}");
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited for {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_it_left_behind_ends_with_it() {
    let script = script("sleep 1000 & echo $! >$1/child; echo '{\"instances\":[]}'");
    assert_eq!(script.list().await, Ok(Vec::new()), "though its child holds the output open");
    let child = script.file("child");
    until("the child to end", || !is_alive(&child)).await;
}

/// One with a session of its own is in no group of ours. It may go on, as long as it does not hold the answer open.
#[tokio::test]
async fn what_hid_itself_does_not_hold_a_whole_answer() {
    let holds = |closed: &str| {
        script(&format!(
            "setsid sh -c 'echo x >$0; exec sleep 3' $1/hid {closed} &
            until [ -s $1/hid ]; do sleep 0.01; done
            echo '{{\"instances\":[]}}'"
        ))
    };
    let beside = holds(">/dev/null");
    assert_eq!(beside.list().await, Ok(Vec::new()), "it holds what is said beside the answer");
    let error = holds("2>/dev/null").list().await.unwrap_err().to_string();
    assert!(error.contains("holds its output open"), "{error}");
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_the_program_and_its_children() {
    let script = script("sleep 1000 & echo $! >$1/child; echo $$ >$1/own; sleep 1000");
    let path = script.folder.path().join("own");
    tokio::select! {
        _ = script.list() => panic!("it hangs"),
        () = until("the program to start", || fs::read_to_string(&path).is_ok_and(|text| !text.is_empty())) => {}
    }
    for name in ["own", "child"] {
        let pid = script.file(name);
        until(name, || !is_alive(&pid)).await;
    }
}

/// The keys of an object, and of what the schema says of it.
fn keys(value: &serde_json::Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn the_schema_has_every_field_that_is_told_and_no_other() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/exec-provider.schema.json")).unwrap();
    let pool = "workers".into();
    for verb in ["check", "shapes", "list", "launch", "terminate"] {
        let script = script("cat >$1/told; echo '{}'");
        match verb {
            "check" => drop(script.exec.check(&pool).await),
            "shapes" => drop(script.exec.shapes(&pool).await),
            "list" => drop(script.list().await),
            "launch" => drop(script.launch().await),
            _ => drop(script.exec.terminate(&"u".into(), &pool, &"i1".into()).await),
        }
        let told: serde_json::Value = serde_json::from_str(&script.file("told")).unwrap();
        assert_eq!(told["verb"], verb);
        let object = &schema["$defs"][format!("call_{verb}")];
        assert_eq!(keys(&told), keys(&object["properties"]), "{verb}");
        let required = object["required"].as_array().unwrap();
        assert_eq!(required.len(), keys(&told).len(), "{verb}: all of it is always told");
    }
}

#[test]
fn the_schema_and_the_page_have_every_field_that_is_read() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/exec-provider.schema.json")).unwrap();
    let page = include_str!("../../../docs/exec-provider.md");
    let code = include_str!("wire.rs");
    for (what, name) in [("Machine", "instance"), ("Size", "shape"), ("Failure", "error")] {
        let (_, fields) = code.split_once(&format!("struct {what} {{\n")).unwrap();
        let (fields, _) = fields.split_once("\n}").unwrap();
        let read: BTreeSet<String> = fields
            .lines()
            .filter_map(|line| line.trim().split_once(": ").map(|(field, _)| field.to_owned()))
            .collect();
        assert_eq!(read, keys(&schema["$defs"][name]["properties"]), "{what}");
        for field in read {
            assert!(page.contains(&format!("`{field}`")), "{what}: {field}");
        }
    }
}
