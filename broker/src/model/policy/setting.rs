//! The settings that a policy may hold: what each takes, and where it means something.

use serde_json::Value;

use super::erlang::json_term;
use super::scope::PolicyScope;
use crate::model::QueueType;

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// A whole number from the first to the second, the second included.
    Integer(i64, i64),
    Text,
    OneOf(&'static [&'static str]),
    /// A number and a unit of time, as streams have it.
    Age,
    /// Nothing: RabbitMQ refuses it altogether.
    Nothing,
}

/// Which queues a setting means something to (spec 7.7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queues {
    All,
    ClassicAlone,
    QuorumAlone,
    StreamsAlone,
}

/// How a policy's and an operator policy's values for one setting become one (spec 7.7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merge {
    /// An operator policy cannot hold it.
    UserAlone,
    /// The smaller holds.
    Smaller,
    /// The smaller holds; negative numbers are larger than all others.
    SmallerLimit,
    /// The operator's holds.
    Operator,
}

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) merge: Merge,
    queues: Queues,
    takes: Takes,
    /// What a value that does not fit is not.
    flaw: &'static str,
}

const MAX: i64 = i64::MAX;

macro_rules! settings {
    ($($name:literal, $queues:ident, $merge:ident, $takes:expr, $flaw:literal;)+) => {
        /// All of them, in the order of their names.
        const SETTINGS: &[Setting] = &[$(Setting {
            name: $name,
            merge: Merge::$merge,
            queues: Queues::$queues,
            takes: $takes,
            flaw: $flaw,
        }),+];
    };
}

use Takes::{Age, Integer, Nothing, OneOf, Text};

settings! {
    "alternate-exchange", All, UserAlone, Text, "is not a valid alternate exchange name";
    "consumer-disconnected-timeout", All, UserAlone, Integer(0, MAX),
        "is not a valid consumer disconnected timeout";
    "consumer-timeout", All, UserAlone, Integer(0, MAX), "is not a valid consumer timeout";
    "dead-letter-exchange", All, UserAlone, Text, "is not a valid dead letter exchange name";
    "dead-letter-routing-key", All, UserAlone, Text, "is not a valid dead letter routing key";
    "dead-letter-strategy", QuorumAlone, UserAlone, OneOf(&["at-most-once", "at-least-once"]),
        "is not a valid dead letter strategy";
    "delayed-retry-max", All, UserAlone, Integer(1, MAX),
        "is not a valid delayed retry maximum delay. Must be a positive integer";
    "delayed-retry-min", All, UserAlone, Integer(1, MAX),
        "is not a valid delayed retry minimum delay. Must be a positive integer";
    "delayed-retry-type", All, UserAlone, OneOf(&["all", "failed", "returned", "disabled"]),
        "is not a valid delayed retry type. Must be one of: all, failed, returned, disabled";
    "delivery-limit", QuorumAlone, SmallerLimit, Integer(i64::MIN, MAX),
        "is not a valid delivery limit";
    "expires", All, Smaller, Integer(1, MAX), "is not a valid queue expiry";
    "initial-cluster-size", StreamsAlone, UserAlone, Integer(0, MAX),
        "is not a valid cluster size";
    "max-age", StreamsAlone, UserAlone, Age, "is not a valid max age";
    "max-in-memory-bytes", QuorumAlone, Smaller, Integer(0, MAX),
        "is not a valid maximum memory in bytes";
    "max-in-memory-length", QuorumAlone, Smaller, Integer(0, MAX),
        "is not a valid maximum memory in bytes";
    "max-length", All, Smaller, Integer(0, MAX), "is not a valid maximum length";
    "max-length-bytes", All, Smaller, Integer(0, MAX), "is not a valid maximum length in bytes";
    "message-ttl", All, Smaller, Integer(0, MAX), "is not a valid message TTL";
    "overflow", All, Operator, OneOf(&["drop-head", "reject-publish", "reject-publish-dlx"]),
        "is not a valid overflow value";
    "queue-leader-locator", All, UserAlone,
        OneOf(&["client-local", "balanced", "random", "least-leaders"]),
        "is not a valid queue leader locator value";
    "queue-master-locator", All, UserAlone, Nothing,
        "use of deprecated queue-master-locator argument is not permitted";
    "queue-mode", ClassicAlone, UserAlone, OneOf(&["default", "lazy"]),
        "is not a valid queue-mode value";
    "queue-version", All, Smaller, Integer(1, 2), "is not a valid queue-version value";
    "stream-filter-size-bytes", All, UserAlone, Integer(16, 255),
        "is not a valid filter size. Valid range is 16-255";
    "stream-max-segment-size-bytes", StreamsAlone, UserAlone, Integer(0, 3_000_000_000),
        "is not a valid segment size";
    "target-group-size", QuorumAlone, Smaller, Integer(1, MAX),
        "is not a valid qq target count value";
}

