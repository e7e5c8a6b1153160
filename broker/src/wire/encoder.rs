//! Frames into a byte buffer.
//!
//! A function that fails leaves the buffer as it was.

use std::ops::Range;

use super::arguments::write_short_string;
use super::error::EncodeError;
use super::frame::{END_MARKER, ENVELOPE_LENGTH, FrameKind, FrameLimit, HEAD_LENGTH};
use super::method::{Method, basic};

/// The arguments of `basic.deliver`.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Which consumer gets the message.
    pub consumer_tag: &'a str,
    /// The number of the delivery on its channel.
    pub delivery_tag: u64,
    /// Whether the message may have been delivered before.
    pub redelivered: bool,
    /// Exchange and routing key as two short strings; see
    /// [`publish_address`](super::method::publish_address).
    pub address: &'a [u8],
}

/// The arguments of `basic.get-ok`.
#[derive(Clone, Copy, Debug)]
pub struct Got<'a> {
    /// The number of the delivery on its channel.
    pub delivery_tag: u64,
    /// Whether the message may have been delivered before.
    pub redelivered: bool,
    /// Exchange and routing key as two short strings.
    pub address: &'a [u8],
    /// How many messages the queue still has ready.
    pub message_count: u32,
}

/// The arguments of `basic.return`.
#[derive(Clone, Copy, Debug)]
pub struct Returned<'a> {
    /// Why the message comes back.
    pub reply_code: u16,
    /// The same as text.
    pub reply_text: &'a str,
    /// Exchange and routing key as two short strings.
    pub address: &'a [u8],
}

/// What follows a method that carries content.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// The whole payload of the header frame: class, weight, body size, flags, properties.
    pub header: &'a [u8],
    /// The body, as long as the header says.
    pub body: &'a [u8],
}

/// Appends a method frame.
///
/// # Errors
///
/// If a short string is too long, or the method does not fit into one frame.
pub fn method<'a>(
    buffer: &mut Vec<u8>,
    channel: u16,
    method: impl Into<Method<'a>>,
    limit: FrameLimit,
) -> Result<(), EncodeError> {
    let method = method.into();
    all_or_nothing(buffer, |buffer| {
        method_frame(buffer, channel, limit, |buffer| method.write(buffer))
    })
}

/// Appends `basic.deliver` with its content.
///
/// # Errors
///
/// If the consumer tag is too long, or the content header does not fit into one frame.
pub fn deliver(
    buffer: &mut Vec<u8>,
    channel: u16,
    delivery: &Delivery<'_>,
    content: &Content<'_>,
    limit: FrameLimit,
) -> Result<(), EncodeError> {
    reserve(
        buffer,
        delivery.consumer_tag.len() + delivery.address.len(),
        content,
        limit,
    );
    deliver_head(buffer, channel, delivery, content.header, limit)?;
    bodies(buffer, channel, content.body, limit);
    Ok(())
}

/// Appends `basic.deliver` and the header frame; the body follows in the frames of
/// [`body_frames`], which spare copying it.
///
/// # Errors
///
/// As [`deliver`].
pub fn deliver_head(
    buffer: &mut Vec<u8>,
    channel: u16,
    delivery: &Delivery<'_>,
    header: &[u8],
    limit: FrameLimit,
) -> Result<(), EncodeError> {
    head(buffer, channel, header, limit, |buffer| {
        method_ids(buffer, 60);
        write_short_string(buffer, delivery.consumer_tag.as_bytes())?;
        buffer.extend_from_slice(&delivery.delivery_tag.to_be_bytes());
        buffer.push(delivery.redelivered.into());
        buffer.extend_from_slice(delivery.address);
        Ok(())
    })
}

/// Appends `basic.get-ok` with its content.
///
/// # Errors
///
/// If the content header does not fit into one frame.
pub fn get_ok(
    buffer: &mut Vec<u8>,
    channel: u16,
    got: &Got<'_>,
    content: &Content<'_>,
    limit: FrameLimit,
) -> Result<(), EncodeError> {
    reserve(buffer, got.address.len(), content, limit);
    head(buffer, channel, content.header, limit, |buffer| {
        method_ids(buffer, 71);
        buffer.extend_from_slice(&got.delivery_tag.to_be_bytes());
        buffer.push(got.redelivered.into());
        buffer.extend_from_slice(got.address);
        buffer.extend_from_slice(&got.message_count.to_be_bytes());
        Ok(())
    })?;
    bodies(buffer, channel, content.body, limit);
    Ok(())
}

/// Appends `basic.return` with its content.
///
/// # Errors
///
/// If the reply text is too long, or the content header does not fit into one frame.
pub fn return_(
    buffer: &mut Vec<u8>,
    channel: u16,
    returned: &Returned<'_>,
    content: &Content<'_>,
    limit: FrameLimit,
) -> Result<(), EncodeError> {
    reserve(
        buffer,
        returned.reply_text.len() + returned.address.len(),
        content,
        limit,
    );
    head(buffer, channel, content.header, limit, |buffer| {
        method_ids(buffer, 50);
        buffer.extend_from_slice(&returned.reply_code.to_be_bytes());
        write_short_string(buffer, returned.reply_text.as_bytes())?;
        buffer.extend_from_slice(returned.address);
        Ok(())
    })?;
    bodies(buffer, channel, content.body, limit);
    Ok(())
}

