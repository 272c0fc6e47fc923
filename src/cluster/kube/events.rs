//! What we did and why, told as Kubernetes' Events, which `kubectl describe` shows. The library makes one of what is said
//! again within some minutes, by who tells, about what, the reason and the action.

use super::access::told;
use crate::model::{About, Note};
use ::kube::Client;
use ::kube::runtime::events::{Event, EventType, Recorder, Reporter};
use k8s_openapi::api::core::v1::ObjectReference;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Who tells.
const CONTROLLER: &str = "bellwether.dev/bellwether";

/// So many may wait to be told; what is more is not.
const WAITING: usize = 256;

/// Limit for one call.
const CALL: Duration = Duration::from_secs(10);

/// What the apiserver takes of one text, in bytes.
const LONGEST: usize = 1_000;

/// Takes what is to be told.
#[derive(Debug)]
pub(super) struct Events(mpsc::Sender<Note>);

impl Events {
    /// Tells one after the other, in a task of its own.
    pub(super) fn start(client: Client, tasks: &mut JoinSet<()>) -> Self {
        let (sender, mut notes) = mpsc::channel::<Note>(WAITING);
        let recorder = Recorder::new(client, Reporter::from(CONTROLLER));
        tasks.spawn(async move {
            while let Some(note) = notes.recv().await {
                let (event, about) = (event(&note), reference(&note.about));
                let publish = tokio::time::timeout(CALL, recorder.publish(&event, &about));
                let why = match publish.await {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => told(&error),
                    Err(_) => format!("no answer within {CALL:?}"),
                };
                tracing::debug!(section = "cluster", why, ?note, "not told");
            }
        });
        Self(sender)
    }

    /// Tells them as soon as those before are told.
    pub(super) fn tell(&self, notes: Vec<Note>) {
        for note in notes {
            if let Err(error) = self.0.try_send(note) {
                tracing::debug!(section = "cluster", %error, "not told");
            }
        }
    }
}

fn event(note: &Note) -> Event {
    let cut = note.words.floor_char_boundary(LONGEST);
    Event {
        type_: if note.is_warning { EventType::Warning } else { EventType::Normal },
        reason: note.reason.to_owned(),
        note: Some(note.words[..cut].to_owned()),
        // The library takes two with the same action for one, whatever their words.
        action: format!("{}-{:016x}", note.reason, digest(&note.words)),
        secondary: None,
    }
}

fn digest(words: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    words.hash(&mut hasher);
    hasher.finish()
}

fn reference(about: &About) -> ObjectReference {
    let (kind, namespace, name, uid) = match about {
        About::Node(node) => ("Node", None, node.name.to_string(), &node.uid),
        About::Pod(pod) => ("Pod", Some(pod.namespace.clone()), pod.name.clone(), &pod.uid),
    };
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some(kind.to_owned()),
        namespace,
        name: Some(name),
        uid: Some(uid.to_string()),
        ..ObjectReference::default()
    }
}
