//! Lines over two axes.

use std::fmt::Write as _;

use crate::plot::axis::Axis;
use crate::plot::{colour, escape, open};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 66.0;
const BOTTOM: f64 = 52.0;

/// Named points, in the order of the x axis.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Lines of the same group have the same colour; only the first of them is in the legend.
    pub(crate) group: usize,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A plot of several lines.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

impl Chart {
    pub(crate) fn svg(&self) -> String {
        let mut svg = open(WIDTH, HEIGHT, &self.title);
        self.draw_axes(&mut svg);
        self.draw_legend(&mut svg);
        for line in &self.lines {
            let points: Vec<String> = line
                .points
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", self.across(*x), self.up(*y)))
                .collect();
            let colour = colour(line.group);
            let points = points.join(" ");
            let _ = writeln!(
                svg,
                r#"<polyline fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round" points="{points}"/>"#
            );
            if line.points.len() < 12 {
                for (x, y) in &line.points {
                    let (x, y) = (self.across(*x), self.up(*y));
                    let _ = writeln!(
                        svg,
                        r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.5" fill="{colour}"/>"#
                    );
                }
            }
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn across(&self, x: f64) -> f64 {
        LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT)
    }

    fn up(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(y) * (HEIGHT - TOP - BOTTOM)
    }

    fn draw_axes(&self, svg: &mut String) {
        let (floor, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in self.x.ticks() {
            let (x, text) = (self.across(tick), escape(&(self.x.text)(tick)));
            let _ = writeln!(
                svg,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{floor}"/><text class="dim" x="{x:.1}" y="{:.0}" text-anchor="middle">{text}</text>"#,
                floor + 18.0
            );
        }
        for tick in self.y.ticks() {
            let (y, text) = (self.up(tick), escape(&(self.y.text)(tick)));
            let _ = writeln!(
                svg,
                r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text class="dim" x="{:.0}" y="{:.1}" text-anchor="end">{text}</text>"#,
                LEFT - 8.0,
                y + 4.0
            );
        }
        let _ = writeln!(
            svg,
            r#"<line class="axis" x1="{LEFT}" x2="{right}" y1="{floor}" y2="{floor}"/><text class="dim" x="{right}" y="{:.0}" text-anchor="end">{}</text><text class="dim" x="16" y="{:.0}">{}</text>"#,
            HEIGHT - 12.0,
            escape(&self.x.label),
            TOP - 12.0,
            escape(&self.y.label)
        );
    }

    fn draw_legend(&self, svg: &mut String) {
        let mut named = Vec::new();
        let mut x = WIDTH - RIGHT;
        for line in self.lines.iter().rev() {
            if named.contains(&line.group) || line.name.is_empty() {
                continue;
            }
            named.push(line.group);
            // About what the letters take at this size.
            x -= 7.4 * line.name.chars().count() as f64;
            let (name, colour) = (escape(&line.name), colour(line.group));
            let _ = writeln!(
                svg,
                r#"<circle cx="{:.1}" cy="48" r="5" fill="{colour}"/><text class="ink" x="{x:.1}" y="52">{name}</text>"#,
                x - 10.0
            );
            x -= 36.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::{Scale, seconds};

    #[test]
    fn names_are_escaped_and_every_line_is_drawn() {
        let axis = |label| Axis::fitting(label, Scale::Linear, seconds, [1.0].into_iter());
        let line = |name: &str, group| Line {
            name: name.to_owned(),
            group,
            points: vec![(0.0, 0.0), (1.0, 1.0)],
        };
        let chart = Chart {
            title: "a < b & c".to_owned(),
            x: axis("x"),
            y: axis("y"),
            lines: vec![line("one", 0), line("one", 0), line("<two>", 1)],
        };
        let svg = chart.svg();
        assert_eq!(svg.matches("<polyline").count(), 3);
        assert_eq!(svg.matches(">one<").count(), 1, "one entry for a group");
        assert!(svg.contains("&lt;two&gt;") && svg.contains("a &lt; b &amp; c"));
        assert!(!svg.contains("href") && svg.ends_with("</svg>\n"));
    }
}
