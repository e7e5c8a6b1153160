//! Values as the texts of RabbitMQ show them, which clients and their tests know.

use super::fields::FieldValue;

/// A value inside a sentence: texts and byte arrays plain, the rest as terms.
#[must_use]
pub(super) fn value_text(value: FieldValue<'_>) -> String {
    match value {
        FieldValue::LongString(bytes) | FieldValue::Binary(bytes) => plain_text(bytes),
        other => value_term(other),
    }
}

/// A value as a term of Erlang. What arrays and tables hold is left out.
#[must_use]
pub fn value_term(value: FieldValue<'_>) -> String {
    match value {
        FieldValue::Boolean(value) => value.to_string(),
        FieldValue::Byte(value) => value.to_string(),
        FieldValue::UnsignedByte(value) => value.to_string(),
        FieldValue::Short(value) => value.to_string(),
        FieldValue::UnsignedShort(value) => value.to_string(),
        FieldValue::SignedInt(value) => value.to_string(),
        FieldValue::UnsignedInt(value) => value.to_string(),
        FieldValue::Long(value) => value.to_string(),
        FieldValue::Timestamp(value) => value.to_string(),
        FieldValue::Float(value) => format!("{:?}", f64::from(value)),
        FieldValue::Double(value) => format!("{value:?}"),
        FieldValue::Decimal { scale, value } => format!("{{{scale},{value}}}"),
        FieldValue::LongString(bytes) | FieldValue::Binary(bytes) => binary_term(bytes),
        FieldValue::Table([]) | FieldValue::Array([]) => "[]".to_owned(),
        FieldValue::Table(_) | FieldValue::Array(_) => "[...]".to_owned(),
        FieldValue::Void => "undefined".to_owned(),
    }
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
            assert_eq!(value_term(FieldValue::LongString(bytes)), expected);
            assert_eq!(value_term(FieldValue::Binary(bytes)), expected);
        }
    }

    #[test]
    fn values_inside_a_sentence_are_plain() {
        let cases = [
            (FieldValue::Boolean(true), "true"),
            (FieldValue::Byte(-1), "-1"),
            (FieldValue::Timestamp(u64::MAX), "18446744073709551615"),
            (FieldValue::Float(1.5), "1.5"),
            (FieldValue::Double(5.0), "5.0"),
            (
                FieldValue::Decimal {
                    scale: 1,
                    value: 55,
                },
                "{1,55}",
            ),
            (FieldValue::LongString("é'日".as_bytes()), "é'日"),
            (FieldValue::LongString(b""), ""),
            (FieldValue::LongString(b"\xff\x01"), "ÿ\u{1}"),
            (FieldValue::Binary(b"a"), "a"),
            (FieldValue::Table(b""), "[]"),
            (FieldValue::Array(b"t\x01"), "[...]"),
            (FieldValue::Void, "undefined"),
        ];
        for (value, expected) in cases {
            assert_eq!(value_text(value), expected);
        }
    }
}
