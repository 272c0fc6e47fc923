//! One round on one node: every pod is asked to go.

use super::access::told;
use super::{error, pods};
use crate::cluster::{Error, Eviction, Manner, Result};
use crate::model::{NodeRef, PodKind};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, EvictParams, ListParams, Preconditions};
use kube::core::Status;
use kube::{Api, Client};

/// How many evictions are asked for at once.
const AT_ONCE: usize = 10;

/// How the apiserver says that a budget allows no more for now; without it, "too many requests" speaks of us.
const BUDGET: &str = "DisruptionBudget";

/// What is kept of a refusal, in bytes: some of it is free text.
const LONGEST: usize = 400;

/// How the apiserver says that several budgets choose a pod, which it then evicts for none. Source: its registry of
/// evictions, since 1.4.
const SEVERAL_BUDGETS: &str = "more than one PodDisruptionBudget";

/// How it says that a webhook or a policy of the cluster refuses, whatever the code that these chose.
const ADMISSION: [&str; 2] = ["admission webhook ", "ValidatingAdmissionPolicy "];

/// Why it refuses what would be new in a namespace that is deleted, pods and all.
const NAMESPACE_ENDS: &str = "NamespaceTerminating";

/// What became of one pod.
enum Fate {
    /// It goes, or is gone.
    Goes,
    /// Not now; what refuses.
    Stays(String),
}

/// Asks for every pod that is to go and is not going yet. The pods are asked of the apiserver, not of what was
/// watched: one that has just come must not be overlooked.
///
/// They are listed by the node's name, so before a node is called empty, or budgets are waived, it must be this very one.
pub(super) async fn step(
    client: &Client,
    nodes: &Api<Node>,
    node: &NodeRef,
    manner: Manner,
) -> Result<Eviction> {
    let on_it = ListParams::default().fields(&format!("spec.nodeName={}", node.name));
    let pods = Api::<Pod>::all(client.clone()).list(&on_it).await.map_err(|cause| error(&cause))?;
    let movable: Vec<Pod> = pods.items.into_iter().filter(is_movable).collect();
    if movable.is_empty() || manner == Manner::Force {
        super::marks::find(nodes, node).await?;
    }
    if movable.is_empty() {
        return Ok(Eviction::Empty);
    }
    let left = u32::try_from(movable.len()).unwrap_or(u32::MAX);
    let asked = movable.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let asking: Vec<_> = asked.map(|pod| ask(client, pod, manner)).collect();
    let fates: Vec<Result<Fate>> =
        futures_util::stream::iter(asking).buffer_unordered(AT_ONCE).collect().await;
    let (mut refused, mut failed) = (Vec::new(), None);
    for fate in fates {
        match fate {
            Ok(Fate::Goes) => {}
            Ok(Fate::Stays(by)) => refused.push(by),
            Err(error) => failed = Some(error),
        }
    }
    match (refused.into_iter().min(), failed) {
        // The same one each time, so that it is no news.
        (Some(by), _) => Ok(Eviction::Blocked { left, by }),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(Eviction::Evicting { left }),
    }
}

/// Whether a pod must be gone before the node may go: neither finished, nor one that belongs to the node.
fn is_movable(pod: &Pod) -> bool {
    !pods::is_finished(pod) && pods::kind(pod) == PodKind::Normal
}

async fn ask(client: &Client, pod: &Pod, manner: Manner) -> Result<Fate> {
    let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
    let (Some(namespace), Some(name)) = (namespace, name) else { return Err(Error::NotFound) };
    let only_it = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
    let delete = DeleteParams { preconditions: Some(only_it), ..DeleteParams::default() };
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let answer = match manner {
        Manner::Evict => {
            let params = EvictParams { delete_options: Some(delete), ..EvictParams::default() };
            pods.evict(name, &params).await.map(|_| ())
        }
        Manner::Force => pods.delete(name, &delete).await.map(|_| ()),
    };
    let Err(cause) = answer else { return Ok(Fate::Goes) };
    match &cause {
        kube::Error::Api(status) if goes_anyway(status) => Ok(Fate::Goes),
        kube::Error::Api(status) => match refusal(status) {
            Some(why) => Ok(Fate::Stays(format!("{namespace}/{name}: {why}"))),
            None => Err(error(&cause)),
        },
        _ => Err(error(&cause)),
    }
}

