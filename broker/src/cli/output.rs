//! What people and scripts read: results on standard output, complaints on standard error.

use std::io::{self, Write as _};

/// Writes one line. A reader that has left, as `head` does, is no error.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Says on one line what went wrong.
pub(crate) fn complain(error: &anyhow::Error) {
    // There is nowhere left to report that standard error is closed.
    let _ = writeln!(io::stderr().lock(), "leveret: {error:#}");
}
