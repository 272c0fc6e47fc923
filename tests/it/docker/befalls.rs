//! What happens to containers that are not ours to end: people are told of it.

use super::{Yard, pool, start};
use crate::support::wait;
use bellwether::model::{Instance, InstanceState};
use bellwether::provider::Provider as _;

/// Asks for more memory than the container may have.
const HOG: &str = "/bin/busybox awk 'BEGIN { s = \"x\"; while (1) s = s s }'";

impl Yard {
    /// Its only machine, once that is told of.
    async fn told(&self, words: &str) -> Instance {
        let told = async || self.list().await.remove(0);
        let holds =
            async || told().await.told.is_some_and(|told| words.is_empty() || told.contains(words));
        wait::until(words, holds).await;
        told().await
    }

    /// Something that runs beside the first process of a container, until it ends or is ended.
    async fn beside(&self, name: &str, script: &str) {
        self.dockerd.tries(&["exec", name, "/bin/busybox", "sh", "-c", script]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_container_is_told_with_what_lets_it_go_on() {
    let Some(yard) = start().await else { return };
    yard.one("w1").await;
    assert_eq!(yard.list().await[0].told, None);
    yard.dockerd.does(&["pause", "w1"]).await;
    let paused = yard.list().await.remove(0);
    assert_eq!(paused.told.as_deref(), Some("it is paused: `docker unpause w1` lets it go on"));
    assert_eq!(paused.state, InstanceState::Running, "it may go on, with all that it had");
    yard.dockerd.does(&["unpause", "w1"]).await;
    assert_eq!(yard.list().await[0].told, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_ran_out_is_told_of_a_container_that_goes_on() {
    let Some(yard) = start().await else { return };
    yard.one("w1").await;
    yard.beside("w1", HOG).await;
    let hurt = yard.told("its memory ran out at 20").await;
    assert_eq!(hurt.state, InstanceState::Running);
    assert_eq!(yard.list().await[0].told, hurt.told, "the same words for the same thing");
    // Of another pool's nothing is told here.
    assert_eq!(yard.docker.list(&"others".into()).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_was_ended_for_its_memory_and_started_again_is_told() {
    let Some(yard) = start().await else { return };
    let id = yard.one("w1").await;
    // The kernel takes the first process of it before all others, none of which has the most.
    let hogs = format!("echo 1000 >/proc/1/oom_score_adj; {HOG} & {HOG} & {HOG}");
    yard.beside("w1", &hogs).await;
    let back = yard.told("it ended with code 137, out of memory, at 20").await;
    assert_eq!((back.id, back.state), (id, InstanceState::Running));
    // Whoever looks for the first time is told of it too.
    let anew = yard.with(|_| ());
    assert_eq!(anew.list(&pool()).await.unwrap()[0].told, back.told);
}
