//! What changes nothing.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_list_is_asked_for_page_by_page_and_then_who_is_impaired() {
    let none = || well("DescribeInstanceStatus", "<instanceStatusSet/>");
    let answers =
        vec![page(&["i-1", "i-2"], Some("t+0/1=")), page(&["i-2", "i-3"], None), none(), none()];
    let aws = Replay::of("list", template(), answers).await;
    let listed = aws.ec2.list(&"workers".into()).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["i-1", "i-2", "i-3"]);
    let list = |rest: &str| {
        form(&format!(
            "Action=DescribeInstances
            Filter.1.Name=tag:bellwether:cluster
            Filter.1.Value.1=default
            Filter.2.Name=tag:bellwether:pool
            Filter.2.Value.1=workers
            MaxResults=1000
            {rest}"
        ))
    };
    let checks = |check: &str| {
        form(&format!(
            "Action=DescribeInstanceStatus
            Filter.1.Name={check}-status.status
            Filter.1.Value.1=impaired
            MaxResults=1000"
        ))
    };
    let sent = [list(""), list("NextToken=t+0/1="), checks("instance"), checks("system")];
    assert_eq!(aws.sent(), sent);
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_second_page_is_refused_is_none() {
    let answers = vec![page(&["i-1"], Some("more")), refusal(503, "RequestLimitExceeded")];
    let aws = Replay::of("cut", template(), answers).await;
    assert_eq!(aws.ec2.list(&"workers".into()).await, Err(Error::Throttled));
    assert_eq!(aws.sent().len(), 2);
}

/// A list is whole without its checks, and does not say that all are well.
#[tokio::test(start_paused = true)]
async fn a_list_whose_checks_are_refused_says_that_they_are_not_known() {
    let none = || well("DescribeInstanceStatus", "<instanceStatusSet/>");
    let answers = vec![
        page(&["i-1"], None),
        refusal(503, "RequestLimitExceeded"),
        page(&["i-1"], None),
        none(),
        none(),
    ];
    let aws = Replay::of("checks", template(), answers).await;
    let listed = aws.ec2.list(&"workers".into()).await.unwrap();
    assert!(listed[0].unchecked, "{listed:?}");
    tokio::time::advance(Duration::from_mins(1)).await;
    let listed = aws.ec2.list(&"workers".into()).await.unwrap();
    assert!(!listed[0].unchecked, "{listed:?}");
}

fn protection(is_on: bool) -> HttpResponse {
    let told = format!(
        "<instanceId>i-1</instanceId><disableApiTermination><value>{is_on}</value></disableApiTermination>"
    );
    well("DescribeInstanceAttribute", &told)
}

#[tokio::test(start_paused = true)]
async fn whether_a_machine_may_end_is_asked_without_ending_it() {
    let answers = vec![
        protection(false),
        refusal(412, "DryRunOperation"),
        protection(true),
        protection(false),
        refusal(400, "OperationNotPermitted"),
    ];
    let aws = Replay::of("dry", template(), answers).await;
    let asked = || async { aws.ec2.may_end(&"workers".into(), &"i-1".into()).await };
    assert_eq!((asked().await, asked().await), (Ok(true), Ok(false)));
    assert!(matches!(asked().await, Err(Error::Denied(_))));
    let attribute = form(
        "Action=DescribeInstanceAttribute
        Attribute=disableApiTermination
        InstanceId=i-1",
    );
    let tried = form("Action=TerminateInstances\nDryRun=true\nInstanceId.1=i-1");
    let sent = [attribute.clone(), tried.clone(), attribute.clone(), attribute, tried];
    assert_eq!(aws.sent(), sent);
}

#[tokio::test(start_paused = true)]
async fn a_console_is_asked_for_as_it_is_now_and_else_as_it_was_at_the_start() {
    let output = "<instanceId>i-1</instanceId><output>bm8gcm91dGU=</output>";
    let answers = vec![
        page(&["i-1"], None),
        refusal(400, "UnsupportedOperation"),
        well("GetConsoleOutput", output),
    ];
    let aws = Replay::of("console", template(), answers).await;
    let told = aws.ec2.console(&"workers".into(), &"i-1".into()).await.unwrap();
    assert_eq!(told.as_deref(), Some("no route"));
    let now = form("Action=GetConsoleOutput\nInstanceId=i-1\nLatest=true");
    let then = form("Action=GetConsoleOutput\nInstanceId=i-1");
    assert_eq!(aws.sent()[1..], [now, then]);
}
