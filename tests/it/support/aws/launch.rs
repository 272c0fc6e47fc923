//! `RunInstances`: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html>.

use super::behind::Told;
use super::scene::Scene;
use super::shop::{self, Ware};
use super::{Call, Machine, words, xml};

impl Scene {
    /// As many as can be had, unless that is fewer than the least that are asked for. A token holds in the zone that the call
    /// names, or in the region.
    pub(super) async fn run_instances(&self, call: &Call) -> Told {
        let _turn = self.turn.lock().await;
        let zone = self.zone(&call.by, &call.words).await;
        let before = self.tokens.lock().unwrap().told(call, zone.as_deref());
        if let Some(before) = before {
            return self.again(call, before).await;
        }
        let told = self.run(call, zone.as_deref()).await;
        self.tokens.lock().unwrap().keep(call, zone.as_deref(), &told);
        told
    }

    async fn run(&self, call: &Call, zone: Option<&str>) -> Told {
        let ware = Ware::of(&call.words, zone);
        let count = |name: &str| call.words[name].parse::<usize>().unwrap();
        let (offered, code) = self.shop.lock().unwrap().offers(&ware, count("MaxCount"));
        if offered < count("MinCount") {
            return shop::refusal(code, &ware);
        }
        let mut words = call.words.clone();
        // moto launches the least, whatever the most is.
        for name in ["MinCount", "MaxCount"] {
            words.insert(name.to_owned(), offered.to_string());
        }
        let told = self.send(&call.by, "RunInstances", &words).await;
        if told.is_well() {
            self.shop.lock().unwrap().sold(&ware, offered);
        }
        told
    }

    /// What was told of a launch is told again, as long as any of it is there.
    async fn again(&self, call: &Call, before: Told) -> Told {
        if !before.is_well() {
            return before;
        }
        let asked = words::list("InstanceId", &xml::launched(&before.body));
        let now = self.moto.ask(&call.by, "DescribeInstances", &asked).await;
        if Machine::all(&now.body).iter().any(|machine| machine.state != "terminated") {
            return before;
        }
        let message = "The client token is that of instances that were terminated.";
        xml::refusal(400, "IdempotentInstanceTerminated", message)
    }
}
