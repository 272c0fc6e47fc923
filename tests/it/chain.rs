//! From pods that find no node to pods that run, on real servers only but for the machines; `make demo-kube` tells it with
//! its times.

use crate::support::chain::Chain;
use crate::support::wait;
use bellwether::clock::Clock;
use jiff::Timestamp;

/// A line of the story, with the seconds since its begin.
#[expect(clippy::print_stdout, reason = "`make demo-kube` tells the story")]
fn told(since: Timestamp, what: &str) {
    let passed = Clock::system().now().duration_since(since).as_secs_f64();
    println!("{passed:>7.2} s  {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_find_no_node_get_workers_and_the_real_scheduler_binds_them() {
    let Some(chain) = Chain::start(false).await else { return };
    let begun = Clock::system().now();
    told(begun, "a control plane, Prometheus, Alertmanager and Bellwether run; there is no worker");
    let names: Vec<String> = (1..=5).map(|number| format!("web-{number}")).collect();
    chain.pods(&names, "1800m").await;
    told(begun, "5 pods of 1800m are there; a worker has 4 CPUs");
    wait::until("the alert", || async { chain.fires().await }).await;
    told(begun, "Prometheus has scraped Bellwether's sensors, PodsUnschedulable fires");
    wait::until("the launch", || async { chain.launched() > 0 }).await;
    told(begun, &format!("{} workers are launched", chain.launched()));
    wait::until("the pods to be bound", || async {
        chain.kubelets.join().await;
        chain.bound().await == names.len()
    })
    .await;
    told(begun, "they have joined, and the scheduler has bound every pod");
    chain.calm().await;
    let (worked, peak) = (chain.program.worked(), chain.program.peak_mb());
    told(
        begun,
        &format!("nothing is asked any more; Bellwether worked for {worked:.2?} in {peak:.0} MB"),
    );
    assert_eq!(chain.launched(), 3);
    let workers = chain.told("workers").await;
    assert!(workers.iter().all(|worker| worker["state"]["state"] == "ready"), "{workers:#?}");
    assert_eq!(workers.len(), 3);
}

/// Waits for one more worker for one more pod, which runs on it.
async fn one_more(chain: &Chain, name: &str, in_all: usize) {
    chain.pods(&[name.to_owned()], "3500m").await;
    wait::until("the launch", || async { chain.launched() == in_all }).await;
    wait::until("the pod to be bound", || async {
        chain.kubelets.join().await;
        chain.bound().await == in_all
    })
    .await;
    chain.calm().await;
}

/// That the rule permits it was learned with the first need.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_we_post_brings_a_worker_though_prometheus_is_gone() {
    let Some(mut chain) = Chain::start(true).await else { return };
    one_more(&chain, "first", 1).await;
    chain.lose_prometheus();
    one_more(&chain, "second", 2).await;
}
