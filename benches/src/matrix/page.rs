//! The generated part of `docs/benchmarks.md`, and its plots.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::matrix::rows::{Goal, ROWS, Row, Work};
use crate::matrix::state::{Entry, Line};
use crate::plot::{self, Axis, Bar, Chart, Scale, bars};

const BEGIN: &str = "<!-- matrix: begin -->";
const END: &str = "<!-- matrix: end -->";
/// Beside the page.
const PLOTS: &str = "plots";

/// Writes the table between the marks of the page, and the plots into a folder beside it.
pub(super) fn write(page: &Path, all: &[Line]) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    let marks = text.split_once(BEGIN).and_then(|(head, rest)| {
        let (_, tail) = rest.split_once(END)?;
        Some((head, tail))
    });
    ensure!(
        marks.is_some(),
        "{} has no {BEGIN} and {END}",
        page.display()
    );
    let (head, tail) = marks.unwrap_or_default();
    let folder = page.with_file_name(PLOTS);
    fs::create_dir_all(&folder)?;
    let mut body = table(all);
    for (name, svg) in plots(all) {
        fs::write(folder.join(format!("{name}.svg")), svg)?;
        let _ = write!(body, "\n![{name}]({PLOTS}/{name}.svg)\n");
    }
    let written = format!("{head}{BEGIN}\n{body}{END}{tail}");
    fs::write(page, written).with_context(|| format!("writing {}", page.display()))
}

/// The table for a terminal.
pub(super) fn lines(all: &[Line]) -> Vec<String> {
    let mut lines = Vec::new();
    for (row, entry) in rows(all) {
        let [ours, theirs] = entry.medians().map(number);
        let name = format!("{}: {}", row.name, title(entry));
        let (ratio, verdict) = (ratio(entry), verdict(entry, all));
        lines.push(format!(
            "{name:<58}{ours:>11}{theirs:>11}  {ratio:<28}{verdict}"
        ));
    }
    lines.extend(faults(all));
    lines
}

/// Each fault once, however many rounds had it.
fn faults(all: &[Line]) -> Vec<String> {
    let mut faults = Vec::new();
    for line in all {
        if let Line::Fault { row, text } = line {
            let fault = format!("Fault in {row}: {text}");
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
    }
    faults
}

/// The entries with their rows, in the order of the rows.
fn rows(all: &[Line]) -> Vec<(&'static Row, &Entry)> {
    let entries: Vec<&Entry> = all
        .iter()
        .filter_map(|line| match line {
            Line::Figure(entry) => Some(entry),
            Line::Run { .. } | Line::Fault { .. } | Line::Done { .. } => None,
        })
        .collect();
    let of_row = |row: &'static Row| {
        let own = entries
            .clone()
            .into_iter()
            .filter(|entry| entry.row == row.name);
        own.map(move |entry| (row, entry))
    };
    ROWS.iter().flat_map(of_row).collect()
}

fn title(entry: &Entry) -> String {
    let unit = if entry.unit.is_empty() {
        String::new()
    } else {
        format!(", {}", entry.unit)
    };
    let step = entry
        .step
        .map(|step| format!(" at {step}"))
        .unwrap_or_default();
    format!("{}{step}{unit}", entry.measure)
}

/// A figure with as many digits as it deserves.
fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value == value.trunc() || value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) if value >= 0.1 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

fn ratio(entry: &Entry) -> String {
    entry.times_better().map_or_else(String::new, |ratio| {
        let [of_medians, least, greatest] =
            [ratio.of_medians, ratio.least, ratio.greatest].map(|value| number(Some(value)));
        format!("{of_medians}x ({least} to {greatest})")
    })
}

fn goal(entry: &Entry) -> String {
    match entry.goal {
        Goal::Times(factor) => format!("{factor}x"),
        Goal::AtMost(most) => format!("at most {most}"),
        Goal::Flat => "flat to 20 %".to_owned(),
        Goal::Open => String::new(),
    }
}

fn verdict(entry: &Entry, all: &[Line]) -> String {
    let reached = match entry.goal {
        Goal::Flat => spread_of_growth(entry, all).map(|spread| spread <= 1.2),
        Goal::Times(_) | Goal::AtMost(_) | Goal::Open => entry.is_reached(),
    };
    match (reached, entry.goal) {
        (Some(true), _) => "reached".to_owned(),
        (Some(false), Goal::Flat) => {
            let spread = spread_of_growth(entry, all).unwrap_or(f64::NAN);
            format!("no: {spread:.2}x over the steps")
        }
        (Some(false), _) => "no".to_owned(),
        (None, _) => String::new(),
    }
}

/// The dearest of Leveret's steps over the cheapest.
fn spread_of_growth(entry: &Entry, all: &[Line]) -> Option<f64> {
    let steps = rows(all);
    let steps = steps.iter().filter(|(row, _)| row.name == entry.row);
    let medians: Vec<f64> = steps.filter_map(|(_, step)| step.medians()[0]).collect();
    let least = medians.iter().copied().reduce(f64::min)?;
    Some(medians.iter().copied().reduce(f64::max)? / least)
}

