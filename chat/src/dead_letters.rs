//! Messages that were set aside because they brought their router down: their senders are told, and the
//! messages stay in `chat.dead` for an operator.

use std::sync::Arc;

use async_trait::async_trait;
use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{Bump, Command, Event, Rejected, RejectionCode, Sent, envelope};

use crate::amqp::{Incoming, Link};
use crate::directory::Directory;
use crate::fanout::{Fanout, Keeping, Parcel};
use crate::planted::{Moment, Planted};
use crate::store::ChatStore;
use crate::worker::{HandleError, Handler, Settling, settled};

/// Works on copies of dead letters.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    pub(crate) store: Arc<dyn ChatStore>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) planted: Planted,
}

#[async_trait]
impl Handler for DeadLetters {
    async fn handle(&self, link: &Arc<Link>, batch: &[Incoming]) -> Result<Settling, HandleError> {
        for incoming in batch {
            let Ok(Command::Send(post)) = envelope::decode::<Command>(&incoming.body) else {
                continue;
            };
            // The router had checked, or never came to it: only the broker's own word counts here.
            let device = BrokerUser {
                user: post.from.clone(),
                device: post.dev.clone(),
            };
            let named = incoming.user_id.as_deref();
            if named != Some(device.name().as_str()) && incoming.sender.as_ref() != Some(&device) {
                continue;
            }
            tracing::error!(id = %post.id, conv = %post.conv, "a message was set aside");
            self.planted.pass(Moment::BeforeVerdict);
            let stored = self.store.message_of(&post.from, post.id).await?;
            let mut flying = Vec::new();
            let event = match stored {
                None => Event::Rejected(Rejected::new(post.id, RejectionCode::Poison)),
                Some(message) => {
                    let members = self.directory.members(&message.conv).await?;
                    let users: Vec<_> = members.iter().map(|member| member.user.clone()).collect();
                    let bump = Parcel {
                        event: Event::Bump(Bump {
                            conv: message.conv.clone(),
                            last_seq: message.seq,
                        }),
                        keeping: Keeping::Durable,
                        place: None,
                    };
                    flying.extend(self.fanout.to_users(link, &users, &bump).await?);
                    Event::Sent(Sent {
                        id: message.id,
                        conv: message.conv,
                        seq: message.seq,
                        ts: message.ts,
                    })
                }
            };
            let answer = Parcel {
                event,
                keeping: Keeping::Durable,
                place: None,
            };
            flying.extend(self.fanout.to_device(link, &device, &answer).await?);
            self.fanout.settle(link, flying).await?;
            self.planted.pass(Moment::AfterVerdict);
        }
        Ok(settled())
    }
}
