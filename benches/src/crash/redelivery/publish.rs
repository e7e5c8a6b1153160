//! Publishes numbered messages with confirms, and knows what was confirmed even if the broker dies.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;

use crate::crash::redelivery::plan::Plan;
use crate::interrupt;
use crate::load::{ConfirmWindow, MessageShape, PublishRing, Stamp};
use crate::wire::{Arguments, ClientError, Connection, FrameKind, Uri, control, method};

/// What others may know of a publisher at work, and tell it.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    pub(super) confirmed: AtomicU64,
    /// The broker is about to be killed: a lost connection is no failure.
    pub(super) crashing: AtomicBool,
    /// It ended with an error.
    pub(super) failed: AtomicBool,
    /// Give up.
    pub(super) stopped: AtomicBool,
}

/// What became of the messages.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) sent: u64,
    /// Message by message.
    pub(super) confirmed: Vec<bool>,
    pub(super) refused: u64,
}

struct Publisher<'a> {
    connection: Connection,
    window: ConfirmWindow,
    published: Published,
    watch: &'a Publishing,
}

/// Publishes all messages of the plan, or as many as the broker lives for.
pub(super) fn publish(uri: &Uri, plan: &Plan, watch: &Publishing) -> Result<Published> {
    let options = &plan.options;
    let mut connection = Connection::open(uri)?;
    connection.open_channel(1)?;
    connection.select_confirms(1)?;
    let ring = PublishRing::build(&MessageShape {
        exchange: "",
        keys: plan.queues.iter().map(String::as_str).collect(),
        body_bytes: options.size,
        persistent: true,
        priorities: options.priorities,
        expiration: None,
        frame_bytes_max: connection.frame_bytes_max(),
    })?;
    let confirmed = vec![false; usize::try_from(options.count)?];
    let mut publisher = Publisher {
        connection,
        window: ConfirmWindow::new(options.confirm_window),
        published: Published {
            sent: 0,
            confirmed,
            refused: 0,
        },
        watch,
    };
    match publisher.run(ring, options.count, options.confirm_window) {
        Ok(()) => {
            publisher.connection.close()?;
        }
        Err(ClientError::Closed | ClientError::Lost(_))
            if watch.crashing.load(Ordering::SeqCst) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(publisher.published)
}

impl Publisher<'_> {
    fn run(&mut self, mut ring: PublishRing, count: u64, window: u64) -> Result<(), ClientError> {
        let batch_min = (window / 4).max(1);
        loop {
            if self.watch.stopped.load(Ordering::Relaxed) || interrupt::requested() {
                return Err(ClientError::Stopped);
            }
            let left = count - self.published.sent;
            let room = self.window.room().min(left);
            if left == 0 && self.window.outstanding() == 0 {
                return Ok(());
            }
            if left > 0 && room >= batch_min.min(left) {
                self.write(&mut ring, room)?;
            } else if self.connection.read()? {
                self.take_in()?;
            }
        }
    }

    fn write(&mut self, ring: &mut PublishRing, count: u64) -> Result<(), ClientError> {
        let first = self.published.sent;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let (bytes, taken) = ring.take(count, |index| Stamp {
            producer: 0,
            sequence: first + index,
            sent_at: 0,
        });
        (0..taken).for_each(|_| self.window.sent(0));
        // Before the write: the first octet may make a message.
        self.published.sent += taken as u64;
        self.connection.write(bytes)
    }

    fn take_in(&mut self) -> Result<(), ClientError> {
        let Self {
            connection,
            window,
            published,
            watch,
        } = self;
        let mut newly = 0;
        while let Some(frame) = connection.next_frame()? {
            if frame.kind != FrameKind::Method {
                continue;
            }
            let (id, arguments) = method::split(frame.payload)?;
            let refused = id == method::BASIC_NACK;
            if !refused && id != method::BASIC_ACK {
                let control = control(&frame)?;
                connection.note(&control)?;
                continue;
            }
            let mut arguments = Arguments::new(arguments);
            let (tag, multiple) = (arguments.u64()?, arguments.u8()? & 1 != 0);
            window.settle(tag, multiple, |tag, _| {
                if refused {
                    published.refused += 1;
                    return;
                }
                let place = usize::try_from(tag - 1).unwrap_or(usize::MAX);
                if let Some(confirmed) = published.confirmed.get_mut(place) {
                    *confirmed = true;
                    newly += 1;
                }
            })?;
        }
        watch.confirmed.fetch_add(newly, Ordering::Relaxed);
        Ok(())
    }
}
