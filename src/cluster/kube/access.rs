//! The way to an apiserver.

use super::watch::Heard;
use crate::clock::Clock;
use crate::config::Kubernetes;
use http::Response;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::{ClientBuilder, DynBody};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use std::time::Duration;
use tower::util::MapResponseLayer;

/// How long it may take to get a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// The longest that a watch lasts before it is asked for anew; a new answer is how we know that the server is there.
const WATCH: Duration = Duration::from_secs(20);

/// An apiserver and who we are to it.
#[derive(Clone, Debug)]
pub(super) struct Access {
    config: Config,
    watch: Duration,
}

impl Access {
    /// What the configuration names. `view_max_age` is how old what is seen may be.
    pub(super) async fn open(
        kubernetes: &Kubernetes,
        view_max_age: Duration,
    ) -> Result<Self, String> {
        let mut config = match kubernetes {
            Kubernetes::InCluster => Config::incluster().map_err(|error| {
                format!("in_cluster: {}; outside of a pod, set `kubeconfig`", chain(&error))
            })?,
            Kubernetes::File { kubeconfig, context } => {
                let place = kubeconfig.display();
                let file = Kubeconfig::read_from(kubeconfig)
                    .map_err(|error| format!("kubeconfig: {place}: {}", chain(&error)))?;
                if let Some(wanted) = context {
                    is_there(&file, wanted).map_err(|why| format!("context: {why}"))?;
                }
                let options = KubeConfigOptions { context: context.clone(), ..Default::default() };
                Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(|error| format!("kubeconfig: {place}: {}", chain(&error)))?
            }
        };
        config.connect_timeout = Some(CONNECT);
        // "Too many requests" is also how an eviction is refused: our passes ask again.
        config.default_retry = false;
        Ok(Self { config, watch: WATCH.min(view_max_age / 3) })
    }

    /// For calls that end.
    pub(super) fn client(&self) -> Result<Client, kube::Error> {
        Client::try_from(self.config.clone())
    }

    /// For one watch: notes whenever the server is heard.
    pub(super) fn listening(&self, heard: Heard, clock: Clock) -> Result<Client, kube::Error> {
        let note = move |response: Response<Box<DynBody>>| {
            let is_good = response.status().is_success();
            if is_good {
                heard.begins(clock.boottime());
            }
            let heard = heard.clone();
            response.map(move |body| {
                body.map_frame(move |frame| {
                    if is_good {
                        heard.goes_on(clock.boottime());
                    }
                    frame
                })
            })
        };
        let builder = ClientBuilder::try_from(self.config.clone())?;
        Ok(builder.with_layer(&MapResponseLayer::new(note)).build())
    }

    /// How long a watch lasts, in whole seconds.
    pub(super) fn watch_seconds(&self) -> u32 {
        u32::try_from(self.watch.as_secs()).unwrap_or(u32::MAX).max(1)
    }
}

/// Whether a kubeconfig has a context, and which it has otherwise.
fn is_there(file: &Kubeconfig, wanted: &str) -> Result<(), String> {
    let names: Vec<&str> = file.contexts.iter().map(|context| context.name.as_str()).collect();
    if names.contains(&wanted) {
        return Ok(());
    }
    Err(format!("there is no context {wanted}; there are: {}", names.join(", ")))
}

/// What went wrong in a call, in the apiserver's own words where they are its own: of a missing right they name the verb and the
/// resource, and we say what grants it.
pub(super) fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.is_forbidden() && !status.message.is_empty() => {
            format!("{} (deploy/rbac.yaml grants what Bellwether needs)", status.message)
        }
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("{} ({})", status.reason, status.code),
        other => chain(other),
    }
}

/// An error with what caused it. Some of the library's repeat their cause in their own words.
fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !told.contains(&words) {
            told = format!("{told}: {words}");
        }
        source = cause.source();
    }
    told
}
