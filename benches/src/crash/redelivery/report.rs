//! The report as one HTML page, which needs neither network nor scripts.

use std::fmt::Write as _;

use anyhow::Result;

use crate::crash::redelivery::outcome::{ROWS, Row, Series};
use crate::crash::redelivery::plan::CrashOptions;
use crate::plot::{Axis, Bar, Chart, Line, Scale, bars, escape, seconds};
use crate::report::{STYLE, today};

/// How much of what was due had come back when, round by round.
pub(super) fn plot(all: &[Series]) -> String {
    let mut lines = Vec::new();
    for (group, series) in all.iter().enumerate() {
        for outcome in &series.rounds {
            let share = |messages: u64| 100.0 * messages as f64 / outcome.due.max(1) as f64;
            let points = outcome.curve.iter();
            let points: Vec<(f64, f64)> = points
                .map(|point| (point.seconds, share(point.messages)))
                .collect();
            // Up from nothing at the first message.
            let first = points.first().map(|(seconds, _)| (*seconds, 0.0));
            lines.push(Line {
                name: series.name.clone(),
                group,
                points: first.into_iter().chain(points).collect(),
            });
        }
    }
    let seconds_of = |line: &Line| line.points.iter().map(|(x, _)| *x).collect::<Vec<_>>();
    let due = all
        .iter()
        .flat_map(|series| &series.rounds)
        .map(|outcome| outcome.due)
        .max()
        .unwrap_or(0);
    let percent = |value: f64| format!("{value:.0} %");
    Chart {
        title: format!("{} persistent messages after kill -9", grouped(due)),
        x: Axis::fitting(
            "time since the command that starts the broker again",
            Scale::Logarithmic,
            seconds,
            lines.iter().flat_map(seconds_of),
        ),
        y: Axis::fitting("redelivered", Scale::Linear, percent, [100.0].into_iter()),
        lines,
    }
    .svg()
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn times(all: &[Series]) -> String {
    let mut list = Vec::new();
    for row in &ROWS[..3] {
        for (group, series) in all.iter().enumerate() {
            let Some(spread) = row.of(series) else {
                continue;
            };
            list.push(Bar {
                label: format!(
                    "{}, {}",
                    row.name.trim_start_matches("start to "),
                    series.name
                ),
                value: spread.median,
                note: format!("{} s", row.cell(series)),
                group,
                mark: None,
            });
        }
    }
    bars(
        "Medians, from the start command",
        "less is better",
        seconds,
        &list,
    )
}

/// The whole page.
pub(super) fn page(all: &[Series], options: &CrashOptions, faults: &[String]) -> Result<String> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Redelivery after a crash</title><style>{STYLE}</style></head><body>\n\
         <h1>Redelivery after a crash</h1>\n<p>{}</p>\n",
        escape(&summary(all, options))
    );
    page += &plot(all);
    page += &times(all);
    page += "<h2>Figures</h2>\n<p class=\"dim\">Medians; in brackets the least and the greatest of \
             the rounds.</p>\n";
    append_table(&mut page, all);
    page += "<h2>Faults</h2>\n";
    if faults.is_empty() {
        page += "<p>None: everything confirmed came back once, in order, flagged as it should be.</p>\n";
    }
    for fault in faults {
        let _ = writeln!(page, "<p>{}</p>", escape(fault));
    }
    page +=
        "<h2>Rounds</h2>\n<p class=\"dim\">A line of JSON for each, without the curve.</p>\n<pre>";
    for outcome in all.iter().flat_map(|series| &series.rounds) {
        let mut outcome = outcome.clone();
        outcome.curve.clear();
        page += &escape(&serde_json::to_string(&outcome)?);
        page.push('\n');
    }
    page += "</pre>\n</body></html>\n";
    Ok(page)
}

fn summary(all: &[Series], options: &CrashOptions) -> String {
    let names: Vec<String> = all
        .iter()
        .map(|series| {
            let server = series.rounds.first().map_or("", |one| one.server.as_str());
            format!("{} ({server})", series.name)
        })
        .collect();
    let mut variant = String::new();
    for (is_on, text) in [
        (
            options.while_publishing,
            ", killed in the middle of publishing",
        ),
        (options.twice, ", killed again while recovering"),
        (options.ttl, ", with a time to live"),
        (options.priorities > 0, ", with priorities"),
        (options.dead_letters, ", a tenth rejected into dead letters"),
    ] {
        if is_on {
            variant += text;
        }
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}. Rounds of each: {}, in turn on {}. {} persistent messages of {} bytes published with \
         confirms, queues: {}{variant}; {} held unacknowledged when the broker was killed with \
         SIGKILL. {cores} cores, shared with the generator. Made by leveret-bench {}.",
        today(),
        all.first().map_or(0, |series| series.rounds.len()),
        names.join(", "),
        grouped(options.count),
        options.size,
        options.queues,
        options.held,
        env!("CARGO_PKG_VERSION"),
    )
}

fn append_table(page: &mut String, all: &[Series]) {
    *page += "<table><thead><tr><th></th>";
    for series in all {
        let _ = write!(page, "<th>{}</th>", escape(&series.name));
    }
    *page += "</tr></thead><tbody>\n";
    for row in &ROWS {
        let _ = write!(page, "<tr><td>{}</td>", escape(&row.title()));
        for series in all {
            let class = if is_bad(row, series) {
                " class=\"bad\""
            } else {
                ""
            };
            let _ = write!(page, "<td{class}>{}</td>", escape(&row.cell(series)));
        }
        *page += "</tr>\n";
    }
    *page += "</tbody></table>\n";
}

fn is_bad(row: &Row, series: &Series) -> bool {
    let bad = [
        "confirmed but lost",
        "doubled",
        "never sent or changed",
        "out of order",
        "delivered before, not flagged",
    ];
    bad.contains(&row.name) && row.of(series).is_some_and(|spread| spread.greatest > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_grouped() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
