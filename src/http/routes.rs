//! Which path does what, for whom.

use super::answer::{self, Answer, ApiError, Code};
use super::auth::{self, Need};
use super::reads::{self, Section};
use super::{Server, ask, webhook};
use crate::model::Subject;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use std::net::SocketAddr;
use tokio::time::Instant;

/// What a path does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Alerts,
    Live,
    Ready,
    Metrics,
    Index,
    Section(Section),
    History,
    Config,
    ExplainPod,
    ExplainNode,
    Rules,
    ScalePool,
    Scale,
    Reconcile,
    Resume,
    Stop,
}

/// Every path there is, the older ones below.
const PATHS: [(&str, Route); 33] = [
    ("/v1/alerts", Route::Alerts),
    ("/healthz", Route::Live),
    ("/readyz", Route::Ready),
    ("/metrics", Route::Metrics),
    ("/", Route::Index),
    ("/v1/status", Route::Section(Section::Status)),
    ("/v1/pools", Route::Section(Section::Pools)),
    ("/v1/workers", Route::Section(Section::Workers)),
    ("/v1/nodes", Route::Section(Section::Nodes)),
    ("/v1/signals", Route::Section(Section::Signals)),
    ("/v1/decisions", Route::Section(Section::Decisions)),
    ("/v1/plan", Route::Section(Section::Plan)),
    ("/v1/history", Route::History),
    ("/v1/config", Route::Config),
    ("/v1/explain/pod/{namespace}/{name}", Route::ExplainPod),
    ("/v1/explain/node/{name}", Route::ExplainNode),
    ("/v1/pools/{pool}/scale", Route::ScalePool),
    ("/v1/reconcile", Route::Reconcile),
    ("/v1/resume", Route::Resume),
    ("/alerts", Route::Alerts),
    ("/health", Route::Ready),
    ("/nodes/metrics", Route::Section(Section::Nodes)),
    ("/workers", Route::Section(Section::Workers)),
    ("/history", Route::History),
    ("/config", Route::Config),
    ("/status", Route::Section(Section::Status)),
    ("/reconciliation/status", Route::Section(Section::Status)),
    ("/reconciliation/trigger", Route::Reconcile),
    ("/scale", Route::Scale),
    ("/cycle", Route::Reconcile),
    ("/cleanup", Route::Reconcile),
    ("/cleanup/orphaned", Route::Reconcile),
    ("/stop", Route::Stop),
];

/// Where rules are, for those who look for them here.
const RULES_PATH: &str = "/rules";

/// The route table.
#[derive(Debug)]
pub(super) struct Table {
    router: matchit::Router<(&'static str, Route)>,
}

// === impl Table ===

impl Table {
    pub(super) fn new() -> Self {
        let mut router = matchit::Router::new();
        for (path, route) in PATHS.into_iter().chain([(RULES_PATH, Route::Rules)]) {
            router.insert(path, (path, route)).expect("the table's paths do not clash");
        }
        Self { router }
    }
}

// === impl Route ===

impl Route {
    fn need(self) -> Need {
        match self {
            Self::Live | Self::Ready => Need::Nothing,
            Self::Metrics => Need::Any,
            Self::Alerts => Need::Deliver,
            Self::Index
            | Self::Section(_)
            | Self::History
            | Self::Config
            | Self::ExplainPod
            | Self::ExplainNode
            | Self::Rules => Need::Read,
            Self::ScalePool | Self::Scale | Self::Reconcile | Self::Resume | Self::Stop => {
                Need::Ask
            }
        }
    }

    /// The methods it takes, as `Allow` lists them.
    fn allow(self) -> &'static str {
        match self {
            Self::Alerts
            | Self::ScalePool
            | Self::Scale
            | Self::Reconcile
            | Self::Resume
            | Self::Stop => "POST",
            _ => "GET, HEAD",
        }
    }

