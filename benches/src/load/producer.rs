//! One producer: fills a window, a schedule, or the socket.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::load::latency::Latency;
use crate::load::pace::Pace;
use crate::load::ring::PublishRing;
use crate::load::shared::Shared;
use crate::load::stamp::Stamp;
use crate::load::window::ConfirmWindow;
use crate::wire::{Arguments, ClientError, Connection, FrameKind, control, method};

/// How often a producer that waits for nothing looks whether the broker has something to say.
const LOOK_NANOSECONDS: u64 = 50_000_000;
/// The longest sleep, so that a stop is noticed.
const WAIT_NANOSECONDS: u64 = 50_000_000;
/// How long to wait for consumers to catch up before looking again.
const CATCH_UP_NANOSECONDS: u64 = 200_000;

/// What a producer is to do.
#[derive(Debug)]
pub(crate) struct ProducerPlan {
    pub(crate) index: u16,
    /// For each key of a round, how many queues it reaches.
    pub(crate) copies: Vec<u64>,
    pub(crate) confirm_window: u64,
    pub(crate) pace: Option<Pace>,
    pub(crate) in_flight_max: u64,
    pub(crate) message_count_max: u64,
    pub(crate) start_at: u64,
    pub(crate) stop_at: u64,
    /// Confirms of messages sent in this time are measured.
    pub(crate) measured: std::ops::Range<u64>,
    pub(crate) confirm_wait: Duration,
}

/// What became of a producer's messages.
#[derive(Debug)]
pub(crate) struct Produced {
    pub(crate) sent: u64,
    /// Sequence numbers that the broker refused.
    pub(crate) nacked: Vec<u64>,
    pub(crate) unconfirmed: u64,
    pub(crate) blocked_count: u64,
    pub(crate) confirm_latency: Latency,
}

/// A producer on its connection.
#[derive(Debug)]
pub(crate) struct Producer {
    plan: ProducerPlan,
    connection: Connection,
    ring: PublishRing,
    window: Option<ConfirmWindow>,
    shared: Arc<Shared>,
    sent: u64,
    confirmed: u64,
    nacked: Vec<u64>,
    confirm_latency: Latency,
    looked_at: u64,
}

impl Producer {
    /// A producer on channel 1 of `connection`, which is in confirm mode if a window was asked for.
    pub(crate) fn new(
        plan: ProducerPlan,
        connection: Connection,
        ring: PublishRing,
        shared: Arc<Shared>,
    ) -> Self {
        let window = (plan.confirm_window > 0).then(|| ConfirmWindow::new(plan.confirm_window));
        Self {
            plan,
            connection,
            ring,
            window,
            shared,
            sent: 0,
            confirmed: 0,
            nacked: Vec::new(),
            confirm_latency: Latency::default(),
            looked_at: 0,
        }
    }

    /// Publishes until the time or the number is reached, then waits for the open confirms.
    pub(crate) fn run(mut self) -> Result<Produced, ClientError> {
        // Refilling a window in large steps costs the broker nothing and saves many small writes.
        let batch_min = match (&self.window, &self.plan.pace) {
            (Some(_), None) => (self.plan.confirm_window / 4).max(1),
            _ => 1,
        };
        loop {
            let now = self.shared.now();
            let left = self.plan.message_count_max - self.sent;
            if now >= self.plan.stop_at || left == 0 {
                break;
            }
            if self.shared.failed() {
                return Err(ClientError::Stopped);
            }
            let count = self.sendable(now).min(left);
            if count >= batch_min.min(left) {
                self.publish(count, now)?;
                self.look(now)?;
            } else {
                self.wait(now)?;
            }
        }
        self.settle_rest()?;
        let unconfirmed = self.window.as_ref().map_or(0, ConfirmWindow::unconfirmed);
        let blocked_count = self.connection.blocked_count();
        self.connection.close()?;
        Ok(Produced {
            sent: self.sent,
            nacked: self.nacked,
            unconfirmed,
            blocked_count,
            confirm_latency: self.confirm_latency,
        })
    }

    /// How many messages may go out now.
    fn sendable(&self, now: u64) -> u64 {
        let mut count = u64::MAX;
        if let Some(window) = &self.window {
            count = window.room();
        }
        if let Some(pace) = &self.plan.pace {
            let due = pace.due_by(now.saturating_sub(self.plan.start_at));
            count = count.min(due.saturating_sub(self.sent));
        }
        if self.plan.in_flight_max > 0 && self.shared.in_flight() >= self.plan.in_flight_max {
            count = 0;
        }
        count
    }

