//! EC2, as far as moto and what its documents say go: what is bought and with which words, what is listed, and what ends.

mod answers;
mod chain;
mod credentials;
mod online;
mod rights;
mod rounds;
mod stage;
mod status;
mod story;
mod trouble;
mod user_data;

use self::stage::{Stage, machines_of, uid};
use crate::support::aws::{Call, Fault, Lifecycle};
use bellwether::model::{InstanceState, Market};
use bellwether::provider::{Error, Provider as _};
use std::collections::BTreeSet;

#[tokio::test]
async fn it_keeps_what_every_provider_keeps() {
    let Some(stage) = Stage::start().await else { return };
    let findings = stage.try_out().await;
    let wrong: Vec<_> = findings.iter().filter(|finding| finding.wrong.is_some()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(findings.len(), 10);
}

/// F-040, F-041, W-59.
#[tokio::test]
async fn a_launch_of_both_markets_is_one_fleet_that_says_from_what_where_and_whose() {
    let Some(stage) = Stage::start().await else { return };
    let mut request = stage.request(&[Market::Spot, Market::OnDemand, Market::Spot]).await;
    request.labels = [("tier".to_owned(), "web".to_owned())].into();
    request.taints = vec![bellwether::model::Taint {
        key: "team".to_owned(),
        value: "web".to_owned(),
        effect: bellwether::model::Effect::NoSchedule,
    }];
    stage.aws.forget_calls();
    let launched = stage.ec2.launch(&request).await.unwrap();
    assert_eq!((launched.instances.len(), launched.failed.len()), (3, 0), "{launched:#?}");
    let calls = stage.aws.calls();
    let fleets: Vec<_> = calls.iter().filter(|call| call.action == "CreateFleet").collect();
    assert_eq!(fleets.len(), 1, "{calls:#?}");
    let word = |name: &str| fleets[0].words.get(name).map_or("", String::as_str);
    assert_eq!(word("Type"), "instant");
    assert_eq!(word("ClientToken"), "workers-1.0.0");
    let template = "LaunchTemplateConfigs.1.LaunchTemplateSpecification";
    assert_eq!(word(&format!("{template}.LaunchTemplateName")), "k3s-worker");
    assert_eq!(word(&format!("{template}.Version")), "$Default");
    let target = "TargetCapacitySpecification";
    assert_eq!(word(&format!("{target}.SpotTargetCapacity")), "2");
    assert_eq!(word(&format!("{target}.OnDemandTargetCapacity")), "1");
    assert_eq!(word("SpotOptions.AllocationStrategy"), "price-capacity-optimized");
    assert_eq!(word("OnDemandOptions.AllocationStrategy"), "prioritized");
    let zone = &request.orders[0].offering.zone;
    for (number, shape) in ["t3.small", "t3a.small"].iter().enumerate() {
        let at = format!("LaunchTemplateConfigs.1.Overrides.{}", number + 1);
        assert_eq!(word(&format!("{at}.InstanceType")), *shape, "the wanted one first");
        assert_eq!(
            word(&format!("{at}.Priority")).parse::<f64>().map(|rank| rank.to_string()),
            Ok(number.to_string())
        );
        assert_eq!(word(&format!("{at}.SubnetId")), stage.subnet_of(zone));
    }
    for machine in machines_of(&stage.aws, "workers-1").await {
        let tag = |key: &str| machine.tags.get(key).map_or("", String::as_str);
        let told = ["cluster", "cluster-uid", "pool", "batch", "node-labels", "node-taints"]
            .map(|key| tag(&format!("bellwether:{key}")).to_owned());
        let said = ["default", "uid-1", "workers", "workers-1", "tier=web", "team=web:NoSchedule"];
        assert_eq!(told, said);
        assert_eq!((tag("Name"), tag("team")), ("workers-1", "shop"));
        assert_eq!(tag("bellwether:version"), env!("CARGO_PKG_VERSION"));
    }
}

/// A-32, W-09, F-055.
#[tokio::test]
async fn what_spot_does_not_sell_is_bought_on_demand_in_the_same_act_and_never_twice() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.request(&[Market::Spot; 4]).await;
    for (_, zone) in &stage.yard.subnets {
        for shape in ["t3.small", "t3a.small"] {
            let code = "InsufficientInstanceCapacity";
            stage.aws.sells_nothing(shape, zone, Lifecycle::Spot, code);
        }
    }
    stage.aws.sells_at_most(
        "t3.small",
        request.orders[0].offering.zone.as_str(),
        Lifecycle::Spot,
        1,
    );
    let launched = stage.ec2.launch(&request).await.unwrap();
    assert_eq!((launched.instances.len(), launched.failed.len()), (4, 0), "{launched:#?}");
    let spot = launched.instances.iter().filter(|one| one.2.market == Market::Spot).count();
    assert_eq!(spot, 1, "the one that came stays");
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 4);
    let short: BTreeSet<_> = launched.short.iter().map(|one| one.0.market).collect();
    assert_eq!(short, [Market::Spot].into());
    stage.aws.sells_all();
    let mut next = request.clone();
    next.batch = "workers-2".into();
    stage.ec2.launch(&next).await.unwrap();
    let machines = machines_of(&stage.aws, "workers-2").await;
    assert_eq!(machines.iter().filter(|machine| machine.spot).count(), 4);
}

