//! Which instances fail one of AWS's status checks, as far as it was told last.

use crate::model::InstanceId;
use crate::provider::{Error, Result};
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long what was told is kept.
const KEPT: Duration = Duration::from_mins(1);

/// How long it may take to be told: a list waits for it.
const LONGEST: Duration = Duration::from_secs(3);

/// Instances, each with which check it fails; and when that was asked last.
type Told = BTreeMap<InstanceId, String>;

/// What was told last, if it ever was.
#[derive(Debug, Default)]
pub(super) struct Impaired(Mutex<(Option<Instant>, Option<Told>)>);

impl Impaired {
    /// What is told, asked anew once a minute. What was told before stands where it cannot be asked: that says of none that it is well
    /// again. `None` as long as nobody ever told it: before a restart some may have been told of.
    pub(super) async fn told(&self, ask: impl Future<Output = Result<Told>>) -> Option<Told> {
        let mut kept = self.0.lock().await;
        let (at, told) = &mut *kept;
        if at.is_none_or(|at| at.elapsed() >= KEPT) {
            // Also where nobody waits for the answer.
            *at = Some(Instant::now());
            match tokio::time::timeout(LONGEST, ask).await.unwrap_or(Err(Error::TimedOut)) {
                Ok(anew) => *told = Some(anew),
                Err(error) => {
                    tracing::warn!(section = "provider", %error, "status checks are not told");
                }
            }
        }
        told.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    fn failing(id: &str) -> Told {
        [(id.into(), "a check fails".to_owned())].into()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_once_a_minute() {
        let impaired = Impaired::default();
        assert_eq!(impaired.told(ready(Ok(failing("i-1")))).await, Some(failing("i-1")));
        assert_eq!(impaired.told(ready(Ok(Told::new()))).await, Some(failing("i-1")));
        tokio::time::advance(KEPT).await;
        assert_eq!(impaired.told(ready(Ok(Told::new()))).await, Some(Told::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_told_stands_where_it_is_not_told_anew_and_nobody_waits_for_long() {
        let impaired = Impaired::default();
        impaired.told(ready(Ok(failing("i-1")))).await;
        tokio::time::advance(KEPT).await;
        assert_eq!(impaired.told(ready(Err(Error::Throttled))).await, Some(failing("i-1")));
        tokio::time::advance(KEPT).await;
        let began = Instant::now();
        assert_eq!(impaired.told(pending()).await, Some(failing("i-1")));
        assert!(began.elapsed() <= LONGEST + Duration::from_millis(1));
    }

    /// Of those that were told of before a restart nobody said that they are well.
    #[tokio::test(start_paused = true)]
    async fn until_it_is_told_for_the_first_time_it_is_not_known() {
        let impaired = Impaired::default();
        assert_eq!(impaired.told(ready(Err(Error::Throttled))).await, None);
        assert_eq!(impaired.told(ready(Ok(Told::new()))).await, None, "it is asked once a minute");
        tokio::time::advance(KEPT).await;
        assert_eq!(impaired.told(ready(Ok(Told::new()))).await, Some(Told::new()));
    }
}
