//! Consumes everything after the restart, and notes when it came.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::crash::redelivery::hold::id;
use crate::crash::redelivery::ledger::{Ledger, Source};
use crate::crash::redelivery::plan::Plan;
use crate::crash::redelivery::subject::Subject;
use crate::interrupt;
use crate::load::filling;
use crate::progress::Progress;
use crate::wire::{
    Acknowledgement, ClientError, Connection, DeliveryAssembler, MethodFrame, method,
};

/// How many points the curve of a round has.
const POINTS: u64 = 200;
/// Between two attempts to consume from a broker that is not ready for it.
const AGAIN: Duration = Duration::from_millis(1);

/// When what came back.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) first_at: Option<Instant>,
    /// The last one that was due; absent if some never came.
    pub(super) all_at: Option<Instant>,
    pub(super) received: u64,
    /// How many of those due had come by when.
    pub(super) curve: Vec<(Instant, u64)>,
}

/// Consumes until all came that was due and nothing more comes, or until nothing comes at all.
pub(super) fn collect(
    subject: &mut impl Subject,
    plan: &Plan,
    ledger: &mut Ledger,
    progress: &Progress,
) -> Result<Collected> {
    let (silence, surplus) = (plan.options.silence, plan.options.surplus);
    let silence = Duration::try_from_secs_f64(silence)?;
    let surplus = Duration::try_from_secs_f64(surplus)?;
    let mut collector = Collector::attach(subject, plan)?;
    let mut collected = Collected::default();
    let due = ledger.missing();
    let step = due.div_ceil(POINTS).max(1);
    let mut read_at = Instant::now();
    loop {
        if interrupt::requested() {
            bail!("interrupted");
        }
        let wait = if ledger.missing() == 0 {
            surplus
        } else {
            silence
        };
        let left = wait.saturating_sub(read_at.elapsed());
        if left.is_zero() {
            break;
        }
        // A broker that is not ready after all refuses the consumers: then they come again.
        let arrived = match collector.read(ledger, left) {
            Ok(arrived) => arrived,
            Err(error) if collected.received == 0 && is_refusal(&error) => {
                subject.check().context(error)?;
                std::thread::sleep(AGAIN);
                collector = Collector::attach(subject, plan)?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if arrived == 0 {
            continue;
        }
        read_at = Instant::now();
        collected.received += arrived;
        collected.first_at.get_or_insert(read_at);
        let back = due - ledger.missing();
        let latest = collected.curve.last().map_or(0, |(_, back)| *back);
        if back >= latest + step || (back > latest && back == due) || latest == 0 {
            collected.curve.push((read_at, back));
        }
        if ledger.missing() == 0 {
            collected.all_at.get_or_insert(read_at);
        }
        progress.show(back as f64 / due.max(1) as f64, "redelivering");
    }
    collector.connection.close()?;
    Ok(collected)
}

fn is_refusal(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Refused { .. }
            | ClientError::Closed
            | ClientError::Lost(_)
            | ClientError::Unexpected { .. }
    )
}

/// One connection: the queues on channel 1, the dead letters on channel 2.
struct Collector {
    connection: Connection,
    lanes: Vec<Lane>,
}

struct Lane {
    source: Source,
    assembler: DeliveryAssembler,
    /// The latest delivery, and whether it is still to be acknowledged.
    tag: u64,
    is_open: bool,
}

impl Collector {
    fn attach(subject: &mut impl Subject, plan: &Plan) -> Result<Self> {
        let body = filling(plan.options.size);
        let prefetch = vec![plan.options.prefetch; plan.queues.len()];
        let consume = |mut connection: Connection| -> Result<Self, ClientError> {
            let dead_letters = plan.dead_letters.as_slice();
            let mut sources = vec![(1, Source::Queue, plan.queues.as_slice())];
            if !dead_letters.is_empty() {
                sources.push((2, Source::DeadLetters, dead_letters));
            }
            // All channels first: what is delivered while waiting for an answer is dropped.
            for (channel, _, _) in &sources {
                connection.open_channel(*channel)?;
            }
            let mut lanes = Vec::new();
            for (channel, source, queues) in sources {
                connection.consume_all(channel, queues, &prefetch, Acknowledgement::Explicit)?;
                lanes.push(Lane {
                    source,
                    assembler: DeliveryAssembler::comparing(&body),
                    tag: 0,
                    is_open: false,
                });
            }
            Ok(Self { connection, lanes })
        };
        loop {
            match consume(subject.open()?) {
                Ok(collector) => return Ok(collector),
                Err(error) if is_refusal(&error) => subject.check().context(error)?,
                Err(error) => return Err(error.into()),
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// Reads once and acknowledges what came; how many deliveries that were.
    fn read(&mut self, ledger: &mut Ledger, wait: Duration) -> Result<u64, ClientError> {
        let wait = wait.min(Duration::from_millis(100));
        if !self.connection.read_within(wait)? {
            return Ok(0);
        }
        let mut arrived = 0;
        while let Some(frame) = self.connection.next_frame()? {
            let index = usize::from(frame.channel).checked_sub(1);
            let Some(lane) = index.and_then(|index| self.lanes.get_mut(index)) else {
                let control = crate::wire::control(&frame)?;
                self.connection.note(&control)?;
                continue;
            };
            let Some(delivery) = lane.assembler.take(&frame)? else {
                continue;
            };
            let id = id(delivery.head())?;
            ledger.take_back(lane.source, id, delivery.redelivered);
            if !delivery.intact {
                ledger.note_changed(id);
            }
            (lane.tag, lane.is_open) = (delivery.tag, true);
            arrived += 1;
        }
        let mut acks = Vec::new();
        for (channel, lane) in (1_u16..).zip(&mut self.lanes) {
            if std::mem::take(&mut lane.is_open) {
                let ack = MethodFrame::new(channel, method::BASIC_ACK)
                    .u64(lane.tag)
                    .u8(1);
                acks.extend(ack.finish()?);
            }
        }
        self.connection.write(&acks)?;
        Ok(arrived)
    }
}
