//! A configuration put together from all its sources, and where each value came from.

use std::fmt;

use serde::Serialize;

use super::Config;
use super::error::Origin;

/// How the server writes its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object per line.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// What the server logs, and how. The broker itself only emits events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// How it is written.
    pub format: LogFormat,
    /// A level, or levels of parts divided by commas.
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

/// One option as it stands in the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigValue {
    /// Its name in a file.
    pub key: &'static str,
    /// Its value as TOML; secrets are hidden.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
    /// The environment variables that set it.
    pub variables: Vec<String>,
    /// What it is for.
    pub about: String,
}

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The broker's part.
    pub broker: Config,
    /// The log's part.
    pub log: LogConfig,
    /// Every option.
    pub values: Vec<ConfigValue>,
}
