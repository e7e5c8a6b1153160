//! Settling deliveries: ack, nack, reject, recover (spec 5.5).

use std::sync::Arc;

use super::super::channel::Mode;
use super::super::core::Session;
use super::super::window::Unacked;
use crate::engine::{ChannelMeter, Event};
use crate::model::{AmqpError, ReplyCode, Settlement};
use crate::wire::method::basic;

impl Session {
    /// Takes `basic.ack`.
    pub(super) fn ack(&mut self, number: u16, ack: basic::Ack) -> Result<(), AmqpError> {
        self.settle(
            number,
            ack.delivery_tag,
            ack.multiple,
            Settlement::Acknowledge,
        )
    }

    /// Takes `basic.nack`.
    pub(super) fn nack(&mut self, number: u16, nack: basic::Nack) -> Result<(), AmqpError> {
        self.settle(
            number,
            nack.delivery_tag,
            nack.multiple,
            rejection(nack.requeue, Settlement::Return),
        )
    }

    /// Takes `basic.reject`.
    pub(super) fn reject(&mut self, number: u16, reject: basic::Reject) -> Result<(), AmqpError> {
        self.settle(
            number,
            reject.delivery_tag,
            false,
            rejection(reject.requeue, Settlement::Requeue),
        )
    }

    fn settle(
        &mut self,
        number: u16,
        tag: u64,
        multiple: bool,
        settlement: Settlement,
    ) -> Result<(), AmqpError> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        if !multiple {
            let unacked = channel
                .window
                .take(tag)
                .ok_or_else(|| AmqpError::unknown_delivery_tag(tag))?;
            match &mut channel.mode {
                Mode::Transactional(_) if unacked.is_overdue() => {}
                Mode::Transactional(transaction) => {
                    transaction.settlements.push((tag, unacked, settlement));
                }
                Mode::Plain | Mode::Confirm(_) => {
                    count(&channel.meter, settlement, 1);
                    self.settlements.add(&unacked, settlement, &channel.limit);
                }
            }
            channel.note_uncommitted();
            return Ok(());
        }
        let taken = channel
            .window
            .take_up_to(tag)
            .ok_or_else(|| AmqpError::unknown_delivery_tag(tag))?;
        match &mut channel.mode {
            Mode::Transactional(transaction) => transaction.settlements.extend(
                taken
                    .into_iter()
                    .filter(|(_, unacked)| !unacked.is_overdue())
                    .map(|(tag, unacked)| (tag, unacked, settlement)),
            ),
            Mode::Plain | Mode::Confirm(_) => {
                count(&channel.meter, settlement, taken.len() as u64);
                for (_, unacked) in &taken {
                    self.settlements.add(unacked, settlement, &channel.limit);
                }
            }
        }
        channel.note_uncommitted();
        Ok(())
    }

    /// Takes `basic.recover` and `basic.recover-async` (spec 5.5.6).
    pub(super) fn recover(&mut self, number: u16, requeue: bool) -> Result<(), AmqpError> {
        if !requeue {
            return Err(AmqpError::new(ReplyCode::NotImplemented, "requeue=false"));
        }
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        let limit = Arc::clone(&channel.limit);
        let held: Vec<(u64, Unacked)> = channel.window.take_all();
        for (_, unacked) in &held {
            self.settlements.add(unacked, Settlement::Return, &limit);
        }
        self.flush_settlements();
        Ok(())
    }
}

fn count(meter: &ChannelMeter, settlement: Settlement, deliveries: u64) {
    if settlement == Settlement::Acknowledge {
        meter.add(Event::Acknowledge, deliveries);
    }
}

/// Only `basic.reject` says that the message has failed (spec 5.5.7).
const fn rejection(requeue: bool, otherwise: Settlement) -> Settlement {
    if requeue {
        otherwise
    } else {
        Settlement::Discard
    }
}
