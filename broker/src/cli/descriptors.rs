//! File descriptors: a broker needs one for every connection.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit as far as the system lets us, and says in the log how far that is.
pub(crate) fn raise_limit() {
    let before = getrlimit(Resource::Nofile);
    let mut wanted = before;
    wanted.current = before.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
    let now = getrlimit(Resource::Nofile);
    let shown = |limit: Option<u64>| {
        limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
    };
    tracing::info!(
        before = shown(before.current),
        now = shown(now.current),
        "open files"
    );
}
