//! Every answer that AWS may give, or not give: no machine twice, none lost, and a reason for each.

use super::stage::{Stage, asked, machines_of, pool, uid};
use crate::support::aws::{Fault, Lifecycle};
use crate::support::wait;
use bellwether::model::{InstanceId, LaunchRequest, Market, WorkerId};
use bellwether::provider::{Error, Launched, LeftBehind, Provider as _};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

fn ids(launched: &Launched) -> BTreeSet<(WorkerId, InstanceId)> {
    launched.instances.iter().map(|one| (one.0.clone(), one.1.clone())).collect()
}

#[tokio::test]
async fn a_launch_whose_answer_was_lost_is_found_by_its_tags() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.many(6).await;
    for _ in 0..3 {
        stage.aws.next("CreateFleet", Fault::CutAfter);
    }
    let error = stage.ec2.launch(&request).await.unwrap_err();
    assert_eq!(error.left_behind(), LeftBehind::Unknown, "{error}");
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 6, "each was made once");
    stage.aws.forget_calls();
    let again = stage.anew().launch(&request).await.unwrap();
    assert_eq!((again.instances.len(), again.failed.len()), (6, 0));
    let calls = stage.aws.calls();
    assert!(calls.iter().all(|call| call.action != "CreateFleet"), "nothing is bought again");
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 6);
}

#[tokio::test]
async fn a_launch_that_no_list_shows_yet_is_asked_again_with_its_token_and_made_once() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.many(6).await;
    stage.aws.hides_new(2);
    for _ in 0..3 {
        stage.aws.next("CreateFleet", Fault::CutAfter);
    }
    stage.ec2.launch(&request).await.unwrap_err();
    let again = stage.anew().launch(&request).await.unwrap();
    assert_eq!((again.instances.len(), again.failed.len()), (6, 0), "{again:#?}");
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 6);
    let once_more = stage.anew().launch(&request).await.unwrap();
    let machines = |launched: &Launched| {
        launched.instances.iter().map(|one| one.1.clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(machines(&again), machines(&once_more));
}

/// The tags were changed in the file between a launch whose answer was lost and its repetition, and no list shows it yet.
#[tokio::test]
async fn a_pool_that_changed_amid_a_launch_buys_nothing_twice() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.request(&[Market::OnDemand]).await;
    stage.aws.hides_new(2);
    stage.aws.next("CreateFleet", Fault::CutAfter);
    stage.ec2.launch(&request).await.unwrap_err();
    let mut config = stage.config.clone();
    config.tags = [("team".to_owned(), "another".to_owned())].into();
    let changed = asked(&config);
    let told = changed.launch(&request).await.unwrap();
    let mismatch = "IdempotentParameterMismatch";
    assert!(told.failed[0].1.to_string().contains(mismatch), "{told:#?}");
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 1);
    assert_eq!(changed.launch(&request).await.unwrap().instances.len(), 1, "once it is listed");
}

#[tokio::test]
async fn a_line_that_is_cut_before_anything_happened_is_unknown_and_the_next_launch_buys() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.request(&[Market::OnDemand]).await;
    stage.aws.next("CreateFleet", Fault::CutBefore);
    let error = stage.ec2.launch(&request).await.unwrap_err();
    assert_eq!(error.left_behind(), LeftBehind::Unknown);
    assert_eq!(ids(&stage.ec2.launch(&request).await.unwrap()).len(), 1);
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 1);
}

#[tokio::test]
async fn asked_too_much_it_is_asked_again_within_the_act_and_after_that_the_pool_asks_less() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.request(&[Market::OnDemand]).await;
    let full = Fault::Refused { status: 503, code: "RequestLimitExceeded" };
    stage.aws.next("CreateFleet", full.clone());
    stage.aws.next("CreateFleet", full.clone());
    assert_eq!(ids(&stage.ec2.launch(&request).await.unwrap()).len(), 1);
    stage.aws.always("CreateFleet", Some(full));
    let mut next = request.clone();
    next.batch = "workers-2".into();
    assert_eq!(stage.ec2.launch(&next).await, Err(Error::Throttled), "as the guards hear it");
}

