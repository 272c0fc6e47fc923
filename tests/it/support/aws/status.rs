//! `DescribeInstanceStatus`: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceStatus.html>.

use super::behind::Told;
use super::scene::Scene;
use super::{Call, xml};

/// The filter for instances that fail the check of their system.
const SYSTEM: &str = "system-status.status";

impl Scene {
    /// Those whose system is impaired, by a test's word; moto's are all well.
    pub(super) fn instance_status(&self, call: &Call) -> Told {
        let asks = call.words.get("Filter.1.Name").is_some_and(|name| name == SYSTEM);
        let failed = xml::element("systemStatus", &xml::saying("status", "impaired"));
        let impaired = self.impaired.lock().unwrap();
        let items = impaired.iter().filter(|_| asks);
        let items: Vec<String> = items.map(|id| xml::saying("instanceId", id) + &failed).collect();
        xml::answer("DescribeInstanceStatus", &xml::list("instanceStatusSet", &items))
    }
}
