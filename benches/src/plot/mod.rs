//! Plots as SVG: nothing but text, readable on light and dark pages, and without the network.
//!
//! ```text
//! axis    values to pixels, and the ticks between
//! chart   lines over two axes
//! bars    one figure after another on a logarithmic scale
//! ```

mod axis;
mod bars;
mod chart;

pub(crate) use axis::{Axis, Scale, seconds};
pub(crate) use bars::{Bar, bars};
pub(crate) use chart::{Chart, Line};

/// In the order of the series; chosen to be told apart by the colour-blind as well.
const COLOURS: [&str; 6] = [
    "#0d8a6a", "#d9730d", "#7a5cc8", "#2f7fd0", "#c43d6b", "#7a7a7a",
];

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// Text as XML wants it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn open(width: f64, height: f64, title: &str) -> String {
    let title = escape(title);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" role="img" aria-label="{title}" font-family="system-ui, sans-serif" font-size="13">
<style>.page{{fill:#fff}}.ink{{fill:#222}}.dim{{fill:#666}}.grid{{stroke:#ddd}}.axis{{stroke:#888}}
@media (prefers-color-scheme: dark){{.page{{fill:#16181c}}.ink{{fill:#eee}}.dim{{fill:#aaa}}.grid{{stroke:#333}}.axis{{stroke:#777}}}}</style>
<rect class="page" width="{width:.0}" height="{height:.0}" rx="6"/>
<text class="ink" x="16" y="26" font-size="15" font-weight="600">{title}</text>
"#
    )
}