    fn publish(&mut self, count: u64, now: u64) -> Result<(), ClientError> {
        let Self {
            plan,
            connection,
            ring,
            window,
            shared,
            sent,
            ..
        } = self;
        let counters = &shared.producers[usize::from(plan.index)];
        let first = *sent;
        let time_of = |index: u64| match &plan.pace {
            Some(pace) => plan.start_at.saturating_add(pace.due_at(first + index)),
            None => now,
        };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let (bytes, taken) = ring.take(count, |index| Stamp {
            producer: plan.index,
            sequence: first + index,
            sent_at: time_of(index),
        });
        let taken = taken as u64;
        if let Some(window) = window {
            (0..taken).for_each(|index| window.sent(time_of(index)));
        }
        *sent += taken;
        counters.stamped.store(*sent, Ordering::Release);
        connection.write_unless(bytes, || shared.failed())?;
        counters.published.store(*sent, Ordering::Relaxed);
        counters
            .due
            .store(deliveries(&plan.copies, *sent), Ordering::Relaxed);
        Ok(())
    }

    /// Now and then takes in what an unconfirmed publisher never waits for: a close, mostly.
    fn look(&mut self, now: u64) -> Result<(), ClientError> {
        if now.saturating_sub(self.looked_at) < LOOK_NANOSECONDS {
            return Ok(());
        }
        self.looked_at = now;
        if self.connection.read_within(Duration::ZERO)? {
            self.take_in()?;
        }
        Ok(())
    }

    /// Waits for a confirm or for the next message to be due.
    fn wait(&mut self, now: u64) -> Result<(), ClientError> {
        let mut nanoseconds = WAIT_NANOSECONDS;
        let window_open = self.window.as_ref().is_none_or(|window| window.room() > 0);
        if let (Some(pace), true) = (&self.plan.pace, window_open) {
            let due_at = self.plan.start_at.saturating_add(pace.due_at(self.sent));
            nanoseconds = nanoseconds.min(due_at.saturating_sub(now));
        }
        if self.plan.in_flight_max > 0 && window_open {
            nanoseconds = nanoseconds.min(CATCH_UP_NANOSECONDS);
        }
        let arrived = if self.plan.pace.is_none() && self.plan.in_flight_max == 0 {
            self.connection.read()?
        } else {
            self.connection
                .read_within(Duration::from_nanos(nanoseconds))?
        };
        if arrived {
            self.take_in()?;
        }
        Ok(())
    }

    /// Takes in all frames that were read.
    fn take_in(&mut self) -> Result<(), ClientError> {
        let now = self.shared.now();
        let Self {
            plan,
            connection,
            window,
            nacked,
            confirm_latency,
            confirmed,
            ..
        } = self;
        while let Some(frame) = connection.next_frame()? {
            let (id, arguments) = match frame.kind {
                FrameKind::Method => method::split(frame.payload)?,
                FrameKind::Header | FrameKind::Body | FrameKind::Heartbeat => continue,
            };
            let refused = id == method::BASIC_NACK;
            let (Some(window), true) = (window.as_mut(), refused || id == method::BASIC_ACK) else {
                let control = control(&frame)?;
                connection.note(&control)?;
                continue;
            };
            let mut arguments = Arguments::new(arguments);
            let (tag, multiple) = (arguments.u64()?, arguments.u8()? & 1 != 0);
            window.settle(tag, multiple, |tag, at| {
                if refused {
                    nacked.push(tag - 1);
                } else {
                    *confirmed += 1;
                }
                if plan.measured.contains(&at) {
                    confirm_latency.record(now.saturating_sub(at));
                }
            })?;
        }
        let counters = &self.shared.producers[usize::from(self.plan.index)];
        counters.confirmed.store(self.confirmed, Ordering::Relaxed);
        Ok(())
    }

    /// Waits for the confirms that are still open.
    fn settle_rest(&mut self) -> Result<(), ClientError> {
        let wait = u64::try_from(self.plan.confirm_wait.as_nanos()).unwrap_or(u64::MAX);
        let deadline = self.shared.now().saturating_add(wait);
        while self
            .window
            .as_ref()
            .is_some_and(|window| window.outstanding() > 0)
        {
            if self.shared.failed() {
                return Err(ClientError::Stopped);
            }
            if self.connection.read()? {
                self.take_in()?;
            } else if self.shared.now() > deadline {
                break;
            }
        }
        Ok(())
    }
}

/// How many deliveries the first `sent` messages make, given those of each key of a round.
pub(crate) fn deliveries(copies: &[u64], sent: u64) -> u64 {
    let length = copies.len() as u64;
    if length == 0 {
        return 0;
    }
    let partial = usize::try_from(sent % length).unwrap_or(0);
    let round: u64 = copies.iter().sum();
    sent / length * round + copies[..partial].iter().sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_counted_over_whole_and_partial_rounds() {
        assert_eq!(deliveries(&[1, 0, 5], 0), 0);
        assert_eq!(deliveries(&[1, 0, 5], 2), 1);
        assert_eq!(deliveries(&[1, 0, 5], 3), 6);
        assert_eq!(deliveries(&[1, 0, 5], 10), 19);
        assert_eq!(deliveries(&[50], 7), 350);
    }
}
