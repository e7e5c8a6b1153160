//! What a device writes down of itself: one JSON line for each thing that it did or was told. A line
//! that is written survives the death of its process.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use leveret_client::message::{
    ConversationId, Cursor, Message, MessageId, Post, RejectionCode, Seq,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Something that a device did or was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are what the names say")]
pub enum Record {
    /// A process of it began; the one before, if any, is dead.
    Began,
    /// It is about to write a message.
    Writing { post: Box<Post> },
    /// It was told that the message will not be forgotten.
    Written { id: MessageId },
    /// The other side had no room for its message, which stays here.
    Busy { id: MessageId },
    /// It was told that its message is in the history.
    Sent { id: MessageId, seq: Seq },
    /// It was told that its message was not taken.
    Rejected { id: MessageId, code: RejectionCode },
    /// It showed a message.
    Shown { message: Box<Message> },
    /// It is about to say that everything up to here was read.
    Reading { conv: ConversationId, seq: Seq },
    /// It showed how far somebody has come.
    Cursor { cursor: Cursor },
    /// It asked for what is not its own, and got so many messages.
    Pried { conv: ConversationId, got: usize },
    /// So much is written and not in the history.
    Outbox { waiting: usize },
    /// It has a connection, and has caught up.
    Connected,
    /// It has none.
    Disconnected { reason: String },
}

/// A record and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Microseconds since 1970: the clock of the machine, which all devices share.
    pub at: u64,
    /// What.
    pub record: Record,
}

/// Microseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

/// The file that a device writes.
#[derive(Debug)]
pub struct Diary(Mutex<File>);

impl Diary {
    /// Opens or makes it. A line that a death cut short is ended, and skipped by readers.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)?;
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(Self(Mutex::new(file)))
    }

    /// Writes a line, in one call.
    pub fn put(&self, record: Record) -> io::Result<()> {
        let mut file = self.0.lock();
        let mut line = serde_json::to_vec(&Entry { at: now(), record })?;
        line.push(b'\n');
        file.write_all(&line)
    }
}

/// Reads what is new in a diary, again and again.
#[derive(Debug, Default)]
pub struct Reader {
    offset: u64,
    /// Everything read so far.
    pub entries: Vec<Entry>,
}

impl Reader {
    /// Reads on, up to the last whole line. A diary that is not there yet is empty.
    pub fn read(&mut self, path: &Path) -> io::Result<()> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(());
        };
        for line in bytes[..end].split(|byte| *byte == b'\n') {
            // What a death cut short was not written.
            self.entries.extend(serde_json::from_slice::<Entry>(line));
        }
        self.offset += end as u64 + 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_short_is_skipped_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diary");
        let mut reader = Reader::default();
        reader.read(&path).unwrap();
        Diary::open(&path).unwrap().put(Record::Began).unwrap();
        let mut text = std::fs::read(&path).unwrap();
        text.extend(b"{\"at\":1,\"rec");
        std::fs::write(&path, text).unwrap();
        reader.read(&path).unwrap();
        assert_eq!(reader.entries.len(), 1);
        let diary = Diary::open(&path).unwrap();
        diary.put(Record::Outbox { waiting: 7 }).unwrap();
        reader.read(&path).unwrap();
        let last = reader.entries.last().map(|entry| entry.record.clone());
        assert_eq!(last, Some(Record::Outbox { waiting: 7 }));
        assert_eq!(reader.entries.len(), 2);
    }
}
