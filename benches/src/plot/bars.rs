//! One figure after another, on a logarithmic scale.

use std::fmt::Write as _;

use crate::plot::axis::{Axis, Scale};
use crate::plot::{colour, escape, open};

/// From the bars' common beginning to the longest one's end.
const SPAN: f64 = 370.0;
/// For the labels, at least; longer ones get more, at about what a letter takes at this size.
const LEFT_MIN: f64 = 270.0;
const LETTER: f64 = 6.8;
const RIGHT: f64 = 120.0;
const TOP: f64 = 58.0;
const STEP: f64 = 26.0;

/// One bar.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    /// What stands behind the bar.
    pub(crate) note: String,
    pub(crate) group: usize,
    /// A mark to be reached, if there is one.
    pub(crate) mark: Option<f64>,
}

/// A plot of bars with the ticks of a logarithmic axis that `text` writes.
pub(crate) fn bars(title: &str, label: &str, text: fn(f64) -> String, all: &[Bar]) -> String {
    let letters = all.iter().map(|bar| bar.label.chars().count()).max();
    let left = LEFT_MIN.max(letters.unwrap_or(0) as f64 * LETTER + 26.0);
    let width = left + SPAN + RIGHT;
    let height = TOP + STEP * all.len() as f64 + 42.0;
    let values = all.iter().flat_map(|bar| [Some(bar.value), bar.mark]);
    let axis = Axis::fitting(label, Scale::Logarithmic, text, values.flatten());
    let across = |value: f64| left + axis.place(value) * SPAN;
    let floor = height - 36.0;
    let mut svg = open(width, height, title);
    for tick in axis.ticks() {
        let (x, text) = (across(tick), escape(&text(tick)));
        let _ = writeln!(
            svg,
            r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{floor}"/><text class="dim" x="{x:.1}" y="{:.0}" text-anchor="middle">{text}</text>"#,
            floor + 18.0
        );
    }
    for (row, bar) in all.iter().enumerate() {
        let y = TOP + STEP * row as f64 + 4.0;
        let end = across(bar.value);
        let (name, note) = (escape(&bar.label), escape(&bar.note));
        let _ = writeln!(
            svg,
            r#"<text class="ink" x="{:.0}" y="{:.0}" text-anchor="end">{name}</text><rect x="{left:.0}" y="{y:.0}" width="{:.1}" height="16" rx="2" fill="{}"/><text class="ink" x="{:.1}" y="{:.0}">{note}</text>"#,
            left - 10.0,
            y + 13.0,
            (end - left).max(1.0),
            colour(bar.group),
            end + 8.0,
            y + 13.0
        );
        if let Some(mark) = bar.mark {
            let x = across(mark);
            let _ = writeln!(
                svg,
                r#"<line class="axis" stroke-width="2" stroke-dasharray="3 2" x1="{x:.1}" x2="{x:.1}" y1="{:.0}" y2="{:.0}"/>"#,
                y - 3.0,
                y + 19.0
            );
        }
    }
    let _ = writeln!(
        svg,
        r#"<text class="dim" x="{left:.0}" y="{:.0}">{}</text></svg>"#,
        TOP - 10.0,
        escape(label)
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_bars_are_greater_values() {
        let bar = |value| Bar {
            label: "l".to_owned(),
            value,
            note: String::new(),
            group: 0,
            mark: Some(2.0),
        };
        let svg = bars(
            "t",
            "x",
            |value| format!("{value}"),
            &[bar(1.0), bar(10.0), bar(100.0)],
        );
        let widths: Vec<&str> = svg
            .split(r#"height="16""#)
            .filter_map(|part| part.rsplit_once(r#"width=""#))
            .map(|(_, width)| width.trim_end_matches("\" "))
            .collect();
        assert_eq!(widths[..3], ["1.0", "185.0", "370.0"]);
        assert_eq!(svg.matches("dasharray").count(), 3);
    }
}
