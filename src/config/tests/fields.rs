//! One case for every field: a good value that shows in the result, a bad one that is told.

use super::{changed, full, parse_value, pattern, refused};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Fields whose good value changes nothing: they only say what is so anyway.
const STATEMENTS: [&str; 1] = ["version"];

pub(super) struct Case {
    pub(super) path: String,
    pub(super) good: Value,
    bad: Value,
    /// Set before, for fields that need company.
    pub(super) with: Option<(String, Value)>,
    /// Taken out together with setting it, for fields that exclude one another.
    pub(super) without: Option<String>,
}

fn case(path: impl Into<String>, good: impl Into<Value>, bad: impl Into<Value>) -> Case {
    Case { path: path.into(), good: good.into(), bad: bad.into(), with: None, without: None }
}

/// Every field of the file.
pub(super) fn cases(secret_file: &Path) -> Vec<Case> {
    let pem = pem_beside(secret_file);
    let (file, pem) = (secret_file.to_str().unwrap(), pem.to_str().unwrap());
    let mut cases = service(file);
    cases.extend(redis(file, pem));
    for prefix in ["alertmanager", "clusters.default.alertmanager"] {
        cases.extend(endpoint(prefix, file, pem));
        cases.extend(alertmanager(prefix));
    }
    for prefix in ["prometheus", "clusters.default.prometheus"] {
        cases.extend(endpoint(prefix, file, pem));
        cases.push(case(format!("{prefix}.scrape_interval"), "30s", "0s"));
    }
    cases.extend(cluster());
    cases.extend(pool());
    cases.extend(providers(secret_file, pem));
    cases
}

/// A cluster whose pool has this provider.
pub(super) fn provided(provider: &Value) -> (String, Value) {
    let cluster = json!({
        "kubernetes": { "in_cluster": true },
        "pools": { "workers": { "provider": provider, "max": 10, "node": { "labels": { "tier": "x" } } } },
    });
    ("clusters.default".to_owned(), cluster)
}

/// What must be said of containers.
pub(super) fn least_docker(token: &Path) -> Value {
    json!({
        "image": "rancher/k3s:v1.33.5-k3s1",
        "server": "https://k3s:6443",
        "token_file": token,
        "shapes": [{ "name": "small", "cpu": 2, "memory": "4Gi" }],
    })
}

/// One whose workers are containers.
pub(super) fn docker(token: &Path) -> (String, Value) {
    let host =
        json!({ "url": "unix:///run/docker.sock", "ca_file": token.with_file_name("ca.pem") });
    let docker = changed(&least_docker(token), "hosts", json!({ "a": host }));
    provided(&json!({ "docker": changed(&docker, "env", json!({ "TZ": "UTC" })) }))
}

/// What must be said of instances.
pub(super) fn least_ec2() -> Value {
    json!({ "launch_template": "k3s-worker", "shapes": ["t3.small"], "subnets": ["subnet-1"] })
}

/// One whose workers are instances.
pub(super) fn ec2() -> (String, Value) {
    provided(&json!({ "ec2": changed(&least_ec2(), "tags", json!({ "team": "web" })) }))
}

/// One whose workers are instances of an image.
pub(super) fn ec2_of_an_image() -> (String, Value) {
    provided(
        &json!({ "ec2": { "image": "ami-1", "shapes": ["t3.small"], "subnets": ["subnet-1"] } }),
    )
}

/// One whose workers a program makes.
pub(super) fn exec() -> (String, Value) {
    provided(&json!({ "exec": { "program": "/bin/cloud", "options": { "region": "eu" } } }))
}

/// A case of a field of a provider, in a cluster whose pool has that.
fn provided_at(kind: &str, (base, cluster): (String, Value), case: Case) -> Case {
    let section = format!("pools.workers.provider.{kind}");
    let cluster = case.with.iter().fold(cluster, |cluster, (name, value)| {
        changed(&cluster, &format!("{section}.{name}"), value.clone())
    });
    let path = format!("{base}.{section}.{}", case.path);
    Case { path, with: Some((base, cluster)), ..case }
}

