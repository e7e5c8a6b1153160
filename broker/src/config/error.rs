//! Where a value came from, and what can be wrong with it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// Where a value came from. Later ones win.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody gave one.
    Default,
    /// A configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag on the command line.
    Flag(String),
    /// The program that embeds the broker.
    Program,
}

impl Origin {
    /// Which of two sources wins; the same for two places of one source.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment(_) => 2,
            Self::Flag(_) => 3,
            Self::Program => 4,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { path, line } => write!(formatter, "{}:{line}", path.display()),
            Self::Environment(name) => write!(formatter, "env {name}"),
            Self::Flag(flag) => write!(formatter, "flag {flag}"),
            Self::Program => formatter.write_str("program"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a configuration is refused. Each is one line that names the option, its value and the place
/// that gives it; secrets are not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A configuration file cannot be read.
    #[error("cannot read the configuration file {}, given by {origin}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Who named it.
        origin: Origin,
        /// What the system says.
        source: io::Error,
    },
    /// A configuration file is not TOML.
    #[error("{origin}: {reason}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What is wrong.
        reason: String,
    },
    /// There is no such option.
    #[error("{origin}: {key} = {value}: there is no such option{}", hint(.suggestion))]
    Unknown {
        /// What was given.
        key: String,
        /// Its value.
        value: String,
        /// Where.
        origin: Origin,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// A value does not fit its option.
    #[error("{origin}: {key} = {value}: {reason}")]
    Invalid {
        /// The option.
        key: String,
        /// Its value.
        value: String,
        /// Where.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
}

fn hint(suggestion: &Option<String>) -> String {
    suggestion
        .as_ref()
        .map_or_else(String::new, |name| format!("; did you mean {name}?"))
}
