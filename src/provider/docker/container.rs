//! What a worker's container is, and what its labels say. Pure.

use crate::config::{DockerConfig, ShapeConfig};
use crate::model::{
    ClusterName, Effect, Instance, InstanceState, LaunchRequest, Market, POOL_LABEL, PoolName,
    Resources, ShapeName, Taint, WORKER_LABEL, WorkerId, ZONE_LABEL, Zone,
};
use bollard::models::{
    ContainerCreateBody, ContainerState, ContainerSummary, ContainerSummaryStateEnum as State,
    HostConfig, Mount, MountType, MountVolumeOptions, RestartPolicy, RestartPolicyNameEnum,
};
use jiff::Timestamp;
use std::collections::HashMap;

/// Labels of containers and volumes, beside the worker's and the pool's, which are as on nodes.
const CLUSTER: &str = "bellwether.dev/cluster";
const CLUSTER_UID: &str = "bellwether.dev/cluster-uid";
const BATCH: &str = "bellwether.dev/batch";
const SHAPE: &str = "bellwether.dev/shape";

/// The label of a node that tells its shape.
const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";

/// Whose containers are meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whose<'a> {
    pub(super) cluster: &'a ClusterName,
    pub(super) pool: &'a PoolName,
}

impl Whose<'_> {
    /// As a filter of Docker's lists.
    pub(super) fn filter(self) -> HashMap<String, Vec<String>> {
        let label = |key: &str, value: &str| format!("{key}={value}");
        let labels =
            vec![label(CLUSTER, self.cluster.as_str()), label(POOL_LABEL, self.pool.as_str())];
        [("label".to_owned(), labels)].into()
    }

    /// Whether labels say so.
    pub(super) fn owns(self, labels: &HashMap<String, String>) -> bool {
        labels.get(CLUSTER).is_some_and(|name| name == self.cluster.as_str())
            && labels.get(POOL_LABEL).is_some_and(|name| name == self.pool.as_str())
    }
}

/// The worker that labels of a container or a volume name.
pub(super) fn worker_of(labels: &HashMap<String, String>) -> Option<&str> {
    labels.get(WORKER_LABEL).map(String::as_str)
}

/// The UID of the cluster that labels name.
pub(super) fn cluster_uid_of(labels: &HashMap<String, String>) -> Option<&str> {
    labels.get(CLUSTER_UID).map(String::as_str)
}

/// What is a worker's own, as a filter of Docker's lists; `None` where labels do not say whose.
pub(super) fn worker_filter(
    labels: &HashMap<String, String>,
) -> Option<HashMap<String, Vec<String>>> {
    let label = |key: &str| labels.get(key).map(|value| format!("{key}={value}"));
    let labels = vec![label(WORKER_LABEL)?, label(CLUSTER_UID)?];
    Some([("label".to_owned(), labels)].into())
}

/// What a container is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agent<'a> {
    pub(super) config: &'a DockerConfig,
    pub(super) request: &'a LaunchRequest,
    pub(super) worker: &'a WorkerId,
    pub(super) shape: &'a ShapeConfig,
    pub(super) zone: &'a Zone,
    /// All that its Docker's machine has.
    pub(super) machine: &'a Resources,
}