fn table(all: &[Line]) -> String {
    let mut text = String::new();
    let runs = all.iter().filter_map(|line| match line {
        Line::Run {
            date,
            servers: [ours, theirs],
            rounds,
            seconds,
            quick,
        } => {
            let quick = if *quick { " --quick" } else { "" };
            Some(format!(
                "- {date}, {ours} and {theirs}: `leveret-bench matrix --rounds {rounds} --seconds \
                 {seconds}{quick}`, {} cores, generator included",
                std::thread::available_parallelism().map_or(0, usize::from)
            ))
        }
        Line::Figure(_) | Line::Fault { .. } | Line::Done { .. } => None,
    });
    let mut runs: Vec<String> = runs.collect();
    runs.dedup();
    let _ = writeln!(
        text,
        "Generated by `leveret-bench matrix`. Runs:\n\n{}\n\nMedians of the rounds. **Leveret is \
         better by** this factor, in brackets the least and the greatest of a pair of rounds; \
         below 1 it is worse.\n\n\
         | row | figure | Leveret | RabbitMQ | Leveret is better by | goal | reached |\n\
         | --- | --- | ---: | ---: | --- | --- | --- |",
        runs.join("\n")
    );
    let mut latest = "";
    for (row, entry) in rows(all) {
        let name = if row.name == latest { "" } else { row.title };
        latest = row.name;
        let [ours, theirs] = entry.medians().map(number);
        let _ = writeln!(
            text,
            "| {name} | {} | {ours} | {theirs} | {} | {} | {} |",
            title(entry),
            ratio(entry),
            goal(entry),
            verdict(entry, all)
        );
    }
    for fault in faults(all) {
        let _ = write!(text, "\n{fault}\n");
    }
    text
}

fn plots(all: &[Line]) -> Vec<(String, String)> {
    let all_rows = rows(all);
    let times = |value: f64| format!("{value}x");
    let judged = all_rows.iter().filter_map(|(row, entry)| {
        let Goal::Times(mark) = entry.goal else {
            return None;
        };
        let value = entry.times_better()?.of_medians;
        let name = if entry.row == "crash" {
            entry.measure.clone()
        } else {
            row.name.to_owned()
        };
        Some(Bar {
            label: name,
            value,
            note: format!("{}x", number(Some(value))),
            group: usize::from(value < mark),
            mark: Some(mark),
        })
    });
    let judged: Vec<Bar> = judged.collect();
    let mut plots = Vec::new();
    if !judged.is_empty() {
        let title = "Leveret against RabbitMQ's classic queues";
        let label = "times better; the dashes are the goals";
        plots.push(("matrix".to_owned(), bars(title, label, times, &judged)));
    }
    for row in &ROWS {
        if let Work::Growth { what, .. } = row.work {
            plots.extend(growth(row, what, &all_rows));
        }
    }
    plots
}

fn growth(row: &Row, what: &str, all: &[(&Row, &Entry)]) -> Option<(String, String)> {
    let line = |name: &str, side: usize| {
        let own = all.iter().filter(|(of, _)| of.name == row.name);
        let point =
            |(_, entry): &(&Row, &Entry)| Some((entry.step? as f64, entry.medians()[side]?));
        plot::Line {
            name: name.to_owned(),
            group: side,
            points: own.filter_map(point).collect(),
        }
    };
    let lines = vec![line("Leveret", 0), line("RabbitMQ", 1)];
    if lines.iter().all(|line| line.points.len() < 2) {
        return None;
    }
    let points = || lines.iter().flat_map(|line| &line.points);
    let count = |value: f64| format!("{value:.0}");
    let microseconds = |value: f64| format!("{value} us");
    let chart = Chart {
        title: format!("Processor time for a message: {}", row.title),
        x: Axis::fitting(what, Scale::Logarithmic, count, points().map(|(x, _)| *x)),
        y: Axis::fitting(
            "broker",
            Scale::Logarithmic,
            microseconds,
            points().map(|(_, y)| *y),
        ),
        lines: lines.clone(),
    };
    Some((row.name.to_owned(), chart.svg()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> Vec<Line> {
        let entry = |row: &str, measure: &str, step, goal, ours: f64| {
            Line::Figure(Entry {
                row: row.to_owned(),
                measure: measure.to_owned(),
                unit: "/s".to_owned(),
                more: true,
                step,
                goal,
                ours: vec![ours],
                theirs: vec![10.0],
            })
        };
        vec![
            entry("growth-queues", "cost", Some(1), Goal::Flat, 10.0),
            entry("growth-queues", "cost", Some(10), Goal::Flat, 13.0),
            entry("transient-16", "consumed", None, Goal::Times(15.0), 160.0),
            Line::Fault {
                row: "topic".to_owned(),
                text: "lost 1".to_owned(),
            },
        ]
    }

    #[test]
    fn the_page_is_rewritten_between_its_marks_alone() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page.md");
        fs::write(&page, format!("before\n{BEGIN}\nold\n{END}\nafter\n")).unwrap();
        write(&page, &state()).unwrap();
        write(&page, &state()).unwrap();
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.starts_with("before\n<!-- matrix: begin -->\nGenerated"));
        assert!(text.ends_with("<!-- matrix: end -->\nafter\n") && !text.contains("old\n"));
        let row = "| transient, 16 B, automatic ack | consumed, /s | 160 | 10 | 16x (16 to 16) | 15x | reached |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("no: 1.30x over the steps"), "{text}");
        assert!(text.contains("Fault in topic: lost 1"));
        assert!(folder.path().join("plots/growth-queues.svg").exists());
    }

    #[test]
    fn a_page_without_marks_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page.md");
        fs::write(&page, "mine").unwrap();
        assert!(write(&page, &state()).is_err());
        assert_eq!(fs::read_to_string(&page).unwrap(), "mine");
    }
}
