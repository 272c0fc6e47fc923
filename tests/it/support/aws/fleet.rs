//! `CreateFleet` of the type `instant`, of which moto heeds the first override only:
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html>.

mod choice;

use super::behind::Told;
use super::scene::Scene;
use super::shop::Lifecycle;
use super::words::{self, Words};
use super::{Call, xml};
use choice::Choice;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// What is played of a call: how its words begin.
const PLAYED: [&str; 8] = [
    "ClientToken",
    "DryRun",
    "LaunchTemplateConfigs.",
    "OnDemandOptions.AllocationStrategy",
    "SpotOptions.AllocationStrategy",
    "TagSpecification.",
    "TargetCapacitySpecification.",
    "Type",
];

/// What is played of an override.
const OVERRIDDEN: [&str; 4] = ["AvailabilityZone", "InstanceType", "Priority", "SubnetId"];

/// A fleet as it comes about.
struct Fleet<'c> {
    id: String,
    by: &'c str,
    tags: Words,
    instances: Vec<String>,
    errors: Vec<String>,
}

impl<'c> Fleet<'c> {
    fn new(call: &'c Call, number: usize) -> Self {
        let id = format!("fleet-{number:08x}-b377-0b1d-a9b3-{number:012x}");
        let tags = tags(call, &id);
        Self { id, by: &call.by, tags, instances: Vec::new(), errors: Vec::new() }
    }

    /// The call of `RunInstances` for so many of a choice.
    fn launch(&self, choice: &Choice, lifecycle: Lifecycle, count: usize) -> Words {
        let count = count.to_string();
        let mut words = self.tags.clone();
        for name in ["MinCount", "MaxCount"] {
            words.insert(name.to_owned(), count.clone());
        }
        let template = choice.template.iter();
        words.extend(
            template.map(|(name, value)| (format!("LaunchTemplate.{name}"), value.clone())),
        );
        for name in ["InstanceType", "SubnetId"] {
            words.extend(choice.words.get(name).map(|value| (name.to_owned(), value.clone())));
        }
        if let Some(zone) = &choice.zone {
            words.insert("Placement.AvailabilityZone".to_owned(), zone.clone());
        }
        if lifecycle == Lifecycle::Spot {
            words.extend(words::of(&[("InstanceMarketOptions.MarketType", "spot")]));
        }
        words
    }

    fn gets(&mut self, choice: &Choice, lifecycle: Lifecycle, ids: &[String]) {
        let shape = choice.words.get("InstanceType");
        self.instances.push(
            [
                choice.xml(),
                xml::saying("lifecycle", lifecycle.name()),
                xml::list("instanceIds", ids),
                shape.map_or_else(String::new, |shape| xml::saying("instanceType", shape)),
            ]
            .concat(),
        );
    }

    fn lacks(&mut self, choice: &Choice, lifecycle: Lifecycle, (code, message): (&str, &str)) {
        self.errors.push(
            [
                choice.xml(),
                xml::saying("lifecycle", lifecycle.name()),
                xml::saying("errorCode", code),
                xml::saying("errorMessage", message),
            ]
            .concat(),
        );
    }

    fn told(&self) -> Told {
        let id = xml::saying("fleetId", &self.id);
        let instances = xml::list("fleetInstanceSet", &self.instances);
        let errors = xml::list("errorSet", &self.errors);
        xml::answer("CreateFleet", &[id, instances, errors].concat())
    }
}

impl Scene {
    pub(super) async fn create_fleet(&self, call: &Call) -> Told {
        let _turn = self.turn.lock().await;
        let before = self.tokens.lock().unwrap().told(call, None);
        if let Some(before) = before {
            return before;
        }
        let told = self.fleet(call).await.unwrap_or_else(|refusal| refusal);
        self.tokens.lock().unwrap().keep(call, None, &told);
        told
    }

    /// What nobody has is told of, and the fleet stays short of it.
    async fn fleet(&self, call: &Call) -> Result<Told, Told> {
        is_played(&call.words, &PLAYED)?;
        if call.words.get("Type").is_none_or(|kind| kind != "instant") {
            let message = "A fleet of another type is not played by tests";
            return Err(xml::refusal(400, "InvalidParameter", message));
        }
        let mut choices = self.choices(call).await?;
        let (on_demand, spot) = target(&call.words)?;
        let mut fleet = Fleet::new(call, self.fleets.fetch_add(1, Ordering::SeqCst));
        self.spread(&mut fleet, &choices, spot).await?;
        let strategy = call.words.get("OnDemandOptions.AllocationStrategy");
        if strategy.is_some_and(|strategy| strategy == "prioritized") {
            choices.sort_by(|one, other| one.priority().total_cmp(&other.priority()));
        }
        let mut left = on_demand;
        for choice in &choices {
            left -= self.launch(&mut fleet, choice, Lifecycle::OnDemand, left).await?;
        }
        Ok(fleet.told())
    }

