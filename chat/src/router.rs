//! Messages: checked, appended, handed on, and only then acknowledged.
//!
//! A crash anywhere is healed by the redelivery: the second append finds the first, and everything after
//! it is done again, which recipients recognise by `seq`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{
    Body, Bump, Command, ConversationId, ConversationKind, Event, Message, MessageId, Post,
    Rejected, RejectionCode, SendShard, Sent, ShardCount, Timestamp, UserId, envelope,
};
use parking_lot::Mutex;

use crate::amqp::{Incoming, Link};
use crate::directory::Directory;
use crate::fanout::{Fanout, Flying, Keeping, Parcel};
use crate::identity::{Claims, Services};
use crate::planted::{Moment, Planted};
use crate::rate::Rates;
use crate::store::{Append, Appended, Appends, ChatStore, Conversation, StoreError};
use crate::worker::{HandleError, Handler, Settling};

/// What the routers of a process share.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) store: Arc<dyn ChatStore>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) services: Services,
    pub(crate) shards: ShardCount,
    pub(crate) rates: Mutex<Rates<UserId>>,
    pub(crate) group_rates: Mutex<Rates<ConversationId>>,
    pub(crate) fanout_write_max: u64,
    pub(crate) planted: Planted,
}

/// The router of one shard.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) routing: Arc<Routing>,
    pub(crate) shard: SendShard,
}

/// What is to be done about a delivery.
#[derive(Debug)]
enum Admission {
    /// To be appended.
    Append(Append),
    /// To be refused unless it was appended before: sending again is harmless, whatever the time is by then
    /// and however much was sent in between.
    Decline(Append, RejectionCode),
    /// To be refused, if it can be said to whom and of what.
    Refuse(Option<(BrokerUser, MessageId)>, RejectionCode),
}

/// A refusal that a message which was appended before does not get.
fn is_forgiven_to_duplicates(code: RejectionCode) -> bool {
    matches!(code, RejectionCode::Clock | RejectionCode::RateLimited)
}

impl Router {
    fn admit(&self, incoming: &Incoming, now: Timestamp) -> Admission {
        let claims = Claims {
            user_id: incoming.user_id.as_deref(),
            sender: incoming.sender.as_ref(),
            was_dead_lettered: incoming.was_dead_lettered,
        };
        let author = self.routing.services.author(&claims);
        let post = match envelope::decode::<Command>(&incoming.body) {
            Ok(Command::Send(post)) => post,
            Ok(Command::Receive(_) | Command::Typing(_) | Command::Presence(_)) => {
                return Admission::Refuse(None, RejectionCode::Unsupported);
            }
            Err(error) => {
                tracing::debug!(reason = error.reason, "a message that cannot be read");
                return Admission::Refuse(author.zip(error.id), error.code);
            }
        };
        self.routing.planted.taste(&post.body);
        let claimed = BrokerUser {
            user: post.from.clone(),
            device: post.dev.clone(),
        };
        if author.as_ref() != Some(&claimed) {
            // Whom to tell is not known if nobody vouches for it.
            let whom = author.map(|author| (author, post.id));
            return Admission::Refuse(whom, RejectionCode::Forged);
        }
        match self.check(&post, incoming, now) {
            Ok(()) => Admission::Append(Append { post, at: now }),
            Err(code) if is_forgiven_to_duplicates(code) => {
                Admission::Decline(Append { post, at: now }, code)
            }
            // Of the message alone: a second copy has the same answer.
            Err(code) => Admission::Refuse(Some((claimed, post.id)), code),
        }
    }

    fn check(&self, post: &Post, incoming: &Incoming, now: Timestamp) -> Result<(), RejectionCode> {
        if self.routing.shards.shard_of(&post.conv) != self.shard {
            return Err(RejectionCode::WrongShard);
        }
        post.check(now)?;
        // What comes again was counted when it came first.
        if !incoming.redelivered && !self.is_within_rates(post, Instant::now()) {
            return Err(RejectionCode::RateLimited);
        }
        Ok(())
    }

    fn is_within_rates(&self, post: &Post, now: Instant) -> bool {
        let routing = &self.routing;
        if !routing.rates.lock().take(post.from.clone(), now) {
            return false;
        }
        match post.conv.kind() {
            ConversationKind::Group => routing.group_rates.lock().take(post.conv.clone(), now),
            // The two are limited each by its own rate.
            ConversationKind::Direct => true,
        }
    }

