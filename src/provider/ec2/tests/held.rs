//! A launch of several calls of which one was held back or refused amid them.

use super::*;

fn held_back() -> HttpResponse {
    refusal(503, pace::HELD_BACK)
}

fn throttled() -> HttpResponse {
    refusal(503, "RequestLimitExceeded")
}

/// What is asked after it, in the second round.
#[tokio::test(start_paused = true)]
async fn what_came_stays_where_the_next_call_is_held_back_and_the_rest_goes_on() {
    for too_much in [held_back, throttled] {
        let [first, second, third] = [too_much(), too_much(), too_much()];
        let answers = vec![page(&[], None), ran(&["i-1"]), first, second, third, ran(&["i-2"])];
        let aws = Replay::of("held", image(), answers).await;
        let wanted = request(&["t3.small"], &[Market::Spot, Market::OnDemand]);
        let launched = aws.ec2.launch(&wanted).await.unwrap();
        let markets: Vec<_> = launched.instances.iter().map(|one| one.2.market).collect();
        assert_eq!(ids(&launched), ["i-1", "i-2"]);
        assert_eq!(markets, [Market::Spot, Market::OnDemand]);
        assert_eq!((launched.failed, launched.short), (Vec::new(), Vec::new()));
        let last = aws.sent().pop().unwrap();
        let token = "ClientToken=0123456789abcdef.1.0a".to_owned();
        assert!(last.contains(&token), "another call: {last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_rest_is_held_back_again_it_fails_for_that_and_no_offering_is_blamed() {
    for (too_much, why) in
        [(held_back as fn() -> _, Error::NotAsked), (throttled, Error::Throttled)]
    {
        let held = (0..6).map(|_| too_much());
        let answers = [page(&[], None), ran(&["i-1"])].into_iter().chain(held).collect();
        let aws = Replay::of("held-2", image(), answers).await;
        let wanted = request(&["t3.small"], &[Market::Spot, Market::OnDemand]);
        let launched = aws.ec2.launch(&wanted).await.unwrap();
        assert_eq!(ids(&launched), ["i-1"]);
        assert_eq!(launched.failed, [("workers-1-2".into(), why)]);
        assert_eq!(launched.short, []);
    }
}

/// Where each is to be in its own zone, for pods that need several.
#[tokio::test(start_paused = true)]
async fn where_nothing_else_may_be_had_the_rest_fails_for_what_held_it_back() {
    let answers = vec![page(&[], None), ran(&["i-1"]), held_back(), held_back(), held_back()];
    let aws = Replay::of("held-3", image(), answers).await;
    let mut wanted = request(&["t3.small"], &[Market::Spot, Market::OnDemand]);
    wanted.fallback.clear();
    let launched = aws.ec2.launch(&wanted).await.unwrap();
    assert_eq!(ids(&launched), ["i-1"]);
    assert_eq!(launched.failed, [("workers-1-2".into(), Error::NotAsked)]);
    assert_eq!(launched.short, []);
}

/// The list of the next pass says which.
#[tokio::test(start_paused = true)]
async fn what_came_before_a_call_of_which_nothing_is_known_makes_the_whole_unknown() {
    let answers = vec![page(&[], None), ran(&["i-1"]), refusal(500, "InternalError")];
    let aws = Replay::of("unknown", image(), answers).await;
    let wanted = request(&["t3.small"], &[Market::Spot, Market::OnDemand]);
    let error = aws.ec2.launch(&wanted).await.unwrap_err();
    assert_eq!(error.left_behind(), LeftBehind::Unknown);
    assert_eq!(aws.sent().len(), 3, "and nothing more is asked");
}
