//! What people are told where they look at pods and nodes: each act, and what cannot be helped.

use super::{Turn, Workers};
use crate::model::{About, ClusterView, Entry, EntryKind, Intent, Note, Pod, PodRef, Uid, Verdict};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// At most so many pods are told of in one pass; the others in the next ones, or by those told of.
const AT_ONCE: usize = 20;

/// Told again after this long: the apiserver forgets Events after an hour.
const AGAIN: Duration = Duration::from_mins(45);

/// What was done, by the lines of the history that tell of it: to nodes, and for pods.
pub(super) fn of_acts(turn: &Turn<'_>, history: &[Entry], workers: &Workers) -> Vec<Note> {
    let acts = history.iter().filter_map(|line| of_act(line, workers));
    acts.chain(of_launches(turn, history)).collect()
}

fn of_act(line: &Entry, workers: &Workers) -> Option<Note> {
    let reason = match (line.what.as_str(), line.kind) {
        ("cordon", EntryKind::Done) => "Cordoned",
        ("uncordon", EntryKind::Done) => "Uncordoned",
        ("evict", EntryKind::Done) => "Drained",
        ("terminate", EntryKind::Done) => "MachineEnded",
        ("remove_node", EntryKind::Done) => "NodeRemoved",
        ("cordon" | "uncordon" | "evict" | "terminate" | "remove_node", EntryKind::Failed) => {
            "ActFailed"
        }
        _ => return None,
    };
    let node = workers.get(line.worker.as_ref()?)?.node.clone()?;
    let why = line.reason.as_ref().map(ToString::to_string).unwrap_or_default();
    let words = match (line.kind, line.detail.as_str()) {
        (EntryKind::Failed, detail) => format!("{}: {detail} ({why})", line.what),
        (_, "") => why,
        (_, detail) => format!("{why} ({detail})"),
    };
    let is_warning = line.kind == EntryKind::Failed;
    Some(Note { about: About::Node(node), is_warning, reason, words })
}

/// Which pods workers were launched for.
fn of_launches(turn: &Turn<'_>, history: &[Entry]) -> Vec<Note> {
    let intents = turn.plan.decisions.iter().filter_map(|decision| match &decision.verdict {
        Verdict::Launch { intent } if !decision.dry_run => Some(intent.as_ref()),
        Verdict::Launch { .. } | Verdict::Drain { .. } | Verdict::Hold => None,
    });
    intents.flat_map(|intent| of_launch(turn, intent, history)).collect()
}

fn of_launch(turn: &Turn<'_>, intent: &Intent, history: &[Entry]) -> Vec<Note> {
    let batch = intent.request.batch.as_str();
    let is_launched = |line: &&Entry| {
        line.what == "launch" && line.kind == EntryKind::Done && line.detail == batch
    };
    let workers = history.iter().filter(is_launched).count();
    if workers == 0 {
        return Vec::new();
    }
    let uids: HashSet<&Uid> = intent.pods.iter().take(AT_ONCE).collect();
    let pods = turn.observed.cluster.known().into_iter().flat_map(ClusterView::pods);
    let (pool, all) = (&intent.request.pool, intent.pods.len());
    let told = |pod: &Pod| Note {
        about: About::Pod(pod.at()),
        is_warning: false,
        reason: "WorkersLaunched",
        words: format!(
            "workers launched by pool {pool}: {workers}, for {all} pod(s) without a place"
        ),
    };
    pods.filter(|pod| uids.contains(&pod.uid)).map(told).collect()
}

/// Pods that were told of as being beyond help: why, and when.
#[derive(Debug, Default)]
pub(super) struct Helpless(Mutex<BTreeMap<PodRef, (String, Instant)>>);

impl Helpless {
    /// Those that are to be told of now: anew, for another reason, or once more.
    pub(super) fn news(&self, helpless: &[(PodRef, String)]) -> Vec<Note> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let still: HashSet<&PodRef> = helpless.iter().map(|(pod, _)| pod).collect();
        told.retain(|pod, _| still.contains(pod));
        let is_news = |(pod, why): &&(PodRef, String)| {
            told.get(pod).is_none_or(|(known, at)| known != why || at.elapsed() > AGAIN)
        };
        let news: Vec<_> = helpless.iter().filter(is_news).take(AT_ONCE).cloned().collect();
        let now = Instant::now();
        told.extend(news.iter().map(|(pod, why)| (pod.clone(), (why.clone(), now))));
        let note = |(pod, words)| Note {
            about: About::Pod(pod),
            is_warning: true,
            reason: "NoWorkerHelps",
            words,
        };
        news.into_iter().map(note).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(count: usize, why: &str) -> Vec<(PodRef, String)> {
        let pod = |number| PodRef {
            namespace: "shop".to_owned(),
            name: format!("web-{number:03}"),
            uid: format!("uid-{number}").as_str().into(),
        };
        (0..count).map(|number| (pod(number), why.to_owned())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_cannot_be_helped_is_told_of_once_for_each_reason_and_now_and_then() {
        let helpless = Helpless::default();
        let told = helpless.news(&pods(1, "too large"));
        let [note] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(
            (note.reason, note.words.as_str(), note.is_warning),
            ("NoWorkerHelps", "too large", true)
        );
        assert_eq!(helpless.news(&pods(1, "too large")), []);
        assert_eq!(helpless.news(&pods(1, "a taint")).len(), 1);
        tokio::time::advance(AGAIN + Duration::from_secs(1)).await;
        assert_eq!(helpless.news(&pods(1, "a taint")).len(), 1);
        assert_eq!(helpless.news(&[]), []);
        assert_eq!(helpless.news(&pods(1, "a taint")).len(), 1, "it is one again");
    }

    #[test]
    fn of_many_some_are_told_of_in_each_pass_until_all_are() {
        let helpless = Helpless::default();
        let counts = [(); 4].map(|()| helpless.news(&pods(50, "too large")).len());
        assert_eq!(counts, [20, 20, 10, 0]);
    }
}
