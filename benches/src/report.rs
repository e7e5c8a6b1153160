//! Results for people and for programs, without mixing the two.

use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;

/// Where results go: with `--json` the JSON lines have standard output for themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    json: bool,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Lines for people.
    pub(crate) fn lines(&self, lines: &[String]) -> Result<()> {
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        if self.json {
            io::stderr().lock().write_all(text.as_bytes())?;
        } else {
            io::stdout().lock().write_all(text.as_bytes())?;
        }
        Ok(())
    }

    /// One line of JSON, if it was asked for.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<()> {
        if self.json {
            let line = serde_json::to_string(value)?;
            writeln!(io::stdout().lock(), "{line}")?;
        }
        Ok(())
    }
}
