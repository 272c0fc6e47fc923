//! Every metric family, in one registry of our own; `docs/metrics.md` is held against it by a test.
//!
//! Labels come from closed sets: never a node, a pod, a fingerprint or an error text.

mod sensed;

pub use sensed::{Sample, Sensed, Sensor};

use jiff::Timestamp;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder, core::Collector,
};

/// Seconds, from a store write to a long pass.
const SECONDS: [f64; 12] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0];

/// All families.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// The HTTP server.
    pub http: HttpMetrics,
    /// Calls to others: providers, clusters, Alertmanager, Prometheus.
    pub calls: CallMetrics,
    /// The loop.
    pub pass: PassMetrics,
    /// What the last pass saw.
    pub seen: SeenMetrics,
    /// What the sensors of each cluster told last.
    pub sensed: Sensed,
    /// The configuration's file.
    pub config: ConfigMetrics,
}

/// The HTTP server.
#[derive(Debug)]
pub struct HttpMetrics {
    /// `bellwether_http_requests_total{route,code}`.
    pub requests: IntCounterVec,
    /// `bellwether_http_request_seconds{route}`.
    pub seconds: HistogramVec,
    /// `bellwether_http_alerts_total{outcome}`: alerts of webhook bodies, each judged by itself.
    pub alerts: IntCounterVec,
}

/// Calls to others.
#[derive(Debug)]
pub struct CallMetrics {
    /// `bellwether_calls_total{target,call,outcome}`.
    pub total: IntCounterVec,
    /// `bellwether_call_seconds{target,call}`.
    pub seconds: HistogramVec,
}

/// The loop.
#[derive(Debug)]
pub struct PassMetrics {
    /// `bellwether_passes_total{cluster,outcome}`.
    pub total: IntCounterVec,
    /// `bellwether_pass_seconds`.
    pub seconds: Histogram,
    /// `bellwether_pass_last_success_timestamp_seconds{cluster}`.
    pub last_success: GaugeVec,
    /// `bellwether_decisions_total{cluster,pool,verdict,reason}`.
    pub decisions: IntCounterVec,
    /// `bellwether_acts_total{cluster,pool,act,outcome}`.
    pub acts: IntCounterVec,
    /// `bellwether_workers_failed_total{cluster,pool,failure}`.
    pub failed: IntCounterVec,
    /// `bellwether_drains_given_up_total{cluster,pool}`: past their deadline, the worker is back.
    pub given_up: IntCounterVec,
    /// `bellwether_worker_ready_seconds`: from the intent to a Ready node.
    pub ready_seconds: Histogram,
    /// `bellwether_claim_held{cluster}`: 1 while this process has the claim.
    pub claim: IntGaugeVec,
    /// `bellwether_lease_refused{cluster,why}`: 1 while it may not for want of the cluster's lease; why is held,
    /// outdated or away.
    pub lease: IntGaugeVec,
}

/// What the last pass saw. Set from the whole view each time, so that what vanished vanishes here.
#[derive(Debug)]
pub struct SeenMetrics {
    /// `bellwether_workers{cluster,pool,state}`.
    pub workers: IntGaugeVec,
    /// `bellwether_pool_workers{cluster,pool,bound}`: bound is min, max, have or want.
    pub pool: IntGaugeVec,
    /// `bellwether_signals{cluster,direction}`.
    pub signals: IntGaugeVec,
    /// `bellwether_paused{cluster,pool}`: 1 while a silence pauses something of it.
    pub paused: IntGaugeVec,
    /// `bellwether_breaker_state{cluster,pool}`: 0 closed, 1 open until its time, 2 half open.
    pub breaker: IntGaugeVec,
    /// `bellwether_offerings_backed_off{cluster,pool}`: offerings that every other is preferred to for a while.
    pub backed_off: IntGaugeVec,
    /// `bellwether_price_per_hour{cluster,pool}`: of all workers whose price is known.
    pub price: GaugeVec,
    /// `bellwether_alertmanager_answered{cluster}`: share of Alertmanagers that answered.
    pub alertmanager: GaugeVec,
    /// `bellwether_process_start_time_seconds`.
    pub started: Gauge,
    /// `bellwether_process_tasks`: what runs beside each other; it grows only with open connections.
    pub tasks: Gauge,
}

/// The configuration's file.
#[derive(Debug)]
pub struct ConfigMetrics {
    /// `bellwether_config_last_reload_successful`: 1 while the file as last read is the one in force.
    pub successful: IntGauge,
    /// `bellwether_config_last_reload_success_timestamp_seconds`: when a good file was last taken.
    pub last_success: Gauge,
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All families, registered.
    pub fn new() -> Self {
        let registry = Registry::new();
        let families = Families(&registry);
        Self {
            http: HttpMetrics::new(&families),
            calls: CallMetrics::new(&families),
            pass: PassMetrics::new(&families),
            seen: SeenMetrics::new(&families),
            sensed: Sensed::new(&families),
            config: ConfigMetrics::new(&families),
            registry,
        }
    }

