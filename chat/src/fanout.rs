//! From one event to everybody's queues.
//!
//! Queues of devices are named in one publish, a hundred at a time (`BCC`, which the broker takes out).
//! If one of them does not take it the whole publish is refused, though the others have it: it is not
//! repeated, but sent to each alone, once. A device that does not take it then is marked *behind*, and
//! told later that there is more; the history has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leveret_client::message::properties::{Address, BrokerUser, DeliveryMode, Properties};
use leveret_client::message::{
    ConversationId, Delivery, DeviceId, Event, Seq, Timestamp, UserId, envelope,
};

use crate::amqp::{Link, LinkError, Outgoing, Pending, Published};
use crate::directory::Directory;
use crate::store::StoreError;

/// How long an event may wait for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// Until it is read.
    Durable,
    /// So long; then nobody wants it.
    For(Duration),
}

/// An event and what its AMQP message says about it.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) event: Event,
    pub(crate) keeping: Keeping,
    pub(crate) place: Option<(ConversationId, Seq)>,
}

/// Why something was not handed on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FanoutError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was published and not confirmed yet.
#[derive(Debug)]
pub(crate) struct Flying {
    pending: Pending,
    to: FlyingTo,
    properties: Properties,
    body: Arc<Vec<u8>>,
}

#[derive(Debug)]
enum FlyingTo {
    Inboxes(Vec<BrokerUser>),
    Gateway(String),
}

/// Hands events on.
#[derive(Debug)]
pub(crate) struct Fanout {
    directory: Arc<Directory>,
    chunk: usize,
    degraded: AtomicU64,
}

impl Fanout {
    pub(crate) fn new(directory: Arc<Directory>, chunk: usize) -> Self {
        Self {
            directory,
            chunk: chunk.max(1),
            degraded: AtomicU64::new(0),
        }
    }

    /// Devices that could not be told something, since the start.
    pub(crate) fn degraded(&self) -> u64 {
        self.degraded.load(Ordering::Relaxed)
    }

    /// Publishes for all devices of these users. What is in flight is to be [settled](Self::settle).
    pub(crate) async fn to_users(
        &self,
        link: &Link,
        users: &[UserId],
        parcel: &Parcel,
    ) -> Result<Vec<Flying>, FanoutError> {
        let mut inboxes = Vec::new();
        let mut gateways: Vec<(String, Vec<UserId>)> = Vec::new();
        for user in users {
            let targets = self.directory.targets(user).await?;
            inboxes.extend(targets.inboxes.iter().map(|device| BrokerUser {
                user: user.clone(),
                device: device.clone(),
            }));
            for queue in targets.gateways {
                match gateways.iter_mut().find(|(known, _)| *known == queue) {
                    Some((_, users)) => users.push(user.clone()),
                    None => gateways.push((queue, vec![user.clone()])),
                }
            }
        }
        let mut flying = Vec::new();
        let properties = properties(parcel);
        if !inboxes.is_empty() {
            let body = encode(&Delivery::direct(parcel.event.clone()));
            for chunk in inboxes.chunks(self.chunk) {
                flying.push(publish_to_inboxes(link, chunk, &properties, &body).await?);
            }
        }
        for (queue, to) in gateways {
            let delivery = Delivery {
                to,
                to_dev: None,
                event: parcel.event.clone(),
            };
            flying.push(publish_to_gateway(link, queue, &properties, &delivery).await?);
        }
        Ok(flying)
    }

    /// Publishes for one device.
    pub(crate) async fn to_device(
        &self,
        link: &Link,
        device: &BrokerUser,
        parcel: &Parcel,
    ) -> Result<Vec<Flying>, FanoutError> {
        let targets = self.directory.targets(&device.user).await?;
        let properties = properties(parcel);
        let has_inbox = |id: &DeviceId| *id == device.device;
        if targets.inboxes.iter().any(has_inbox) {
            let body = encode(&Delivery::direct(parcel.event.clone()));
            let chunk = std::slice::from_ref(device);
            return Ok(vec![
                publish_to_inboxes(link, chunk, &properties, &body).await?,
            ]);
        }
        let mut flying = Vec::new();
        for queue in targets.gateways {
            let delivery = Delivery {
                to: vec![device.user.clone()],
                to_dev: Some(device.device.clone()),
                event: parcel.event.clone(),
            };
            flying.push(publish_to_gateway(link, queue, &properties, &delivery).await?);
        }
        Ok(flying)
    }

