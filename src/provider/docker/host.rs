//! One Docker: its connection, and the calls about containers.

use super::container::{self, Whose, short};
use super::image::Pull;
use super::lately::Lately;
use crate::clock::Clock;
use crate::config::{DockerConfig, DockerHost};
use crate::model::{
    ClusterUid, Instance, InstanceId, InstanceState, PoolName, Resources, WorkerId, Zone,
};
use crate::provider::{Error, Result, in_words};
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, ListContainersOptions, LogsOptions,
    RemoveContainerOptions, StartContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::stream::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Seconds that the library waits for an answer; whoever calls has a limit of its own.
const TIMEOUT: u64 = 3_600;

/// How long what is known of a Docker and its machine is good for: either may be replaced by a newer or larger one.
const KNOWN_FOR: Duration = Duration::from_mins(5);

/// How long a container that ended may take to be started again by Docker.
const COMES_BACK: Duration = Duration::from_mins(1);

/// How long one that was taken away is told of.
const GONE_FOR: Duration = Duration::from_mins(10);

/// Lines of a container's log that are read.
const LOG_LINES: &str = "100";

/// One Docker, which is one zone.
pub(super) struct Host {
    pub(super) zone: Zone,
    pub(super) clock: Clock,
    config: DockerHost,
    known: tokio::sync::Mutex<Option<(Instant, Known)>>,
    pub(super) pull: Mutex<Option<Pull>>,
    /// Since when we see a container that ended, by its id.
    stopped: Mutex<HashMap<String, Instant>>,
    /// Those that were taken away, which Docker tells of no more: that they are gone is known, and not only not seen.
    ended: Mutex<Vec<(Instant, Instance)>>,
    lately: tokio::sync::Mutex<Lately>,
}

/// A Docker as it was when it was heard of last.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Speaks a version that both know.
    pub(super) docker: Docker,
    /// The cores and the memory of its machine.
    pub(super) size: Resources,
    /// As `uname -m` says it.
    pub(super) architecture: String,
    /// What its clock said, and when that was heard.
    clock: Option<(Timestamp, Instant)>,
}

impl Known {
    /// What its clock says now: never later than it does, so that what it is asked up to then has happened.
    fn now(&self) -> Option<Timestamp> {
        let (told, heard) = self.clock?;
        Some(told + SignedDuration::try_from(heard.elapsed()).ok()?)
    }
}

impl Host {
    pub(super) fn new(zone: &str, config: &DockerHost, clock: Clock) -> Self {
        let (zone, config) = (zone.into(), config.clone());
        let (known, pull) = (tokio::sync::Mutex::default(), Mutex::default());
        let (stopped, ended) = (Mutex::default(), Mutex::default());
        let lately = tokio::sync::Mutex::default();
        Self { zone, clock, config, known, pull, stopped, ended, lately }
    }

    /// Its client, and what it runs on.
    pub(super) async fn known(&self) -> Result<Known> {
        let mut known = self.known.lock().await;
        if let Some((at, known)) = &*known
            && at.elapsed() < KNOWN_FOR
        {
            return Ok(known.clone());
        }
        *known = None;
        let new = self.connect().await?;
        *known = Some((Instant::now(), new.clone()));
        Ok(new)
    }

    pub(super) async fn docker(&self) -> Result<Docker> {
        Ok(self.known().await?.docker)
    }

    async fn connect(&self) -> Result<Known> {
        let url = &*self.config.url;
        let connected = match (&self.config.ca_file, &self.config.client_cert_file) {
            (Some(ca), Some(own)) => Docker::connect_with_ssl(
                url,
                &own.path,
                &own.path,
                &ca.path,
                TIMEOUT,
                API_DEFAULT_VERSION,
            ),
            _ => Docker::connect_with_socket(url, TIMEOUT, API_DEFAULT_VERSION),
        };
        let docker = connected.map_err(|error| self.error(&error))?;
        let docker = docker.negotiate_version().await.map_err(|error| self.error(&error))?;
        let info = docker.info().await.map_err(|error| self.error(&error))?;
        let count = |number: Option<i64>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
        let size = Resources::new(count(info.ncpu).saturating_mul(1_000), count(info.mem_total));
        let clock = info.system_time.and_then(|time| time.parse().ok());
        let clock = clock.map(|told| (told, Instant::now()));
        Ok(Known { docker, size, architecture: info.architecture.unwrap_or_default(), clock })
    }

    /// All of a pool's, whatever state they are in.
    pub(super) async fn list(&self, whose: Whose<'_>) -> Result<Vec<Instance>> {
        let options = ListContainersOptions {
            all: true,
            filters: Some(whose.filter()),
            ..ListContainersOptions::default()
        };
        let known = self.known().await?;
        let found = known.docker.list_containers(Some(options)).await;
        let found = found.map_err(|error| self.error(&error))?;
        self.forget_others(&found);
        let mut lately = self.lately.lock().await;
        if let Some(now) = known.now().filter(|_| !found.is_empty()) {
            lately.ask(&known.docker, whose, now).await;
        }
        let mut listed = Vec::new();
        for found in found {
            let Some((mut instance, has_stopped)) = container::instance(&found, &self.zone) else {
                return Err(self.away("lists a container without its id, state or time"));
            };
            let id = found.id.unwrap_or_default();
            if self.stays_stopped(&id, has_stopped) {
                self.tell_stopped(&id, &mut instance).await?;
            } else if !has_stopped && instance.told.is_none() {
                instance.told = lately.of(&id);
            }
            listed.push(instance);
        }
        listed.extend(self.ended(whose.pool));
        Ok(listed)
    }

