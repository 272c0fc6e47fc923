//! Much goes wrong at once, and for long; in the end everything adds up.

use crate::support::stage::{Setting, Stage};
use crate::support::wait;
use bellwether::model::{InstanceState, WorkerState};
use bellwether::sim::Faults;
use std::collections::BTreeSet;
use std::time::Duration;

const NEED: &[(&str, &str)] = &[("autoscale", "up"), ("pool", "workers")];

/// three of ten calls to Kubernetes fail, machines take 7.5 to 12.5 s, and two of them are killed on their way.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_apiserver_slow_machines_and_killed_ones_end_in_what_was_asked_for() {
    let pool = "{ provider: { sim: {} }, min: 1, max: 6, min_age: 0s, cooldown: { up: 300ms, down: 300ms } }";
    let setting = Setting { pool: pool.to_owned(), ..Setting::default() };
    let Some(stage) = Stage::start(setting).await else { return };
    stage.settled(1).await;
    let boot = Some(Duration::from_secs(10));
    stage.world.set_faults(Faults { cluster_errors: 30, boot, ..Faults::default() });
    stage.pods(9);
    stage.fire("PodsUnschedulable", NEED).await;
    let alive = || {
        let machines = stage.world.machines();
        machines.into_iter().filter(|machine| machine.state != InstanceState::Gone)
    };
    wait::until("four machines more", || async { alive().count() == 5 }).await;
    let killed: Vec<String> = alive().skip(3).map(|machine| machine.id.to_string()).collect();
    for id in &killed {
        stage.world.kill(id).unwrap();
    }
    wait::until("five Ready workers, and nothing else", || async {
        assert!(alive().count() <= 6, "never more than max: {:#?}", stage.world.calls());
        let ready = |worker: &bellwether::model::Worker| worker.state == WorkerState::Ready;
        let report = stage.report();
        report.workers.len() == 5 && report.workers.iter().all(ready)
    })
    .await;
    stage.world.set_faults(Faults::default());
    stage.quiet().await;
    let view = stage.world.view();
    assert!(view.pods.iter().all(|pod| pod.node().is_some()), "every pod has its place");
    let told: BTreeSet<_> =
        stage.report().workers.iter().filter_map(|worker| worker.instance.clone()).collect();
    assert_eq!(told, alive().map(|machine| machine.id).collect(), "what we know is what is there");
    let made: usize = stage.world.calls().iter().map(|call| call.new).sum();
    assert_eq!(made, 5 + killed.len(), "one for each that was killed, and no more");
    stage.stop().await;
}
