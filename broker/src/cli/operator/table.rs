//! Rows of JSON objects, printed.

use comfy_table::Table;
use serde_json::{Map, Value};

use super::verb::{Access, Formatter};
use crate::cli::output;

/// Prints `rows` with these columns; with JSON and no column that was asked for, whole objects.
pub(crate) fn print(
    rows: &[Value],
    asked: &[String],
    usual: &[&str],
    access: &Access,
) -> anyhow::Result<()> {
    let columns: Vec<&str> = if asked.is_empty() {
        usual.to_vec()
    } else {
        asked.iter().map(String::as_str).collect()
    };
    let formatter = access.formatter();
    if formatter == Formatter::Json {
        let shown: Vec<Value> = if asked.is_empty() {
            rows.to_vec()
        } else {
            rows.iter().map(|row| selected(row, &columns)).collect()
        };
        output::line(&serde_json::to_string_pretty(&shown)?)?;
        return Ok(());
    }
    let cells = rows.iter().map(|row| {
        columns
            .iter()
            .map(|column| text(field(row, column)))
            .collect()
    });
    let cells: Vec<Vec<String>> = cells.collect();
    let head = (!access.silent).then_some(columns.as_slice());
    let printed = match formatter {
        Formatter::Table | Formatter::Json => lines(head, &cells, "\t", |cell| {
            cell.replace(['\t', '\n', '\r'], " ")
        }),
        Formatter::Csv => lines(head, &cells, ",", quoted),
        Formatter::PrettyTable => pretty(head, &cells),
    };
    if !printed.is_empty() {
        output::line(&printed)?;
    }
    Ok(())
}

fn lines(
    head: Option<&[&str]>,
    rows: &[Vec<String>],
    divider: &str,
    cell: impl Fn(&str) -> String,
) -> String {
    let head = head.map(|columns| columns.join(divider));
    let rows = rows.iter().map(|row| {
        let cells: Vec<String> = row.iter().map(|text| cell(text)).collect();
        cells.join(divider)
    });
    head.into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

fn pretty(head: Option<&[&str]>, rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    if let Some(head) = head {
        table.set_header(head.to_vec());
    }
    table.add_rows(rows.iter().cloned());
    table.to_string()
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

fn selected(row: &Value, columns: &[&str]) -> Value {
    let fields = columns.iter().map(|column| {
        let value = field(row, column).cloned().unwrap_or(Value::Null);
        ((*column).to_owned(), value)
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

/// A field by its name, or by a path of names with dots between. What `rabbitmqctl` calls otherwise
/// is found as well.
fn field<'a>(row: &'a Value, column: &str) -> Option<&'a Value> {
    if let Some(value) = row.get(column) {
        return Some(value);
    }
    let other = match column {
        "pid" => "name",
        "queue_name" => "queue.name",
        "channel_pid" => "channel_details.name",
        "source_name" => "source",
        "destination_name" => "destination",
        "destination_kind" => "destination_type",
        _ => column,
    };
    other
        .split('.')
        .try_fold(row, |value, name| value.get(name))
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_lead_into_objects_and_have_rabbitmqctls_names() {
        let row = json!({ "name": "q", "queue": { "name": "inner" }, "arguments": { "a": 1 } });
        let shown = |column| text(field(&row, column));
        assert_eq!(shown("queue.name"), "inner");
        assert_eq!(shown("queue_name"), "inner");
        assert_eq!(shown("pid"), "q");
        assert_eq!(shown("arguments"), r#"{"a":1}"#);
        assert_eq!(shown("missing.part"), "");
    }

    #[test]
    fn what_would_break_a_line_does_not() {
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"a\""), "\"say \"\"a\"\"\"");
        let rows = [vec!["a\tb\nc".to_owned(), "d".to_owned()]];
        let clean = |cell: &str| cell.replace(['\t', '\n'], " ");
        assert_eq!(
            lines(Some(&["x", "y"]), &rows, "\t", clean),
            "x\ty\na b c\td"
        );
    }
}