fn ec2_cases(token: &Path) -> impl Iterator<Item = Case> {
    let other = token.with_file_name("other-token");
    let of_a_template = [
        case("region", "eu-central-1", "Frankfurt"),
        case("endpoint", "https://ec2.example.org", "ec2"),
        case("assume_role", "arn:aws:iam::123456789012:role/bellwether", "bellwether"),
        case("launch_template", "lt-0abc", "no template"),
        case("launch_template_version", "$Latest", "newest"),
        case("shapes", json!(["t3.small", "t3a.small"]), json!(["small"])),
        case("subnets", json!(["subnet-2"]), json!(["vpc-2"])),
        case("spot", "30%", "130%"),
        case("tags.team", "shop", json!([])),
        case("memory_overhead", "10%", "90%"),
        case("max_pods", 29, 0),
        case("parameters", json!([]), json!([""])),
    ];
    let of_an_image = [
        case("image", "ami-2", "debian-12"),
        case("security_groups", json!(["sg-1"]), json!(["default"])),
        case("instance_profile", "worker", ""),
        case("user_data_file", other.to_str().unwrap(), "/nonexistent/user-data"),
    ];
    let of_a_template = of_a_template.into_iter().map(|case| provided_at("ec2", ec2(), case));
    let of_an_image =
        of_an_image.into_iter().map(|case| provided_at("ec2", ec2_of_an_image(), case));
    of_a_template.chain(of_an_image)
}

fn providers(token: &Path, pem: &str) -> Vec<Case> {
    let (file, other) = (token.to_str().unwrap(), token.with_file_name("other-token"));
    let docker_cases = vec![
        case("image", "rancher/k3s:v1.34.1-k3s1", "rancher/k3s:latest"),
        case("server", "https://other:6443", "http://other:6443"),
        case("token_file", other.to_str().unwrap(), "/nonexistent/token"),
        case("shapes[0].name", "large", "not a name"),
        case("shapes[0].cpu", "1500m", 0),
        case("shapes[0].memory", "8Gi", "lots"),
        case("shapes[0].pods", 20, 0),
        case("shapes[0].price_per_hour", 0.05, "free"),
        case("hosts.a.url", "unix:///other.sock", "tcp://host"),
        case("hosts.a.ca_file", pem, file),
        case("hosts.a.client_cert_file", pem, file),
        case("network", "k3s", ""),
        case("args", json!(["--flannel-iface=eth0"]), "--flannel-iface=eth0"),
        case("env.TZ", "CET", json!([])),
        case("volumes", json!(["/var/lib/containerd"]), json!(["here"])),
        case("binds", json!(["/etc/certs:/certs:ro"]), json!(["/etc/certs"])),
        case("tmpfs", json!([]), json!(["run"])),
        case("privileged", false, "yes"),
        Case {
            with: Some(("privileged".to_owned(), false.into())),
            ..case("cap_add", json!(["SYS_ADMIN"]), "SYS_ADMIN")
        },
        case("security_opt", json!(["seccomp=unconfined"]), "none"),
        case("parallel", 10, 0),
        case("pull_timeout", "1m", "0s"),
    ];
    let docker_cases = docker_cases.into_iter();
    let exec_cases = [
        case("program", "/bin/other", "other"),
        case("args", json!(["--fast"]), "--fast"),
        case("env", json!(["AWS_PROFILE"]), json!(["AWS PROFILE"])),
        case("options.region", "us", json!([])),
    ];
    let docker_cases = docker_cases.map(|case| provided_at("docker", docker(token), case));
    let exec_cases = exec_cases.into_iter().map(|case| provided_at("exec", exec(), case));
    docker_cases.chain(ec2_cases(token)).chain(exec_cases).collect()
}

