//! What `deploy/rbac.yaml` grants is enough, and none of it too much: without any one right something fails.

use super::drains::register;
use super::{limits, mark};
use crate::support::control_plane::{self, ControlPlane, Setting, create, manifest, pod};
use crate::support::wait;
use crate::support::yard::Yard;
use bellwether::clock::Clock;
use bellwether::cluster::fence::Fence as _;
use bellwether::cluster::kube::Kube;
use bellwether::cluster::{Cluster as _, Eviction, Manner};
use bellwether::config::Kubernetes;
use bellwether::model::{About, Claim, NodeRef, Note, PodRef, Token, View, duration};
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::Mutex;

/// What is done with too few rights may take so long, until it is taken for not done.
const PATIENCE: Duration = Duration::from_secs(20);

/// Cases at once. Each watches all there is.
const AT_ONCE: usize = 8;

/// One verb of one kind: by document, rule, resource and verb of the manifest.
#[derive(Clone, Copy, Debug)]
struct Right([usize; 4]);

fn rights(manifest: &[Value]) -> Vec<(Right, String)> {
    let mut rights = Vec::new();
    for (d, document) in manifest.iter().enumerate() {
        for (r, rule) in document["rules"].as_array().into_iter().flatten().enumerate() {
            for (k, kind) in rule["resources"].as_array().unwrap().iter().enumerate() {
                for (v, verb) in rule["verbs"].as_array().unwrap().iter().enumerate() {
                    let named = [verb, kind].map(|word| word.as_str().unwrap()).join(" ");
                    rights.push((Right([d, r, k, v]), named));
                }
            }
        }
    }
    rights
}

/// The manifest without a right; the rule's other kinds keep it.
fn without(manifest: &[Value], Right([d, r, k, v]): Right) -> Vec<Value> {
    let mut manifest = manifest.to_vec();
    let rules = manifest[d]["rules"].as_array_mut().unwrap();
    let mut only = rules[r].clone();
    only["resources"] = json!([rules[r]["resources"][k]]);
    rules[r]["resources"].as_array_mut().unwrap().remove(k);
    only["verbs"].as_array_mut().unwrap().remove(v);
    rules.push(only);
    let grants = |rule: &Value| ["resources", "verbs"].iter().all(|of| rule[of] != json!([]));
    rules.retain(grants);
    manifest
}

/// A user with these rights, by what the manifest says of the service account.
async fn grant(plane: &ControlPlane, user: &str, manifest: &[Value]) {
    let own = |document: &Value| {
        let mut document = document.clone();
        document["metadata"]["name"] = user.into();
        if document["subjects"].is_array() {
            let group = "rbac.authorization.k8s.io";
            document["roleRef"]["name"] = user.into();
            document["subjects"] = json!([{ "apiGroup": group, "kind": "User", "name": user }]);
        }
        document
    };
    let speaks_of_rights = |document: &&Value| document["apiVersion"] != "v1";
    plane.apply(manifest.iter().filter(speaks_of_rights).map(own).collect()).await;
}

/// The administrator's file, for one who acts as another.
fn kubeconfig_as(plane: &ControlPlane, user: &str) -> PathBuf {
    let file = std::fs::read_to_string(plane.kubeconfig()).unwrap();
    let mut file: Value = serde_json::from_str(&file).unwrap();
    file["users"][0]["user"]["as"] = user.into();
    let path = plane.kubeconfig().with_file_name(format!("as-{user}"));
    std::fs::write(&path, file.to_string()).unwrap();
    path
}

/// A control plane, and who may have its lease.
struct Stage {
    plane: ControlPlane,
    lease: Mutex<()>,
}

impl Stage {
    /// Everything that is ever done there, as this user; what did not go, if something did not.
    async fn play(&self, user: &str, patience: Duration) -> Result<(), String> {
        let node = register(&self.plane, user).await;
        let pods = self.plane.pods().await;
        let on_it = format!("on-{user}");
        let mut object = pod(&on_it, "1");
        object["spec"]["nodeName"] = user.into();
        let created = create::<Pod>(&pods, object).await;
        let file = Kubernetes::File { kubeconfig: kubeconfig_as(&self.plane, user), context: None };
        let limits = limits("view_max_age: 3s");
        let kube = Kube::connect(&file, &limits, Clock::system()).await.unwrap();
        watches(&kube, &node, patience).await?;
        let told = PodRef {
            namespace: "default".to_owned(),
            name: on_it,
            uid: created.metadata.uid.unwrap().as_str().into(),
        };
        self.tells(&kube, &told, patience).await?;
        let failed = |error: bellwether::cluster::Error| error.to_string();
        kube.cordon(&node, &mark()).await.map_err(failed)?;
        kube.uncordon(&node).await.map_err(failed)?;
        for manner in [Manner::Evict, Manner::Force] {
            let left = kube.evict_step(&node, manner).await.map_err(failed)?;
            assert_eq!(left, Eviction::Evicting { left: 1 }, "nobody ends it");
        }
        self.leases(&kube, user).await?;
        kube.remove_node(&node).await.map_err(failed)
    }

    /// Twice the same is one event that happened twice.
    async fn tells(&self, kube: &Kube, about: &PodRef, patience: Duration) -> Result<(), String> {
        for _ in 0..2 {
            let (about, words) = (About::Pod(about.clone()), "why".to_owned());
            kube.tell(vec![Note { about, is_warning: true, reason: "Tried", words }]);
        }
        let events: Api<Event> = Api::default_namespaced(self.plane.client().await);
        eventually(patience, "events are not told", || async {
            let all = events.list(&ListParams::default()).await.unwrap();
            all.iter().any(|event| {
                let regarding = event.regarding.as_ref().and_then(|it| it.uid.as_deref());
                regarding == Some(about.uid.as_str()) && event.series.is_some()
            })
        })
        .await
    }

