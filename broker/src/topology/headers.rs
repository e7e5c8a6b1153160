//! Headers bindings: `x-match` and the equality of header values (spec 3.6).

use smallvec::SmallVec;

use crate::model::{ArgumentError, Comparable, value_term};
use crate::wire::{TableReader, Value};

/// The argument that chooses how many of the others must match.
const MATCH_ARGUMENT: &str = "x-match";

/// How many of a binding's conditions a message must meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Quantity {
    #[default]
    All,
    Any,
}

/// Whether a message's value satisfies a binding's.
fn accepts(wanted: &Comparable<Box<[u8]>>, header: &Comparable<&[u8]>) -> bool {
    *wanted == Comparable::Void || wanted.borrowed() == *header
}

/// A name and its value, in a message or in a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field<B> {
    name: B,
    value: Comparable<B>,
}

/// A message's headers, read once for all bindings of an exchange.
#[derive(Debug)]
pub(super) struct Headers<'t> {
    /// Sorted by name; equal names stay in the table's order.
    fields: SmallVec<[Field<&'t [u8]>; 16]>,
}

impl<'t> Headers<'t> {
    pub(super) fn read(table: TableReader<'t>) -> Self {
        let fields = table.iter().map(|entry| Field {
            name: entry.key,
            value: Comparable::new(entry.value),
        });
        let mut fields: SmallVec<[Field<&[u8]>; 16]> = fields.collect();
        fields.sort_by_key(|field| field.name);
        Self { fields }
    }

    /// The header of that name; the last one, where the publisher sent several.
    fn value(&self, name: &[u8]) -> Option<&Comparable<&'t [u8]>> {
        let end = self.fields.partition_point(|field| field.name <= name);
        let field = self.fields.get(end.checked_sub(1)?)?;
        (field.name == name).then_some(&field.value)
    }
}

/// What a binding to a headers exchange asks of a message.
///
/// The default asks nothing, so it matches every message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderMatch {
    quantity: Quantity,
    conditions: Box<[Field<Box<[u8]>>]>,
}

impl HeaderMatch {
    /// Reads a binding's arguments (spec 3.6.1, 3.6.2).
    pub fn parse(arguments: TableReader<'_>) -> Result<Self, ArgumentError> {
        let (quantity, ignored_prefix) = match arguments.get(MATCH_ARGUMENT) {
            None | Some(Value::LongString(b"all")) => (Quantity::All, "x-"),
            Some(Value::LongString(b"any")) => (Quantity::Any, "x-"),
            Some(Value::LongString(b"all-with-x")) => (Quantity::All, MATCH_ARGUMENT),
            Some(Value::LongString(b"any-with-x")) => (Quantity::Any, MATCH_ARGUMENT),
            Some(Value::LongString(text)) => return Err(unknown_match(text)),
            Some(other) => return Err(match_of_wrong_type(other)),
        };
        let is_condition = |name: &[u8]| match ignored_prefix {
            MATCH_ARGUMENT => name != MATCH_ARGUMENT.as_bytes(),
            prefix => !name.starts_with(prefix.as_bytes()),
        };
        let conditions = arguments.iter().filter(|entry| is_condition(entry.key));
        let conditions = conditions.map(|entry| Field {
            name: entry.key.into(),
            value: Comparable::new(entry.value).to_owned(),
        });
        Ok(Self {
            quantity,
            conditions: conditions.collect(),
        })
    }

    /// Whether a message with these headers matches (spec 3.6.3, 3.6.4).
    pub(super) fn matches(&self, headers: &Headers<'_>) -> bool {
        let mut conditions = self.conditions.iter();
        let holds = |wanted: &Field<Box<[u8]>>| {
            let value = headers.value(&wanted.name);
            value.is_some_and(|value| accepts(&wanted.value, value))
        };
        match self.quantity {
            Quantity::All => conditions.all(holds),
            Quantity::Any => conditions.any(holds),
        }
    }
}

fn unknown_match(text: &[u8]) -> ArgumentError {
    ArgumentError::Text(format!(
        "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
        value_term(Value::LongString(text))
    ))
}

fn match_of_wrong_type(value: Value<'_>) -> ArgumentError {
    ArgumentError::Text(format!(
        "Invalid x-match field type {} (value {}); expected longstr",
        value.type_name(),
        value_term(value)
    ))
}

#[cfg(test)]
mod tests {
    use Value::*;

    use super::*;
    use crate::wire::TableWriter;
    use crate::wire::table::ArrayReader;

