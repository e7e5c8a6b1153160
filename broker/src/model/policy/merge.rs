//! What a policy, an operator policy and an object's arguments say together (spec 7.7.4, 7.7.5).

use std::num::NonZeroU64;
use std::sync::Arc;

use serde_json::Value;

use super::scope::PolicyScope;
use super::setting::{Merge, Setting};
use crate::model::{
    DeadLetterTarget, DeliveryLimit, ExchangeName, Overflow, QueueArguments, QueueTerms,
};

/// What a policy's definition holds: settings by name.
pub type Settings = serde_json::Map<String, Value>;

/// What a policy and an operator policy say together.
#[must_use]
pub fn merged(policy: Settings, operator_policy: Settings) -> Settings {
    let mut merged = policy;
    for (name, capped) in operator_policy {
        let merge = Setting::find(&name, PolicyScope::Operator)
            .map_or(Merge::Operator, |setting| setting.merge);
        let value = match merged.remove(&name) {
            None => capped,
            Some(asked) => match merge {
                Merge::Smaller => smaller(asked, capped),
                Merge::SmallerLimit => smaller_limit(asked, capped),
                Merge::Operator | Merge::UserAlone => capped,
            },
        };
        merged.insert(name, value);
    }
    merged
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::INFINITY)
}

fn smaller(one: Value, other: Value) -> Value {
    if number(&one) < number(&other) {
        one
    } else {
        other
    }
}

/// A negative number is no limit.
fn smaller_limit(one: Value, other: Value) -> Value {
    match (number(&one) < 0.0, number(&other) < 0.0) {
        (true, _) => other,
        (false, true) => one,
        (false, false) => smaller(one, other),
    }
}

/// The alternate exchange that a policy gives to exchanges that name none themselves (spec 3.3.3).
#[must_use]
pub fn alternate_exchange(settings: &Settings) -> Option<ExchangeName> {
    text(settings, "alternate-exchange").map(ExchangeName::from)
}

fn text<'a>(settings: &'a Settings, name: &str) -> Option<&'a str> {
    settings.get(name).and_then(Value::as_str)
}

/// A whole number; what is above 64 bits is as good as the largest.
fn natural(settings: &Settings, name: &str) -> Option<u64> {
    let number = settings.get(name)?;
    // A float that is out of range becomes the nearest bound.
    number
        .as_u64()
        .or_else(|| number.as_f64().map(|large| large as u64))
}

fn delivery_limit(settings: &Settings) -> Option<DeliveryLimit> {
    let limit = settings.get("delivery-limit")?;
    Some(match limit.as_i64() {
        Some(negative) if negative < 0 => DeliveryLimit::Unlimited,
        Some(_) | None => DeliveryLimit::Times(natural(settings, "delivery-limit")?),
    })
}

