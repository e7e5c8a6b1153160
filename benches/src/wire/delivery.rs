//! Deliveries out of the frames of one channel, without a copy of their bodies.

use crate::wire::{Arguments, ClientError, Frame, FrameKind, control, header_body_bytes, method};

/// How much of a body is kept.
pub(crate) const HEAD_BYTES: usize = 16;

/// One whole delivery, as far as the generator cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
    /// Whether the body behind its head is what was expected, where something is.
    pub(crate) intact: bool,
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
}

impl Delivery {
    /// The first octets of the body.
    #[inline]
    pub(crate) fn head(&self) -> &[u8] {
        &self.head[..self.head_bytes]
    }
}

/// Which frame of a delivery comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Method,
    Header,
    Body { missing: u64 },
}

/// Puts the frames of one channel together.
///
/// ```text
/// Method --basic.deliver--> Header --header--> Body --last octet--> a delivery, Method again
/// ```
#[derive(Debug)]
pub(crate) struct DeliveryAssembler {
    content: Content,
    delivery: Delivery,
    body_bytes: u64,
    /// What every body holds behind its head.
    expected: Option<Box<[u8]>>,
}

impl DeliveryAssembler {
    /// Every body has to be of `body_bytes`.
    pub(crate) fn new(body_bytes: usize) -> Self {
        let delivery = Delivery {
            tag: 0,
            redelivered: false,
            intact: true,
            head: [0; HEAD_BYTES],
            head_bytes: 0,
        };
        Self {
            content: Content::Method,
            delivery,
            body_bytes: body_bytes as u64,
            expected: None,
        }
    }

    /// Every body has to be `body` behind its head.
    pub(crate) fn comparing(body: &[u8]) -> Self {
        Self {
            expected: Some(body.into()),
            ..Self::new(body.len())
        }
    }

    /// Takes one frame; gives the delivery that it completes.
    #[inline]
    pub(crate) fn take(&mut self, frame: &Frame<'_>) -> Result<Option<Delivery>, ClientError> {
        match (self.content, frame.kind) {
            (Content::Method, FrameKind::Method) => {
                self.take_method(frame)?;
                return Ok(None);
            }
            (Content::Header, FrameKind::Header) => {
                let missing = header_body_bytes(frame.payload)?;
                if missing != self.body_bytes {
                    let wrong = format!("{missing} body bytes instead of {}", self.body_bytes);
                    return Err(ClientError::WrongMessage(wrong));
                }
                self.content = Content::Body { missing };
            }
            (Content::Body { missing }, FrameKind::Body) => {
                let Some(missing) = missing.checked_sub(frame.payload.len() as u64) else {
                    let wrong = "more body than its header announced".to_owned();
                    return Err(ClientError::WrongMessage(wrong));
                };
                self.compare(frame.payload, missing);
                self.keep_head(frame.payload);
                self.content = Content::Body { missing };
            }
            (_, FrameKind::Method) => {
                control(frame)?;
                return Err(self.out_of_turn(frame));
            }
            (_, FrameKind::Header | FrameKind::Body | FrameKind::Heartbeat) => {
                return Err(self.out_of_turn(frame));
            }
        }
        if self.content == (Content::Body { missing: 0 }) {
            self.content = Content::Method;
            return Ok(Some(self.delivery));
        }
        Ok(None)
    }

    #[inline]
    fn take_method(&mut self, frame: &Frame<'_>) -> Result<(), ClientError> {
        let (id, arguments) = method::split(frame.payload)?;
        match id {
            method::BASIC_DELIVER => {
                let mut arguments = Arguments::new(arguments);
                arguments.short_string()?;
                self.delivery.tag = arguments.u64()?;
                self.delivery.redelivered = arguments.u8()? & 1 != 0;
                self.delivery.head_bytes = 0;
                self.delivery.intact = true;
                self.content = Content::Header;
                Ok(())
            }
            method::BASIC_CONSUME_OK | method::BASIC_QOS_OK => Ok(()),
            method::BASIC_CANCEL => {
                let got = "basic.cancel: the queue is gone".to_owned();
                Err(ClientError::Unexpected {
                    got,
                    waiting_for: "a delivery",
                })
            }
            _ => {
                control(frame)?;
                Err(self.out_of_turn(frame))
            }
        }
    }

    fn out_of_turn(&self, frame: &Frame<'_>) -> ClientError {
        let got = match (frame.kind, method::split(frame.payload)) {
            (FrameKind::Method, Ok((id, _))) => method::name(id),
            (kind, _) => format!("{kind:?} frame"),
        };
        let waiting_for = match self.content {
            Content::Method => "a delivery",
            Content::Header => "a content header",
            Content::Body { .. } => "a body",
        };
        ClientError::Unexpected { got, waiting_for }
    }

