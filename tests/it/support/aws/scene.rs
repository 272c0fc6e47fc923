//! What is remembered of a test, and how a call is answered by it.

use super::behind::{Asked, Moto, Told, VERSION, signed};
use super::fault::{Fault, Faults};
use super::lent::Lent;
use super::pages::Lists;
use super::shop::Shop;
use super::tokens::Tokens;
use super::words::{self, Words};
use super::{Call, xml};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

pub(super) struct Scene {
    pub(super) moto: Moto,
    pub(super) calls: Mutex<Vec<Call>>,
    pub(super) faults: Mutex<Faults>,
    pub(super) shop: Mutex<Shop>,
    pub(super) tokens: Mutex<Tokens>,
    pub(super) lists: Mutex<Lists>,
    /// Instances in the order of their launches.
    pub(super) launched: Mutex<Vec<String>>,
    /// Instances that are protected from termination.
    pub(super) guarded: Mutex<BTreeSet<String>>,
    /// Instances that fail a check, and which.
    pub(super) impaired: Mutex<BTreeSet<(String, &'static str)>>,
    /// Keys that STS lent, in order.
    pub(super) lent: Mutex<Vec<Lent>>,
    /// How much AWS's clock is ahead of ours.
    pub(super) ahead: Mutex<Duration>,
    /// How many fleets there were.
    pub(super) fleets: AtomicUsize,
    /// Held by an act: of two at once, each would count what the other takes.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// The zones of subnets.
    zones: Mutex<BTreeMap<String, String>>,
}

impl Call {
    /// The call of EC2 that a request is; `None` of another service's.
    fn of(asked: &Asked) -> Option<Self> {
        let mut words = words::read(&asked.body);
        let is_ours = words.remove("Version").is_some_and(|version| version == VERSION);
        let action = words.remove("Action").filter(|_| is_ours)?;
        let header = |name: &str| Some(asked.headers.get(name)?.to_str().ok()?.to_owned());
        let by = header("authorization").unwrap_or_else(|| signed("ec2"));
        let token = header("x-amz-security-token");
        Some(Self { action, at: Instant::now(), words, by, token })
    }

    /// Whether it only asks what would be.
    pub(crate) fn is_dry(&self) -> bool {
        self.words.get("DryRun").is_some_and(|dry| dry == "true")
    }
}

impl Scene {
    pub(super) fn new(moto: &str) -> Self {
        Self {
            moto: Moto::new(moto),
            calls: Mutex::default(),
            faults: Mutex::default(),
            shop: Mutex::default(),
            tokens: Mutex::default(),
            lists: Mutex::default(),
            launched: Mutex::default(),
            guarded: Mutex::default(),
            impaired: Mutex::default(),
            lent: Mutex::default(),
            ahead: Mutex::default(),
            fleets: AtomicUsize::new(0),
            turn: tokio::sync::Mutex::default(),
            zones: Mutex::default(),
        }
    }

    /// `None` is no answer: the connection is cut.
    pub(super) async fn answer(&self, asked: Asked) -> Option<Told> {
        let Some(call) = Call::of(&asked) else { return Some(self.pass(asked).await) };
        self.calls.lock().unwrap().push(call.clone());
        if let Some(refusal) = self.untimely(&asked) {
            return Some(refusal);
        }
        let fault = self.faults.lock().unwrap().befalling(&call);
        match &fault {
            Some(Fault::CutBefore) => return None,
            Some(Fault::Refused { status, code }) => {
                return Some(xml::refusal(*status, code, "Refused by a test."));
            }
            _ => {}
        }
        let told = self.play(&call, fault.as_ref()).await;
        match fault {
            Some(Fault::CutAfter) => return None,
            Some(Fault::Late(after)) => tokio::time::sleep(after).await,
            _ => {}
        }
        Some(told)
    }

    /// A call of another service.
    async fn pass(&self, asked: Asked) -> Told {
        let words = words::read(&asked.body);
        let told = self.moto.pass(asked).await;
        self.lent.lock().unwrap().extend(Lent::of(words, &told));
        told
    }

    async fn play(&self, call: &Call, fault: Option<&Fault>) -> Told {
        if call.is_dry() {
            return self.try_out(call).await;
        }
        match call.action.as_str() {
            "CreateFleet" => self.create_fleet(call).await,
            "DescribeInstanceStatus" => self.instance_status(call),
            "DescribeInstances" => self.describe_instances(call, fault).await,
            "RunInstances" => self.run_instances(call).await,
            "TerminateInstances" => self.terminate_instances(call).await,
            action => self.send(&call.by, action, &call.words).await,
        }
    }

    /// A dry run. moto knows none of some actions, and answers.
    async fn try_out(&self, call: &Call) -> Told {
        if call.action != "CreateFleet" {
            let told = self.moto.ask(&call.by, &call.action, &call.words).await;
            if !told.is_well() {
                return told;
            }
        }
        let message = "Request would have succeeded, but DryRun flag is set.";
        xml::refusal(412, "DryRunOperation", message)
    }

    /// Has moto do it, and notes what becomes of it.
    pub(super) async fn send(&self, by: &str, action: &str, words: &Words) -> Told {
        let told = self.moto.ask(by, action, words).await;
        match action {
            "RunInstances" if told.is_well() => {
                self.launched.lock().unwrap().extend(xml::launched(&told.body));
            }
            "ModifyInstanceAttribute" if told.is_well() => self.guard(words),
            _ => {}
        }
        told
    }

    /// Where a launch is to be, as far as it says that.
    pub(super) async fn zone(&self, by: &str, words: &Words) -> Option<String> {
        let named = ["Placement.AvailabilityZone", "AvailabilityZone"];
        if let Some(zone) = named.into_iter().find_map(|name| words.get(name)) {
            return Some(zone.clone());
        }
        let named = ["SubnetId", "NetworkInterface.1.SubnetId"];
        let subnet = named.into_iter().find_map(|name| words.get(name))?;
        let known = self.zones.lock().unwrap().get(subnet).cloned();
        if known.is_some() {
            return known;
        }
        let asked = words::of(&[("SubnetId.1", subnet.as_str())]);
        let told = self.moto.ask(by, "DescribeSubnets", &asked).await;
        let zone = xml::inside(&told.body, "availabilityZone")?.to_owned();
        self.zones.lock().unwrap().insert(subnet.clone(), zone.clone());
        Some(zone)
    }
}