fn service(file: &str) -> Vec<Case> {
    vec![
        case("version", 1, 2),
        case("listen", "0.0.0.0:9000", "localhost"),
        case("auth.bearer_token", "abc", "a b"),
        case("auth.bearer_token_file", file, "/nonexistent/token"),
        case("auth.tokens[0].role", "webhook", "admin"),
        case("auth.tokens[0].token", "other", ""),
        Case {
            without: Some("auth.tokens[0].token".to_owned()),
            ..case("auth.tokens[0].token_file", file, "/nonexistent/token")
        },
        case("store.url", "file:/data", "redis://:hunter2@redis:6379/0"),
        case("store.claim_ttl", "20s", "0s"),
        case("store.history.entries", 500, 0),
        case("store.history.age", "7d", "1ms"),
        case("reconcile.interval", "10s", 30),
        case("reconcile.busy_interval", "1s", "1ms"),
        case("reconcile.overdue", "3m", "5s"),
        case("log.format", "json", "xml"),
        case("log.level", "bellwether=debug,info", "loud"),
        case("shutdown_grace", "5s", "-1s"),
    ]
}

fn redis(file: &str, pem: &str) -> Vec<Case> {
    let store = |fields: Value| Some(("store".to_owned(), fields));
    let own = json!({ "url": "redis://redis", "username": "u", "password": "p" });
    let sentinel = json!({
        "url": "redis+sentinel://a,b/main", "sentinel": { "username": "u", "password": "p" },
    });
    let mut cases = Vec::new();
    for (prefix, fields) in [("store.", own), ("store.sentinel.", sentinel)] {
        let at = |name: &str| format!("{prefix}{name}");
        let with = || store(fields.clone());
        cases.push(Case { with: with(), ..case(at("username"), "other", 7) });
        cases.push(Case { with: with(), ..case(at("password"), "other", "") });
        cases.push(Case {
            with: with(),
            without: Some(at("password")),
            ..case(at("password_file"), file, "/nonexistent/password")
        });
    }
    let tls = || store(json!({ "url": "rediss://redis" }));
    cases.push(Case { with: tls(), ..case("store.ca_file", pem, "/nonexistent/ca.pem") });
    cases.push(Case { with: tls(), ..case("store.client_cert_file", pem, file) });
    cases.push(Case {
        with: store(json!({ "url": "redis://redis" })),
        ..case("store.timeout", "1s", "6s")
    });
    cases
}

fn endpoint(prefix: &str, file: &str, pem: &str) -> Vec<Case> {
    let at = |name: &str| format!("{prefix}.{name}");
    let basic = Some((at("basic"), json!({ "username": "u", "password": "p" })));
    vec![
        case(at("urls"), json!(["http://other:1/prefix", "https://b"]), json!(["ftp://x"])),
        case(at("bearer_token"), "abc", 7),
        case(at("bearer_token_file"), file, "/nonexistent/token"),
        Case { with: basic.clone(), ..case(at("basic.username"), "other", "a:b") },
        Case { with: basic.clone(), ..case(at("basic.password"), "other", "") },
        Case {
            with: basic,
            without: Some(at("basic.password")),
            ..case(at("basic.password_file"), file, "/nonexistent/token")
        },
        case(at("headers.X-Tenant"), "b", "a\nb"),
        case(at("headers.X-Key_file"), file, "/nonexistent/token"),
        case(at("ca_file"), pem, "/nonexistent/ca.pem"),
        case(at("client_cert_file"), pem, file),
        case(at("timeout"), "2s", "0"),
    ]
}

fn alertmanager(prefix: &str) -> Vec<Case> {
    let at = |name: &str| format!("{prefix}.{name}");
    vec![
        case(at("receiver"), "scaler", ""),
        case(at("require"), "majority", "one"),
        case(at("ttl"), "2m", "soon"),
        case(at("ttl_max"), "4m", "0s"),
        case(at("ttl_slack"), "5s", json!([])),
        case(at("repeat_max"), "2m", "0s"),
        case(at("restart_hold"), "1m", "1"),
        case(at("watchdog_ttl"), "4m", "0s"),
    ]
}

