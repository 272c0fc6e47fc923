//! `TerminateInstances`: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html>.

use super::behind::Told;
use super::scene::Scene;
use super::words::{self, Words};
use super::{Call, Machine, xml};
use std::collections::BTreeSet;

impl Scene {
    /// One that is protected keeps all those of its zone that are named with it; others end, and the call is refused. moto ends
    /// those that are named before it.
    pub(super) async fn terminate_instances(&self, call: &Call) -> Told {
        let _turn = self.turn.lock().await;
        let ids = words::values(&call.words, "InstanceId");
        let guarded = self.guarded.lock().unwrap().clone();
        let Some(kept) = ids.iter().find(|id| guarded.contains(*id)) else {
            return self.send(&call.by, "TerminateInstances", &call.words).await;
        };
        let told = self.moto.ask(&call.by, "DescribeInstances", &call.words).await;
        if !told.is_well() {
            return told;
        }
        let machines = Machine::all(&told.body);
        let closed: BTreeSet<&str> = machines
            .iter()
            .filter(|machine| guarded.contains(&machine.id))
            .map(|machine| machine.zone.as_str())
            .collect();
        let free = machines.iter().filter(|machine| !closed.contains(machine.zone.as_str()));
        let free = words::list("InstanceId", free.map(|machine| &machine.id));
        if !free.is_empty() {
            self.send(&call.by, "TerminateInstances", &free).await;
        }
        let message = format!(
            "The instance '{kept}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again."
        );
        xml::refusal(400, "OperationNotPermitted", &message)
    }

    /// Notes whether a call of `ModifyInstanceAttribute` protects its instance, or does no longer.
    pub(super) fn guard(&self, words: &Words) {
        let Some(guards) = words.get("DisableApiTermination.Value") else { return };
        let (id, mut guarded) = (&words["InstanceId"], self.guarded.lock().unwrap());
        if guards == "true" {
            guarded.insert(id.clone());
        } else {
            guarded.remove(id);
        }
    }
}
