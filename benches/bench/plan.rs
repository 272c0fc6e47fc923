//! `plan.1000x30000x1000.ms`, `plan.down.1000x30000.ms`: one plan over a big cluster.
//!
//! 1,000 nodes in 3 pools of 5 shapes, 30,000 running and 1,000 pending pods of 320 distinct specs, an up and a down
//! alert firing, a fifth of the nodes removable.

use super::results::Measure;
use bellwether::config::Config;
use bellwether::model::{
    AlertState, Ask, ClusterMemory, ClusterName, ClusterView, Cordon, Fingerprint, Guard, Instance,
    InstanceState, Market, Memory, Node, NodeRef, Observed, Offering, PeerState, Pin, Placement,
    Plan, Pod, PodKind, PodSpec, PoolName, Price, Readiness, Resources, Shape, Signal, Source,
    Truth, Verdict, View, Worker, WorkerState,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NODES: usize = 1_000;
const RUNNING: usize = 30_000;
const PENDING: usize = 1_000;
const SPECS: usize = 320;
const POOLS: [&str; 3] = ["small", "medium", "large"];
const GIB: u64 = 1 << 30;

/// With the pending pods, which hold every removal, and without them, so that workers are chosen to go.
#[expect(clippy::unnecessary_wraps, reason = "as every group")]
pub(crate) fn plan() -> anyhow::Result<Vec<Measure>> {
    let growing = median(&world(PENDING), |plan| {
        assert!(plan.decisions.iter().any(|d| matches!(d.verdict, Verdict::Launch { .. })));
    });
    let shrinking = median(&world(0), |plan| {
        assert!(plan.decisions.iter().all(|d| matches!(d.verdict, Verdict::Drain { .. })));
    });
    Ok(vec![
        Measure::new("plan.1000x30000x1000.ms", growing, "ms"),
        Measure::new("plan.down.1000x30000.ms", shrinking, "ms"),
    ])
}

/// Median of nine plans, in milliseconds; each must be what it is measured for.
fn median((observed, signals, memory, config, now): &World, check: impl Fn(&Plan)) -> f64 {
    let limits = &config.clusters[&ClusterName::from("big")];
    let mut times: Vec<Duration> = (0..9)
        .map(|_| {
            let started = Instant::now();
            let plan = bellwether::policy::plan(observed, signals, memory, limits, *now);
            let time = started.elapsed();
            check(&plan);
            time
        })
        .collect();
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

type World = (Observed, Vec<Signal>, Memory, Config, Timestamp);

fn world(waiting: usize) -> World {
    let now: Timestamp = "2026-01-01T12:00:00Z".parse().expect("a constant time");
    let long_ago: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a constant time");
    let specs: Vec<Arc<PodSpec>> = (0..SPECS).map(spec).collect();
    let nodes: Vec<Node> = (0..NODES).map(|n| node(n, long_ago)).collect();
    let running = (0..RUNNING).map(|n| running(n, &specs, long_ago));
    let pending = (0..waiting).map(|n| pending(n, &specs, now));
    let pods = running.chain(pending).map(Arc::new).collect();
    let view = ClusterView {
        nodes: nodes.into_iter().map(Arc::new).collect(),
        pods,
        ..ClusterView::empty("cluster".into())
    };
    let known = |value| View::Known { at: now, value };
    let observed = Observed {
        cluster: View::Known { at: now, value: view },
        instances: POOLS
            .iter()
            .map(|pool| (PoolName::from(*pool), known(instances(pool, long_ago))))
            .collect(),
        shapes: POOLS
            .iter()
            .map(|pool| (PoolName::from(*pool), View::Known { at: now, value: shapes(pool) }))
            .collect(),
        truth: truth(now),
        guards: BTreeMap::from([("up".to_owned(), Guard::Holds)]),
        wants: BTreeMap::new(),
    };
    let signals = POOLS
        .iter()
        .flat_map(|pool| [signal("up", pool, now), signal("down", pool, now)])
        .chain([watchdog(now)]);
    let workers =
        (0..NODES).map(|n| (format!("w{n}").as_str().into(), worker(n, long_ago))).collect();
    let cluster = ClusterMemory {
        uid: Some("cluster".into()),
        alertmanagers: BTreeMap::from([("am".to_owned(), long_ago)]),
        ..ClusterMemory::default()
    };
    let memory = Memory { workers, cluster, ..Memory::default() };
    (observed, signals.collect(), memory, config(), now)
}

fn config() -> Config {
    let pool = |name: &str| {
        format!("      {name}: {{ provider: {{ sim: {{}} }}, min: 1, max: 2000, settle: 0s }}\n")
    };
    let pools: String = POOLS.iter().map(|name| pool(name)).collect();
    let yaml = format!(
        "alertmanager: {{ urls: [http://am:9093] }}\nprometheus: {{ urls: [http://p:9090] }}\nclusters:\n  big:\n    kubernetes: {{ sim: {{}} }}\n    guards: {{ down: [up] }}\n    pools:\n{pools}"
    );
    Config::parse(&yaml, &BTreeMap::<String, String>::new()).expect("a good configuration").config
}

fn pool_of(n: usize) -> &'static str {
    POOLS[n % POOLS.len()]
}

fn allocatable(n: usize) -> Resources {
    let size = 1 << (n % 5);
    Resources::new(2_000 * size, 8 * GIB * size).with_pods(110)
}

fn spec(n: usize) -> Arc<PodSpec> {
    let cpu = 20 + (n as u64 * 7) % 180;
    let memory = (64 + (n as u64 * 13) % 448) << 20;
    let node_selector = match n % 8 {
        0 => BTreeMap::from([("pool".to_owned(), pool_of(n / 8).to_owned())]),
        _ => BTreeMap::new(),
    };
    Arc::new(PodSpec {
        namespace: "default".to_owned(),
        requests: Resources::new(cpu, memory).with_pods(1),
        node_selector,
        ..PodSpec::default()
    })
}

fn node(n: usize, created: Timestamp) -> Node {
    Node {
        at: NodeRef {
            name: format!("n{n}").as_str().into(),
            uid: format!("nu{n}").as_str().into(),
        },
        worker: Some(format!("w{n}").as_str().into()),
        pool: Some(pool_of(n).into()),
        provider_id: Some(format!("sim:///i{n}")),
        control_plane: false,
        created,
        readiness: Readiness::Ready,
        cordon: Cordon::None,
        kept: None,
        allocatable: allocatable(n / POOLS.len()),
        labels: BTreeMap::from([("pool".to_owned(), pool_of(n).to_owned())]),
        taints: Vec::new(),
        zone: Some(["a", "b", "c"][n % 3].into()),
    }
}

/// Four fifths of the nodes hold a pod that must stay, so a fifth is removable.
fn running(n: usize, specs: &[Arc<PodSpec>], created: Timestamp) -> Pod {
    let at = n % NODES;
    let is_pinned = n < NODES && !at.is_multiple_of(5);
    let spec = &specs[n * 31 % SPECS];
    let spec = if spec.node_selector.is_empty() { spec } else { &specs[1] };
    Pod {
        uid: format!("r{n}").as_str().into(),
        name: format!("running-{n}"),
        created,
        placement: Placement::Bound(format!("n{at}").as_str().into()),
        spec: spec.clone(),
        kind: PodKind::Normal,
        pins: if is_pinned { vec![Pin::Bare] } else { Vec::new() },
        essential: None,
    }
}

/// As large as a machine's half, so that new machines are needed.
fn pending(n: usize, specs: &[Arc<PodSpec>], now: Timestamp) -> Pod {
    let mut spec = PodSpec::clone(&specs[n % SPECS]);
    spec.requests.cpu_milli += 14_000;
    let since = bellwether::model::duration::before(now, Duration::from_mins(1));
    Pod {
        uid: format!("p{n}").as_str().into(),
        name: format!("pending-{n}"),
        created: since,
        placement: Placement::Unschedulable { since },
        spec: Arc::new(spec),
        kind: PodKind::Normal,
        pins: Vec::new(),
        essential: None,
    }
}

fn offering(shape: &str, zone: &str, market: Market) -> Offering {
    Offering { shape: shape.into(), zone: zone.into(), market, price: Some(Price(50_000)) }
}

fn shapes(pool: &str) -> Vec<Shape> {
    let shape = |n: usize| {
        let name = format!("{pool}-{n}");
        let zones = ["a", "b", "c"].into_iter();
        let offerings = zones
            .flat_map(|zone| [Market::Spot, Market::OnDemand].map(|m| offering(&name, zone, m)))
            .collect();
        Shape { name: name.as_str().into(), capacity: allocatable(n), offerings }
    };
    (0..5).map(shape).collect()
}

fn instances(pool: &str, launched: Timestamp) -> Vec<Instance> {
    let ours = (0..NODES).filter(|n| pool_of(*n) == pool);
    ours.map(|n| Instance {
        id: format!("i{n}").as_str().into(),
        worker: Some(format!("w{n}").as_str().into()),
        batch: None,
        pool: pool.into(),
        cluster_uid: Some("cluster".into()),
        shape: format!("{pool}-{}", n / POOLS.len() % 5).as_str().into(),
        zone: ["a", "b", "c"][n % 3].into(),
        market: Market::OnDemand,
        launched,
        state: InstanceState::Running,
        protected: false,
        notice: None,
        told: None,
        unchecked: false,
    })
    .collect()
}

fn worker(n: usize, created: Timestamp) -> Worker {
    Worker {
        id: format!("w{n}").as_str().into(),
        pool: pool_of(n).into(),
        batch: None,
        shape: format!("{}-{}", pool_of(n), n / POOLS.len() % 5).as_str().into(),
        zone: ["a", "b", "c"][n % 3].into(),
        market: Market::OnDemand,
        instance: Some(format!("i{n}").as_str().into()),
        node: Some(NodeRef {
            name: format!("n{n}").as_str().into(),
            uid: format!("nu{n}").as_str().into(),
        }),
        state: WorkerState::Ready,
        since: created,
        deadline_from: created,
        created,
        ready: Some(created),
        purpose: None,
        held: Duration::ZERO,
        held_since: None,
        blocked: None,
        template: None,
        last_words: None,
    }
}

fn labels(direction: &str, pool: Option<&str>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("alertname".to_owned(), format!("{direction}-{}", pool.unwrap_or("all"))),
        ("autoscale".to_owned(), direction.to_owned()),
        ("cluster".to_owned(), "big".to_owned()),
    ]);
    labels.extend(pool.map(|pool| ("pool".to_owned(), pool.to_owned())));
    labels
}

