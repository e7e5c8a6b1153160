//! Plays a script on both brokers at once, step by step, until they differ.
//!
//! After each step both are asked until they have told the same, or for so long that they never will. So
//! neither timing nor the order of what nobody orders matters, and nobody sleeps for a guessed time but where
//! messages are to expire.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};
use leveret_tests::differences::{ACCEPTED, Accepted};
use leveret_tests::outcome::text_matches;
use leveret_tests::target::Address;
use tokio::time::Instant;

use crate::script::{Action, Field, Script, Slot, Step};
use crate::side::Side;

/// A time to live up to this many milliseconds is waited for.
pub(crate) const SHORT_TTL: i64 = 50;

/// After a step that may have let messages expire.
const EXPIRY: Duration = Duration::from_millis(SHORT_TTL.unsigned_abs() + 40);

/// What is said of steps that messages came back to a quorum queue before, or may have.
const RETURNED: &str = ", after messages came back to a quorum queue";

/// And of those before which a quorum queue's single active consumer may have gone while one of a higher priority
/// waited for what it held.
const HANDED_OVER: &str = ", and an active consumer may have gone while it handed over";

/// Between two looks at brokers that do not agree yet.
const LOOK_AGAIN: Duration = Duration::from_millis(4);

/// Where both brokers are, and how much patience they get.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) leveret: Address,
    pub(crate) rabbitmq: Address,
    /// How long a disagreement must last to be one.
    pub(crate) patience: Duration,
}

/// How a play went.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// Both told the same, to the end.
    Alike,
    /// They differ where they may, and the play ended there.
    Accepted(&'static Accepted),
    /// They differ.
    Differ(Divergence),
}

/// Where two brokers parted.
#[derive(Clone, Debug)]
pub(crate) struct Divergence {
    /// How many steps it took.
    pub(crate) steps: usize,
    /// The step, or what was done after the last one.
    pub(crate) at: String,
    /// What only Leveret told.
    pub(crate) leveret: Vec<String>,
    /// What only RabbitMQ told.
    pub(crate) rabbitmq: Vec<String>,
}

impl Divergence {
    /// What two scripts have in common that differ for the same reason, as far as words can tell.
    pub(crate) fn kind(&self) -> Vec<String> {
        let at = self.at.split([':', '}']).nth(2).unwrap_or(&self.at);
        let lines = self.leveret.iter().chain(&self.rabbitmq);
        let first_words = lines.map(|line| {
            let words = line.split_whitespace().skip(1).take(4);
            words.collect::<Vec<_>>().join(" ")
        });
        let mut kind: Vec<String> = first_words.collect();
        kind.push(at.to_owned());
        for part in &mut kind {
            part.retain(|c| !c.is_ascii_digit());
        }
        kind.sort();
        kind.dedup();
        kind
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "step {}: {}", self.steps, self.at)?;
        for line in &self.leveret {
            writeln!(formatter, "  Leveret  {line}")?;
        }
        for line in &self.rabbitmq {
            writeln!(formatter, "  RabbitMQ {line}")?;
        }
        Ok(())
    }
}

/// Plays a script from its begin.
pub(crate) async fn play(stage: &Stage, script: &Script) -> Result<Ending> {
    // Of one length, since texts are cut; but not the same, so that a broker can be played against itself.
    let run = rand::random::<u64>() >> 16;
    let [ours, theirs] = ['a', 'b'].map(|side| format!("differential-{run:012x}{side}-"));
    let (leveret, rabbitmq) = tokio::try_join!(
        Side::open(&stage.leveret, &ours, script),
        Side::open(&stage.rabbitmq, &theirs, script),
    )?;
    let mut duet = Duet {
        leveret,
        rabbitmq,
        rounds: rounds(script),
        pause: has_short_ttl(script).then_some(EXPIRY),
        patience: stage.patience,
        has_returned: false,
        hands_over: hands_over(script),
    };
    let ending = duet.play(script).await;
    let cleaned = tokio::try_join!(
        duet.leveret.clean_up(script),
        duet.rabbitmq.clean_up(script)
    );
    let ending = ending?;
    cleaned?;
    Ok(ending)
}

/// A message may go through several queues in one step, and each look follows it by one.
fn rounds(script: &Script) -> usize {
    let dead_letters = |step: &&Step| match &step.action {
        Action::DeclareQueue(declare) => declare
            .arguments
            .iter()
            .any(|(key, _)| key == "x-dead-letter-exchange"),
        _ => false,
    };
    1 + script.0.iter().filter(dead_letters).count().min(3)
}

fn has_short_ttl(script: &Script) -> bool {
    let short = |field: &Field| {
        let number = match field {
            Field::Byte(number) => i64::from(*number),
            Field::Short(number) => i64::from(*number),
            Field::Int(number) => i64::from(*number),
            Field::Long(number) => *number,
            _ => return false,
        };
        (1..=SHORT_TTL).contains(&number)
    };
    script.0.iter().any(|step| match &step.action {
        Action::DeclareQueue(declare) => declare
            .arguments
            .iter()
            .any(|(key, field)| key == "x-message-ttl" && short(field)),
        Action::Publish(publish) => publish.expiration.as_ref().is_some_and(|expiration| {
            expiration
                .parse()
                .is_ok_and(|ttl: i64| (1..=SHORT_TTL).contains(&ttl))
        }),
        _ => false,
    })
}

