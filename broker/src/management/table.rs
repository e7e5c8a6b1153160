//! AMQP tables as JSON, and back (spec B.4).

use serde_json::{Map, Value as Json, json};

use super::Refusal;
use crate::model::Arguments;
use crate::wire::table::{ArrayReader, ArrayWriter};
use crate::wire::{EncodeError, TableReader, TableWriter, Value};

/// What JSON may be nested, above what a table may be: the tables that come from outside lie within
/// a frame's limit.
const DEPTH_MAX: usize = 100;

/// Shows a table. Of duplicate keys the first counts.
pub(super) fn to_json(table: TableReader<'_>) -> Json {
    let mut object = Map::new();
    for entry in table {
        let key = String::from_utf8_lossy(entry.key).into_owned();
        object
            .entry(key)
            .or_insert_with(|| value_to_json(entry.value));
    }
    Json::Object(object)
}

/// Shows one value. The recursion is as deep as the wire layer lets tables be.
fn value_to_json(value: Value<'_>) -> Json {
    match value {
        Value::Boolean(value) => value.into(),
        Value::ShortShortInt(value) => value.into(),
        Value::ShortShortUint(value) => value.into(),
        Value::ShortInt(value) => value.into(),
        Value::ShortUint(value) => value.into(),
        Value::LongInt(value) => value.into(),
        Value::LongUint(value) => value.into(),
        Value::LongLongInt(value) => value.into(),
        Value::Timestamp(value) => value.into(),
        // What is no number in JSON is null there.
        Value::Float(value) => f64::from(value).into(),
        Value::Double(value) => value.into(),
        Value::Decimal { scale, value } => json!({ "scale": scale, "value": value }),
        Value::LongString(octets) | Value::ByteArray(octets) => {
            String::from_utf8_lossy(octets).into()
        }
        Value::Table(table) => to_json(table),
        Value::Array(array) => array.iter().map(value_to_json).collect(),
        Value::Void => Json::Null,
    }
}

/// Reads a table out of a JSON object: whole numbers become 64-bit integers, others doubles.
///
/// # Errors
///
/// What no table can hold: null, as in RabbitMQ; whole numbers of more than 64 bits; long names.
pub(super) fn from_json(object: &Map<String, Json>) -> Result<Arguments, Refusal> {
    let table = table(object, 1)?.finish();
    Ok(Arguments::from_wire(&table))
}

/// Reads arguments out of a body; old clients send an empty list for an empty object.
pub(super) fn arguments(value: Option<&Json>) -> Result<Arguments, Refusal> {
    match value {
        None | Some(Json::Null) => Ok(Arguments::default()),
        Some(Json::Array(list)) if list.is_empty() => Ok(Arguments::default()),
        Some(Json::Object(object)) => from_json(object),
        Some(other) => Err(Refusal::bad_value("not_object", other)),
    }
}

fn table(object: &Map<String, Json>, depth: usize) -> Result<TableWriter, Refusal> {
    check_depth(depth)?;
    let mut table = TableWriter::new();
    for (key, value) in object {
        written(value, depth, &mut |value| table.entry(key, value).map(drop))?;
    }
    Ok(table)
}

fn array(list: &[Json], depth: usize) -> Result<ArrayWriter, Refusal> {
    check_depth(depth)?;
    let mut array = ArrayWriter::new();
    for value in list {
        written(value, depth, &mut |value| array.push(value).map(drop))?;
    }
    Ok(array)
}

/// Hands the value to `write`, in the form that tables have for it.
fn written(
    value: &Json,
    depth: usize,
    write: &mut dyn FnMut(Value<'_>) -> Result<(), EncodeError>,
) -> Result<(), Refusal> {
    let refuse = |error: EncodeError| Refusal::bad_request(error.to_string());
    match value {
        Json::Null => Err(Refusal::bad_request("null_not_allowed")),
        Json::Bool(value) => write(Value::Boolean(*value)).map_err(refuse),
        Json::String(text) => write(Value::LongString(text.as_bytes())).map_err(refuse),
        Json::Number(number) => {
            let number = match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Value::LongLongInt(integer),
                (None, Some(double)) if number.is_f64() => Value::Double(double),
                (None, _) => return Err(Refusal::bad_value("integer_too_large", value)),
            };
            write(number).map_err(refuse)
        }
        Json::Array(list) => {
            let content = array(list, depth + 1)?.finish();
            let reader = ArrayReader::new(&content);
            write(Value::Array(reader)).map_err(refuse)
        }
        Json::Object(object) => {
            let content = table(object, depth + 1)?.finish();
            write(Value::Table(TableReader::new(&content))).map_err(refuse)
        }
    }
}

fn check_depth(depth: usize) -> Result<(), Refusal> {
    if depth > DEPTH_MAX {
        return Err(Refusal::bad_request("arguments are nested too deep"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(json: &Json) -> Result<Json, Refusal> {
        let Json::Object(object) = json else {
            panic!("an object");
        };
        from_json(object).map(|arguments| to_json(arguments.fields()))
    }

    #[test]
    fn a_table_comes_back_as_it_went() {
        let table = json!({
            "x-max-length": 5, "negative": -1, "half": 0.5, "text": "ä\n", "yes": true,
            "list": [1, "two", [3], { "four": 4 }], "inner": { "empty": {} }, "": "",
        });
        assert_eq!(there_and_back(&table).as_ref(), Ok(&table));
    }

    #[test]
    fn what_no_table_can_hold_is_refused() {
        for bad in [
            json!({ "a": null }),
            json!({ "a": [null] }),
            json!({ "a": u64::MAX }),
            json!({ "k".repeat(256): 1 }),
        ] {
            assert!(there_and_back(&bad).is_err(), "{bad}");
        }
        let mut deep = json!({});
        for _ in 0..100 {
            deep = json!({ "a": deep });
        }
        assert!(there_and_back(&deep).is_err());
    }

    #[test]
    fn types_that_json_lacks_are_shown_as_well_as_may_be() {
        let mut table = TableWriter::new();
        for (key, value) in [
            ("void", Value::Void),
            ("time", Value::Timestamp(5)),
            (
                "decimal",
                Value::Decimal {
                    scale: 1,
                    value: 25,
                },
            ),
            ("octets", Value::ByteArray(b"ab")),
            ("text", Value::LongString(&[0xff])),
            ("not a number", Value::Double(f64::NAN)),
        ] {
            table.entry(key, value).expect("a short key");
        }
        let table = table.finish();
        let expected = json!({
            "void": null, "time": 5, "decimal": { "scale": 1, "value": 25 }, "octets": "ab",
            "text": "\u{fffd}", "not a number": null,
        });
        assert_eq!(to_json(TableReader::new(&table)), expected);
    }
}
