//! AWS's status checks: who fails one is told, on the pool and on its worker, and nothing else comes of it.

use super::stage::{Stage, pool};
use crate::support::aws::Fault;
use bellwether::model::{Instance, InstanceId, Market};
use bellwether::provider::Provider as _;

/// Machines of which something is told, and what.
fn told(listed: &[Instance]) -> Vec<(&InstanceId, &str)> {
    listed.iter().filter_map(|one| Some((&one.id, one.told.as_deref()?))).collect()
}

#[tokio::test]
async fn a_machine_that_fails_a_check_of_aws_s_is_told_and_its_list_does_not_wait_for_that() {
    let Some(stage) = Stage::start().await else { return };
    let launched = stage.ec2.launch(&stage.request(&[Market::OnDemand; 2]).await).await.unwrap();
    let id = &launched.instances[0].1;
    stage.aws.impairs(id.as_str(), "system-status");
    let listed = stage.ec2.list(&pool()).await.unwrap();
    assert_eq!(told(&listed), [(id, "AWS's system-status check fails")]);
    let calls = stage.aws.calls().len();
    stage.ec2.list(&pool()).await.unwrap();
    assert_eq!(stage.aws.calls().len(), calls + 1, "checks are asked once a minute");
    let anew = stage.anew();
    let away = Fault::Refused { status: 500, code: "InternalError" };
    stage.aws.always("DescribeInstanceStatus", Some(away));
    assert_eq!(anew.list(&pool()).await.unwrap().len(), 2);
}

/// Of a kernel that hangs, say: what it runs on is well.
#[tokio::test]
async fn one_that_fails_the_check_of_the_instance_itself_is_told_too() {
    let Some(stage) = Stage::start().await else { return };
    let launched = stage.ec2.launch(&stage.request(&[Market::OnDemand; 2]).await).await.unwrap();
    let id = &launched.instances[1].1;
    stage.aws.impairs(id.as_str(), "instance-status");
    let listed = stage.ec2.list(&pool()).await.unwrap();
    assert_eq!(told(&listed), [(id, "AWS's instance-status check fails")]);
}

#[tokio::test]
async fn those_that_fail_a_check_are_told_whole_whatever_the_pages() {
    let Some(stage) = Stage::start().await else { return };
    let launched = stage.ec2.launch(&stage.request(&[Market::OnDemand; 3]).await).await.unwrap();
    for (_, id, _) in &launched.instances {
        stage.aws.impairs(id.as_str(), "instance-status");
    }
    stage.aws.pages_of(1);
    let listed = stage.ec2.list(&pool()).await.unwrap();
    assert_eq!((listed.len(), told(&listed).len()), (3, 3), "{listed:#?}");
    let calls = stage.aws.calls();
    let asked = calls.iter().filter(|call| call.action == "DescribeInstanceStatus").count();
    assert_eq!(asked, 3 + 1, "a page for each, and one for the other check");
}