impl Agent<'_> {
    /// A container that joins as its worker.
    pub(super) fn body(self) -> ContainerCreateBody {
        let labels = labels(self.request, self.worker, &self.shape.name.as_str().into());
        ContainerCreateBody {
            hostname: Some(self.worker.to_string()),
            image: Some(self.config.image.clone()),
            env: Some(self.environment()),
            cmd: Some(self.arguments()),
            host_config: Some(self.host_config(&labels)),
            labels: Some(labels),
            ..ContainerCreateBody::default()
        }
    }

    fn environment(self) -> Vec<String> {
        let token = self.config.token.text.as_ref().map_or("", |token| token.expose());
        let own = [
            ("K3S_URL", &*self.config.server),
            ("K3S_TOKEN", token),
            ("K3S_NODE_NAME", self.worker.as_str()),
        ];
        let more = self.config.env.iter().map(|(name, value)| (&**name, &**value));
        own.into_iter().chain(more).map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// The agent's. Its kubelet sees the whole machine, so what is not the container's is told to be somebody else's.
    fn arguments(self) -> Vec<String> {
        let own = [
            (WORKER_LABEL, self.worker.as_str()),
            (POOL_LABEL, self.request.pool.as_str()),
            (ZONE_LABEL, self.zone.as_str()),
            (INSTANCE_TYPE, &self.shape.name),
        ];
        let labels = self.request.labels.iter().map(|(key, value)| (&**key, &**value)).chain(own);
        let cpu = self.machine.cpu_milli.saturating_sub(self.shape.cpu_milli);
        let memory = self.machine.memory.saturating_sub(self.shape.memory) >> 10;
        let mut words = vec!["agent".to_owned()];
        words.extend(labels.map(|(key, value)| format!("--node-label={key}={value}")));
        words.extend(self.request.taints.iter().map(taint));
        words.push(format!("--kubelet-arg=system-reserved=cpu={cpu}m,memory={memory}Ki"));
        words.push(format!("--kubelet-arg=max-pods={}", self.shape.pods));
        words.extend(self.config.args.iter().cloned());
        words
    }

    fn host_config(self, labels: &HashMap<String, String>) -> HostConfig {
        let config = self.config;
        let volume = |(number, path): (usize, &String)| Mount {
            typ: Some(MountType::VOLUME),
            source: Some(format!("{}-{number}", self.worker)),
            target: Some(path.clone()),
            volume_options: Some(MountVolumeOptions {
                labels: Some(labels.clone()),
                ..MountVolumeOptions::default()
            }),
            ..Mount::default()
        };
        let (system, security): (Vec<&String>, Vec<&String>) =
            config.security_opt.iter().partition(|option| *option == "systempaths=unconfined");
        // What `docker run` makes of that option: the daemon does not know it.
        let paths = (!system.is_empty()).then(Vec::new);
        let memory = i64::try_from(self.shape.memory).unwrap_or(i64::MAX);
        HostConfig {
            nano_cpus: i64::try_from(self.shape.cpu_milli.saturating_mul(1_000_000)).ok(),
            memory: Some(memory),
            // No swap beyond that.
            memory_swap: Some(memory),
            binds: Some(config.binds.clone()),
            mounts: Some(config.volumes.iter().enumerate().map(volume).collect()),
            tmpfs: Some(config.tmpfs.iter().map(|path| (path.clone(), String::new())).collect()),
            network_mode: Some(config.network.clone()),
            privileged: Some(config.privileged),
            cap_add: Some(config.cap_add.clone()),
            security_opt: Some(security.into_iter().cloned().collect()),
            masked_paths: paths.clone(),
            readonly_paths: paths,
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            ..HostConfig::default()
        }
    }
}

