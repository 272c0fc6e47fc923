//! The story so far: which scenes are over, which is playing, and how long each took.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A shared list of scenes.
#[derive(Clone, Debug)]
pub(super) struct Board {
    scenes: Arc<Mutex<Vec<Scene>>>,
    started: Instant,
}

/// One scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scene {
    /// What is to be seen.
    pub(super) title: &'static str,
    /// Where it stands.
    pub(super) state: SceneState,
    /// What was measured, or what went wrong.
    pub(super) notes: Vec<String>,
}

/// Where a scene stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SceneState {
    /// Not begun.
    Waiting,
    /// Since then, from the demo's start.
    Playing(Duration),
    /// Seen, and how long it took.
    Done(Duration),
    /// Did not happen.
    Failed,
}

impl Board {
    /// All scenes, none begun.
    pub(super) fn new(titles: &[&'static str]) -> Self {
        let scene =
            |title: &&'static str| Scene { title, state: SceneState::Waiting, notes: Vec::new() };
        Self {
            scenes: Arc::new(Mutex::new(titles.iter().map(scene).collect())),
            started: Instant::now(),
        }
    }

    /// Time since the demo began.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time since a moment of the demo.
    pub(super) fn since(&self, began: Duration) -> Duration {
        self.elapsed().saturating_sub(began)
    }

    /// A scene begins.
    pub(super) fn begin(&self, title: &'static str) {
        let now = self.elapsed();
        self.change(title, |scene| scene.state = SceneState::Playing(now));
    }

    /// Something worth telling was measured.
    pub(super) fn note(&self, title: &'static str, note: String) {
        self.change(title, |scene| scene.notes.push(note));
    }

    /// A scene is over: it happened.
    pub(super) fn end(&self, title: &'static str) {
        let now = self.elapsed();
        self.change(title, |scene| {
            if let SceneState::Playing(since) = scene.state {
                scene.state = SceneState::Done(now.saturating_sub(since));
            }
        });
    }

    /// The scene that is playing did not happen.
    pub(super) fn fail(&self) {
        for scene in self.scenes.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if matches!(scene.state, SceneState::Playing(_)) {
                scene.state = SceneState::Failed;
            }
        }
    }

    /// The scenes as they stand.
    pub(super) fn scenes(&self) -> Vec<Scene> {
        self.scenes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether every scene really happened.
    pub(super) fn is_complete(&self) -> bool {
        self.scenes().iter().all(|scene| matches!(scene.state, SceneState::Done(_)))
    }

    fn change(&self, title: &'static str, change: impl FnOnce(&mut Scene)) {
        let mut scenes = self.scenes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scene) = scenes.iter_mut().find(|scene| scene.title == title) {
            change(scene);
        }
    }
}
