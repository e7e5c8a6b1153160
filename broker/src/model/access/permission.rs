//! Rights as they are given, and as they are asked for (spec 8.1, 8.2).

use serde::{Deserialize, Serialize};

use super::pattern::{Pattern, PatternError, TopicVariables};

/// What somebody wants to do with a queue or an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Make or delete it.
    Configure,
    /// Put messages in, or bind it to a source.
    Write,
    /// Take messages out, or let others be bound to it.
    Read,
}

impl Verb {
    /// The verb as refusals have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// What somebody wants to do something with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource<'a> {
    /// A queue.
    Queue(&'a str),
    /// An exchange.
    Exchange(&'a str),
}

impl<'a> Resource<'a> {
    /// The name that patterns are searched in; the default exchange has one for this alone.
    #[must_use]
    pub fn name(self) -> &'a str {
        match self {
            Self::Exchange("") => "amq.default",
            Self::Queue(name) | Self::Exchange(name) => name,
        }
    }

    /// What it is.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Queue(_) => "queue",
            Self::Exchange(_) => "exchange",
        }
    }
}

/// What a user may do in a virtual host: a pattern for each verb, as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// Names of what may be made and deleted.
    pub configure: String,
    /// Names of what may be written to.
    pub write: String,
    /// Names of what may be read from.
    pub read: String,
}

/// Which keys a user may use with one topic exchange, as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPermission {
    /// Routing keys that may be published with.
    pub write: String,
    /// Binding keys that may be bound with.
    pub read: String,
}

/// A right's pattern is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression '{pattern}': {source}")]
pub struct PermissionError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub source: PatternError,
}

impl Permission {
    /// The right to do everything.
    #[must_use]
    pub fn everything() -> Self {
        let all = || ".*".to_owned();
        Self {
            configure: all(),
            write: all(),
            read: all(),
        }
    }

    /// Whether all patterns are such.
    ///
    /// # Errors
    ///
    /// The first that is not.
    pub fn check(&self) -> Result<(), PermissionError> {
        [&self.configure, &self.write, &self.read]
            .into_iter()
            .try_for_each(|pattern| check(pattern, Pattern::parse(pattern)))
    }

    /// The patterns, compiled. One that is none denies.
    #[must_use]
    pub fn rules(&self) -> VerbRules {
        VerbRules {
            configure: Pattern::or_nothing(&self.configure),
            write: Pattern::or_nothing(&self.write),
            read: Pattern::or_nothing(&self.read),
        }
    }
}

impl TopicPermission {
    /// Whether both patterns are such, whatever names take the variables' places.
    ///
    /// # Errors
    ///
    /// The first that is not.
    pub fn check(&self) -> Result<(), PermissionError> {
        let anybody = TopicVariables {
            username: "anybody",
            virtual_host: "anywhere",
        };
        [&self.write, &self.read]
            .into_iter()
            .try_for_each(|pattern| check(pattern, anybody.parse(pattern)))
    }

    /// The patterns, compiled for one user. One that is none denies.
    #[must_use]
    pub fn rules(&self, variables: TopicVariables<'_>) -> TopicRules {
        TopicRules {
            write: variables.or_nothing(&self.write),
            read: variables.or_nothing(&self.read),
        }
    }
}

fn check(pattern: &str, parsed: Result<Pattern, PatternError>) -> Result<(), PermissionError> {
    parsed.map(drop).map_err(|source| PermissionError {
        pattern: pattern.to_owned(),
        source,
    })
}

/// A compiled [`Permission`].
#[derive(Clone, Debug)]
pub struct VerbRules {
    configure: Pattern,
    write: Pattern,
    read: Pattern,
}

impl VerbRules {
    /// Whether `verb` may be done with what has that name.
    #[must_use]
    pub fn allow(&self, verb: Verb, name: &str) -> bool {
        let pattern = match verb {
            Verb::Configure => &self.configure,
            Verb::Write => &self.write,
            Verb::Read => &self.read,
        };
        pattern.is_in(name.as_bytes())
    }
}

/// A compiled [`TopicPermission`].
#[derive(Clone, Debug)]
pub struct TopicRules {
    write: Pattern,
    read: Pattern,
}

impl TopicRules {
    /// Whether `verb` may be done with that key. Nothing is configured by key.
    #[must_use]
    pub fn allow(&self, verb: Verb, key: &[u8]) -> bool {
        match verb {
            Verb::Configure => false,
            Verb::Write => self.write.is_in(key),
            Verb::Read => self.read.is_in(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_has_its_own_pattern_and_a_bad_one_denies() {
        let permission = Permission {
            configure: "^c".to_owned(),
            write: String::new(),
            read: "(".to_owned(),
        };
        let rules = permission.rules();
        assert!(rules.allow(Verb::Configure, "c1") && !rules.allow(Verb::Configure, "d"));
        assert!(!rules.allow(Verb::Write, "c1") && !rules.allow(Verb::Read, "c1"));
        assert_eq!(permission.check().expect_err("bad").pattern, "(");
    }

    #[test]
    fn the_default_exchange_is_checked_by_the_name_that_rabbitmq_gives_it() {
        assert_eq!(Resource::Exchange("").name(), "amq.default");
        assert_eq!(Resource::Queue("q").name(), "q");
    }
}