    /// The overrides, in order. Two of one shape in one zone are refused, whatever their subnets are; seen at AWS:
    /// <https://github.com/github-aws-runners/terraform-aws-github-runner/issues/5297>.
    async fn choices(&self, call: &Call) -> Result<Vec<Choice>, Told> {
        let (mut choices, mut pools) = (Vec::new(), BTreeSet::new());
        for config in words::items(&call.words, "LaunchTemplateConfigs") {
            let template = words::under(&config, "LaunchTemplateSpecification");
            if !template.contains_key("Version") {
                return Err(xml::refusal(400, "MissingParameter", "a template's Version"));
            }
            for words in words::items(&config, "Overrides") {
                is_played(&words, &OVERRIDDEN)?;
                let zone = self.zone(&call.by, &words).await;
                let choice = Choice { template: template.clone(), words, zone };
                let is_new = pools.insert(choice.ware(Lifecycle::Spot));
                if choice.zone.is_some() && !is_new {
                    let message = "The fleet configuration contains duplicate instance pools.";
                    return Err(xml::refusal(400, "InvalidFleetConfig", message));
                }
                choices.push(choice);
            }
        }
        Ok(choices)
    }

    /// Launches spot instances, evenly from those who have them.
    async fn spread(
        &self,
        fleet: &mut Fleet<'_>,
        choices: &[Choice],
        wanted: usize,
    ) -> Result<(), Told> {
        let (mut left, mut open) = (wanted, choices.iter().collect::<Vec<_>>());
        while left > 0 && !open.is_empty() {
            let mut still = Vec::new();
            for (choice, others) in open.iter().zip((1..=open.len()).rev()) {
                let share = left.div_ceil(others);
                let count = self.launch(fleet, choice, Lifecycle::Spot, share).await?;
                left -= count;
                if count == share {
                    still.push(*choice);
                }
            }
            open = still;
        }
        Ok(())
    }

    /// Launches so many of a choice, as far as they can be had; how many that were.
    async fn launch(
        &self,
        fleet: &mut Fleet<'_>,
        choice: &Choice,
        lifecycle: Lifecycle,
        wanted: usize,
    ) -> Result<usize, Told> {
        let ware = choice.ware(lifecycle);
        let (offered, code) = self.shop.lock().unwrap().offers(&ware, wanted);
        if offered < wanted {
            fleet.lacks(choice, lifecycle, (code, &format!("There is no {ware}.")));
        }
        if offered == 0 {
            return Ok(0);
        }
        let told =
            self.send(fleet.by, "RunInstances", &fleet.launch(choice, lifecycle, offered)).await;
        if told.is_well() {
            self.shop.lock().unwrap().sold(&ware, offered);
            fleet.gets(choice, lifecycle, &xml::launched(&told.body));
            return Ok(offered);
        }
        let (code, message) = (xml::said(&told.body, "Code"), xml::said(&told.body, "Message"));
        // What is wrong with the template is wrong with the call.
        if code.starts_with("InvalidLaunchTemplate") {
            return Err(told);
        }
        fleet.lacks(choice, lifecycle, (&code, &message));
        Ok(0)
    }
}

/// That all of it is played here: what is not would change what AWS does, and no test may rely on that it does not.
fn is_played(words: &Words, played: &[&str]) -> Result<(), Told> {
    let is_known = |word: &str| played.iter().any(|known| word.starts_with(*known));
    let mut unknown = words.keys().filter(|word| !is_known(word));
    let Some(word) = unknown.next() else { return Ok(()) };
    let message = format!("{word} is not played by tests");
    Err(xml::refusal(400, "InvalidParameter", &message))
}

/// How many are asked for, on demand and as spot.
fn target(words: &Words) -> Result<(usize, usize), Told> {
    let target = words::under(words, "TargetCapacitySpecification");
    let count = |name: &str| target.get(name).map_or(0, |count| count.parse::<usize>().unwrap());
    let (on_demand, spot) = (count("OnDemandTargetCapacity"), count("SpotTargetCapacity"));
    let Some(rest) = count("TotalTargetCapacity").checked_sub(on_demand + spot) else {
        let message = "The total is less than its parts.";
        return Err(xml::refusal(400, "InvalidParameterValue", message));
    };
    let is_spot = target.get("DefaultTargetCapacityType").is_some_and(|kind| kind == "spot");
    Ok(if is_spot { (on_demand, spot + rest) } else { (on_demand + rest, spot) })
}

/// The tags of a fleet's instances and volumes: those that the call says, and AWS's own.
fn tags(call: &Call, fleet: &str) -> Words {
    let mut all = words::items(&call.words, "TagSpecification");
    all.retain(|tags| tags["ResourceType"] != "fleet");
    all.push(words::of(&[
        ("ResourceType", "instance"),
        ("Tag.1.Key", "aws:ec2:fleet-id"),
        ("Tag.1.Value", fleet),
    ]));
    let numbered = |(number, tags): (usize, Words)| {
        let tags = tags.into_iter();
        tags.map(move |(name, value)| (format!("TagSpecification.{number}.{name}"), value))
    };
    (1..).zip(all).flat_map(numbered).collect()
}
