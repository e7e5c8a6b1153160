//! JSON values spelt as RabbitMQ spells them in its refusals: as Erlang terms.

use std::fmt::{self, Write as _};

use serde_json::Value;

/// Spells a value. The recursion is as deep as the JSON parser lets values be.
#[must_use]
pub fn json_term(value: &Value) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_term(&mut text, value);
    text
}

fn write_term(text: &mut String, value: &Value) -> fmt::Result {
    match value {
        Value::Null => text.write_str("null"),
        Value::Bool(truth) => write!(text, "{truth}"),
        Value::Number(number) => {
            if number.is_f64() {
                write_float(text, number.as_f64().unwrap_or(0.0))
            } else {
                write!(text, "{number}")
            }
        }
        Value::String(string) => write_binary(text, string),
        Value::Array(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_term(text, value)?;
            }
            text.write_char(']')
        }
        Value::Object(entries) => {
            text.push_str("#{");
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_binary(text, key)?;
                text.push_str(" => ");
                write_term(text, value)?;
            }
            text.write_char('}')
        }
    }
}

fn write_float(text: &mut String, number: f64) -> fmt::Result {
    let shown = format!("{number:?}");
    match shown.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => {
            write!(text, "{mantissa}.0e{exponent}")
        }
        Some(_) | None => text.write_str(&shown),
    }
}

fn write_binary(text: &mut String, string: &str) -> fmt::Result {
    if string.is_empty() {
        return text.write_str("<<>>");
    }
    text.push_str("<<\"");
    for character in string.chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.write_str("\">>")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn terms_are_spelt_as_erlang_spells_them() {
        for (value, term) in [
            (json!(null), "null"),
            (json!(true), "true"),
            (json!(-1), "-1"),
            (json!(1.5), "1.5"),
            (json!(1.0), "1.0"),
            (json!(1e20), "1.0e20"),
            (json!(""), "<<>>"),
            (json!("a\"b"), "<<\"a\\\"b\">>"),
            (json!([1, "a"]), "[1,<<\"a\">>]"),
            (json!({}), "#{}"),
            (json!({ "a": 1 }), "#{<<\"a\">> => 1}"),
        ] {
            assert_eq!(json_term(&value), term);
        }
    }
}
