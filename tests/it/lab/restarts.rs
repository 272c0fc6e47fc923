//! The Docker itself is killed and started again: amid a launch, and under workers that run.

use crate::support::gate::Gate;
use crate::support::lab::{Lab, Wanted, ground};

async fn id_of(lab: &Lab, container: &str) -> Vec<String> {
    lab.dockerd.says(&["inspect", "--format", "{{.Id}}", container]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_that_is_restarted_amid_a_launch_ends_up_with_what_was_asked_and_no_more() {
    let Some((dockerd, plane)) = ground().await else { return };
    let gate = Gate::of(&dockerd);
    let wanted = Wanted { docker: Some(gate.url()), ..Wanted::default() };
    let mut lab = Lab::start_on(dockerd, plane, &wanted).await;
    lab.grow(1, 1).await;
    let first = lab.containers().await.remove(0);
    let before = id_of(&lab, &first).await;
    gate.hold_an_answer();
    lab.wish(1).await;
    lab.until("a second container to be made", async || lab.containers().await.len() == 2).await;
    lab.dockerd.restart().await;
    lab.until("both workers to be Ready", async || lab.are_ready(2).await).await;
    assert_eq!(lab.containers().await.len(), 2, "the one that was made is taken");
    assert_eq!(
        id_of(&lab, &first).await,
        before,
        "Docker started the other again, with what it had"
    );
    let history = lab.told("history").await;
    let lost = history.iter().find(|entry| entry["reason"]["code"] == "lost");
    assert!(lost.is_none(), "{lost:#?}");
    lab.wish(-2).await;
    lab.until("all to be gone", async || {
        lab.workers().await.is_empty() && lab.nodes().await.is_empty() && lab.is_clean().await
    })
    .await;
}