/// Of two pools of one account. Times are from before the first, so a slow machine only makes them longer.
#[tokio::test]
async fn of_seven_launches_at_once_aws_hears_five_and_the_others_a_moment_later() {
    let Some(stage) = Stage::of_an_image("#!/bin/sh").await else { return };
    let request = stage.request(&[Market::OnDemand]).await;
    let another = stage.anew();
    let batch = |number: usize| {
        let batch = format!("workers-{number}").as_str().into();
        LaunchRequest { batch, ..request.clone() }
    };
    let requests: Vec<LaunchRequest> = (1..=7).map(batch).collect();
    let pools = [&*stage.ec2, &another];
    let began = Instant::now();
    let launches = requests.iter().zip(pools.into_iter().cycle());
    for launched in join_all(launches.map(|(request, ec2)| ec2.launch(request))).await {
        assert_eq!(launched.unwrap().instances.len(), 1);
    }
    let calls = stage.aws.calls();
    let launches = calls.iter().filter(|call| call.action == "RunInstances");
    let after: Vec<Duration> = launches.map(|call| call.at - began).collect();
    assert_eq!(after.len(), 7, "{after:?}");
    let turns = [400, 900].map(Duration::from_millis);
    assert!(after[5] >= turns[0] && after[6] >= turns[1], "{after:?}");
}

/// Another pool of the account launches so many that this one's are held back, as many in a row as open a breaker.
#[tokio::test]
async fn what_its_own_pace_holds_back_is_no_failure_of_aws_s_and_shuts_nobody_out() {
    let Some(stage) = Stage::of_an_image("#!/bin/sh").await else { return };
    let request = stage.request(&[Market::OnDemand]).await;
    let (another, guarded) = (stage.anew(), stage.guarded(Duration::from_secs(20)));
    let batch = |pool: &str, number: usize| {
        let batch = format!("{pool}-{number}").as_str().into();
        LaunchRequest { batch, ..request.clone() }
    };
    let others: Vec<LaunchRequest> = (0..30).map(|number| batch("others", number)).collect();
    // So many that also where they come slowly most find no turn.
    let own: Vec<LaunchRequest> = (0..30).map(|number| batch("workers", number)).collect();
    let (_, told) = tokio::join!(
        join_all(others.iter().map(|request| another.launch(request))),
        join_all(own.iter().map(|request| guarded.launch(request))),
    );
    let held = told.iter().filter(|told| **told == Err(Error::NotAsked)).count();
    assert!(held >= 5, "{told:#?}");
    let next = batch("workers", 30);
    let goes_on =
        wait::comes_true(Duration::from_secs(25), || async { guarded.launch(&next).await.is_ok() });
    assert!(goes_on.await, "long before a breaker would let one through");
}

/// One of two zones answers, and the other's answer is lost: nothing is settled, and all are found.
#[tokio::test]
async fn one_lost_answer_of_several_leaves_the_whole_launch_unknown() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.many(4).await;
    stage.aws.next("CreateFleet", Fault::CutAfter);
    let error = stage.ec2.launch(&request).await.unwrap_err();
    assert_eq!(error.left_behind(), LeftBehind::Unknown);
    let again = stage.ec2.launch(&request).await.unwrap();
    assert_eq!((again.instances.len(), again.failed.len()), (4, 0));
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 4);
}

/// The answer is lost, and whoever asks again is refused: that says nothing about the first.
#[tokio::test]
async fn a_refusal_after_a_lost_answer_is_not_taken_for_the_answer() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.request(&[Market::OnDemand]).await;
    stage.aws.next("CreateFleet", Fault::CutAfter);
    stage.aws.next("CreateFleet", Fault::Refused { status: 400, code: "ExpiredToken" });
    let error = stage.ec2.launch(&request).await.unwrap_err();
    assert_eq!(error.left_behind(), LeftBehind::Unknown, "{error}");
}

#[tokio::test]
async fn an_answer_that_comes_too_late_leaves_its_effect_unknown_and_the_next_launch_finds_it() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.request(&[Market::OnDemand, Market::Spot]).await;
    stage.aws.next("CreateFleet", Fault::Late(Duration::from_secs(30)));
    let guarded = stage.guarded(Duration::from_millis(1_500));
    assert_eq!(guarded.launch(&request).await, Err(Error::TimedOut));
    let again = stage.ec2.launch(&request).await.unwrap();
    assert_eq!((again.instances.len(), again.failed.len()), (2, 0));
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 2);
}

