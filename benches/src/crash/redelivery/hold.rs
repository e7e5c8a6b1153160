//! The consumer before the crash: settles its share of each queue and holds the next messages.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::crash::redelivery::ledger::{Ledger, Settlement};
use crate::crash::redelivery::plan::Plan;
use crate::interrupt;
use crate::load::Stamp;
use crate::wire::{
    Acknowledgement, ClientError, Connection, DeliveryAssembler, MethodFrame, Uri, method,
};

const CHANNEL: u16 = 1;
/// `requeue` false, `multiple` false.
const NACK_FLAGS: u8 = 0;

/// Consumes until every queue's share is settled and held; the connection then still holds it.
pub(super) fn hold(
    uri: &Uri,
    plan: &Plan,
    ledger: &mut Ledger,
    mut goes_on: impl FnMut() -> Result<()>,
) -> Result<Connection> {
    let mut connection = Connection::open(uri)?;
    connection.open_channel(CHANNEL)?;
    connection.consume_all(CHANNEL, &plan.queues, &plan.held, Acknowledgement::Explicit)?;
    let settlement = plan.options.settlement();
    let mut left: u64 = plan.settled.iter().sum();
    left += plan.held.iter().copied().map(u64::from).sum::<u64>();
    let mut to_settle = plan.settled.clone();
    let mut assembler = DeliveryAssembler::new(plan.options.size);
    let silence = Duration::try_from_secs_f64(plan.options.silence)?;
    let mut read_at = Instant::now();
    while left > 0 {
        goes_on()?;
        if interrupt::requested() {
            bail!("interrupted");
        }
        if !connection.read()? {
            if read_at.elapsed() > silence {
                bail!("{left} messages that a consumer was to take did not come");
            }
            continue;
        }
        read_at = Instant::now();
        let mut settlements = Vec::new();
        while let Some(frame) = connection.next_frame()? {
            if frame.channel != CHANNEL {
                continue;
            }
            let Some(delivery) = assembler.take(&frame)? else {
                continue;
            };
            let id = id(delivery.head())?;
            ledger.deliver(id, delivery.redelivered);
            left = left.saturating_sub(1);
            let to_settle = &mut to_settle[ledger.queue_of(id)];
            if *to_settle > 0 {
                *to_settle -= 1;
                ledger.settle(id, settlement);
                append(&mut settlements, settlement, delivery.tag)?;
            }
        }
        connection.write(&settlements)?;
    }
    // The answer shows that the broker has read the settlements before it.
    if let Some(queue) = plan.queues.first() {
        connection.queue_depth(CHANNEL, queue)?;
    }
    Ok(connection)
}

/// A message's number.
pub(super) fn id(head: &[u8]) -> Result<u64, ClientError> {
    match Stamp::read(head) {
        Some(stamp) if stamp.producer == 0 => Ok(stamp.sequence),
        Some(_) | None => Err(ClientError::WrongMessage("it has no number".to_owned())),
    }
}

fn append(target: &mut Vec<u8>, settlement: Settlement, tag: u64) -> Result<(), ClientError> {
    let frame = match settlement {
        Settlement::Acked => MethodFrame::new(CHANNEL, method::BASIC_ACK).u64(tag).u8(0),
        Settlement::Rejected => MethodFrame::new(CHANNEL, method::BASIC_NACK)
            .u64(tag)
            .u8(NACK_FLAGS),
    };
    target.extend(frame.finish()?);
    Ok(())
}