#[tokio::test]
async fn a_hundred_workers_take_ten_calls_where_half_of_all_offerings_are_sold_out() {
    let Some(stage) = Stage::of(&["t3.small", "t3a.small", "t2.small"]).await else { return };
    let request = stage.many(100).await;
    // Half of the nine, of either market.
    for (at, (shape, zone)) in stage.offered().into_iter().enumerate().filter(|(at, _)| at % 2 == 0)
    {
        let code = "InsufficientInstanceCapacity";
        stage.aws.sells_nothing(&shape, &zone, Lifecycle::Spot, code);
        if at != 0 {
            stage.aws.sells_nothing(&shape, &zone, Lifecycle::OnDemand, code);
        }
    }
    stage.aws.forget_calls();
    let launched = stage.ec2.launch(&request).await.unwrap();
    assert_eq!((launched.instances.len(), launched.failed.len()), (100, 0));
    let calls = stage.aws.calls();
    assert!(calls.len() <= 10, "{:#?}", calls.iter().map(|call| &call.action).collect::<Vec<_>>());
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 100);
}

#[tokio::test]
async fn one_shape_and_an_image_need_no_template() {
    let Some(stage) = Stage::of_an_image("#!/bin/sh\necho hello\n").await else { return };
    let request = stage.request(&[Market::Spot, Market::OnDemand]).await;
    stage.aws.forget_calls();
    let launched = stage.ec2.launch(&request).await.unwrap();
    assert_eq!((launched.instances.len(), launched.failed.len()), (2, 0), "{launched:#?}");
    let calls = stage.aws.calls();
    let runs: Vec<_> = calls.iter().filter(|call| call.action == "RunInstances").collect();
    assert_eq!(runs.len(), 2, "one of each market");
    let said = |name: &str, what: &str| {
        runs.iter().all(|run| run.words.get(name).is_some_and(|it| it == what))
    };
    assert!(said("ImageId", &stage.yard.image) && said("InstanceType", "t3.small"));
    assert!(
        said("MinCount", "1") && said("SecurityGroupId.1", &stage.yard.security_group),
        "{runs:#?}"
    );
    assert!(said("IamInstanceProfile.Name", "k3s-worker"));
    assert!(said("UserData", "IyEvYmluL3NoCmVjaG8gaGVsbG8K"));
    assert!(said("MetadataOptions.InstanceMetadataTags", "enabled"));
    assert!(said("MetadataOptions.HttpTokens", "required"));
    assert!(said("MetadataOptions.HttpPutResponseHopLimit", "1"), "pods reach no role");
    let again = stage.ec2.launch(&request).await.unwrap();
    assert_eq!(again.instances.len(), 2);
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 2);
}

