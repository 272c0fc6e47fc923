//! The service account of `deploy/rbac.yaml`, with what that manifest grants it and no more.

use super::ControlPlane;
use super::objects::create;
use crate::support::wait;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::Api;
use kube::api::PostParams;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::path::PathBuf;

/// Its name, as the API server knows it.
pub(crate) const SERVICE: &str = "system:serviceaccount:bellwether:bellwether";

/// Where it is.
const NAMESPACE: &str = "bellwether";

/// The manifest's documents.
pub(crate) fn manifest() -> Vec<Value> {
    let text = include_str!("../../../../deploy/rbac.yaml");
    text.split("---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

async fn made<K: Clone + Debug + DeserializeOwned + Serialize>(api: &Api<K>, object: Value) {
    create(api, object).await;
}

impl ControlPlane {
    /// Creates what the documents of such a manifest say.
    pub(crate) async fn apply(&self, manifest: Vec<Value>) {
        let client = self.client().await;
        for document in manifest {
            let (client, at) = (client.clone(), document["metadata"]["namespace"].clone());
            let at = at.as_str().unwrap_or_default();
            match document["kind"].as_str().unwrap() {
                "Namespace" => made::<Namespace>(&Api::all(client), document).await,
                "ServiceAccount" => {
                    made::<ServiceAccount>(&Api::namespaced(client, at), document).await;
                }
                "ClusterRole" => made::<ClusterRole>(&Api::all(client), document).await,
                "ClusterRoleBinding" => {
                    made::<ClusterRoleBinding>(&Api::all(client), document).await;
                }
                "Role" => made::<Role>(&Api::namespaced(client, at), document).await,
                "RoleBinding" => made::<RoleBinding>(&Api::namespaced(client, at), document).await,
                other => panic!("{other} is applied nowhere"),
            }
        }
    }

    /// A kubeconfig of the service account, once what it may do is known to the API server.
    pub(crate) async fn service(&self) -> PathBuf {
        self.service.get_or_init(|| self.make_service()).await.clone()
    }

    async fn make_service(&self) -> PathBuf {
        self.apply(manifest()).await;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await, NAMESPACE);
        let request: TokenRequest =
            serde_json::from_value(json!({ "metadata": {}, "spec": { "audiences": [] } })).unwrap();
        let params = PostParams::default();
        let made = accounts.create_token_request("bellwether", &params, &request).await;
        let token = made.unwrap().status.unwrap().token;
        let file = std::fs::read_to_string(self.kubeconfig()).unwrap();
        let mut file: Value = serde_json::from_str(&file).unwrap();
        file["users"][0]["user"] = json!({ "token": token });
        let path = self.kubeconfig().with_file_name("kubeconfig-service");
        std::fs::write(&path, file.to_string()).unwrap();
        self.is_known(&path).await;
        path
    }

    /// The last that the manifest grants.
    async fn is_known(&self, file: &std::path::Path) {
        let asked = json!({ "spec": { "resourceAttributes": {
            "resource": "secrets", "verb": "delete", "namespace": "kube-system",
        } } });
        let reviews: Api<SelfSubjectAccessReview> =
            Api::all(super::client(file, super::ADMIN).await);
        wait::until("the service account's rights", || async {
            create(&reviews, asked.clone()).await.status.is_some_and(|status| status.allowed)
        })
        .await;
    }
}
