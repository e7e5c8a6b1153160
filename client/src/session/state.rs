//! What a session knows. Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::Notice;
use crate::journal::Remembered;
use crate::message::properties::BrokerUser;
use crate::message::{
    ConversationId, ConversationSummary, Cursor, Event, Message, Position, Receipt, ReceiptStatus,
    RejectionCode, Seq, SyncPage, Timestamp, UserId,
};
use crate::outbox::Outbox;
use crate::timeline::{Arrival, Timelines};

/// Cursors remembered, at most. Beyond, all are forgotten, and one that comes late may go back.
const CURSORS_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct State {
    pub(super) outbox: Outbox,
    pub(super) timelines: Timelines,
    device: BrokerUser,
    /// Positions that are not written down yet.
    news: HashMap<ConversationId, Position>,
    /// What is not reported yet: the last delivery and the last reading of each conversation.
    receipts: BTreeMap<(ConversationId, ReceiptStatus), Receipt>,
    /// How far everybody has come, as the program was told: what was delivered, and what was read.
    cursors: HashMap<(ConversationId, UserId), (Seq, Seq)>,
}

/// A receipt for a message and everything before it.
pub(super) fn receipt(device: &BrokerUser, message: &Message, status: ReceiptStatus) -> Receipt {
    Receipt {
        recipient: device.user.clone(),
        dev: device.device.clone(),
        conv: message.conv.clone(),
        message: message.id,
        seq: message.seq,
        status,
        at: Timestamp::now(),
    }
}

impl State {
    pub(super) fn new(remembered: Remembered, device: BrokerUser, now: Instant) -> Self {
        let mut outbox = Outbox::default();
        for post in remembered.posts {
            outbox.push(post, now);
        }
        let mut timelines = Timelines::default();
        for position in remembered.positions {
            timelines.restore(position);
        }
        Self {
            outbox,
            timelines,
            device,
            news: HashMap::new(),
            receipts: BTreeMap::new(),
            cursors: HashMap::new(),
        }
    }

    /// An event: what to show, and which conversations lack something.
    pub(super) fn event(
        &mut self,
        event: Event,
        now: Instant,
        notices: &mut Vec<Notice>,
        missing: &mut Vec<ConversationId>,
    ) {
        let mut lacks = |conversation: ConversationId| {
            if !missing.contains(&conversation) {
                missing.push(conversation);
            }
        };
        match event {
            Event::Msg(message) => match self.timelines.arrive(message) {
                Arrival::Show(messages) => {
                    notices.extend(messages.into_iter().map(Notice::Message));
                }
                Arrival::Duplicate => {}
                Arrival::Gap(position) => lacks(position.conv),
            },
            Event::Sent(sent) => {
                // A second answer to a message that was sent twice is no news.
                if self.outbox.settled(sent.id).is_some() {
                    notices.push(Notice::Sent(sent));
                }
            }
            // It stays in the outbox, and is sent again like what the broker refused.
            Event::Rejected(rejected) if rejected.retry => match rejected.code {
                RejectionCode::OutOfTurn => self.outbox.out_of_turn(rejected.id, now),
                _ => self.outbox.failed(rejected.id, now),
            },
            Event::Rejected(rejected) => {
                if let Some(post) = self.outbox.settled(rejected.id) {
                    notices.push(Notice::Rejected(rejected, Box::new(post)));
                }
            }
            Event::Bump(bump) => {
                if self.timelines.missing(&bump.conv, bump.last_seq).is_some() {
                    lacks(bump.conv);
                }
            }
            Event::Cursor(cursor) => notices.extend(self.newer(cursor).map(Notice::Cursor)),
            Event::Typing(typing) => notices.push(Notice::Typing(typing)),
            Event::Presence(presence) => notices.push(Notice::Presence(presence)),
            Event::Unknown => {}
        }
    }