    async fn refuse(
        &self,
        link: &Link,
        whom: Option<(BrokerUser, MessageId)>,
        code: RejectionCode,
    ) -> Result<Vec<Flying>, HandleError> {
        let Some((device, id)) = whom else {
            tracing::info!(shard = self.shard.number(), %code, "a message of nobody was refused");
            return Ok(Vec::new());
        };
        tracing::debug!(user = %device.user, %id, %code, "refused");
        let parcel = Parcel {
            event: Event::Rejected(Rejected::new(id, code)),
            keeping: Keeping::Durable,
            place: None,
        };
        let fanout = &self.routing.fanout;
        Ok(fanout.to_device(link, &device, &parcel).await?)
    }

    async fn conversation<'c>(
        &self,
        id: &ConversationId,
        known: &'c mut HashMap<ConversationId, Conversation>,
    ) -> Result<&'c Conversation, HandleError> {
        match known.entry(id.clone()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => {
                let found = self.routing.store.conversation(id).await?;
                let found = found.ok_or_else(|| {
                    StoreError::Damaged(format!("{id} has a message and is not there"))
                })?;
                Ok(unknown.insert(found))
            }
        }
    }

    /// Everybody's copy, and the sender's answer.
    async fn hand_on(
        &self,
        link: &Link,
        append: &Append,
        conversation: &Conversation,
        message: Message,
    ) -> Result<Vec<Flying>, HandleError> {
        let routing = &self.routing;
        let directory = &routing.directory;
        let mut users = directory.readers(conversation, message.seq).await?;
        // Who has just gone is told so.
        if let Body::Member { user, .. } = &message.body
            && !users.contains(user)
        {
            users.push(user.clone());
        }
        let sent = Sent {
            id: message.id,
            conv: message.conv.clone(),
            seq: message.seq,
            ts: message.ts,
        };
        let place = Some((message.conv.clone(), message.seq));
        let is_large = users.len() as u64 > routing.fanout_write_max;
        let event = if is_large {
            Event::Bump(Bump {
                conv: message.conv.clone(),
                last_seq: message.seq,
            })
        } else {
            Event::Msg(message)
        };
        let parcel = Parcel {
            event,
            keeping: Keeping::Durable,
            place: place.clone(),
        };
        let fanout = &routing.fanout;
        let mut flying = fanout.to_users(link, &users, &parcel).await?;
        let answer = Parcel {
            event: Event::Sent(sent),
            keeping: Keeping::Durable,
            place,
        };
        let device = BrokerUser {
            user: append.post.from.clone(),
            device: append.post.dev.clone(),
        };
        flying.extend(fanout.to_device(link, &device, &answer).await?);
        Ok(flying)
    }
}

#[async_trait]
impl Handler for Router {
    async fn handle(&self, link: &Arc<Link>, batch: &[Incoming]) -> Result<Settling, HandleError> {
        let now = Timestamp::now();
        let mut flying = Vec::new();
        let (mut appends, mut declined) = (Vec::new(), Vec::new());
        for incoming in batch {
            match self.admit(incoming, now) {
                Admission::Append(append) => appends.push(append),
                Admission::Decline(append, code) => declined.push((append, code)),
                Admission::Refuse(whom, code) => {
                    flying.extend(self.refuse(link, whom, code).await?);
                }
            }
        }
        let Routing { store, planted, .. } = &*self.routing;
        planted.pass(Moment::BeforeAppend);
        let Appends {
            outcomes: mut appended,
            conversations,
        } = store.append(appends.clone()).await?;
        if !declined.is_empty() {
            appended.extend(store.refuse(declined.clone()).await?);
            appends.extend(declined.into_iter().map(|(append, _)| append));
        }
        planted.pass(Moment::AfterAppend);
        let known = conversations.into_iter();
        let mut conversations = known
            .map(|conversation| (conversation.id.clone(), conversation))
            .collect();
        for (number, (append, appended)) in appends.iter().zip(appended).enumerate() {
            let more = match appended {
                Appended::Stored(message) | Appended::Duplicate(message) => {
                    let conversation = self.conversation(&message.conv, &mut conversations).await?;
                    self.hand_on(link, append, conversation, message).await?
                }
                Appended::Denied(code) => {
                    let device = BrokerUser {
                        user: append.post.from.clone(),
                        device: append.post.dev.clone(),
                    };
                    self.refuse(link, Some((device, append.post.id)), code)
                        .await?
                }
            };
            flying.extend(more);
            if number == 0 {
                // Once a batch, or the largest would never come to their ends.
                planted.pass(Moment::AmidFanout);
            }
        }
        let (routing, link) = (self.routing.clone(), link.clone());
        Ok(Box::pin(async move {
            routing.fanout.settle(&link, flying).await?;
            routing.planted.pass(Moment::BeforeAck);
            Ok(())
        }))
    }
}
