//! Who a run of deliveries goes to.

use super::consumers::Consumers;
use super::effect::{Delivery, Sink};
use super::slot::Holder;
use crate::model::ConsumerKey;

/// Who is to get the next message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipient {
    pub(super) key: Option<ConsumerKey>,
    /// `None` when nothing is to be settled later.
    pub(super) holder: Option<Holder>,
}

/// Takes messages one after another.
pub(super) trait Recipients {
    /// Who is next; `None` when nobody can take anything more.
    fn next(&self) -> Option<Recipient>;

    /// Hands `delivery` to whom [`Self::next`] named. It is given back when there was no room.
    fn offer(&mut self, delivery: Delivery) -> Result<(), Delivery>;
}

/// The queue's consumers, in turn.
pub(super) struct InTurn<'a, C, S> {
    pub(super) consumers: &'a mut Consumers<C>,
    pub(super) sink: &'a mut S,
}

impl<C, S: Sink<C>> Recipients for InTurn<'_, C, S> {
    fn next(&self) -> Option<Recipient> {
        let candidate = self.consumers.candidate()?;
        Some(Recipient {
            key: Some(candidate.key),
            holder: (!candidate.no_ack).then_some(Holder::Consumer(candidate.index)),
        })
    }

    fn offer(&mut self, delivery: Delivery) -> Result<(), Delivery> {
        let consumers = &mut *self.consumers;
        let Some((index, handle)) = consumers.candidate_handle() else {
            return Err(delivery);
        };
        let outcome = self.sink.offer(handle, delivery);
        match outcome {
            Ok(()) => consumers.took(index),
            Err(_) => consumers.block(index),
        }
        outcome
    }
}

/// A `basic.get`.
pub(super) struct Once {
    pub(super) no_ack: bool,
    pub(super) delivery: Option<Delivery>,
}

impl Recipients for Once {
    fn next(&self) -> Option<Recipient> {
        self.delivery.is_none().then_some(Recipient {
            key: None,
            holder: (!self.no_ack).then_some(Holder::Get),
        })
    }

    fn offer(&mut self, delivery: Delivery) -> Result<(), Delivery> {
        self.delivery = Some(delivery);
        Ok(())
    }
}
