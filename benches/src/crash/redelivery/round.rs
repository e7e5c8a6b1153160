//! One round on one broker, from the empty start to the verdict.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::crash::redelivery::collect::{Collected, collect};
use crate::crash::redelivery::hold::hold;
use crate::crash::redelivery::ledger::Ledger;
use crate::crash::redelivery::outcome::{Point, RoundOutcome};
use crate::crash::redelivery::plan::Plan;
use crate::crash::redelivery::publish::{Published, Publishing, publish};
use crate::crash::redelivery::subject::Subject;
use crate::progress::Progress;

/// The coordinator's step while it waits.
const STEP: Duration = Duration::from_millis(1);
/// Where between an empty start's beginning and its end the second kill comes, round by round.
const TWICE_SHARES: [f64; 3] = [0.9, 0.6, 1.2];

/// Runs the round with this number, counted from 0.
pub(super) fn run(
    subject: &mut impl Subject,
    plan: &Plan,
    number: usize,
    progress: &Progress,
) -> Result<RoundOutcome> {
    let mut outcome = RoundOutcome::new(number, &plan.options);
    progress.show(0.0, "starting");
    let launched_at = subject.launch()?;
    let empty_start = subject.wait_until_accepting()? - launched_at;
    let mut admin = subject.open()?;
    outcome.server = admin.server().to_owned();
    outcome.resident_bytes_empty = subject.resident_bytes();
    plan.declare(&mut admin).context("declaring the queues")?;

    let mut ledger = Ledger::new(
        plan.options.count,
        plan.queues.len(),
        plan.options.priorities,
    );
    let published = fill_and_kill(subject, plan, &mut ledger, &mut outcome, progress)?;
    drop(admin);
    outcome.note(&published);
    ledger.close(published.sent, &published.confirmed);
    outcome.due = ledger.missing();

    if plan.options.twice {
        let after = plan.options.twice_after.map_or_else(
            || empty_start.mul_f64(TWICE_SHARES[number % TWICE_SHARES.len()]),
            Duration::from_millis,
        );
        kill_again(subject, after)?;
    }
    progress.show(0.0, "restarting");
    let started_at = subject.launch()?;
    let accepting_at = subject.wait_until_accepting()?;
    outcome.accepting_seconds = (accepting_at - started_at).as_secs_f64();
    let collected = collect(subject, plan, &mut ledger, progress)?;
    outcome.resident_bytes_after = subject.resident_bytes();
    times(&mut outcome, started_at, &collected);
    outcome.findings = ledger.verdict();
    Ok(outcome)
}

/// Publishes, lets a consumer take its part, and kills the broker: in the middle of publishing or
/// after it.
fn fill_and_kill(
    subject: &mut impl Subject,
    plan: &Plan,
    ledger: &mut Ledger,
    outcome: &mut RoundOutcome,
    progress: &Progress,
) -> Result<Published> {
    let options = &plan.options;
    let watch = Publishing::default();
    let uri = subject.uri().clone();
    let begun = Instant::now();
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let published = publish(&uri, plan, &watch);
            watch.failed.store(published.is_err(), Ordering::Relaxed);
            published
        });
        let wait = || -> Result<()> {
            while !worker.is_finished() {
                let confirmed = watch.confirmed.load(Ordering::Relaxed);
                let share = confirmed as f64 / options.count as f64;
                progress.show(share, "publishing");
                if options.while_publishing && confirmed >= options.published_min() {
                    break;
                }
                thread::sleep(STEP);
            }
            Ok(())
        };
        let mut prepare = || -> Result<_> {
            if !options.while_publishing {
                wait()?;
                outcome.publish_seconds = begun.elapsed().as_secs_f64();
                outcome.resident_bytes_filled = subject.resident_bytes();
            }
            progress.show(1.0, "consuming a part");
            let goes_on = || {
                ensure!(!watch.failed.load(Ordering::Relaxed), "publishing failed");
                Ok(())
            };
            let holder = hold(&uri, plan, ledger, goes_on)?;
            if options.while_publishing {
                wait()?;
                outcome.publish_seconds = begun.elapsed().as_secs_f64();
            }
            thread::sleep(Duration::try_from_secs_f64(options.pause)?);
            watch.crashing.store(true, Ordering::SeqCst);
            subject.kill()?;
            drop(holder);
            Ok(())
        };
        let prepared = prepare();
        if prepared.is_err() {
            watch.stopped.store(true, Ordering::Relaxed);
        }
        let Ok(published) = worker.join() else {
            bail!("the publisher panicked")
        };
        match (published, prepared) {
            (Ok(published), Ok(())) => Ok(published),
            (Ok(_), Err(error)) => Err(error),
            // The publisher's own failure says more than what followed from it.
            (Err(echo), Err(error)) if is_echo(&echo) => Err(error),
            (Err(error), Ok(()) | Err(_)) => Err(error.context("publishing")),
        }
    })
}

fn is_echo(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(crate::wire::ClientError::Stopped)
    )
}

/// Starts the broker and kills it after a while, or as soon as it accepts.
fn kill_again(subject: &mut impl Subject, after: Duration) -> Result<()> {
    let at = subject.launch()?;
    thread::sleep(after.saturating_sub(at.elapsed()));
    subject.kill()
}

fn times(outcome: &mut RoundOutcome, started_at: Instant, collected: &Collected) {
    let since = |at: Instant| (at - started_at).as_secs_f64();
    outcome.first_seconds = collected.first_at.map(since);
    outcome.all_seconds = collected.all_at.map(since);
    outcome.received = collected.received;
    outcome.curve = collected
        .curve
        .iter()
        .map(|(at, back)| Point {
            seconds: since(*at),
            messages: *back,
        })
        .collect();
}