fn cluster() -> Vec<Case> {
    let at = |name: &str| format!("clusters.default.{name}");
    let spans = [
        ("view_max_age", "0s"),
        ("manual_ttl", "0s"),
        ("refusal", "2d"),
        ("refusal_max", "0s"),
        ("breaker", "31m"),
        ("breaker_max", "1m"),
        ("back_off", "61m"),
        ("back_off_max", "1m"),
        ("help_check", "0s"),
        ("unhelpable", "2h"),
        ("unhelpable_max", "1s1h"),
        ("gone_for", "-1h"),
        ("rebuild_hold", "2y"),
        ("call", "1ms"),
    ];
    let spans = spans.map(|(name, bad)| {
        // Above every default it must not pass, below every default it must not fall under.
        let good = if name.ends_with("_max") { "3d" } else { "2m30s" };
        case(at(&format!("timing.{name}")), good, bad)
    });
    let mut cases = vec![
        // It and a kubeconfig exclude each other, so it does not stand among any others.
        Case {
            with: Some((at("kubernetes.in_cluster"), false.into())),
            ..case(at("kubernetes.in_cluster"), true, "yes please")
        },
        case(at("kubernetes.kubeconfig"), "/etc/kubeconfig", json!({})),
        Case {
            with: Some((at("kubernetes.kubeconfig"), "/etc/kubeconfig".into())),
            ..case(at("kubernetes.context"), "one", "")
        },
        case(at("kubernetes.sim.seed"), 7, -1),
        case(at("kubernetes.sim.boot"), "3s", 3),
        case(at("kubernetes.sim.zones"), json!(["x"]), json!([])),
        case(at("kubernetes.sim.shapes[0].name"), "large", ""),
        case(at("kubernetes.sim.shapes[0].cpu"), "500m", "0"),
        case(at("kubernetes.sim.shapes[0].memory"), "1.5Gi", "4Gib"),
        case(at("kubernetes.sim.shapes[0].price_per_hour"), 1.25, 0),
        case(at("kubernetes.sim.listen"), "127.0.0.1:9100", "9100"),
        case(at("kubernetes.sim.state"), "/tmp/world", json!({})),
        case(at("mode"), "dry_run", "dry-run"),
        case(at("accept_unlabelled"), true, "yes please"),
        case(at("expanders"), json!(["fewest", "price"]), json!(["price", "price"])),
        case(at("expendable_below"), -100, 1),
        case(at("pending.age"), "2s", "2"),
        case(at("pending.predict"), false, "perhaps"),
        case(at("guards.down"), json!(["up == 1"]), json!([""])),
    ];
    cases.extend(spans);
    cases
}

fn pool() -> Vec<Case> {
    let cases = vec![
        case("provider.sim.unnamed", true, "perhaps"),
        case("min", 2, 11),
        case("max", 12, json!(null)),
        case("priority", 5, -1),
        case("permanent", json!(["k3s-worker-1"]), "k3s-worker-1"),
        case("node.labels.tier", "batch", 7),
        case("node.taints[0].key", "gpu", "not a key"),
        case("node.taints[0].value", "yes", "with space"),
        case("node.taints[0].effect", "NoExecute", "noexecute"),
        case("node.startup_taints", json!(["example.com/agent-not-ready"]), json!(["not a key"])),
        case("node.reserved.cpu", "100m", "100mm"),
        case("node.reserved.memory", "300Mi", "lots"),
        case("step.up", "50%", 0),
        case("step.down", 2, "150%"),
        case("step.empty", 5, "some"),
        case("surge", 2, -2),
        case("limits.launches_per_hour", 5, 0),
        case("limits.cpu", 64, 0),
        case("limits.memory", "256Gi", "0"),
        case("cooldown.up", "1m", 60),
        case("cooldown.down", "2m", "2min"),
        case("cooldown.pending", "1s", "x"),
        case("settle", "100ms", "2s"),
        case("settle_max", "2s", "1ms"),
        case("min_age", "2m", "10"),
        case("max_age", "7d", "4m"),
        case("replace_drifted", true, "sometimes"),
        case("evict.kube_system_after", "2h", 2),
        case("evict.local_storage", true, "maybe"),
        case("mode", "dry_run", 1),
        case("order", "newest", "random"),
        case("headroom.cpu", "1.5", "-1"),
        case("headroom.memory", 1_048_576, "1 GB"),
        case("join_deadline", "3m", "0s"),
        case("not_ready_deadline", "3m", "0s"),
        case("repair_budget", 50, 101),
        case("replacements_per_hour", 1, 1.5),
        case("drain.timeout", "1m", "0s"),
        case("drain.load_balancers", "15s", 15),
        case("drain.detach", "0s", "-1s"),
        case("drain.force_last", "0s", "soon"),
        case("drain.when_removed", true, "yes"),
        case("budget.per_hour", 2.5, "free"),
    ];
    let pool =
        |case: Case| Case { path: format!("clusters.default.pools.workers.{}", case.path), ..case };
    cases.into_iter().map(pool).collect()
}

