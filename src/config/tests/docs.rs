//! `docs/configuration.md` and the examples say what is true.

use super::{MINIMAL, changed, fields, full, known_fields, none, parse, refused, remove, steps};
use crate::config::env::{BY_NAME, EARLIER};
use crate::config::{Config, ProviderConfig};
use crate::model::{PoolName, duration};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One row of a table of fields.
struct Row {
    field: String,
    default: String,
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn page() -> String {
    std::fs::read_to_string(docs().join("configuration.md")).unwrap()
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Every row that documents a field, once for each section that the heading above it names.
fn rows(page: &str) -> Vec<Row> {
    let mut sections = Vec::new();
    let mut rows = Vec::new();
    for line in page.lines() {
        if line.starts_with('#') {
            sections = in_backticks(line).collect();
        }
        let cells: Vec<_> = line.split(" | ").collect();
        let field = in_backticks(cells[0]).next();
        let Some(field) = field.filter(|_| line.starts_with("| `") && cells.len() == 4) else {
            continue;
        };
        let prefixes = if sections.is_empty() { &[""][..] } else { &sections };
        for prefix in prefixes {
            let field = format!("{prefix}.{field}").trim_start_matches('.').to_owned();
            rows.push(Row { field, default: cells[1].to_owned() });
        }
    }
    rows
}

/// A file that says the least in which a field stands.
fn least(field: &str, minimal: Value, token: &Path) -> Value {
    let exec = json!({ "exec": { "program": "/bin/cloud" } });
    let docker = json!({ "docker": fields::least_docker(token) });
    let ec2 = json!({ "ec2": fields::least_ec2() });
    let kinds = [(".provider.exec.", exec), (".provider.docker.", docker), (".provider.ec2.", ec2)];
    match kinds.into_iter().find(|(kind, _)| field.contains(kind)) {
        Some((_, provider)) => {
            let (path, cluster) = fields::provided(&provider);
            changed(&minimal, &path, cluster)
        }
        None => minimal,
    }
}

/// The page's blocks of YAML.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_field_is_documented_once() {
    let rows = rows(&page());
    let documented: BTreeSet<_> = rows.iter().map(|row| row.field.clone()).collect();
    assert_eq!(documented, known_fields());
    assert_eq!(documented.len(), rows.len(), "a field stands there twice");
}

#[test]
fn every_documented_default_is_the_default() {
    let secret = fields::secret_file();
    let minimal = parse(MINIMAL).unwrap().to_value();
    let mut compared = 0;
    for Row { field, default } in rows(&page()) {
        let field = match field.split_once('.') {
            Some(("alertmanager" | "prometheus", _)) => format!("clusters.default.{field}"),
            _ => field.replace("clusters.NAME", "clusters.default"),
        };
        let field = field.replace("pools.NAME", "pools.workers").replace("[]", "[0]");
        let field = field.replace("hosts.NAME", "hosts.local");
        let value = if field.contains(".provider.") {
            let least = least(&field, full(), secret.path());
            parse(&least.to_string()).unwrap().to_value()
        } else {
            minimal.clone()
        };
        let pointer = format!("/{}", steps(&field).join("/"));
        let is = value.pointer(&pointer).unwrap_or(&Value::Null);
        let Some(told) = in_backticks(&default).next() else {
            let nothing = match is {
                Value::Null => true,
                Value::Array(items) => items.is_empty(),
                _ => false,
            };
            assert!(
                default == "required" || (default == "none" && (nothing || field == "version")),
                "{field} is {is}, the page says {default}"
            );
            continue;
        };
        let text = is.as_str().map_or_else(|| is.to_string(), str::to_owned);
        let same = text == told
            || duration::parse(told).is_ok() && duration::parse(told) == duration::parse(&text);
        assert!(same, "{field} is {is}, the page says {told}");
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn what_is_called_required_is_required() {
    let secret = fields::secret_file();
    let mut tried = 0;
    for row in rows(&page()).iter().filter(|row| row.default == "required") {
        let field = row.field.replace("clusters.NAME", "clusters.default");
        let field = field.replace("pools.NAME", "pools.workers").replace("[]", "[0]");
        if ["alertmanager.urls", "prometheus.urls"]
            .contains(&field.trim_start_matches("clusters.default."))
            && field.starts_with("clusters")
        {
            // Taken from the top, where it is tried.
            continue;
        }
        let mut value = least(&field, full(), secret.path());
        remove(&mut value, &field);
        let errors = refused(&value);
        assert_eq!(errors.len(), 1, "{field}: {errors:?}");
        assert!(errors[0].path.ends_with(field.rsplit('.').next().unwrap()), "{}", errors[0]);
        tried += 1;
    }
    assert!(tried > 6, "{tried}");
}

/// Files that the page's YAML names are not there, and that is all that is wrong with it.
#[test]
fn the_yaml_of_the_page_about_containers_is_right() {
    let page = std::fs::read_to_string(docs().join("docker.md")).unwrap();
    let blocks = blocks(&page);
    let folder = tempfile::tempdir().unwrap();
    let secret = fields::secret_file();
    let (pem, token) = (secret.pem(), secret.path());
    let ca = secret.path().with_file_name("ca.pem");
    let files = [("k3s-token", token), ("docker-ca.pem", &*ca), ("docker.pem", &*pem)];
    let there = |yaml: &str| {
        files.iter().fold(yaml.to_owned(), |yaml, (name, file)| {
            let here = folder.path().join(name);
            std::fs::copy(file, &here).unwrap();
            yaml.replace(&format!("/etc/bellwether/{name}"), here.to_str().unwrap())
        })
    };
    let whole = there(blocks[0]);
    parse(&whole).unwrap_or_else(|errors| panic!("{errors}"));
    let indent = "\n            ";
    let hosts = there(blocks[1]).trim_end().replace('\n', indent);
    let with_hosts =
        whole.replace(&format!("{indent}network:"), &format!("{indent}{hosts}{indent}network:"));
    let config = parse(&with_hosts).unwrap_or_else(|errors| panic!("{errors}"));
    let pool = &config.clusters[&"default".into()].pools[&PoolName::from("workers")];
    let ProviderConfig::Docker(docker) = &pool.provider else { panic!("{:?}", pool.provider) };
    assert_eq!(docker.hosts.len(), 2);
}

#[test]
fn the_yaml_of_the_page_about_ec2_is_right() {
    let page = std::fs::read_to_string(docs().join("ec2.md")).unwrap();
    let blocks = blocks(&page);
    assert_eq!(blocks.len(), 1);
    let config = parse(blocks[0]).unwrap_or_else(|errors| panic!("{errors}"));
    let pool = &config.clusters[&"default".into()].pools[&PoolName::from("workers")];
    let ProviderConfig::Ec2(ec2) = &pool.provider else { panic!("{:?}", pool.provider) };
    assert_eq!(ec2.spot, 70);
    assert_eq!(ec2.shapes, ["t3.small", "t3a.small"]);
}

#[test]
fn every_yaml_that_is_shown_is_right() {
    let page = page();
    let blocks = blocks(&page);
    assert_eq!(blocks.len(), page.matches("```").count() / 2);
    assert!(!blocks.is_empty());
    for block in blocks {
        parse(block).unwrap_or_else(|errors| panic!("{errors}\n{block}"));
    }
    let mut examples = 0;
    for entry in std::fs::read_dir(docs().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let loaded = Config::load(&path, &none());
            let loaded = loaded.unwrap_or_else(|errors| panic!("{}: {errors}", path.display()));
            super::assert_reads_back(&loaded.config);
            examples += 1;
        }
    }
    assert!(examples >= 2);
}

#[test]
fn every_variable_is_documented() {
    let page = page();
    for (name, field) in BY_NAME {
        assert!(page.contains(&format!("| `{name}` | `{field}` |")), "{name}");
    }
    for (name, instead) in EARLIER.iter().filter(|(name, _)| !name.ends_with('_')) {
        let instead =
            if instead.contains(' ') { (*instead).to_owned() } else { format!("`{instead}`") };
        assert!(page.contains(&format!("| `{name}` | {instead} |")), "{name}");
    }
}