fn alert(ask: Ask, direction: &str, pool: Option<&str>, now: Timestamp) -> Signal {
    let id = format!("{direction}-{}", pool.unwrap_or("all"));
    Signal {
        id: id.as_str().into(),
        cluster: "big".into(),
        pool: pool.map(PoolName::from),
        ask,
        source: Source::Alert {
            fingerprint: id.as_str().into(),
            starts_at: now,
            labels: labels(direction, pool),
            resolved: false,
        },
        name: id,
        summary: String::new(),
        description: String::new(),
        first_seen: now,
        last_seen: now,
    }
}

fn signal(direction: &str, pool: &str, now: Timestamp) -> Signal {
    let ask = if direction == "up" {
        Ask::Up { step: None, want_query: None }
    } else {
        Ask::Down { node: None }
    };
    alert(ask, direction, Some(pool), now)
}

fn watchdog(now: Timestamp) -> Signal {
    alert(Ask::Watchdog, "watchdog", None, now)
}

fn truth(now: Timestamp) -> Truth {
    let state = |direction: &str, pool: Option<&str>| {
        let alert = AlertState {
            labels: labels(direction, pool),
            annotations: BTreeMap::new(),
            starts_at: now,
            silenced_by: Vec::new(),
            inhibited_by: Vec::new(),
        };
        (Fingerprint::new(format!("{direction}-{}", pool.unwrap_or("all"))), alert)
    };
    let alerts = POOLS.iter().flat_map(|pool| [state("up", Some(pool)), state("down", Some(pool))]);
    Truth {
        peers: vec![PeerState {
            url: "am".to_owned(),
            started: Some("2026-01-01T00:00:00Z".parse().expect("a constant time")),
            error: None,
        }],
        alerts: alerts.chain([state("watchdog", None)]).collect(),
        silences: BTreeMap::new(),
        ttl: Duration::from_secs(85),
        findings: Vec::new(),
    }
}
