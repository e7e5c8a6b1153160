//! Consumes a backlog of numbered messages and checks what comes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::interrupt;
use crate::load::Stamp;
use crate::progress::Progress;
use crate::wire::{
    Acknowledgement, ClientError, Connection, DeliveryAssembler, MethodFrame, Uri, method,
};

/// What came of a backlog, and when.
#[derive(Debug, Default)]
pub(crate) struct Redelivered {
    pub(crate) first_at: Option<Instant>,
    pub(crate) last_at: Option<Instant>,
    pub(crate) received: u64,
    pub(crate) flagged: u64,
    /// Flagged among those that had been delivered before the crash.
    pub(crate) flagged_of_held: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    pub(crate) lost: u64,
}

/// What is expected in the queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) queue: &'a str,
    pub(crate) count: u64,
    pub(crate) size: usize,
    pub(crate) prefetch: u16,
    /// The first so many were delivered and not acknowledged before the crash.
    pub(crate) held: u64,
    /// How long nothing may come before the rest counts as lost.
    pub(crate) silence: Duration,
}

/// A consumer that took messages and acknowledges none, until it is dropped.
#[derive(Debug)]
pub(crate) struct Holder {
    _connection: Connection,
}

/// Takes the first `expected.held` messages and holds them.
pub(crate) fn hold(uri: &Uri, expected: &Expected<'_>) -> Result<Holder> {
    let mut connection = Connection::open(uri)?;
    connection.open_channel(1)?;
    let prefetch = u16::try_from(expected.held).context("more than 65535 to hold")?;
    consume_from(&mut connection, expected.queue, prefetch)?;
    let mut reader = Reader::new(connection, expected.size);
    let mut count = 0;
    while count < expected.held {
        if !reader.read(|_| count += 1)? && reader.silence() > expected.silence {
            bail!("only {count} of {} messages came to be held", expected.held);
        }
    }
    Ok(Holder {
        _connection: reader.connection,
    })
}

/// Consumes until all came, or nothing more comes.
pub(crate) fn consume(
    uri: &Uri,
    expected: &Expected<'_>,
    progress: &Progress,
) -> Result<Redelivered> {
    let mut connection = Connection::open(uri)?;
    connection.open_channel(1)?;
    consume_from(&mut connection, expected.queue, expected.prefetch)?;
    let mut reader = Reader::new(connection, expected.size);
    let mut check = Check::new(expected);
    while check.unique < expected.count {
        if interrupt::requested() {
            bail!("interrupted");
        }
        let mut wrong = None;
        let arrived = reader.read(|delivery| {
            if let Err(error) = check.take(delivery.sequence, delivery.redelivered) {
                wrong = Some(error);
            }
        })?;
        if let Some(error) = wrong {
            return Err(error.into());
        }
        if arrived {
            let first_at = check.result.first_at.get_or_insert(reader.read_at);
            check.result.last_at = Some(reader.read_at.max(*first_at));
            reader.acknowledge()?;
            progress.show(check.unique as f64 / expected.count as f64, "redelivering");
        } else if reader.silence() > expected.silence {
            break;
        }
    }
    // Closing shows that the broker took the acknowledgements.
    reader.connection.close()?;
    Ok(check.finish())
}

fn consume_from(
    connection: &mut Connection,
    queue: &str,
    prefetch: u16,
) -> Result<(), ClientError> {
    let by = Acknowledgement::Explicit;
    connection.consume_all(1, &[queue.to_owned()], &[prefetch], by)
}

/// A numbered delivery.
struct Numbered {
    sequence: u64,
    redelivered: bool,
}

/// Reads deliveries on channel 1, read by read.
struct Reader {
    connection: Connection,
    assembler: DeliveryAssembler,
    read_at: Instant,
    tag: u64,
}

impl Reader {
    fn new(connection: Connection, size: usize) -> Self {
        let assembler = DeliveryAssembler::new(size);
        Self {
            connection,
            assembler,
            read_at: Instant::now(),
            tag: 0,
        }
    }

