//! Time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One moment on both clocks: the monotonic one drives timers in memory, the wall clock is what
/// goes to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds since an arbitrary start; never goes back.
    pub monotonic_ms: u64,
    /// Milliseconds since 1970-01-01 UTC; may jump.
    pub wall_ms: u64,
}

impl Now {
    /// Reads both clocks. `start` is the moment that counts as monotonic zero.
    #[must_use]
    pub fn read(start: std::time::Instant) -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            monotonic_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
