//! What AWS's machines do when they boot, played on a real control plane: they join, as their user data has them do, and are heard
//! of no more when their instance ends.

use super::aws::{Aws, Machine};
use super::control_plane::{self, FakeNode, create};
use bellwether::model::{POOL_LABEL, ZONE_LABEL};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What is tagged so is a worker of this pool.
const POOL: &str = "bellwether:pool";

pub(crate) struct Boots {
    aws: Arc<Aws>,
    nodes: Api<Node>,
    seen: Mutex<Seen>,
}

/// Instances that were seen running.
#[derive(Default)]
struct Seen {
    /// Since when.
    all: BTreeMap<String, Instant>,
    /// Those that have booted.
    booted: BTreeSet<String>,
    /// How long that takes.
    takes: Duration,
    /// Those that are nodes.
    joined: BTreeSet<String>,
    /// How many of those that are still to boot never join.
    never: usize,
    /// How many of those that are still to join are never Ready.
    never_ready: usize,
}

/// The node of an instance.
pub(crate) fn node_of(id: &str) -> String {
    id.replacen("i-", "ip-", 1)
}

impl Boots {
    pub(crate) fn new(aws: Arc<Aws>, client: kube::Client) -> Self {
        Self { aws, nodes: Api::all(client), seen: Mutex::default() }
    }

    /// From now on it takes so long until one that runs has booted.
    pub(crate) fn take(&self, time: Duration) {
        self.seen.lock().unwrap().takes = time;
    }

    /// The next so many that boot never join.
    pub(crate) fn never_join(&self, count: usize) {
        self.seen.lock().unwrap().never = count;
    }

    /// The next so many that boot join, and are never Ready.
    pub(crate) fn never_ready(&self, count: usize) {
        self.seen.lock().unwrap().never_ready = count;
    }

    /// Instances that have booted and did not join yet become nodes. Nothing names their workers.
    pub(crate) async fn join(&self) {
        for Machine { id, shape, zone, tags, state, .. } in self.aws.machines().await {
            let Some(pool) = tags.get(POOL).filter(|_| state == "running") else { continue };
            let Some(played) = self.joins(&id) else { continue };
            let labels = [
                (POOL_LABEL, pool.as_str()),
                (ZONE_LABEL, zone.as_str()),
                ("node.kubernetes.io/instance-type", shape.as_str()),
            ];
            let (name, provider_id) = (node_of(&id), format!("aws:///{zone}/{id}"));
            let node = FakeNode {
                name: &name,
                labels: &labels,
                provider_id: Some(&provider_id),
                // As both of the shapes that tests use.
                cpu: "2",
                memory: "2Gi",
                played,
                ..FakeNode::default()
            };
            create(&self.nodes, node.json()).await;
        }
    }

    /// Whether its kubelet is played, of an instance that runs, and has booted by now, and joins.
    fn joins(&self, id: &str) -> Option<bool> {
        let mut seen = self.seen.lock().unwrap();
        let since = *seen.all.entry(id.to_owned()).or_insert_with(Instant::now);
        if since.elapsed() < seen.takes || !seen.booted.insert(id.to_owned()) {
            return None;
        }
        if seen.never > 0 {
            seen.never -= 1;
            return None;
        }
        seen.joined.insert(id.to_owned());
        let played = seen.never_ready == 0;
        seen.never_ready = seen.never_ready.saturating_sub(1);
        Some(played)
    }

    /// Nodes whose instances do not run are not Ready.
    pub(crate) async fn end(&self) {
        let machines = self.aws.machines().await;
        let runs = |id: &String| machines.iter().any(|it| it.id == *id && it.state == "running");
        let ended: Vec<String> =
            self.seen.lock().unwrap().joined.extract_if(.., |id| !runs(id)).collect();
        for id in ended {
            self.silence(&id).await;
        }
    }

    /// The kubelet of an instance is heard of no more.
    pub(crate) async fn silence(&self, id: &str) {
        control_plane::silence(&self.nodes, &node_of(id)).await;
    }
}
