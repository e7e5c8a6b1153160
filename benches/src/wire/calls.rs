//! The requests the generator makes, each one a call that waits for its answer.

use std::time::Instant;

use crate::wire::connection::{PATIENCE, header_body_bytes};
use crate::wire::method::{self, MethodFrame, Value};
use crate::wire::{Arguments, ClientError, Connection, FrameKind, append_frame, control};

/// Who says that a message has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledgement {
    /// The broker, when it sends it.
    Automatic,
    /// The consumer.
    Explicit,
}

impl Connection {
    pub(crate) fn open_channel(&mut self, channel: u16) -> Result<(), ClientError> {
        let open = MethodFrame::new(channel, method::CHANNEL_OPEN)
            .short_string("")
            .finish()?;
        self.call(&open, channel, method::CHANNEL_OPEN_OK, "channel.open-ok")?;
        Ok(())
    }

    /// Declares a queue that outlives its consumers.
    pub(crate) fn declare_queue(
        &mut self,
        channel: u16,
        queue: &str,
        durable: bool,
        arguments: &[(String, Value)],
    ) -> Result<(), ClientError> {
        let declare = MethodFrame::new(channel, method::QUEUE_DECLARE)
            .u16(0)
            .short_string(queue)
            .u8(if durable { 2 } else { 0 })
            .table(arguments)
            .finish()?;
        self.call(
            &declare,
            channel,
            method::QUEUE_DECLARE_OK,
            "queue.declare-ok",
        )?;
        Ok(())
    }

    /// The number of messages ready in a queue that exists.
    pub(crate) fn queue_depth(&mut self, channel: u16, queue: &str) -> Result<u64, ClientError> {
        let declare = MethodFrame::new(channel, method::QUEUE_DECLARE)
            .u16(0)
            .short_string(queue)
            .u8(1)
            .table(&[])
            .finish()?;
        let answer = self.call(
            &declare,
            channel,
            method::QUEUE_DECLARE_OK,
            "queue.declare-ok",
        )?;
        let mut arguments = Arguments::new(&answer);
        arguments.short_string()?;
        Ok(u64::from(arguments.u32()?))
    }

    pub(crate) fn delete_queue(&mut self, channel: u16, queue: &str) -> Result<(), ClientError> {
        let delete = MethodFrame::new(channel, method::QUEUE_DELETE)
            .u16(0)
            .short_string(queue)
            .u8(0)
            .finish()?;
        self.call(&delete, channel, method::QUEUE_DELETE_OK, "queue.delete-ok")?;
        Ok(())
    }

    /// Puts the channel into confirm mode.
    pub(crate) fn select_confirms(&mut self, channel: u16) -> Result<(), ClientError> {
        let select = MethodFrame::new(channel, method::CONFIRM_SELECT)
            .u8(0)
            .finish()?;
        self.call(
            &select,
            channel,
            method::CONFIRM_SELECT_OK,
            "confirm.select-ok",
        )?;
        Ok(())
    }

