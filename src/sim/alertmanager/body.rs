//! The webhook's body, version 4.

use super::group::{Group, Item};
use super::labels;
use serde_json::{Value, json};

/// The end of an alert that fires: Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What stands around the alerts.
pub(super) struct Envelope<'a> {
    pub(super) receiver: &'a str,
    pub(super) group: &'a Group,
    pub(super) external_url: &'a str,
    /// More alerts than this are left out, before the status is computed; zero is no limit.
    pub(super) max_alerts: usize,
}

/// Writes a body about these alerts.
pub(super) fn write(envelope: &Envelope<'_>, items: &[&Item]) -> Value {
    let limit = if envelope.max_alerts == 0 { items.len() } else { envelope.max_alerts };
    let shown = &items[..items.len().min(limit)];
    let fires = shown.iter().any(|item| !item.is_resolved);
    json!({
        "version": "4",
        "groupKey": envelope.group.key,
        "truncatedAlerts": items.len() - shown.len(),
        "receiver": regex::escape(envelope.receiver),
        "status": status(!fires),
        "alerts": shown.iter().map(|item| alert(item)).collect::<Vec<_>>(),
        "groupLabels": envelope.group.labels,
        "commonLabels": labels::common(shown.iter().map(|item| &item.alert.labels)),
        "commonAnnotations": labels::common(shown.iter().map(|item| &item.alert.annotations)),
        "externalURL": envelope.external_url,
    })
}

fn alert(Item { alert, is_resolved }: &Item) -> Value {
    json!({
        "status": status(*is_resolved),
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": alert.starts,
        "endsAt": if *is_resolved { json!(alert.ends) } else { json!(NEVER) },
        "generatorURL": alert.generator_url,
        "fingerprint": alert.fingerprint,
    })
}

fn status(is_resolved: bool) -> &'static str {
    if is_resolved { "resolved" } else { "firing" }
}
