//! The table and the page.

use std::fmt::Write as _;

use anyhow::Result;

use crate::chat::command::{ChatOptions, VictimName};
use crate::chat::round::RoundOutcome;
use crate::compare::median;
use crate::plot::{Bar, bars, escape, seconds};
use crate::report::{STYLE, today};

/// All rounds of one victim on one broker.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) target: String,
    pub(crate) victim: VictimName,
    pub(crate) rounds: Vec<RoundOutcome>,
}

/// A column of the table: its name, and how to read it off a round.
struct Column {
    name: &'static str,
    unit: &'static str,
    read: fn(&RoundOutcome) -> Option<f64>,
}

const COLUMNS: [Column; 7] = [
    Column {
        name: "kill to first shown",
        unit: "s",
        read: |one| one.first_seconds,
    },
    Column {
        name: "kill to all shown",
        unit: "s",
        read: |one| one.all_seconds,
    },
    Column {
        name: "messages",
        unit: "",
        read: |one| Some(one.messages as f64),
    },
    Column {
        name: "shown before",
        unit: "",
        read: |one| Some(one.shown_before as f64),
    },
    Column {
        name: "lost",
        unit: "",
        read: |one| Some(one.findings.lost.len() as f64),
    },
    Column {
        name: "doubled",
        unit: "",
        read: |one| Some(one.findings.doubled.len() as f64),
    },
    Column {
        name: "out of order",
        unit: "",
        read: |one| Some(one.findings.out_of_order.len() as f64),
    },
];

impl Column {
    fn cell(&self, series: &Series) -> String {
        let values: Vec<f64> = series.rounds.iter().filter_map(self.read).collect();
        let Some(median) = median(&values) else {
            return "-".to_owned();
        };
        let text = |value: f64| match self.unit {
            "s" => format!("{value:.3}"),
            _ => format!("{value:.0}"),
        };
        let least = text(values.iter().copied().fold(f64::INFINITY, f64::min));
        let greatest = text(values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        if least == greatest {
            text(median)
        } else {
            format!("{} ({least} to {greatest})", text(median))
        }
    }

    fn title(&self) -> String {
        match self.unit {
            "" => self.name.to_owned(),
            unit => format!("{}, {unit}", self.name),
        }
    }
}

fn rows(all: &[Series]) -> Vec<Vec<String>> {
    let head = ["victim", "broker", "rounds"].map(str::to_owned);
    let head = head.into_iter().chain(COLUMNS.iter().map(Column::title));
    let mut rows = vec![head.collect::<Vec<_>>()];
    for series in all {
        let first = [
            series.victim.to_string(),
            series.target.clone(),
            series.rounds.len().to_string(),
        ];
        let cells = COLUMNS.iter().map(|column| column.cell(series));
        rows.push(first.into_iter().chain(cells).collect());
    }
    rows
}

/// The table for people: a row for each victim on each broker.
pub(crate) fn table(all: &[Series]) -> Vec<String> {
    let rows = rows(all);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column).unwrap_or(0);
            format!("{cell:<width$}")
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Everything that was wrong, with the ids.
pub(crate) fn faults(all: &[Series]) -> Vec<String> {
    let rounds = all.iter().flat_map(|series| &series.rounds);
    let of_round = |outcome: &RoundOutcome| {
        let name = format!(
            "{}, {}, round {}",
            outcome.target,
            outcome.victim,
            outcome.round + 1
        );
        let faults = outcome.findings.faults().into_iter();
        faults
            .map(move |fault| format!("{name}: {fault}"))
            .collect::<Vec<_>>()
    };
    rounds.flat_map(of_round).collect()
}

fn plot(all: &[Series]) -> String {
    let mut targets: Vec<&str> = Vec::new();
    let mut list = Vec::new();
    for column in &COLUMNS[..2] {
        for series in all {
            let group = targets.iter().position(|name| *name == series.target);
            let group = group.unwrap_or_else(|| {
                targets.push(&series.target);
                targets.len() - 1
            });
            let values: Vec<f64> = series.rounds.iter().filter_map(column.read).collect();
            let Some(value) = median(&values) else {
                continue;
            };
            let what = column.name.trim_start_matches("kill to ");
            list.push(Bar {
                label: format!("{what}, {} killed, {}", series.victim, series.target),
                value,
                note: format!("{value:.3} s"),
                group,
                mark: None,
            });
        }
    }
    bars(
        "The chat after kill -9, medians",
        "less is better",
        seconds,
        &list,
    )
}

/// The whole page, which needs neither network nor scripts.
pub(crate) fn page(all: &[Series], options: &ChatOptions, faults: &[String]) -> Result<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>The chat after a crash</title><style>{STYLE}</style></head><body>\n\
         <h1>The chat after a crash</h1>\n<p>{}. {} people write {} messages each to one reader. When {} % \
         were shown, the victim was killed with SIGKILL and started again at once; times run from the kill. \
         {cores} cores, shared with the generator. Made by leveret-bench {}.</p>\n",
        today(),
        options.writers,
        options.count,
        options.kill_at,
        env!("CARGO_PKG_VERSION"),
    );
    page += &plot(all);
    page += "<h2>Figures</h2>\n<p class=\"dim\">Medians; in brackets the least and the greatest of \
             the rounds.</p>\n<table>";
    for (place, row) in rows(all).iter().enumerate() {
        let tag = if place == 0 { "th" } else { "td" };
        let cells = row
            .iter()
            .map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
        let _ = writeln!(page, "<tr>{}</tr>", cells.collect::<String>());
    }
    page += "</table>\n<h2>Faults</h2>\n";
    if faults.is_empty() {
        page += "<p>None: every message was shown once, in the order of its writer.</p>\n";
    }
    for fault in faults {
        let _ = writeln!(page, "<p>{}</p>", escape(fault));
    }
    page += "<h2>Rounds</h2>\n<pre>";
    for outcome in all.iter().flat_map(|series| &series.rounds) {
        page += &escape(&serde_json::to_string(outcome)?);
        page.push('\n');
    }
    page += "</pre>\n</body></html>\n";
    Ok(page)
}
