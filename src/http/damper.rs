//! One log line per kind of trouble and minute: a storm of bad requests must not become one of lines.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a kind stays silent after a line.
const SILENT: Duration = Duration::from_mins(1);

/// Remembers when each kind was last written, and how many lines were saved since. Kinds come from
/// a closed set, so it stays small.
#[derive(Debug, Default)]
pub struct Damper {
    kinds: Mutex<BTreeMap<&'static str, (Instant, u64)>>,
}

impl Damper {
    /// Whether to write a line of this kind now, and how many were saved since the last.
    pub fn admit(&self, kind: &'static str) -> Option<u64> {
        let now = Instant::now();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        match kinds.get_mut(kind) {
            Some((last, saved)) if now.duration_since(*last) < SILENT => {
                *saved += 1;
                None
            }
            Some((last, saved)) => {
                *last = now;
                Some(std::mem::take(saved))
            }
            None => {
                kinds.insert(kind, (now, 0));
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_kind_gets_one_line_a_minute_which_counts_what_was_saved() {
        let damper = Damper::default();
        assert_eq!(damper.admit("a"), Some(0));
        assert_eq!(damper.admit("a"), None);
        assert_eq!(damper.admit("a"), None);
        assert_eq!(damper.admit("b"), Some(0));
        tokio::time::advance(SILENT).await;
        assert_eq!(damper.admit("a"), Some(2));
        assert_eq!(damper.admit("a"), None);
    }
}
