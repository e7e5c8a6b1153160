//! Class tx (spec 6.2).

use super::super::channel::Mode;
use super::super::core::Session;
use super::super::transaction::PendingTransaction;
use crate::engine::{ChannelMode, Event, PartiallyRefused, Transaction};
use crate::model::{AmqpError, ReplyCode, Settlement};
use crate::wire::method::tx;

impl Session {
    /// Takes a method of class tx.
    pub(super) async fn tx_method(
        &mut self,
        number: u16,
        method: tx::Method,
    ) -> Result<(), AmqpError> {
        match method {
            tx::Method::Select(_) => self.select_transactions(number),
            tx::Method::Commit(_) => self.commit(number).await,
            tx::Method::Rollback(_) => self.roll_back(number),
            tx::Method::SelectOk(_) | tx::Method::CommitOk(_) | tx::Method::RollbackOk(_) => {
                Err(super::unimplemented_method())
            }
        }
    }

    fn select_transactions(&mut self, number: u16) -> Result<(), AmqpError> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        match &channel.mode {
            Mode::Confirm(_) => {
                let text = "cannot switch from confirm to tx mode";
                return Err(AmqpError::new(ReplyCode::PreconditionFailed, text));
            }
            Mode::Plain => {
                channel.mode = Mode::Transactional(PendingTransaction::default());
                channel.meter.set_mode(ChannelMode::Transactional);
            }
            Mode::Transactional(_) => {}
        }
        self.reply(number, tx::SelectOk {});
        Ok(())
    }

    fn take_transaction(&mut self, number: u16) -> Result<PendingTransaction, AmqpError> {
        match self
            .channels
            .get_mut(&number)
            .map(|channel| &mut channel.mode)
        {
            Some(Mode::Transactional(transaction)) => Ok(transaction.take()),
            Some(Mode::Plain | Mode::Confirm(_)) | None => Err(AmqpError::new(
                ReplyCode::PreconditionFailed,
                "channel is not transactional",
            )),
        }
    }

    async fn commit(&mut self, number: u16) -> Result<(), AmqpError> {
        let pending = self.take_transaction(number)?;
        let mut transaction = Transaction::default();
        for publish in &pending.publishes {
            transaction.publish(&publish.route, &publish.message);
        }
        for publish in pending
            .publishes
            .iter()
            .filter(|publish| publish.is_returned)
        {
            self.return_message(number, &publish.message);
        }
        let acknowledged = pending
            .settlements
            .iter()
            .filter(|(_, _, settlement)| *settlement == Settlement::Acknowledge)
            .count();
        for (_, unacked, settlement) in &pending.settlements {
            transaction.settle(unacked.queue(), unacked.seq, *settlement);
        }
        let ticket = transaction.commit(&self.engine);
        let settled = u32::try_from(pending.settlements.len()).unwrap_or(u32::MAX);
        let starved = match self.channels.get(&number) {
            Some(channel) => {
                let acknowledged = acknowledged as u64;
                channel.meter.add(Event::Acknowledge, acknowledged);
                channel.note_uncommitted();
                channel.limit.give_back(settled)
            }
            None => Vec::new(),
        };
        for link in starved {
            link.queue.resume(&self.engine, &link);
        }
        let ticket = ticket.map_err(|PartiallyRefused| {
            AmqpError::new(ReplyCode::PreconditionFailed, "partial tx completion")
        })?;
        self.wait(ticket).await?;
        self.reply(number, tx::CommitOk {});
        Ok(())
    }

    /// Spec 6.2.4: what was to be settled waits again, under the tags that it had.
    fn roll_back(&mut self, number: u16) -> Result<(), AmqpError> {
        let pending = self.take_transaction(number)?;
        if let Some(channel) = self.channels.get_mut(&number) {
            for (tag, unacked, _) in pending.settlements {
                channel.window.restore(tag, unacked);
            }
            channel.note_uncommitted();
        }
        self.reply(number, tx::RollbackOk {});
        Ok(())
    }
}
