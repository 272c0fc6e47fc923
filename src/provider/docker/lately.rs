//! What befell containers that go on: their memory ran out, or they ended and Docker started them again, which no list shows. People
//! are told, and nothing is decided by it.

use super::container::Whose;
use crate::provider::in_words;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{EventActor, EventMessage};
use bollard::query_parameters::EventsOptions;
use futures_util::stream::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long it is told, and how far back it is asked for at first.
const TOLD_FOR: Duration = Duration::from_mins(10);

/// How long an answer may take. Docker has what happened in its memory, the last 256 things.
const LIMIT: Duration = Duration::from_secs(1);

/// Of one Docker.
#[derive(Debug, Default)]
pub(super) struct Lately {
    /// Until when it was asked, by Docker's clock.
    asked_until: Option<Timestamp>,
    befell: HashMap<String, Befell>,
}

/// The last that befell one container.
#[derive(Clone, Debug)]
struct Befell {
    heard: Instant,
    /// By Docker's clock.
    at: Timestamp,
    /// What it ended with. `None` where it did not end.
    ended: Option<String>,
    out_of_memory: bool,
}

impl Lately {
    /// Asks what happened since it was asked before, up to `now` by Docker's clock. Where that is not told, what was known stands.
    pub(super) async fn ask(&mut self, docker: &Docker, whose: Whose<'_>, now: Timestamp) {
        let first = now - SignedDuration::try_from(TOLD_FOR).unwrap_or_default();
        // Docker's clock may have been set back.
        let since = self.asked_until.filter(|until| *until <= now).unwrap_or(first);
        let options = options(whose, since, now);
        let told = async {
            let (mut parts, mut all) = (docker.events(Some(options)), Vec::new());
            while let Some(part) = parts.next().await {
                all.push(part?);
            }
            Ok::<_, Error>(all)
        };
        match tokio::time::timeout(LIMIT, told).await {
            Ok(Ok(all)) => {
                self.asked_until = Some(now);
                for event in all {
                    self.hear(event);
                }
            }
            Ok(Err(error)) => {
                let error = in_words(&error.to_string());
                tracing::debug!(section = "provider", error, "what befell containers is not told");
            }
            Err(_) => {
                tracing::debug!(section = "provider", "what befell containers is not told soon");
            }
        }
        self.befell.retain(|_, befell| befell.heard.elapsed() < TOLD_FOR);
    }

    fn hear(&mut self, event: EventMessage) {
        let Some(EventActor { id: Some(id), attributes }) = event.actor else { return };
        let Some(at) = event.time.and_then(|at| Timestamp::from_second(at).ok()) else { return };
        let before = self.befell.get(&id);
        let befell = match event.action.as_deref() {
            Some("oom") => Befell { heard: Instant::now(), at, ended: None, out_of_memory: true },
            Some("die") => Befell {
                heard: Instant::now(),
                at,
                ended: attributes.and_then(|mut its| its.remove("exitCode")),
                // Docker tells that first.
                out_of_memory: before.is_some_and(|one| one.out_of_memory && one.ended.is_none()),
            },
            _ => return,
        };
        self.befell.insert(id, befell);
    }

    /// What befell a container that runs. The same words for the same thing, so that it is a line of history once.
    pub(super) fn of(&self, id: &str) -> Option<String> {
        let Befell { at, ended, out_of_memory, .. } = self.befell.get(id)?;
        Some(match (ended, out_of_memory) {
            (None, _) => format!("its memory ran out at {at}"),
            (Some(code), true) => format!(
                "it ended with code {code}, out of memory, at {at}, and Docker starts it again"
            ),
            (Some(code), false) => {
                format!("it ended with code {code} at {at}, and Docker starts it again")
            }
        })
    }
}

fn options(whose: Whose<'_>, since: Timestamp, until: Timestamp) -> EventsOptions {
    let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect();
    let mut filters = whose.filter();
    filters.insert("type".to_owned(), words(&["container"]));
    filters.insert("event".to_owned(), words(&["oom", "die"]));
    // Docker reads no other writing of it.
    let written = |at: Timestamp| format!("{}.{:09}", at.as_second(), at.subsec_nanosecond());
    let (since, until) = (Some(written(since)), Some(written(until)));
    EventsOptions { since, until, filters: Some(filters) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, second: i64, code: Option<&str>) -> EventMessage {
        let attributes = code.map(|code| [("exitCode".to_owned(), code.to_owned())].into());
        EventMessage {
            action: Some(action.to_owned()),
            actor: Some(EventActor { id: Some("c1".to_owned()), attributes }),
            time: Some(second),
            ..EventMessage::default()
        }
    }

    #[tokio::test]
    async fn what_befell_a_container_last_is_told_in_words() {
        let mut lately = Lately::default();
        assert_eq!(lately.of("c1"), None);
        let steps = [
            (event("oom", 0, None), "its memory ran out at 1970-01-01T00:00:00Z"),
            (
                event("die", 1, Some("137")),
                "it ended with code 137, out of memory, at 1970-01-01T00:00:01Z, and Docker starts it again",
            ),
            (
                event("die", 2, Some("1")),
                "it ended with code 1 at 1970-01-01T00:00:02Z, and Docker starts it again",
            ),
            (
                event("start", 3, None),
                "it ended with code 1 at 1970-01-01T00:00:02Z, and Docker starts it again",
            ),
        ];
        for (event, words) in steps {
            lately.hear(event);
            assert_eq!(lately.of("c1").as_deref(), Some(words));
        }
    }
}
