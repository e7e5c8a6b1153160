//! The figures of a round, and the medians of several.

use serde::Serialize;

use crate::compare::median;
use crate::crash::redelivery::ledger::Findings;
use crate::crash::redelivery::plan::CrashOptions;
use crate::crash::redelivery::publish::Published;

/// So many messages had come back after so many seconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Point {
    pub(super) seconds: f64,
    pub(super) messages: u64,
}

/// One round on one broker. Times run from the command that starts it again.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RoundOutcome {
    benchmark: &'static str,
    pub(super) target: String,
    pub(super) server: String,
    pub(super) round: usize,
    parameters: CrashOptions,
    pub(super) sent: u64,
    pub(super) confirmed: u64,
    pub(super) refused: u64,
    /// Confirmed and not acknowledged.
    pub(super) due: u64,
    pub(super) publish_seconds: f64,
    pub(super) accepting_seconds: f64,
    pub(super) first_seconds: Option<f64>,
    pub(super) all_seconds: Option<f64>,
    pub(super) received: u64,
    pub(super) resident_bytes_empty: Option<u64>,
    pub(super) resident_bytes_filled: Option<u64>,
    pub(super) resident_bytes_after: Option<u64>,
    pub(super) findings: Findings,
    pub(super) curve: Vec<Point>,
}

impl RoundOutcome {
    pub(super) fn new(round: usize, options: &CrashOptions) -> Self {
        Self {
            benchmark: "crash",
            target: String::new(),
            server: String::new(),
            round,
            parameters: options.clone(),
            sent: 0,
            confirmed: 0,
            refused: 0,
            due: 0,
            publish_seconds: 0.0,
            accepting_seconds: 0.0,
            first_seconds: None,
            all_seconds: None,
            received: 0,
            resident_bytes_empty: None,
            resident_bytes_filled: None,
            resident_bytes_after: None,
            findings: Findings::default(),
            curve: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, published: &Published) {
        self.sent = published.sent;
        self.refused = published.refused;
        self.confirmed = published.confirmed.iter().filter(|yes| **yes).count() as u64;
    }

    /// What was wrong, with the ids.
    pub(super) fn faults(&self, lease: u64) -> Vec<String> {
        let breaches = self.findings.breaches();
        let breaches = breaches.into_iter().filter(|(_, ids)| ids.count > 0);
        let line = |(name, ids): (&str, &super::ledger::Ids)| {
            let first: Vec<String> = ids.first.iter().map(u64::to_string).collect();
            let more = if ids.count > ids.first.len() as u64 {
                ", ..."
            } else {
                ""
            };
            let first = first.join(", ");
            format!(
                "{}, round {}: {} {name}: {first}{more}",
                self.target,
                self.round + 1,
                ids.count
            )
        };
        breaches
            .chain(self.findings.slips(lease))
            .map(line)
            .collect()
    }
}

/// All rounds of one target.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) rounds: Vec<RoundOutcome>,
}

/// A row of the table: a name, and how to read it off a round.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    read: fn(&RoundOutcome) -> Option<f64>,
}

/// The figures, from the most asked-for to the least.
pub(super) const ROWS: [Row; 16] = [
    Row::new("start to accepting", "s", |one| Some(one.accepting_seconds)),
    Row::new("start to first redelivered", "s", |one| one.first_seconds),
    Row::new("start to all redelivered", "s", |one| one.all_seconds),
    Row::new("published and confirmed", "s", |one| {
        Some(one.publish_seconds)
    }),
    Row::new("confirmed", "", |one| Some(one.confirmed as f64)),
    Row::new("due after the crash", "", |one| Some(one.due as f64)),
    Row::new("confirmed but lost", "", |one| {
        count(one.findings.lost.count)
    }),
    Row::new("doubled", "", |one| count(one.findings.duplicates.count)),
    Row::new("never sent or changed", "", |one| {
        count(one.findings.never_sent.count + one.findings.changed.count)
    }),
    Row::new("out of order", "", |one| {
        count(one.findings.out_of_order.count)
    }),
    Row::new("delivered before, not flagged", "", |one| {
        count(one.findings.unflagged.count)
    }),
    Row::new("never delivered, but flagged", "", |one| {
        count(one.findings.falsely_flagged.count)
    }),
    Row::new("acknowledged but back", "", |one| {
        count(one.findings.acked_back.count + one.findings.rejected_back.count)
    }),
    Row::new("unconfirmed but back", "", |one| {
        count(one.findings.unconfirmed_back.count)
    }),
    Row::new("resident when filled", "MiB", |one| {
        one.resident_bytes_filled.map(mebibytes)
    }),
    Row::new("resident after recovery", "MiB", |one| {
        one.resident_bytes_after.map(mebibytes)
    }),
];

fn count(count: u64) -> Option<f64> {
    Some(count as f64)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Row {
    const fn new(
        name: &'static str,
        unit: &'static str,
        read: fn(&RoundOutcome) -> Option<f64>,
    ) -> Self {
        Self { name, unit, read }
    }

    /// The median, and between which values the rounds lie.
    pub(super) fn of(&self, series: &Series) -> Option<Spread> {
        let values: Vec<f64> = series.rounds.iter().filter_map(self.read).collect();
        Some(Spread {
            median: median(&values)?,
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            greatest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }

    pub(super) fn cell(&self, series: &Series) -> String {
        let Some(spread) = self.of(series) else {
            return "-".to_owned();
        };
        let text = |value: f64| match self.unit {
            "" => format!("{value:.0}"),
            "s" if value < 10.0 => format!("{value:.3}"),
            _ => format!("{value:.1}"),
        };
        let Spread {
            median,
            least,
            greatest,
        } = spread;
        if text(least) == text(greatest) {
            text(median)
        } else {
            format!("{} ({} to {})", text(median), text(least), text(greatest))
        }
    }

    pub(super) fn title(&self) -> String {
        match self.unit {
            "" => self.name.to_owned(),
            unit => format!("{}, {unit}", self.name),
        }
    }
}

/// A median and the values around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) greatest: f64,
}

/// The table for people: a column for each target.
pub(super) fn table(all: &[Series]) -> Vec<String> {
    let width = |text: &str| text.chars().count();
    let cells: Vec<Vec<String>> = all
        .iter()
        .map(|series| {
            let head = format!("{} x{}", series.name, series.rounds.len());
            let cells = ROWS.iter().map(|row| row.cell(series));
            std::iter::once(head).chain(cells).collect()
        })
        .collect();
    let titles = std::iter::once(String::new()).chain(ROWS.iter().map(Row::title));
    let title_width = ROWS.iter().map(|row| width(&row.title())).max();
    let title_width = title_width.unwrap_or(0);
    titles
        .enumerate()
        .map(|(index, title)| {
            let mut line = format!("{title:<title_width$}");
            for column in &cells {
                let column_width = column.iter().map(|cell| width(cell)).max().unwrap_or(0);
                line += &format!("  {:>column_width$}", column[index]);
            }
            line.trim_end().to_owned()
        })
        .collect()
}
