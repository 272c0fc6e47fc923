//! The image of workers: there, on its way, or not to be had.
//!
//! Getting it may take longer than a call is waited for, so it goes on by itself: launches that come meanwhile say how far it
//! is, stay open, and are asked again.

use super::host::{Host, status};
use crate::config::DockerConfig;
use crate::model::Zone;
use crate::provider::{Error, Result, in_words};
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptions;
use futures_util::stream::StreamExt as _;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// How long a pull that failed is told of before it is tried anew.
const TOLD_FOR: Duration = Duration::from_mins(1);

/// An image on its way, or that did not come. A pull is given up together with this.
pub(super) struct Pull {
    image: String,
    progress: Arc<Mutex<Progress>>,
    failed: Arc<Failed>,
    task: AbortHandle,
}

/// When a pull failed, and why.
type Failed = Mutex<Option<(Instant, Error)>>;

/// Bytes that came and bytes there are, of each layer.
#[derive(Debug, Default)]
struct Progress(BTreeMap<String, (i64, i64)>);

impl Drop for Pull {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Well where the image is there and runs here. Where it is not, it is on its way after this.
pub(super) async fn is_there(host: &Host, config: &DockerConfig) -> Result<()> {
    let known = host.known().await?;
    match known.docker.inspect_image(&config.image).await {
        Ok(image) => {
            let machine = &known.architecture;
            runs_on(&image.architecture.unwrap_or_default(), machine, &config.image)
        }
        Err(error) if status(&error) == Some(404) => Err(fetch(host, known.docker, config)),
        Err(error) => Err(host.error(&error)),
    }
}

/// Docker names architectures by Go's words, the machine by the kernel's.
fn runs_on(image: &str, machine: &str, name: &str) -> Result<()> {
    let word = match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" => "arm",
        other => other,
    };
    if image.is_empty() || word.is_empty() || image == word {
        return Ok(());
    }
    Err(Error::Invalid(format!("the image {name} is for {image}, and this Docker runs on {word}")))
}

/// Has it pulled, and tells how that stands: to all that ask meanwhile the same.
fn fetch(host: &Host, docker: bollard::Docker, config: &DockerConfig) -> Error {
    let mut pull = host.pull.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = pull.as_ref().filter(|known| known.image == config.image)
        && let Some(told) = known.stands()
    {
        return told;
    }
    let new = Pull::begin(docker, config, &host.zone);
    let told = Error::Unavailable(new.told());
    *pull = Some(new);
    told
}

async fn pull(
    docker: bollard::Docker,
    image: String,
    progress: Arc<Mutex<Progress>>,
) -> Result<()> {
    let options = CreateImageOptions { from_image: Some(image.clone()), ..Default::default() };
    let mut parts = docker.create_image(Some(options), None, None);
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| refused(&image, &error.to_string(), status(&error)))?;
        progress.lock().unwrap_or_else(PoisonError::into_inner).add(part);
    }
    Ok(())
}

/// A full disk may have room on another machine; what a registry does not have, or does not give, no retry brings. Docker tells
/// these amid its progress, in words only.
fn refused(image: &str, why: &str, status: Option<u16>) -> Error {
    let (said, told) =
        (why.to_lowercase(), format!("the image {image} cannot be pulled: {}", in_words(why)));
    let says = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    if says(&["no space left"]) {
        Error::Capacity(told)
    } else if matches!(status, Some(401 | 403)) || says(&["denied", "unauthorized"]) {
        Error::Denied(told)
    } else if status == Some(404) || says(&["manifest unknown", "not found"]) {
        Error::Invalid(told)
    } else {
        Error::Unavailable(told)
    }
}

