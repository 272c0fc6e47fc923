//! The name of our receiver is an expression to Alertmanager, and operators rename it.

use super::scene::{ONCE, Plot, Scene, fields};
use super::{UP, on_both};
use bellwether::model::Reason;

/// The shipped file with our receiver under another name.
fn named(version: &'static str, route: &'static str, receiver: &'static str) -> Plot {
    let edits = vec![("      receiver: bellwether", route), ("  - name: bellwether", receiver)];
    Plot { edits, ..Plot::new(version, ONCE) }
}

/// Bodies name the receiver as a quoted expression, and `GET /api/v2/alerts?receiver=` takes one: a name with signs of
/// its own is neither compared literally nor asked for unquoted, where it would match nothing, or others.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_whose_name_is_an_expression_acts_once() {
    on_both(|version| async move {
        let (route, receiver) = (
            "      receiver: monitoring/main/bell+wether",
            "  - name: monitoring/main/bell+wether",
        );
        let mut plot = named(version, route, receiver);
        plot.setting.alertmanager = fields(", receiver: monitoring/main/bell+wether");
        let Some(scene) = Scene::start(plot).await else { return };
        scene.stage.fire("CPUHigh", UP).await;
        let told = scene.delivered("CPUHigh", 1).await.remove(0).body;
        assert_eq!(told["receiver"], "monitoring/main/bell\\+wether", "{version}");
        scene.stage.settled(2).await;
        assert_eq!(scene.still().await, 2);
        scene.stage.stop().await;
    })
    .await;
}

/// prometheus-operator makes `namespace/name/receiver` of a receiver's name: its alerts are delivered as before, but
/// none is found in the API under the name we know. What nothing confirms is not done, and why is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_an_operator_renamed_confirms_nothing_and_is_told() {
    on_both(|version| async move {
        let (route, receiver) =
            ("      receiver: monitoring/main/bellwether", "  - name: monitoring/main/bellwether");
        let Some(scene) = Scene::start(named(version, route, receiver)).await else { return };
        scene.stage.fire("CPUHigh", UP).await;
        scene.delivered("CPUHigh", 1).await;
        scene.refused("CPUHigh", |why| matches!(why, Reason::NotConfirmed { .. })).await;
        assert_eq!(scene.still().await, 1, "{version}: only what min asked for");
        let findings = scene.stage.report().findings.clone();
        let is_told = |finding: &String| finding.contains("monitoring/main/bellwether");
        assert!(findings.iter().any(is_told), "{findings:?}");
        scene.stage.stop().await;
    })
    .await;
}
