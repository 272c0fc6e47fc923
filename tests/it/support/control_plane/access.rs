//! Who may speak to a control plane, and the files that say how.

use super::objects::create;
use super::{ControlPlane, Part, Site};
use crate::support::wait;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use std::path::Path;

/// The token, the name and the context of a user who may do everything.
pub(crate) const ADMIN: &str = "admin";

/// The same of one who may do nothing until a test permits it.
pub(crate) const RESTRICTED: &str = "restricted";

/// Writes a kubeconfig of contexts, each a control plane and a user's token. The first one is the current.
pub(crate) fn write_kubeconfig(file: &Path, contexts: &[(&str, &ControlPlane, &str)]) {
    let contexts: Vec<_> =
        contexts.iter().map(|(name, plane, token)| (*name, &plane.site, *token)).collect();
    write(file, &contexts);
}

pub(super) fn write(file: &Path, contexts: &[(&str, &Site, &str)]) {
    let each = |entry: &dyn Fn(&Site, &str, &str) -> Value| -> Vec<Value> {
        contexts.iter().map(|(name, site, token)| entry(site, name, token)).collect()
    };
    // JSON is YAML.
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": contexts[0].0,
        "contexts": each(&|_, name, _| json!({ "name": name, "context": { "cluster": name, "user": name } })),
        "users": each(&|_, name, token| json!({ "name": name, "user": { "token": token } })),
        "clusters": each(&|site, name, _| json!({
            "name": name,
            "cluster": { "server": site.url(), "certificate-authority": site.authority.ca_file() },
        })),
    });
    std::fs::write(file, text.to_string()).unwrap();
}

/// Writes the tokens that the API server takes.
pub(super) fn write_users(folder: &Path) {
    let text =
        format!("{ADMIN},{ADMIN},{ADMIN},system:masters\n{RESTRICTED},{RESTRICTED},{RESTRICTED}\n");
    std::fs::write(folder.join("tokens.csv"), text).unwrap();
}

/// Flags by which the API server notes who asked it for what.
pub(crate) const AUDITED: [(Part, &str); 2] = [
    (Part::ApiServer, "--audit-log-path=FOLDER/audit.log"),
    (Part::ApiServer, "--audit-policy-file=FOLDER/audit.json"),
];

/// Writes what is noted of a request: who and what, once it is answered; and the words of what is written about nodes and of
/// where pods go.
pub(super) fn write_audit_policy(folder: &Path) {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {
                "level": "Request",
                "verbs": ["create", "patch", "update", "delete"],
                "resources": [{ "group": "", "resources": ["nodes", "pods/binding"] }],
            },
            { "level": "Metadata" },
        ],
    });
    std::fs::write(folder.join("audit.json"), policy.to_string()).unwrap();
}

impl ControlPlane {
    /// A client that may do everything.
    pub(crate) async fn client(&self) -> kube::Client {
        self.client_of(ADMIN).await
    }

    /// A client of a context of its kubeconfig. It repeats nothing by itself: what is refused is to be seen.
    pub(crate) async fn client_of(&self, context: &str) -> kube::Client {
        client(&self.kubeconfig(), context).await
    }

    /// Lets [`RESTRICTED`] do what these RBAC rules say, everywhere.
    pub(crate) async fn permit(&self, rules: Value) {
        let client = self.client().await;
        let name = json!({ "generateName": RESTRICTED });
        let role = json!({ "metadata": name, "rules": rules });
        let role: ClusterRole = create(&Api::all(client.clone()), role).await;
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "metadata": name,
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": role.metadata.name },
            "subjects": [{ "apiGroup": group, "kind": "User", "name": RESTRICTED }],
        });
        create::<ClusterRoleBinding>(&Api::all(client), binding).await;
        self.takes_effect(&rules[0]).await;
    }

    /// The API server hears of a rule a moment after it is there.
    async fn takes_effect(&self, rule: &Value) {
        let resource = rule["resources"][0].as_str().unwrap();
        let (resource, below) = resource.split_once('/').unwrap_or((resource, ""));
        let review = json!({ "spec": { "resourceAttributes": {
            "group": rule["apiGroups"][0], "resource": resource, "subresource": below, "verb": rule["verbs"][0],
        } } });
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client_of(RESTRICTED).await);
        wait::until("the rules to take effect", || async {
            create(&reviews, review.clone()).await.status.is_some_and(|status| status.allowed)
        })
        .await;
    }
}

/// A client of a context of any kubeconfig.
pub(crate) async fn client(kubeconfig: &Path, context: &str) -> kube::Client {
    bellwether::wire::install_crypto();
    let file = Kubeconfig::read_from(kubeconfig).unwrap();
    let options =
        KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    let mut config = kube::Config::from_custom_kubeconfig(file, &options).await.unwrap();
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}
