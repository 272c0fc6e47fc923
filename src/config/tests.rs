//! What the reading of a configuration promises.

mod behaviour;
mod docs;
mod ec2;
mod env;
mod fields;
mod values;

use super::*;
use crate::model::PoolName;
use std::time::Duration;

const MINIMAL: &str = "
alertmanager: { urls: [http://am:9093] }
prometheus: { urls: [http://prom:9090] }
clusters:
  default:
    kubernetes: { sim: {} }
    pools:
      workers: { provider: { sim: {} }, max: 10 }
";

/// Holds one of everything that comes in lists, so that every field can be set.
fn full() -> Value {
    json!({
        "version": 1,
        "listen": "127.0.0.1:8080",
        "auth": { "tokens": [{ "role": "viewer", "token": "t" }] },
        "alertmanager": { "urls": ["http://am:9093"], "headers": { "X-Tenant": "a" } },
        "prometheus": { "urls": ["http://prom:9090"], "headers": { "X-Tenant": "a" } },
        "clusters": { "default": {
            "kubernetes": { "sim": { "shapes": [
                { "name": "s", "cpu": 2, "memory": "4Gi", "price_per_hour": 0.1 },
            ] } },
            "pools": { "workers": {
                "provider": { "sim": {} },
                "max": 10,
                "node": { "taints": [{ "key": "k", "effect": "NoSchedule" }] },
            } },
        } },
    })
}

fn none() -> BTreeMap<String, String> {
    BTreeMap::new()
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(text, &none()).map(|loaded| loaded.config)
}

fn parse_value(value: &Value) -> Result<Config, ConfigErrors> {
    parse(&value.to_string())
}

fn refused(value: &Value) -> Vec<ConfigError> {
    parse_value(value).expect_err("it must be refused").0
}

fn steps(path: &str) -> Vec<String> {
    path.replace('[', ".").replace(']', "").split('.').map(str::to_owned).collect()
}

/// The value with one field set, sections made where they are missing.
fn changed(value: &Value, path: &str, to: Value) -> Value {
    let mut value = value.clone();
    let place = steps(path).iter().fold(&mut value, |place, step| match step.parse::<usize>() {
        Ok(at) => &mut place[at],
        Err(_) => &mut place[step],
    });
    *place = to;
    value
}

fn remove(value: &mut Value, path: &str) {
    let (section, name) = path.rsplit_once('.').unwrap();
    let pointer = format!("/{}", steps(section).join("/"));
    value.pointer_mut(&pointer).unwrap().as_object_mut().unwrap().remove(name).unwrap();
}

/// The path with the names taken out.
fn pattern(path: &str) -> String {
    let mut before = String::new();
    let steps = path.split('.').map(|step| {
        let own = ["clusters", "pools", "labels", "headers", "hosts", "env", "options", "tags"]
            .contains(&&*before);
        before = step.to_owned();
        match (own, step.ends_with("_file"), step.split_once('[')) {
            (true, true, _) => "NAME_file".to_owned(),
            (true, ..) => "NAME".to_owned(),
            (_, _, Some((list, _))) => format!("{list}[]"),
            _ => step.to_owned(),
        }
    });
    steps.collect::<Vec<_>>().join(".")
}

/// Every field that the reader asks for, sections left out.
fn known_fields() -> BTreeSet<String> {
    let mut value =
        changed(&full(), "clusters.default.pools.workers.node.labels", json!({ "tier": "x" }));
    for client in ["clusters.default.alertmanager", "clusters.default.prometheus"] {
        value = changed(&value, &format!("{client}.headers"), json!({ "X-Tenant": "a" }));
    }
    let secret = fields::secret_file();
    let mut asked = BTreeSet::new();
    let provided =
        [fields::docker(secret.path()), fields::ec2(), fields::ec2_of_an_image(), fields::exec()];
    let provided = provided.map(|(path, cluster)| changed(&value, &path, cluster));
    for value in provided.into_iter().chain([value]) {
        let (config, more) = Config::parse_recording(&value.to_string(), &none());
        config.unwrap();
        asked.extend(more);
    }
    let is_section = |name: &String| {
        let below = |other: &String| {
            other.strip_prefix(&**name).is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        asked.iter().any(below)
    };
    asked.iter().filter(|name| !is_section(name)).cloned().collect()
}

/// Secrets cannot come back, so they are put in again.
fn assert_reads_back(config: &Config) {
    let mut value = config.to_value();
    let mut masks = 0;
    unmask(&mut value, &mut masks);
    let again = parse_value(&value).unwrap();
    let mut written = again.to_value();
    assert_eq!(written, config.to_value());
    if masks == 0 {
        assert_eq!(again, *config);
    }
    unmask(&mut written, &mut 0);
    assert_eq!(written, value);
}

fn unmask(value: &mut Value, count: &mut u32) {
    match value {
        Value::String(text) if text == secret::MASK => {
            *count += 1;
            *text = format!("unmasked-{count}");
        }
        Value::Array(items) => items.iter_mut().for_each(|item| unmask(item, count)),
        Value::Object(fields) => fields.values_mut().for_each(|field| unmask(field, count)),
        _ => {}
    }
}

fn worker_pool(config: &Config) -> &PoolConfig {
    &config.clusters[&ClusterName::from("default")].pools[&PoolName::from("workers")]
}

#[test]
fn a_minimal_file_gets_every_default() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.service, ServiceConfig::default());
    let cluster = &config.clusters[&ClusterName::from("default")];
    assert_eq!(cluster.timing, Timing::default());
    assert_eq!(cluster.alertmanager.endpoint.urls, ["http://am:9093"]);
    assert_eq!(*worker_pool(&config), PoolConfig::new(PoolName::from("workers"), 10));
    assert_reads_back(&config);
}

#[test]
fn launches_per_hour_follow_max() {
    let config = parse(&MINIMAL.replace("max: 10", "max: 100")).unwrap();
    assert_eq!(worker_pool(&config).limits.launches_per_hour, 200);
    assert_eq!(worker_pool(&parse(MINIMAL).unwrap()).limits.launches_per_hour, 60);
}

#[test]
fn all_errors_come_at_once_each_with_its_path() {
    let text = MINIMAL.replace("max: 10", "max: seven, mni: 1, order: random");
    let errors = parse(&text).unwrap_err();
    let told: Vec<_> = errors.0.iter().map(ToString::to_string).collect();
    let pool = "clusters.default.pools.workers";
    assert_eq!(
        told,
        [
            format!("{pool}.max: found \"seven\"; must be a whole number from 0 to 10000"),
            format!("{pool}.mni: unknown field; did you mean `min`?"),
            format!("{pool}.order: found \"random\"; must be one of: emptiest, newest, oldest"),
        ]
    );
}

///
#[test]
fn a_62_a_missing_url_is_rejected() {
    for client in ["alertmanager", "prometheus"] {
        let mut value = full();
        remove(&mut value, &format!("{client}.urls"));
        let errors = refused(&value);
        assert_eq!(errors[0].path, format!("clusters.default.{client}.urls"));
        assert_eq!(errors.len(), 1);
    }
}

#[test]
fn nobody_else_is_let_in_without_a_token() {
    let open = format!("listen: 0.0.0.0:8080\n{MINIMAL}");
    let errors = parse(&open).unwrap_err().0;
    assert_eq!((errors.len(), &*errors[0].path), (1, "listen"));
    assert!(errors[0].mend.contains("auth.bearer_token_file"), "{}", errors[0].mend);
    let config = parse(&format!("auth: {{ bearer_token: abc }}\n{MINIMAL}")).unwrap();
    assert_eq!(config.service.listen.to_string(), "0.0.0.0:8080");
    let roles: Vec<_> = config.service.auth.tokens.iter().map(|(role, _)| *role).collect();
    assert_eq!(roles, [Role::Webhook, Role::Operator]);
}

/// I10
#[test]
fn no_secret_is_in_an_error() {
    let wrong = [
        ("auth", json!("hunter2")),
        ("auth.bearer_tokn", json!("hunter2")),
        ("auth.bearer_token", json!("hunter2 with a space")),
        ("auth.tokens", json!("hunter2")),
        ("auth.tokens", json!(["hunter2"])),
        ("alertmanager.headers", json!("hunter2")),
        ("alertmanager.headers", json!({ "Content-Length": "hunter2" })),
        ("alertmanager.headers", json!({ "a b": "hunter2" })),
        ("alertmanager.basic", json!("hunter2")),
        ("alertmanager.basic", json!({ "username": "u", "pasword": "hunter2" })),
        ("alertmanager.urls", json!(["http://user:hunter2@host"])),
        ("alertmanager.urls", json!(["user:hunter2@host:9093"])),
        ("alertmanager.urls", json!(["http://host/?token=hunter2"])),
        ("alertmanager.urls", json!("http://user:hunter2@host")),
        ("prometheus.bearer_token", json!(["hunter2"])),
        ("store.url", json!("redis://:hunter2@redis:6379")),
        ("store.url", json!("redis://redis?password=hunter2")),
        (
            "clusters.default.prometheus.basic",
            json!({ "username": "u", "password": "hunter2\n", "x": 1 }),
        ),
    ];
    for (path, value) in wrong {
        let errors = ConfigErrors(refused(&changed(&full(), path, value)));
        for told in
            [errors.to_string(), serde_json::to_string(&errors).unwrap(), format!("{errors:?}")]
        {
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
    for text in [
        "auth: { bearer_token: 'hunter2 }",
        "auth:\n  bearer_token: hunter2: x",
        "auth: *hunter",
        "auth: {bearer_token: hunter2}}",
        "auth:\n\tbearer_token: hunter2",
        "auth: {bearer_token: !!int hunter2}",
        "auth: {bearer_token: hunter2}\n  hunter2: [",
        "hunter2",
        "- hunter2",
        "auth: {bearer_token: \"hunter2\\q\"}",
        "hunter2\n---\nhunter2",
    ] {
        let told = parse(text).unwrap_err().to_string();
        assert!(!told.contains("hunter2"), "{told}");
    }
}

/// I10
#[test]
fn no_secret_is_in_what_is_shown() {
    let mut value = full();
    for (path, secret) in [
        ("auth.bearer_token", "hunter2"),
        ("alertmanager.bearer_token", "hunter2"),
        ("alertmanager.headers.X-Tenant", "hunter2"),
        ("clusters.default.prometheus.basic.password", "hunter2"),
        ("clusters.default.prometheus.basic.username", "u"),
    ] {
        value = changed(&value, path, json!(secret));
    }
    let config = parse_value(&value).unwrap();
    assert!(!config.to_value().to_string().contains("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_reads_back(&config);
}

#[test]
fn the_mask_is_not_taken_for_a_secret() {
    let errors = refused(&changed(&full(), "auth.bearer_token", json!("<secret>")));
    assert!(errors[0].mend.contains("mask"));
}

#[test]
fn a_secret_and_its_file_exclude_each_other() {
    let file = fields::secret_file();
    let value = changed(&full(), "auth.bearer_token", json!("abc"));
    let value = changed(&value, "auth.bearer_token_file", json!(file.path()));
    let errors = refused(&value);
    assert_eq!((errors.len(), &*errors[0].path), (1, "auth.bearer_token"));
}

#[test]
fn a_secrets_file_ends_before_its_newline() {
    let file = fields::secret_file();
    let value = changed(&full(), "alertmanager.bearer_token_file", json!(file.path()));
    let config = parse_value(&value).unwrap();
    let cluster = &config.clusters[&ClusterName::from("default")];
    let bearer = Credentials::Bearer(Secret::new("from-a-file"));
    assert_eq!(cluster.alertmanager.endpoint.credentials, Some(bearer));
}

/// A file that is being written is refused as long as it is not whole, and never quoted.
#[test]
fn half_a_file_of_pem_is_none() {
    let file = fields::secret_file();
    let whole = std::fs::read_to_string(file.pem()).unwrap();
    let (certificate, key) = whole.split_once("-----BEGIN PRIVATE").unwrap();
    let value = changed(&full(), "alertmanager.ca_file", json!(file.pem()));
    let value = changed(&value, "alertmanager.client_cert_file", json!(file.pem()));
    assert!(parse_value(&value).is_ok());
    let no_key = vec!["alertmanager.client_cert_file"];
    let nothing = vec!["alertmanager.ca_file", "alertmanager.client_cert_file"];
    for (text, told) in [
        (certificate.to_owned(), no_key),
        (whole[..whole.len() - 40].to_owned(), nothing.clone()),
        (certificate[..certificate.len() / 2].to_owned(), nothing.clone()),
        (String::new(), nothing),
    ] {
        std::fs::write(file.pem(), text).unwrap();
        let errors = refused(&value);
        assert_eq!(errors.iter().map(|error| &*error.path).collect::<Vec<_>>(), told);
        assert!(!errors.iter().any(|error| error.to_string().contains(&key[20..40])));
    }
}

#[test]
fn credentials_never_follow_to_other_addresses() {
    let value = changed(&full(), "alertmanager.bearer_token", json!("abc"));
    let with = |value: &Value| {
        let config = parse_value(value).unwrap();
        config.clusters[&ClusterName::from("default")].alertmanager.clone()
    };
    assert!(with(&value).endpoint.credentials.is_some());
    let value = changed(&value, "alertmanager.receiver", json!("scaler"));
    let own = changed(&value, "clusters.default.alertmanager.urls", json!(["http://elsewhere"]));
    assert_eq!(with(&own).endpoint.credentials, None);
    assert!(with(&own).endpoint.headers.is_empty());
    assert_eq!(with(&own).receiver, "scaler");
}

#[test]
fn a_cluster_is_the_one_we_run_in_one_of_a_file_or_simulated() {
    let path = "clusters.default.kubernetes";
    let read = |section| parse_value(&changed(&full(), path, section));
    let real = |section| read(section).unwrap().clusters[&"default".into()].kubernetes.real.clone();
    let file = |context: Option<&str>| Kubernetes::File {
        kubeconfig: "/etc/kubeconfig".into(),
        context: context.map(str::to_owned),
    };
    assert_eq!(real(json!({ "in_cluster": true })), Some(Kubernetes::InCluster));
    assert_eq!(real(json!({ "kubeconfig": "/etc/kubeconfig" })), Some(file(None)));
    let with_context = json!({ "kubeconfig": "/etc/kubeconfig", "context": "one" });
    assert_eq!(real(with_context), Some(file(Some("one"))));
    assert_eq!(real(json!({ "sim": {} })), None);
    assert_eq!(real(json!({ "in_cluster": false, "sim": {} })), None);
    for (section, field) in [
        (json!({}), "in_cluster"),
        (json!({ "in_cluster": false }), "in_cluster"),
        (json!({ "in_cluster": true, "kubeconfig": "/etc/kubeconfig" }), "in_cluster"),
        (json!({ "in_cluster": true, "context": "one" }), "context"),
        (json!({ "kubeconfig": "" }), "kubeconfig"),
    ] {
        let errors = read(section).unwrap_err().0;
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].path, format!("{path}.{field}"));
    }
}

#[test]
fn a_redis_is_named_in_one_of_four_ways() {
    let read = |url: &str| parse_value(&changed(&full(), "store", json!({ "url": url })));
    for (url, means) in [
        ("redis://redis", "redis://redis:6379/0"),
        ("redis://10.0.0.1:7000/", "redis://10.0.0.1:7000/0"),
        ("rediss://redis.example.com:6380/15", "rediss://redis.example.com:6380/15"),
        ("redis://[::1]:1/2", "redis://[::1]:1/2"),
        ("redis+sentinel://a,b:1/main", "redis+sentinel://a:26379,b:1/main/0"),
        ("rediss+sentinel://a/main/3", "rediss+sentinel://a:26379/main/3"),
    ] {
        assert_eq!(read(url).unwrap().service.store.to_string(), means);
        assert_eq!(read(means).unwrap().service.store.to_string(), means, "and reads back");
    }
    for (url, mend) in [
        ("redis:redis", "must be file:DIRECTORY"),
        ("valkey://redis", "must be file:DIRECTORY"),
        ("redis://", "must name hosts"),
        ("redis://a,b", "must name hosts"),
        ("redis://redis:0", "must name hosts"),
        ("redis://redis:70000", "must name hosts"),
        ("redis://redis/main", "database's number"),
        ("redis://redis/-1", "database's number"),
        ("redis://redis/9999999999", "database's number"),
        ("redis://redis/0/1", "database's number"),
        ("redis+sentinel://a", "must name the primary"),
        ("redis://:hunter2@redis", "`password_file`"),
        ("redis://redis?password=hunter2", "have no meaning here"),
    ] {
        let errors = read(url).unwrap_err().0;
        assert_eq!(errors.len(), 1, "{url}: {errors:?}");
        assert!(errors[0].mend.contains(mend), "{url}: {}", errors[0]);
    }
}

/// Who names an authority believes that the line is encrypted.
#[test]
fn fields_that_an_address_has_no_use_for_are_refused() {
    let pem = fields::secret_file();
    let file = pem.pem().to_str().unwrap().to_owned();
    for (url, field, value) in [
        ("memory:", "password", json!("p")),
        ("file:/data", "password", json!("p")),
        ("redis://redis", "ca_file", json!(file)),
        ("redis://redis", "client_cert_file", json!(file)),
        ("redis://redis", "sentinel", json!({ "password": "p" })),
    ] {
        let errors = refused(&changed(&full(), "store", json!({ "url": url, field: value })));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].path.starts_with(&format!("store.{field}")), "{}", errors[0]);
        assert!(errors[0].mend.contains("has no use without a `store.url` of"), "{}", errors[0]);
    }
    let errors =
        refused(&changed(&full(), "store", json!({ "url": "redis://a", "username": "u" })));
    assert_eq!((errors.len(), &*errors[0].path), (1, "store.password"));
}

#[test]
fn names_are_those_kubernetes_would_take() {
    for name in ["Workers", "-a", "a-", "a_b", "a.b", "", &"a".repeat(64)] {
        let text = MINIMAL.replace("workers:", &format!("{name:?}:"));
        assert_eq!(parse(&text).unwrap_err().0.len(), 1, "{name}");
    }
    for name in ["a", "0", "a-b", &"a".repeat(48)] {
        parse(&MINIMAL.replace("workers:", &format!("{name:?}:"))).unwrap();
    }
}

/// With a moment and a number behind it, it is a label's value.
#[test]
fn a_pool_whose_workers_no_label_could_name_is_refused() {
    let name = "a".repeat(49);
    let errors = parse(&MINIMAL.replace("workers:", &format!("{name}:"))).unwrap_err().0;
    assert_eq!((errors.len(), &*errors[0].path), (1, &*format!("clusters.default.pools.{name}")));
    assert!(errors[0].mend.contains("48"), "{}", errors[0]);
}

#[test]
fn real_machines_join_no_simulated_cluster() {
    let exec = json!({ "exec": { "program": "/bin/cloud" } });
    let value = changed(&full(), "clusters.default.pools.workers.provider", exec);
    let errors = refused(&value);
    assert_eq!((errors.len(), &*errors[0].path), (1, "clusters.default.kubernetes"));
    assert!(errors[0].mend.contains("workers") && errors[0].mend.contains("exec"), "{}", errors[0]);
    let real = changed(&value, "clusters.default.kubernetes", json!({ "in_cluster": true }));
    parse_value(&real).unwrap();
}

/// F-076, W-68.
#[test]
fn of_containers_the_newest_goes_first_unless_the_file_says_otherwise() {
    let secret = fields::secret_file();
    let (path, cluster) = fields::docker(secret.path());
    let value = changed(&full(), &path, cluster);
    let order = |value: &Value| {
        let config = parse_value(value).unwrap();
        config.clusters[&"default".into()].pools[&PoolName::from("workers")].order
    };
    assert_eq!(order(&value), OrderBy::Newest);
    let told = changed(&value, "clusters.default.pools.workers.order", json!("oldest"));
    assert_eq!(order(&told), OrderBy::Oldest);
    assert_eq!(order(&full()), OrderBy::Emptiest);
}

#[test]
fn a_pool_has_one_provider() {
    let two = json!({ "sim": {}, "exec": { "program": "/bin/cloud" } });
    let value = changed(&full(), "clusters.default.kubernetes", json!({ "in_cluster": true }));
    let errors = refused(&changed(&value, "clusters.default.pools.workers.provider", two));
    let path = "clusters.default.pools.workers.provider.sim";
    assert_eq!((errors.len(), &*errors[0].path), (1, path));
    let errors = refused(&changed(&value, "clusters.default.pools.workers.provider", json!({})));
    assert_eq!((errors.len(), &*errors[0].path), (1, path));
}

#[test]
fn a_cluster_and_a_pool_there_must_be() {
    assert_eq!(refused(&changed(&full(), "clusters", json!({})))[0].path, "clusters");
    let errors = refused(&changed(&full(), "clusters.default.pools", json!({})));
    assert_eq!(errors[0].path, "clusters.default.pools");
    for text in ["", "# nothing", "---", "{}"] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_field_that_stands_there_twice_is_refused() {
    let errors = parse(&format!("{MINIMAL}\nprometheus: {{}}")).unwrap_err().0;
    assert_eq!(errors.len(), 1);
    assert!(errors[0].path.starts_with("line "), "{}", errors[0]);
    assert!(errors[0].mend.contains("`prometheus` stands here twice"), "{}", errors[0]);
}

#[test]
fn the_same_address_twice_would_be_two_votes_of_one() {
    let urls = json!(["http://am:9093", "http://am:9093/"]);
    let errors = refused(&changed(&full(), "alertmanager.urls", urls));
    assert_eq!((errors.len(), &*errors[0].path), (1, "alertmanager.urls"));
}

#[test]
fn permanent_workers_fit_in_the_pool() {
    let names: Vec<_> = (0..11).map(|n| format!("w{n}")).collect();
    let path = "clusters.default.pools.workers.permanent";
    assert_eq!(refused(&changed(&full(), path, json!(names)))[0].path, path);
}

#[test]
fn quantities_read_as_kubernetes_reads_them() {
    let text = |text: &str| Tree::Text(text.to_owned());
    for (written, milli) in [("100m", 100), ("0.5", 500), ("2", 2000), ("1.250", 1250)] {
        assert_eq!(value::cpu(&text(written)), Ok(milli), "{written}");
    }
    for (written, bytes) in [
        ("300Mi", 300 << 20),
        ("1.5Gi", 3 << 29),
        ("1k", 1000),
        ("7", 7),
        ("2T", 2_000_000_000_000),
    ] {
        assert_eq!(value::memory(&text(written)), Ok(bytes), "{written}");
    }
    for wrong in ["", "m", "-1", "1e3", ".5", "0.0001", "1,5", "99999999999999999999", "1 m"] {
        assert!(value::cpu(&text(wrong)).is_err(), "{wrong}");
    }
    for wrong in ["", "Mi", "1mi", "1KiB", "0.3", "99999999999Ei"] {
        assert!(value::memory(&text(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn one_file_holds_several_clusters_with_servers_of_their_own() {
    let text = format!(
        "{MINIMAL}  staging:\n    kubernetes: {{ sim: {{ seed: 2 }} }}\n    \
         prometheus: {{ urls: [http://prom-staging:9090], timeout: 1s }}\n    \
         pools: {{ a: {{ provider: {{ sim: {{}} }}, max: 1 }}, b: {{ provider: {{ sim: {{}} }}, max: 2 }} }}\n"
    );
    let config = parse(&text).unwrap();
    let staging = &config.clusters[&ClusterName::from("staging")];
    assert_eq!(staging.prometheus.endpoint.urls, ["http://prom-staging:9090"]);
    assert_eq!(staging.prometheus.endpoint.timeout, Duration::from_secs(1));
    assert_eq!(staging.alertmanager.endpoint.urls, ["http://am:9093"]);
    assert_eq!(staging.pools.len(), 2);
    assert_reads_back(&config);
}

#[test]
fn a_pool_takes_the_mode_of_its_cluster() {
    let value = changed(&full(), "clusters.default.mode", json!("dry_run"));
    assert_eq!(worker_pool(&parse_value(&value).unwrap()).mode, Mode::DryRun);
    let value = changed(&value, "clusters.default.pools.workers.mode", json!("act"));
    assert_eq!(worker_pool(&parse_value(&value).unwrap()).mode, Mode::Act);
}

#[test]
fn a_file_that_is_not_there_is_told_by_its_path() {
    let errors = Config::load(Path::new("/nonexistent/bellwether.yaml"), &none()).unwrap_err();
    assert_eq!(errors.0[0].path, "/nonexistent/bellwether.yaml");
}

/// A path may name what never ends.
#[test]
fn a_file_without_an_end_is_told_and_not_read_on() {
    let value = changed(&full(), "alertmanager.bearer_token_file", json!("/dev/zero"));
    let errors = refused(&value);
    assert_eq!((errors.len(), &*errors[0].path), (1, "alertmanager.bearer_token_file"));
    assert!(errors[0].mend.contains("too large"), "{}", errors[0].mend);
    let errors = Config::load(Path::new("/dev/zero"), &none()).unwrap_err();
    assert_eq!((errors.0.len(), &*errors.0[0].path), (1, "/dev/zero"));
}
