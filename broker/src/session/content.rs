//! Publishing: from content frames to queues (spec 5.1).

use super::assembler::{BODY_BYTES_CEILING, ContentFault, Progress, PublishFlags};
use super::channel::Mode;
use super::core::Session;
use super::transaction::PendingPublish;
use crate::engine::{
    CarbonCopies, Event, Origin, REPLY_QUEUE, Route, check_expiration, check_user_id, text,
};
use crate::model::{
    AmqpError, Attempts, ExchangeName, Message, MessageParts, ReplyCode, Resource, Verb,
};
use crate::wire::encoder::{self, Content, Returned};
use crate::wire::method::{basic, publish_address};
use crate::wire::{ContentHeader, Properties, PropertiesBuilder, Property};

const PUBLISH: (u16, u16) = (60, 40);

/// Uncommitted publishes of one channel, in bytes.
const TRANSACTION_BYTES_MAX: usize = 256 << 20;

impl Session {
    /// A `basic.publish` came; its content follows.
    pub(super) fn begin_publish(
        &mut self,
        number: u16,
        publish: &basic::Publish<'_>,
        payload: &[u8],
    ) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let flags = PublishFlags {
            mandatory: publish.mandatory,
            immediate: publish.immediate,
        };
        let address = publish_address(payload);
        channel
            .assembler
            .begin(publish.exchange, publish.routing_key, address, flags);
    }

    /// Takes a content header frame.
    pub(super) fn content_header(&mut self, number: u16, payload: &[u8]) -> Result<(), AmqpError> {
        let message_bytes_max = self.settings.message_bytes_max;
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        let claimed = match channel.assembler.header(payload).map_err(content_error)? {
            Progress::Claimed(claimed) => claimed,
            Progress::Incomplete | Progress::Complete => return Ok(()),
        };
        if claimed > message_bytes_max {
            let configured = if message_bytes_max == BODY_BYTES_CEILING {
                ""
            } else {
                "configured "
            };
            let text = format!(
                "message size {claimed} is larger than {configured}max size {message_bytes_max}"
            );
            return Err(blame(AmqpError::new(ReplyCode::PreconditionFailed, text)));
        }
        if claimed == 0 {
            self.complete(number)
        } else {
            Ok(())
        }
    }

    /// Takes a body frame.
    pub(super) fn content_body(&mut self, number: u16, payload: &[u8]) -> Result<(), AmqpError> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        match channel.assembler.body(payload).map_err(content_error)? {
            Progress::Complete => self.complete(number),
            Progress::Claimed(_) => Ok(()),
            Progress::Incomplete => self.check_partial_bytes(),
        }
    }

    /// Spec 13.3: many channels with half a message each must not hold the broker's memory.
    fn check_partial_bytes(&self) -> Result<(), AmqpError> {
        let partial: usize = self
            .channels
            .values()
            .map(|channel| channel.assembler.partial_bytes())
            .sum();
        if partial <= self.settings.partial_bytes_max {
            return Ok(());
        }
        let text = format!(
            "incomplete messages of {partial} bytes exceed the limit of {} bytes per connection",
            self.settings.partial_bytes_max
        );
        Err(blame(AmqpError::new(ReplyCode::ResourceError, text)))
    }

    fn complete(&mut self, number: u16) -> Result<(), AmqpError> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        let Some((message, flags)) = channel.assembler.finish() else {
            return Ok(());
        };
        self.publish(number, message, flags).map_err(blame)
    }

    fn publish(
        &mut self,
        number: u16,
        message: Message,
        flags: PublishFlags,
    ) -> Result<(), AmqpError> {
        if flags.immediate {
            return Err(AmqpError::new(ReplyCode::NotImplemented, "immediate=true"));
        }
        let message = self.route(number, message)?;
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        let route = self.routes.route();
        channel.meter.add_publish(message.body().len() as u64);
        if route.is_empty() {
            channel.meter.add(unroutable(flags.mandatory), 1);
        }
        let is_returned = flags.mandatory && route.is_empty();
        let returned = is_returned.then(|| message.clone());
        match &mut channel.mode {
            Mode::Plain => {
                let origin = Origin {
                    channel: number,
                    number: 0,
                };
                self.burst.add(route, message, origin);
            }
            Mode::Confirm(tracker) => {
                let origin = Origin {
                    channel: number,
                    number: tracker.publish(),
                };
                channel.meter.unconfirmed.set(tracker.unanswered());
                self.burst.add(route, message, origin);
                self.confirming.insert(number);
            }
            Mode::Transactional(transaction) => {
                let publish = PendingPublish {
                    route: route.clone(),
                    message,
                    is_returned,
                };
                if !transaction.publish(publish, TRANSACTION_BYTES_MAX) {
                    let text = "the transaction is too large";
                    return Err(AmqpError::new(ReplyCode::ResourceError, text));
                }
                channel.note_uncommitted();
                return Ok(());
            }
        }
        if let Some(message) = returned {
            self.return_message(number, &message);
        }
        Ok(())
    }

    /// Finds the queues for a message and leaves them in the cache. What comes back is the message as
    /// it is to be delivered.
    fn route(&mut self, number: u16, message: Message) -> Result<Message, AmqpError> {
        let generation = self.host.generation();
        self.rights.refresh(&self.engine);
        let (rights, version) = (self.rights.current(), self.rights.version());
        let Some(channel) = self.channels.get(&number) else {
            return Ok(message);
        };
        let properties = Properties::new(message.header().get(12..).unwrap_or_default());
        let wants_reply = properties.contains(Property::ReplyTo)
            && properties.reply_to() == Some(REPLY_QUEUE.as_bytes());
        let is_plain = !wants_reply
            && ![Property::Headers, Property::Expiration, Property::UserId]
                .into_iter()
                .any(|property| properties.contains(property));
        self.routes.refresh(generation, version);
        if is_plain && self.routes.find(message.envelope()) {
            return Ok(message);
        }
        let name = ExchangeName::from(&*text(message.exchange()));
        rights.check(Verb::Write, Resource::Exchange(name.as_str()))?;
        let exchange = self.host.existing_exchange(&name)?;
        if exchange.definition.internal {
            return Err(AmqpError::exchange_is_internal(&name, self.host.name()));
        }
        let reply_address = match (wants_reply, &channel.replies) {
            (true, Some(address)) => Some(address.name()),
            (true, None) => return Err(AmqpError::no_reply_consumer()),
            (false, _) => None,
        };
        check_expiration(properties)?;
        let carbon_copies = CarbonCopies::read(properties)?;
        let keys = std::iter::once(message.routing_key()).chain(carbon_copies.keys());
        if exchange.routes_by_topic() {
            for key in keys.clone() {
                rights.check_topic(Verb::Write, &name, key)?;
            }
        }
        check_user_id(properties, rights)?;
        let route = Route::find(&self.host, &exchange, keys, properties);
        let is_reusable = is_plain && route.depends_on_key_alone();
        let tells_duplicates = route.tells_duplicates();
        self.routes.remember(message.envelope(), route, is_reusable);
        let message = match reply_address {
            Some(address) => with_reply_address(&message, carbon_copies.are_blind(), address),
            None if carbon_copies.are_blind() => Ok(with_blind_copies(message)),
            None => Ok(message),
        };
        // What was acknowledged before is gone before this comes, and has no duplicates.
        if tells_duplicates && !self.settlements.is_empty() {
            self.flush();
        }
        message
    }

    pub(super) fn return_message(&mut self, number: u16, message: &Message) {
        let returned = Returned {
            reply_code: ReplyCode::NoRoute.number(),
            reply_text: "NO_ROUTE",
            address: message.envelope(),
        };
        let content = Content {
            header: &message.header_for(Attempts::default()),
            body: message.body(),
        };
        let limit = self.limit();
        // It came from this client in frames of this size, so it fits; but for a header that a
        // reply address has made too long.
        if let Err(error) = encoder::return_(&mut self.out, number, &returned, &content, limit) {
            tracing::error!(%error, "a message could not be returned");
        }
    }
}