/// A file that a secret stands in, and beside it one with a certificate and its key.
pub(super) struct SecretFile {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl SecretFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn pem(&self) -> PathBuf {
        pem_beside(&self.path)
    }
}

fn pem_beside(secret_file: &Path) -> PathBuf {
    secret_file.with_file_name("client.pem")
}

pub(super) fn secret_file() -> SecretFile {
    let folder = tempfile::tempdir().unwrap();
    let file = SecretFile { path: folder.path().join("token"), _folder: folder };
    std::fs::write(file.path(), "from-a-file\n").unwrap();
    std::fs::write(file.path().with_file_name("other-token"), "other").unwrap();
    let own = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
    std::fs::write(file.pem(), own.cert.pem() + &own.signing_key.serialize_pem()).unwrap();
    std::fs::write(file.path().with_file_name("ca.pem"), own.cert.pem()).unwrap();
    file
}

/// F-139
#[test]
fn every_field_is_read() {
    let file = secret_file();
    for case in cases(file.path()) {
        let before = case.before();
        let mut after = changed(&before, &case.path, case.good.clone());
        if let Some(other) = &case.without {
            super::remove(&mut after, other);
        }
        let (before, after) = (parse_value(&before).unwrap(), parse_value(&after));
        let after = after.unwrap_or_else(|errors| panic!("{}: {errors}", case.path));
        assert_eq!(before != after, !STATEMENTS.contains(&&*case.path), "{}", case.path);
    }
}

/// F-143
#[test]
fn a_bad_value_of_any_field_is_one_error_with_path_value_and_mend() {
    let file = secret_file();
    for case in cases(file.path()) {
        let mut after = changed(&case.before(), &case.path, case.bad.clone());
        if let Some(other) = &case.without {
            super::remove(&mut after, other);
        }
        let errors = refused(&after);
        assert_eq!(errors.len(), 1, "{}: {errors:?}", case.path);
        let error = &errors[0];
        let inside = error.path.strip_prefix(&case.path);
        assert!(
            inside.is_some_and(|rest| rest.is_empty() || rest == "[0]"),
            "{} is told as {error}",
            case.path
        );
        assert!(!error.mend.is_empty());
        assert_eq!(error.found.is_none(), case.bad.is_null(), "{error}");
    }
}

#[test]
fn the_cases_are_all_the_fields_there_are() {
    let file = secret_file();
    let covered: BTreeSet<_> = cases(file.path()).iter().map(|case| pattern(&case.path)).collect();
    assert_eq!(covered, super::known_fields());
}

/// What `GET /v1/config` and `check-config --output json` show is a configuration again.
#[test]
fn every_field_is_written_out_so_that_it_reads_back() {
    let file = secret_file();
    for case in cases(file.path()) {
        let mut after = changed(&case.before(), &case.path, case.good.clone());
        if let Some(other) = &case.without {
            super::remove(&mut after, other);
        }
        super::assert_reads_back(&parse_value(&after).unwrap());
    }
}

impl Case {
    pub(super) fn before(&self) -> Value {
        self.with.iter().fold(full(), |value, (path, with)| changed(&value, path, with.clone()))
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(200))]
    #[test]
    fn any_fields_together_read_back(chosen in proptest::collection::vec(0.0..1.0_f64, 200)) {
        let file = secret_file();
        let mut value = full();
        for (case, chance) in cases(file.path()).iter().zip(chosen) {
            // A secret and its file exclude each other.
            let alone = !case.path.ends_with("_token_file") && case.without.is_none();
            if chance < 0.5 && case.with.is_none() && alone {
                value = changed(&value, &case.path, case.good.clone());
            }
        }
        super::assert_reads_back(&parse_value(&value).unwrap());
    }
}
