//! How each process of a control plane is started.

use super::Site;
use crate::support::ports;

/// One of its processes, in the order in which they need each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Etcd,
    ApiServer,
    Controllers,
    Scheduler,
    Kwok,
}

/// Nothing of a test must outlive its machine, so nothing waits for the disk.
const ETCD: &str = "etcd --name=one --data-dir=data --unsafe-no-fsync --log-level=warn
    --listen-client-urls=http://127.0.0.1:PORT --advertise-client-urls=http://127.0.0.1:PORT
    --listen-peer-urls=http://127.0.0.1:PEER --initial-advertise-peer-urls=http://127.0.0.1:PEER
    --initial-cluster=one=http://127.0.0.1:PEER";

/// It advertises an address of documentation, since it takes none of the loopback and a machine may have no other.
const API_SERVER: &str = "kube-apiserver --etcd-servers=http://127.0.0.1:ETCD
    --bind-address=ADDRESS --secure-port=PORT --advertise-address=192.0.2.1 --endpoint-reconciler-type=none
    --cert-dir=. --tls-cert-file=FOLDER/server.pem --tls-private-key-file=FOLDER/server.key
    --token-auth-file=FOLDER/tokens.csv --authorization-mode=Node,RBAC
    --service-account-issuer=https://kubernetes.default.svc
    --service-account-signing-key-file=FOLDER/server.key --service-account-key-file=FOLDER/server.pem
    --service-cluster-ip-range=10.0.0.0/24 --disable-admission-plugins=PLUGINS";

const CONTROLLERS: &str = "kube-controller-manager --kubeconfig=FOLDER/kubeconfig
    --authentication-kubeconfig=FOLDER/kubeconfig --authorization-kubeconfig=FOLDER/kubeconfig
    --bind-address=127.0.0.1 --secure-port=PORT
    --tls-cert-file=FOLDER/server.pem --tls-private-key-file=FOLDER/server.key
    --service-account-private-key-file=FOLDER/server.key --use-service-account-credentials=false
    --leader-elect=false";

const SCHEDULER: &str = "kube-scheduler --kubeconfig=FOLDER/kubeconfig
    --authentication-kubeconfig=FOLDER/kubeconfig --authorization-kubeconfig=FOLDER/kubeconfig
    --bind-address=127.0.0.1 --secure-port=PORT
    --tls-cert-file=FOLDER/server.pem --tls-private-key-file=FOLDER/server.key
    --leader-elect=false";

const KWOK: &str = "--kubeconfig=FOLDER/kubeconfig --config=STAGES --server-address=127.0.0.1:PORT
    --manage-all-nodes=false --manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake
    --node-lease-duration-seconds=40 --cidr=10.1.0.0/16 --node-ip=10.2.0.1";

impl Part {
    /// The words of its command line behind the program.
    pub(super) fn words(self, site: &Site, port: u16, controllers: bool) -> Vec<String> {
        // Nodes are born with a taint that a controller takes away once they are Ready, and pods of no account are
        // refused until a controller has made one.
        let plugins =
            if controllers { "ServiceAccount" } else { "ServiceAccount,TaintNodesByCondition" };
        let stages = site.kwok.with_file_name("../share/stages.yaml");
        let said = match self {
            Self::Etcd => ETCD,
            Self::ApiServer => API_SERVER,
            Self::Controllers => CONTROLLERS,
            Self::Scheduler => SCHEDULER,
            Self::Kwok => KWOK,
        };
        let said = said
            .replace("PORT", &port.to_string())
            .replace("PEER", &ports::free().to_string())
            .replace("ETCD", &site.etcd.to_string())
            .replace("ADDRESS", &site.address)
            .replace("PLUGINS", plugins);
        // Paths come last and into single words, whatever they hold.
        let folder = site.folder.path().display().to_string();
        let whole = |word: &str| {
            word.replace("FOLDER", &folder).replace("STAGES", &stages.display().to_string())
        };
        said.split_whitespace().map(whole).collect()
    }

    pub(super) fn scheme(self) -> &'static str {
        if matches!(self, Self::Etcd | Self::Kwok) { "http" } else { "https" }
    }

    /// The path that answers success once it is ready.
    pub(super) fn ready(self) -> &'static str {
        if self == Self::Controllers { "/healthz" } else { "/readyz" }
    }
}
