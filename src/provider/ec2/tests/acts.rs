//! What buys machines and ends them.

use super::*;

/// The look for machines of the batch, which comes before each launch.
const LOOK: &str = "Action=DescribeInstances
    Filter.1.Name=tag:bellwether:cluster
    Filter.1.Value.1=default
    Filter.2.Name=tag:bellwether:pool
    Filter.2.Value.1=workers
    Filter.3.Name=tag:bellwether:cluster-uid
    Filter.3.Value.1=uid-1
    Filter.4.Name=tag:bellwether:batch
    Filter.4.Value.1=workers-1
    MaxResults=1000";

/// The tags of whatever a launch makes.
fn tags() -> String {
    let tags = [
        ("bellwether:cluster", "default"),
        ("bellwether:cluster-uid", "uid-1"),
        ("bellwether:pool", "workers"),
        ("bellwether:batch", "workers-1"),
        ("bellwether:version", env!("CARGO_PKG_VERSION")),
        ("Name", "workers-1"),
        ("bellwether:node-labels", "tier=web"),
        ("bellwether:node-taints", "team=web:NoSchedule"),
        ("team", "shop"),
    ];
    let of = |(at, kind): (usize, &str)| {
        let at = format!("TagSpecification.{at}");
        let tags = (1..).zip(tags).map(|(number, (key, value))| {
            format!("{at}.Tag.{number}.Key={key}\n{at}.Tag.{number}.Value={value}\n")
        });
        format!("{at}.ResourceType={kind}\n{}", tags.collect::<String>())
    };
    (1..).zip(["instance", "volume"]).map(of).collect()
}

fn group(shape: &str, subnet: &str, lifecycle: &str, rest: &str) -> String {
    format!(
        "<item><launchTemplateAndOverrides><launchTemplateSpecification>
         <launchTemplateId>lt-0a1b2c3d4e5f60718</launchTemplateId><version>1</version></launchTemplateSpecification>
         <overrides><instanceType>{shape}</instanceType><subnetId>{subnet}</subnetId></overrides>
         </launchTemplateAndOverrides><lifecycle>{lifecycle}</lifecycle>{rest}</item>"
    )
}

fn fleet(errors: &str, instances: &str) -> HttpResponse {
    let told = format!(
        "<fleetId>fleet-0</fleetId><errorSet>{errors}</errorSet>
         <fleetInstanceSet>{instances}</fleetInstanceSet>"
    );
    well("CreateFleet", &told)
}

fn had(shape: &str, subnet: &str, lifecycle: &str, ids: &[&str]) -> String {
    let item = |id: &&str| format!("<item>{id}</item>");
    let ids: String = ids.iter().map(item).collect();
    let rest = format!("<instanceIds>{ids}</instanceIds><instanceType>{shape}</instanceType>");
    group(shape, subnet, lifecycle, &rest)
}

fn without(shape: &str, subnet: &str, lifecycle: &str, code: &str) -> String {
    let rest = format!("<errorCode>{code}</errorCode><errorMessage>why</errorMessage>");
    group(shape, subnet, lifecycle, &rest)
}

#[tokio::test(start_paused = true)]
async fn a_fleet_is_asked_for_to_the_letter_and_what_did_not_come_in_other_zones() {
    const SHAPES: [&str; 2] = ["t3.small", "t3a.small"];
    let came = had("t3.small", "subnet-0a", "spot", &["i-1"])
        + &had("t3.small", "subnet-0a", "on-demand", &["i-2"]);
    let short: String = SHAPES
        .map(|shape| without(shape, "subnet-0a", "spot", "InsufficientInstanceCapacity"))
        .concat();
    let rest = had("t3a.small", "subnet-0b", "spot", &["i-3"]);
    let answers = vec![page(&[], None), fleet(&short, &came), fleet("", &rest)];
    let aws = Replay::of("fleet", template(), answers).await;
    let wanted = request(&SHAPES, &[Market::Spot, Market::OnDemand, Market::Spot]);
    let launched = aws.ec2.launch(&wanted).await.unwrap();
    assert_eq!(ids(&launched), ["i-1", "i-2", "i-3"]);
    let last = &launched.instances[2].2;
    assert_eq!(*last, offering("t3a.small", "eu-central-1b", Market::Spot));
    let asked = |round: usize, (spot, on_demand): (usize, usize), subnet: &str| {
        format!(
            "Action=CreateFleet
            ClientToken=0123456789abcdef.{round}.0
            Type=instant
            LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName=k3s-worker
            LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version=$Default
            LaunchTemplateConfigs.1.Overrides.1.InstanceType=t3.small
            LaunchTemplateConfigs.1.Overrides.1.SubnetId={subnet}
            LaunchTemplateConfigs.1.Overrides.1.Priority=0.0
            LaunchTemplateConfigs.1.Overrides.2.InstanceType=t3a.small
            LaunchTemplateConfigs.1.Overrides.2.SubnetId={subnet}
            LaunchTemplateConfigs.1.Overrides.2.Priority=1.0
            OnDemandOptions.AllocationStrategy=prioritized
            SpotOptions.AllocationStrategy=price-capacity-optimized
            TargetCapacitySpecification.TotalTargetCapacity={total}
            TargetCapacitySpecification.SpotTargetCapacity={spot}
            TargetCapacitySpecification.OnDemandTargetCapacity={on_demand}
            TargetCapacitySpecification.DefaultTargetCapacityType=on-demand
            {tags}",
            total = spot + on_demand,
            tags = tags(),
        )
    };
    let fleets = [asked(0, (2, 1), "subnet-0a"), asked(1, (1, 0), "subnet-0b")];
    assert_eq!(aws.sent(), [form(LOOK), form(&fleets[0]), form(&fleets[1])]);
}

