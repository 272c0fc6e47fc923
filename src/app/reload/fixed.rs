//! What a running process cannot change: what it opened, built or bound at its start. Each stays as it
//! runs until the next start, whole, so that nothing works with one half of the old and one of the new.

use crate::config::{ClusterConfig, Config, ServiceConfig, Timing};
use crate::model::ClusterName;
use std::collections::{BTreeMap, BTreeSet};

/// Sets what only a start reads back to what runs. The paths of what the file says otherwise.
pub(super) fn keep(new: &mut Config, running: &Config) -> Vec<String> {
    let mut kept = Kept(Vec::new());
    kept.service(&mut new.service, &running.service);
    kept.clusters(&mut new.clusters, &running.clusters);
    kept.0
}

/// The paths of what was kept.
struct Kept(Vec<String>);

type Clusters = BTreeMap<ClusterName, ClusterConfig>;

impl Kept {
    /// Every field is named, so that a new one cannot be forgotten here.
    fn service(&mut self, new: &mut ServiceConfig, running: &ServiceConfig) {
        let ServiceConfig {
            listen,
            auth: _,
            store,
            redis: _,
            history_entries,
            history_age,
            claim_ttl: _,
            interval: _,
            busy_interval: _,
            overdue: _,
            log_format,
            log_level,
            shutdown_grace,
        } = new;
        self.keep("listen", listen, &running.listen);
        self.keep("store.url", store, &running.store);
        self.keep("store.history.entries", history_entries, &running.history_entries);
        self.keep("store.history.age", history_age, &running.history_age);
        self.keep("log.format", log_format, &running.log_format);
        self.keep("log.level", log_level, &running.log_level);
        self.keep("shutdown_grace", shutdown_grace, &running.shutdown_grace);
    }

    /// Loops are built at the start. One whose cluster left the file goes on as before; a new cluster has
    /// none, and must not take signals that nobody would read.
    fn clusters(&mut self, new: &mut Clusters, running: &Clusters) {
        let names: BTreeSet<ClusterName> = new.keys().chain(running.keys()).cloned().collect();
        for name in names {
            match (new.get_mut(&name), running.get(&name)) {
                (Some(cluster), Some(before)) => self.cluster(cluster, before),
                (_, before) => {
                    self.0.push(format!("clusters.{name}"));
                    new.remove(&name);
                    new.extend(before.map(|before| (name, before.clone())));
                }
            }
        }
    }

    fn cluster(&mut self, new: &mut ClusterConfig, running: &ClusterConfig) {
        let ClusterConfig {
            name,
            kubernetes,
            mode: _,
            accept_unlabelled: _,
            expanders: _,
            expendable_below: _,
            pending: _,
            guards: _,
            alertmanager: _,
            prometheus: _,
            timing,
            pools: _,
        } = new;
        self.keep(&format!("clusters.{name}.kubernetes"), kubernetes, &running.kubernetes);
        let Timing {
            view_max_age: _,
            manual_ttl: _,
            refusal: _,
            refusal_max: _,
            breaker: _,
            breaker_max: _,
            back_off: _,
            back_off_max: _,
            help_check: _,
            unhelpable: _,
            unhelpable_max: _,
            gone_for: _,
            rebuild_hold: _,
            call,
        } = timing;
        self.keep(&format!("clusters.{name}.timing.call"), call, &running.timing.call);
    }

    fn keep<T: PartialEq + Clone>(&mut self, path: &str, new: &mut T, running: &T) {
        if new != running {
            new.clone_from(running);
            self.0.push(path.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let head = "alertmanager: { urls: [http://a] }\nprometheus: { urls: [http://p] }\n";
        Config::parse(&format!("{head}{text}"), &BTreeMap::<String, String>::new()).unwrap().config
    }

    fn cluster(name: &str, more: &str) -> String {
        let pool = "pools: { workers: { provider: { sim: {} }, max: 3 } }";
        format!("{name}: {{ kubernetes: {{ sim: {{ seed: 1 }} }}, {pool}, {more} }}")
    }

    #[test]
    fn what_only_a_start_reads_stays_and_is_named_until_it_is_the_same_again() {
        let running = config(&format!("clusters: {{ {} }}", cluster("one", "")));
        let other = cluster("one", "timing: { call: 3s, refusal: 3s }");
        let mut new = config(&format!(
            "listen: 127.0.0.1:1
store: {{ url: 'memory:', claim_ttl: 3s, history: {{ entries: 200, age: 2d }} }}
log: {{ format: json, level: debug }}
shutdown_grace: 3s
reconcile: {{ interval: 3s }}
clusters: {{ {} }}",
            other.replace("seed: 1", "seed: 2").replace("max: 3", "max: 4")
        ));
        let taken = new.clusters[&"one".into()].pools.clone();
        let paths = [
            "listen",
            "store.url",
            "store.history.entries",
            "store.history.age",
            "log.format",
            "log.level",
            "shutdown_grace",
            "clusters.one.kubernetes",
            "clusters.one.timing.call",
        ];
        assert_eq!(keep(&mut new, &running), paths);
        let mut live = running.clone();
        let three = std::time::Duration::from_secs(3);
        (live.service.claim_ttl, live.service.interval) = (three, three);
        let one = live.clusters.get_mut(&"one".into()).unwrap();
        one.timing.refusal = three;
        one.pools = taken;
        assert_eq!(new, live, "and all else is taken");
        assert_eq!(keep(&mut running.clone(), &new), Vec::<String>::new());
        let page = include_str!("../../../docs/operations.md");
        let told = |path: &&str| page.contains(&format!("`{}`", path.replace("one", "NAME")));
        assert!(paths.iter().all(told), "docs/operations.md lists them");
    }

    #[test]
    fn a_cluster_that_came_waits_and_one_that_left_goes_on() {
        let running =
            config(&format!("clusters: {{ {}, {} }}", cluster("a", ""), cluster("b", "")));
        let mut new =
            config(&format!("clusters: {{ {}, {} }}", cluster("b", ""), cluster("c", "")));
        assert_eq!(keep(&mut new, &running), ["clusters.a", "clusters.c"]);
        assert_eq!(new, running);
    }
}
