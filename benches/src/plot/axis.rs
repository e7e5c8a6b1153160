//! From values to places on a line.

/// How values are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    Logarithmic,
}

/// One axis.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) scale: Scale,
    pub(crate) text: fn(f64) -> String,
    least: f64,
    greatest: f64,
}

impl Axis {
    /// An axis with room for all `values`: whole decades, or from 0 to a round number.
    pub(crate) fn fitting(
        label: &str,
        scale: Scale,
        text: fn(f64) -> String,
        values: impl Iterator<Item = f64>,
    ) -> Self {
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (least, greatest) = match scale {
            Scale::Linear => (0.0, round_up(greatest)),
            Scale::Logarithmic => {
                let positive = values.iter().copied().filter(|value| *value > 0.0);
                let least = positive.fold(f64::INFINITY, f64::min);
                if least.is_finite() {
                    let (low, high) = (least.log10().floor(), greatest.log10().ceil());
                    (10_f64.powf(low), 10_f64.powf(high.max(low + 1.0)))
                } else {
                    (1.0, 10.0)
                }
            }
        };
        Self {
            label: label.to_owned(),
            scale,
            text,
            least,
            greatest,
        }
    }

    /// Where a value lies, from 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (value - self.least) / (self.greatest - self.least),
            Scale::Logarithmic => {
                let value = value.max(self.least);
                (value / self.least).log10() / (self.greatest / self.least).log10()
            }
        };
        place.clamp(0.0, 1.0)
    }

    pub(super) fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => (0..=4)
                .map(|step| self.greatest * f64::from(step) / 4.0)
                .collect(),
            Scale::Logarithmic => {
                let mut ticks = Vec::new();
                let mut tick = self.least;
                while tick <= self.greatest * 1.001 {
                    ticks.push(tick);
                    tick *= 10.0;
                }
                ticks
            }
        }
    }
}

/// The next of 1, 2, 4, 5, 6, 8 or 10 times a power of ten.
fn round_up(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let fits = |step: &&f64| value <= **step * power * 1.000_001;
    steps.iter().find(fits).copied().unwrap_or(10.0) * power
}

/// Seconds as people say them.
pub(crate) fn seconds(value: f64) -> String {
    if value < 0.001 {
        format!("{:.0} us", value * 1e6)
    } else if value < 1.0 {
        format!("{:.0} ms", value * 1e3)
    } else {
        format!("{value:.0} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_axis_spans_whole_decades() {
        let values = [0.02, 31.0, 0.0, f64::NAN];
        let axis = Axis::fitting("t", Scale::Logarithmic, seconds, values.into_iter());
        let ticks: Vec<String> = axis.ticks().into_iter().map(seconds).collect();
        assert_eq!(ticks, ["10 ms", "100 ms", "1 s", "10 s", "100 s"]);
        assert!((axis.place(1.0) - 0.5).abs() < 1e-9);
        assert_eq!((axis.place(0.0), axis.place(1e9)), (0.0, 1.0));
    }

    #[test]
    fn a_linear_axis_goes_from_nothing_to_a_round_number() {
        let text = |value: f64| format!("{value}");
        let axis = Axis::fitting("n", Scale::Linear, text, [3.0, 71.0].into_iter());
        assert_eq!(axis.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0]);
        let empty = Axis::fitting("n", Scale::Linear, text, std::iter::empty());
        assert_eq!(empty.place(0.5), 0.5);
    }
}
