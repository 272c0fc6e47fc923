//! Open files. Each connection is one, and the usual limit is far below what a storm of alerts opens.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that connections to us leave to everything else: the store, and calls to others. Without
/// them, callers that only hold connections would cut us off from Alertmanager.
const KEPT: usize = 256;

/// Where the system names no limit.
const ENOUGH: u64 = 1 << 20;

/// Raises the limit of open files as far as the system lets us.
pub(super) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum.or(Some(ENOUGH)), ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(section = "start", %error, "limit of open files cannot be raised");
    }
}

/// How many connections may be served at once, of `wanted`.
pub(super) fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(ENOUGH);
    let most = within(wanted, limit);
    if most < wanted {
        tracing::warn!(
            section = "start",
            limit,
            connections = most,
            "few files may be open, so few connections at once; raise the hard limit of open files"
        );
    }
    most
}

fn within(wanted: usize, limit: u64) -> usize {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // Below twice what is kept, half is better than nothing.
    wanted.min(limit.saturating_sub(KEPT).max(limit / 2)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_to_everything_else() {
        for (limit, connections) in [(1 << 20, 8192), (1024, 768), (256, 128), (0, 1)] {
            assert_eq!(within(8192, limit), connections, "of {limit} files");
        }
    }
}