fn overflow(settings: &Settings) -> Option<Overflow> {
    match text(settings, "overflow")? {
        "reject-publish" => Some(Overflow::RejectPublish),
        "reject-publish-dlx" => Some(Overflow::RejectPublishDeadLetter),
        _ => Some(Overflow::DropHead),
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn least_limit(one: Option<DeliveryLimit>, other: Option<DeliveryLimit>) -> Option<DeliveryLimit> {
    match (one, other) {
        (Some(DeliveryLimit::Times(one)), Some(DeliveryLimit::Times(other))) => {
            Some(DeliveryLimit::Times(one.min(other)))
        }
        (Some(DeliveryLimit::Unlimited), Some(limit))
        | (Some(limit), Some(DeliveryLimit::Unlimited)) => Some(limit),
        (one, other) => one.or(other),
    }
}

impl QueueTerms {
    /// What a queue's arguments and its policies say together: of two numbers the smaller, of the
    /// rest the argument.
    #[must_use]
    pub fn under(arguments: &QueueArguments, settings: &Settings) -> Self {
        let mut asked = arguments.clone();
        asked.message_ttl_ms = least(asked.message_ttl_ms, natural(settings, "message-ttl"));
        let expires = natural(settings, "expires").and_then(NonZeroU64::new);
        asked.expires_ms = least(asked.expires_ms, expires);
        asked.max_length = least(asked.max_length, natural(settings, "max-length"));
        let bytes = natural(settings, "max-length-bytes");
        asked.max_length_bytes = least(asked.max_length_bytes, bytes);
        asked.overflow = asked.overflow.or_else(|| overflow(settings));
        asked.delivery_limit = least_limit(asked.delivery_limit, delivery_limit(settings));
        let timeout = natural(settings, "consumer-timeout");
        asked.consumer_timeout_ms = asked.consumer_timeout_ms.or(timeout);
        asked.dead_letter = dead_letter(asked.dead_letter, settings);
        Self::of(&asked)
    }
}

/// Exchange and key are looked up one by one: an argument's exchange goes with a policy's key.
fn dead_letter(asked: Option<DeadLetterTarget>, settings: &Settings) -> Option<DeadLetterTarget> {
    let named = || {
        let exchange = ExchangeName::from(text(settings, "dead-letter-exchange")?);
        let routing_key = None;
        Some(DeadLetterTarget {
            exchange,
            routing_key,
        })
    };
    let target = asked.or_else(named)?;
    let routing_key = target
        .routing_key
        .or_else(|| text(settings, "dead-letter-routing-key").map(|key| Arc::from(key.as_bytes())));
    Some(DeadLetterTarget {
        exchange: target.exchange,
        routing_key,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn settings(value: Value) -> Settings {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn an_operator_caps_what_a_policy_asks_for() {
        for (policy, operator, expected) in [
            (
                json!({ "max-length": 5 }),
                json!({ "max-length": 9 }),
                json!({ "max-length": 5 }),
            ),
            (
                json!({ "max-length": 9 }),
                json!({ "max-length": 5 }),
                json!({ "max-length": 5 }),
            ),
            (
                json!({ "overflow": "drop-head" }),
                json!({ "overflow": "reject-publish" }),
                json!({ "overflow": "reject-publish" }),
            ),
            (
                json!({ "delivery-limit": -1 }),
                json!({ "delivery-limit": 4 }),
                json!({ "delivery-limit": 4 }),
            ),
            (
                json!({ "delivery-limit": 8 }),
                json!({ "delivery-limit": -1 }),
                json!({ "delivery-limit": 8 }),
            ),
            (json!({}), json!({ "expires": 3 }), json!({ "expires": 3 })),
            (
                json!({ "dead-letter-exchange": "x" }),
                json!({ "message-ttl": 3 }),
                json!({ "dead-letter-exchange": "x", "message-ttl": 3 }),
            ),
        ] {
            let merged = merged(settings(policy), settings(operator));
            assert_eq!(Value::Object(merged), expected);
        }
    }

    #[test]
    fn the_argument_wins_where_there_is_no_smaller() {
        let arguments = QueueArguments {
            overflow: Some(Overflow::DropHead),
            dead_letter: Some(DeadLetterTarget {
                exchange: ExchangeName::from("own"),
                routing_key: None,
            }),
            ..QueueArguments::default()
        };
        let policy = settings(json!({
            "overflow": "reject-publish", "dead-letter-exchange": "other",
            "dead-letter-routing-key": "key",
        }));
        let terms = QueueTerms::under(&arguments, &policy);
        assert_eq!(terms.overflow, Overflow::DropHead);
        let target = terms.dead_letter.unwrap();
        assert_eq!(target.exchange.as_str(), "own");
        assert_eq!(target.routing_key.as_deref(), Some(&b"key"[..]));
        let key = settings(json!({ "dead-letter-routing-key": "key" }));
        let terms = QueueTerms::under(&QueueArguments::default(), &key);
        assert_eq!(terms.dead_letter, None);
    }

    #[test]
    fn numbers_that_are_too_large_are_as_good_as_the_largest() {
        let huge = settings(json!({ "message-ttl": 1e30 }));
        let terms = QueueTerms::under(&QueueArguments::default(), &huge);
        assert_eq!(terms.message_ttl_ms, Some(u64::MAX));
    }

    const NUMBERS: [&str; 4] = ["message-ttl", "expires", "max-length", "max-length-bytes"];

    fn numbers() -> impl Strategy<Value = Settings> {
        let value = prop_oneof![Just(None), (1_u64..1000).prop_map(Some)];
        proptest::collection::vec(value, NUMBERS.len()).prop_map(|values| {
            let named = NUMBERS.iter().zip(values);
            named
                .filter_map(|(name, value)| Some(((*name).to_owned(), json!(value?))))
                .collect()
        })
    }

    fn bound(settings: &Settings, name: &str) -> u64 {
        settings
            .get(name)
            .and_then(Value::as_u64)
            .unwrap_or(u64::MAX)
    }

    proptest! {
        #[test]
        fn nothing_is_above_what_anybody_asked_for(
            policy in numbers(), operator in numbers(), asked in numbers(),
        ) {
            let arguments = QueueArguments {
                message_ttl_ms: asked.get("message-ttl").and_then(Value::as_u64),
                expires_ms: asked.get("expires").and_then(Value::as_u64).and_then(NonZeroU64::new),
                max_length: asked.get("max-length").and_then(Value::as_u64),
                max_length_bytes: asked.get("max-length-bytes").and_then(Value::as_u64),
                ..QueueArguments::default()
            };
            let together = merged(policy.clone(), operator.clone());
            let terms = QueueTerms::under(&arguments, &together);
            let held = [
                terms.message_ttl_ms,
                terms.expires_ms.map(NonZeroU64::get),
                terms.max_length,
                terms.max_length_bytes,
            ];
            for (name, held) in NUMBERS.into_iter().zip(held) {
                let least = bound(&policy, name)
                    .min(bound(&operator, name))
                    .min(bound(&asked, name));
                prop_assert_eq!(held.unwrap_or(u64::MAX), least);
            }
        }

        #[test]
        fn merging_is_the_same_whoever_asks_first(policy in numbers(), operator in numbers()) {
            let one = merged(policy.clone(), operator.clone());
            prop_assert_eq!(one, merged(operator, policy));
        }
    }
}
