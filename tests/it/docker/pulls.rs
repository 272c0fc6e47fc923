//! An image that is not there: a real Docker gets it from a registry that gives it when a test says so.

use super::{pool, request, start};
use crate::support::registry::{Registry, SIZE};
use crate::support::wait;
use bellwether::model::InstanceState;
use bellwether::provider::{Docker, Error, LeftBehind, Provider as _};

/// What a launch of one worker says while it cannot be.
async fn refusal(docker: &Docker) -> String {
    docker.launch(&request(&["w1"])).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_says_how_far_its_image_is_and_goes_on_once_it_is_there() {
    let Some(yard) = start().await else { return };
    let registry = Registry::start(&yard.dockerd, "amd64").await;
    let docker = yard.with(|config| config.image = registry.image());
    wait::until("how far it is", async || refusal(&docker).await.contains(" MB so far)")).await;
    let told = refusal(&docker).await;
    assert!(told.contains(&format!(" of {} MB", registry.size() / 1_000_000)), "{told}");
    assert_eq!((yard.containers().await.len(), yard.volumes().await.len()), (0, 0));
    registry.give();
    let launched = async || docker.launch(&request(&["w1", "w2"])).await;
    wait::until("the image", async || launched().await.is_ok()).await;
    assert_eq!(launched().await.unwrap().instances.len(), 2);
    let listed = docker.list(&pool()).await.unwrap();
    assert!(listed.iter().all(|one| one.state == InstanceState::Running), "{listed:#?}");
    assert_eq!((listed.len(), registry.times_asked()), (2, 1), "it is pulled once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_amid_a_pull_is_told_as_no_room_and_the_next_pull_is_whole() {
    let Some(yard) = start().await else { return };
    let registry = Registry::start(&yard.dockerd, "amd64").await;
    registry.give();
    let few = (SIZE / 4).to_string();
    yard.dockerd.has_room_for_pulls(Some(&few)).await;
    let docker = yard.with(|config| config.image = registry.image());
    let full = async || docker.launch(&request(&["w1"])).await;
    let is_full =
        |error: &Error| matches!(error, Error::Capacity(told) if told.contains("no space left"));
    let is_told = async || {
        full().await.is_ok_and(|launched| launched.failed.iter().any(|(_, error)| is_full(error)))
    };
    wait::until("the disk to be full", is_told).await;
    let launched = full().await.unwrap();
    assert_eq!(launched.short.len(), 1, "the zone has no room: {launched:?}");
    assert_eq!((yard.containers().await.len(), yard.volumes().await.len()), (0, 0));
    yard.dockerd.has_room_for_pulls(None).await;
    let later = yard.with(|config| config.image = registry.image());
    let comes = async || later.launch(&request(&["w1"])).await.is_ok();
    wait::until("the image", comes).await;
    assert_eq!(yard.containers().await, ["w1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_for_another_machine_is_pulled_and_then_refused_before_anything_is_made() {
    let Some(yard) = start().await else { return };
    let registry = Registry::start(&yard.dockerd, "arm64").await;
    registry.give();
    let docker = yard.with(|config| config.image = registry.image());
    let refused = async || {
        let launched = docker.launch(&request(&["w1"])).await.ok()?;
        launched.failed.into_iter().next().map(|(_, error)| error)
    };
    wait::until("it to be refused", async || refused().await.is_some()).await;
    let error = refused().await.unwrap();
    assert!(matches!(&error, Error::Invalid(told) if told.contains("is for arm64")), "{error}");
    assert_eq!(error.left_behind(), LeftBehind::Nothing);
    assert_eq!((yard.containers().await.len(), yard.volumes().await.len()), (0, 0));
}
