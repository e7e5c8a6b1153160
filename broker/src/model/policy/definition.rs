//! A policy as it is set, listed and kept.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::erlang::json_term;
use super::merge::Settings;
use super::scope::{AppliesTo, PolicyScope};
use super::setting::Setting;

/// Bytes of a pattern, as RabbitMQ has it.
const PATTERN_BYTES_MAX: usize = 1024;
/// What a compiled pattern may take, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// How deep a pattern may nest.
const NESTING_MAX: u32 = 64;

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyDefinition {
    /// Its name.
    pub name: String,
    /// What is searched for in the names of objects.
    pub pattern: String,
    /// What kind of objects it is about.
    #[serde(rename = "apply-to")]
    pub applies_to: AppliesTo,
    /// What it says.
    pub definition: Settings,
    /// Of several that match, the one with the highest holds.
    pub priority: Number,
}

/// Why a policy is not accepted; the text is RabbitMQ's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// What is needed is not there.
    #[error("[{}]", .0.iter().map(|name| format!("{{key_missing,{name}}}")).collect::<Vec<_>>().join(","))]
    Missing(Vec<&'static str>),
    /// What is there makes no sense.
    #[error("Validation failed\n\n{0}\n")]
    Invalid(String),
}

impl PolicyDefinition {
    /// Reads a policy out of the object that sets it, and checks it (spec 7.7.2, 7.7.7).
    ///
    /// # Errors
    ///
    /// If something is missing, unknown or out of range.
    pub fn parse(
        scope: PolicyScope,
        name: &str,
        body: &Map<String, Value>,
    ) -> Result<Self, PolicyError> {
        let missing = ["pattern", "definition"];
        let missing: Vec<_> = missing
            .into_iter()
            .filter(|key| !body.contains_key(*key))
            .collect();
        if !missing.is_empty() {
            return Err(PolicyError::Missing(missing));
        }
        // All that is wrong is told at once, in RabbitMQ's order.
        let definition = settings(scope, body.get("definition"));
        let applies_to = applies_to(body.get("apply-to"));
        let pattern = pattern(body.get("pattern"));
        let priority = priority(body.get("priority"));
        match (definition, applies_to, pattern, priority) {
            (Ok(definition), Ok(applies_to), Ok(pattern), Ok(priority)) => Ok(Self {
                name: name.to_owned(),
                pattern,
                applies_to,
                definition,
                priority,
            }),
            (definition, applies_to, pattern, priority) => {
                let flaws = [
                    definition.err(),
                    applies_to.err(),
                    pattern.err(),
                    priority.err(),
                ];
                let flaws: Vec<_> = flaws.into_iter().flatten().map(|Flaw(text)| text).collect();
                Err(PolicyError::Invalid(flaws.join("\n")))
            }
        }
    }

    /// The policy as an object, without its name.
    #[must_use]
    pub fn value(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(object) = &mut value {
            object.remove("name");
        }
        value
    }

    /// Compiles the pattern; `None` for one that was accepted once and is no pattern any more.
    pub(super) fn compile(&self) -> Option<Regex> {
        compile(&self.pattern).ok()
    }
}

/// What is wrong with one part of a policy.
struct Flaw(String);

fn invalid<T>(text: impl fmt::Display) -> Result<T, Flaw> {
    Err(Flaw(text.to_string()))
}

fn priority(value: Option<&Value>) -> Result<Number, Flaw> {
    match value {
        None => Ok(Number::from(0)),
        Some(Value::Number(number)) => Ok(number.clone()),
        Some(other) => invalid(format_args!(
            "priority should be a number, actually was {}",
            json_term(other)
        )),
    }
}

fn pattern(value: Option<&Value>) -> Result<String, Flaw> {
    let text = match value {
        Some(Value::String(text)) => text,
        other => {
            let shown = other.map_or_else(|| "undefined".to_owned(), json_term);
            return invalid(format_args!("pattern should be a binary but was {shown}"));
        }
    };
    if text.len() > PATTERN_BYTES_MAX {
        return invalid(format_args!(
            "pattern must not exceed {PATTERN_BYTES_MAX} bytes"
        ));
    }
    match compile(text) {
        Ok(_) => Ok(text.clone()),
        Err(error) => invalid(format_args!(
            "pattern should be regular expression but is invalid: {error}"
        )),
    }
}

/// Searched, not anchored, in time linear in the name: what needs more, as look-around and
/// back-references do, is no pattern here.
fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .nest_limit(NESTING_MAX)
        .build()
}

