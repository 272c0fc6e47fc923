//! Which of a launch's machines is which worker, where no machine says it.

use super::anew;
use crate::model::{
    InstanceId, LaunchRequest, Market, Offering, Order, Worker, WorkerId, WorkerState,
};
use std::collections::BTreeMap;
use std::time::Duration;

type Pair = (WorkerId, InstanceId, Offering);

fn offering() -> Offering {
    Offering { shape: "small".into(), zone: "a".into(), market: Market::Spot, price: None }
}

fn request(workers: &[&str]) -> LaunchRequest {
    let order = |worker: &&str| Order { worker: (*worker).into(), offering: offering() };
    LaunchRequest {
        cluster: "default".into(),
        cluster_uid: "uid".into(),
        pool: "workers".into(),
        batch: "b".into(),
        token: None,
        orders: workers.iter().map(order).collect(),
        fallback: Vec::new(),
        labels: [].into(),
        taints: Vec::new(),
    }
}

/// Records: workers with the machines that they have, and whether they wait for one.
fn records(all: &[(&str, Option<&str>, bool)]) -> BTreeMap<WorkerId, Worker> {
    let record = |(id, instance, waits): &(&str, Option<&str>, bool)| {
        let worker = Worker {
            id: (*id).into(),
            pool: "workers".into(),
            batch: Some("b".into()),
            shape: "small".into(),
            zone: "a".into(),
            market: Market::Spot,
            instance: instance.map(Into::into),
            node: None,
            state: if *waits { WorkerState::Requested } else { WorkerState::Booting },
            since: jiff::Timestamp::UNIX_EPOCH,
            deadline_from: jiff::Timestamp::UNIX_EPOCH,
            created: jiff::Timestamp::UNIX_EPOCH,
            ready: None,
            purpose: None,
            held: Duration::ZERO,
            held_since: None,
            blocked: None,
            template: None,
            last_words: None,
        };
        (worker.id.clone(), worker)
    };
    all.iter().map(record).collect()
}

fn answered(pairs: &[(&str, &str)]) -> Vec<Pair> {
    pairs.iter().map(|(worker, id)| ((*worker).into(), (*id).into(), offering())).collect()
}

#[test]
fn a_first_answer_is_taken_as_it_is() {
    let records = records(&[("w1", None, true), ("w2", None, true)]);
    let told = answered(&[("w1", "i-1"), ("w2", "i-2")]);
    assert_eq!(anew(&request(&["w1", "w2"]), &records, told.clone()), told);
}

#[test]
fn what_is_recorded_stays_and_what_is_left_over_goes_to_who_waits() {
    // The first answer knew i-2 only; the second pairs by the order of ids.
    let records = records(&[("w1", Some("i-2"), false), ("w2", None, true), ("w3", None, true)]);
    let told = answered(&[("w1", "i-1"), ("w2", "i-2")]);
    let paired = anew(&request(&["w1", "w2", "w3"]), &records, told);
    assert_eq!(paired, answered(&[("w2", "i-1")]));
}

#[test]
fn a_machine_that_another_batch_s_worker_has_is_nobody_s() {
    let records = records(&[("w1", None, true), ("old", Some("i-1"), false)]);
    assert_eq!(anew(&request(&["w1"]), &records, answered(&[("w1", "i-1")])), []);
}

#[test]
fn who_does_not_wait_any_more_gets_none() {
    let records = records(&[("w1", None, false)]);
    assert_eq!(anew(&request(&["w1"]), &records, answered(&[("w1", "i-1")])), []);
}
