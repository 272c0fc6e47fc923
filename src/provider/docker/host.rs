//! One Docker: the calls that are made of it.

use super::container::{self, Whose, short, worker_of};
use super::image::Pull;
use crate::clock::Clock;
use crate::config::{DockerConfig, DockerHost};
use crate::model::{
    Instance, InstanceId, InstanceState, PoolName, Resources, WORKER_LABEL, WorkerId, Zone,
};
use crate::provider::{Error, Result};
use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, ListContainersOptions, ListVolumesOptions,
    LogsOptions, RemoveContainerOptions, RemoveVolumeOptions, StartContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::stream::StreamExt as _;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// Longer than any call is waited for: whoever calls has a limit of its own.
const TIMEOUT: u64 = 120;

/// How old a volume without a container is before it is taken for left over.
const LEFT_OVER: Duration = Duration::from_mins(10);

/// How long one that was taken away is told of.
const GONE_FOR: Duration = Duration::from_mins(10);

/// Lines of a container's log that are read.
const LOG_LINES: &str = "100";

/// One Docker, which is one zone.
pub(super) struct Host {
    pub(super) zone: Zone,
    config: DockerHost,
    clock: Clock,
    docker: OnceCell<Docker>,
    size: OnceCell<Machine>,
    pub(super) pull: Mutex<Option<Pull>>,
    /// Those that were taken away, which Docker tells of no more: that they are gone is known, and not only not seen.
    ended: Mutex<Vec<(Instant, Instance)>>,
}

/// What a Docker runs on.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    size: Resources,
    /// As `uname -m` says it.
    pub(super) architecture: String,
}

impl Host {
    pub(super) fn new(zone: &str, config: &DockerHost, clock: Clock) -> Self {
        let (zone, config) = (zone.into(), config.clone());
        let (docker, size) = (OnceCell::new(), OnceCell::new());
        let (pull, ended) = (Mutex::default(), Mutex::default());
        Self { zone, config, clock, docker, size, pull, ended }
    }

    /// Its client, once it was heard of.
    pub(super) async fn docker(&self) -> Result<&Docker> {
        self.docker.get_or_try_init(|| self.connect()).await
    }

    /// Speaks the version that both know.
    async fn connect(&self) -> Result<Docker> {
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
        docker.negotiate_version().await.map_err(|error| self.error(&error))
    }

    /// What it runs on. Asked once.
    pub(super) async fn machine(&self) -> Result<&Machine> {
        let ask = async || {
            let info = self.docker().await?.info().await.map_err(|error| self.error(&error))?;
            let count = |number: Option<i64>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
            let size =
                Resources::new(count(info.ncpu).saturating_mul(1_000), count(info.mem_total));
            Ok(Machine { size, architecture: info.architecture.unwrap_or_default() })
        };
        self.size.get_or_try_init(ask).await
    }

    /// Its cores and its memory.
    pub(super) async fn size(&self) -> Result<Resources> {
        Ok(self.machine().await?.size.clone())
    }