/// Whether a consumer with a priority may come to a quorum queue that has a single active one.
fn hands_over(script: &Script) -> bool {
    let mut steps = script.0.iter();
    let is_single = steps.any(|step| match &step.action {
        Action::DeclareQueue(declare) => declare
            .arguments
            .iter()
            .any(|(key, _)| key == "x-single-active-consumer"),
        _ => false,
    });
    let has_priority = |step: &Step| match &step.action {
        Action::Consume(consume) => consume.arguments.iter().any(|(key, _)| key == "x-priority"),
        _ => false,
    };
    is_single && steps.any(has_priority)
}

/// Both sides of a play.
struct Duet {
    leveret: Side,
    rabbitmq: Side,
    rounds: usize,
    pause: Option<Duration>,
    patience: Duration,
    /// Messages may have come back to a quorum queue.
    has_returned: bool,
    /// A single active consumer may have to make way for another.
    hands_over: bool,
}

impl Duet {
    async fn play(&mut self, script: &Script) -> Result<Ending> {
        for (number, step) in script.0.iter().enumerate() {
            let at = || {
                let line = serde_json::to_string(step).unwrap_or_default();
                format!("{line} (step {number})")
            };
            if !self.step(number, step).await.with_context(at)? {
                continue;
            }
            let agreed = self.agree().await.with_context(at)?;
            if !agreed {
                self.note_returns(&step.action);
                return Ok(self.judge(number + 1, at()));
            }
            self.note_returns(&step.action);
        }
        self.drain(script).await
    }

    /// Does one step on both sides; false if it settles nothing, or not the same on both.
    async fn step(&mut self, number: usize, step: &Step) -> Result<bool> {
        let mut targets = (None, None);
        if let Action::Settle(settle) = &step.action {
            targets = (
                self.leveret.target(step.on, settle),
                self.rabbitmq.target(step.on, settle),
            );
            let covered = |target: &Option<crate::side::Target>| {
                target.as_ref().map(|target| target.covered.clone())
            };
            if targets.0.is_none() || covered(&targets.0) != covered(&targets.1) {
                return Ok(false);
            }
        }
        tokio::try_join!(
            self.leveret.perform(number, step, targets.0.as_ref()),
            self.rabbitmq.perform(number, step, targets.1.as_ref()),
        )?;
        if let Some(pause) = self.pause {
            tokio::time::sleep(pause).await;
        }
        Ok(true)
    }

    /// Asks both until they have told the same; false if they do not.
    async fn agree(&mut self) -> Result<bool> {
        let deadline = Instant::now() + self.patience;
        let mut alike = 0;
        while alike < self.rounds {
            tokio::try_join!(self.leveret.settle(), self.rabbitmq.settle())?;
            if self.leveret.lines() == self.rabbitmq.lines() {
                alike += 1;
                continue;
            }
            alike = 0;
            if Instant::now() > deadline {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.leveret.end_step();
        self.rabbitmq.end_step();
        Ok(true)
    }

    fn note_returns(&mut self, action: &Action) {
        let gives_back = action.gives_back() || self.rabbitmq.has_closed();
        self.has_returned |= gives_back && self.rabbitmq.has_quorum();
    }

    fn judge(&self, steps: usize, mut at: String) -> Ending {
        if self.has_returned {
            if self.hands_over {
                at.push_str(HANDED_OVER);
            }
            at.push_str(RETURNED);
        }
        let (leveret, rabbitmq) = (self.leveret.lines(), self.rabbitmq.lines());
        let only = |these: &[String], those: &[String]| -> Vec<String> {
            let lines = these.iter().filter(|line| !those.contains(line));
            lines.cloned().collect()
        };
        let mut divergence = Divergence {
            steps,
            at,
            leveret: only(&leveret, &rabbitmq),
            rabbitmq: only(&rabbitmq, &leveret),
        };
        if divergence.leveret.is_empty() && divergence.rabbitmq.is_empty() {
            // The same lines, in another order.
            (divergence.leveret, divergence.rabbitmq) = (leveret, rabbitmq);
        }
        let accepted = ACCEPTED
            .iter()
            .find(|accepted| is_accepted(accepted, &divergence));
        accepted.map_or(Ending::Differ(divergence), Ending::Accepted)
    }

    /// What is left in the queues, once nobody consumes or holds anything.
    async fn drain(&mut self, script: &Script) -> Result<Ending> {
        let steps = script.0.len();
        let mut slots: Vec<Slot> = script.0.iter().map(|step| step.on).collect();
        slots.sort();
        slots.dedup();
        for on in slots {
            let step = Step {
                on,
                action: Action::CloseChannel,
            };
            self.step(steps, &step).await?;
            self.note_returns(&step.action);
            if !self.agree().await? {
                return Ok(self.judge(steps, format!("at the end, {on} is closed")));
            }
        }
        for queue in self.leveret.queues() {
            loop {
                let (more, too) = tokio::try_join!(
                    self.leveret.take_one(&queue),
                    self.rabbitmq.take_one(&queue),
                )?;
                if self.leveret.lines() != self.rabbitmq.lines() {
                    return Ok(self.judge(steps, format!("at the end, what is left in {queue}")));
                }
                if !more || !too {
                    break;
                }
            }
        }
        Ok(Ending::Alike)
    }
}

fn is_accepted(accepted: &Accepted, divergence: &Divergence) -> bool {
    let tells = |lines: &[String], pattern: &str| {
        pattern.is_empty() || lines.iter().any(|line| text_matches(pattern, line))
    };
    text_matches(accepted.step, &divergence.at)
        && tells(&divergence.leveret, accepted.leveret)
        && tells(&divergence.rabbitmq, accepted.rabbitmq)
}