    fn table(fields: &[(&str, Value<'_>)]) -> TableWriter {
        let mut table = TableWriter::new();
        for (name, value) in fields {
            table.entry(name, *value).expect("fits");
        }
        table
    }

    fn does_match(arguments: &[(&str, Value<'_>)], message: &[(&str, Value<'_>)]) -> bool {
        let wanted = HeaderMatch::parse(table(arguments).as_reader()).expect("acceptable");
        wanted.matches(&Headers::read(table(message).as_reader()))
    }

    /// Every pair of these that is not listed in `EQUAL` differs.
    fn values() -> [Value<'static>; 24] {
        [
            Boolean(true),
            Boolean(false),
            ShortShortInt(5),
            ShortShortUint(5),
            ShortInt(5),
            ShortUint(5),
            LongInt(5),
            LongUint(5),
            LongLongInt(5),
            Timestamp(5),
            LongLongInt(-1),
            Timestamp(u64::MAX),
            Float(1.5),
            Double(1.5),
            Double(5.0),
            Double(0.0),
            Double(-0.0),
            Decimal {
                scale: 1,
                value: 55,
            },
            Decimal {
                scale: 2,
                value: 550,
            },
            LongString(b"5"),
            ByteArray(b"5"),
            LongString(b""),
            Array(ArrayReader::new(b"I\0\0\0\x05")),
            Table(TableReader::new(b"\x01kI\0\0\0\x05")),
        ]
    }

    fn class_of(value: &Value<'_>) -> usize {
        match value {
            Boolean(true) => 0,
            Boolean(false) => 1,
            ShortShortInt(_) | ShortShortUint(_) | ShortInt(_) | ShortUint(_) | LongInt(_)
            | LongUint(_) => 2,
            LongLongInt(5) | Timestamp(5) => 2,
            LongLongInt(_) => 3,
            Timestamp(_) => 4,
            Float(_) => 5,
            Double(value) if *value == 1.5 => 5,
            Double(value) if *value == 5.0 => 6,
            Double(value) => 7 + usize::from(value.is_sign_negative()),
            Decimal { scale, .. } => 8 + usize::from(*scale),
            LongString(b"5") | ByteArray(_) => 11,
            LongString(_) => 12,
            Array(_) => 13,
            Table(_) => 14,
            Void => 15,
        }
    }

    /// Spec 3.6.3.
    #[test]
    fn values_are_equal_by_what_they_mean() {
        for bound in values() {
            for sent in values() {
                assert_eq!(
                    does_match(&[("h", bound)], &[("h", sent)]),
                    class_of(&bound) == class_of(&sent),
                    "{bound:?} {sent:?}"
                );
            }
        }
    }

    /// Spec 3.6.3.
    #[test]
    fn a_void_value_asks_for_presence_alone() {
        for sent in values() {
            assert!(does_match(&[("h", Void)], &[("h", sent)]), "{sent:?}");
            assert!(!does_match(&[("h", Void)], &[("i", sent)]), "{sent:?}");
            assert!(!does_match(&[("h", sent)], &[("h", Void)]), "{sent:?}");
        }
        assert!(does_match(&[("h", Void)], &[("h", Void)]));
    }

    /// Spec 3.6.1, 3.6.2, 3.6.4.
    #[test]
    fn the_four_ways_of_matching_count_and_ignore_as_specified() {
        const A: (&str, Value<'_>) = ("a", LongInt(1));
        const B: (&str, Value<'_>) = ("b", LongInt(2));
        const X: (&str, Value<'_>) = ("x-c", LongInt(3));
        // Conditions are a, b and x-c; expected for all, any, all-with-x, any-with-x.
        let cases = [
            (&[][..], [false, false, false, false]),
            (&[A], [false, true, false, true]),
            (&[A, B], [true, true, false, true]),
            (&[B, A], [true, true, false, true]),
            (&[X], [false, false, false, true]),
            (&[A, B, X], [true, true, true, true]),
            (&[("A", LongInt(1)), B], [false, true, false, true]),
            (&[("a", LongInt(2)), X], [false, false, false, true]),
        ];
        for (message, expected) in cases {
            for (way, expected) in ["all", "any", "all-with-x", "any-with-x"]
                .iter()
                .zip(expected)
            {
                let way = ("x-match", LongString(way.as_bytes()));
                let arguments = [way, A, X, B];
                assert_eq!(
                    does_match(&arguments, message),
                    expected,
                    "{way:?} {message:?}"
                );
            }
        }
    }

    /// Spec 3.6.4.
    #[test]
    fn without_conditions_all_matches_everything_and_any_nothing() {
        for (way, expected) in [("all", true), ("any", false)] {
            let way = ("x-match", LongString(way.as_bytes()));
            for message in [&[][..], &[("x-a", LongInt(1))]] {
                assert_eq!(does_match(&[way, ("x-a", LongInt(1))], message), expected);
            }
        }
        assert!(does_match(&[], &[]));
    }

    #[test]
    fn of_headers_with_the_same_name_the_last_counts() {
        let message = [("h", LongInt(1)), ("g", Void), ("h", LongInt(2))];
        assert!(!does_match(&[("h", LongInt(1))], &message));
        assert!(does_match(&[("h", LongInt(2))], &message));
    }

    /// Spec 3.6.1.
    #[test]
    fn an_unknown_way_of_matching_is_refused_in_known_words() {
        let cases: [(Value<'_>, &str); 14] = [
            (LongString(b"ALL"), "value <<\"ALL\">>"),
            (LongString(b""), "value <<>>"),
            (LongString(b"q'\"\\\n"), "value <<\"q'\\\"\\\\\\n\">>"),
            (LongString("é".as_bytes()), "value <<\"é\"/utf8>>"),
            (LongString(b"\xff\x01\x02"), "value <<255,1,2>>"),
            (LongString(b"b\x7f"), "value <<98,127>>"),
            (LongString("\u{80}ab".as_bytes()), "value <<194,128,97,98>>"),
            (Boolean(true), "type bool (value true)"),
            (ShortInt(-1), "type short (value -1)"),
            (Double(5.0), "type double (value 5.0)"),
            (
                Decimal {
                    scale: 1,
                    value: 55,
                },
                "type decimal (value {1,55})",
            ),
            (Void, "type void (value undefined)"),
            (Table(TableReader::EMPTY), "type table (value [])"),
            (ByteArray(b"a"), "type binary (value <<\"a\">>)"),
        ];
        for (value, expected) in cases {
            let end = match value {
                LongString(_) => "; expected all, any, all-with-x, or any-with-x",
                _ => "; expected longstr",
            };
            let error =
                HeaderMatch::parse(table(&[("x-match", value)]).as_reader()).expect_err(expected);
            assert_eq!(
                error.to_string(),
                format!("Invalid x-match field {expected}{end}")
            );
        }
    }
}