impl Setting {
    /// All of them, in the order of their names.
    #[cfg(test)]
    pub(super) fn all() -> &'static [Self] {
        SETTINGS
    }

    /// The setting of that name, if such a policy may hold it.
    pub(super) fn find(name: &str, scope: PolicyScope) -> Option<&'static Self> {
        let index = SETTINGS
            .binary_search_by(|setting| setting.name.cmp(name))
            .ok()?;
        let setting = SETTINGS.get(index)?;
        match (scope, setting.merge) {
            (PolicyScope::Operator, Merge::UserAlone) => None,
            (PolicyScope::Operator | PolicyScope::User, _) => Some(setting),
        }
    }

    /// What is wrong with a value, if anything is.
    pub(super) fn flaw_of(&self, value: &Value) -> Option<String> {
        let fits = match (self.takes, value) {
            (Integer(min, max), Value::Number(number)) => fits(number, min, max),
            (Text, Value::String(_)) => true,
            (OneOf(words), Value::String(text)) => words.contains(&text.as_str()),
            (Age, Value::String(text)) => is_age(text),
            (Nothing, _) => return Some(self.flaw.to_owned()),
            (Integer(..) | Text | OneOf(_) | Age, _) => false,
        };
        (!fits).then(|| format!("{} {}", json_term(value), self.flaw))
    }

    /// Whether it means something to queues of that type.
    pub(super) fn concerns(&self, queue_type: QueueType) -> bool {
        match self.queues {
            Queues::All => true,
            Queues::ClassicAlone => queue_type == QueueType::Classic,
            Queues::QuorumAlone => queue_type == QueueType::Quorum,
            Queues::StreamsAlone => false,
        }
    }
}

fn fits(number: &serde_json::Number, min: i64, max: i64) -> bool {
    match (number.as_i64(), number.as_f64()) {
        (Some(integer), _) => (min..=max).contains(&integer),
        // Whole numbers of more than 64 bits, which RabbitMQ takes where there is no upper bound.
        (None, Some(large)) => {
            let is_whole = number.is_u64() || (large.fract() == 0.0 && large.abs() >= 1e19);
            is_whole && large > 0.0 && max == MAX
        }
        (None, None) => false,
    }
}

/// A number that is not 0, and one of the units of streams.
fn is_age(text: &str) -> bool {
    let Some(number) = text.strip_suffix(['Y', 'M', 'D', 'h', 'm', 's']) else {
        return false;
    };
    !number.is_empty()
        && number.bytes().all(|octet| octet.is_ascii_digit())
        && number.bytes().any(|octet| octet != b'0')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_found_by_name() {
        assert!(Setting::all().is_sorted_by_key(|setting| setting.name));
        for setting in Setting::all() {
            let found = Setting::find(setting.name, PolicyScope::User);
            assert_eq!(found.map(|found| found.name), Some(setting.name));
        }
        assert!(Setting::find("max-length", PolicyScope::Operator).is_some());
        assert!(Setting::find("queue-mode", PolicyScope::Operator).is_none());
        assert!(Setting::find("ha-mode", PolicyScope::User).is_none());
    }

    #[test]
    fn values_are_judged_as_rabbitmq_judges_them() {
        let flaw = |name: &str, value: Value| {
            Setting::find(name, PolicyScope::User)
                .unwrap()
                .flaw_of(&value)
        };
        for (name, value) in [
            ("message-ttl", json!(0)),
            ("message-ttl", json!(1e20)),
            ("expires", json!(u64::MAX)),
            ("delivery-limit", json!(-2)),
            ("max-age", json!("12Y")),
            ("stream-filter-size-bytes", json!(255)),
            ("dead-letter-exchange", json!("")),
        ] {
            assert_eq!(flaw(name, value), None, "{name}");
        }
        for (name, value, expected) in [
            ("message-ttl", json!(-1), "-1 is not a valid message TTL"),
            ("message-ttl", json!(1.5), "1.5 is not a valid message TTL"),
            ("expires", json!(0), "0 is not a valid queue expiry"),
            (
                "max-length",
                json!(null),
                "null is not a valid maximum length",
            ),
            (
                "overflow",
                json!("x"),
                "<<\"x\">> is not a valid overflow value",
            ),
            ("max-age", json!("0s"), "<<\"0s\">> is not a valid max age"),
            (
                "queue-version",
                json!("2"),
                "<<\"2\">> is not a valid queue-version value",
            ),
            (
                "queue-master-locator",
                json!("client-local"),
                "use of deprecated queue-master-locator argument is not permitted",
            ),
        ] {
            assert_eq!(flaw(name, value).as_deref(), Some(expected), "{name}");
        }
    }
}