/// Appends `basic.ack`.
pub fn ack(buffer: &mut Vec<u8>, channel: u16, delivery_tag: u64, multiple: bool) {
    settlement(buffer, channel, 80, delivery_tag, multiple);
}

/// Appends `basic.nack` as an answer to a publisher: nothing is requeued.
pub fn nack(buffer: &mut Vec<u8>, channel: u16, delivery_tag: u64, multiple: bool) {
    settlement(buffer, channel, 120, delivery_tag, multiple);
}

/// Two short strings behind one another, as the addresses above want them.
///
/// # Errors
///
/// If one of them is longer than 255 octets.
pub fn address(exchange: &str, routing_key: &str) -> Result<Vec<u8>, EncodeError> {
    let mut address = Vec::with_capacity(2 + exchange.len() + routing_key.len());
    write_short_string(&mut address, exchange.as_bytes())?;
    write_short_string(&mut address, routing_key.as_bytes())?;
    Ok(address)
}

/// The frames of one body: what stands before each piece, and which piece it is. After each piece
/// stands [`END_MARKER`].
#[derive(Clone, Debug)]
pub struct BodyFrames {
    channel: u16,
    rest: Range<usize>,
    payload_max: usize,
}

/// Cuts a body of `length` octets into frames.
#[must_use]
pub fn body_frames(channel: u16, length: usize, limit: FrameLimit) -> BodyFrames {
    BodyFrames {
        channel,
        rest: 0..length,
        payload_max: limit.payload_max(),
    }
}

impl Iterator for BodyFrames {
    type Item = ([u8; HEAD_LENGTH], Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let Range { start, end } = self.rest;
        if start == end {
            return None;
        }
        let cut = end.min(start.saturating_add(self.payload_max));
        self.rest.start = cut;
        Some((
            frame_head(FrameKind::Body, self.channel, cut - start),
            start..cut,
        ))
    }
}

/// The payload limit keeps `length` below 2^32.
fn frame_head(kind: FrameKind, channel: u16, length: usize) -> [u8; HEAD_LENGTH] {
    let [channel_high, channel_low] = channel.to_be_bytes();
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [kind.type_octet(), channel_high, channel_low, a, b, c, d]
}

/// Makes room for a message at once, so that it is not moved while it grows.
fn reserve(buffer: &mut Vec<u8>, arguments: usize, content: &Content<'_>, limit: FrameLimit) {
    const METHOD: usize = 64;
    let frames = 2 + content.body.len() / limit.payload_max() + 1;
    let payload = METHOD + arguments + content.header.len() + content.body.len();
    buffer.reserve(payload + frames * ENVELOPE_LENGTH);
}

/// Class and method id of a method of class basic.
fn method_ids(buffer: &mut Vec<u8>, method_id: u16) {
    buffer.extend_from_slice(&basic::CLASS_ID.to_be_bytes());
    buffer.extend_from_slice(&method_id.to_be_bytes());
}

/// Appends a method frame and a header frame.
fn head(
    buffer: &mut Vec<u8>,
    channel: u16,
    header: &[u8],
    limit: FrameLimit,
    arguments: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    check_payload(header.len(), limit)?;
    all_or_nothing(buffer, |buffer| {
        method_frame(buffer, channel, limit, arguments)?;
        buffer.extend_from_slice(&frame_head(FrameKind::Header, channel, header.len()));
        buffer.extend_from_slice(header);
        buffer.push(END_MARKER);
        Ok(())
    })
}

/// Appends the frames of a body; none for an empty one.
fn bodies(buffer: &mut Vec<u8>, channel: u16, body: &[u8], limit: FrameLimit) {
    for (head, piece) in body_frames(channel, body.len(), limit) {
        buffer.extend_from_slice(&head);
        buffer.extend_from_slice(&body[piece]);
        buffer.push(END_MARKER);
    }
}

/// Appends a method frame whose length is known once its payload is written.
fn method_frame(
    buffer: &mut Vec<u8>,
    channel: u16,
    limit: FrameLimit,
    payload: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = buffer.len();
    buffer.extend_from_slice(&frame_head(FrameKind::Method, channel, 0));
    payload(buffer)?;
    let length = buffer.len() - start - HEAD_LENGTH;
    check_payload(length, limit)?;
    buffer[start..start + HEAD_LENGTH].copy_from_slice(&frame_head(
        FrameKind::Method,
        channel,
        length,
    ));
    buffer.push(END_MARKER);
    Ok(())
}

fn settlement(
    buffer: &mut Vec<u8>,
    channel: u16,
    method_id: u16,
    delivery_tag: u64,
    multiple: bool,
) {
    const LENGTH: usize = 13;
    buffer.extend_from_slice(&frame_head(FrameKind::Method, channel, LENGTH));
    method_ids(buffer, method_id);
    buffer.extend_from_slice(&delivery_tag.to_be_bytes());
    buffer.extend_from_slice(&[multiple.into(), END_MARKER]);
}

fn check_payload(octets: usize, limit: FrameLimit) -> Result<(), EncodeError> {
    let limit = limit.payload_max();
    if octets > limit {
        Err(EncodeError::FrameTooLarge { octets, limit })
    } else {
        Ok(())
    }
}

/// Takes back what was written if the writing fails.
fn all_or_nothing(
    buffer: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = buffer.len();
    write(buffer).inspect_err(|_| buffer.truncate(start))
}

#[cfg(test)]
mod tests;