/// Gone, or another pod under its name, which the next round sees, or deleted with its namespace.
fn goes_anyway(status: &Status) -> bool {
    matches!(status.code, 404 | 409) || has_cause(status, NAMESPACE_ENDS)
}

fn has_cause(status: &Status, reason: &str) -> bool {
    cause(status, reason).is_some()
}

/// What the answer says of a cause of this kind.
fn cause<'a>(status: &'a Status, reason: &str) -> Option<&'a str> {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.find(|cause| cause.reason == reason).map(|cause| cause.message.as_str())
}

/// What keeps this pod, if the answer speaks of the pod; one that speaks of us or the apiserver is an error.
fn refusal(status: &Status) -> Option<String> {
    let words = told(&kube::Error::Api(Box::new(status.clone())));
    if words.contains(SEVERAL_BUDGETS) {
        return Some(
            "several PodDisruptionBudgets choose it, so it is evicted for none; leave it one"
                .to_owned(),
        );
    }
    if let Some(budget) = cause(status, BUDGET) {
        // Only the cause has its name.
        return Some(cut(format!("{words} {budget}").trim_end()));
    }
    ADMISSION.iter().any(|who| words.contains(who)).then(|| cut(&words))
}

fn cut(words: &str) -> String {
    words[..words.floor_char_boundary(LONGEST)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(code: u16, message: &str, cause: &str) -> Status {
        let words =
            if cause == BUDGET { "The disruption budget web needs 2 healthy pods" } else { "" };
        serde_json::from_value(json!({
            "status": "Failure", "code": code, "reason": "", "message": message,
            "details": { "causes": [{ "reason": cause, "message": words, "field": "" }] },
        }))
        .unwrap()
    }

    #[test]
    fn what_refuses_a_pod_is_told_apart_from_what_refuses_us() {
        let budget = "Cannot evict pod as it would violate the pod's disruption budget.";
        let several = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        let webhook = "admission webhook \"guard.example\" denied the request: not before noon";
        let policy = "pods \"web\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no";
        let rights =
            "pods \"web\" is forbidden: User \"b\" cannot create resource \"pods/eviction\"";
        let long = format!("{webhook} {}", "ä".repeat(LONGEST));
        for (code, message, keeps) in [
            (429, "too many requests, please try again later", None),
            (403, &long, Some(&long[..long.floor_char_boundary(LONGEST)])),
            (
                500,
                several,
                Some(
                    "several PodDisruptionBudgets choose it, so it is evicted for none; leave it one",
                ),
            ),
            (403, webhook, Some(webhook)),
            (500, webhook, Some(webhook)),
            (422, policy, Some(policy)),
            (403, rights, None),
            (500, "etcdserver: request timed out", None),
        ] {
            assert_eq!(refusal(&status(code, message, "")).as_deref(), keeps, "{code} {message}");
        }
        let named = format!("{budget} The disruption budget web needs 2 healthy pods");
        assert_eq!(refusal(&status(429, budget, BUDGET)), Some(named));
    }

    #[test]
    fn a_pod_goes_that_is_gone_or_another_or_deleted_with_its_namespace() {
        assert!(goes_anyway(&status(404, "", "")) && goes_anyway(&status(409, "", "")));
        assert!(goes_anyway(&status(403, "being terminated", NAMESPACE_ENDS)));
        assert!(!goes_anyway(&status(403, "", "")) && !goes_anyway(&status(429, "", BUDGET)));
    }
}
