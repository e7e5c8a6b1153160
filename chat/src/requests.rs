//! Requests over AMQP: the [`Desk`] behind a queue.

use std::sync::Arc;

use async_trait::async_trait;
use leveret_client::message::properties::{Address, DeliveryMode, Properties};
use leveret_client::message::{RejectionCode, Reply, Request, Timestamp, envelope};

use crate::amqp::{Incoming, Link, Outgoing};
use crate::desk::Desk;
use crate::identity::{Claims, Services};
use crate::worker::{HandleError, Handler, Settling, settled};

/// Works on requests.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) desk: Desk,
    pub(crate) services: Services,
}

impl Requests {
    async fn answer(&self, incoming: &Incoming) -> Reply {
        let claims = Claims {
            user_id: incoming.user_id.as_deref(),
            sender: incoming.sender.as_ref(),
            was_dead_lettered: incoming.was_dead_lettered,
        };
        let Some(author) = self.services.author(&claims) else {
            let code = RejectionCode::Forged;
            return Reply::Refused { code };
        };
        match envelope::decode::<Request>(&incoming.body) {
            Ok(request) => self.desk.answer(&author.user, request).await,
            Err(error) => Reply::Refused { code: error.code },
        }
    }
}

#[async_trait]
impl Handler for Requests {
    async fn handle(&self, link: &Arc<Link>, batch: &[Incoming]) -> Result<Settling, HandleError> {
        let mut pending = Vec::new();
        for incoming in batch {
            let Some(queue) = &incoming.reply_to else {
                continue;
            };
            let reply = self.answer(incoming).await;
            let now = Timestamp::now();
            let mut properties = Properties::new("chat.reply.v1", DeliveryMode::Transient, now);
            properties
                .correlation_id
                .clone_from(&incoming.correlation_id);
            let body = envelope::encode(&reply);
            let message = Outgoing {
                address: Address::queue(queue),
                also: &[],
                properties,
                body: &body,
            };
            pending.push(link.publish(message).await?);
        }
        for answer in pending {
            // Whoever asked may be gone; then nobody misses the answer.
            answer.wait().await?;
        }
        Ok(settled())
    }
}