    /// All of a pool's, whatever state they are in.
    pub(super) async fn list(&self, whose: Whose<'_>) -> Result<Vec<Instance>> {
        let options = ListContainersOptions {
            all: true,
            filters: Some(whose.filter()),
            ..ListContainersOptions::default()
        };
        let found = self.docker().await?.list_containers(Some(options)).await;
        let mut listed = Vec::new();
        for found in found.map_err(|error| self.error(&error))? {
            let Some((mut instance, has_stopped)) = container::instance(&found, &self.zone) else {
                return Err(self.away("lists a container without its id, state or time"));
            };
            if has_stopped {
                self.judge_stopped(found.id.as_deref().unwrap_or_default(), &mut instance).await?;
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

    /// A container that ended counts as running while it may be started again.
    async fn judge_stopped(&self, id: &str, instance: &mut Instance) -> Result<()> {
        let state = match self.inspect(id).await? {
            Some(found) => found.state.unwrap_or_default(),
            None => return Ok(instance.state = InstanceState::Ending),
        };
        if container::stays_stopped(&state, self.clock.now()) {
            instance.state = InstanceState::Stopped;
            instance.told = Some(container::told(&state));
        }
        Ok(())
    }

    async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>> {
        let asked =
            self.docker().await?.inspect_container(id, None::<InspectContainerOptions>).await;
        match asked {
            Err(error) if status(&error) == Some(404) => Ok(None),
            answer => answer.map(Some).map_err(|error| self.error(&error)),
        }
    }

    /// Makes a container and starts it. One of this worker that is there already is it; what cannot be started is taken away
    /// again.
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
        if let Err(error) = self.start(&id).await {
            self.end(&id).await?;
            self.volumes_of(worker.as_str()).await?;
            return Err(error);
        }
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
            // It says that it failed, and nothing is there: so nothing is left behind.
            None if status >= 500 => match self.refusal(&error) {
                Error::Unavailable(why) => Err(Error::Invalid(why)),
                other => Err(other),
            },
            // The name is taken by what is still being made.
            None if status == 409 => Err(self.away("is making it already")),
            _ => Err(self.refusal(&error)),
        }
    }

    /// Starts a container; one that runs already is well.
    pub(super) async fn start(&self, id: &str) -> Result<()> {
        let started = self.docker().await?.start_container(id, None::<StartContainerOptions>).await;
        started.map_err(|error| self.refusal(&error))
    }

    /// Takes a container of this pool away, with what is its own. One that is gone is well.
    pub(super) async fn remove(&self, whose: Whose<'_>, id: &str) -> Result<()> {
        let Some(found) = self.inspect(id).await? else { return Ok(()) };
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        if !whose.owns(&labels) {
            return Err(Error::Denied(format!("the container {} is not ours", short(id))));
        }
        self.end(id).await?;
        let now = self.clock.now();
        let gone = container::of_labels(id, &labels, &self.zone, now, InstanceState::Gone);
        let gone = gone.map(|gone| (Instant::now(), gone));
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).extend(gone);
        match worker_of(&labels) {
            Some(worker) => self.volumes_of(worker).await,
            None => Ok(()),
        }
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

    /// Takes the volumes of a worker away whose container is gone.
    async fn volumes_of(&self, worker: &str) -> Result<()> {
        let label = format!("{WORKER_LABEL}={worker}");
        let filter = [("label".to_owned(), vec![label])].into();
        let options = ListVolumesOptions { filters: Some(filter) };
        let found = self.docker().await?.list_volumes(Some(options)).await;
        let found = found.map_err(|error| self.error(&error))?.volumes.unwrap_or_default();
        for volume in found {
            self.remove_volume(&volume.name).await?;
        }
        Ok(())
    }

    /// Takes volumes away that outlived their container: it was removed by hand, or we ended in between.
    pub(super) async fn sweep(&self, whose: Whose<'_>) -> Result<()> {
        let docker = self.docker().await?;
        let options = ListVolumesOptions { filters: Some(whose.filter()) };
        let volumes =
            docker.list_volumes(Some(options)).await.map_err(|error| self.error(&error))?;
        let volumes = volumes.volumes.unwrap_or_default();
        if volumes.is_empty() {
            return Ok(());
        }
        let there = self.list(whose).await?.into_iter();
        let there = there.filter(|one| one.state != InstanceState::Gone);
        let live: HashSet<String> =
            there.filter_map(|one| one.worker).map(|id| id.to_string()).collect();
        for volume in volumes {
            let is_alone = worker_of(&volume.labels).is_some_and(|worker| !live.contains(worker));
            let made = volume.created_at.and_then(|at| at.parse::<Timestamp>().ok());
            let is_old =
                |at: Timestamp| self.clock.now().duration_since(at).unsigned_abs() > LEFT_OVER;
            if is_alone && made.is_some_and(is_old) {
                self.remove_volume(&volume.name).await?;
            }
        }
        Ok(())
    }

    async fn remove_volume(&self, name: &str) -> Result<()> {
        match self.docker().await?.remove_volume(name, None::<RemoveVolumeOptions>).await {
            // Gone, or in use after all.
            Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(()),
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
        let mut parts = self.docker().await?.logs(id, Some(options));
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
        let is_full = |text: &str| {
            ["no space left", "cannot allocate memory", "not enough memory"]
                .iter()
                .any(|sign| text.to_lowercase().contains(sign))
        };
        match &error {
            bollard::errors::Error::DockerResponseServerError { status_code, message } => {
                let told = format!("Docker in {}: {message}", self.zone);
                match status_code {
                    _ if is_full(message) => Error::Capacity(told),
                    // The network, the image, or a name that somebody else took.
                    400 | 404 | 409 => Error::Invalid(told),
                    _ => self.error(error),
                }
            }
            _ => self.error(error),
        }
    }

    /// What a call's failure means.
    pub(super) fn error(&self, error: &bollard::errors::Error) -> Error {
        let told = |why: &str| format!("Docker in {}: {why}", self.zone);
        match &error {
            bollard::errors::Error::DockerResponseServerError { status_code, message } => {
                match status_code {
                    401 | 403 => Error::Denied(told(message)),
                    400 => Error::Invalid(told(message)),
                    404 => Error::NotFound,
                    429 => Error::Throttled,
                    _ => Error::Unavailable(told(message)),
                }
            }
            bollard::errors::Error::RequestTimeoutError => Error::TimedOut,
            _ => Error::Unavailable(told(&error.to_string())),
        }
    }

    fn away(&self, why: &str) -> Error {
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
