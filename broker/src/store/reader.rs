//! Reading back: bodies out of the log, blocks out of the index, on a thread of its own.

use std::sync::{Arc, mpsc};

use leveret_log::{Location, Log, ReadError, Reader};

use crate::model::{Message, QueueId, Seq, Stored};

use super::author::{Shared, StoreAuthor};
use super::error::LoadError;
use super::index::Block;
use super::record;
use super::recovered::BlockEntry;
use super::signal::Signal;
use super::state::StateError;
use super::swap::StateHandle;
use super::{BLOCK_POSITIONS, BlockReply, BodiesReply};

/// How much of a message is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// Everything but the body.
    Head,
}

/// Of longer records only so much is read for their heads. Nearly all heads are shorter.
const HEAD_BYTES: u32 = 4096;

/// What the reader is asked for.
pub(crate) enum Request {
    Messages {
        queue: QueueId,
        wanted: Vec<(Seq, Stored)>,
        part: Part,
        reply: BodiesReply,
    },
    Block {
        queue: QueueId,
        level: u8,
        block: u64,
        reply: BlockReply,
        /// Whether the index was repaired for it already.
        repaired: bool,
    },
    Close,
}

impl Request {
    /// Answers that nothing can be read any more.
    pub(crate) fn refuse(self) {
        match self {
            Self::Messages { wanted, reply, .. } => {
                let refused = wanted
                    .into_iter()
                    .map(|(seq, _)| (seq, Err(LoadError::Closed)));
                reply(refused.collect());
            }
            Self::Block { reply, .. } => reply(Err(LoadError::Closed)),
            Self::Close => {}
        }
    }
}

/// What the reader thread owns.
pub(crate) struct BodyReader {
    pub(crate) log: Log<StoreAuthor>,
    pub(crate) state: Arc<StateHandle>,
    pub(crate) shared: Arc<Shared>,
    /// For asking itself again.
    pub(crate) requests: mpsc::Sender<Request>,
}

impl BodyReader {
    /// Serves requests until told to end.
    pub(crate) fn run(self, requests: &mpsc::Receiver<Request>) {
        let mut reader = self.log.reader();
        loop {
            let request = match requests.try_recv() {
                Ok(request) => request,
                Err(_) => {
                    // Nothing is pinned while nothing is asked for.
                    reader.rest();
                    match requests.recv() {
                        Ok(request) => request,
                        Err(_) => return,
                    }
                }
            };
            match request {
                Request::Messages {
                    queue,
                    wanted,
                    part,
                    reply,
                } => reply(self.messages(&mut reader, queue, wanted, part)),
                Request::Block {
                    queue,
                    level,
                    block,
                    reply,
                    repaired,
                } => self.serve_block(queue, level, block, reply, repaired),
                Request::Close => break,
            }
        }
        while let Ok(request) = requests.try_recv() {
            request.refuse();
        }
    }

    /// Reads in the order of the log, which is the quick one, and answers in the order asked for.
    fn messages(
        &self,
        reader: &mut Reader,
        queue: QueueId,
        wanted: Vec<(Seq, Stored)>,
        part: Part,
    ) -> Vec<(Seq, Result<Message, LoadError>)> {
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        order.sort_by_key(|index| wanted[*index].1.location);
        let mut messages: Vec<_> = wanted
            .iter()
            .map(|(seq, _)| (*seq, Err(LoadError::Closed)))
            .collect();
        for index in order {
            let (seq, stored) = wanted[index];
            messages[index].1 = self.message(reader, queue, seq, stored, part);
        }
        messages
    }

    fn message(
        &self,
        reader: &mut Reader,
        queue: QueueId,
        seq: Seq,
        stored: Stored,
        part: Part,
    ) -> Result<Message, LoadError> {
        let first = read(reader, queue, stored, part);
        if first.is_ok() {
            return first;
        }
        // The cleaner may have moved it; the index then knows where to.
        let gone = LoadError::Gone { queue, seq };
        let block = self.block(queue, seq.level(), seq.position() / BLOCK_POSITIONS)?;
        let entry = block.into_iter().find(|entry| entry.seq == seq);
        match entry {
            Some(entry) if entry.stored != stored => read(reader, queue, entry.stored, part),
            // Where it should be, it cannot be read.
            Some(_) => first,
            None => Err(gone),
        }
    }

    fn serve_block(
        &self,
        queue: QueueId,
        level: u8,
        block: u64,
        reply: BlockReply,
        repaired: bool,
    ) {
        let read = self.block(queue, level, block);
        if repaired || !matches!(read, Err(LoadError::Damaged { .. })) {
            return reply(read);
        }
        // The checkpoint thread owns the state: it repairs, and this is asked again.
        let requests = self.requests.clone();
        let again = Request::Block {
            queue,
            level,
            block,
            reply,
            repaired: true,
        };
        let ask_again = Box::new(move || {
            if let Err(mpsc::SendError(request)) = requests.send(again) {
                request.refuse();
            }
        });
        self.shared.signal(Signal::Repair(ask_again));
    }

    fn block(&self, queue: QueueId, level: u8, block: u64) -> Result<Vec<BlockEntry>, LoadError> {
        let read = self
            .state
            .get()
            .and_then(|state| Block::read_if_any(&state, queue, level, block));
        match read {
            Ok(Some(block)) => Ok(block.live().map(|entry| entry.entry).collect()),
            Ok(None) => Ok(Vec::new()),
            Err(StateError::Damaged(_)) => Err(LoadError::Damaged {
                queue,
                what: format!("block {block} of level {level}"),
            }),
            Err(StateError::Failed(reason)) => Err(LoadError::Io(reason)),
        }
    }
}

fn read(
    reader: &mut Reader,
    queue: QueueId,
    stored: Stored,
    part: Part,
) -> Result<Message, LoadError> {
    let location = stored.location;
    if part == Part::Head
        && location.length > HEAD_BYTES
        && let Ok(start) = reader.read_start(location, HEAD_BYTES)
        && let Ok(message) = record::head(&start)
    {
        return Ok(message);
    }
    let damaged = || LoadError::Damaged {
        queue,
        what: described(location),
    };
    let payload = reader.read(location).map_err(|error| match error {
        ReadError::Io { .. } => LoadError::Io(error.to_string()),
        ReadError::NoSegment(_) | ReadError::Damaged(_) => damaged(),
    })?;
    let (_, message) = record::message(payload).map_err(|_| damaged())?;
    message.set_stored(stored);
    Ok(message)
}

fn described(location: Location) -> String {
    format!("the message at {location}")
}