/// What happens to a message that no queue takes.
const fn unroutable(mandatory: bool) -> Event {
    if mandatory {
        Event::ReturnUnroutable
    } else {
        Event::DropUnroutable
    }
}

fn blame(error: AmqpError) -> AmqpError {
    if error.method.class == 0 {
        error.blaming(PUBLISH.0, PUBLISH.1)
    } else {
        error
    }
}

fn content_error(fault: ContentFault) -> AmqpError {
    match fault {
        ContentFault::Unexpected(text) => blame(AmqpError::new(ReplyCode::UnexpectedFrame, text)),
        ContentFault::WrongClass(class) => blame(AmqpError::new(
            ReplyCode::UnexpectedFrame,
            format!("expected content header for class 60, got one for class {class} instead"),
        )),
        ContentFault::TooLarge(claimed) => AmqpError::new(
            ReplyCode::FrameError,
            format!(
                "content body size {claimed} exceeds maximum allowed size {BODY_BYTES_CEILING}"
            ),
        ),
        ContentFault::Overrun => AmqpError::new(
            ReplyCode::FrameError,
            "content body frame exceeds remaining content size",
        ),
        ContentFault::Header(error) => AmqpError::new(ReplyCode::FrameError, error.to_string()),
    }
}

/// The same message, known to have a BCC header, which no consumer may see.
fn with_blind_copies(message: Message) -> Message {
    let parts = MessageParts {
        blind_copies: true,
        ..message.parts()
    };
    // The lengths are those of before.
    Message::new(parts, message.encoded()).unwrap_or(message)
}

/// The same message with the address to which replies really go.
fn with_reply_address(
    message: &Message,
    blind_copies: bool,
    reply_address: &str,
) -> Result<Message, AmqpError> {
    let undecodable =
        || AmqpError::new(ReplyCode::FrameError, "message headers cannot be rewritten");
    let header = ContentHeader::parse(message.header()).map_err(|_| undecodable())?;
    let properties = PropertiesBuilder::from(header.properties)
        .text(Property::ReplyTo, reply_address)
        .map_err(|_| undecodable())?
        .finish();
    let mut encoded = message.envelope().to_vec();
    let start = encoded.len();
    ContentHeader::write(&mut encoded, header.body_size, &properties);
    let header_bytes = u32::try_from(encoded.len() - start).map_err(|_| undecodable())?;
    encoded.extend_from_slice(message.body());
    Message::new(
        MessageParts {
            header_bytes,
            blind_copies,
            ..message.parts()
        },
        &encoded,
    )
    .ok_or_else(undecodable)
}
