//! A configuration file: options, their values, and the line of each.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin};
use super::value::Value;

/// Nobody writes a longer configuration; it may be the wrong file, or a device without end.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// An option as a file gives it.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its name; tables and the names in them are joined by dots.
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Reads a file that `named_by` names.
pub(super) fn read(path: &Path, named_by: Origin) -> Result<Vec<Entry>, ConfigError> {
    let text = read_text(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_path_buf(),
        origin: named_by,
        source,
    })?;
    parse(path, &text)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok(text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let origin_at = |offset: usize| Origin::File {
        path: path.to_path_buf(),
        line: line_of(text, offset),
    };
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        origin: origin_at(error.span().map_or(0, |span| span.start)),
        // Only what is wrong: the text around it may be a password.
        reason: error.message().replace('\n', ", "),
    })?;
    let mut entries = Vec::new();
    collect(table.get_ref(), "", &origin_at, &mut entries);
    Ok(entries)
}

/// The parser bounds how deep tables may lie in one another.
fn collect(
    table: &DeTable<'_>,
    prefix: &str,
    origin_at: &dyn Fn(usize) -> Origin,
    entries: &mut Vec<Entry>,
) {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        if let DeValue::Table(inner) = value.get_ref() {
            collect(inner, &format!("{key}."), origin_at, entries);
            continue;
        }
        entries.push(Entry {
            key,
            value: read_value(value.get_ref()),
            origin: origin_at(name.span().start),
        });
    }
}

fn read_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::Other(number.to_string()), Value::Integer),
        DeValue::Array(values) => {
            let texts = values
                .iter()
                .map(|value| value.get_ref().as_str().map(str::to_owned));
            texts
                .collect::<Option<_>>()
                .map_or_else(|| Value::Other("[…]".to_owned()), Value::List)
        }
        DeValue::Float(number) => Value::Other(number.to_string()),
        DeValue::Datetime(time) => Value::Other(time.to_string()),
        DeValue::Table(_) => Value::Other("{…}".to_owned()),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let text = "amqp = \"none\"\n\n[limits]\nframe_max = 1_000\nlimits.deep = [\"a\", \"b\"]\n";
        let mut lines: Vec<_> = parse(Path::new("a.toml"), text)
            .unwrap()
            .into_iter()
            .map(|entry| format!("{} {} = {}", entry.origin, entry.key, entry.value))
            .collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "a.toml:1 amqp = \"none\"",
                "a.toml:4 limits.frame_max = 1000",
                "a.toml:5 limits.limits.deep = [\"a\", \"b\"]",
            ]
        );
    }

    #[test]
    fn a_mistake_is_reported_with_its_line_and_without_its_text() {
        let error = parse(Path::new("a.toml"), "amqp = 1\ndefault_pass = \"canary\n").unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with("a.toml:2: "), "{shown}");
        assert!(
            !shown.contains("canary") && !shown.contains('\n'),
            "{shown}"
        );
    }
}