/// W-59.
#[tokio::test]
async fn a_list_is_whole_whatever_its_pages_and_holds_nobody_else_s() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.many(120).await;
    stage.ec2.launch(&request).await.unwrap();
    stage.somebody_else_s("workers", "other").await;
    stage.somebody_else_s("more", "default").await;
    stage.aws.pages_of(50);
    stage.aws.forget_calls();
    let listed = stage.ec2.list(&"workers".into()).await.unwrap();
    assert_eq!(listed.len(), 120);
    let lists = |call: &&Call| call.action == "DescribeInstances";
    assert_eq!(stage.aws.calls().iter().filter(lists).count(), 3, "three pages");
    assert!(listed.iter().all(|one| one.worker.is_none() && one.is_live()));
    stage.aws.next("DescribeInstances", Fault::PageTwice);
    assert_eq!(stage.ec2.list(&"workers".into()).await.unwrap().len(), 120, "each once");
}

/// Of a cluster that was made anew under its name, say.
#[tokio::test]
async fn a_machine_of_the_same_names_and_another_uid_is_not_taken_for_one_of_the_batch() {
    let Some(stage) = Stage::start().await else { return };
    let tags = [
        ("cluster", "default"),
        ("cluster-uid", "uid-2"),
        ("pool", "workers"),
        ("batch", "workers-1"),
    ];
    let foreign = stage.tagged(&tags).await;
    let launched = stage.ec2.launch(&stage.request(&[Market::OnDemand]).await).await.unwrap();
    assert_eq!((launched.instances.len(), launched.failed.len()), (1, 0), "{launched:#?}");
    assert_ne!(launched.instances[0].1.as_str(), foreign);
    assert_eq!(machines_of(&stage.aws, "workers-1").await.len(), 2);
    let listed = stage.ec2.list(&"workers".into()).await.unwrap();
    let other = listed.iter().find(|one| one.id.as_str() == foreign).unwrap();
    assert_eq!(other.cluster_uid, Some("uid-2".into()), "whose it is, is told");
}

#[tokio::test]
async fn one_that_a_person_stops_is_listed_as_stopped_and_by_whom() {
    let Some(stage) = Stage::start().await else { return };
    let launched = stage.ec2.launch(&stage.request(&[Market::OnDemand; 2]).await).await.unwrap();
    let stopped = &launched.instances[0].1;
    stage.aws.ask("StopInstances", &[("InstanceId.1", stopped.as_str())]).await;
    for one in stage.ec2.list(&"workers".into()).await.unwrap() {
        let is_it = one.id == *stopped;
        let state = if is_it { InstanceState::Stopped } else { InstanceState::Running };
        assert_eq!(one.state, state);
        let told = one.told.is_some_and(|told| told.contains("User initiated"));
        assert_eq!(told, is_it);
    }
}

#[tokio::test]
async fn only_ours_are_ended_and_ending_one_twice_is_well() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.request(&[Market::OnDemand; 2]).await;
    let launched = stage.ec2.launch(&request).await.unwrap();
    let foreign = stage.somebody_else_s("workers", "other").await;
    // Of a cluster that was made anew under its name, say; and one that says of none whose it is.
    let names = [("cluster", "default"), ("pool", "workers")];
    let before = stage.tagged(&[names[0], names[1], ("cluster-uid", "uid-2")]).await;
    let nobody_s = stage.tagged(&names).await;
    let pool = "workers".into();
    let id = &launched.instances[0].1;
    stage.ec2.terminate(&uid(), &pool, id).await.unwrap();
    stage.ec2.terminate(&uid(), &pool, id).await.unwrap();
    for nobody in ["i-0123456789abcdef0", "nobody", &foreign, &before, &nobody_s] {
        stage.ec2.terminate(&uid(), &pool, &nobody.into()).await.unwrap();
    }
    let states = stage.states().await;
    assert_eq!(states[id.as_str()], "terminated");
    assert_eq!(states[launched.instances[1].1.as_str()], "running");
    for other in [&foreign, &before, &nobody_s] {
        assert_eq!(states[other], "running", "{other} does not carry our tags");
    }
    let listed = stage.ec2.list(&pool).await.unwrap();
    let ended = listed.iter().find(|one| one.id == *id).unwrap();
    assert_eq!(ended.state, InstanceState::Gone);
}