/// By its id where it is one; in the second round in every place at once.
#[tokio::test(start_paused = true)]
async fn what_is_left_to_buy_is_asked_for_in_every_place_that_is_left() {
    let source = Source::Template { template: "lt-0a1b".to_owned(), version: "7".to_owned() };
    let out = without("t3.small", "subnet-0a", "spot", "MaxSpotInstanceCountExceeded");
    let rest = had("t3.small", "subnet-0b", "on-demand", &["i-1"]);
    let answers = vec![page(&[], None), fleet(&out, ""), fleet("", &rest)];
    let aws = Replay::of("places", source, answers).await;
    let launched = aws.ec2.launch(&request(&["t3.small", "t3a.small"], &[Market::Spot])).await;
    assert_eq!(ids(&launched.unwrap()), ["i-1"]);
    let last = aws.sent().pop().unwrap();
    let said = |start: &str| -> Vec<&str> {
        last.iter().filter_map(|word| word.strip_prefix(start)).collect()
    };
    assert_eq!(
        said("LaunchTemplateConfigs.1."),
        [
            "LaunchTemplateSpecification.LaunchTemplateId=lt-0a1b",
            "LaunchTemplateSpecification.Version=7",
            "Overrides.1.InstanceType=t3.small",
            "Overrides.1.Priority=0.0",
            "Overrides.1.SubnetId=subnet-0a",
            "Overrides.2.InstanceType=t3a.small",
            "Overrides.2.Priority=1.0",
            "Overrides.2.SubnetId=subnet-0a",
            "Overrides.3.InstanceType=t3.small",
            "Overrides.3.Priority=2.0",
            "Overrides.3.SubnetId=subnet-0b",
            "Overrides.4.InstanceType=t3a.small",
            "Overrides.4.Priority=3.0",
            "Overrides.4.SubnetId=subnet-0b",
        ]
    );
    let target = [
        "DefaultTargetCapacityType=on-demand",
        "OnDemandTargetCapacity=1",
        "SpotTargetCapacity=0",
        "TotalTargetCapacity=1",
    ];
    assert_eq!(said("TargetCapacitySpecification."), target);
}

#[tokio::test(start_paused = true)]
async fn a_plain_launch_is_asked_for_to_the_letter() {
    let answers = vec![page(&[], None), ran(&["i-1", "i-2"]), ran(&["i-3"])];
    let aws = Replay::of("run", image(), answers).await;
    let wanted = request(&["t3.small"], &[Market::Spot, Market::OnDemand, Market::Spot]);
    let launched = aws.ec2.launch(&wanted).await.unwrap();
    assert_eq!(ids(&launched), ["i-1", "i-2", "i-3"]);
    let asked = |letter: &str, count: usize, market: &str| {
        format!(
            "Action=RunInstances
            ClientToken=0123456789abcdef.0.0{letter}
            ImageId=ami-0b0ea68c435eb488d
            InstanceType=t3.small
            SubnetId=subnet-0a
            MinCount=1
            MaxCount={count}
            {market}
            SecurityGroupId.1=sg-0f1e2d3c4b5a69788
            IamInstanceProfile.Name=k3s-worker
            UserData=IyEvYmluL3NoCmVjaG8gaGVsbG8K
            MetadataOptions.HttpTokens=required
            MetadataOptions.HttpPutResponseHopLimit=1
            MetadataOptions.InstanceMetadataTags=enabled
            {tags}",
            tags = tags(),
        )
    };
    let spot = asked("a", 2, "InstanceMarketOptions.MarketType=spot");
    let on_demand = asked("b", 1, "");
    assert_eq!(aws.sent(), [form(LOOK), form(&spot), form(&on_demand)]);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_asked_for_to_the_letter_once_it_is_known_whose_the_machine_is() {
    let gone = "<instancesSet><item><instanceId>i-1</instanceId>
        <currentState><code>32</code><name>shutting-down</name></currentState>
        <previousState><code>16</code><name>running</name></previousState></item></instancesSet>";
    let answers = vec![page(&["i-1"], None), well("TerminateInstances", gone), page(&[], None)];
    let aws = Replay::of("end", template(), answers).await;
    let (uid, pool) = ("uid-1".into(), "workers".into());
    aws.ec2.terminate(&uid, &pool, &"i-1".into()).await.unwrap();
    aws.ec2.terminate(&uid, &pool, &"i-2".into()).await.unwrap();
    let look = |id: &str| {
        form(&format!(
            "Action=DescribeInstances
            Filter.1.Name=tag:bellwether:cluster
            Filter.1.Value.1=default
            Filter.2.Name=tag:bellwether:pool
            Filter.2.Value.1=workers
            Filter.3.Name=tag:bellwether:cluster-uid
            Filter.3.Value.1=uid-1
            Filter.4.Name=instance-id
            Filter.4.Value.1={id}
            MaxResults=1000"
        ))
    };
    let end = form("Action=TerminateInstances\nInstanceId.1=i-1");
    assert_eq!(aws.sent(), [look("i-1"), end, look("i-2")], "none of ours is not ended");
}
