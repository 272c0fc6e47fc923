//! The real control plane that the clusters are made on, one after another, and our own view of it.

use super::draft::Draft;
use super::volumes::made_for;
use super::world::{NAMESPACES, World};
use crate::kube::connect_at;
use crate::support::control_plane::{
    self, ControlPlane, Part, Setting, create, until, why_unschedulable,
};
use crate::support::wait;
use bellwether::clock::Clock;
use bellwether::cluster::Cluster as _;
use bellwether::cluster::kube::Kube;
use bellwether::model::{ClusterView, Pod as Seen, VolumeNeed};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often it is looked whether our view has heard of something: each case waits for that.
const LOOK: Duration = Duration::from_millis(2);

/// What the scheduler says of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Bound(String),
    /// In its words.
    Unschedulable(String),
}

/// A control plane with a cluster on it.
pub(super) struct Stage {
    client: kube::Client,
    kube: Kube,
    /// The pods, as who asks the scheduler hears of them.
    pods: BoxStream<'static, watcher::Result<Event<Pod>>>,
    _plane: ControlPlane,
}

/// Nodes stay as they are made, and the scheduler goes by the pods' own order of them, so that a seed can be played
/// again. What forbids a node is as it comes out of the box.
fn setting() -> Setting {
    let controllers = "--controllers=node-lifecycle-controller,persistentvolume-binder-controller,\
        persistentvolumeclaim-protection-controller,persistentvolume-protection-controller";
    let profile = json!({
        "schedulerName": "default-scheduler",
        "plugins": { "score": { "disabled": [{ "name": "*" }], "enabled": [{ "name": "NodeAffinity", "weight": 1 }] } },
    });
    Setting {
        flags: vec![
            (Part::ApiServer, "--disable-admission-plugins=TaintNodesByCondition"),
            (Part::Controllers, controllers),
            (Part::Controllers, "--node-monitor-grace-period=24h"),
            (Part::Controllers, "--kube-api-qps=500"),
            (Part::Controllers, "--kube-api-burst=500"),
        ],
        scheduler: Some(json!({ "profiles": [profile], "podInitialBackoffSeconds": 1 })),
        ..Setting::default()
    }
}

/// As it was asked for: whatever was there before is gone at once.
fn at_once() -> DeleteParams {
    DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() }
}

impl Stage {
    /// `None` after a printed skip where there is no control plane.
    pub(super) async fn open() -> Option<Self> {
        let plane = control_plane::start_with(&setting()).await?;
        let client = plane.client().await;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        for (name, team) in NAMESPACES {
            let labels = json!({ "team": team });
            create(&namespaces, json!({ "metadata": { "name": name, "labels": labels } })).await;
        }
        let kube = connect_at(&plane, Clock::system()).await;
        let pods = watcher(Api::all(client.clone()), watcher::Config::default()).boxed();
        let stage = Self { client, kube, pods, _plane: plane };
        stage
            .sees("the namespaces", |view| {
                NAMESPACES.iter().all(|(name, _)| view.namespaces.contains_key(*name))
            })
            .await;
        Some(stage)
    }

    /// Waits until it holds of what we see, and gives that.
    pub(super) async fn sees(
        &self,
        what: &str,
        holds: impl Fn(&ClusterView) -> bool,
    ) -> ClusterView {
        let seen = std::cell::RefCell::new(None);
        wait::until_at(LOOK, what, || async {
            let Some(view) = self.view().await.filter(&holds) else { return false };
            seen.replace(Some(view));
            true
        })
        .await;
        seen.into_inner().unwrap()
    }

    async fn view(&self) -> Option<ClusterView> {
        self.kube.observe().await.known().cloned()
    }

