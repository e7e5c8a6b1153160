//! Values as the texts of RabbitMQ show them, which clients and their tests know.

use crate::wire::Value;

/// A value inside a sentence: texts and byte arrays plain, the rest as terms.
#[must_use]
pub(super) fn value_text(value: Value<'_>) -> String {
    match value {
        Value::LongString(bytes) | Value::ByteArray(bytes) => plain_text(bytes),
        other => value_term(other),
    }
}

/// A value as a term of Erlang. What arrays and tables hold is left out.
#[must_use]
pub fn value_term(value: Value<'_>) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::ShortShortInt(value) => value.to_string(),
        Value::ShortShortUint(value) => value.to_string(),
        Value::ShortInt(value) => value.to_string(),
        Value::ShortUint(value) => value.to_string(),
        Value::LongInt(value) => value.to_string(),
        Value::LongUint(value) => value.to_string(),
        Value::LongLongInt(value) => value.to_string(),
        Value::Timestamp(value) => value.to_string(),
        Value::Float(value) => format!("{:?}", f64::from(value)),
        Value::Double(value) => format!("{value:?}"),
        Value::Decimal { scale, value } => format!("{{{scale},{value}}}"),
        Value::LongString(bytes) | Value::ByteArray(bytes) => binary_term(bytes),
        Value::Table(table) => list_term(table.is_empty()),
        Value::Array(array) => list_term(array.is_empty()),
        Value::Void => "undefined".to_owned(),
    }
}

fn list_term(is_empty: bool) -> String {
    if is_empty { "[]" } else { "[...]" }.to_owned()
}

/// Bytes as text: UTF-8 if they are, one character for each byte if not.
#[must_use]
pub(super) fn plain_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// Bytes as a term: quoted where all are printable, as numbers where not.
fn binary_term(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok("") => "<<>>".to_owned(),
        Ok(text) if text.chars().all(is_printable) => {
            let quoted = text.chars().fold(String::new(), push_escaped);
            let suffix = if text.is_ascii() { "" } else { "/utf8" };
            format!("<<\"{quoted}\"{suffix}>>")
        }
        Ok(_) | Err(_) => {
            let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
            format!("<<{}>>", numbers.join(","))
        }
    }
}

const fn is_printable(character: char) -> bool {
    matches!(
        character,
        '\u{8}'..='\r' | '\u{1b}' | ' '..='~' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..
    )
}

fn push_escaped(mut text: String, character: char) -> String {
    let escaped = match character {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{8}' => "\\b",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{b}' => "\\v",
        '\u{c}' => "\\f",
        '\r' => "\\r",
        '\u{1b}' => "\\e",
        other => {
            text.push(other);
            return text;
        }
    };
    text.push_str(escaped);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::TableReader;
    use crate::wire::table::ArrayReader;

    #[test]
    fn bytes_are_quoted_only_if_they_are_printable_text() {
        let cases: [(&[u8], &str); 10] = [
            (b"ALL", r#"<<"ALL">>"#),
            (b"", "<<>>"),
            (
                b"q'\"\\\n\x08\x0b\x0c\r\t\x1b",
                r#"<<"q'\"\\\n\b\v\f\r\t\e">>"#,
            ),
            ("é".as_bytes(), r#"<<"é"/utf8>>"#),
            ("日\u{301}".as_bytes(), "<<\"日\u{301}\"/utf8>>"),
            (b"\xff\x01\x02", "<<255,1,2>>"),
            (b"b\x7f", "<<98,127>>"),
            (b"\0", "<<0>>"),
            ("\u{80}ab".as_bytes(), "<<194,128,97,98>>"),
            ("\u{ffff}".as_bytes(), "<<239,191,191>>"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(value_term(Value::LongString(bytes)), expected);
            assert_eq!(value_term(Value::ByteArray(bytes)), expected);
        }
    }

    #[test]
    fn values_inside_a_sentence_are_plain() {
        let cases = [
            (Value::Boolean(true), "true"),
            (Value::ShortShortInt(-1), "-1"),
            (Value::Timestamp(u64::MAX), "18446744073709551615"),
            (Value::Float(1.5), "1.5"),
            (Value::Double(5.0), "5.0"),
            (
                Value::Decimal {
                    scale: 1,
                    value: 55,
                },
                "{1,55}",
            ),
            (Value::LongString("é'日".as_bytes()), "é'日"),
            (Value::LongString(b""), ""),
            (Value::LongString(b"\xff\x01"), "ÿ\u{1}"),
            (Value::ByteArray(b"a"), "a"),
            (Value::Table(TableReader::EMPTY), "[]"),
            (Value::Array(ArrayReader::new(b"t\x01")), "[...]"),
            (Value::Void, "undefined"),
        ];
        for (value, expected) in cases {
            assert_eq!(value_text(value), expected);
        }
    }
}
