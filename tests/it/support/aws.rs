//! AWS as its documents tell of it: moto, and before it what moto does not play of EC2. Calls of other services go to moto as
//! they are. Whoever asks may do everything that no fault refuses.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/>

mod behind;
mod clock;
mod door;
mod ends;
mod fault;
mod fleet;
mod launch;
mod lent;
mod pages;
mod scene;
mod shop;
mod status;
mod tokens;
mod words;
mod xml;

pub(crate) use fault::Fault;
pub(crate) use shop::Lifecycle;

use super::moto;
use super::server::Server;
use lent::Lent;
use scene::Scene;
use serde_json::json;
use shop::{SOLD_OUT, Ware};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;
use words::Words;

/// The zones of a yard.
const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

/// One of the images that moto knows from the start: Linux, for x86.
const IMAGE: &str = "amzn2-ami-hvm-2.0.20180810-x86_64-gp2";

/// A running one; it ends when dropped.
pub(crate) struct Aws {
    url: String,
    scene: Arc<Scene>,
    door: AbortHandle,
    moto: Server,
}

/// A call of EC2 as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) action: String,
    pub(crate) at: Instant,
    /// As the query protocol names them: `Filter.1.Name`.
    pub(crate) words: Words,
    /// Whose it is: its signature.
    pub(crate) by: String,
    /// That of its keys, where they were lent.
    pub(crate) token: Option<String>,
}

/// What a pool needs of an account.
#[derive(Clone, Debug)]
pub(crate) struct Yard {
    /// The name of a launch template.
    pub(crate) template: String,
    pub(crate) image: String,
    /// The default one of the account's own VPC.
    pub(crate) security_group: String,
    /// Ids and zones, in the order of the zones.
    pub(crate) subnets: Vec<(String, String)>,
}

/// An instance as moto lists it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) shape: String,
    pub(crate) zone: String,
    pub(crate) spot: bool,
    pub(crate) state: String,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.door.abort();
    }
}

impl Aws {
    /// `None` after a printed skip where moto is missing.
    pub(crate) async fn start() -> Option<Self> {
        let moto = moto::start().await?;
        let scene = Arc::new(Scene::new(&moto.url));
        let (url, door) = door::open(scene.clone()).await;
        Some(Self { url, scene, door, moto })
    }

