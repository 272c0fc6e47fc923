//! The watches put together to what a pass looks at.

use super::access::Access;
use super::attachments::{self, Attachment};
use super::constraints::selector;
use super::nodes::SeenNode;
use super::pods::{Seen, Specs};
use super::volumes::{Claim, Class, Storage, Volume};
use super::watch::{self, AsOf, Watch};
use super::{KUBE_SYSTEM, nodes, pods, volumes};
use crate::clock::Clock;
use crate::model::{
    ClusterUid, ClusterView, Labels, NodeName, NodeRef, Pin, Pod, PodKind, PodRef, PodSpec,
    Selector, Uid, View, duration,
};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// A view that is older than this, while an error is known, is told by the error.
const LATE: Duration = Duration::from_secs(45);

/// One watch per kind of object.
#[derive(Debug)]
pub(super) struct Objects {
    nodes: Arc<Watch<SeenNode>>,
    pods: Arc<Watch<Seen>>,
    namespaces: Arc<Watch<Namespace>>,
    daemons: Arc<Watch<Arc<PodSpec>>>,
    budgets: Arc<Watch<Budget>>,
    claims: Arc<Watch<Claim>>,
    volumes: Arc<Watch<Volume>>,
    classes: Arc<Watch<Class>>,
    attachments: Arc<Watch<Attachment>>,
    specs: Arc<Mutex<Specs>>,
    news: Arc<Notify>,
}

#[derive(Debug, PartialEq)]
struct Namespace {
    name: String,
    uid: String,
    labels: Labels,
}

/// A `PodDisruptionBudget`, as far as it says which pods somebody thought of.
#[derive(Debug, PartialEq)]
struct Budget {
    namespace: String,
    selector: Option<Selector>,
}

impl Objects {
    pub(super) fn watch(
        access: &Access,
        clock: Clock,
        tasks: &mut JoinSet<()>,
    ) -> kube::Result<Self> {
        let specs = Arc::new(Mutex::new(Specs::default()));
        let (of_pods, of_daemons) = (specs.clone(), specs.clone());
        let news = Arc::new(Notify::new());
        let told = (clock, &news);
        let pod = move |pod: &api::Pod| pods::view(pod, &mut lock(&of_pods));
        let daemon = move |set: &DaemonSet| pods::daemon(set, &mut lock(&of_daemons));
        Ok(Self {
            nodes: watch::start(access, "nodes", told, tasks, nodes::seen)?,
            pods: watch::start(access, "pods", told, tasks, pod)?,
            namespaces: watch::start(access, "namespaces", told, tasks, namespace)?,
            daemons: watch::start(access, "daemonsets", told, tasks, daemon)?,
            budgets: watch::start(access, "poddisruptionbudgets", told, tasks, budget)?,
            claims: watch::start(access, "persistentvolumeclaims", told, tasks, volumes::claim)?,
            volumes: watch::start(access, "persistentvolumes", told, tasks, volumes::volume)?,
            classes: watch::start(access, "storageclasses", told, tasks, volumes::class)?,
            attachments: watch::start(
                access,
                "volumeattachments",
                told,
                tasks,
                attachments::attachment,
            )?,
            specs,
            news,
        })
    }

