//! What is found, row by row.

use std::io::{self, Write as _};

use anyhow::Result;
use serde_json::{Map, Value};

/// How rows are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    json: bool,
}

impl Rows {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// One row: an object for programs, `name=value` for people.
    pub(super) fn put(self, row: &[(&str, Value)]) -> Result<()> {
        let line = if self.json {
            let fields = row
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()));
            Value::Object(fields.collect::<Map<_, _>>()).to_string()
        } else {
            let fields = row.iter().filter(|(_, value)| !value.is_null());
            let fields: Vec<_> = fields
                .map(|(name, value)| format!("{name}={}", plain(value)))
                .collect();
            fields.join("  ")
        };
        writeln!(io::stdout(), "{line}")?;
        Ok(())
    }
}

/// A text as it is if it is one word that a terminal shows as it is.
fn plain(value: &Value) -> String {
    let is_word = |character: char| character.is_alphanumeric() || "_-.:+/".contains(character);
    match value {
        Value::String(text) if !text.is_empty() && text.chars().all(is_word) => text.clone(),
        other => other.to_string(),
    }
}
