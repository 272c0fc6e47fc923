//! What is true of the files of `compose/` without running them.

use bellwether::config::{Config, ProcessEnv};
use serde_json::Value;
use std::fs;

const LAB: &str = include_str!("../../../compose/docker-compose.yml");

fn parsed(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn services() -> serde_json::Map<String, Value> {
    parsed(LAB)["services"].as_object().unwrap().clone()
}

#[test]
fn what_the_tests_put_in_place_of_its_images_changes_nothing_else() {
    let instead = parsed(include_str!("../../lab/images.yml"));
    assert_eq!(instead.as_object().unwrap().keys().collect::<Vec<_>>(), ["services"]);
    let services = services();
    let instead = instead["services"].as_object().unwrap();
    for (service, fields) in instead {
        assert!(services.contains_key(service), "{service}");
        assert_eq!(fields.as_object().unwrap().keys().collect::<Vec<_>>(), ["image"], "{service}");
    }
    let real: Vec<&String> = services.keys().filter(|name| !instead.contains_key(*name)).collect();
    assert_eq!(real, ["grafana"], "docs/lab.md says who has no stand-in");
}

/// W-40, W-47.
#[test]
fn every_image_is_pinned_and_every_port_is_on_loopback() {
    for (service, fields) in services() {
        let image = fields["image"].as_str().unwrap();
        let version = image.rsplit_once(':').unwrap_or_else(|| panic!("{service}: {image}")).1;
        assert!(version.contains('.') && version != "latest", "{service}: {image}");
        for port in fields["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{service}: {port}");
        }
        assert!(fields["privileged"].is_null(), "{service}");
    }
}

#[test]
fn what_is_named_in_two_places_is_of_one_version() {
    let services = services();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(services["bellwether"]["image"], format!("bellwether:{version}"));
    let k3s = services["k3s-server"]["image"].as_str().unwrap();
    assert_eq!(services["setup"]["image"], k3s);
    assert!(include_str!("../../../compose/bellwether.yaml").contains(&format!("image: {k3s}\n")));
}

/// W-42: no secret has a value in the repository, nor one to fall back to.
#[test]
fn every_secret_comes_from_the_file_that_make_env_writes() {
    let generated = include_str!("../../../compose/make-env");
    let asked: Vec<&str> =
        LAB.split("${").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
    for variable in asked {
        // No secret.
        if variable.starts_with("DOCKER_SOCKET") {
            continue;
        }
        let (name, otherwise) = variable.split_once(":?").unwrap_or_else(|| panic!("{variable}"));
        assert!(generated.contains(name), "{name}");
        assert_eq!(otherwise, "run compose/make-env first");
    }
    for word in ["PASSWORD: ", "TOKEN: ", "AUTH: ", "password: ", "token: "] {
        for value in LAB.split(word).skip(1) {
            assert!(value.starts_with("${"), "{word}{}", value.lines().next().unwrap());
        }
    }
}

#[test]
fn alertmanager_has_the_shipped_routes_and_the_token() {
    let mut own = parsed(include_str!("../../../compose/alertmanager.yml"));
    let http = &mut own["receivers"][0]["webhook_configs"][0]["http_config"];
    let token = http.as_object_mut().unwrap().remove("authorization").unwrap();
    assert_eq!(token["credentials_file"], "/run/for-alertmanager/bellwether-token");
    assert_eq!(own, parsed(include_str!("../../../alertmanager/alertmanager.yml")));
}

#[test]
fn prometheus_scrapes_as_the_rules_for_containers_say() {
    let own = parsed(include_str!("../../../compose/prometheus.yml"));
    let shipped = parsed(include_str!("../../../rules/docker/prometheus.yml"));
    assert_eq!(own["global"], shipped["global"]);
    let named = |config: &Value, name: &str| {
        let mut jobs = config["scrape_configs"].as_array().unwrap().iter();
        jobs.find(|job| job["job_name"] == name).cloned().unwrap()
    };
    for (job, fields) in [
        ("nodes", ["scheme", "metrics_path"]),
        ("bellwether", ["scrape_interval", "static_configs"]),
    ] {
        for field in fields {
            assert_eq!(named(&own, job)[field], named(&shipped, job)[field], "{job}: {field}");
        }
    }
}

#[test]
fn bellwethers_own_file_is_good_but_for_the_tokens_that_setup_hands_out() {
    let text = include_str!("../../../compose/bellwether.yaml");
    let setup = include_str!("../../../compose/setup.sh");
    let folder = tempfile::tempdir().unwrap();
    let given = text.split("/run/for-bellwether/").skip(1);
    for file in given.map(|rest| rest.split([' ', '\n']).next().unwrap()) {
        assert!(setup.contains(&format!("give bellwether {file}")), "{file}");
        fs::write(folder.path().join(file), "something").unwrap();
    }
    let here = text.replace("/run/for-bellwether", folder.path().to_str().unwrap());
    let path = folder.path().join("bellwether.yaml");
    fs::write(&path, here).unwrap();
    let config = Config::load(&path, &ProcessEnv);
    assert!(config.is_ok(), "{config:?}");
}
