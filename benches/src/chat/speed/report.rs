//! The table and the page.

use std::fmt::Write as _;

use anyhow::Result;

use super::command::{RoundOutcome, RowName, SpeedOptions};
use super::figure::{Better, Figure};
use crate::compare::{Ratio, median};
use crate::plot::{Bar, bars, escape};
use crate::report::{STYLE, today};

/// All rounds of a row on one broker.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) target: String,
    pub(super) row: RowName,
    pub(super) rounds: Vec<RoundOutcome>,
}

impl Series {
    /// This figure of each round that has it.
    fn values(&self, name: &str) -> Vec<f64> {
        let figures = self.rounds.iter().flat_map(|round| &round.measured.figures);
        let named = figures.filter(|figure| figure.name == name);
        named.map(|figure| figure.value).collect()
    }
}

/// A line of the table: a figure on every broker.
struct Line<'a> {
    row: RowName,
    figure: Figure,
    /// Of each broker, in their order: its name, and the rounds.
    values: Vec<(&'a str, Vec<f64>)>,
}

impl Line<'_> {
    fn title(&self) -> String {
        match self.figure.unit {
            "" => self.figure.name.to_owned(),
            unit => format!("{}, {unit}", self.figure.name),
        }
    }

    /// By how much the first broker is better than the second.
    fn times_better(&self) -> Option<Ratio> {
        let [(_, first), (_, second)] = &self.values[..] else {
            return None;
        };
        match self.figure.better {
            Better::Higher => Ratio::of(first, second),
            Better::Lower => Ratio::of(second, first),
            Better::Aside => None,
        }
    }

    fn verdict(&self) -> String {
        let goal = self.figure.goal.zip(self.times_better());
        goal.map_or_else(String::new, |(goal, ratio)| {
            let reached = if ratio.of_medians >= goal {
                "reached"
            } else {
                "missed"
            };
            format!("{goal}x: {reached}")
        })
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.row.to_string(), self.title()];
        for (_, values) in &self.values {
            cells.push(median(values).map_or_else(|| "-".to_owned(), number));
        }
        let ratio = self.times_better().map_or_else(String::new, |ratio| {
            let [of_medians, least, greatest] =
                [ratio.of_medians, ratio.least, ratio.greatest].map(number);
            format!("{of_medians}x ({least} to {greatest})")
        });
        cells.extend([ratio, self.verdict()]);
        cells
    }
}