    /// Those of a pool that were taken away lately.
    fn ended(&self, pool: &PoolName) -> Vec<Instance> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|(at, _)| at.elapsed() < GONE_FOR);
        ended.iter().map(|(_, one)| one.clone()).filter(|one| one.pool == *pool).collect()
    }

    /// Whether a container that ended was seen so for so long that Docker does not start it again. By our own watch: Docker's clock
    /// may be another.
    fn stays_stopped(&self, id: &str, has_stopped: bool) -> bool {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if !has_stopped {
            stopped.remove(id);
            return false;
        }
        stopped.entry(id.to_owned()).or_insert_with(Instant::now).elapsed() > COMES_BACK
    }

    /// Only of those that are there it is kept since when they are seen stopped.
    fn forget_others(&self, there: &[ContainerSummary]) {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        stopped.retain(|id, _| there.iter().any(|one| one.id.as_ref() == Some(id)));
    }

    async fn tell_stopped(&self, id: &str, instance: &mut Instance) -> Result<()> {
        if let Some(found) = self.inspect(id).await? {
            instance.state = InstanceState::Stopped;
            instance.told = Some(container::told(&found.state.unwrap_or_default()));
        }
        Ok(())
    }

    pub(super) async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>> {
        let docker = self.docker().await?;
        match docker.inspect_container(id, None::<InspectContainerOptions>).await {
            Err(error) if status(&error) == Some(404) => Ok(None),
            answer => answer.map(Some).map_err(|error| self.error(&error)),
        }
    }

    /// Makes a container and starts it. One of this worker that is there already is it.
    pub(super) async fn create(
        &self,
        worker: &WorkerId,
        body: ContainerCreateBody,
    ) -> Result<InstanceId> {
        let labels = body.labels.clone().unwrap_or_default();
        let name = CreateContainerOptions { name: Some(worker.to_string()), ..Default::default() };
        let id = match self.docker().await?.create_container(Some(name), body).await {
            Ok(created) => created.id,
            Err(error) => self.found_instead(worker, &labels, error).await?,
        };
        self.start(&id, &labels).await?;
        Ok(format!("{}/{}", self.zone, short(&id)).as_str().into())
    }

    /// What there is under the name of a worker that could not be made.
    async fn found_instead(
        &self,
        worker: &WorkerId,
        labels: &HashMap<String, String>,
        error: bollard::errors::Error,
    ) -> Result<String> {
        let Some(status) = status(&error) else { return Err(self.error(&error)) };
        let is_it = |found: &ContainerInspectResponse| {
            let its = found.config.as_ref().and_then(|config| config.labels.as_ref());
            its.is_some_and(|its| labels.iter().all(|(key, value)| its.get(key) == Some(value)))
        };
        match self.inspect(worker.as_str()).await? {
            Some(found) if is_it(&found) => found.id.ok_or_else(|| self.away("tells no id")),
            // Docker itself says that it failed, and nothing is there: so nothing is left behind.
            None if status == 500 => match self.refusal(&error) {
                Error::Unavailable(why) => Err(Error::Invalid(why)),
                other => Err(other),
            },
            // The name is taken by what is still being made.
            None if status == 409 => Err(self.away("is making it already")),
            _ => Err(self.refusal(&error)),
        }
    }

    /// Starts a container; one that runs already is well. What cannot be started is taken away again, with what is its own.
    pub(super) async fn start(&self, id: &str, labels: &HashMap<String, String>) -> Result<()> {
        let docker = self.docker().await?;
        let started = docker.start_container(id, None::<StartContainerOptions>).await;
        let Err(error) = started.map_err(|error| self.refusal(&error)) else { return Ok(()) };
        let cleared = match self.end(id).await {
            Ok(()) => self.remove_volumes_of(labels).await,
            left => left,
        };
        // Only where nothing is left behind another place may be tried.
        cleared.map_err(|left| self.away(&format!("did not start it ({error}), and: {left}")))?;
        Err(error)
    }

    /// Takes a container of this pool of the cluster with this UID away, with what is its own. One that is gone is well.
    pub(super) async fn remove(&self, whose: Whose<'_>, uid: &ClusterUid, id: &str) -> Result<()> {
        let Some(found) = self.inspect(id).await? else { return Ok(()) };
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        let is_of_cluster = container::cluster_uid_of(&labels) == Some(uid.as_str());
        if !whose.owns(&labels) || !is_of_cluster {
            return Err(Error::Denied(format!("the container {} is not ours", short(id))));
        }
        self.end(id).await?;
        let now = self.clock.now();
        let gone = container::of_labels(id, &labels, &self.zone, now, InstanceState::Gone);
        let gone = gone.map(|gone| (Instant::now(), gone));
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).extend(gone);
        self.remove_volumes_of(&labels).await
    }

    async fn end(&self, id: &str) -> Result<()> {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        match self.docker().await?.remove_container(id, Some(options)).await {
            Err(error) if status(&error) == Some(404) => Ok(()),
            Err(error) if status(&error) == Some(409) => {
                Err(self.away("is taking it away already"))
            }
            answer => answer.map_err(|error| self.error(&error)),
        }
    }

    /// The end of what a container wrote.
    pub(super) async fn log(&self, id: &str) -> Result<String> {
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            tail: LOG_LINES.to_owned(),
            ..LogsOptions::default()
        };
        let docker = self.docker().await?;
        let mut parts = docker.logs(id, Some(options));
        let mut log = Vec::new();
        while let Some(part) = parts.next().await {
            match part {
                Ok(part) => log.extend_from_slice(&part.into_bytes()),
                Err(error) if status(&error) == Some(404) => return Err(Error::NotFound),
                Err(error) => return Err(self.error(&error)),
            }
        }
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// Whether the image is there and runs here; where it is not, it is on its way after this.
    pub(super) async fn has_image(&self, config: &DockerConfig) -> Result<()> {
        super::image::is_there(self, config).await
    }

    /// What its refusal of a container means: where the machine is full another may have room.
    fn refusal(&self, error: &bollard::errors::Error) -> Error {
        let bollard::errors::Error::DockerResponseServerError { status_code, message } = error
        else {
            return self.error(error);
        };
        let full = ["no space left", "cannot allocate memory", "not enough memory"];
        match status_code {
            _ if full.iter().any(|sign| message.to_lowercase().contains(sign)) => {
                Error::Capacity(self.says(message))
            }
            // The network, the image, or a name that somebody else took.
            400 | 404 | 409 => Error::Invalid(self.says(message)),
            _ => self.error(error),
        }
    }

    /// What a call's failure means.
    pub(super) fn error(&self, error: &bollard::errors::Error) -> Error {
        match error {
            bollard::errors::Error::DockerResponseServerError { status_code, message } => {
                match status_code {
                    401 | 403 => Error::Denied(self.says(message)),
                    400 => Error::Invalid(self.says(message)),
                    404 => Error::NotFound,
                    429 => Error::Throttled,
                    _ => Error::Unavailable(self.says(message)),
                }
            }
            bollard::errors::Error::RequestTimeoutError => Error::TimedOut,
            _ => Error::Unavailable(self.says(&error.to_string())),
        }
    }

    /// Its words, or those of whoever stands before it: a line of them, without what may be a secret.
    fn says(&self, words: &str) -> String {
        format!("Docker in {}: {}", self.zone, in_words(words))
    }

    pub(super) fn away(&self, why: &str) -> Error {
        Error::Unavailable(format!("Docker in {} {why}", self.zone))
    }
}