#[tokio::test]
async fn of_a_batch_that_is_there_in_part_nothing_more_is_bought() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.request(&[Market::OnDemand; 3]).await;
    let first = stage.ec2.launch(&request).await.unwrap();
    let mut more = request.clone();
    let mut fourth = more.orders[0].clone();
    fourth.worker = "workers-1-4".into();
    more.orders.push(fourth);
    let again = stage.ec2.launch(&more).await.unwrap();
    assert_eq!(again.instances.len(), first.instances.len());
    assert_eq!(again.failed.len(), 1, "whoever waits is decided about anew");
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 3);
}

#[tokio::test]
async fn each_refusal_of_a_launch_says_what_it_is_and_leaves_nothing() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.request(&[Market::OnDemand]).await;
    let refusals = [
        ("UnauthorizedOperation", 403, "denied"),
        ("ExpiredToken", 400, "denied"),
        ("SignatureDoesNotMatch", 403, "denied"),
        ("InvalidParameter", 400, "invalid"),
        ("InvalidParameterValue", 400, "invalid"),
        ("InvalidLaunchTemplateName.NotFoundException", 400, "invalid"),
        ("IdempotentParameterMismatch", 400, "invalid"),
        ("VcpuLimitExceeded", 400, "quota"),
        ("InsufficientInstanceCapacity", 500, "capacity"),
    ];
    for (code, status, kind) in refusals {
        stage.aws.always("CreateFleet", Some(Fault::Refused { status, code }));
        let launched = stage.ec2.launch(&request).await.unwrap();
        assert_eq!((launched.instances.len(), launched.failed.len()), (0, 1), "{code}");
        assert_eq!(launched.failed[0].1.kind(), kind, "{code}: {launched:#?}");
    }
    for (code, status) in [("InternalError", 500), ("Unavailable", 503)] {
        stage.aws.always("CreateFleet", Some(Fault::Refused { status, code }));
        let error = stage.ec2.launch(&request).await.unwrap_err();
        assert_eq!(error.left_behind(), LeftBehind::Unknown, "{code}");
    }
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 0);
}

/// A-35, F-059.
#[tokio::test]
async fn a_quota_of_spot_sends_the_whole_launch_to_the_other_market() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.many(6).await;
    for (shape, zone) in stage.offered() {
        let code = "MaxSpotInstanceCountExceeded";
        stage.aws.sells_nothing(&shape, &zone, Lifecycle::Spot, code);
    }
    let launched = stage.ec2.launch(&request).await.unwrap();
    assert_eq!((launched.instances.len(), launched.failed.len()), (6, 0), "{launched:#?}");
    assert!(launched.instances.iter().all(|one| one.2.market == Market::OnDemand));
    assert!(launched.short.iter().all(|(_, error)| matches!(error, Error::Quota(_))));
}

#[tokio::test]
async fn a_list_that_is_refused_or_cut_is_an_error_and_never_an_empty_one() {
    let Some(stage) = Stage::start().await else { return };
    stage.ec2.launch(&stage.request(&[Market::OnDemand]).await).await.unwrap();
    let faults = [
        (Fault::Refused { status: 503, code: "RequestLimitExceeded" }, "throttled"),
        (Fault::Refused { status: 400, code: "ExpiredToken" }, "denied"),
        (Fault::Refused { status: 500, code: "InternalError" }, "unavailable"),
        (Fault::CutBefore, "unavailable"),
        (Fault::CutAfter, "unavailable"),
    ];
    for (fault, kind) in faults {
        stage.aws.next("DescribeInstances", fault.clone());
        let error = stage.ec2.list(&pool()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fault:?}: {error}");
    }
    assert_eq!(stage.ec2.list(&pool()).await.unwrap().len(), 1);
}