    /// Compares a part of the body, after which `missing` octets are still to come.
    #[inline]
    fn compare(&mut self, part: &[u8], missing: u64) {
        let Some(expected) = &self.expected else {
            return;
        };
        let missing = usize::try_from(missing).unwrap_or(0);
        let end = expected.len().saturating_sub(missing);
        let start = end.saturating_sub(part.len());
        let skipped = HEAD_BYTES.saturating_sub(start).min(part.len());
        self.delivery.intact &= part[skipped..] == expected[start + skipped..end];
    }

    #[inline]
    fn keep_head(&mut self, payload: &[u8]) {
        let Delivery {
            head, head_bytes, ..
        } = &mut self.delivery;
        let count = payload.len().min(HEAD_BYTES - *head_bytes);
        head[*head_bytes..*head_bytes + count].copy_from_slice(&payload[..count]);
        *head_bytes += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliver(tag: u64, redelivered: bool) -> Vec<u8> {
        let mut payload = method::BASIC_DELIVER.to_be_bytes().to_vec();
        payload.extend_from_slice(b"\x03tag");
        payload.extend_from_slice(&tag.to_be_bytes());
        payload.push(u8::from(redelivered));
        payload.extend_from_slice(b"\x00\x01q");
        payload
    }

    fn header(body_bytes: u64) -> Vec<u8> {
        let mut payload = vec![0, 60, 0, 0];
        payload.extend_from_slice(&body_bytes.to_be_bytes());
        payload.extend_from_slice(&[0, 0]);
        payload
    }

    fn take(
        assembler: &mut DeliveryAssembler,
        frames: &[(FrameKind, Vec<u8>)],
    ) -> Result<Vec<Delivery>, ClientError> {
        let mut deliveries = Vec::new();
        for (kind, payload) in frames {
            let frame = Frame {
                kind: *kind,
                channel: 1,
                payload,
            };
            deliveries.extend(assembler.take(&frame)?);
        }
        Ok(deliveries)
    }

    #[test]
    fn a_body_in_any_pieces_gives_one_delivery_with_its_head() {
        let body: Vec<u8> = (0..20).collect();
        for piece in [1, 3, 15, 16, 20] {
            let mut frames = vec![
                (FrameKind::Method, deliver(9, true)),
                (FrameKind::Header, header(20)),
            ];
            frames.extend(
                body.chunks(piece)
                    .map(|part| (FrameKind::Body, part.to_vec())),
            );
            let deliveries = take(&mut DeliveryAssembler::new(20), &frames).unwrap();
            assert_eq!(deliveries.len(), 1, "pieces of {piece}");
            assert_eq!((deliveries[0].tag, deliveries[0].redelivered), (9, true));
            assert_eq!(deliveries[0].head(), &body[..16]);
        }
    }

    #[test]
    fn an_empty_body_needs_no_body_frame() {
        let frames = [
            (FrameKind::Method, deliver(1, false)),
            (FrameKind::Header, header(0)),
        ];
        let deliveries = take(&mut DeliveryAssembler::new(0), &frames).unwrap();
        assert_eq!(deliveries[0].head(), b"");
    }

    #[test]
    fn what_is_no_delivery_is_an_error_and_never_a_panic() {
        let method = |payload: Vec<u8>| (FrameKind::Method, payload);
        let close = [&[0, 20, 0, 40, 1, 0x94, 2][..], b"no", &[0, 60, 0, 20]].concat();
        let cases = [
            ("a body first", vec![(FrameKind::Body, vec![1])]),
            ("a header first", vec![(FrameKind::Header, header(4))]),
            ("an empty method", vec![method(Vec::new())]),
            (
                "a cut deliver",
                vec![method(deliver(1, false)[..9].to_vec())],
            ),
            (
                "another size",
                vec![method(deliver(1, false)), (FrameKind::Header, header(5))],
            ),
            (
                "a cut header",
                vec![method(deliver(1, false)), (FrameKind::Header, vec![0; 5])],
            ),
            (
                "two delivers",
                vec![method(deliver(1, false)), method(deliver(2, false))],
            ),
            ("a close", vec![method(close)]),
            (
                "too much body",
                vec![
                    method(deliver(1, false)),
                    (FrameKind::Header, header(4)),
                    (FrameKind::Body, vec![0; 5]),
                ],
            ),
        ];
        for (name, frames) in cases {
            assert!(
                take(&mut DeliveryAssembler::new(4), &frames).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_closed_channel_is_told_with_its_reason() {
        let close = [&[0, 20, 0, 40, 1, 0x94, 2][..], b"no", &[0, 60, 0, 20]].concat();
        let refused = take(
            &mut DeliveryAssembler::new(4),
            &[(FrameKind::Method, close)],
        );
        let told = refused.unwrap_err().to_string();
        assert_eq!(
            told,
            "the broker closed the channel: 404 no (after basic.consume)"
        );
    }
}