/// A figure with as many digits as it deserves.
fn number(value: f64) -> String {
    match value {
        value if value == value.trunc() || value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn lines(all: &[Series]) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for series in all {
        let Some(first) = series.rounds.first() else {
            continue;
        };
        for figure in &first.measured.figures {
            let value = (series.target.as_str(), series.values(figure.name));
            let same =
                |line: &&mut Line<'_>| line.row == series.row && line.figure.name == figure.name;
            match lines.iter_mut().find(same) {
                Some(line) => line.values.push(value),
                None => lines.push(Line {
                    row: series.row,
                    figure: *figure,
                    values: vec![value],
                }),
            }
        }
    }
    lines
}

fn head(all: &[Series]) -> Vec<String> {
    let mut targets: Vec<&str> = Vec::new();
    for series in all {
        if !targets.contains(&series.target.as_str()) {
            targets.push(&series.target);
        }
    }
    let better = match targets[..] {
        [first, _] => format!("{first} is better by"),
        _ => String::new(),
    };
    let names = ["row", "figure"].into_iter().chain(targets);
    let names = names.map(str::to_owned);
    names.chain([better, "goal".to_owned()]).collect()
}

fn rows(all: &[Series]) -> Vec<Vec<String>> {
    let cells = lines(all);
    std::iter::once(head(all))
        .chain(cells.iter().map(Line::cells))
        .collect()
}

/// The table for people.
pub(super) fn table(all: &[Series]) -> Vec<String> {
    let rows = rows(all);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            format!("{cell:<width$}")
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Everything that was wrong, with the ids.
pub(super) fn faults(all: &[Series]) -> Vec<String> {
    let rounds = all.iter().flat_map(|series| &series.rounds);
    let of_round = |outcome: &RoundOutcome| {
        let (row, target, round) = (outcome.row, &outcome.target, outcome.round + 1);
        let name = format!("{row} on {target}, round {round}");
        let faults = outcome.measured.findings.faults().into_iter();
        faults
            .map(move |fault| format!("{name}: {fault}"))
            .collect::<Vec<_>>()
    };
    rounds.flat_map(of_round).collect()
}

/// Figures of one kind beside one another.
fn plot(title: &str, label: &str, unit: &str, lines: &[Line<'_>]) -> Option<String> {
    let mut list = Vec::new();
    for line in lines.iter().filter(|line| line.figure.unit == unit) {
        for (group, (target, values)) in line.values.iter().enumerate() {
            list.extend(median(values).map(|value| Bar {
                label: format!("{}: {}, {target}", line.row, line.figure.name),
                value,
                note: format!("{} {unit}", number(value)),
                group,
                mark: None,
            }));
        }
    }
    (!list.is_empty()).then(|| bars(title, label, number, &list))
}

/// The whole page, which needs neither network nor scripts.
pub(super) fn page(all: &[Series], options: &SpeedOptions, faults: &[String]) -> Result<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let rounds = all.iter().map(|series| series.rounds.len()).max();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>How fast the chat is</title><style>{STYLE}</style></head><body>\n\
         <h1>How fast the chat is</h1>\n<p>{}. Rounds: {}; within each, every row on each broker in turn. \
         The chat's store is the embedded one on every broker, synced before anything is accepted: only the \
         broker differs. {cores} cores, shared with the people who write and read. Made by leveret-bench \
         {}.</p>\n",
        today(),
        rounds.unwrap_or(0),
        env!("CARGO_PKG_VERSION"),
    );
    let lines = lines(all);
    let plots = [
        plot(
            "Times, medians of the rounds",
            "milliseconds, less is better",
            "ms",
            &lines,
        ),
        plot(
            "Rates, medians of the rounds",
            "per second, more is better",
            "/s",
            &lines,
        ),
    ];
    for plot in plots.into_iter().flatten() {
        page += &plot;
    }
    page += "<h2>Figures</h2>\n<p class=\"dim\">Medians; in brackets the least and the greatest ratio of a \
             pair of rounds. Below 1 it is worse.</p>\n<table>";
    for (place, row) in rows(all).iter().enumerate() {
        let tag = if place == 0 { "th" } else { "td" };
        let cells = row
            .iter()
            .map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
        let _ = writeln!(page, "<tr>{}</tr>", cells.collect::<String>());
    }
    page += "</table>\n<h2>Rows</h2>\n<ul>";
    let mut named: Vec<RowName> = Vec::new();
    for series in all.iter().filter(|series| !series.rounds.is_empty()) {
        if !named.contains(&series.row) {
            named.push(series.row);
            let (row, words) = (series.row, series.row.words());
            let _ = writeln!(page, "<li>{row}: {words}</li>");
        }
    }
    page += "</ul>\n<h2>Faults</h2>\n";
    if faults.is_empty() {
        page += "<p>None: every message was shown once, in the order of its writer.</p>\n";
    }
    for fault in faults {
        let _ = writeln!(page, "<p>{}</p>", escape(fault));
    }
    let options = serde_json::to_string(options)?;
    let _ = write!(page, "<h2>Rounds</h2>\n<pre>{}\n", escape(&options));
    for outcome in all.iter().flat_map(|series| &series.rounds) {
        page += &escape(&serde_json::to_string(&outcome.measured)?);
        page.push('\n');
    }
    page += "</pre>\n</body></html>\n";
    Ok(page)
}
