//! `leveret verify`: what recovery would find.

use std::fmt::Write as _;

use anyhow::Context as _;
use leveret::store;

use super::arguments::VerifyCommand;
use super::{Verdict, output};

/// Reads and judges the folder, and changes nothing.
pub(crate) fn run(command: &VerifyCommand) -> anyhow::Result<Verdict> {
    let directory = &command.directory;
    // A store that does not exist is not one without damage.
    std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let report = store::verify(directory)?;
    if command.json {
        output::line(&serde_json::to_string_pretty(&report)?)?;
    } else {
        output::line(&shown(&report)?)?;
    }
    Ok(if report.is_alarming() {
        Verdict::Bad
    } else {
        Verdict::Good
    })
}

fn shown(report: &store::RecoveryReport) -> Result<String, std::fmt::Error> {
    let mut text = format!(
        "{} messages of {} bytes in {} queues; {} log records read in {} ms",
        report.messages, report.bytes, report.queues, report.records_read, report.milliseconds
    );
    for cut in &report.cut {
        write!(
            text,
            "\ncut: {cut}; unconfirmed, unless the disk lost what it had taken"
        )?;
    }
    if report.rebuilt {
        write!(
            text,
            "\nthe state is unusable: everything comes back from the log, settled messages included"
        )?;
    }
    for damage in &report.damage {
        write!(
            text,
            "\ndamage: {}: {}; {}",
            damage.what, damage.reason, damage.consequence
        )?;
    }
    if !report.is_alarming() {
        write!(text, "\nno damage")?;
    }
    Ok(text)
}