    /// Reads once; false when no whole delivery came.
    fn read(&mut self, mut each: impl FnMut(Numbered)) -> Result<bool, ClientError> {
        if !self.connection.read()? {
            return Ok(false);
        }
        let now = Instant::now();
        let mut arrived = false;
        while let Some(frame) = self.connection.next_frame()? {
            if frame.channel != 1 {
                continue;
            }
            let Some(delivery) = self.assembler.take(&frame)? else {
                continue;
            };
            let stamp = Stamp::read(delivery.head());
            let stamp = stamp.ok_or_else(|| {
                ClientError::WrongMessage("no room for a sequence number".to_owned())
            })?;
            self.tag = delivery.tag;
            arrived = true;
            each(Numbered {
                sequence: stamp.sequence,
                redelivered: delivery.redelivered,
            });
        }
        if arrived {
            self.read_at = now;
        }
        Ok(arrived)
    }

    fn silence(&self) -> Duration {
        self.read_at.elapsed()
    }

    /// Acknowledges all that was read.
    fn acknowledge(&mut self) -> Result<(), ClientError> {
        let ack = MethodFrame::new(1, method::BASIC_ACK)
            .u64(self.tag)
            .u8(1)
            .finish()?;
        self.connection.write(&ack)
    }
}

/// Counts deliveries against what was expected.
struct Check {
    seen: Vec<bool>,
    unique: u64,
    next: u64,
    held: u64,
    result: Redelivered,
}

impl Check {
    fn new(expected: &Expected<'_>) -> Self {
        let count = usize::try_from(expected.count).unwrap_or(0);
        let (seen, held) = (vec![false; count], expected.held);
        Self {
            seen,
            unique: 0,
            next: 0,
            held,
            result: Redelivered::default(),
        }
    }

    fn take(&mut self, sequence: u64, redelivered: bool) -> Result<(), ClientError> {
        let place = usize::try_from(sequence)
            .ok()
            .and_then(|index| self.seen.get_mut(index));
        let Some(seen) = place else {
            let wrong = format!("message {sequence} was never sent");
            return Err(ClientError::WrongMessage(wrong));
        };
        let result = &mut self.result;
        result.received += 1;
        if *seen {
            result.duplicates += 1;
        } else {
            self.unique += 1;
            result.out_of_order += u64::from(sequence < self.next);
        }
        *seen = true;
        self.next = self.next.max(sequence + 1);
        result.flagged += u64::from(redelivered);
        result.flagged_of_held += u64::from(redelivered && sequence < self.held);
        Ok(())
    }

    fn finish(mut self) -> Redelivered {
        self.result.lost = self.seen.len() as u64 - self.unique;
        self.result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(count: u64, held: u64, deliveries: &[(u64, bool)]) -> Redelivered {
        let silence = Duration::ZERO;
        let expected = Expected {
            queue: "q",
            count,
            size: 16,
            prefetch: 1,
            held,
            silence,
        };
        let mut check = Check::new(&expected);
        for (sequence, redelivered) in deliveries {
            check.take(*sequence, *redelivered).unwrap();
        }
        check.finish()
    }

    #[test]
    fn a_whole_backlog_in_order_has_no_fault() {
        let seen = check(3, 2, &[(0, true), (1, true), (2, false)]);
        assert_eq!(
            (seen.received, seen.lost, seen.duplicates, seen.out_of_order),
            (3, 0, 0, 0)
        );
        assert_eq!((seen.flagged, seen.flagged_of_held), (2, 2));
    }

    #[test]
    fn loss_doubles_and_disorder_are_told_apart() {
        let seen = check(5, 1, &[(1, true), (0, false), (4, false), (4, true)]);
        assert_eq!((seen.lost, seen.duplicates, seen.out_of_order), (2, 1, 1));
        assert_eq!((seen.flagged, seen.flagged_of_held), (2, 0));
    }

    #[test]
    fn a_number_that_was_never_sent_is_an_error() {
        let silence = Duration::ZERO;
        let expected = Expected {
            queue: "q",
            count: 3,
            size: 16,
            prefetch: 1,
            held: 0,
            silence,
        };
        let mut check = Check::new(&expected);
        assert!(check.take(3, false).is_err());
        assert!(check.take(u64::MAX, false).is_err());
    }
}
