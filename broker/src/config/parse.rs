//! From what was given to what is meant. Every function says what would have fitted.

use std::net::{SocketAddr, ToSocketAddrs};

use super::limits::{Limit, Unit};
use super::part::Part;
use super::value::Value;

/// The longest name that is shown to clients or on disk, in bytes: AMQP's own bound on short texts.
const NAME_BYTES_MAX: usize = 255;

pub(super) fn text(value: Value) -> Result<String, String> {
    match value {
        Value::Word(text) | Value::Text(text) => Ok(text),
        Value::Integer(_) | Value::Boolean(_) | Value::List(_) | Value::Other(_) => {
            Err("must be a text".to_owned())
        }
    }
}

/// A text that names something.
pub(super) fn name(value: Value) -> Result<String, String> {
    let name = text(value)?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
        return Err(format!(
            "must be 1 to {NAME_BYTES_MAX} bytes without control characters"
        ));
    }
    Ok(name)
}

pub(super) fn boolean(value: Value) -> Result<bool, String> {
    match value {
        Value::Boolean(truth) => Ok(truth),
        Value::Word(word) if matches!(&*word, "true" | "1" | "yes") => Ok(true),
        Value::Word(word) if matches!(&*word, "false" | "0" | "no") => Ok(false),
        Value::Word(_) | Value::Text(_) | Value::Integer(_) | Value::List(_) | Value::Other(_) => {
            Err("must be true or false".to_owned())
        }
    }
}

/// A list of texts; as a word they are divided by commas.
pub(super) fn list(value: Value) -> Result<Vec<String>, String> {
    match value {
        Value::List(texts) => Ok(texts),
        Value::Word(word) if word == "none" => Ok(Vec::new()),
        Value::Word(word) => Ok(word.split(',').map(|text| text.trim().to_owned()).collect()),
        Value::Text(_) | Value::Integer(_) | Value::Boolean(_) | Value::Other(_) => {
            Err("must be a list of texts".to_owned())
        }
    }
}

/// Where to listen, or `none`.
pub(super) fn address(value: Value) -> Result<Option<SocketAddr>, String> {
    const WANTED: &str = "must be HOST:PORT, for example 127.0.0.1:5672, or none";
    let text = text(value).map_err(|_| WANTED.to_owned())?;
    if text == "none" {
        return Ok(None);
    }
    if let Ok(address) = text.parse() {
        return Ok(Some(address));
    }
    match text.to_socket_addrs() {
        Ok(mut addresses) => match addresses.next() {
            Some(address) => Ok(Some(address)),
            None => Err("the host has no address".to_owned()),
        },
        // The system's text would blame the port for a missing host.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Err(WANTED.to_owned()),
        Err(error) => Err(format!("{WANTED}; {error}")),
    }
}

/// A part of a whole.
pub(super) fn part(value: Value) -> Result<Part, String> {
    match value {
        Value::Word(text) | Value::Text(text) | Value::Other(text) => text.parse(),
        Value::Integer(number) => number.to_string().parse(),
        Value::Boolean(_) | Value::List(_) => "".parse(),
    }
}

/// A number of bytes.
pub(super) fn size(value: Value) -> Result<u64, String> {
    let number = match &value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Word(word) => word.parse().ok().or_else(|| bytes(word)),
        Value::Text(text) => bytes(text),
        Value::Boolean(_) | Value::List(_) | Value::Other(_) => None,
    };
    let fits = |number: &u64| i64::try_from(*number).is_ok();
    number.filter(fits).ok_or_else(|| {
        "must be a number of bytes; \"512MiB\", \"2GB\" and the like will do".to_owned()
    })
}

/// What `read` makes of a value, or `none`.
pub(super) fn optional<T>(
    value: Value,
    read: impl FnOnce(Value) -> Result<T, String>,
) -> Result<Option<T>, String> {
    match &value {
        Value::Word(text) | Value::Text(text) if text == "none" => Ok(None),
        Value::Word(_)
        | Value::Text(_)
        | Value::Integer(_)
        | Value::Boolean(_)
        | Value::List(_)
        | Value::Other(_) => match read(value) {
            Ok(read) => Ok(Some(read)),
            Err(wanted) => Err(format!("{wanted}, or none")),
        },
    }
}

/// A number within the range of `limit`.
pub(super) fn limit(value: Value, limit: &Limit) -> Result<u64, String> {
    let number = match (&value, limit.unit) {
        (Value::Integer(number), _) => u64::try_from(*number).ok(),
        (Value::Word(word), Unit::Count) => word.parse().ok(),
        (Value::Word(word), Unit::Bytes) => word.parse().ok().or_else(|| bytes(word)),
        (Value::Text(text), Unit::Bytes) => bytes(text),
        (Value::Text(_) | Value::Boolean(_) | Value::List(_) | Value::Other(_), _) => None,
    };
    let fits =
        |number: &u64| (limit.min..=limit.max).contains(number) || (limit.zero && *number == 0);
    number.filter(fits).ok_or_else(|| {
        let zero = if limit.zero { ", or 0" } else { "" };
        let example = match limit.unit {
            Unit::Count => "",
            Unit::Bytes => "; \"64KiB\", \"16MiB\" and the like will do",
        };
        format!(
            "must be a whole number from {} to {}{zero}{example}",
            limit.min, limit.max
        )
    })
}

/// A number of bytes with a unit (spec 12.6).
fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    let (number, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    number.trim_end().parse::<u64>().ok()?.checked_mul(*factor)
}

/// What of the log is shown: a level, or levels of parts divided by commas.
pub(super) fn log_level(value: Value) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let level = text(value)?;
    let fits = level.split(',').all(|directive| {
        let (part, level) = directive.split_once('=').unwrap_or(("leveret", directive));
        let is_path =
            |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
        LEVELS.contains(&level) && !part.is_empty() && part.chars().all(is_path)
    });
    if fits {
        Ok(level)
    } else {
        Err(format!(
            "must be one of {}, or PART=LEVEL,… such as leveret=debug,sled=warn",
            LEVELS.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_bytes(text: &str, expected: Option<u64>) {
        assert_eq!(bytes(text), expected, "{text}");
    }

    #[test]
    fn sizes_are_read_in_powers_of_two_and_of_ten() {
        check_bytes("64KiB", Some(65_536));
        check_bytes("16 MiB", Some(16 << 20));
        check_bytes("1kB", Some(1_000));
        check_bytes("2GB", Some(2_000_000_000));
        check_bytes("7B", Some(7));
        check_bytes("7", None);
        check_bytes("KiB", None);
        check_bytes("-1KiB", None);
        check_bytes("99999999999999TiB", None);
    }

    #[test]
    fn levels_of_the_log_may_differ_by_part() {
        let accepts = |text: &str| log_level(Value::Word(text.to_owned())).is_ok();
        for good in [
            "info",
            "off",
            "leveret=debug",
            "leveret::session=trace,warn",
        ] {
            assert!(accepts(good), "{good}");
        }
        for bad in ["", "loud", "leveret=", "=info", "info,", "a b=info"] {
            assert!(!accepts(bad), "{bad}");
        }
    }

    #[test]
    fn an_address_needs_a_port() {
        let read = |text: &str| address(Value::Word(text.to_owned()));
        assert_eq!(read("none"), Ok(None));
        assert_eq!(
            read("[::1]:1"),
            Ok(Some(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 1))))
        );
        for bad in ["", "127.0.0.1", "5672", "127.0.0.1:70000", "127.0.0.1:"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(address(Value::Integer(5672)).is_err());
    }
}
