//! Containers as machines, on a real Docker: what a launch leaves there, what a list tells, and what an end takes away.

mod befalls;
mod places;
mod pulls;

use crate::support::authority::Authority;
use crate::support::dockerd::{Dockerd, VOLUMES};
use crate::support::gate::Gate;
use crate::support::wait;
use bellwether::clock::Clock;
use bellwether::config::{DockerConfig, DockerHost, PemFile, Secret, ShapeConfig, TokenFile};
use bellwether::model::{
    ClusterUid, Instance, InstanceId, InstanceState, LaunchRequest, Market, Offering, Order,
    PoolName, Price, Taint,
};
use bellwether::provider::contract::{Stage, try_out};
use bellwether::provider::{Docker, Error, Launched, LeftBehind, Provider as _};
use serde_json::Value;
use std::time::Duration;

const MIB: u64 = 1 << 20;

fn host(url: String) -> DockerHost {
    DockerHost { url, ca_file: None, client_cert_file: None }
}

/// Small ones that do nothing, where the tests' Docker is.
async fn config(dockerd: &Dockerd) -> DockerConfig {
    let small = ShapeConfig {
        name: "small".to_owned(),
        cpu_milli: 500,
        memory: 256 * MIB,
        pods: 20,
        price: Some(Price(10_000)),
    };
    DockerConfig {
        image: dockerd.idle_image().await,
        server: "https://127.0.0.1:6443".to_owned(),
        token: TokenFile { path: "/token".into(), text: Some(Secret::new("hunter2")) },
        shapes: vec![small],
        hosts: [("a".to_owned(), host(dockerd.url()))].into(),
        network: "bridge".to_owned(),
        args: vec!["--flannel-iface=eth0".to_owned()],
        env: [("TZ".to_owned(), "UTC".to_owned())].into(),
        volumes: VOLUMES.map(str::to_owned).into(),
        binds: vec!["/etc/hostname:/etc/machine:ro".to_owned()],
        tmpfs: vec!["/tmp".to_owned()],
        privileged: false,
        cap_add: vec!["SYS_PTRACE".to_owned()],
        security_opt: vec!["systempaths=unconfined".to_owned()],
        parallel: 3,
        pull_timeout: Duration::from_mins(1),
    }
}

fn pool() -> PoolName {
    "workers".into()
}

fn uid() -> ClusterUid {
    "uid-1".into()
}

fn request(workers: &[&str]) -> LaunchRequest {
    let offering = Offering {
        shape: "small".into(),
        zone: "a".into(),
        market: Market::OnDemand,
        price: Some(Price(10_000)),
    };
    let order = |worker: &&str| Order { worker: (*worker).into(), offering: offering.clone() };
    LaunchRequest {
        cluster: "lab".into(),
        cluster_uid: uid(),
        pool: pool(),
        batch: "b".into(),
        token: None,
        orders: workers.iter().map(order).collect(),
        fallback: vec![offering.clone()],
        labels: [("tier".to_owned(), "batch".to_owned())].into(),
        taints: vec![Taint {
            key: "team".to_owned(),
            value: "red".to_owned(),
            effect: bellwether::model::Effect::NoSchedule,
        }],
    }
}

struct Yard {
    dockerd: Dockerd,
    config: DockerConfig,
    docker: Docker,
}

async fn start() -> Option<Yard> {
    let dockerd = Dockerd::start().await?;
    let config = config(&dockerd).await;
    let docker = Docker::new("lab".into(), config.clone(), Clock::system());
    Some(Yard { dockerd, config, docker })
}

impl Yard {
    async fn launch(&self, workers: &[&str]) -> Launched {
        self.docker.launch(&request(workers)).await.unwrap()
    }

    async fn one(&self, worker: &str) -> InstanceId {
        self.launch(&[worker]).await.instances[0].1.clone()
    }

    async fn list(&self) -> Vec<Instance> {
        self.docker.list(&pool()).await.unwrap()
    }

    async fn inspect(&self, name: &str) -> Value {
        let told = self.dockerd.does(&["inspect", name]).await;
        let mut told: Value = serde_json::from_slice(&told.stdout).unwrap();
        told[0].take()
    }

    async fn containers(&self) -> Vec<String> {
        self.dockerd.says(&["ps", "--all", "--format", "{{.Names}}"]).await
    }

    async fn volumes(&self) -> Vec<String> {
        self.dockerd.says(&["volume", "ls", "--quiet"]).await
    }