    /// From the first that ever was on; a lease has one holder at a time.
    async fn leases(&self, kube: &Kube, user: &str) -> Result<(), String> {
        let _alone = self.lease.lock().await;
        let leases: Api<Lease> = Api::namespaced(self.plane.client().await, "kube-system");
        if let Err(error) = leases.delete("bellwether", &DeleteParams::default()).await {
            assert!(error.to_string().contains("not found"), "{error}");
        }
        let (witness, ttl) = (kube.witness(), Duration::from_secs(10));
        let (holder, expires) = (user.to_owned(), Clock::system().now());
        let claim = Claim { cluster: "one".into(), holder, token: Token(1), expires };
        for _ in 0..2 {
            witness.hold(&claim, ttl).await.map_err(|refusal| refusal.to_string())?;
        }
        witness.let_go(&claim).await.map_err(|refusal| refusal.to_string())
    }
}

/// Sees the node, and goes on seeing: a view of much later than the first.
async fn watches(kube: &Kube, node: &NodeRef, patience: Duration) -> Result<(), String> {
    let began = Clock::system().now();
    let later = duration::after(began, Duration::from_secs(4));
    eventually(patience, "the cluster is not watched", || async {
        let View::Known { at, value } = kube.observe().await else { return false };
        at > later && value.attached.is_some() && value.nodes().any(|seen| seen.at == *node)
    })
    .await
}

async fn eventually<F: Future<Output = bool>>(
    patience: Duration,
    else_: &str,
    holds: impl Fn() -> F,
) -> Result<(), String> {
    let held = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(patience, held).await.map_err(|_| else_.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_manifest_grants_is_enough_and_none_of_it_too_much() {
    let Some(plane) = control_plane::start_with(&Setting::bare()).await else { return };
    let stage = Stage { plane, lease: Mutex::default() };
    let manifest = manifest();
    grant(&stage.plane, "whole", &manifest).await;
    stage.play("whole", wait::LIMIT).await.expect("the manifest is enough");
    let rights = rights(&manifest);
    let tries = rights.iter().enumerate().map(|(number, (right, name))| {
        let (stage, manifest) = (&stage, &manifest);
        async move {
            let user = format!("user-{number}");
            grant(&stage.plane, &user, &without(manifest, *right)).await;
            (name, stage.play(&user, PATIENCE).await)
        }
    });
    let tries: Vec<_> = tries.collect();
    let tries = stream::iter(tries).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
    // Amid all of them, and no more patiently, it goes with every right.
    let control = async {
        grant(&stage.plane, "control", &manifest).await;
        stage.play("control", PATIENCE).await
    };
    let (tried, control) = tokio::join!(tries, control);
    assert_eq!(control, Ok(()), "too little patience");
    assert!(tried.len() > 20, "{tried:?}");
    let needless: Vec<_> = tried.iter().filter(|(_, done)| done.is_ok()).collect();
    assert!(needless.is_empty(), "all goes without: {needless:?}");
}

/// A program whose user has all rights but one.
async fn yard_without(right: &str) -> Option<Yard> {
    let plane = control_plane::start().await?;
    let manifest = manifest();
    let lacking = rights(&manifest).into_iter().find(|(_, name)| name == right).unwrap().0;
    grant(&plane, "lacking", &without(&manifest, lacking)).await;
    let kubeconfig = kubeconfig_as(&plane, "lacking");
    Some(Yard::start_by(plane, kubeconfig, None, "").await)
}

impl Yard {
    /// The same user may do everything from now on.
    async fn permit_all(&self) {
        let mut manifest = manifest();
        for document in &mut manifest {
            document["metadata"]["name"] = "all".into();
            if document["subjects"].is_array() {
                let group = "rbac.authorization.k8s.io";
                document["roleRef"]["name"] = "all".into();
                document["subjects"] =
                    json!([{ "apiGroup": group, "kind": "User", "name": "lacking" }]);
            }
        }
        manifest.retain(|document| document["apiVersion"] != "v1");
        self.plane.apply(manifest).await;
    }

    async fn text(&self, what: &str) -> String {
        let answer = reqwest::get(format!("{}/v1/{what}", self.program.url)).await;
        answer.unwrap().text().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_right_to_see_it_says_which_and_what_grants_it_and_does_nothing_until_it_has_it()
{
    let Some(yard) = yard_without("list pods").await else { return };
    create::<Pod>(&yard.plane.pods().await, pod("web", "1")).await;
    wait::until("the missing right to be named", || async {
        let told = yard.text("decisions").await;
        told.contains("pods cannot be watched")
            && told.contains("cannot list resource")
            && told.contains("deploy/rbac.yaml")
    })
    .await;
    yard.passes(2).await;
    assert_eq!(yard.world.calls(), []);
    yard.permit_all().await;
    wait::until("it to be seen", || async {
        !yard.text("decisions").await.contains("cannot be watched")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_right_to_act_it_says_which_and_what_grants_it_and_acts_once_it_has_it() {
    let Some(yard) = yard_without("patch nodes").await else { return };
    yard.grow(2, 2).await;
    yard.wish(-1).await;
    wait::until("the missing right to be named", || async {
        let told = yard.text("history?limit=1000").await;
        told.contains("cannot patch resource") && told.contains("deploy/rbac.yaml")
    })
    .await;
    assert_eq!(yard.ended(), 0);
    yard.permit_all().await;
    yard.until("one worker", async || yard.ended() == 1 && yard.nodes().await.len() == 1).await;
}
