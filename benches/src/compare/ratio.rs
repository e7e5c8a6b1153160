//! Medians of rounds and the ratio of two of them.

use serde::Serialize;

/// The middle value; the mean of the two middle ones when the number is even.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(middle.checked_sub(1)?)?;
    Some((lower + upper) / 2.0)
}

/// How two brokers stand to each other in one measure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Ratio {
    /// Median of a over median of b.
    pub(crate) of_medians: f64,
    /// The least and the greatest ratio of a single round.
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Ratio {
    /// The ratio of rounds that were run in pairs; `None` if there are none, or nothing to
    /// divide by.
    pub(crate) fn of(a: &[f64], b: &[f64]) -> Option<Self> {
        let of_medians = median(a)? / median(b)?;
        let rounds: Vec<f64> = a.iter().zip(b).map(|(a, b)| a / b).collect();
        let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let ratio = Self {
            of_medians,
            least,
            greatest,
        };
        (of_medians.is_finite() && greatest.is_finite()).then_some(ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted_values() {
        let cases: [(&[f64], Option<f64>); 5] = [
            (&[], None),
            (&[3.0], Some(3.0)),
            (&[9.0, 1.0, 5.0], Some(5.0)),
            (&[4.0, 1.0], Some(2.5)),
            (&[100.0, 2.0, 1.0, 4.0], Some(3.0)),
        ];
        for (values, expected) in cases {
            assert_eq!(median(values), expected, "{values:?}");
        }
    }

    #[test]
    fn a_ratio_has_the_spread_of_its_rounds() {
        let ratio = Ratio::of(&[10.0, 30.0, 20.0], &[10.0, 10.0, 5.0]).unwrap();
        assert_eq!(
            ratio,
            Ratio {
                of_medians: 2.0,
                least: 1.0,
                greatest: 4.0
            }
        );
    }

    #[test]
    fn there_is_no_ratio_to_nothing() {
        assert_eq!(Ratio::of(&[], &[]), None);
        assert_eq!(Ratio::of(&[1.0], &[0.0]), None);
    }
}