fn applies_to(value: Option<&Value>) -> Result<AppliesTo, Flaw> {
    let refused = |shown: &str| {
        invalid(format_args!(
            "apply-to '{shown}' unrecognised; should be one of: 'queues', 'classic_queues',  \
             'quorum_queues', 'streams', 'exchanges', or 'all'"
        ))
    };
    match value {
        None => Ok(AppliesTo::default()),
        Some(Value::String(text)) => AppliesTo::parse(text).map_or_else(|| refused(text), Ok),
        Some(other) => refused(&json_term(other)),
    }
}

fn settings(scope: PolicyScope, value: Option<&Value>) -> Result<Settings, Flaw> {
    let settings = match value {
        Some(Value::Object(settings)) => settings,
        other => {
            let shown = other.map_or_else(|| "undefined".to_owned(), json_term);
            return invalid(format_args!(
                "parse error while reading policy definition: {shown}. Validator: policy_validator."
            ));
        }
    };
    if settings.is_empty() {
        return invalid("no policy provided");
    }
    let mut named: Vec<_> = settings.iter().collect();
    named.sort_by_key(|(name, _)| *name);
    let mut unknown = Vec::new();
    for (name, value) in named {
        let Some(setting) = Setting::find(name, scope) else {
            let name = json_term(&Value::String(name.clone()));
            unknown.push(format!("{{{name},{}}}", json_term(value)));
            continue;
        };
        if let Some(flaw) = setting.flaw_of(value) {
            return invalid(flaw);
        }
    }
    if !unknown.is_empty() {
        return invalid(format_args!(
            "[{}] are not recognised policy settings",
            unknown.join(",")
        ));
    }
    check_retry(settings)?;
    Ok(settings.clone())
}

/// How long failed messages wait is said by three settings together.
fn check_retry(settings: &Settings) -> Result<(), Flaw> {
    let number = |name: &str| settings.get(name).and_then(Value::as_i64);
    let kind = settings.get("delayed-retry-type").and_then(Value::as_str);
    let (min, max) = (number("delayed-retry-min"), number("delayed-retry-max"));
    match (kind, min, max) {
        (Some(kind), None, _) if kind != "disabled" => invalid(format_args!(
            "delayed-retry-min is required when delayed-retry-type is {kind}"
        )),
        (_, Some(min), Some(max)) if max < min => invalid(format_args!(
            "delayed-retry-max ({max}) must not be smaller than delayed-retry-min ({min})"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<PolicyDefinition, String> {
        let body = body.as_object().unwrap();
        PolicyDefinition::parse(PolicyScope::User, "p", body).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_is_the_usual() {
        let policy = parse(&json!({ "pattern": "^a", "definition": { "max-length": 1 } })).unwrap();
        assert_eq!(
            policy.value(),
            json!({
                "pattern": "^a", "definition": { "max-length": 1 }, "priority": 0, "apply-to": "all",
            })
        );
    }

    #[test]
    fn refusals_are_in_rabbitmqs_words() {
        let definition = json!({ "max-length": 1 });
        for (body, text) in [
            (
                json!({}),
                "[{key_missing,pattern},{key_missing,definition}]",
            ),
            (
                json!({ "pattern": 1, "definition": definition }),
                "Validation failed\n\npattern should be a binary but was 1\n",
            ),
            (
                json!({ "pattern": "", "definition": definition, "priority": "5" }),
                "Validation failed\n\npriority should be a number, actually was <<\"5\">>\n",
            ),
            (
                json!({ "pattern": "", "definition": {} }),
                "Validation failed\n\nno policy provided\n",
            ),
            (
                json!({ "pattern": 1, "definition": {}, "apply-to": "x", "priority": "5" }),
                "Validation failed\n\nno policy provided\napply-to 'x' unrecognised; should be one of: \
                 'queues', 'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'\n\
                 pattern should be a binary but was 1\npriority should be a number, actually was \
                 <<\"5\">>\n",
            ),
            (
                json!({ "pattern": "", "definition": { "b": 1, "a": "x" } }),
                "Validation failed\n\n[{<<\"a\">>,<<\"x\">>},{<<\"b\">>,1}] are not recognised \
                 policy settings\n",
            ),
            (
                json!({ "pattern": "", "definition": { "delayed-retry-type": "all" } }),
                "Validation failed\n\ndelayed-retry-min is required when delayed-retry-type is \
                 all\n",
            ),
        ] {
            assert_eq!(parse(&body).unwrap_err(), text);
        }
    }

    #[test]
    fn patterns_that_are_not_linear_are_refused() {
        for pattern in ["[", "(?=a)", "(a)\\1", "(?<!a)b"] {
            let body = json!({ "pattern": pattern, "definition": { "max-length": 1 } });
            let error = parse(&body).unwrap_err();
            let start =
                "Validation failed\n\npattern should be regular expression but is invalid: ";
            assert!(error.starts_with(start), "{error}");
        }
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        assert!(parse(&json!({ "pattern": long, "definition": { "max-length": 1 } })).is_err());
    }
}