/// The status that it answered with.
pub(super) fn status(error: &bollard::errors::Error) -> Option<u16> {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        let config = DockerHost {
            url: "unix:///nonexistent".to_owned(),
            ca_file: None,
            client_cert_file: None,
        };
        Host::new("a", &config, Clock::system())
    }

    fn answer(status_code: u16, message: &str) -> bollard::errors::Error {
        let message = message.to_owned();
        bollard::errors::Error::DockerResponseServerError { status_code, message }
    }

    #[test]
    fn a_refusal_says_whether_another_place_may_do_and_whether_something_may_be_left() {
        let kinds = [
            (500, "write /var/lib/docker: no space left on device", "capacity"),
            (500, "OCI runtime: cannot allocate memory", "capacity"),
            (404, "network nowhere not found", "invalid"),
            (409, "the name is already in use", "invalid"),
            (400, "invalid reference format", "invalid"),
            (403, "forbidden by the proxy", "denied"),
            (429, "slow down", "throttled"),
            (500, "something broke", "unavailable"),
            (502, "bad gateway", "unavailable"),
        ];
        for (status, message, kind) in kinds {
            assert_eq!(host().refusal(&answer(status, message)).kind(), kind, "{message}");
        }
    }

    #[test]
    fn words_are_a_line_without_secrets() {
        let page = format!("<html>\n{}token=hunter2\n</html>", "x".repeat(5_000));
        let told = host().error(&answer(502, &page)).to_string();
        assert!(told.len() < 300 && !told.contains("hunter2") && !told.contains('\n'), "{told}");
    }

    /// A container that crashed is started again; its age is judged by how long we see it ended.
    #[tokio::test(start_paused = true)]
    async fn one_that_ended_is_given_time_to_be_started_again() {
        let host = host();
        assert!(!host.stays_stopped("c1", true));
        tokio::time::advance(COMES_BACK).await;
        assert!(!host.stays_stopped("c1", true));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(host.stays_stopped("c1", true));
        assert!(!host.stays_stopped("c1", false), "it runs again");
        assert!(!host.stays_stopped("c1", true), "and has its time anew");
        host.forget_others(&[]);
        assert!(host.stopped.lock().unwrap().is_empty());
    }
}
