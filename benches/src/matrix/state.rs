//! What was measured, kept in a file line by line, so that a run can go on where it ended.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::compare::{Ratio, median};
use crate::matrix::rows::Goal;

/// One figure of one row, with the values of all rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) row: String,
    pub(super) measure: String,
    pub(super) unit: String,
    /// More is better.
    pub(super) more: bool,
    /// The step of a growth.
    pub(super) step: Option<u64>,
    pub(super) goal: Goal,
    pub(super) ours: Vec<f64>,
    pub(super) theirs: Vec<f64>,
}

/// What happened around the figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Line {
    /// The two brokers as they call themselves, when, and how it was measured.
    Run {
        date: String,
        servers: [String; 2],
        rounds: usize,
        seconds: f64,
        quick: bool,
    },
    Figure(Entry),
    /// A broker broke its promise, or could not do it at all.
    Fault {
        row: String,
        text: String,
    },
    /// All of a row is there.
    Done {
        row: String,
    },
}

impl Entry {
    pub(super) fn medians(&self) -> [Option<f64>; 2] {
        [median(&self.ours), median(&self.theirs)]
    }

    /// By what factor Leveret is better, with the least and the greatest of the rounds.
    pub(super) fn times_better(&self) -> Option<Ratio> {
        if self.more {
            Ratio::of(&self.ours, &self.theirs)
        } else {
            Ratio::of(&self.theirs, &self.ours)
        }
    }

    /// Whether the goal was reached; nothing where there is none, or no figure.
    pub(super) fn is_reached(&self) -> Option<bool> {
        match self.goal {
            Goal::Times(factor) => Some(self.times_better()?.of_medians >= factor),
            Goal::AtMost(most) => Some(median(&self.ours)? <= most),
            Goal::Flat | Goal::Open => None,
        }
    }
}

/// Everything in the file; nothing if there is none.
pub(super) fn read(path: &Path) -> Result<Vec<Line>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line)
            .with_context(|| format!("line {} of {}", number + 1, path.display()))
    };
    text.lines().enumerate().map(line).collect()
}

/// Adds a line; it is there even if the run ends right after.
pub(super) fn append(path: &Path, line: &Line) -> Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("writing {}", path.display()))?;
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    file.write_all(text.as_bytes())?;
    Ok(())
}

/// The rows that are complete.
pub(super) fn done(lines: &[Line]) -> Vec<&str> {
    lines
        .iter()
        .filter_map(|line| match line {
            Line::Done { row } => Some(row.as_str()),
            Line::Run { .. } | Line::Figure(_) | Line::Fault { .. } => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(more: bool, goal: Goal) -> Entry {
        Entry {
            row: "r".to_owned(),
            measure: "m".to_owned(),
            unit: "u".to_owned(),
            more,
            step: None,
            goal,
            ours: vec![10.0, 30.0, 20.0],
            theirs: vec![2.0, 2.0, 1.0],
        }
    }

    #[test]
    fn a_goal_is_judged_by_the_medians_in_the_right_direction() {
        assert_eq!(entry(true, Goal::Times(10.0)).is_reached(), Some(true));
        assert_eq!(entry(true, Goal::Times(11.0)).is_reached(), Some(false));
        assert_eq!(entry(false, Goal::Times(1.0)).is_reached(), Some(false));
        assert_eq!(entry(false, Goal::AtMost(20.0)).is_reached(), Some(true));
        assert_eq!(entry(false, Goal::Open).is_reached(), None);
    }

    #[test]
    fn what_was_written_is_read_back_and_done_rows_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert!(read(&path).unwrap().is_empty());
        append(&path, &Line::Figure(entry(true, Goal::Flat))).unwrap();
        let row = "r".to_owned();
        append(&path, &Line::Done { row }).unwrap();
        let lines = read(&path).unwrap();
        assert_eq!((lines.len(), done(&lines)), (2, vec!["r"]));
        fs::write(&path, "nonsense\n").unwrap();
        assert!(
            read(&path)
                .unwrap_err()
                .to_string()
                .starts_with("line 1 of")
        );
    }
}