    fn takes(self, method: &Method) -> bool {
        match self.allow() {
            "POST" => method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }
}

// === free functions ===

/// Answers one request, counted and timed.
pub(super) async fn respond(
    server: &Server,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Answer {
    let begun = Instant::now();
    let id = request.headers().get(super::REQUEST_ID).cloned();
    let path = request.uri().path().to_owned();
    let (name, result) = match server.routes.router.at(&path) {
        Ok(found) => {
            let (name, route) = *found.value;
            (name, answered(server, route, &found.params, peer, request).await)
        }
        Err(_) => ("other", Err(ApiError::new(Code::NotFound, "no such path; see GET /"))),
    };
    let answer = result.unwrap_or_else(|error| {
        if let Some(saved) = server.damper.admit(class(error.code)) {
            let (code, id) = (error.code, id.as_ref().and_then(|id| id.to_str().ok()));
            tracing::warn!(route = name, ?code, request.id = id, saved, why = %error.message, "request refused");
        }
        error.into_response()
    });
    let metrics = &server.state.metrics.http;
    metrics.requests.with_label_values(&[name, answer.status().as_str()]).inc();
    metrics.seconds.with_label_values(&[name]).observe(begun.elapsed().as_secs_f64());
    answer
}

async fn answered(
    server: &Server,
    route: Route,
    named: &matchit::Params<'_, '_>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> answer::Result {
    if !route.takes(request.method()) {
        let error = ApiError::new(Code::MethodNotAllowed, "the path takes other methods");
        return Err(ApiError { allow: Some(route.allow()), ..error });
    }
    let config = server.state.config.borrow().clone();
    auth::check(route.need(), &config.service.auth, request.headers(), peer.ip())?;
    drop(config);
    let named = |what: &str| named.get(what).unwrap_or_default();
    match route {
        Route::Alerts => webhook::deliver(server, request).await,
        Route::Live => Ok(answer::json(StatusCode::OK, &json!({ "status": "ok" }))),
        Route::Ready => Ok(reads::ready(server)),
        Route::Metrics => Ok(reads::metrics(server)),
        Route::Index => Ok(index()),
        Route::Section(section) => reads::section(server, section, request.uri()),
        Route::History => reads::history(server, request.uri()).await,
        Route::Config => Ok(reads::config(server)),
        Route::ExplainPod => {
            let (namespace, name) = (named("namespace").to_owned(), named("name").to_owned());
            reads::explain(server, &Subject::Pod { namespace, name }, request.uri())
        }
        Route::ExplainNode => {
            reads::explain(server, &Subject::Node(named("name").into()), request.uri())
        }
        Route::Rules => Ok(rules()),
        Route::ScalePool => ask::scale_pool(server, named("pool"), request).await,
        Route::Scale => ask::scale_older(server, request).await,
        Route::Reconcile => ask::reconcile(server, request).await,
        Route::Resume => ask::resume(server, request).await,
        Route::Stop => Err(gone()),
    }
}

fn index() -> Answer {
    let paths: Vec<String> =
        PATHS.iter().map(|(path, route)| format!("{} {path}", route.allow())).collect();
    answer::json(StatusCode::OK, &json!({ "service": "bellwether", "paths": paths }))
}

fn rules() -> Answer {
    let message = "rules are Prometheus' own: alerts with a label autoscale; see Prometheus' \
                   GET /api/v1/rules, and edit them where Prometheus reads them";
    answer::json(StatusCode::OK, &json!({ "message": message }))
}

fn gone() -> ApiError {
    let message = "stopping by request is gone: to pause, silence the alerts in Alertmanager; to \
                   end the process, stop it where it was started";
    ApiError::new(Code::Gone, message)
}

/// What the damper counts together: one kind per code.
fn class(code: Code) -> &'static str {
    match code {
        Code::Invalid => "http_invalid",
        Code::Grafana => "http_grafana",
        Code::Unauthorized => "http_unauthorized",
        Code::Forbidden => "http_forbidden",
        Code::NotFound => "http_not_found",
        Code::MethodNotAllowed => "http_method_not_allowed",
        Code::TooSlow => "http_too_slow",
        Code::Gone => "http_gone",
        Code::TooLarge => "http_too_large",
        Code::NotJson => "http_not_json",
        Code::Fault => "http_fault",
        Code::StoreAway => "http_store_away",
        Code::Draining => "http_draining",
    }
}
