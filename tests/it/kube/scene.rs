//! Two workers of one pod each, of which one is to leave.

use super::{create, pod};
use crate::support::control_plane::{AUDITED, Setting, is_running, until};
#[cfg(feature = "killpoints")]
use crate::support::observer::Observer;
use crate::support::yard::Yard;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

/// More workers than are asked for at any time here.
#[cfg(feature = "killpoints")]
const MAX: usize = 3;

/// Two workers of one pod each.
pub(super) struct Scene(pub(super) Yard);

impl std::ops::Deref for Scene {
    type Target = Yard;

    fn deref(&self) -> &Yard {
        &self.0
    }
}

impl Scene {
    pub(super) async fn start(timeout: &str) -> Option<Self> {
        Self::start_with(&format!("drain: {{ timeout: {timeout} }}")).await
    }

    /// The same, with what else is said of the pool.
    pub(super) async fn start_with(pool: &str) -> Option<Self> {
        let setting = Setting { flags: AUDITED.into(), ..Setting::default() };
        Self::on(Yard::start(&setting, pool).await?).await
    }

    pub(super) async fn on(yard: Yard) -> Option<Self> {
        let scene = Self(yard);
        scene.grow(2, 2).await;
        scene.runs("first").await;
        scene.runs("second").await;
        Some(scene)
    }

    /// One worker is to go, and no pod may be away: which one it is.
    pub(super) async fn blocked_drain(&self) -> String {
        self.guard("web").await;
        self.wish(-1).await;
        self.until("a pod to be kept", async || self.blocked().await.is_some()).await;
        self.blocked().await.unwrap()
    }

    /// A pod that something would make again, and that has a node to itself.
    pub(super) async fn runs(&self, name: &str) {
        let mut object = pod(name, "1500m");
        object["metadata"]["labels"]["app"] = "web".into();
        object["metadata"]["annotations"] =
            json!({ "cluster-autoscaler.kubernetes.io/safe-to-evict": "true" });
        let term = json!({ "labelSelector": { "matchLabels": { "app": "web" } },
            "topologyKey": "kubernetes.io/hostname" });
        let preferred = json!([{ "weight": 100, "podAffinityTerm": term }]);
        object["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] =
            preferred;
        create::<Pod>(&self.plane.pods().await, object).await;
        until(&self.plane.pods().await, name, "the pod to run", is_running).await;
    }

    /// A budget that permits no pod to be away.
    pub(super) async fn guard(&self, name: &str) {
        let selector = json!({ "matchLabels": { "app": "web" } });
        let spec = json!({ "selector": selector, "minAvailable": 2 });
        let budget = json!({ "metadata": { "name": name }, "spec": spec });
        create(&self.budgets().await, budget).await;
        let is_counted = |budget: &PodDisruptionBudget| {
            budget.status.as_ref().is_some_and(|status| status.current_healthy == 2)
        };
        until(&self.budgets().await, name, "the budget to be counted", is_counted).await;
    }

    pub(super) async fn unguard(&self, name: &str) {
        self.budgets().await.delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub(super) async fn budgets(&self) -> Api<PodDisruptionBudget> {
        Api::default_namespaced(self.plane.client().await)
    }

    /// The worker of which a pod is kept.
    pub(super) async fn blocked(&self) -> Option<String> {
        let workers = self.workers().await;
        let blocked = workers.iter().find(|worker| worker["blocked"].is_string())?;
        Some(blocked["id"].as_str().unwrap().to_owned())
    }

    /// Waits until a pod is kept by what says so.
    pub(super) async fn is_kept_by(&self, words: &str) {
        self.until(words, async || {
            let workers = self.workers().await;
            let mut by = workers.iter().filter_map(|worker| worker["blocked"].as_str());
            by.any(|by| by.contains(words))
        })
        .await;
    }

    /// One worker and its pod are gone, node and machine, and no more than that; and the API server's own record says that nothing
    /// was done which may not be.
    pub(super) async fn ends_one(&self) {
        self.until("one worker", async || self.are_ready(1).await && self.nodes().await.len() == 1)
            .await;
        let machines = self.world.machines();
        let live = machines.iter().filter(|machine| machine.is_live()).count();
        assert_eq!(live, 1, "{machines:#?}");
        let pods = self.plane.pods().await.list(&ListParams::default()).await.unwrap();
        assert_eq!(pods.items.len(), 1);
        #[cfg(feature = "killpoints")]
        self.is_judged().await;
    }

    #[cfg(feature = "killpoints")]
    async fn is_judged(&self) {
        let wrong = Observer::of(&self.plane.audit()).judge(MAX, &self.history().await);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
