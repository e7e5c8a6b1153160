//! A byte stream with what was read from it and not used yet.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The least room that a read is given, in bytes. Idle connections keep no more.
const READ_BYTES_MIN: usize = 4 << 10;

/// The most room that a read is given, in bytes.
const READ_BYTES_MAX: usize = 256 << 10;

/// Both halves of a connection.
#[derive(Debug)]
pub(super) struct Stream<R, W> {
    pub(super) reader: R,
    pub(super) writer: W,
    pub(super) input: Input,
}

/// Bytes that were read and not used, and how much the next read may bring.
#[derive(Debug)]
pub(super) struct Input {
    bytes: BytesMut,
    read_bytes: usize,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            bytes: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
        }
    }
}

impl Input {
    /// What is there.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        let _ = self.bytes.split_to(count);
        if self.bytes.is_empty() && self.read_bytes == READ_BYTES_MIN {
            // Nothing is under way: an idle connection should hold no buffer.
            self.bytes = BytesMut::new();
        }
    }

    /// Reads once. Room doubles while reads fill it and halves when they leave most of it empty.
    pub(super) async fn read_from(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<usize> {
        self.bytes.reserve(self.read_bytes);
        let count = reader.read_buf(&mut self.bytes).await?;
        if count >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if count < self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
        }
        Ok(count)
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Stream<R, W> {
    /// A stream of which nothing was read.
    pub(super) fn new(reader: R, writer: W) -> Self {
        Self {
            reader,
            writer,
            input: Input::default(),
        }
    }

    /// Reads more; fails at the end of the stream.
    pub(super) async fn read_more(&mut self) -> io::Result<()> {
        match self.input.read_from(&mut self.reader).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Writes everything and empties the buffer.
    pub(super) async fn write_all(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.writer.write_all(out).await?;
        out.clear();
        self.writer.flush().await
    }
}