    /// The text form that Prometheus scrapes.
    pub fn encode(&self) -> String {
        self.sensed.age();
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

impl HttpMetrics {
    fn new(f: &Families<'_>) -> Self {
        Self {
            requests: f.counters("http_requests_total", "HTTP requests.", &["route", "code"]),
            seconds: f.histograms("http_request_seconds", "Time to answer.", &["route"]),
            alerts: f.counters("http_alerts_total", "Alerts of webhook bodies.", &["outcome"]),
        }
    }
}

impl CallMetrics {
    fn new(f: &Families<'_>) -> Self {
        Self {
            total: f.counters("calls_total", "Calls to others.", &["target", "call", "outcome"]),
            seconds: f.histograms("call_seconds", "Time of calls to others.", &["target", "call"]),
        }
    }
}

impl PassMetrics {
    fn new(f: &Families<'_>) -> Self {
        Self {
            total: f.counters("passes_total", "Turns of the loop.", &["cluster", "outcome"]),
            seconds: f.histogram("pass_seconds", "Time of one turn of the loop."),
            last_success: f.gauges(
                "pass_last_success_timestamp_seconds",
                "When the last turn went well.",
                &["cluster"],
            ),
            decisions: f.counters(
                "decisions_total",
                "Decisions, one per pool and turn.",
                &["cluster", "pool", "verdict", "reason"],
            ),
            acts: f.counters(
                "acts_total",
                "Acts and their outcome.",
                &["cluster", "pool", "act", "outcome"],
            ),
            failed: f.counters(
                "workers_failed_total",
                "Workers judged dead or useless.",
                &["cluster", "pool", "failure"],
            ),
            given_up: f.counters(
                "drains_given_up_total",
                "Drains that came past their deadline; the worker is back.",
                &["cluster", "pool"],
            ),
            ready_seconds: f
                .histogram("worker_ready_seconds", "From a launch's intent to a Ready node."),
            claim: f.int_gauges("claim_held", "1 while this process has the claim.", &["cluster"]),
            lease: f.int_gauges(
                "lease_refused",
                "1 while the cluster's lease is refused to this process.",
                &["cluster", "why"],
            ),
        }
    }
}

impl SeenMetrics {
    fn new(f: &Families<'_>) -> Self {
        Self {
            workers: f.int_gauges("workers", "Workers by state.", &["cluster", "pool", "state"]),
            pool: f.int_gauges(
                "pool_workers",
                "Size of pools and their bounds.",
                &["cluster", "pool", "bound"],
            ),
            signals: f.int_gauges("signals", "Signals in the store.", &["cluster", "direction"]),
            paused: f.int_gauges(
                "paused",
                "1 while a silence pauses something of it.",
                &["cluster", "pool"],
            ),
            breaker: f.int_gauges(
                "breaker_state",
                "0 closed, 1 open until its time, 2 half open.",
                &["cluster", "pool"],
            ),
            backed_off: f.int_gauges(
                "offerings_backed_off",
                "Offerings that came to nothing lately; every other is preferred for a while.",
                &["cluster", "pool"],
            ),
            price: f.gauges(
                "price_per_hour",
                "Price of all workers with a known price.",
                &["cluster", "pool"],
            ),
            alertmanager: f.gauges(
                "alertmanager_answered",
                "Share of Alertmanagers that answered.",
                &["cluster"],
            ),
            started: f.gauge("process_start_time_seconds", "When this process started."),
            tasks: f.gauge("process_tasks", "Tasks of this process now."),
        }
    }
}

impl ConfigMetrics {
    fn new(f: &Families<'_>) -> Self {
        Self {
            successful: f.int_gauge(
                "config_last_reload_successful",
                "1 while the file as last read is the one in force.",
            ),
            last_success: f.gauge(
                "config_last_reload_success_timestamp_seconds",
                "When a good file was last taken.",
            ),
        }
    }

    /// A good file was taken.
    pub fn taken(&self, at: Timestamp) {
        self.successful.set(1);
        self.last_success.set(seconds(at));
    }
}

/// A time as Prometheus writes it.
#[expect(clippy::cast_precision_loss, reason = "a time of day, in seconds")]
pub fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

/// Creates families in the registry. Names and labels are constants, so nothing here can fail.
struct Families<'a>(&'a Registry);

impl Families<'_> {
    fn register<C: Collector + Clone + 'static>(&self, family: prometheus::Result<C>) -> C {
        let family = family.expect("names and labels are valid constants");
        self.0.register(Box::new(family.clone())).expect("each family is registered once");
        family
    }

    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(format!("bellwether_{name}"), help)
    }

    fn buckets(name: &str, help: &str) -> HistogramOpts {
        HistogramOpts::from(Self::opts(name, help)).buckets(SECONDS.to_vec())
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Self::opts(name, help), labels))
    }

    fn int_gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Self::opts(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(GaugeVec::new(Self::opts(name, help), labels))
    }

    fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::with_opts(Self::opts(name, help)))
    }

    fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::with_opts(Self::opts(name, help)))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        self.register(HistogramVec::new(Self::buckets(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str) -> Histogram {
        self.register(Histogram::with_opts(Self::buckets(name, help)))
    }
}
