//! `fit.simple.pods_per_s`, `fit.spread.pods_per_s`: 10,000 waiting pods of 500 specs, packed onto new workers of 100
//! shapes in three zones, on one core. In the second, half of the specs must be spread over zones or keep their own
//! pods off each other's nodes.

use super::results::{Measure, median};
use bellwether::config::Config;
use bellwether::model::{
    ClusterName, ClusterView, Is, Labels, Market, Memory, Observed, Offering, Placement, Pod,
    PodKind, PodSpec, PodTerm, Price, Requirement, Resources, Selector, Shape, Spread, Truth, View,
};
use bellwether::policy;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PODS: usize = 10_000;
const SPECS: usize = 500;
const SHAPES: usize = 100;
const ROUNDS: usize = 5;
const GIB: u64 = 1 << 30;

#[expect(clippy::unnecessary_wraps, reason = "as every group")]
pub(crate) fn fit() -> anyhow::Result<Vec<Measure>> {
    let simple = pods_per_second(&|_, _| ());
    let spread = pods_per_second(&|number, spec| match number % 4 {
        0 => spec.topology_spread = vec![evenly(number)],
        1 => spec.pod_anti_affinity = vec![apart(number)],
        _ => {}
    });
    Ok(vec![
        Measure::new("fit.simple.pods_per_s", simple, "1/s"),
        Measure::new("fit.spread.pods_per_s", spread, "1/s"),
    ])
}

/// The median of a few rounds; each must find a worker for every pod.
fn pods_per_second(ask: &dyn Fn(usize, &mut PodSpec)) -> f64 {
    let now: Timestamp = "2026-01-01T12:00:00Z".parse().expect("a constant time");
    let (observed, config) = (observed(ask, now), config());
    let limits = &config.clusters[&ClusterName::from("big")];
    let round = |_| {
        let started = Instant::now();
        let sensors = policy::sensors(&observed, &Memory::default(), limits, now);
        let took = started.elapsed();
        let told = sensors.expect("the cluster is known").unschedulable;
        let placed = told.iter().filter(|(waiting, _)| waiting.reason == "worker");
        assert_eq!(placed.map(|(_, pods)| pods).sum::<usize>(), PODS);
        f64::from(u32::try_from(PODS).expect("a small constant")) / took.as_secs_f64()
    };
    median((0..ROUNDS).map(round).collect())
}

fn observed(ask: &dyn Fn(usize, &mut PodSpec), now: Timestamp) -> Observed {
    let specs: Vec<Arc<PodSpec>> = (0..SPECS).map(|number| spec(number, ask)).collect();
    let pods = (0..PODS).map(|number| Arc::new(pod(number, &specs[number % SPECS], now)));
    let view = ClusterView { pods: pods.collect(), ..ClusterView::empty("cluster".into()) };
    let known = View::Known { at: now, value: Vec::new() };
    let shapes = View::Known { at: now, value: (0..SHAPES).map(shape).collect() };
    Observed {
        cluster: View::Known { at: now, value: view },
        instances: BTreeMap::from([("workers".into(), known)]),
        shapes: BTreeMap::from([("workers".into(), shapes)]),
        truth: Truth::default(),
        guards: BTreeMap::new(),
        wants: BTreeMap::new(),
    }
}

fn config() -> Config {
    let yaml = "alertmanager: { urls: [http://am:9093] }\nprometheus: { urls: [http://p:9090] }\nclusters: { big: { kubernetes: { sim: {} }, pools: { workers: { provider: { sim: {} }, max: 10000 } } } }";
    Config::parse(yaml, &BTreeMap::<String, String>::new()).expect("a good configuration").config
}

fn app(number: usize) -> String {
    format!("app-{number}")
}

fn of_app(number: usize) -> Selector {
    Selector(vec![Requirement { key: "app".to_owned(), is: Is::In(vec![app(number)]) }])
}

fn evenly(number: usize) -> Spread {
    Spread {
        selector: Some(of_app(number)),
        topology_key: "topology.kubernetes.io/zone".to_owned(),
        max_skew: 1,
        min_domains: None,
        honors_affinity: true,
        honors_taints: false,
    }
}

fn apart(number: usize) -> PodTerm {
    PodTerm {
        selector: Some(of_app(number)),
        namespaces: vec!["default".to_owned()],
        namespace_selector: None,
        topology_key: "kubernetes.io/hostname".to_owned(),
    }
}

fn spec(number: usize, ask: &dyn Fn(usize, &mut PodSpec)) -> Arc<PodSpec> {
    let (cpu, memory) =
        (100 + (number as u64 * 37) % 1_900, (128 + (number as u64 * 53) % 3_968) << 20);
    let mut spec = PodSpec {
        namespace: "default".to_owned(),
        labels: Labels::from([("app".to_owned(), app(number))]),
        requests: Resources::new(cpu, memory).with_pods(1),
        ..PodSpec::default()
    };
    ask(number, &mut spec);
    Arc::new(spec)
}

fn pod(number: usize, spec: &Arc<PodSpec>, now: Timestamp) -> Pod {
    let since = bellwether::model::duration::before(now, Duration::from_mins(1));
    Pod {
        uid: format!("p{number}").as_str().into(),
        name: format!("pod-{number}"),
        created: since,
        placement: Placement::Unschedulable { since },
        spec: spec.clone(),
        kind: PodKind::Normal,
        pins: Vec::new(),
        essential: None,
    }
}

/// From 2 to 64 cores, with 2 to 8 GiB for each; larger ones cost a little less for what they have.
fn shape(number: usize) -> Shape {
    let (cores, per_core) = (2 + (number as u64 % 32) * 2, 2 << (number / 34));
    let name = format!("shape-{number}");
    let price = Price(cores * (20_000 + per_core * 4_000 - cores * 50));
    let offering = |zone: &str| Offering {
        shape: name.as_str().into(),
        zone: zone.into(),
        market: Market::OnDemand,
        price: Some(price),
    };
    Shape {
        name: name.as_str().into(),
        capacity: Resources::new(cores * 1_000, cores * per_core * GIB).with_pods(110),
        offerings: ["a", "b", "c"].map(offering).to_vec(),
    }
}
