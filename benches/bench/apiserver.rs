//! An apiserver that only tells: so many nodes and pods as whole objects, listed in pages, and watches in which nothing
//! happens. Plain HTTP, so that what is measured is reading and keeping, not TLS.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Specs that pods share, as those of a workload do.
const SPECS: usize = 500;

/// How many pods of each thousand wait for a node.
const WAITING_PER_MILLE: usize = 2;

/// How large the cluster is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) pods: usize,
}

/// Serves until the runtime ends; writes a kubeconfig that leads there.
pub(crate) async fn serve(size: Size, kubeconfig: &Path) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let file = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{ "name": "bench", "cluster": { "server": format!("http://{}", listener.local_addr()?) } }],
        "users": [{ "name": "bench", "user": {} }],
        "contexts": [{ "name": "bench", "context": { "cluster": "bench", "user": "bench" } }],
    });
    std::fs::write(kubeconfig, file.to_string())?;
    #[expect(clippy::disallowed_methods, reason = "ends with the runtime")]
    tokio::spawn(accept(listener, Arc::new(size)));
    Ok(())
}

async fn accept(listener: TcpListener, size: Arc<Size>) {
    while let Ok((stream, _)) = listener.accept().await {
        let size = size.clone();
        let answer = service_fn(move |request| answer(request, size.clone()));
        #[expect(clippy::disallowed_methods, reason = "ends with the connection")]
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer),
        );
    }
}

async fn answer(
    request: Request<Incoming>,
    size: Arc<Size>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let query: HashMap<String, String> = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    if query.get("watch").is_some_and(|it| it == "true" || it == "1") {
        // Nothing happens until it is asked anew.
        let seconds = number("timeoutSeconds").unwrap_or(20);
        tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
        return Ok(Response::new(Full::default()));
    }
    let path = request.uri().path();
    if path == "/api/v1/namespaces/kube-system" {
        return Ok(json_of(&json!({ "metadata": { "name": "kube-system", "uid": "bench" } })));
    }
    let (from, limit) = (number("continue").unwrap_or(0), number("limit").unwrap_or(usize::MAX));
    let (count, one): (usize, fn(usize, &Size) -> String) = match path {
        "/api/v1/nodes" => (size.nodes, node),
        "/api/v1/pods" => (size.pods, pod),
        "/api/v1/namespaces" => (1, namespace),
        _ => (0, namespace),
    };
    let until = count.min(from.saturating_add(limit));
    let items: Vec<String> = (from..until).map(|number| one(number, &size)).collect();
    let next = if until < count { format!("\"continue\":\"{until}\",") } else { String::new() };
    let body = format!(
        "{{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{{{next}\"resourceVersion\":\"1\"}},\"items\":[{}]}}",
        items.join(",")
    );
    Ok(body_of(body))
}

fn json_of(value: &Value) -> Response<Full<Bytes>> {
    body_of(value.to_string())
}

fn body_of(body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn namespace(_: usize, _: &Size) -> String {
    json!({ "metadata": { "name": "kube-system", "uid": "bench", "resourceVersion": "1" } })
        .to_string()
}

fn node(number: usize, _: &Size) -> String {
    let zone = ["a", "b", "c"][number % 3];
    let room =
        json!({ "cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi" });
    json!({
        "metadata": {
            "name": format!("node-{number}"), "uid": format!("node-uid-{number}"), "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "kubernetes.io/hostname": format!("node-{number}"), "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64", "node.kubernetes.io/instance-type": "m5.4xlarge",
                "topology.kubernetes.io/zone": zone,
            },
        },
        "spec": { "providerID": format!("aws:///a/i-{number}") },
        "status": {
            "capacity": room, "allocatable": room,
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }],
            "images": (0..20).map(|image| json!({ "names": [format!("registry.example/image-{image}@sha256:{}", "0".repeat(64))], "sizeBytes": 100_000_000 })).collect::<Value>(),
        },
    })
    .to_string()
}

/// As a kubelet and its controllers leave one, over 2 kB.
fn pod(number: usize, size: &Size) -> String {
    let spec = number % SPECS;
    let waits = number % 1_000 < WAITING_PER_MILLE;
    let (app, cpu, memory) = (format!("app-{spec}"), 50 + spec % 200, 64 + spec % 128);
    let env: Value = (0..8)
        .map(|it| json!({ "name": format!("SETTING_{it}"), "value": format!("a value of some length, number {it}") }))
        .collect();
    let mut pod = json!({
        "metadata": {
            "name": format!("{app}-6d5f8c7b9-{number:06}"), "namespace": "default", "uid": format!("pod-uid-{number}"),
            "generateName": format!("{app}-6d5f8c7b9-"), "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": { "app": app, "pod-template-hash": "6d5f8c7b9", "team": format!("team-{}", spec % 20) },
            "annotations": { "prometheus.io/scrape": "true", "prometheus.io/port": "9100" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-6d5f8c7b9"), "uid": format!("rs-{spec}"), "controller": true, "blockOwnerDeletion": true }],
            "managedFields": [{ "manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": { "f:status": { "f:conditions": { "k:{\"type\":\"Ready\"}": { ".": {}, "f:status": {}, "f:type": {} } }, "f:podIP": {}, "f:startTime": {} } } }],
        },
        "spec": {
            "containers": [{
                "name": "main", "image": format!("registry.example/{app}:1.2.3"), "imagePullPolicy": "IfNotPresent", "env": env,
                "resources": { "requests": { "cpu": format!("{cpu}m"), "memory": format!("{memory}Mi") }, "limits": { "memory": "512Mi" } },
                "volumeMounts": [{ "name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true }],
                "livenessProbe": { "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 10 },
            }],
            "volumes": [{ "name": "token", "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } }],
            "schedulerName": "default-scheduler", "serviceAccountName": "default", "restartPolicy": "Always", "priority": 0,
            "tolerations": [
                { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
                { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
            ],
        },
    });
    if waits {
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("15");
        pod["status"] = json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/5000 nodes are available", "lastTransitionTime": "2026-01-01T00:00:00Z" }] });
    } else {
        pod["spec"]["nodeName"] = json!(format!("node-{}", number % size.nodes));
        let condition = |what: &str| json!({ "type": what, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" });
        let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
        pod["status"] = json!({
            "phase": "Running", "podIP": "10.1.2.3", "hostIP": "10.0.0.1", "startTime": "2026-01-01T00:00:00Z",
            "conditions": conditions,
            "containerStatuses": [{ "name": "main", "ready": true, "restartCount": 0, "image": format!("registry.example/{app}:1.2.3"),
                "imageID": format!("registry.example/{app}@sha256:{}", "0".repeat(64)), "containerID": format!("containerd://{}", "0".repeat(64)), "started": true }],
        });
    }
    pod.to_string()
}
