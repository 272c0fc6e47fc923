use super::*;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::http_client_fn;

fn account(region: &str) -> Account {
    Account { region: Some(region.to_owned()), endpoint: None, role: None, key: None }
}

/// When calls came through.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Vec<Instant>>>);

impl HttpConnector for Heard {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        self.0.lock().unwrap().push(Instant::now());
        HttpConnectorFuture::ready(Ok(answer(200)))
    }
}

fn answer(status: u16) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(status).unwrap(), "".into())
}

fn line(region: &str, heard: &Heard) -> Line {
    Line { inner: SharedHttpConnector::new(heard.clone()), pace: Pace::of(account(region)) }
}

fn request(action: &str) -> HttpRequest {
    HttpRequest::new(format!("Action={action}&Version=2016-11-15").into())
}

#[tokio::test(start_paused = true)]
async fn looks_of_all_pools_of_an_account_come_as_often_as_it_lets_them_together() {
    let (heard, begun) = (Heard::default(), Instant::now());
    let pools = [line("pools-1", &heard), line("pools-1", &heard)];
    let calls = (0..120).map(|call| pools[call % 2].call(request("DescribeInstances")));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap().status().as_u16(), 200);
    }
    let after: Vec<u128> =
        heard.0.lock().unwrap().iter().map(|at| (*at - begun).as_millis()).collect();
    assert!(after[..100].iter().all(|at| *at == 0), "{after:?}");
    // A timer rounds up to its millisecond.
    let most = (1..=20).map(|turn| turn * 50);
    assert!(after[100..].iter().zip(most).all(|(at, from)| (from..=from + 1).contains(at)));
}

#[tokio::test(start_paused = true)]
async fn an_act_that_would_have_to_wait_is_answered_at_once_and_not_sent() {
    let (heard, begun) = (Heard::default(), Instant::now());
    let line = line("acts-1", &heard);
    for _ in 0..5 {
        assert_eq!(line.call(request("RunInstances")).await.unwrap().status().as_u16(), 200);
    }
    let refused = line.call(request("RunInstances")).await.unwrap();
    assert_eq!((refused.status().as_u16(), begun.elapsed()), (503, Duration::ZERO));
    let told = String::from_utf8_lossy(refused.body().bytes().unwrap()).into_owned();
    assert!(told.contains("<Code>Bellwether.HeldBack</Code>"), "{told}");
    assert_eq!(heard.0.lock().unwrap().len(), 5);
    tokio::time::advance(Duration::from_millis(500)).await;
    let next = line.call(request("RunInstances")).await.unwrap();
    assert_eq!(next.status().as_u16(), 200, "what was refused cost nobody a turn");
}

#[tokio::test(start_paused = true)]
async fn a_look_waits_for_a_moment_only() {
    let pace = Pace::of(account("looks-1"));
    let waits: Vec<_> = (0..200).map(|_| pace.turn("DescribeSubnets")).collect();
    let given = waits.iter().flatten();
    assert_eq!((given.clone().count(), given.max()), (140, Some(&LONGEST)));
}

#[tokio::test(start_paused = true)]
async fn another_account_and_another_action_have_turns_of_their_own() {
    let (here, there) = (Pace::of(account("own-1")), Pace::of(account("own-2")));
    for _ in 0..5 {
        assert_eq!(here.turn("RunInstances"), Some(Duration::ZERO));
    }
    assert_eq!(here.turn("RunInstances"), None);
    assert_eq!(there.turn("RunInstances"), Some(Duration::ZERO));
    assert_eq!(here.turn("CreateFleet"), Some(Duration::ZERO));
}

/// As it leaves the SDK, through all that the SDK wraps it in.
#[tokio::test]
async fn of_a_call_of_the_sdk_the_action_is_known() {
    let heard = Heard::default();
    let (line, pace) = (heard.clone(), Pace::of(account("sdk-1")));
    let inner = http_client_fn(move |_, _| SharedHttpConnector::new(line.clone()));
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .http_client(Paced { inner, pace: pace.clone() })
        .build();
    let ec2 = aws_sdk_ec2::Client::from_conf(config);
    let _ = ec2.create_fleet().client_token("t").send().await;
    let _ = ec2.describe_instances().send().await;
    let known: Vec<String> = pace.buckets.lock().unwrap().keys().cloned().collect();
    assert_eq!(known, ["CreateFleet", "DescribeInstances"]);
}