    fn pods_of(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn claims_of(&self, namespace: &str) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Puts another cluster in the place of the one there is.
    pub(super) async fn build(&mut self, world: &World) {
        self.clear().await;
        let (nodes, volumes, classes): (Api<Node>, Api<PersistentVolume>, Api<StorageClass>) = (
            Api::all(self.client.clone()),
            Api::all(self.client.clone()),
            Api::all(self.client.clone()),
        );
        for class in world.stock.classes() {
            create(&classes, class).await;
        }
        for volume in world.stock.volumes() {
            create(&volumes, volume).await;
        }
        for (namespace, claim) in world.stock.claims() {
            create(&self.claims_of(namespace), claim).await;
        }
        for place in &world.places {
            create(&nodes, place.json()).await;
        }
        let is_bound = |claim: &PersistentVolumeClaim| {
            claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
        };
        for held in &world.stock.held {
            let claims = self.claims_of(held.namespace);
            until(&claims, &held.claim, "the claim to be bound", is_bound).await;
        }
        let names: BTreeSet<&str> = world.places.iter().map(|place| place.name.as_str()).collect();
        self.sees("the new cluster", |view| {
            view.pods.is_empty()
                && view.nodes().map(|node| node.at.name.as_str()).eq(names.iter().copied())
        })
        .await;
    }

    async fn clear(&self) {
        let all = ListParams::default();
        for (namespace, _) in NAMESPACES {
            self.pods_of(namespace).delete_collection(&at_once(), &all).await.unwrap();
            self.claims_of(namespace).delete_collection(&at_once(), &all).await.unwrap();
        }
        Api::<Node>::all(self.client.clone()).delete_collection(&at_once(), &all).await.unwrap();
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        volumes.delete_collection(&at_once(), &all).await.unwrap();
        Api::<StorageClass>::all(self.client.clone())
            .delete_collection(&at_once(), &all)
            .await
            .unwrap();
    }

    /// Creates a pod with its claims. What is seen before it is, and the pod itself as we see it, before anybody has
    /// looked for a place if that could change what it asks for.
    pub(super) async fn create(&self, draft: &Draft) -> (ClusterView, Seen) {
        for claim in &draft.new_claims {
            ensure(&self.claims_of(draft.namespace), claim).await;
        }
        let before = self.sees("the cluster", |_| true).await;
        let api = self.pods_of(draft.namespace);
        let uid = create(&api, draft.json()).await.metadata.uid.unwrap();
        let is_it = |pod: &&Seen| pod.uid.as_str() == uid;
        let is_seen = |view: &ClusterView| {
            view.pods().find(is_it).is_some_and(|pod| !lacks_new_claims(pod, draft))
        };
        let view = self.sees("the pod", is_seen).await;
        (before, view.pods().find(is_it).unwrap().clone())
    }

    /// Waits for what the scheduler says of it.
    pub(super) async fn verdict(&mut self, draft: &Draft) -> Verdict {
        if !draft.claims.is_empty() {
            let open = json!({ "spec": { "schedulingGates": [] } });
            let patch = Patch::Merge(&open);
            let api = self.pods_of(draft.namespace);
            api.patch(&draft.name, &PatchParams::default(), &patch).await.unwrap();
        }
        let making = make_volumes(self.client.clone(), draft.clone());
        let heard = async {
            tokio::select! {
                heard = self.heard(draft) => heard,
                never = making => never,
            }
        };
        let verdict = tokio::time::timeout(wait::LIMIT, heard).await;
        let verdict = verdict.unwrap_or_else(|_| panic!("nobody judged {:#}", draft.json()));
        if let Verdict::Bound(node) = &verdict {
            self.sees("the pod on its node", |view| {
                let mut pods = view.pods();
                pods.any(|pod| {
                    is_of(pod, draft)
                        && pod.node().is_some_and(|at| at.as_str() == node)
                        && is_bound(pod)
                })
            })
            .await;
        }
        verdict
    }

    async fn heard(&mut self, draft: &Draft) -> Verdict {
        loop {
            // A watch that fails is begun anew.
            let Ok(Some(Event::Apply(pod) | Event::InitApply(pod))) = self.pods.try_next().await
            else {
                continue;
            };
            if pod.metadata.name.as_ref() != Some(&draft.name) {
                continue;
            }
            if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) {
                return Verdict::Bound(node);
            }
            if let Some(why) = why_unschedulable(&pod) {
                return Verdict::Unschedulable(why.to_owned());
            }
        }
    }

    /// Deletes a pod, and waits until we see that it is gone.
    pub(super) async fn remove(&self, draft: &Draft) {
        let api = self.pods_of(draft.namespace);
        api.delete(&draft.name, &at_once()).await.unwrap();
        self.sees("the pod's end", |view| !view.pods().any(|pod| is_of(pod, draft))).await;
    }
}

/// Whether claims that were created with it are not seen yet.
fn lacks_new_claims(pod: &Seen, draft: &Draft) -> bool {
    let name = |claim: &Value| claim["metadata"]["name"].as_str().unwrap().to_owned();
    let missing =
        |claim: &Value| VolumeNeed::Nowhere(format!("the claim {} is not there", name(claim)));
    draft.new_claims.iter().any(|claim| pod.spec.volumes.contains(&missing(claim)))
}

/// Creates an object that may be there, since its pod is put to the scheduler again.
async fn ensure<K>(api: &Api<K>, object: &Value)
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    let name = object["metadata"]["name"].as_str().unwrap();
    if api.get_opt(name).await.unwrap().is_none() {
        create(api, object.clone()).await;
    }
}

fn is_of(pod: &Seen, draft: &Draft) -> bool {
    pod.name == draft.name && pod.spec.namespace == draft.namespace
}

/// Whether its volumes have been found, too.
fn is_bound(pod: &Seen) -> bool {
    !pod.spec.volumes.iter().any(|need| matches!(need, VolumeNeed::OneOf(_)))
}

/// Plays the provisioner of the pod's claims: each gets its volume once the scheduler has chosen a node for it.
async fn make_volumes(client: kube::Client, draft: Draft) -> Verdict {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), draft.namespace);
    let is_chosen = |claim: &PersistentVolumeClaim| {
        let notes = claim.metadata.annotations.as_ref();
        notes.is_some_and(|notes| notes.contains_key("volume.kubernetes.io/selected-node"))
    };
    for claim in &draft.new_claims {
        let Some(volume) = made_for(draft.namespace, claim) else { continue };
        let name = claim["metadata"]["name"].as_str().unwrap();
        until(&claims, name, "the claim's node", is_chosen).await;
        ensure::<PersistentVolume>(&Api::all(client.clone()), &volume).await;
    }
    std::future::pending().await
}
