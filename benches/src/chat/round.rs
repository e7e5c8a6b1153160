//! One round, from the empty start to the verdict.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::chat::command::{ChatOptions, VictimName};
use crate::chat::ledger::{Findings, judge};
use crate::chat::reader::now;
use crate::chat::stage::Stage;
use crate::crash::Target;
use crate::interrupt;
use crate::progress::Progress;

/// Between two looks at the screen.
const LOOK: Duration = Duration::from_millis(5);

/// The figures of one round. Times run from the kill, which is followed at once by the start.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RoundOutcome {
    benchmark: &'static str,
    pub(crate) target: String,
    pub(crate) victim: VictimName,
    pub(crate) round: usize,
    parameters: ChatOptions,
    pub(crate) messages: u64,
    /// Of those, shown before the kill.
    pub(crate) shown_before: u64,
    /// Until the first message was shown again.
    pub(crate) first_seconds: Option<f64>,
    /// Until all were shown.
    pub(crate) all_seconds: Option<f64>,
    pub(crate) findings: Findings,
}

/// Runs the round with this number, counted from 0.
pub(crate) fn run(
    target: &Target,
    victim: VictimName,
    service: &Path,
    options: &ChatOptions,
    number: usize,
    progress: &Progress,
) -> Result<RoundOutcome> {
    progress.show(0.0, "starting");
    let mut stage = Stage::start(target, service, options)?;
    let messages = u64::from(options.writers) * u64::from(options.count);
    let writing = stage.begin_to_write(options);
    let kill_at = messages * u64::from(options.kill_at) / 100;
    let deadline = Instant::now() + Duration::from_secs(options.deadline);
    loop {
        let shown = stage.shown()?.len() as u64;
        if shown >= kill_at {
            break;
        }
        progress.show(shown as f64 / messages as f64, "writing");
        wait(deadline, "the messages before the kill are not shown")?;
    }
    let killed = now();
    match victim {
        VictimName::Broker => {
            stage.kill_broker()?;
            stage.start_broker()?;
        }
        VictimName::Router => stage.restart_service()?,
        VictimName::Client => stage.restart_reader()?,
    }
    let restarted = now();
    stage.end_writing(writing)?;
    let deadline = Instant::now() + Duration::from_secs(options.deadline);
    let shown = loop {
        stage.supervise()?;
        let shown = stage.shown()?;
        if shown.len() as u64 >= messages || Instant::now() > deadline {
            break shown;
        }
        progress.show(shown.len() as f64 / messages as f64, "after the kill");
        wait(deadline + LOOK, "not reached")?;
    };
    let since = |at: u64| (at.saturating_sub(killed)) as f64 / 1e6;
    // What was on its way to the screen when the victim died is no sign of life.
    let after = shown.iter().filter(|shown| shown.at > restarted);
    let findings = judge(&vec![options.count; options.writers as usize], &shown);
    let is_all = findings.lost.is_empty();
    Ok(RoundOutcome {
        benchmark: "chat-crash",
        target: target.name.clone(),
        victim,
        round: number,
        parameters: options.clone(),
        messages,
        shown_before: shown.iter().filter(|shown| shown.at <= killed).count() as u64,
        first_seconds: after.map(|shown| since(shown.at)).reduce(f64::min),
        all_seconds: shown.last().filter(|_| is_all).map(|last| since(last.at)),
        findings,
    })
}

fn wait(deadline: Instant, complaint: &str) -> Result<()> {
    ensure!(!interrupt::requested(), "interrupted");
    ensure!(Instant::now() < deadline, "{complaint}");
    thread::sleep(LOOK);
    Ok(())
}
