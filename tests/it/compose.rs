//! The lab of `compose/`, as somebody new would try it: by the commands of docs/lab.md.

mod files;
mod image;

use crate::support::compose::Compose;
use crate::support::lab::CPU;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Instant;

/// The page, command by command.
struct Page {
    lab: Compose,
    blocks: std::vec::IntoIter<String>,
    begun: Instant,
}

impl Page {
    /// On a Compose of this version.
    async fn open(version: &str) -> Option<Self> {
        let lab = Compose::new(version).await?;
        let text = include_str!("../../docs/lab.md");
        let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let blocks: Vec<String> = blocks.map(str::to_owned).collect();
        Some(Self { lab, blocks: blocks.into_iter(), begun: Instant::now() })
    }

    /// What the next block prints, which is to be the one with these words.
    async fn next(&mut self, words: &str) -> String {
        let block = self.blocks.next().unwrap();
        assert!(block.contains(words), "the page's next commands are\n{block}");
        let folder = if block.contains("make lab\n") { "." } else { "compose" };
        self.lab.run(folder, &block).await
    }

    #[expect(clippy::print_stdout, reason = "how long it takes is worth knowing")]
    fn told(&self, what: &str) {
        println!("{:>7.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    /// What `load` tells of a series without labels.
    async fn number(&self, series: &str) -> f64 {
        let line = format!("curl --silent http://127.0.0.1:8000/metrics | grep '^{series} '");
        let told = self.lab.run("compose", &line).await;
        told.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Phases of the pods that work, and the nodes that they are on.
    async fn pods(&self) -> (usize, BTreeSet<String>) {
        let line = "docker compose exec -T k3s-server kubectl get pods --output json";
        let pods: Value = serde_json::from_str(&self.lab.run("compose", line).await).unwrap();
        let runs = |pod: &&Value| {
            pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
        };
        let running: Vec<&Value> = pods["items"].as_array().unwrap().iter().filter(runs).collect();
        let nodes = running.iter().map(|pod| pod["spec"]["nodeName"].as_str().unwrap().to_owned());
        (running.len(), nodes.collect())
    }

    /// Whether workers were launched because of an alert of this name.
    async fn launched_for(&self, alert: &str) -> bool {
        let signals = self.lab.asked("signals").await;
        let signals = signals["clusters"]["default"]["signals"].as_array().cloned();
        let signals = signals.unwrap_or_default();
        let named = signals.iter().filter(|one| one["signal"]["name"] == alert);
        let ids: Vec<&Value> = named.map(|one| &one["signal"]["id"]).collect();
        let history = self.lab.asked("history").await;
        let history = history["clusters"]["default"]["history"].as_array().cloned();
        history.unwrap_or_default().iter().any(|entry| {
            let asked = entry["signals"].as_array().cloned().unwrap_or_default();
            entry["what"] == "launch" && asked.iter().any(|id| ids.contains(&id))
        })
    }

    async fn is_well(&self) {
        let expected = [
            "alertmanager",
            "bellwether",
            "docker-proxy",
            "k3s-server",
            "load",
            "prometheus",
            "redis",
        ];
        self.lab
            .until("every service to be healthy", async || {
                let services = self.lab.services().await;
                let well = services.iter().filter(|(_, status)| status.ends_with("(healthy)"));
                let well: BTreeSet<&str> = well.map(|(service, _)| service.as_str()).collect();
                well == expected.into()
            })
            .await;
    }
}

/// W-42, F-206, F-207, and A-95 again.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_lab_is_true_command_by_command() {
    let _cpu = CPU.acquire().await.unwrap();
    let Some(mut page) = Page::open("2.40").await else { return };
    page.comes_up().await;
    page.grows().await;
    page.is_paused().await;
    page.shrinks_while_bellwether_is_killed().await;
    page.heals().await;
    page.next("make lab-down").await;
    page.is_away().await;
    page.told("nothing is left");
    assert_eq!(page.blocks.next(), None, "commands that nobody tried");
}

impl Page {
    async fn comes_up(&mut self) {
        self.next("make lab").await;
        self.told("`make lab` has come back");
        self.lab.has_ready(1).await;
        self.told("the first worker is Ready");
        // By the authorities that the image has, of which the tests' is one, and by a name that Docker knows.
        let ask = "bellwether healthcheck --url https://k3s-server:6443";
        self.lab.run("compose", &format!("docker compose exec -T bellwether {ask}")).await;
        self.is_well().await;
        let shown = self.next("docker compose ps").await;
        assert!(shown.contains("workers") && shown.contains("Ready"), "{shown}");
        let history = self.next("bellwether history").await;
        assert!(history.contains("below_min"), "{history}");
        every_picture_has_what_it_shows(self).await;
    }

    async fn grows(&mut self) {
        self.next("--replicas=6").await;
        self.lab.has_ready(2).await;
        self.lab.until("all pods to run", async || self.pods().await.0 == 6).await;
        self.told("six pods run on two workers");
        let shown = self.next("bellwether signals").await;
        assert!(shown.contains("PodsUnschedulable") && shown.contains("pods_pending"), "{shown}");
        self.next("/add/20000").await;
        let is_asked = async || self.launched_for("JobsWait").await;
        self.lab.until("a worker for jobs that wait", is_asked).await;
        self.lab.has_ready(3).await;
        self.told("a third worker has come for jobs that wait");
        self.next("/clear").await;
    }

    async fn is_away(&self) {
        for list in [&["ps", "--all", "--quiet"][..], &["volume", "ls", "--quiet"]] {
            let left = self.lab.dockerd.says(list).await;
            assert!(left.is_empty(), "{list:?}: {left:?}");
        }
    }

    async fn is_paused(&mut self) {
        self.next("silence add").await;
        self.lab
            .until("the silence to be seen", async || {
                let status = self.lab.asked("status").await;
                let pauses = &status["clusters"]["default"]["status"]["pauses"];
                pauses.to_string().contains("I look around")
            })
            .await;
        self.next("silence expire").await;
    }

    async fn shrinks_while_bellwether_is_killed(&mut self) {
        self.next("--replicas=1").await;
        self.lab
            .until("a worker to leave", async || {
                let history = self.lab.asked("history").await;
                let history = history["clusters"]["default"]["history"].as_array().cloned();
                history.unwrap_or_default().iter().any(|entry| entry["what"] == "cordon")
            })
            .await;
        self.told("a worker leaves");
        self.next("bellwether plan").await;
        self.next("kill -HUP 1").await;
        self.next("kill bellwether").await;
        self.told("Bellwether was killed");
        let workers = ["ps", "--quiet", "--filter", "label=bellwether.dev/pool=workers"];
        let is_one_left = async || self.lab.dockerd.says(&workers).await.len() == 1;
        self.lab.until("the container of one worker to be left", is_one_left).await;
        self.lab.until("the pod to run there", async || self.pods().await.0 == 1).await;
        self.told("one worker is left");
        self.lab.run(".", "curl --silent http://127.0.0.1:8000/rate/0").await;
        self.lab
            .until("every job to be done", async || {
                let over = self.number("lab_jobs_done_total").await
                    + self.number("lab_jobs_cleared_total").await;
                (self.number("lab_jobs_total").await - over).abs() < 0.5
            })
            .await;
        assert!(self.number("lab_jobs_lost_total").await < 0.5, "a job was dropped");
    }

    async fn heals(&mut self) {
        self.lab.has_ready(1).await;
        let (before, _) = self.lab.workers().await;
        self.next("docker rm").await;
        self.lab
            .until("another worker in its place", async || {
                let (ready, _) = self.lab.workers().await;
                ready.iter().any(|worker| !before.contains(worker))
            })
            .await;
        self.told("a worker that was taken away is replaced");
    }
}

/// The dashboard asks for nothing that Prometheus does not understand, nor for series that nobody tells.
async fn every_picture_has_what_it_shows(page: &Page) {
    let board: Value =
        serde_json::from_str(include_str!("../../compose/grafana/dashboards/lab.json")).unwrap();
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    // Alerts fire, pods wait and jobs are done at times only; these are asked for, and that they are understood is all.
    let at_times = ["ALERTS", "bellwether_unschedulable_pods", "quantile", "workers_memory"];
    for target in targets {
        let expr = target["expr"].as_str().unwrap();
        let ask = format!(
            "curl --silent --get --data-urlencode 'query={expr}' http://127.0.0.1:9090/api/v1/query"
        );
        page.lab
            .until(expr, async || {
                let told: Value = serde_json::from_str(&page.lab.run(".", &ask).await).unwrap();
                assert_eq!(told["status"], "success", "{told}");
                let is_there = !told["data"]["result"].as_array().unwrap().is_empty();
                is_there || at_times.iter().any(|part| expr.contains(part))
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_compose_of_version_1_brings_it_up_and_away_too() {
    let Some(page) = Page::open("1.29").await else { return };
    // As the page says of it.
    page.lab.run(".", "make lab COMPOSE=docker-compose").await;
    page.lab.has_ready(1).await;
    page.is_well().await;
    page.lab.run(".", "make lab-down COMPOSE=docker-compose").await;
    page.is_away().await;
}

/// What is not listed in `haproxy.cfg` does not reach Docker. That what is listed does, every worker of the lab shows.
#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_before_docker_refuses_what_bellwether_has_no_use_for() {
    let Some(lab) = Compose::new("2.40").await else { return };
    lab.run("compose", "./make-env && $COMPOSE_PROGRAM up --detach --no-build docker-proxy").await;
    let socket = lab.dockerd.volume("bellwether-lab_docker-proxy").join("docker.sock");
    lab.until("the proxy's socket", async || socket.exists()).await;
    let ask = |words: &str| format!("export DOCKER_HOST=unix://{}; {words}", socket.display());
    let listed = lab.run("compose", &ask("docker ps --format '{{.Names}}'")).await;
    assert!(listed.contains("docker-proxy"), "{listed}");
    let events = lab.run("compose", &ask("docker events --since 5m --until 0s")).await;
    assert!(events.contains("local/haproxy:1"), "{events}");
    for forbidden in [
        "docker exec bellwether-lab-docker-proxy-1 true",
        "docker cp bellwether-lab-docker-proxy-1:/etc/passwd -",
        "docker commit bellwether-lab-docker-proxy-1 mine",
        "docker stop bellwether-lab-docker-proxy-1",
        "docker rename bellwether-lab-docker-proxy-1 mine",
        "docker volume create mine",
        "docker network ls",
        "docker system prune --force",
        "docker image rm local/redis:1",
        "docker save local/redis:1",
        "docker events --since 1m",
    ] {
        let line = ask(&format!("if {forbidden} 2>&1; then echo WAS-PERMITTED; fi"));
        let told = lab.run("compose", &line).await;
        assert!(!told.contains("WAS-PERMITTED"), "{forbidden}: {told}");
        assert!(
            told.contains("permits no such request") || told.contains("403"),
            "{forbidden}: {told}"
        );
    }
    // By other ways to write what is permitted, or to what is not.
    for path in [
        "POST /v1.41/containers/x/../../exec/y/start",
        "POST /v1.41/containers/x%2F..%2F..%2Fexec/start",
        "POST /v1.41//exec/y/start",
        "POST /v1.41/containers/x/exec?path=/v1.41/containers/create",
        "POST /v1.41/CONTAINERS/create",
        "POST /v1.41/images/create?fromSrc=http://127.0.0.1/mine",
        "GET /v1.41/containers/x/archive?path=/",
        "DELETE /v1.41/images/local/redis:1",
    ] {
        let (method, path) = path.split_once(' ').unwrap();
        let ask = format!(
            "curl --silent --output /dev/null --write-out '%{{http_code}}' --path-as-is --request {method} --unix-socket {} 'http://docker{path}'",
            socket.display()
        );
        assert_eq!(lab.run("compose", &ask).await, "403", "{method} {path}");
    }
}
