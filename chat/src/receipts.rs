//! Receipts: many become one cursor, and whoever may see it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{
    Command, ConversationId, Cursor, Event, Receipt, ReceiptStatus, Seq, Timestamp, Toggle, UserId,
    envelope,
};

use crate::amqp::{Incoming, Link};
use crate::directory::Directory;
use crate::fanout::{Fanout, Keeping, Parcel};
use crate::identity::{Claims, Services};
use crate::planted::{Moment, Planted};
use crate::store::{Advance, ChatStore, CursorAt};
use crate::worker::{HandleError, Handler, Settling, settled};

/// How long a cursor waits in a queue. Who comes later asks, so that cursors cannot fill a queue.
const KEEPING: Keeping = Keeping::For(Duration::from_secs(60));

/// Works on receipts.
#[derive(Debug)]
pub(crate) struct Receipts {
    pub(crate) store: Arc<dyn ChatStore>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) services: Services,
    pub(crate) cursor_members_max: u64,
    pub(crate) planted: Planted,
}

impl Receipts {
    fn receipt(&self, incoming: &Incoming) -> Option<Receipt> {
        let claims = Claims {
            user_id: incoming.user_id.as_deref(),
            sender: incoming.sender.as_ref(),
            was_dead_lettered: incoming.was_dead_lettered,
        };
        let author = self.services.author(&claims)?;
        let Ok(Command::Receive(receipt)) = envelope::decode::<Command>(&incoming.body) else {
            return None;
        };
        let claimed = BrokerUser {
            user: receipt.recipient.clone(),
            device: receipt.dev.clone(),
        };
        (author == claimed).then_some(receipt)
    }

    async fn tell(
        &self,
        link: &Link,
        conversation: &ConversationId,
        cursor: CursorAt,
    ) -> Result<(), HandleError> {
        let event = |read| {
            Event::Cursor(Cursor {
                conv: conversation.clone(),
                user: cursor.user.clone(),
                delivered: cursor.delivered,
                read,
            })
        };
        let parcel = |read| Parcel {
            event: event(read),
            keeping: KEEPING,
            place: None,
        };
        let own = std::slice::from_ref(&cursor.user);
        let whole = parcel(cursor.read);
        let mut flying = self.fanout.to_users(link, own, &whole).await?;
        let members = self.directory.members(conversation).await?;
        if members.len() as u64 <= self.cursor_members_max {
            let others: Vec<_> = members
                .iter()
                .map(|member| member.user.clone())
                .filter(|user| *user != cursor.user)
                .collect();
            let reader = self.store.user(&cursor.user).await?;
            let shows = reader.is_some_and(|reader| reader.receipts == Toggle::On);
            let visible = parcel(if shows { cursor.read } else { Seq::NONE });
            flying.extend(self.fanout.to_users(link, &others, &visible).await?);
        }
        self.fanout.settle(link, flying).await?;
        Ok(())
    }
}

/// The highest of each reader in each conversation.
fn merge(receipts: impl IntoIterator<Item = Receipt>, at: Timestamp) -> Vec<Advance> {
    let mut merged: BTreeMap<(ConversationId, UserId), (Seq, Seq)> = BTreeMap::new();
    for receipt in receipts {
        let key = (receipt.conv, receipt.recipient);
        let (delivered, read) = merged.entry(key).or_default();
        *delivered = receipt.seq.max(*delivered);
        match receipt.status {
            ReceiptStatus::Delivered => {}
            ReceiptStatus::Read => *read = receipt.seq.max(*read),
        }
    }
    let advance = |((conv, user), (delivered, read))| Advance {
        conv,
        user,
        delivered,
        read,
        at,
    };
    merged.into_iter().map(advance).collect()
}

#[async_trait]
impl Handler for Receipts {
    async fn handle(&self, link: &Arc<Link>, batch: &[Incoming]) -> Result<Settling, HandleError> {
        let receipts = batch.iter().filter_map(|incoming| {
            let receipt = self.receipt(incoming);
            if receipt.is_none() {
                tracing::info!("a receipt that is not from whom it says, or cannot be read");
            }
            receipt
        });
        let advances = merge(receipts, Timestamp::now());
        if advances.is_empty() {
            return Ok(settled());
        }
        self.planted.pass(Moment::BeforeAdvance);
        let moved = self.store.advance(advances.clone()).await?;
        self.planted.pass(Moment::AfterAdvance);
        for (advance, cursor) in advances.iter().zip(moved) {
            if let Some(cursor) = cursor {
                self.tell(link, &advance.conv, cursor).await?;
            }
        }
        self.planted.pass(Moment::BeforeReceiptAck);
        Ok(settled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_client::message::MessageId;
    use proptest::prelude::*;

    fn receipt(user: &str, seq: u64, status: ReceiptStatus) -> Receipt {
        Receipt {
            recipient: user.parse().unwrap(),
            dev: "dterm".parse().unwrap(),
            conv: "g_ops".parse().unwrap(),
            message: MessageId::new(Timestamp::now()),
            seq: Seq(seq),
            status,
            at: Timestamp::now(),
        }
    }

    proptest! {
        #[test]
        fn receipts_come_to_the_same_cursors_in_any_order_and_any_pieces(
            steps in prop::collection::vec((0..2_u8, 1..50_u64, any::<bool>()), 1..60),
            cut in 0..60_usize,
        ) {
            let receipts: Vec<_> = steps.iter().map(|(user, seq, is_read)| {
                let status = if *is_read { ReceiptStatus::Read } else { ReceiptStatus::Delivered };
                receipt(["uana", "ubruno"][usize::from(*user)], *seq, status)
            }).collect();
            let at = Timestamp::now();
            let whole = merge(receipts.clone(), at);
            let mut reversed = receipts.clone();
            reversed.reverse();
            prop_assert_eq!(&merge(reversed, at), &whole);
            let (first, second) = receipts.split_at(cut.min(receipts.len()));
            let mut highest: BTreeMap<UserId, (Seq, Seq)> = BTreeMap::new();
            for part in [first, second] {
                for advance in merge(part.to_vec(), at) {
                    let (delivered, read) = highest.entry(advance.user).or_default();
                    *delivered = advance.delivered.max(*delivered);
                    *read = advance.read.max(*read);
                }
            }
            for advance in whole {
                prop_assert_eq!(highest[&advance.user], (advance.delivered, advance.read));
                prop_assert!(advance.read <= advance.delivered);
            }
        }
    }
}