    /// Waits until everything was taken, or it is known what was not.
    pub(crate) async fn settle(&self, link: &Link, flying: Vec<Flying>) -> Result<(), FanoutError> {
        for one in flying {
            match (one.pending.wait().await?, one.to) {
                (Published::Confirmed, _) => {}
                (Published::Unroutable | Published::Refused, FlyingTo::Gateway(queue)) => {
                    // Its users read the history when they come back.
                    self.directory.forget_gateway(&queue);
                }
                // The queue expired: its device is set up again when it comes back.
                (Published::Unroutable, FlyingTo::Inboxes(_)) => {}
                (Published::Refused, FlyingTo::Inboxes(devices)) => {
                    self.one_by_one(link, devices, &one.properties, &one.body)
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn one_by_one(
        &self,
        link: &Link,
        devices: Vec<BrokerUser>,
        properties: &Properties,
        body: &Arc<Vec<u8>>,
    ) -> Result<(), FanoutError> {
        for device in devices {
            let chunk = std::slice::from_ref(&device);
            let flying = publish_to_inboxes(link, chunk, properties, body).await?;
            match flying.pending.wait().await? {
                Published::Confirmed | Published::Unroutable => {}
                Published::Refused => {
                    self.degraded.fetch_add(1, Ordering::Relaxed);
                    self.directory.mark_behind(&device, true).await?;
                }
            }
        }
        Ok(())
    }
}

fn encode(delivery: &Delivery) -> Arc<Vec<u8>> {
    Arc::new(envelope::encode(delivery))
}

fn properties(parcel: &Parcel) -> Properties {
    let (kind, mode) = match (&parcel.event, parcel.keeping) {
        (Event::Msg(_), _) => ("chat.msg.v1", DeliveryMode::Persistent),
        (_, Keeping::Durable) => ("chat.event.v1", DeliveryMode::Persistent),
        (_, Keeping::For(_)) => ("chat.event.v1", DeliveryMode::Transient),
    };
    let mut properties = Properties::new(kind, mode, Timestamp::now());
    if let Keeping::For(time) = parcel.keeping {
        properties.expiration = Some(time);
    }
    if let Some((conversation, seq)) = &parcel.place {
        properties.conversation = Some(conversation.clone());
        properties.seq = Some(*seq);
    }
    match &parcel.event {
        Event::Msg(message) => properties.message_id = Some(message.id.to_string()),
        Event::Sent(sent) => properties.correlation_id = Some(sent.id.to_string()),
        Event::Rejected(rejected) => properties.correlation_id = Some(rejected.id.to_string()),
        Event::Cursor(_)
        | Event::Bump(_)
        | Event::Typing(_)
        | Event::Presence(_)
        | Event::Unknown => {}
    }
    properties
}

async fn publish_to_inboxes(
    link: &Link,
    devices: &[BrokerUser],
    properties: &Properties,
    body: &Arc<Vec<u8>>,
) -> Result<Flying, FanoutError> {
    let queues: Vec<_> = devices.iter().map(BrokerUser::inbox).collect();
    let (first, others) = queues.split_first().ok_or_else(|| {
        FanoutError::Store(StoreError::Damaged("a publish for nobody".to_owned()))
    })?;
    let message = Outgoing {
        address: Address::queue(first),
        also: others,
        properties: properties.clone(),
        body,
    };
    Ok(Flying {
        pending: link.publish(message).await?,
        to: FlyingTo::Inboxes(devices.to_vec()),
        properties: properties.clone(),
        body: body.clone(),
    })
}

async fn publish_to_gateway(
    link: &Link,
    queue: String,
    properties: &Properties,
    delivery: &Delivery,
) -> Result<Flying, FanoutError> {
    let body = encode(delivery);
    let message = Outgoing {
        address: Address::queue(&queue),
        also: &[],
        properties: properties.clone(),
        body: &body,
    };
    Ok(Flying {
        pending: link.publish(message).await?,
        to: FlyingTo::Gateway(queue),
        properties: properties.clone(),
        body: body.clone(),
    })
}
