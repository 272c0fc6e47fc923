//! Whose calls they are where nobody wrote keys down: the role of the machine, or that of a pod. And what a wrong clock, by which
//! no signature is good, comes to.

use super::online::Online;
use super::stage::{Stage, machines_of, pool, uid};
use crate::support::aws::{Aws, Call, Fault};
use crate::support::imds::{Imds, ROLE, ROLES, RoleKeys};
use crate::support::server::{Ready, Server};
use crate::support::{ports, wait};
use bellwether::model::Market;
use bellwether::provider::{Error, LeftBehind, Provider as _};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tempfile::TempDir;

/// Keys of the machine's role.
const OF_THE_ROLE: RoleKeys = RoleKeys {
    id: "ASIAINSTANCEROLE0001",
    token: "the-first-session",
    lasts: Duration::from_hours(6),
};

/// Those that come after them.
const NEXT: RoleKeys =
    RoleKeys { id: "ASIAINSTANCEROLE0002", token: "the-next-session", lasts: OF_THE_ROLE.lasts };

/// The role of a pod.
const OF_THE_POD: &str = "arn:aws:iam::123456789012:role/bellwether";

/// By what the cluster proves that it is that pod; wherever it stands it stands so, for no letter of it is ever escaped.
const PROOF: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJiZWxsd2V0aGVyIn0.c2lnbmVkLWJ5LXRoZS1jbHVzdGVy";

/// From here on EC2 says that a request expired.
const FAR: Duration = Duration::from_mins(20);

/// How a list begins to be found that was refused.
const UNKNOWN: &str = "instances of pool workers unknown";

/// Who signed calls of EC2: the ids of keys, each with its session's token.
fn signers(aws: &Aws) -> BTreeSet<(String, Option<String>)> {
    let signer = |call: Call| {
        let (_, signed) = call.by.split_once("Credential=").unwrap();
        (signed.split_once('/').unwrap().0.to_owned(), call.token)
    };
    aws.calls().into_iter().map(signer).collect()
}

fn has_signed(aws: &Aws, id: &str) -> bool {
    signers(aws).iter().any(|one| one.0 == id)
}

fn of_session(keys: RoleKeys) -> (String, Option<String>) {
    (keys.id.to_owned(), Some(keys.token.to_owned()))
}

/// A home in which there is no file of AWS's, and these.
fn environment(
    home: &TempDir,
    variables: &[(&'static str, &str)],
) -> BTreeMap<&'static str, String> {
    let home = [("HOME", home.path().to_str().unwrap())];
    let all = home.iter().chain(variables);
    all.map(|(name, value)| (*name, (*value).to_owned())).collect()
}

/// What there is on a machine with a role; the home must outlive the program.
fn on_a_machine(online: &mut Online, imds: &Imds) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let variables = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.url()),
        ("AWS_ENDPOINT_URL_SSM", online.aws.url()),
    ];
    online.environment = environment(&home, &variables);
    home
}

/// What there is in a pod that has a role.
fn in_a_pod(online: &mut Online) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("token");
    std::fs::write(&file, PROOF).unwrap();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
        ("AWS_ROLE_ARN", OF_THE_POD),
        ("AWS_ROLE_SESSION_NAME", "bellwether-0"),
        // The pool's own `endpoint` is EC2's alone.
        ("AWS_ENDPOINT_URL_STS", online.aws.url()),
        ("AWS_ENDPOINT_URL_SSM", online.aws.url()),
    ];
    online.environment = environment(&home, &variables);
    home
}

/// Runs the program in its environment. No cluster answers it, so it does nothing; its machines it lists all the same.
async fn run(online: &Online) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [{ "name": "one", "context": { "cluster": "one", "user": "one" } }],
        "users": [{ "name": "one", "user": { "token": "none" } }],
        "clusters": [{ "name": "one", "cluster": { "server": "http://127.0.0.1:1" } }],
    });
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, nowhere.to_string()).unwrap();
    let port = ports::free();
    let config = json!({
        "listen": format!("127.0.0.1:{port}"),
        "store": { "url": "memory:" },
        "alertmanager": { "urls": ["http://127.0.0.1:1"] },
        "prometheus": { "urls": ["http://127.0.0.1:1"] },
        "reconcile": { "interval": "500ms", "busy_interval": "500ms" },
        "clusters": { "default": {
            "kubernetes": { "kubeconfig": kubeconfig },
            "pools": { "workers": { "max": 3, "provider": { "ec2": online.pool() } } },
        } },
    });
    let file = folder.path().join("bellwether.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let variables = online.environment.iter().map(|(name, value)| format!("{name}={value}"));
    let program = [env!("CARGO_BIN_EXE_bellwether"), "run", "--config", file.to_str().unwrap()];
    let program = program.map(str::to_owned);
    let words = ["-i".to_owned()].into_iter().chain(variables).chain(program).collect();
    let ready = Ready { path: "/readyz", client: reqwest::Client::new() };
    let site = (format!("http://127.0.0.1:{port}"), ready);
    Server::start_at("/usr/bin/env".into(), words, folder, site).await
}