#[tokio::test]
async fn one_that_a_person_protects_may_not_be_ended_and_is_listed_so() {
    let Some(stage) = Stage::start().await else { return };
    let request = stage.request(&[Market::OnDemand; 2]).await;
    let launched = stage.ec2.launch(&request).await.unwrap();
    let (kept, other) = (&launched.instances[0].1, &launched.instances[1].1);
    let words = [("InstanceId", kept.as_str()), ("DisableApiTermination.Value", "true")];
    stage.aws.ask("ModifyInstanceAttribute", &words).await;
    let pool = "workers".into();
    assert_eq!(stage.ec2.may_end(&pool, kept).await, Ok(false));
    assert_eq!(stage.ec2.may_end(&pool, other).await, Ok(true));
    let listed = stage.ec2.list(&pool).await.unwrap();
    let protected: Vec<_> = listed.iter().filter(|one| one.protected).map(|one| &one.id).collect();
    assert_eq!(protected, [kept]);
    assert_eq!(stage.states().await[other.as_str()], "running", "nothing was ended by asking");
}

#[tokio::test]
async fn what_may_not_be_ended_for_want_of_a_right_is_told_as_that() {
    let Some(stage) = Stage::start().await else { return };
    let launched = stage.ec2.launch(&stage.request(&[Market::OnDemand]).await).await.unwrap();
    let denied = Fault::Refused { status: 403, code: "UnauthorizedOperation" };
    for action in ["TerminateInstances", "DescribeInstanceAttribute"] {
        stage.aws.always(action, Some(denied.clone()));
        let told = stage.ec2.may_end(&"workers".into(), &launched.instances[0].1).await;
        let Err(Error::Denied(told)) = told else { panic!("{told:?}") };
        assert!(told.starts_with(&format!("ec2:{action}: UnauthorizedOperation")), "{told}");
        stage.aws.always(action, None);
    }
}

/// F-052, F-056.
#[tokio::test]
async fn a_shape_is_what_its_type_has_and_is_sold_where_the_subnets_are() {
    let Some(stage) = Stage::start().await else { return };
    let shapes = stage.ec2.shapes(&"workers".into()).await.unwrap();
    let names: Vec<&str> = shapes.iter().map(|shape| shape.name.as_str()).collect();
    assert_eq!(names, ["t3.small", "t3a.small"]);
    let capacity = &shapes[0].capacity;
    assert_eq!((capacity.cpu_milli, capacity.pods), (2_000, 29));
    // 2 GiB less 10 %.
    assert_eq!(capacity.memory, (2 << 30) / 100 * 90);
    let zones: BTreeSet<_> = shapes[0].offerings.iter().map(|one| one.zone.to_string()).collect();
    let subnets: BTreeSet<_> = stage.yard.subnets.iter().map(|(_, zone)| zone.clone()).collect();
    assert_eq!(zones, subnets);
    assert_eq!(shapes[0].offerings.len(), 2 * zones.len(), "spot and on demand");
    stage.aws.forget_calls();
    stage.ec2.shapes(&"workers".into()).await.unwrap();
    assert_eq!(stage.aws.calls().len(), 0, "it is known by now");
}

#[tokio::test]
async fn a_machine_s_console_is_told_and_nobody_else_s() {
    let Some(stage) = Stage::start().await else { return };
    let launched = stage.ec2.launch(&stage.request(&[Market::OnDemand]).await).await.unwrap();
    let pool = "workers".into();
    let told = stage.ec2.console(&pool, &launched.instances[0].1).await.unwrap();
    assert!(told.is_some_and(|told| told.contains("Linux")), "moto's own words");
    let foreign = stage.somebody_else_s("workers", "other").await;
    assert_eq!(stage.ec2.console(&pool, &foreign.as_str().into()).await, Err(Error::NotFound));
}