    /// A cursor, if it is further than it was. Events come again after a lost connection, older ones after
    /// newer ones.
    fn newer(&mut self, cursor: Cursor) -> Option<Cursor> {
        if self.cursors.len() >= CURSORS_MAX {
            self.cursors.clear();
        }
        let key = (cursor.conv.clone(), cursor.user.clone());
        let known = self.cursors.entry(key).or_default();
        let (delivered, read) = (cursor.delivered.max(known.0), cursor.read.max(known.1));
        if (delivered, read) == *known {
            return None;
        }
        *known = (delivered, read);
        Some(Cursor {
            delivered,
            read,
            ..cursor
        })
    }

    /// How the service sees a conversation. A process that died between showing a message and saying so
    /// leaves that to the next one.
    pub(super) fn compare(&mut self, summary: &ConversationSummary) {
        let shown = self.timelines.position(&summary.conv);
        let last = summary.last.as_ref().filter(|last| last.seq == shown);
        if let Some(last) = last.filter(|last| summary.delivered < last.seq) {
            self.note(receipt(&self.device, last, ReceiptStatus::Delivered));
        }
    }

    /// What a synchronisation brought.
    pub(super) fn page(&mut self, page: SyncPage, notices: &mut Vec<Notice>) {
        for position in page.hidden {
            self.news.insert(position.conv.clone(), position.clone());
            let messages = self.timelines.hidden(position);
            notices.extend(messages.into_iter().map(Notice::Message));
        }
        for message in page.messages {
            match self.timelines.arrive(message) {
                Arrival::Show(messages) => {
                    notices.extend(messages.into_iter().map(Notice::Message));
                }
                // What comes before comes with the next page.
                Arrival::Duplicate | Arrival::Gap(_) => {}
            }
        }
    }

    /// A message is about to be shown.
    pub(super) fn shown(&mut self, message: &Message) {
        let position = Position {
            conv: message.conv.clone(),
            after: message.seq,
        };
        self.news.insert(message.conv.clone(), position);
        if message.from != self.device.user {
            self.note(receipt(&self.device, message, ReceiptStatus::Delivered));
        }
    }

    pub(super) fn take_news(&mut self) -> Vec<Position> {
        self.news.drain().map(|(_, position)| position).collect()
    }

    /// A receipt is to be reported, unless a later one is already.
    pub(super) fn note(&mut self, receipt: Receipt) {
        let key = (receipt.conv.clone(), receipt.status);
        let is_later = |known: &Receipt| known.seq >= receipt.seq;
        if !self.receipts.get(&key).is_some_and(is_later) {
            self.receipts.insert(key, receipt);
        }
    }

    pub(super) fn has_receipts(&self) -> bool {
        !self.receipts.is_empty()
    }

    /// What is to be reported. Who has read something has received it.
    pub(super) fn take_receipts(&mut self) -> Vec<Receipt> {
        let mut receipts = std::mem::take(&mut self.receipts);
        let read: Vec<_> = receipts
            .values()
            .filter(|receipt| receipt.status == ReceiptStatus::Read)
            .map(|receipt| (receipt.conv.clone(), receipt.seq))
            .collect();
        for (conv, seq) in read {
            let key = (conv, ReceiptStatus::Delivered);
            if receipts.get(&key).is_some_and(|known| known.seq <= seq) {
                receipts.remove(&key);
            }
        }
        receipts.into_values().collect()
    }

    pub(super) fn device(&self) -> &BrokerUser {
        &self.device
    }

    /// A conversation is shown from here on.
    pub(super) fn begin_at(&mut self, position: Position) {
        self.news.insert(position.conv.clone(), position.clone());
        self.timelines.restore(position);
    }

    pub(super) fn positions(&self, conversations: &[ConversationId]) -> Vec<Position> {
        let position = |conversation: &ConversationId| Position {
            conv: conversation.clone(),
            after: self.timelines.position(conversation),
        };
        conversations.iter().map(position).collect()
    }
}
