//! The volumes of workers, which go with their containers.

use super::container::{Whose, cluster_uid_of, worker_filter, worker_of};
use super::host::{Host, status};
use crate::model::{ClusterUid, InstanceState, duration};
use crate::provider::Result;
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// How old a volume without a container is before it is taken for left over: one that is being made has none yet.
const LEFT_OVER: Duration = Duration::from_mins(10);

impl Host {
    /// Takes the volumes away that a container with these labels had.
    pub(super) async fn remove_volumes_of(&self, labels: &HashMap<String, String>) -> Result<()> {
        let Some(filter) = worker_filter(labels) else { return Ok(()) };
        let options = ListVolumesOptions { filters: Some(filter) };
        let found = self.docker().await?.list_volumes(Some(options)).await;
        let found = found.map_err(|error| self.error(&error))?.volumes.unwrap_or_default();
        for volume in found {
            self.remove_volume(&volume.name).await?;
        }
        Ok(())
    }

    /// Takes volumes of this pool of this very cluster away that outlived their container: it was removed by hand, or we
    /// ended in between.
    pub(super) async fn sweep(&self, whose: Whose<'_>, uid: &ClusterUid) -> Result<()> {
        let options = ListVolumesOptions { filters: Some(whose.filter()) };
        let volumes = self.docker().await?.list_volumes(Some(options)).await;
        let volumes = volumes.map_err(|error| self.error(&error))?.volumes.unwrap_or_default();
        if volumes.is_empty() {
            return Ok(());
        }
        let there = self.list(whose).await?.into_iter();
        let there = there.filter(|one| one.state != InstanceState::Gone);
        let there: HashSet<String> =
            there.filter_map(|one| one.worker).map(|id| id.to_string()).collect();
        for volume in volumes {
            let labels = &volume.labels;
            let is_alone = worker_of(labels).is_some_and(|worker| !there.contains(worker));
            let is_ours = cluster_uid_of(labels) == Some(uid.as_str());
            if is_alone && is_ours && self.is_old(volume.created_at.as_deref()) {
                self.remove_volume(&volume.name).await?;
            }
        }
        Ok(())
    }

    /// One of which nobody knows when it was made, or that was made later than now, is young.
    fn is_old(&self, created_at: Option<&str>) -> bool {
        let made = created_at.and_then(|at| at.parse::<Timestamp>().ok());
        made.is_some_and(|at| duration::since(at, self.clock.now()) > LEFT_OVER)
    }

    async fn remove_volume(&self, name: &str) -> Result<()> {
        match self.docker().await?.remove_volume(name, None::<RemoveVolumeOptions>).await {
            // Gone, or in use after all.
            Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(()),
            answer => answer.map_err(|error| self.error(&error)),
        }
    }
}