    /// Starts a consumer on each queue with one write. Its tag is the queue's place in the list.
    ///
    /// Nothing is waited for: deliveries may come before the answers, and who waits drops them.
    /// All channels have to be open before the first consumer starts.
    pub(crate) fn consume_all(
        &mut self,
        channel: u16,
        queues: &[String],
        prefetch: &[u16],
        acknowledge: Acknowledgement,
    ) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        let mut latest = None;
        for (place, (queue, prefetch)) in queues.iter().zip(prefetch).enumerate() {
            // A prefetch holds for the consumers that come after it.
            if latest.replace(prefetch) != Some(prefetch) {
                let qos = MethodFrame::new(channel, method::BASIC_QOS)
                    .u32(0)
                    .u16(*prefetch)
                    .u8(0);
                bytes.extend(qos.finish()?);
            }
            let consume = MethodFrame::new(channel, method::BASIC_CONSUME)
                .u16(0)
                .short_string(queue)
                .short_string(&place.to_string())
                .u8(match acknowledge {
                    Acknowledgement::Automatic => 2,
                    Acknowledgement::Explicit => 0,
                })
                .table(&[]);
            bytes.extend(consume.finish()?);
        }
        self.write(&bytes)
    }

    /// Declares an exchange that outlives its bindings.
    pub(crate) fn declare_exchange(
        &mut self,
        channel: u16,
        exchange: &str,
        kind: &str,
    ) -> Result<(), ClientError> {
        let declare = MethodFrame::new(channel, method::EXCHANGE_DECLARE)
            .u16(0)
            .short_string(exchange)
            .short_string(kind)
            .u8(2)
            .table(&[])
            .finish()?;
        self.call(
            &declare,
            channel,
            method::EXCHANGE_DECLARE_OK,
            "exchange.declare-ok",
        )?;
        Ok(())
    }

    pub(crate) fn delete_exchange(
        &mut self,
        channel: u16,
        exchange: &str,
    ) -> Result<(), ClientError> {
        let delete = MethodFrame::new(channel, method::EXCHANGE_DELETE)
            .u16(0)
            .short_string(exchange)
            .u8(0)
            .finish()?;
        self.call(
            &delete,
            channel,
            method::EXCHANGE_DELETE_OK,
            "exchange.delete-ok",
        )?;
        Ok(())
    }

    pub(crate) fn bind_queue(
        &mut self,
        channel: u16,
        queue: &str,
        exchange: &str,
        routing_key: &str,
    ) -> Result<(), ClientError> {
        let bind = MethodFrame::new(channel, method::QUEUE_BIND)
            .u16(0)
            .short_string(queue)
            .short_string(exchange)
            .short_string(routing_key)
            .u8(0)
            .table(&[])
            .finish()?;
        self.call(&bind, channel, method::QUEUE_BIND_OK, "queue.bind-ok")?;
        Ok(())
    }

    /// Publishes one small transient message through the default exchange.
    pub(crate) fn publish(
        &mut self,
        channel: u16,
        queue: &str,
        body: &[u8],
    ) -> Result<(), ClientError> {
        let mut bytes = MethodFrame::new(channel, method::BASIC_PUBLISH)
            .u16(0)
            .short_string("")
            .short_string(queue)
            .u8(0)
            .finish()?;
        let mut header = Vec::with_capacity(14);
        header.extend_from_slice(&method::BASIC_CLASS.to_be_bytes());
        header.extend_from_slice(&[0, 0]);
        header.extend_from_slice(&(body.len() as u64).to_be_bytes());
        header.extend_from_slice(&[0, 0]);
        append_frame(&mut bytes, FrameKind::Header, channel, &header);
        append_frame(&mut bytes, FrameKind::Body, channel, body);
        self.write(&bytes)
    }

    /// Gets one message without acknowledgement; `None` when the queue is empty.
    pub(crate) fn get(&mut self, channel: u16, queue: &str) -> Result<Option<()>, ClientError> {
        let get = MethodFrame::new(channel, method::BASIC_GET)
            .u16(0)
            .short_string(queue)
            .u8(1)
            .finish()?;
        self.write(&get)?;
        let accepted = [method::BASIC_GET_OK, method::BASIC_GET_EMPTY];
        let (answer, _) = self.answer(channel, &accepted, "basic.get-ok")?;
        if answer == method::BASIC_GET_EMPTY {
            return Ok(None);
        }
        self.skip_content(channel)?;
        Ok(Some(()))
    }

    /// Reads a header and the bodies it announces, and keeps none of them.
    fn skip_content(&mut self, channel: u16) -> Result<(), ClientError> {
        let mut missing = None;
        let deadline = Instant::now() + PATIENCE;
        while missing != Some(0) {
            let Some(frame) = self.next_frame()? else {
                self.read()?;
                if Instant::now() > deadline {
                    let waiting_for = "the rest of a message";
                    return Err(ClientError::Timeout {
                        waiting_for,
                        seconds: PATIENCE.as_secs(),
                    });
                }
                continue;
            };
            match (frame.kind, &mut missing) {
                _ if frame.channel != channel => {}
                (FrameKind::Header, _) => missing = Some(header_body_bytes(frame.payload)?),
                (FrameKind::Body, Some(rest)) => {
                    *rest = rest.saturating_sub(frame.payload.len() as u64);
                }
                (FrameKind::Method | FrameKind::Body | FrameKind::Heartbeat, _) => {
                    control(&frame)?;
                }
            }
        }
        Ok(())
    }

    /// Closes in good order, so that the broker has taken everything sent before.
    pub(crate) fn close(mut self) -> Result<(), ClientError> {
        let close = MethodFrame::new(0, method::CONNECTION_CLOSE)
            .u16(200)
            .short_string("done")
            .u32(0)
            .finish()?;
        self.call(
            &close,
            0,
            method::CONNECTION_CLOSE_OK,
            "connection.close-ok",
        )?;
        Ok(())
    }
}
