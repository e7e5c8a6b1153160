//! A backlog of numbered persistent messages, every one of them confirmed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::load::{MessageShape, Producer, ProducerPlan, PublishRing, Shared};
use crate::progress::Progress;
use crate::wire::{Connection, Uri};

/// What to fill a queue with.
#[derive(Debug)]
pub(crate) struct Backlog<'a> {
    pub(crate) queue: &'a str,
    pub(crate) count: u64,
    pub(crate) size: usize,
    pub(crate) confirm_window: u64,
    /// How many priorities the messages go through; 0 gives none.
    pub(crate) priorities: u8,
    /// Their property of that name.
    pub(crate) expiration: Option<&'a str>,
}

impl<'a> Backlog<'a> {
    /// Messages without further properties.
    pub(crate) const fn plain(queue: &'a str, count: u64, size: usize) -> Self {
        Self {
            queue,
            count,
            size,
            confirm_window: 2000,
            priorities: 0,
            expiration: None,
        }
    }
}

/// Publishes the backlog; the seconds it took. Fails unless every message was confirmed.
pub(crate) fn fill(uri: &Uri, backlog: &Backlog<'_>, progress: &Progress) -> Result<f64> {
    let mut connection = Connection::open(uri)?;
    connection.open_channel(1)?;
    connection.select_confirms(1)?;
    let ring = PublishRing::build(&MessageShape {
        exchange: "",
        keys: vec![backlog.queue],
        body_bytes: backlog.size,
        persistent: true,
        priorities: backlog.priorities,
        expiration: backlog.expiration,
        frame_bytes_max: connection.frame_bytes_max(),
    })?;
    let shared = Arc::new(Shared::new(1, 0));
    let plan = ProducerPlan {
        index: 0,
        copies: vec![1],
        confirm_window: backlog.confirm_window,
        pace: None,
        in_flight_max: 0,
        message_count_max: backlog.count,
        start_at: 0,
        stop_at: u64::MAX,
        measured: 0..0,
        confirm_wait: Duration::from_secs(60),
    };
    let producer = Producer::new(plan, connection, ring, Arc::clone(&shared));
    let produced = std::thread::scope(|scope| {
        let worker = scope.spawn(|| producer.run());
        while !worker.is_finished() {
            let confirmed = shared.totals().confirmed;
            progress.show(confirmed as f64 / backlog.count as f64, "publishing");
            std::thread::sleep(Duration::from_millis(20));
        }
        worker.join()
    });
    let seconds = shared.now() as f64 / 1e9;
    let Ok(produced) = produced else {
        anyhow::bail!("the producer panicked")
    };
    let produced = produced?;
    ensure!(
        produced.nacked.is_empty() && produced.unconfirmed == 0,
        "{} messages were refused and {} not confirmed",
        produced.nacked.len(),
        produced.unconfirmed
    );
    Ok(seconds)
}