/// What tells whose a container and its volumes are.
pub(super) fn labels(
    request: &LaunchRequest,
    worker: &WorkerId,
    shape: &ShapeName,
) -> HashMap<String, String> {
    let labels = [
        (CLUSTER, request.cluster.as_str()),
        (CLUSTER_UID, request.cluster_uid.as_str()),
        (POOL_LABEL, request.pool.as_str()),
        (BATCH, request.batch.as_str()),
        (WORKER_LABEL, worker.as_str()),
        (SHAPE, shape.as_str()),
    ];
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn taint(taint: &Taint) -> String {
    let effect = match taint.effect {
        Effect::NoSchedule => "NoSchedule",
        Effect::PreferNoSchedule => "PreferNoSchedule",
        Effect::NoExecute => "NoExecute",
    };
    format!("--node-taint={}={}:{effect}", taint.key, taint.value)
}

/// What a container is to us; `None` of one that a list may not hold. One that has stopped may come back by itself until
/// that is asked of it.
pub(super) fn instance(found: &ContainerSummary, zone: &Zone) -> Option<(Instance, bool)> {
    let id = found.id.as_deref()?;
    let labels = found.labels.as_ref()?;
    let (state, has_stopped) = match found.state? {
        State::CREATED => (InstanceState::Pending, false),
        State::RUNNING | State::PAUSED | State::RESTARTING => (InstanceState::Running, false),
        State::EXITED => (InstanceState::Running, true),
        State::DEAD => (InstanceState::Stopped, false),
        State::REMOVING | State::STOPPING => (InstanceState::Ending, false),
        State::EMPTY => return None,
    };
    let launched = Timestamp::from_second(found.created?).ok()?;
    let mut instance = of_labels(id, labels, zone, launched, state)?;
    if found.state == Some(State::PAUSED) {
        let name = instance.worker.as_ref().map_or_else(|| short(id), WorkerId::as_str);
        instance.told = Some(format!("it is paused: `docker unpause {name}` lets it go on"));
    }
    Some((instance, has_stopped))
}

/// What its labels say of a container.
pub(super) fn of_labels(
    id: &str,
    labels: &HashMap<String, String>,
    zone: &Zone,
    launched: Timestamp,
    state: InstanceState,
) -> Option<Instance> {
    let label = |key: &str| labels.get(key).map(String::as_str);
    Some(Instance {
        id: format!("{zone}/{}", short(id)).as_str().into(),
        worker: label(WORKER_LABEL).map(Into::into),
        batch: label(BATCH).map(Into::into),
        pool: label(POOL_LABEL)?.into(),
        cluster_uid: label(CLUSTER_UID).map(Into::into),
        shape: label(SHAPE).unwrap_or("unknown").into(),
        zone: zone.clone(),
        market: Market::OnDemand,
        launched,
        state,
        protected: false,
        notice: None,
        told: None,
        unchecked: false,
    })
}

/// Why a container that ended did.
pub(super) fn told(state: &ContainerState) -> String {
    let code = state.exit_code.unwrap_or_default();
    let memory = if state.oom_killed == Some(true) { ", out of memory" } else { "" };
    let error = state.error.as_deref().filter(|error| !error.is_empty());
    let error = error.map(|error| format!(": {error}")).unwrap_or_default();
    format!("the container ended with code {code}{memory}{error}")
}

/// As people read it in `docker ps`.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_container_ended_is_told_in_words() {
        let state = |exit_code, oom_killed, error: &str| ContainerState {
            exit_code: Some(exit_code),
            oom_killed: Some(oom_killed),
            error: Some(error.to_owned()),
            ..ContainerState::default()
        };
        assert_eq!(told(&state(1, false, "")), "the container ended with code 1");
        assert_eq!(told(&state(137, true, "")), "the container ended with code 137, out of memory");
        assert_eq!(
            told(&state(128, false, "no such network")),
            "the container ended with code 128: no such network"
        );
    }

    #[test]
    fn a_container_is_what_its_labels_and_its_state_say() {
        let labels = [
            (CLUSTER_UID, "uid-1"),
            (POOL_LABEL, "workers"),
            (BATCH, "b"),
            (WORKER_LABEL, "w1"),
            (SHAPE, "small"),
        ];
        let labels: HashMap<_, _> =
            labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let of = |state| ContainerSummary {
            id: Some("0123456789abcdef".to_owned()),
            created: Some(1_767_225_600),
            labels: Some(labels.clone()),
            state: Some(state),
            ..ContainerSummary::default()
        };
        let states = [
            (State::CREATED, InstanceState::Pending, false),
            (State::RUNNING, InstanceState::Running, false),
            (State::PAUSED, InstanceState::Running, false),
            (State::RESTARTING, InstanceState::Running, false),
            (State::EXITED, InstanceState::Running, true),
            (State::REMOVING, InstanceState::Ending, false),
            (State::DEAD, InstanceState::Stopped, false),
        ];
        for (its, ours, stopped) in states {
            let (found, has_stopped) = instance(&of(its), &"a".into()).unwrap();
            assert_eq!((found.state, has_stopped), (ours, stopped), "{its}");
            assert_eq!(found.id.as_str(), "a/0123456789ab");
            assert_eq!((found.worker, found.batch), (Some("w1".into()), Some("b".into())));
            assert_eq!(found.cluster_uid, Some("uid-1".into()));
        }
        assert!(instance(&of(State::EMPTY), &"a".into()).is_none());
    }
}
