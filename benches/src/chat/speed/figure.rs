//! What was measured.

use std::time::Duration;

use serde::Serialize;

use crate::chat::ledger::Findings;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Better {
    Higher,
    Lower,
    /// Told beside the others, and compared with nothing.
    Aside,
}

/// One figure of one round.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    pub(super) value: f64,
    /// By which factor the embedded broker is to be better than RabbitMQ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) goal: Option<f64>,
}

impl Figure {
    pub(super) fn new(name: &'static str, unit: &'static str, better: Better, value: f64) -> Self {
        Self {
            name,
            unit,
            better,
            value,
            goal: None,
        }
    }

    pub(super) fn with_goal(self, factor: f64) -> Self {
        let goal = Some(factor);
        Self { goal, ..self }
    }

    /// So many in this time.
    pub(super) fn rate(name: &'static str, count: u64, time: Duration) -> Self {
        let value = count as f64 / time.as_secs_f64().max(1e-9);
        Self::new(name, "/s", Better::Higher, value)
    }

    /// A time.
    pub(super) fn time(name: &'static str, time: Duration) -> Self {
        Self::new(name, "ms", Better::Lower, time.as_secs_f64() * 1e3)
    }
}

/// What a row came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    pub(super) figures: Vec<Figure>,
    pub(super) findings: Findings,
}

/// The value below which such a share of the times lies; none if there are none.
pub(super) fn quantile(times: &mut [Duration], share: f64) -> Option<Duration> {
    times.sort_unstable();
    // A share outside 0 to 1 saturates.
    let rank = (share * times.len() as f64).ceil() as usize;
    times.get(rank.clamp(1, times.len().max(1)) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_time_that_was_measured() {
        let mut times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        let at =
            |share, times: &mut [Duration]| quantile(times, share).map(|time| time.as_millis());
        assert_eq!(at(0.5, &mut times), Some(50));
        assert_eq!(at(0.99, &mut times), Some(99));
        assert_eq!(at(1.0, &mut times), Some(100));
        assert_eq!(at(0.0, &mut times), Some(1));
        assert_eq!(quantile(&mut [], 0.5), None);
    }
}