impl Pull {
    fn begin(docker: bollard::Docker, config: &DockerConfig, zone: &Zone) -> Self {
        let (progress, failed) = (Arc::<Mutex<Progress>>::default(), Arc::<Failed>::default());
        let (zone, image, limit) = (zone.clone(), config.image.clone(), config.pull_timeout);
        let (pulled, outcome) =
            (pull(docker, image.clone(), progress.clone()), Arc::clone(&failed));
        #[expect(
            clippy::disallowed_methods,
            reason = "it outlives the call that began it, and ends with the provider"
        )]
        let task = tokio::spawn(async move {
            tracing::info!(section = "provider", %zone, image, "the image is being pulled");
            let done = tokio::time::timeout(limit, pulled).await.unwrap_or_else(|_| {
                let why = format!("the image {image} did not come within `pull_timeout`");
                Err(Error::Unavailable(why))
            });
            match done {
                Ok(()) => tracing::info!(section = "provider", %zone, image, "the image is there"),
                Err(error) => {
                    tracing::error!(section = "provider", %zone, image, %error, "the image cannot be pulled");
                    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                    *outcome = Some((Instant::now(), error));
                }
            }
        });
        Self { image: config.image.clone(), progress, failed, task: task.abort_handle() }
    }

    /// Why it is not there; `None` where it is to be pulled anew.
    fn stands(&self) -> Option<Error> {
        match &*self.failed.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((at, error)) => (at.elapsed() < TOLD_FOR).then(|| error.clone()),
            None => (!self.task.is_finished()).then(|| Error::Unavailable(self.told())),
        }
    }

    fn told(&self) -> String {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        format!("the image {} is being pulled{}", self.image, progress.told())
    }
}

impl Progress {
    fn add(&mut self, part: CreateImageInfo) {
        let detail = part.progress_detail.unwrap_or_default();
        if let (Some(layer), Some(current), Some(total)) = (part.id, detail.current, detail.total) {
            self.0.insert(layer, (current, total));
        }
    }

    fn told(&self) -> String {
        let (came, all) = self.0.values().fold((0, 0), |(came, all), (c, a)| (came + c, all + a));
        if all == 0 {
            String::new()
        } else {
            format!(" ({} of {} MB so far)", came / 1_000_000, all / 1_000_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_for_another_machine_is_refused_by_name() {
        for (image, machine) in
            [("amd64", "x86_64"), ("arm64", "aarch64"), ("", "x86_64"), ("s390x", "s390x")]
        {
            assert_eq!(runs_on(image, machine, "k3s:1"), Ok(()));
        }
        let refused = runs_on("arm64", "x86_64", "k3s:1").unwrap_err().to_string();
        for part in ["k3s:1", "arm64", "amd64"] {
            assert!(refused.contains(part), "{refused}");
        }
    }

    #[test]
    fn what_a_registry_does_not_give_is_told_apart_from_what_may_come_later() {
        let kinds = [
            (Some(404), "manifest unknown", "invalid"),
            (None, "manifest for k3s:1 not found", "invalid"),
            (None, "pull access denied for k3s", "denied"),
            (Some(403), "pull access denied", "denied"),
            (None, "write /var/lib/docker: No space left on device", "capacity"),
            (Some(500), "dial tcp: i/o timeout", "unavailable"),
        ];
        for (status, why, kind) in kinds {
            assert_eq!(refused("k3s:1", why, status).kind(), kind, "{why}");
        }
    }

    #[test]
    fn how_far_it_is_counts_all_layers() {
        let part = |id: &str, current, total| CreateImageInfo {
            id: Some(id.to_owned()),
            progress_detail: Some(bollard::models::ProgressDetail {
                current: Some(current),
                total: Some(total),
            }),
            ..CreateImageInfo::default()
        };
        let mut progress = Progress::default();
        assert_eq!(progress.told(), "");
        for (id, current, total) in [
            ("a", 1_000_000, 30_000_000),
            ("b", 5_000_000, 5_000_000),
            ("a", 7_000_000, 30_000_000),
        ] {
            progress.add(part(id, current, total));
        }
        assert_eq!(progress.told(), " (12 of 35 MB so far)");
    }
}
