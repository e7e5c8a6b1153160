//! The binary under test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The one that `LEVERET_BINARY` names, or that of this workspace.
pub(crate) fn path() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| leveret_tests::process::binary().expect("there is a binary to test"))
}
