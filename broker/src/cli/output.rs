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
    let causes = error.chain().map(ToString::to_string);
    // There is nowhere left to report that standard error is closed.
    let _ = writeln!(io::stderr().lock(), "leveret: {}", joined(causes));
}

/// An error and its causes on one line; many an error names its cause itself.
fn joined(causes: impl Iterator<Item = String>) -> String {
    let told = causes.fold(String::new(), |told, cause| {
        if told.is_empty() {
            cause
        } else if told.ends_with(&cause) {
            told
        } else {
            format!("{told}: {cause}")
        }
    });
    told.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn a_cause_that_was_named_is_not_named_again() {
        let check = |causes: &[&str], expected: &str| {
            let causes = causes.iter().map(|&cause| cause.to_owned());
            assert_eq!(joined(causes), expected);
        };
        check(
            &["cannot listen: in use", "in use"],
            "cannot listen: in use",
        );
        check(
            &["no broker answers", "refused"],
            "no broker answers: refused",
        );
        check(&["a: b: c", "b: c", "c"], "a: b: c");
        check(&["two\nlines"], "two lines");
    }
}