/// A-33, of no subnets.
#[tokio::test]
async fn where_the_account_has_none_of_the_pool_s_subnets_a_launch_says_so_and_buys_nothing() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.request(&[Market::OnDemand, Market::Spot]).await;
    let mut config = stage.config.clone();
    config.subnets = vec!["subnet-0123".to_owned()];
    let error = asked(&config).launch(&request).await.unwrap_err();
    let why = "none of the pool's shapes is offered in the zones of its subnets";
    assert!(matches!(&error, Error::Invalid(told) if told.starts_with(why)), "{error}");
    assert_eq!(error.left_behind(), LeftBehind::Nothing);
    assert!(stage.aws.calls().iter().all(|call| call.action.starts_with("Describe")));
    assert!(stage.aws.machines().await.is_empty());
}

#[tokio::test]
async fn an_end_whose_answer_was_lost_is_asked_again_and_well() {
    let Some(stage) = Stage::start().await else { return };
    let launched = stage.ec2.launch(&stage.request(&[Market::OnDemand]).await).await.unwrap();
    let id = &launched.instances[0].1;
    stage.aws.next("TerminateInstances", Fault::CutAfter);
    let error = stage.ec2.terminate(&uid(), &pool(), id).await.unwrap_err();
    assert_eq!(error.left_behind(), LeftBehind::Unknown);
    stage.ec2.terminate(&uid(), &pool(), id).await.unwrap();
    assert_eq!(stage.states().await[id.as_str()], "terminated");
}

#[tokio::test]
async fn who_never_heard_what_can_be_bought_does_not_know_it() {
    let Some(stage) = Stage::start().await else { return };
    let away = Fault::Refused { status: 503, code: "Unavailable" };
    stage.aws.always("DescribeInstanceTypes", Some(away));
    let error = stage.ec2.shapes(&pool()).await.unwrap_err();
    assert_eq!(error.kind(), "unavailable");
    stage.aws.always("DescribeInstanceTypes", None);
    assert_eq!(stage.ec2.shapes(&pool()).await.unwrap().len(), 2, "and asks again");
}

/// Another of the zone may have room, and which has most is asked again.
#[tokio::test]
async fn after_a_full_subnet_the_subnets_are_asked_anew() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.request(&[Market::Spot]).await;
    let zone = request.orders[0].offering.zone.clone();
    let code = "InsufficientFreeAddressesInSubnet";
    stage.aws.sells_nothing("t3.small", zone.as_str(), Lifecycle::Spot, code);
    stage.aws.sells_nothing("t3a.small", zone.as_str(), Lifecycle::Spot, code);
    stage.ec2.launch(&request).await.unwrap();
    stage.aws.forget_calls();
    stage.ec2.shapes(&pool()).await.unwrap();
    assert!(stage.aws.calls().iter().any(|call| call.action == "DescribeSubnets"));
}

#[tokio::test]
async fn an_image_that_is_sold_out_in_one_zone_is_bought_in_the_next() {
    let Some(stage) = Stage::of_an_image("").await else { return };
    let request = stage.request(&[Market::Spot; 2]).await;
    let zone = request.orders[0].offering.zone.clone();
    let code = "InsufficientInstanceCapacity";
    stage.aws.sells_nothing("t3.small", zone.as_str(), Lifecycle::Spot, code);
    let launched = stage.ec2.launch(&request).await.unwrap();
    assert_eq!((launched.instances.len(), launched.failed.len()), (2, 0), "{launched:#?}");
    assert!(launched.instances.iter().all(|one| one.2.zone != zone));
    let short: Vec<String> = launched.short.iter().map(|one| one.0.to_string()).collect();
    assert_eq!(short, [format!("t3.small in {zone} (spot)")]);
}

/// In between it became protected.
#[tokio::test]
async fn an_end_that_is_refused_for_protection_is_told_by_the_next_list() {
    let Some(stage) = Stage::start().await else { return };
    let launched = stage.ec2.launch(&stage.request(&[Market::OnDemand]).await).await.unwrap();
    let id = &launched.instances[0].1;
    let words = [("InstanceId", id.as_str()), ("DisableApiTermination.Value", "true")];
    stage.aws.ask("ModifyInstanceAttribute", &words).await;
    let told = stage.ec2.terminate(&uid(), &pool(), id).await;
    assert!(matches!(told, Err(Error::Denied(_))), "{told:?}");
    assert!(stage.ec2.list(&pool()).await.unwrap()[0].protected);
    assert_eq!(stage.states().await[id.as_str()], "running");
}
