//! `bellwether check-config --online`, before an AWS that is played: every fault named with its field, and nothing changed.

use crate::support::aws::{Aws, Fault, Yard};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Output;
use tokio::process::Command;

/// An image that moto knows from the start: Linux, for arm64.
const ARM_IMAGE: &str = "ami-0e9271c829888680e";

pub(super) struct Online {
    pub(super) aws: Aws,
    yard: Yard,
    /// All that the program finds in its environment.
    pub(super) environment: BTreeMap<&'static str, String>,
}

impl Online {
    pub(super) async fn start() -> Option<Self> {
        let aws = Aws::start().await?;
        let yard = aws.yard().await;
        let environment = [
            ("AWS_ACCESS_KEY_ID", "testing"),
            ("AWS_SECRET_ACCESS_KEY", "testing"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ENDPOINT_URL", aws.url()),
        ];
        let environment = environment.map(|(name, value)| (name, value.to_owned())).into();
        Some(Self { aws, yard, environment })
    }

    /// A pool that has all it needs.
    pub(super) fn pool(&self) -> Value {
        json!({
            "launch_template": self.yard.template,
            "shapes": ["t3.small", "t3a.small"],
            "subnets": self.yard.subnets.iter().map(|(id, _)| id).collect::<Vec<_>>(),
            "region": "us-east-1",
            "endpoint": self.aws.url(),
        })
    }

    /// Has the program ask AWS about a pool.
    pub(super) async fn asks(&self, ec2: &Value) -> Output {
        self.asks_of(&json!({ "ec2": ec2 }), &json!({})).await
    }

    /// The same, of a pool whose nodes are to have this.
    async fn asks_of(&self, provider: &Value, node: &Value) -> Output {
        let config = json!({
            "alertmanager": { "urls": ["http://alertmanager:9093"] },
            "prometheus": { "urls": ["http://prometheus:9090"] },
            "clusters": { "default": {
                "kubernetes": { "in_cluster": true },
                "pools": { "workers": { "max": 3, "provider": provider, "node": node } },
            } },
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
        command
            .args(["check-config", "--online", "--output", "json"])
            .arg(file.path())
            .env_clear()
            .envs(&self.environment);
        command.output().await.unwrap()
    }

    /// What the program tells of a pool: its exit code, and each field with what is wrong.
    pub(super) async fn tells(&self, ec2: &Value) -> (i32, Vec<(String, String)>) {
        let output = self.asks(ec2).await;
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let errors = told["errors"].as_array().unwrap().iter();
        let section = "clusters.default.pools.workers.provider.ec2";
        let told = errors.map(|error| {
            let path = error["path"].as_str().unwrap();
            let field = path.strip_prefix(section).unwrap().trim_start_matches('.');
            (field.to_owned(), format!("{}: {}", error["found"], error["mend"].as_str().unwrap()))
        });
        (output.status.code().unwrap(), told.collect())
    }

    async fn with(&self, field: &str, value: Value) -> Vec<(String, String)> {
        let mut pool = self.pool();
        pool[field] = value;
        let (code, told) = self.tells(&pool).await;
        assert_eq!(code, 1, "{told:#?}");
        told
    }
}

/// AWS would refuse each launch: it is not asked.
#[tokio::test]
async fn what_fits_no_tag_of_aws_s_is_refused_with_its_field_and_value() {
    let Some(online) = Online::start().await else { return };
    let long = "x".repeat(257);
    let told = online.with("tags", json!({ "team": long })).await;
    is_told(&told, "tags.team", "must have 256 letters at most");
    assert!(told[0].1.contains("xxx"), "{told:#?}");
    let labels: BTreeMap<String, String> =
        (1..=5).map(|number| (format!("tier-{number}"), "y".repeat(60))).collect();
    let node = json!({ "labels": labels });
    let output = online.asks_of(&json!({ "ec2": online.pool() }), &node).await;
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = &told["errors"][0];
    assert_eq!(error["path"], "clusters.default.pools.workers.node.labels", "{told:#}");
    let mend = "all together must have 256 letters at most";
    assert!(error["mend"].as_str().unwrap().starts_with(mend), "{told:#}");
    assert!(error["found"].as_str().unwrap().contains("tier-1"), "{told:#}");
    assert_eq!((output.status.code(), online.aws.calls().len()), (Some(1), 0));
}

fn is_told(told: &[(String, String)], field: &str, words: &str) {
    assert!(told.iter().any(|(at, what)| at == field && what.contains(words)), "{told:#?}");
}

#[tokio::test]
async fn a_pool_that_has_all_it_needs_is_well_and_nothing_is_bought() {
    let Some(online) = Online::start().await else { return };
    assert_eq!(online.tells(&online.pool()).await, (0, Vec::new()));
    assert!(online.aws.machines().await.is_empty());
    let calls = online.aws.calls();
    let acts = calls.iter().filter(|call| !call.action.starts_with("Describe"));
    for act in acts {
        assert_eq!(act.words.get("DryRun").map(String::as_str), Some("true"), "{act:#?}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named_with_its_field() {
    let Some(online) = Online::start().await else { return };
    let subnet = &online.yard.subnets[0].0;
    let told = online.with("subnets", json!([subnet, "subnet-0123"])).await;
    is_told(&told, "subnets[1]", "\"subnet-0123\": there is no such subnet");
    assert_eq!(told.len(), 1, "{told:#?}");
    let told = online.with("shapes", json!(["t3.small", "t3.enormous"])).await;
    is_told(&told, "shapes[1]", "no such instance type");
    let told = online.with("launch_template", json!("k3s-typo")).await;
    is_told(&told, "launch_template", "k3s-typo");
    let told = online.with("launch_template_version", json!("7")).await;
    is_told(&told, "launch_template_version", "\"7\"");
    let told = online.with("parameters", json!(["/k3s/join-token", "/k3s/typo"])).await;
    is_told(&told, "parameters[1]", "no such parameter");
    assert_eq!(told.len(), 1, "{told:#?}");
}

#[tokio::test]
async fn a_look_that_is_not_permitted_is_named() {
    let Some(online) = Online::start().await else { return };
    for look in ["DescribeInstanceTypes", "DescribeInstanceTypeOfferings", "DescribeSubnets"] {
        let denied = Fault::Refused { status: 403, code: "UnauthorizedOperation" };
        online.aws.always(look, Some(denied));
        let (code, told) = online.tells(&online.pool()).await;
        assert_eq!((code, told.len()), (1, 1), "{told:#?}");
        assert!(told[0].1.contains(&format!("ec2:{look}: UnauthorizedOperation")), "{told:#?}");
        online.aws.always(look, None);
    }
}

#[tokio::test]
async fn a_region_where_nobody_answers_is_named() {
    let Some(online) = Online::start().await else { return };
    let mut pool = online.pool();
    (pool["region"], pool["endpoint"]) = (json!("eu-nowhere-9"), json!("http://127.0.0.1:9"));
    let (code, told) = online.tells(&pool).await;
    assert_eq!((code, told.len()), (1, 1), "{told:#?}");
    is_told(
        &told,
        "region",
        "\"eu-nowhere-9\": EC2 does not answer there; is there such a region?",
    );
}

#[tokio::test]
async fn a_shape_of_another_architecture_than_the_image_is_refused() {
    let Some(online) = Online::start().await else { return };
    let told = online.with("shapes", json!(["t3.small", "t4g.small"])).await;
    is_told(&told, "shapes[1]", "runs arm64, and the image is for x86_64");
}

#[tokio::test]
async fn an_image_of_another_architecture_than_the_shapes_is_told_at_each_of_them() {
    let Some(online) = Online::start().await else { return };
    let template = [
        ("LaunchTemplateName", "k3s-arm"),
        ("LaunchTemplateData.ImageId", ARM_IMAGE),
        ("LaunchTemplateData.UserData", "IyEvYmluL3NoCg=="),
    ];
    online.aws.ask("CreateLaunchTemplate", &template).await;
    let told = online.with("launch_template", json!("k3s-arm")).await;
    for field in ["shapes[0]", "shapes[1]"] {
        is_told(&told, field, "runs x86_64, and the image is for arm64");
    }
    assert_eq!(told.len(), 2, "{told:#?}");
}

/// Of the three zones moto offers it in the first only.
#[tokio::test]
async fn a_shape_that_a_zone_of_the_pool_does_not_offer_is_named_with_the_zone() {
    let Some(online) = Online::start().await else { return };
    let told = online.with("shapes", json!(["t3.small", "vt1.3xlarge"])).await;
    for zone in ["us-east-1b", "us-east-1c"] {
        let words = format!(
            "\"vt1.3xlarge\": is not offered in {zone}; leave it out, or the subnets of that zone"
        );
        is_told(&told, "shapes[1]", &words);
    }
    assert_eq!(told.len(), 2, "{told:#?}");
}

#[tokio::test]
async fn each_right_that_is_missing_is_named() {
    let Some(online) = Online::start().await else { return };
    let denied = || Some(Fault::Refused { status: 403, code: "UnauthorizedOperation" });
    // What is done to a machine can be tried on one only.
    online.aws.tagged(&online.yard.image, &[("cluster", "default"), ("pool", "workers")]).await;
    assert_eq!(online.tells(&online.pool()).await, (0, Vec::new()));
    let actions = [
        "CreateFleet",
        "DescribeInstanceAttribute",
        "DescribeInstanceStatus",
        "DescribeInstances",
        "GetConsoleOutput",
        "RunInstances",
        "TerminateInstances",
    ];
    for action in actions {
        online.aws.always(action, denied());
        let (code, told) = online.tells(&online.pool()).await;
        assert_eq!((code, told.len()), (1, 1), "{told:#?}");
        is_told(&told, "", &format!("\"ec2:{action}\": is not permitted"));
        online.aws.always(action, None);
    }
    assert_eq!(online.aws.machines().await.len(), 1, "nothing was bought or ended by asking");
    online.aws.always("DescribeSubnets", denied());
    let (_, told) = online.tells(&online.pool()).await;
    is_told(&told, "", "what can be bought cannot be asked");
}

#[tokio::test]
async fn without_credentials_that_is_what_is_told() {
    let Some(mut online) = Online::start().await else { return };
    online.environment.retain(|name, _| !name.contains("KEY"));
    let (code, told) = online.tells(&online.pool()).await;
    assert_eq!((code, told.len()), (1, 1), "{told:#?}");
    is_told(&told, "", "no credentials of AWS");
}

#[tokio::test]
async fn a_call_is_signed_for_the_region_and_as_the_role_that_the_file_names() {
    let Some(online) = Online::start().await else { return };
    let mut pool = online.pool();
    pool["region"] = json!("eu-central-1");
    online.tells(&pool).await;
    let by = |calls: Vec<crate::support::aws::Call>| {
        calls.into_iter().map(|call| call.by).collect::<Vec<_>>()
    };
    let own = by(online.aws.calls());
    let is_own =
        |by: &String| by.contains("Credential=testing/") && by.contains("/eu-central-1/ec2/");
    assert!(!own.is_empty() && own.iter().all(is_own), "{own:#?}");
    online.aws.forget_calls();
    pool["assume_role"] = json!("arn:aws:iam::123456789012:role/bellwether");
    online.tells(&pool).await;
    let role = by(online.aws.calls());
    let is_role = |by: &String| by.contains("Credential=ASIA") && by.contains("/eu-central-1/ec2/");
    assert!(!role.is_empty() && role.iter().all(is_role), "{role:#?}");
}
