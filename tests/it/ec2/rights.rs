//! What we may do: that `deploy/aws/bellwether-policy.json` permits all that is asked and no more. moto judges actions only, so
//! whose a resource is, and of what tags, is read off the file here. So is what workers may do.

use super::stage::{Stage, pool, uid};
use crate::support::aws::Aws;
use bellwether::config::{Ec2Config, Secret};
use bellwether::model::Market;
use bellwether::provider::{Ec2, Error, Keys, Provider as _};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn policy() -> Value {
    serde_json::from_str(include_str!("../../../deploy/aws/bellwether-policy.json")).unwrap()
}

fn worker_policy() -> Value {
    serde_json::from_str(include_str!("../../../deploy/aws/worker-policy.json")).unwrap()
}

/// What a worker reads when it joins.
fn parameters() -> Vec<String> {
    let arn = |name: &str| format!("arn:aws:ssm:REGION:ACCOUNT:parameter/k3s/{name}");
    ["join-token", "master-ip"].map(arn).into()
}

fn statements(policy: &Value) -> &Vec<Value> {
    policy["Statement"].as_array().unwrap()
}

/// One text, or several.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap()],
    }
}

fn actions(policy: &Value) -> BTreeSet<String> {
    let all = statements(policy).iter().flat_map(|statement| texts(&statement["Action"]));
    all.map(str::to_owned).collect()
}

/// All that a pool's life asks of EC2.
async fn live(ec2: &Ec2, stage: &Stage, batch: &str) -> Result<(), Error> {
    let pool = pool();
    ec2.shapes(&pool).await?;
    let mut request = stage.request(&[Market::OnDemand]).await;
    request.batch = batch.into();
    let launched = ec2.launch(&request).await?;
    if let Some((_, error)) = launched.failed.first() {
        return Err(error.clone());
    }
    let id = &launched.instances[0].1;
    assert!(ec2.list(&pool).await?.iter().any(|one| one.id == *id));
    ec2.console(&pool, id).await?;
    assert!(ec2.may_end(&pool, id).await?);
    ec2.terminate(&uid(), &pool, id).await
}

/// W-61.
#[tokio::test]
async fn what_is_asked_of_aws_is_what_the_policy_names() {
    let Some(stage) = Stage::start().await else { return };
    live(&stage.ec2, &stage, "workers-1").await.unwrap();
    let complaints = stage.ec2.complaints(&pool()).await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    let calls = stage.aws.calls();
    let asked: BTreeSet<String> = calls.iter().map(|call| format!("ec2:{}", call.action)).collect();
    // Not asked by name: AWS judges these two within a launch. The last is SSM's.
    let within = ["ec2:CreateTags", "iam:PassRole", "ssm:GetParameter"].map(str::to_owned);
    let named: BTreeSet<String> = actions(&policy()).difference(&within.into()).cloned().collect();
    assert_eq!(asked, named);
}

#[tokio::test]
async fn who_has_the_policy_may_live_and_who_has_not_is_told_so() {
    let Some(stage) = Stage::start().await else { return };
    let all: Vec<String> = actions(&policy()).into_iter().collect();
    let document = |actions: &[String]| {
        let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
        json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
    };
    let may = stage.aws.user("bellwether", &document(&all)).await;
    let no_end: Vec<String> =
        all.iter().filter(|action| *action != "ec2:TerminateInstances").cloned().collect();
    let may_not = stage.aws.user("cautious", &document(&no_end)).await;
    let nobody = stage.aws.user("nobody", &document(&["s3:ListBuckets".to_owned()])).await;
    // What the request is made of is asked before anybody is judged.
    stage.ec2.shapes(&pool()).await.unwrap();
    stage.aws.judges().await;
    live(&asked_as(&stage.config, &stage.aws, may), &stage, "workers-1").await.unwrap();
    for (keys, what) in [(may_not, "end"), (nobody, "look")] {
        let told = live(&asked_as(&stage.config, &stage.aws, keys), &stage, what).await;
        assert!(matches!(told, Err(Error::Denied(_))), "{what}: {told:?}");
    }
}

/// Straight to moto: it judges signatures, which a proxy would spoil.
fn asked_as(config: &Ec2Config, aws: &Aws, (id, secret): (String, String)) -> Ec2 {
    let config = Ec2Config { endpoint: Some(aws.moto_url().to_owned()), ..config.clone() };
    Ec2::asked_as("default".into(), config, Some(Keys { id, secret: Secret::new(secret) }))
}

/// F-202.
#[test]
fn nothing_may_be_made_or_ended_without_the_tag_of_the_cluster() {
    let policy = policy();
    for statement in statements(&policy) {
        let (sid, condition) = (&statement["Sid"], statement["Condition"].to_string());
        assert_eq!(statement["Effect"], "Allow", "{sid}");
        for action in texts(&statement["Action"]) {
            assert!(!action.contains('*'), "{sid}: {action}");
            for resource in texts(&statement["Resource"]) {
                let is_ours = condition.contains("bellwether:cluster\":\"CLUSTER\"");
                let is_of_us = ["instance/*", "volume/*", "launch-template/*"]
                    .iter()
                    .any(|kind| resource.ends_with(kind));
                assert!(!is_of_us || is_ours, "{sid}: {action} on {resource}");
                let reads = action.starts_with("ec2:Describe");
                assert!(resource != "*" || reads, "{sid}: {action} on everything");
            }
            if action == "iam:PassRole" {
                assert!(condition.contains("\"iam:PassedToService\":\"ec2.amazonaws.com\""));
                let role = ["arn:aws:iam::ACCOUNT:role/WORKER_ROLE"];
                assert_eq!(texts(&statement["Resource"]), role, "one role");
            }
            if action == "ec2:CreateTags" {
                assert!(condition.contains("ec2:CreateAction"), "only on what is being made");
            }
        }
    }
}

#[test]
fn what_may_be_done_is_bound_to_one_region() {
    let policy = policy();
    // Roles are of no region.
    let regional = statements(&policy).iter().filter(|it| it["Action"] != "iam:PassRole");
    for statement in regional {
        let asked = &statement["Condition"]["StringEquals"]["aws:RequestedRegion"];
        let resources = texts(&statement["Resource"]);
        let are_there = resources.iter().all(|resource| resource.contains(":REGION:"));
        assert!(are_there || asked == "REGION", "{statement:#}");
    }
}

#[test]
fn a_worker_may_read_the_parameters_that_it_joins_with_and_no_more() {
    let (policy, ours) = (worker_policy(), policy());
    let [read, decrypt] = &statements(&policy)[..] else { panic!("{policy:#}") };
    assert!(read["Effect"] == "Allow" && decrypt["Effect"] == "Allow");
    assert_eq!(texts(&read["Action"]), ["ssm:GetParameter"]);
    assert_eq!(texts(&read["Resource"]), parameters());
    // The token's own, and through SSM only: whichever key it is under.
    assert_eq!(texts(&decrypt["Action"]), ["kms:Decrypt"]);
    let condition = json!({ "StringEquals": {
        "kms:EncryptionContext:PARAMETER_ARN": parameters()[0],
        "kms:ViaService": "ssm.REGION.amazonaws.com",
    } });
    assert_eq!(decrypt["Condition"], condition);
    let mut checked = statements(&ours).iter().filter(|it| it["Action"] == "ssm:GetParameter");
    assert_eq!(texts(&checked.next().unwrap()["Resource"]), parameters(), "what is checked");
}
