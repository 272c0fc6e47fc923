//! `DescribeInstanceStatus`: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceStatus.html>.

use super::behind::Told;
use super::scene::Scene;
use super::{Call, xml};

/// The checks, each with the element that tells of it.
const CHECKS: [(&str, &str); 2] =
    [("instance-status", "instanceStatus"), ("system-status", "systemStatus")];

impl Scene {
    /// Those that fail the check which the filter names, by a test's word; moto's are all well. In pages.
    pub(super) fn instance_status(&self, call: &Call) -> Told {
        let filter = call.words.get("Filter.1.Name");
        let asked = filter.and_then(|name| name.strip_suffix(".status"));
        let Some((check, element)) = CHECKS.iter().find(|(check, _)| Some(*check) == asked) else {
            let message = "A list of those that are well is not played by tests.";
            return xml::refusal(400, "InvalidParameterValue", message);
        };
        let failed = xml::element(element, &xml::saying("status", "impaired"));
        let impaired = self.impaired.lock().unwrap();
        let ids = impaired.iter().filter(|(_, fails)| fails == check).map(|(id, _)| id);
        let items: Vec<String> = ids.map(|id| xml::saying("instanceId", id) + &failed).collect();
        let size = |asked: &String| asked.parse::<usize>().unwrap();
        let size = call.words.get("MaxResults").map_or(usize::MAX, size);
        let size = size.min(self.lists.lock().unwrap().most);
        let from = call.words.get("NextToken").map_or(0, |token| token.parse::<usize>().unwrap());
        let until = items.len().min(from + size);
        let list = xml::list("instanceStatusSet", &items[from..until]);
        let more = (until < items.len()).then(|| xml::saying("nextToken", &until.to_string()));
        xml::answer("DescribeInstanceStatus", &(list + &more.unwrap_or_default()))
    }
}