    /// Waits for anything that was not seen before.
    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }

    /// All of it, as old as the oldest part.
    pub(super) fn view(&self, clock: Clock) -> View<ClusterView> {
        let (now, boottime) = (clock.now(), clock.boottime());
        match self.as_of(boottime) {
            Err(why) => View::Unknown { why },
            Ok(age) => match self.value(boottime) {
                Some(value) => View::Known { at: duration::before(now, age), value },
                None => View::Unknown { why: format!("there is no namespace {KUBE_SYSTEM}") },
            },
        }
    }

    /// How old the oldest part is, or what is missing.
    fn as_of(&self, now: Duration) -> Result<Duration, String> {
        let all = [
            self.nodes.as_of(now),
            self.pods.as_of(now),
            self.namespaces.as_of(now),
            self.daemons.as_of(now),
            self.budgets.as_of(now),
            self.claims.as_of(now),
            self.volumes.as_of(now),
            self.classes.as_of(now),
        ];
        let mut oldest = Duration::ZERO;
        for part in all {
            let age = match part {
                AsOf::Never(why) => return Err(why),
                AsOf::At(heard, error) => {
                    let age = now.saturating_sub(heard);
                    match error {
                        Some(why) if age > LATE => return Err(why),
                        _ => age,
                    }
                }
            };
            oldest = oldest.max(age);
        }
        Ok(oldest)
    }

    /// What hangs on nodes holds nothing but the end of a drained one, so nothing else waits until it is known.
    fn knows_attachments(&self, now: Duration) -> bool {
        matches!(self.attachments.as_of(now), AsOf::At(_, None))
    }

    fn value(&self, now: Duration) -> Option<ClusterView> {
        let (namespaces, uid) = self.namespaces.look(|all| {
            let system = all.values().find(|namespace| namespace.name == KUBE_SYSTEM);
            let uid = system.map(|namespace| ClusterUid::from(namespace.uid.as_str()));
            let labels = |namespace: &Namespace| (namespace.name.clone(), namespace.labels.clone());
            (all.values().map(labels).collect::<BTreeMap<_, _>>(), uid)
        });
        let (pods, attached) = self.pods();
        Some(ClusterView {
            uid: uid?,
            nodes: sorted(
                self.nodes.look(|all| all.values().map(|seen| seen.node.clone()).collect()),
                |node| node.at.name.as_str(),
            ),
            pods,
            attached: self.knows_attachments(now).then_some(attached),
            daemons: self.daemons.look(|all| all.values().cloned().collect()),
            namespaces,
        })
    }

    /// The state in which a node may be deleted by one call; `None` of one that is not there, or is Ready.
    pub(super) fn version(&self, node: &NodeRef) -> Option<String> {
        let is_it = |seen: &&SeenNode| seen.node.at == *node && !seen.node.is_ready();
        self.nodes.look(|all| all.values().find(is_it)?.version.clone())
    }

    /// Pods on a node that do not go with it by themselves.
    pub(super) fn movable_on(&self, node: &NodeName) -> Vec<PodRef> {
        let is_on =
            |seen: &&Seen| seen.pod.kind == PodKind::Normal && seen.pod.node() == Some(node);
        self.pods.look(|all| all.values().filter(is_on).map(|seen| seen.pod.at()).collect())
    }

    /// Pods, and the volumes that hang on nodes for them.
    fn pods(&self) -> (Vec<Arc<Pod>>, BTreeMap<NodeName, Vec<String>>) {
        let budgets: Vec<Selector> = self.budgets.look(|all| {
            let ours = all.values().filter(|budget| budget.namespace == KUBE_SYSTEM);
            ours.filter_map(|budget| budget.selector.clone()).collect()
        });
        let claims = self.claims.look(|all| all.values().cloned().collect::<Vec<_>>());
        let volumes = self.volumes.look(|all| all.values().cloned().collect::<Vec<_>>());
        let classes = self.classes.look(|all| all.values().cloned().collect::<Vec<_>>());
        let attachments = self.attachments.look(|all| all.values().cloned().collect::<Vec<_>>());
        let mut storage = storage(&claims, &volumes, &classes);
        self.pods.look(|all| {
            take(&mut storage, all);
            for seen in all.values_mut().filter(|seen| seen.is_system || !seen.uses.is_empty()) {
                self.judge(seen, &budgets, &storage);
            }
            let attached = attachments::by_node(attachments, all.values(), &storage);
            (all.values().map(|seen| seen.pod.clone()).collect(), attached)
        })
    }

    /// What depends on other objects: where its volumes let a pod be, and whether a budget speaks for it.
    fn judge(&self, seen: &mut Seen, budgets: &[Selector], storage: &Storage<'_>) {
        let spec = &seen.pod.spec;
        let needs = storage.needs(&spec.namespace, &seen.uses, seen.pod.node().is_some());
        let is_held = seen.is_system && !budgets.iter().any(|budget| budget.chooses(&spec.labels));
        if needs != spec.volumes {
            let spec = PodSpec { volumes: needs, ..PodSpec::clone(spec) };
            Arc::make_mut(&mut seen.pod).spec = lock(&self.specs).shared(spec);
        }
        if is_held != seen.pod.pins.contains(&Pin::KubeSystem) {
            let pins = &mut Arc::make_mut(&mut seen.pod).pins;
            pins.retain(|pin| *pin != Pin::KubeSystem);
            pins.extend(is_held.then_some(Pin::KubeSystem));
        }
    }
}

fn lock(specs: &Mutex<Specs>) -> std::sync::MutexGuard<'_, Specs> {
    specs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In an order that does not depend on when each was told.
fn sorted<T>(mut all: Vec<Arc<T>>, name: impl Fn(&T) -> &str) -> Vec<Arc<T>> {
    all.sort_unstable_by(|a, b| name(a).cmp(name(b)));
    all
}

fn namespace(namespace: &api::Namespace) -> Option<Namespace> {
    let meta = &namespace.metadata;
    Some(Namespace {
        name: meta.name.clone()?,
        uid: meta.uid.clone()?,
        labels: meta.labels.clone().unwrap_or_default(),
    })
}

fn budget(budget: &PodDisruptionBudget) -> Option<Budget> {
    Some(Budget {
        namespace: budget.metadata.namespace.clone()?,
        selector: budget.spec.as_ref()?.selector.as_ref().map(selector),
    })
}

fn storage<'a>(claims: &'a [Claim], volumes: &'a [Volume], classes: &'a [Class]) -> Storage<'a> {
    let mut storage = Storage::default();
    let key = |claim: &'a Claim| (claim.namespace.as_str(), claim.name.as_str());
    storage.claims.extend(claims.iter().map(|claim| (key(claim), claim)));
    storage.volumes.extend(volumes.iter().map(|volume| (volume.name.as_str(), volume)));
    storage.classes.extend(classes.iter().map(|class| (class.name.as_str(), class)));
    storage
}

/// Notes which claims that are for one pod only are used by one on a node.
fn take<'a>(storage: &mut Storage<'a>, pods: &HashMap<Uid, Seen>) {
    let placed = pods.values().filter(|seen| seen.pod.node().is_some());
    for seen in placed.filter(|seen| seen.pod.kind == PodKind::Normal) {
        for used in &seen.uses {
            let key = (seen.pod.spec.namespace.as_str(), used.claim.as_str());
            let claim: Option<&'a Claim> = storage.claims.get(&key).copied();
            if let Some(claim) = claim.filter(|claim| claim.is_for_one_pod()) {
                storage.taken.insert((&claim.namespace, &claim.name));
            }
        }
    }
}
