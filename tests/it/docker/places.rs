//! Several Dockers, each a zone.

use super::{Yard, host, pool, request, start, uid};
use crate::support::dockerd::Dockerd;
use bellwether::clock::Clock;
use bellwether::model::{LaunchRequest, Offering, Order};
use bellwether::provider::contract::{Stage, try_out};
use bellwether::provider::{Docker, Launched, Provider as _};
use std::time::Duration;

/// A Docker `a`, another `b`, and a pool on both.
async fn two() -> Option<(Yard, Dockerd, Docker)> {
    let yard = start().await?;
    let other = Dockerd::start().await?;
    other.idle_image().await;
    let docker = yard.with(|config| {
        config.hosts.insert("b".to_owned(), host(other.url()));
    });
    Some((yard, other, docker))
}

/// One worker in each of these zones.
fn in_zones(workers: &[(&str, &str)]) -> LaunchRequest {
    let mut asked = request(&[]);
    let offering = asked.fallback.remove(0);
    asked.orders = workers
        .iter()
        .map(|(worker, zone)| {
            let offering = Offering { zone: (*zone).into(), ..offering.clone() };
            Order { worker: (*worker).into(), offering }
        })
        .collect();
    asked
}

fn zone_of(launched: &Launched, worker: &str) -> String {
    let mut all = launched.instances.iter();
    let (_, id, offering) = all.find(|(one, ..)| one.as_str() == worker).unwrap();
    assert!(id.as_str().starts_with(&format!("{}/", offering.zone)), "{id}");
    offering.zone.to_string()
}

async fn names(dockerd: &Dockerd) -> Vec<String> {
    dockerd.says(&["ps", "--all", "--format", "{{.Names}}"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_dockers_keep_what_every_provider_keeps() {
    let Some((yard, other, docker)) = two().await else { return };
    let stage = Stage {
        cluster: "lab".into(),
        cluster_uid: uid(),
        pool: pool(),
        other: "others".into(),
        nobody: "b/000000000000".into(),
        names_workers: true,
        limit: Duration::from_secs(30),
        clock: Clock::system(),
    };
    let findings = try_out(&docker, &stage, true, |_| ()).await;
    let wrong: Vec<_> = findings.iter().filter(|finding| finding.wrong.is_some()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((yard.containers().await.len(), names(&other).await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_made_in_its_zone_listed_with_all_and_ended_where_it_is() {
    let Some((yard, other, docker)) = two().await else { return };
    let launched = docker.launch(&in_zones(&[("w1", "a"), ("w2", "b")])).await.unwrap();
    assert_eq!((&*zone_of(&launched, "w1"), &*zone_of(&launched, "w2")), ("a", "b"));
    assert_eq!(
        (yard.containers().await, names(&other).await),
        (vec!["w1".into()], vec!["w2".into()])
    );
    let listed = docker.list(&pool()).await.unwrap();
    let mut told: Vec<(String, String)> = listed
        .iter()
        .map(|one| (one.worker.as_ref().unwrap().to_string(), one.zone.to_string()))
        .collect();
    told.sort();
    assert_eq!(told, [("w1".into(), "a".into()), ("w2".into(), "b".into())]);
    let second = &listed.iter().find(|one| one.zone.as_str() == "b").unwrap().id;
    docker.terminate(&uid(), &pool(), second).await.unwrap();
    assert_eq!((yard.containers().await.len(), names(&other).await.len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_of_two_is_away_the_list_is_unknown_and_nothing_is_launched() {
    let Some((yard, other, docker)) = two().await else { return };
    docker.launch(&in_zones(&[("w1", "a"), ("w2", "b")])).await.unwrap();
    let shapes = docker.shapes(&pool()).await.unwrap();
    let zones: Vec<&str> = shapes[0].offerings.iter().map(|one| one.zone.as_str()).collect();
    assert_eq!(zones, ["a", "b"]);
    drop(other);
    let unknown = docker.list(&pool()).await.unwrap_err();
    assert!(unknown.is_transient() && unknown.to_string().contains("in b"), "{unknown}");
    assert!(docker.launch(&in_zones(&[("w3", "a")])).await.is_err(), "it may be in b");
    assert_eq!(yard.containers().await, ["w1"]);
}