/// What the program finds wrong, and what it does not know.
async fn findings(program: &Server) -> Vec<String> {
    let answer = reqwest::get(format!("{}/v1/status", program.url)).await.unwrap();
    let told: Value = answer.json().await.unwrap();
    let found = told["clusters"]["default"]["status"]["findings"].as_array().cloned();
    let texts = found.unwrap_or_default().into_iter();
    texts.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Whether it knows its machines. Its cluster it never does, so that nothing is found only before it looked.
async fn is_known(program: &Server) -> bool {
    let found = findings(program).await;
    !found.is_empty() && !found.iter().any(|told| told.starts_with(UNKNOWN))
}

/// That nothing of this stands in what the program says.
fn keeps(said: &str, secrets: [&str; 3]) {
    for secret in secrets {
        let line = said.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

fn names_the_clock(error: &Error) -> bool {
    matches!(error, Error::Denied(told) if told.contains("clock"))
}

#[tokio::test]
async fn the_keys_of_its_machine_s_role_are_asked_for_in_a_session_and_sign_every_call() {
    let Some(mut online) = Online::start().await else { return };
    let imds = Imds::start(OF_THE_ROLE).await;
    let _home = on_a_machine(&mut online, &imds);
    assert_eq!(online.tells(&online.pool()).await, (0, Vec::new()));
    assert_eq!(signers(&online.aws), [of_session(OF_THE_ROLE)].into());
    let asked =
        ["PUT /latest/api/token".to_owned(), format!("GET {ROLES}"), format!("GET {ROLES}{ROLE}")];
    assert_eq!(imds.asked(), asked, "once");
}

#[tokio::test]
async fn before_the_role_s_keys_end_it_goes_on_with_the_next() {
    let Some(mut online) = Online::start().await else { return };
    // The SDK asks again from ten seconds before their end on, at most.
    let short = RoleKeys { lasts: Duration::from_secs(12), ..OF_THE_ROLE };
    let imds = Imds::start(short).await;
    let _home = on_a_machine(&mut online, &imds);
    let _program = run(&online).await;
    let has_signed = |keys: RoleKeys| has_signed(&online.aws, keys.id);
    wait::until("a call by the first", || async { has_signed(short) }).await;
    imds.turn_to(NEXT);
    wait::until("a call by the next", || async { has_signed(NEXT) }).await;
    online.aws.forget_calls();
    wait::until("more calls", || async { online.aws.calls().len() >= 2 }).await;
    assert_eq!(signers(&online.aws), [of_session(NEXT)].into());
}

#[tokio::test]
async fn a_pod_s_token_is_given_for_the_keys_of_its_role_and_those_sign_every_call() {
    let Some(mut online) = Online::start().await else { return };
    let _home = in_a_pod(&mut online);
    let output = online.asks(&online.pool()).await;
    assert!(output.status.success(), "{output:?}");
    let all = online.aws.lent();
    let [lent] = &all[..] else { panic!("{all:#?}") };
    let words =
        ["RoleArn", "RoleSessionName", "WebIdentityToken"].map(|name| lent.words[name].as_str());
    assert_eq!(words, [OF_THE_POD, "bellwether-0", PROOF]);
    assert_eq!(signers(&online.aws), [(lent.id.clone(), Some(lent.token.clone()))].into());
    for said in [&output.stdout, &output.stderr] {
        keeps(&String::from_utf8_lossy(said), [PROOF, &lent.secret, &lent.token]);
    }
}

#[tokio::test]
async fn what_a_pod_is_proven_by_is_not_logged_even_where_everything_is() {
    let Some(mut online) = Online::start().await else { return };
    let _home = in_a_pod(&mut online);
    // A part that is named goes before the whole.
    let level =
        "trace,aws_sigv4::http_request=trace,aws_smithy_runtime::client::orchestrator=trace";
    online.environment.insert("BELLWETHER_LOG_LEVEL", level.to_owned());
    let mut program = run(&online).await;
    wait::until("a call by keys that were lent", || async {
        online.aws.lent().iter().any(|lent| has_signed(&online.aws, &lent.id))
    })
    .await;
    program.stop().await;
    let log = std::fs::read_to_string(program.folder.path().join("log")).unwrap();
    assert!(log.contains("\"TRACE\""), "the finest lines are there");
    assert!(!log.contains("SignableRequest"), "a whole request is there");
    for lent in online.aws.lent() {
        keeps(&log, [PROOF, &lent.secret, &lent.token]);
    }
}

/// AWS's clock goes ahead, and further, and comes back.
#[tokio::test]
async fn by_a_wrong_clock_one_look_is_refused_and_says_why_and_the_next_goes_by_aws_s_time() {
    let Some(stage) = Stage::start().await else { return };
    stage.ec2.launch(&stage.request(&[Market::OnDemand]).await).await.unwrap();
    for (minutes, code) in [(10, "AuthFailure"), (40, "RequestExpired"), (0, "RequestExpired")] {
        stage.aws.clock_is_off(Duration::from_mins(minutes));
        let error = stage.ec2.list(&pool()).await.unwrap_err();
        assert!(error.to_string().contains(code), "{error}");
        assert!(names_the_clock(&error), "{error}");
        assert_eq!(stage.ec2.list(&pool()).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn by_a_wrong_clock_nothing_is_bought_twice_and_nothing_is_ended() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.request(&[Market::OnDemand, Market::Spot]).await;
    stage.aws.clock_is_off(FAR);
    let error = stage.ec2.launch(&request).await.unwrap_err();
    assert!(names_the_clock(&error), "{error}");
    assert_eq!(error.left_behind(), LeftBehind::Nothing);
    assert!(stage.aws.machines().await.is_empty());
    stage.aws.next("CreateFleet", Fault::CutAfter);
    let error = stage.ec2.launch(&request).await.unwrap_err();
    assert_eq!(error.left_behind(), LeftBehind::Unknown, "{error}");
    stage.aws.clock_is_off(Duration::ZERO);
    let error = stage.ec2.launch(&request).await.unwrap_err();
    assert!(names_the_clock(&error), "refused before anything is bought: {error}");
    let again = stage.ec2.launch(&request).await.unwrap();
    assert_eq!((again.instances.len(), again.failed.len()), (2, 0), "{again:#?}");
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 2, "each was bought once");
    stage.aws.clock_is_off(FAR);
    let id = &again.instances[0].1;
    let error = stage.ec2.terminate(&uid(), &pool(), id).await.unwrap_err();
    assert!(names_the_clock(&error), "{error}");
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 2, "none was ended");
    stage.ec2.terminate(&uid(), &pool(), id).await.unwrap();
    assert_eq!(stage.states().await[id.as_str()], "terminated");
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 1);
}

#[tokio::test]
async fn a_wrong_clock_is_told_before_anything_is_bought() {
    let Some(online) = Online::start().await else { return };
    online.aws.clock_is_off(FAR);
    let (code, told) = online.tells(&online.pool()).await;
    assert_eq!((code, told.len()), (1, 1), "{told:#?}");
    assert!(told[0].1.contains("clock"), "{told:#?}");
}

/// As who looks at the status reads it. The SDK would go by AWS's time from the first refusal on; it is kept from that, so that AWS
/// goes on refusing.
#[tokio::test]
async fn as_long_as_its_clock_is_wrong_machines_are_unknown_and_the_status_says_why() {
    let Some(mut online) = Online::start().await else { return };
    online.environment.insert("AWS_DISABLE_CLOCK_SKEW_CORRECTION", "true".to_owned());
    let program = run(&online).await;
    wait::until("the machines to be known", || is_known(&program)).await;
    online.aws.clock_is_off(FAR);
    wait::until("the clock to be named", || async {
        let found = findings(&program).await;
        found.iter().any(|told| told.starts_with(UNKNOWN) && told.contains("clock"))
    })
    .await;
    online.aws.forget_calls();
    wait::until("more looks", || async { online.aws.calls().len() >= 3 }).await;
    assert!(!is_known(&program).await, "each is refused");
    online.aws.clock_is_off(Duration::ZERO);
    wait::until("the machines to be known again", || is_known(&program)).await;
}
