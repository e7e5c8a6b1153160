//! Time, as messages carry it.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC; written as `2026-11-23T16:40:01.123Z`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(u64);

/// Not a time of the form `2026-11-23T16:40:01.123Z`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no time of the form 2026-11-23T16:40:01.123Z")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// The end of the year 9999, beyond which there is no text for a time.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// What this machine's clock says.
    #[must_use]
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// That many milliseconds after 1970-01-01 UTC, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn from_milliseconds(milliseconds: u64) -> Self {
        Self(milliseconds).min(Self::MAX)
    }

    /// Milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn milliseconds(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970-01-01 UTC, as AMQP's `timestamp` has it.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_milliseconds(self.0.saturating_add(whole_milliseconds(duration)))
    }

    /// So much earlier, not before 1970.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole_milliseconds(duration)))
    }

    /// How long after `earlier` it is; nothing if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        // A clock that is set before 1970 gives ids that the service refuses in words.
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_milliseconds(whole_milliseconds(since))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(time.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis((*self).into()).fmt(formatter)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let time = humantime::parse_rfc3339(text).map_err(|_| InvalidTimestamp)?;
        Ok(Self::from(time))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTimestamp;

    fn try_from(text: String) -> Result<Self, InvalidTimestamp> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_milliseconds_and_read_back() {
        let time: Timestamp = "2026-11-23T16:40:01.123Z".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-23T16:40:01.123Z");
        assert_eq!(time.milliseconds() % 1000, 123);
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn the_largest_time_has_a_text() {
        let largest = Timestamp::from_milliseconds(u64::MAX);
        assert_eq!(largest.to_string().parse(), Ok(largest));
    }
}
