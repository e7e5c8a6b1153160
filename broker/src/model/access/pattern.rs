//! Patterns on names, matched in time linear in the name (spec 8.1.2, 8.1.3).

use std::borrow::Cow;

use regex::bytes::{Regex, RegexBuilder};

/// Bytes of one pattern's text.
const TEXT_BYTES_MAX: usize = 4096;
/// What a compiled pattern may take, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// How deep a pattern may nest.
const NESTING_MAX: u32 = 64;

/// What an empty pattern means: the empty name alone, which nothing has.
const NOTHING: &str = "^$";

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is too long.
    #[error("a pattern of more than {TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// It does not parse, asks for what is not linear (look-around, back-references), or is too
    /// large once compiled.
    #[error("{0}")]
    Invalid(String),
}

/// A compiled pattern. It is searched for in a name, not matched against the whole of it.
#[derive(Clone, Debug)]
pub struct Pattern(Matcher);

#[derive(Clone, Debug)]
enum Matcher {
    Everything,
    Nothing,
    Some(Regex),
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// If it is none, or none that can be matched in linear time and little space.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let matcher = match text {
            // Most patterns there are.
            ".*" | "^.*$" | ".*$" | "^.*" => Matcher::Everything,
            "" | NOTHING => Matcher::Nothing,
            text if text.len() > TEXT_BYTES_MAX => return Err(PatternError::TooLong),
            text => RegexBuilder::new(text)
                .size_limit(COMPILED_BYTES_MAX)
                .dfa_size_limit(COMPILED_BYTES_MAX)
                .nest_limit(NESTING_MAX)
                .build()
                .map(Matcher::Some)
                .map_err(|error| PatternError::Invalid(error.to_string()))?,
        };
        Ok(Self(matcher))
    }

    /// Compiles a pattern that was accepted once; one that is none after all matches nothing.
    #[must_use]
    pub fn or_nothing(text: &str) -> Self {
        Self::parse(text).unwrap_or(Self(Matcher::Nothing))
    }

    /// Whether the pattern is found in `name`.
    #[must_use]
    pub fn is_in(&self, name: &[u8]) -> bool {
        match &self.0 {
            Matcher::Everything => true,
            Matcher::Nothing => name.is_empty(),
            Matcher::Some(regex) => regex.is_match(name),
        }
    }
}

/// What stands for the variables of topic patterns (spec 8.2.1).
#[derive(Clone, Copy, Debug)]
pub struct TopicVariables<'a> {
    /// `{username}`
    pub username: &'a str,
    /// `{vhost}`
    pub virtual_host: &'a str,
}

impl TopicVariables<'_> {
    /// Compiles a topic pattern for one user. Names are text there, whatever they are made of: they
    /// match themselves and nothing else.
    ///
    /// # Errors
    ///
    /// As [`Pattern::parse`].
    pub fn parse(self, text: &str) -> Result<Pattern, PatternError> {
        Pattern::parse(&self.expand(text))
    }

    /// As [`parse`](Self::parse); what is no pattern matches nothing.
    #[must_use]
    pub fn or_nothing(self, text: &str) -> Pattern {
        Pattern::or_nothing(&self.expand(text))
    }

    /// One pass, so that nothing in a name is taken for a variable.
    fn expand(self, text: &str) -> Cow<'_, str> {
        const VARIABLES: [&str; 3] = ["{username}", "{vhost}", "{client_id}"];
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let (before, from) = rest.split_at(start);
            expanded.push_str(before);
            let variable = VARIABLES
                .into_iter()
                .find(|variable| from.starts_with(variable));
            let Some(variable) = variable else {
                expanded.push('{');
                rest = &from[1..];
                continue;
            };
            let value = match variable {
                "{username}" => self.username,
                "{vhost}" => self.virtual_host,
                // AMQP 0-9-1 has no client ids; RabbitMQ leaves the variable as it is.
                other => other,
            };
            expanded.push_str(&regex::escape(value));
            rest = &from[variable.len()..];
        }
        expanded.push_str(rest);
        Cow::Owned(expanded)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finds(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern)
            .expect("a pattern")
            .is_in(name.as_bytes())
    }

    #[test]
    fn a_pattern_is_searched_for_and_not_anchored() {
        assert!(finds("b", "abc") && finds("^a", "abc") && !finds("^b", "abc"));
        assert!(finds(".*", "anything") && finds(".*", ""));
        assert!(finds("^(a|amq\\.gen.*)$", "amq.gen-x") && !finds("^(a|b)$", "ab"));
    }

    #[test]
    fn an_empty_pattern_matches_the_empty_name_alone() {
        for pattern in ["", "^$"] {
            assert!(finds(pattern, "") && !finds(pattern, "a"));
        }
    }

    #[test]
    fn what_is_not_linear_is_refused_and_so_is_what_is_large() {
        for pattern in ["(?=a)b", "(a)\\1", "(?<!a)b", "(", "a{1000}{1000}{1000}"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
            assert!(!Pattern::or_nothing(pattern).is_in(b"a"));
        }
        assert_eq!(
            Pattern::parse(&"a".repeat(5000)).err(),
            Some(PatternError::TooLong)
        );
        assert!(Pattern::parse(&format!("{}a{}", "(".repeat(500), ")".repeat(500))).is_err());
    }

    #[test]
    fn variables_stand_for_names_and_other_braces_for_themselves() {
        let variables = TopicVariables {
            username: "a.b",
            virtual_host: "/",
        };
        let finds = |pattern: &str, key: &str| {
            let pattern = variables.parse(pattern).expect("a pattern");
            pattern.is_in(key.as_bytes())
        };
        assert!(finds("^{username}\\.{vhost}$", "a.b./"));
        assert!(!finds("^{username}$", "aXb"));
        assert!(finds("^{client_id}$", "{client_id}"));
        assert!(finds("^x{2}$", "xx"));
        let hostile = TopicVariables {
            username: "{vhost}",
            virtual_host: ".*",
        };
        let pattern = hostile.parse("^{username}-{vhost}$").expect("a pattern");
        assert!(pattern.is_in(b"{vhost}-.*") && !pattern.is_in(b".*-.*"));
    }

    proptest! {
        /// A name in place of a variable matches itself and nothing else, within text and within a
        /// class of characters.
        #[test]
        fn a_name_matches_only_itself(name in "\\PC{1,12}", other in "\\PC{0,12}") {
            let variables = TopicVariables { username: &name, virtual_host: &name };
            for variable in ["{username}", "{vhost}"] {
                let whole = variables.parse(&format!("^{variable}$")).expect("a pattern");
                prop_assert!(whole.is_in(name.as_bytes()));
                prop_assert_eq!(whole.is_in(other.as_bytes()), name == other);
                let class = variables.parse(&format!("^[{variable}]$")).expect("a pattern");
                for character in other.chars() {
                    let text = character.to_string();
                    prop_assert_eq!(class.is_in(text.as_bytes()), name.contains(character));
                }
            }
        }

        /// No text panics, and what is refused matches nothing.
        #[test]
        fn any_text_is_a_pattern_or_none(text in "[\\PC\\\\(){}\\[\\]*+?|^$]{0,40}", name in "\\PC{1,20}") {
            if Pattern::parse(&text).is_err() {
                prop_assert!(!Pattern::or_nothing(&text).is_in(name.as_bytes()));
            }
        }
    }
}