    /// Where every service of AWS is, for who tests.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Every call of EC2 that came in, in order: those that were refused or cut off too, and dry runs.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.scene.calls.lock().unwrap().clone()
    }

    pub(crate) fn forget_calls(&self) {
        self.scene.calls.lock().unwrap().clear();
    }

    /// None of these can be had from now on, and this code says why.
    pub(crate) fn sells_nothing(
        &self,
        shape: &str,
        zone: &str,
        lifecycle: Lifecycle,
        code: &'static str,
    ) {
        self.scene.shop.lock().unwrap().has_left(Ware::new(shape, zone, lifecycle), 0, code);
    }

    /// None of this market can be had anywhere from now on, and this code says why.
    pub(crate) fn is_out_of(&self, shapes: &[&str], lifecycle: Lifecycle, code: &'static str) {
        for zone in ZONES {
            for shape in shapes {
                self.sells_nothing(shape, zone, lifecycle, code);
            }
        }
    }

    /// So many more of these can be had, and then none.
    pub(crate) fn sells_at_most(
        &self,
        shape: &str,
        zone: &str,
        lifecycle: Lifecycle,
        count: usize,
    ) {
        let ware = Ware::new(shape, zone, lifecycle);
        self.scene.shop.lock().unwrap().has_left(ware, count, SOLD_OUT);
    }

    /// Everything can be had again.
    pub(crate) fn sells_all(&self) {
        self.scene.shop.lock().unwrap().has_all();
    }

    /// AWS's clock is so much ahead of ours from now on. What is signed for another time than its own is refused.
    pub(crate) fn clock_is_off(&self, ahead: Duration) {
        *self.scene.ahead.lock().unwrap() = ahead;
    }

    /// Keys that STS lent so far, in order.
    pub(crate) fn lent(&self) -> Vec<Lent> {
        self.scene.lent.lock().unwrap().clone()
    }

    /// This check of AWS's fails for an instance: `instance-status`, or `system-status` for what it runs on.
    pub(crate) fn impairs(&self, id: &str, check: &'static str) {
        self.scene.impaired.lock().unwrap().insert((id.to_owned(), check));
    }

    /// What befalls the next call of this action, behind what was said so before.
    pub(crate) fn next(&self, action: &'static str, fault: Fault) {
        self.scene.faults.lock().unwrap().next(action, fault);
    }

    /// The same, of calls that are no dry runs.
    pub(crate) fn next_act(&self, action: &'static str, fault: Fault) {
        self.scene.faults.lock().unwrap().next_act(action, fault);
    }

    /// What befalls the first call of this round of a launch; the first round is 0.
    pub(crate) fn in_round(&self, round: usize, fault: Fault) {
        self.scene.faults.lock().unwrap().in_round(round, fault);
    }

    /// What befalls each call of this action that nothing else befalls; `None` is nothing again.
    pub(crate) fn always(&self, action: &'static str, fault: Option<Fault>) {
        self.scene.faults.lock().unwrap().always(action, fault);
    }

    /// The next so many lists hold no instance that is launched from now on.
    pub(crate) fn hides_new(&self, lists: usize) {
        let launched = self.scene.launched.lock().unwrap().len();
        self.scene.lists.lock().unwrap().hide(lists, launched);
    }

    /// Pages hold at most so many instances, whatever is asked for.
    pub(crate) fn pages_of(&self, instances: usize) {
        self.scene.lists.lock().unwrap().most = instances;
    }

    /// What somebody else asks: no fault befalls it, and it is no call of ours.
    pub(crate) async fn ask(&self, action: &str, words: &[(&str, &str)]) -> String {
        let told = self.scene.send(&behind::signed("ec2"), action, &words::of(words)).await;
        assert!(told.is_well(), "{action}: {}", told.body);
        told.body
    }

    /// A machine that somebody else launches, with these tags of ours; its id.
    pub(crate) async fn tagged(&self, image: &str, tags: &[(&str, &str)]) -> String {
        let tag = |(number, (key, value)): (usize, &(&str, &str))| {
            let tag = format!("TagSpecification.1.Tag.{}", number + 1);
            let key = (format!("{tag}.Key"), format!("bellwether:{key}"));
            [key, (format!("{tag}.Value"), (*value).to_owned())]
        };
        let tags: Vec<(String, String)> = tags.iter().enumerate().flat_map(tag).collect();
        let own = [
            ("ImageId", image),
            ("InstanceType", "t3.small"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("TagSpecification.1.ResourceType", "instance"),
        ];
        let tags = tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let words: Vec<(&str, &str)> = own.into_iter().chain(tags).collect();
        xml::said(&self.ask("RunInstances", &words).await, "instanceId")
    }

    /// All instances, those that were terminated too.
    pub(crate) async fn machines(&self) -> Vec<Machine> {
        Machine::all(&self.ask("DescribeInstances", &[("MaxResults", pages::ALL)]).await)
    }

    /// Makes, once, what a pool needs: a launch template, an instance profile of the same name, and the parameters that its user
    /// data reads. The subnets are those of the account's own VPC.
    pub(crate) async fn yard(&self) -> Yard {
        let named = [("Filter.1.Name", "name"), ("Filter.1.Value.1", IMAGE)];
        let image = xml::said(&self.ask("DescribeImages", &named).await, "imageId");
        let template = [
            ("LaunchTemplateName", "k3s-worker"),
            ("LaunchTemplateData.ImageId", image.as_str()),
            ("LaunchTemplateData.InstanceType", "t3.small"),
            ("LaunchTemplateData.UserData", "IyEvYmluL3NoCg=="),
        ];
        self.ask("CreateLaunchTemplate", &template).await;
        let profile = words::of(&[("InstanceProfileName", "k3s-worker")]);
        let told = self.scene.moto.iam("CreateInstanceProfile", &profile).await;
        assert!(told.is_well(), "{}", told.body);
        self.put_parameter("/k3s/join-token", "hunter2", "SecureString").await;
        self.put_parameter("/k3s/master-ip", "192.0.2.1", "String").await;
        let named = [("Filter.1.Name", "group-name"), ("Filter.1.Value.1", "default")];
        let security_group =
            xml::said(&self.ask("DescribeSecurityGroups", &named).await, "groupId");
        let subnets = self.subnets().await;
        Yard { template: "k3s-worker".to_owned(), image, security_group, subnets }
    }

    async fn subnets(&self) -> Vec<(String, String)> {
        let [a, b, c] = ZONES;
        let there = [
            ("Filter.1.Name", "availability-zone"),
            ("Filter.1.Value.1", a),
            ("Filter.1.Value.2", b),
            ("Filter.1.Value.3", c),
        ];
        let told = self.ask("DescribeSubnets", &there).await;
        let subnets = xml::items(&told, "subnetSet").into_iter();
        let by_zone: BTreeMap<String, String> = subnets
            .map(|subnet| (xml::said(subnet, "availabilityZone"), xml::said(subnet, "subnetId")))
            .collect();
        by_zone.into_iter().map(|(zone, id)| (id, zone)).collect()
    }

    /// Where moto is, without anything before it.
    pub(crate) fn moto_url(&self) -> &str {
        &self.moto.url
    }

    /// Makes a user who may do what this policy says; the id and the secret of a key.
    pub(crate) async fn user(&self, name: &str, policy: &str) -> (String, String) {
        let named = ("UserName", name);
        let words = [named, ("PolicyName", "all"), ("PolicyDocument", policy)];
        let mut keys = None;
        for (action, words) in [
            ("CreateUser", &words[..1]),
            ("PutUserPolicy", &words[..]),
            ("CreateAccessKey", &words[..1]),
        ] {
            let told = self.scene.moto.iam(action, &words::of(words)).await;
            assert!(told.is_well(), "{action}: {}", told.body);
            keys = Some(told.body);
        }
        let keys = keys.unwrap();
        (xml::said(&keys, "AccessKeyId"), xml::said(&keys, "SecretAccessKey"))
    }

    /// From now on only who may is answered, by moto itself.
    pub(crate) async fn judges(&self) {
        let url = format!("{}/moto-api/reset-auth", self.moto_url());
        let told = reqwest::Client::new().post(url).header("content-type", "text/plain").body("0");
        assert!(told.send().await.unwrap().status().is_success());
    }

    async fn put_parameter(&self, name: &str, value: &str, kind: &str) {
        let parameter = json!({ "Name": name, "Value": value, "Type": kind });
        let told = self.scene.moto.json("ssm", "AmazonSSM.PutParameter", &parameter).await;
        assert!(told.is_well(), "{name}: {}", told.body);
    }
}

impl Machine {
    /// All that an answer to `DescribeInstances` tells of.
    fn all(told: &str) -> Vec<Self> {
        let launches = xml::items(told, "reservationSet").into_iter();
        launches.flat_map(|launch| xml::items(launch, "instancesSet")).map(Self::read).collect()
    }

    fn read(text: &str) -> Self {
        let tags = xml::items(text, "tagSet").into_iter();
        Self {
            id: xml::said(text, "instanceId"),
            shape: xml::said(text, "instanceType"),
            zone: xml::said(text, "availabilityZone"),
            spot: xml::said(text, "instanceLifecycle") == "spot",
            state: xml::said(xml::inside(text, "instanceState").unwrap(), "name"),
            tags: tags.map(|tag| (xml::said(tag, "key"), xml::said(tag, "value"))).collect(),
        }
    }
}
