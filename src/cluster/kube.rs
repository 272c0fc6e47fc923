//! A real cluster: watched, and changed in small steps, through its apiserver.
//!
//! What is seen is put together from one watch per kind. It is as old as the one that was not heard of for the longest
//! time, and unknown until all of them were listed whole. Every change names the UID of what it is meant for.

mod access;
mod attachments;
mod constraints;
mod events;
mod evict;
mod lease;
mod marks;
mod nodes;
mod pins;
mod pods;
mod quantity;
mod removal;
mod requests;
mod time;
mod view;
mod volumes;
mod watch;

pub use lease::Witness;

use super::{Error, Eviction, Manner, Mark, Result};
use crate::clock::Clock;
use crate::config::{ClusterConfig, Kubernetes};
use crate::model::{ClusterView, NodeRef, Note, View};
use ::kube::{Api, Client};
use access::{Access, told};
use async_trait::async_trait;
use events::Events;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::time::Duration;
use tokio::task::JoinSet;
use view::Objects;

/// The namespace of the control plane: its UID says which cluster this is.
const KUBE_SYSTEM: &str = "kube-system";

/// One cluster. Its watches end with it, and what it has still to tell.
pub struct Kube {
    client: Client,
    objects: Objects,
    events: Events,
    clock: Clock,
    /// Limit for one call.
    call: Duration,
    _tasks: JoinSet<()>,
}

impl std::fmt::Debug for Kube {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kube").field("objects", &self.objects).finish_non_exhaustive()
    }
}

impl Kube {
    /// Connects to the cluster that the configuration names, and begins to watch. An apiserver that is away is no
    /// error: until it answers, what is there is unknown.
    ///
    /// # Errors
    /// In words, with the field: there is no such file or context, or it cannot be read.
    pub async fn connect(
        kubernetes: &Kubernetes,
        limits: &ClusterConfig,
        clock: Clock,
    ) -> std::result::Result<Self, String> {
        let access = Access::open(kubernetes, limits.timing.view_max_age).await?;
        let mut tasks = JoinSet::new();
        let objects = Objects::watch(&access, clock, &mut tasks).map_err(|error| told(&error))?;
        let client = access.client().map_err(|error| told(&error))?;
        let events = Events::start(client.clone(), &mut tasks);
        Ok(Self { client, objects, events, clock, call: limits.timing.call, _tasks: tasks })
    }

    /// The cluster's witness.
    pub fn witness(&self) -> Witness {
        Witness::new(self.client.clone(), self.clock)
    }

    fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// One call that changes something, no longer than its limit.
    async fn within<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let late = || Error::Unavailable(format!("no answer within {:?}", self.call));
        tokio::time::timeout(self.call, call).await.map_err(|_| late())?
    }
}

#[async_trait]
impl super::Cluster for Kube {
    async fn observe(&self) -> View<ClusterView> {
        self.objects.view(self.clock)
    }

    async fn changed(&self) {
        self.objects.changed().await;
    }

    async fn cordon(&self, node: &NodeRef, mark: &Mark) -> Result<()> {
        self.within(marks::cordon(&self.nodes(), node, mark)).await
    }

    async fn uncordon(&self, node: &NodeRef) -> Result<()> {
        self.within(marks::uncordon(&self.nodes(), node)).await
    }

    async fn evict_step(&self, node: &NodeRef, manner: Manner) -> Result<Eviction> {
        self.within(evict::step(&self.client, &self.nodes(), node, manner)).await
    }

    fn tell(&self, notes: Vec<Note>) {
        self.events.tell(notes);
    }

    async fn remove_node(&self, node: &NodeRef) -> Result<()> {
        let pods = self.objects.movable_on(&node.name);
        let seen = self.objects.version(node);
        self.within(removal::remove(&self.client, &self.nodes(), node, seen, pods)).await
    }
}

/// What an error of the apiserver means to us.
fn error(cause: &::kube::Error) -> Error {
    match cause {
        ::kube::Error::Api(status) => match status.code {
            404 => Error::NotFound,
            401 | 403 => Error::Denied(told(cause)),
            409 => Error::Conflict,
            _ => Error::Unavailable(told(cause)),
        },
        _ => Error::Unavailable(told(cause)),
    }
}
