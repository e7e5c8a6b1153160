//! What arrives: methods with their contents, assembled from frames.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};

use crate::raw::bytes::Reader;
use crate::raw::content::{Content, Properties};
use crate::raw::method::{self, Method, MethodId};
use crate::raw::{self, Frame};

/// A method as received, with its content if it carries one.
#[derive(Clone, Debug)]
pub struct Received {
    /// Channel number.
    pub channel: u16,
    /// The method.
    pub method: Method,
    /// The content that followed it.
    pub content: Option<Content>,
}

/// Puts contents together, for each channel its own.
#[derive(Debug, Default)]
pub struct Assembler(HashMap<u16, Partial>);

#[derive(Debug)]
struct Partial {
    method: Method,
    header: Option<(u64, Vec<u8>)>,
    body: Vec<u8>,
    body_frames: Vec<usize>,
}

impl Assembler {
    /// Takes the next frame; a whole method if one is complete now.
    pub fn take(&mut self, frame: Frame) -> Result<Option<Received>> {
        let channel = frame.channel;
        if frame.kind == raw::METHOD {
            let method = frame.to_method()?;
            ensure!(
                !self.0.contains_key(&channel),
                "{method:?} inside a content"
            );
            if !has_content(method.id) {
                return Ok(Some(Received {
                    channel,
                    method,
                    content: None,
                }));
            }
            let partial = Partial {
                method,
                header: None,
                body: vec![],
                body_frames: vec![],
            };
            self.0.insert(channel, partial);
            return Ok(None);
        }
        let partial = self
            .0
            .get_mut(&channel)
            .context("content without a method")?;
        if frame.kind == raw::HEADER {
            ensure!(partial.header.is_none(), "two headers");
            let mut reader = Reader::new(&frame.payload);
            ensure!(
                (reader.u16()?, reader.u16()?) == (60, 0),
                "bad class or weight"
            );
            partial.header = Some((reader.u64()?, reader.rest().to_vec()));
        } else {
            partial.body.extend_from_slice(&frame.payload);
            partial.body_frames.push(frame.payload.len());
        }
        let size = partial
            .header
            .as_ref()
            .context("a body without a header")?
            .0;
        ensure!(
            partial.body.len() as u64 <= size,
            "more body than announced"
        );
        if (partial.body.len() as u64) < size {
            return Ok(None);
        }
        let Partial {
            method,
            header,
            body,
            body_frames,
        } = self.0.remove(&channel).context("just found")?;
        let raw_properties = header.context("just read")?.1;
        let properties = Properties::decode(&raw_properties)?;
        let content = Some(Content {
            raw_properties,
            properties,
            body,
            body_frames,
        });
        Ok(Some(Received {
            channel,
            method,
            content,
        }))
    }
}

fn has_content(id: MethodId) -> bool {
    [
        method::BASIC_DELIVER,
        method::BASIC_GET_OK,
        method::BASIC_RETURN,
    ]
    .contains(&id)
}

/// A message as it arrived, by deliver or get.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Consumer tag; empty for a get.
    pub consumer: String,
    /// Delivery tag.
    pub tag: u64,
    /// The redelivered bit.
    pub redelivered: bool,
    /// Exchange it was published to.
    pub exchange: String,
    /// Key it was published with.
    pub routing_key: String,
    /// What get-ok says is left; 0 for a delivery.
    pub left: u32,
    /// Properties and body.
    pub content: Content,
}

impl Delivery {
    /// Reads basic.deliver or basic.get-ok.
    pub fn read(received: &Received) -> Result<Self> {
        let mut reader = received.method.reader();
        let got = received.method.id == method::BASIC_GET_OK;
        let consumer = if got { String::new() } else { reader.short()? };
        let (tag, redelivered) = (reader.u64()?, reader.u8()? != 0);
        let (exchange, routing_key) = (reader.short()?, reader.short()?);
        let left = if got { reader.u32()? } else { 0 };
        ensure!(reader.rest().is_empty(), "trailing bytes in {received:?}");
        let content = received.content.clone().context("no content")?;
        Ok(Self {
            consumer,
            tag,
            redelivered,
            exchange,
            routing_key,
            left,
            content,
        })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content.body).into_owned()
    }
}

/// Name, ready messages and consumers from queue.declare-ok.
pub fn declared(received: &Received) -> Result<(String, u32, u32)> {
    ensure!(
        received.method.id == method::QUEUE_DECLARE_OK,
        "no declare-ok: {received:?}"
    );
    let mut reader = received.method.reader();
    Ok((reader.short()?, reader.u32()?, reader.u32()?))
}
