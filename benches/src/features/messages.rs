//! What one message of a backlog weighs, by the features of its queue.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::crash::{Backlog, Target, Victim, fill};
use crate::features::command::Sample;
use crate::load::run_name;
use crate::process;
use crate::progress::Progress;
use crate::wire::{Connection, Value};

/// How long a broker is left alone before it is weighed.
pub(super) const QUIET: Duration = Duration::from_secs(3);
/// What a feature may add to a plain message, in bytes.
const EXTRA_BYTES_MAX: f64 = 16.0;
const PRIORITIES: u8 = 10;

/// A kind of backlog.
struct Kind {
    weight: &'static str,
    extra: &'static str,
    arguments: fn() -> Vec<(String, Value)>,
    priorities: u8,
}

const KINDS: [Kind; 4] = [
    Kind {
        weight: "memory of a plain message",
        extra: "",
        arguments: Vec::new,
        priorities: 0,
    },
    Kind {
        weight: "memory of a message with a deadline",
        extra: "a deadline adds",
        arguments: || vec![("x-message-ttl".to_owned(), Value::Integer(3_600_000))],
        priorities: 0,
    },
    Kind {
        weight: "memory of a message with a priority",
        extra: "a priority adds",
        arguments: || vec![("x-max-priority".to_owned(), Value::Integer(9))],
        priorities: PRIORITIES,
    },
    Kind {
        weight: "memory of a message with a dead-letter target",
        extra: "a dead-letter target adds",
        arguments: || {
            let exchange = Value::Text(String::new());
            let key = Value::Text("graveyard".to_owned());
            vec![
                ("x-dead-letter-exchange".to_owned(), exchange),
                ("x-dead-letter-routing-key".to_owned(), key),
            ]
        },
        priorities: 0,
    },
];

/// Fills a fresh broker with each kind of backlog.
pub(super) fn measure(
    target: &Target,
    count: u64,
    size: usize,
    progress: &Progress,
) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut plain = None;
    for kind in &KINDS {
        let weight = weigh(target, kind, count, size, progress)?;
        samples.push(Sample::new(kind.weight, "B", weight));
        match plain {
            None => plain = Some(weight),
            Some(plain) => {
                samples.push(Sample::new(kind.extra, "B", weight - plain).at_most(EXTRA_BYTES_MAX))
            }
        }
    }
    Ok(samples)
}

fn weigh(
    target: &Target,
    kind: &Kind,
    count: u64,
    size: usize,
    progress: &Progress,
) -> Result<f64> {
    let mut victim = target.victim()?;
    victim.start()?;
    let queue = format!("{}.backlog", run_name());
    let mut arguments = target.queue_arguments.clone();
    arguments.extend((kind.arguments)());
    let mut admin = Connection::open(victim.uri())?;
    admin.open_channel(1)?;
    admin.declare_queue(1, &queue, true, &arguments)?;
    thread::sleep(QUIET);
    let before = resident(&victim)?;
    let backlog = Backlog {
        priorities: kind.priorities,
        ..Backlog::plain(&queue, count, size)
    };
    fill(victim.uri(), &backlog, progress)?;
    thread::sleep(QUIET);
    Ok((resident(&victim)? - before) / count as f64)
}

/// The broker's resident memory in bytes.
pub(super) fn resident(victim: &Victim) -> Result<f64> {
    let bytes = victim
        .resident_bytes()
        .or_else(|| victim.process().and_then(process::resident_bytes));
    Ok(bytes.context("the broker's memory is not known")? as f64)
}
