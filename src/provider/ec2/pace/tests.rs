use super::*;
use std::future::Future as _;

fn account(region: &str) -> Account {
    Account { region: Some(region.to_owned()), endpoint: None, role: None, key: None }
}

/// When calls came through.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Vec<Instant>>>);

impl HttpConnector for Heard {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        self.0.lock().unwrap().push(Instant::now());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(
            StatusCode::try_from(200).unwrap(),
            "".into(),
        )))
    }
}

fn line(region: &str, heard: &Heard) -> Line {
    Line { inner: SharedHttpConnector::new(heard.clone()), pace: Pace::of(account(region)) }
}

fn request(action: &str) -> HttpRequest {
    HttpRequest::new(format!("Action={action}&Version=2016-11-15").into())
}

#[tokio::test(start_paused = true)]
async fn launches_of_all_pools_of_an_account_come_as_often_as_it_lets_them_together() {
    let (heard, begun) = (Heard::default(), Instant::now());
    let pools = [line("pools-1", &heard), line("pools-1", &heard)];
    let calls = (0..8).map(|call| pools[call % 2].call(request("CreateFleet")));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap().status().as_u16(), 200);
    }
    let after: Vec<u128> =
        heard.0.lock().unwrap().iter().map(|at| (*at - begun).as_millis()).collect();
    let most = [0, 0, 0, 0, 0, 500, 1_000, 1_500];
    // A timer rounds up to its millisecond.
    assert!(after.iter().zip(most).all(|(at, from)| (from..=from + 1).contains(at)), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn another_account_and_another_action_have_turns_of_their_own() {
    let (here, there) = (Pace::of(account("own-1")), Pace::of(account("own-2")));
    for _ in 0..5 {
        assert_eq!(here.turn("RunInstances"), Some(Duration::ZERO));
    }
    assert_ne!(here.turn("RunInstances"), Some(Duration::ZERO));
    assert_eq!(there.turn("RunInstances"), Some(Duration::ZERO));
    assert_eq!(here.turn("DescribeInstances"), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn one_that_would_wait_for_long_is_answered_at_once_as_aws_would_and_not_sent() {
    let heard = Heard::default();
    let line = line("long-1", &heard);
    // Five at once, and six more within three seconds.
    let mut waiting: Vec<_> = (0..11).map(|_| line.call(request("RunInstances"))).collect();
    let first = waiting.iter_mut().map(|call| {
        futures_util::future::poll_fn(|at| {
            let _ = std::pin::Pin::new(&mut *call).poll(at);
            std::task::Poll::Ready(())
        })
    });
    futures_util::future::join_all(first).await;
    let begun = Instant::now();
    let refused = line.call(request("RunInstances")).await.unwrap();
    assert_eq!((refused.status().as_u16(), begun.elapsed()), (503, Duration::ZERO));
    let told = String::from_utf8_lossy(refused.body().bytes().unwrap()).into_owned();
    assert!(told.contains("RequestLimitExceeded"), "{told}");
    assert_eq!(heard.0.lock().unwrap().len(), 5);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(line.pace.turn("RunInstances").is_some(), "and it cost nobody a turn");
}