    fn with(&self, change: impl FnOnce(&mut DockerConfig)) -> Docker {
        let mut config = self.config.clone();
        change(&mut config);
        Docker::new("lab".into(), config, Clock::system())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_keep_what_every_provider_keeps() {
    let Some(yard) = start().await else { return };
    let stage = Stage {
        cluster: "lab".into(),
        cluster_uid: uid(),
        pool: pool(),
        other: "others".into(),
        nobody: "a/000000000000".into(),
        names_workers: true,
        limit: Duration::from_secs(30),
        clock: Clock::system(),
    };
    let findings = try_out(&yard.docker, &stage, true, |_| ()).await;
    let wrong: Vec<_> = findings.iter().filter(|finding| finding.wrong.is_some()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(findings.len(), 10);
    assert_eq!((yard.containers().await.len(), yard.volumes().await.len()), (0, 0));
}

/// F-049.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_an_agent_within_its_shape_that_joins_as_its_worker() {
    let Some(yard) = start().await else { return };
    yard.one("w1").await;
    let told = yard.inspect("w1").await;
    let (config, host) = (&told["Config"], &told["HostConfig"]);
    assert_eq!((&host["NanoCpus"], &host["Memory"]), (&500_000_000.into(), &(256 * MIB).into()));
    assert_eq!(host["MemorySwap"], host["Memory"], "no swap beyond its memory");
    assert_eq!((&config["Hostname"], &host["NetworkMode"]), (&"w1".into(), &"bridge".into()));
    assert_eq!(host["RestartPolicy"]["Name"], "unless-stopped");
    assert_eq!((&host["Privileged"], &host["CapAdd"][0]), (&false.into(), &"SYS_PTRACE".into()));
    assert_eq!(host["MaskedPaths"], Value::Array(Vec::new()));
    assert_eq!(host["Tmpfs"]["/tmp"], "");
    assert_eq!(host["Binds"][0], "/etc/hostname:/etc/machine:ro");
    let words = |list: &Value| -> Vec<String> { serde_json::from_value(list.clone()).unwrap() };
    let env = words(&config["Env"]);
    let told =
        ["K3S_URL=https://127.0.0.1:6443", "K3S_TOKEN=hunter2", "K3S_NODE_NAME=w1", "TZ=UTC"];
    for variable in told {
        assert!(env.iter().any(|one| one == variable), "{variable}: {env:?}");
    }
    let cmd = words(&config["Cmd"]);
    let told = [
        "agent",
        "--node-label=bellwether.dev/worker=w1",
        "--node-label=bellwether.dev/pool=workers",
        "--node-label=topology.kubernetes.io/zone=a",
        "--node-label=node.kubernetes.io/instance-type=small",
        "--node-label=tier=batch",
        "--node-taint=team=red:NoSchedule",
        "--kubelet-arg=max-pods=20",
        "--flannel-iface=eth0",
    ];
    for word in told {
        assert!(cmd.iter().any(|one| one == word), "{word}: {cmd:?}");
    }
    // Its kubelet sees the whole machine: what is not the container's is reserved.
    let ncpu: u64 = yard.dockerd.says(&["info", "--format", "{{.NCPU}}"]).await[0].parse().unwrap();
    let reserved = format!("--kubelet-arg=system-reserved=cpu={}m,", ncpu * 1_000 - 500);
    assert!(cmd.iter().any(|one| one.starts_with(&reserved)), "{reserved}: {cmd:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_takes_the_volumes_along_and_leaves_others_alone() {
    let Some(yard) = start().await else { return };
    let id = yard.one("w1").await;
    yard.one("w2").await;
    yard.dockerd
        .does(&[
            "run",
            "--detach",
            "--name",
            "theirs",
            "--volume",
            "theirs:/data",
            &yard.config.image,
        ])
        .await;
    assert_eq!(yard.volumes().await, ["theirs", "w1-0", "w1-1", "w2-0", "w2-1"]);
    yard.docker.terminate(&uid(), &pool(), &id).await.unwrap();
    assert_eq!(yard.volumes().await, ["theirs", "w2-0", "w2-1"]);
    let gone = yard.list().await.into_iter().find(|one| one.id == id).unwrap();
    assert_eq!(gone.state, InstanceState::Gone, "that it is gone is known, and not only not seen");
    let mut left = yard.containers().await;
    left.sort();
    assert_eq!(left, ["theirs", "w2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_of_this_pool_is_neither_listed_nor_ended() {
    let Some(yard) = start().await else { return };
    let image = &*yard.config.image;
    let project = "com.docker.compose.project=lab";
    let mine = "bellwether.dev/cluster=lab";
    yard.dockerd.does(&["run", "--detach", "--name", "composed", "--label", project, image]).await;
    let other = [
        "run",
        "--detach",
        "--name",
        "other",
        "--label",
        mine,
        "--label",
        "bellwether.dev/pool=others",
        image,
    ];
    yard.dockerd.does(&other).await;
    assert_eq!(yard.list().await, []);
    // Of a cluster that was made anew under its name.
    let before = [
        "run",
        "--detach",
        "--name",
        "before",
        "--label",
        mine,
        "--label",
        "bellwether.dev/pool=workers",
        "--label",
        "bellwether.dev/cluster-uid=uid-2",
        image,
    ];
    yard.dockerd.does(&before).await;
    for name in ["composed", "other", "before"] {
        let id = yard.inspect(name).await["Id"].as_str().unwrap()[..12].to_owned();
        let ended =
            yard.docker.terminate(&uid(), &pool(), &format!("a/{id}").as_str().into()).await;
        assert!(matches!(ended, Err(Error::Denied(_))), "{name}: {ended:?}");
    }
    assert_eq!(yard.containers().await.len(), 3);
}

/// F-050, F-051, A-37.
#[tokio::test(flavor = "multi_thread")]
async fn ten_asked_for_twice_at_once_are_ten_with_names_of_their_own() {
    let Some(yard) = start().await else { return };
    let names: Vec<String> = (1..=10).map(|number| format!("w{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let asked = request(&names);
    let (first, second) = tokio::join!(yard.docker.launch(&asked), yard.docker.launch(&asked));
    // Whoever comes amid the other's work is told so, and asks again.
    let answers = [first, second];
    let unknown = |answer: &Result<Launched, Error>| {
        answer.as_ref().is_err_and(|error| error.left_behind() == LeftBehind::Unknown)
    };
    let had = |mut launched: Launched| {
        assert_eq!(launched.failed, []);
        launched.instances.sort_by(|one, other| one.0.cmp(&other.0));
        launched.instances
    };
    let settled = had(yard.launch(&names).await);
    for answer in answers.into_iter().filter(|answer| !unknown(answer)) {
        assert_eq!(had(answer.unwrap()), settled);
    }
    let mut listed = yard.containers().await;
    listed.sort();
    let mut wanted: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    wanted.sort();
    assert_eq!(listed, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_somebody_else_took_is_told_and_not_touched() {
    let Some(yard) = start().await else { return };
    yard.dockerd.does(&["run", "--detach", "--name", "w1", &yard.config.image]).await;
    let launched = yard.launch(&["w1", "w2"]).await;
    assert_eq!(launched.instances.len(), 1);
    let (worker, error) = &launched.failed[0];
    assert_eq!(worker.as_str(), "w1");
    assert!(matches!(error, Error::Invalid(why) if why.contains("already in use")), "{error}");
    let mut left = yard.containers().await;
    left.sort();
    assert_eq!(left, ["w1", "w2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_leaves_nothing_behind() {
    let Some(yard) = start().await else { return };
    let broken = [
        ("network", yard.with(|config| config.network = "nowhere".to_owned())),
        ("option", yard.with(|config| config.security_opt = vec!["no-such-option".to_owned()])),
    ];
    for (what, docker) in broken {
        let launched = docker.launch(&request(&["w1"])).await.unwrap();
        let error = &launched.failed[0].1;
        assert_eq!(error.left_behind(), LeftBehind::Nothing, "{what}: {error}");
        assert!(matches!(error, Error::Invalid(_)), "{what}: {error}");
        assert_eq!((yard.containers().await.len(), yard.volumes().await.len()), (0, 0), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_made_and_never_started_is_started_by_asking_again() {
    let Some(yard) = start().await else { return };
    yard.one("w1").await;
    // As if we had ended between the two calls: it is there, and nobody started it.
    let labels = yard.inspect("w1").await["Config"]["Labels"].clone();
    yard.dockerd.remove("w1").await;
    let labels: Vec<String> = labels
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| format!("--label={key}={}", value.as_str().unwrap()))
        .collect();
    let mut words = vec!["create", "--name", "w1"];
    words.extend(labels.iter().map(String::as_str));
    words.push(&yard.config.image);
    yard.dockerd.does(&words).await;
    assert_eq!(yard.list().await, [], "its launch is still open");
    let later = Clock::system().now() + jiff::SignedDuration::from_mins(3);
    let later = Docker::new("lab".into(), yard.config.clone(), Clock::starting_at(later));
    let listed = later.list(&pool()).await.unwrap();
    assert_eq!(listed[0].state, InstanceState::Stopped, "nobody asked again, so it is to be ended");
    assert!(listed[0].told.as_deref().is_some_and(|told| told.contains("never started")));
    let again = yard.one("w1").await;
    let listed = yard.list().await;
    assert_eq!((listed.len(), &listed[0].id, listed[0].state), (1, &again, InstanceState::Running));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_stopped_just_now_may_come_back_and_one_removed_by_hand_is_gone() {
    let Some(yard) = start().await else { return };
    yard.one("w1").await;
    yard.one("w2").await;
    yard.dockerd.does(&["stop", "--time", "0", "w1"]).await;
    yard.dockerd.does(&["rm", "--force", "w2"]).await;
    let listed = yard.list().await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].state, InstanceState::Running, "Docker starts what ends by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_there_is_being_pulled_and_then_told_why_not() {
    let Some(yard) = start().await else { return };
    let docker = yard.with(|config| config.image = "127.0.0.1:9/nobody/has:1".to_owned());
    let first = docker.launch(&request(&["w1", "w2"])).await.unwrap_err();
    assert!(first.to_string().contains("is being pulled"), "{first}");
    assert_eq!(
        first.left_behind(),
        LeftBehind::Unknown,
        "the launch stays open, and is asked again"
    );
    let told = async || docker.launch(&request(&["w1"])).await.unwrap_err().to_string();
    wait::until("the pull to fail", || async { told().await.contains("cannot be pulled") }).await;
    assert_eq!((yard.containers().await.len(), yard.volumes().await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_that_is_away_makes_the_list_unknown_and_sells_nothing() {
    let Some(yard) = start().await else { return };
    let docker = yard.with(|config| {
        config.hosts.insert("b".to_owned(), host("unix:///nonexistent/docker.sock".to_owned()));
    });
    yard.one("w1").await;
    let list = docker.list(&pool()).await.unwrap_err();
    assert!(list.is_transient() && list.to_string().contains("in b"), "{list}");
    let shapes = docker.shapes(&pool()).await.unwrap();
    let zones: Vec<&str> = shapes[0].offerings.iter().map(|one| one.zone.as_str()).collect();
    assert_eq!(zones, ["a"]);
    assert!(docker.launch(&request(&["w2"])).await.is_err(), "it may have made it before");
    assert_eq!(yard.list().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shape_is_offered_where_a_machine_holds_it() {
    let Some(yard) = start().await else { return };
    let shapes = yard.docker.shapes(&pool()).await.unwrap();
    let offerings = &shapes[0].offerings;
    assert_eq!((offerings.len(), offerings[0].price), (1, Some(Price(10_000))));
    let docker = yard.with(|config| config.shapes[0].cpu_milli = 1_000_000);
    let shapes = docker.shapes(&pool()).await.unwrap();
    assert!(shapes[0].offerings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_made_at_once_than_the_file_says() {
    let Some(yard) = start().await else { return };
    let gate = Gate::of(&yard.dockerd);
    for parallel in [1, 4] {
        let docker = yard.with(|config| {
            config.hosts.insert("a".to_owned(), host(gate.url()));
            config.parallel = parallel;
        });
        let names: Vec<String> = (0..8).map(|number| format!("w{parallel}-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        docker.list(&pool()).await.unwrap();
        gate.forget();
        let launched = docker.launch(&request(&names)).await.unwrap();
        assert_eq!(launched.instances.len(), 8);
        assert_eq!(gate.most_at_once(), parallel);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_docker_is_full_another_makes_it_and_the_first_is_told_short() {
    let Some(yard) = start().await else { return };
    let gate = Gate::of(&yard.dockerd);
    gate.fill();
    let docker = yard.with(|config| {
        config.hosts.insert("a".to_owned(), host(gate.url()));
        config.hosts.insert("b".to_owned(), host(yard.dockerd.url()));
    });
    let mut asked = request(&["w1"]);
    let elsewhere = Offering { zone: "b".into(), ..asked.fallback[0].clone() };
    asked.fallback.push(elsewhere);
    let launched = docker.launch(&asked).await.unwrap();
    assert_eq!(launched.instances[0].2.zone, "b".into(), "{launched:?}");
    let (short, why) = &launched.short[0];
    assert!(short.zone == "a".into() && matches!(why, Error::Capacity(_)), "{launched:?}");
    assert_eq!(yard.containers().await, ["w1"]);
}

/// What outlived its container goes once it is old, and nothing else: neither young ones, for they may be about to get one, nor those
/// of a worker that is there, of another pool, or of another cluster of the same name.
#[tokio::test(flavor = "multi_thread")]
async fn volumes_without_a_container_are_cleared_away_when_they_are_old() {
    let Some(yard) = start().await else { return };
    yard.one("w1").await;
    let make = async |name: &str, pool: &str, uid: &str| {
        let labels = [("cluster", "lab"), ("pool", pool), ("cluster-uid", uid), ("worker", name)];
        let mut words = vec!["volume".to_owned(), "create".to_owned()];
        words.extend(labels.map(|(key, value)| format!("--label=bellwether.dev/{key}={value}")));
        words.push(name.to_owned());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        yard.dockerd.does(&words).await;
    };
    make("left-over", "workers", "uid-1").await;
    make("of-others", "others", "uid-1").await;
    make("of-another", "workers", "uid-2").await;
    yard.one("w2").await;
    assert_eq!(yard.volumes().await.len(), 7, "all are young");
    let later = Clock::system().now() + jiff::SignedDuration::from_mins(11);
    let docker = Docker::new("lab".into(), yard.config.clone(), Clock::starting_at(later));
    docker.launch(&request(&["w2"])).await.unwrap();
    assert_eq!(yard.volumes().await, ["of-another", "of-others", "w1-0", "w1-1", "w2-0", "w2-1"]);
}

/// As when Docker is restarted amid a launch.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_whose_making_was_not_answered_is_found_and_started_by_asking_again() {
    let Some(yard) = start().await else { return };
    let gate = Gate::of(&yard.dockerd);
    let docker = yard.with(|config| {
        config.hosts.insert("a".to_owned(), host(gate.url()));
    });
    docker.list(&pool()).await.unwrap();
    gate.lose_an_answer();
    let error = docker.launch(&request(&["w1"])).await.unwrap_err();
    assert_eq!(error.left_behind(), LeftBehind::Unknown, "{error}");
    assert_eq!(yard.list().await, [], "it was made, and not started: its launch is still open");
    assert_eq!(yard.containers().await, ["w1"]);
    let again = docker.launch(&request(&["w1"])).await.unwrap();
    let listed = yard.list().await;
    assert_eq!((listed.len(), listed[0].state), (1, InstanceState::Running));
    assert_eq!(again.instances[0].1, listed[0].id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_is_reached_over_the_network_with_certificates_of_both_sides() {
    let Some(yard) = start().await else { return };
    let (own, other) = (Authority::new(), Authority::new());
    let gate = Gate::with_tls(&yard.dockerd, &own).await;
    let file = |path: std::path::PathBuf| {
        let text = Secret::new(std::fs::read_to_string(&path).unwrap());
        Some(PemFile { path, text })
    };
    let reached = async |ca: &Authority, client: &Authority| {
        let docker = yard.with(|config| {
            let host = DockerHost {
                url: gate.url(),
                ca_file: file(ca.ca_file()),
                client_cert_file: file(client.client_file()),
            };
            config.hosts.insert("a".to_owned(), host);
        });
        docker.launch(&request(&["w1"])).await
    };
    assert_eq!(reached(&own, &own).await.unwrap().instances.len(), 1);
    for (ca, client) in [(&other, &own), (&own, &other)] {
        let error = reached(ca, client).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_come_in_time_is_given_up() {
    let Some(yard) = start().await else { return };
    // A registry that takes the call and never answers.
    let silent = tokio::net::TcpListener::bind((&*yard.dockerd.gateway, 0)).await.unwrap();
    let docker = yard.with(|config| {
        config.image = format!("{}/k3s:1", silent.local_addr().unwrap());
        config.pull_timeout = Duration::from_millis(300);
    });
    let told = async || docker.launch(&request(&["w1"])).await.unwrap_err().to_string();
    wait::until("the pull to be given up", || async { told().await.contains("`pull_timeout`") })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_container_wrote_is_its_console() {
    let Some(yard) = start().await else { return };
    let id = yard.one("w1").await;
    wait::until("its first line", || async {
        yard.docker.console(&pool(), &id).await.unwrap().as_deref() == Some("idle\n")
    })
    .await;
}
