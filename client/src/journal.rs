//! What a client must not forget: its outbox, and how far it has shown each conversation. One file of
//! JSON lines, written anew when it is opened.
//!
//! ```text
//!   {"post":{…}}                          written, to be sent
//!   {"settled":"0192f0c4-…"}              in the history, or refused
//!   {"shown":{"conv":"g_ops","after":7}}  shown up to there
//! ```
//!
//! Every call of a [`Journal`] may block on the disk; an async program has an [`AsyncJournal`].

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::message::{ConversationId, MessageId, Position, Post, Seq};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Post(Box<Post>),
    Settled(MessageId),
    Shown(Position),
}

/// What the journal held.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// Posts of which it is not known what became, in the order of writing.
    pub posts: Vec<Post>,
    /// How far each conversation was shown.
    pub positions: Vec<Position>,
    /// Lines that could not be read; the one that a crash cut short is not counted.
    pub broken_lines: usize,
}

/// After so many octets the file is written anew, without what is settled.
const BYTES_MAX: u64 = 4 << 20;

/// The journal of one device.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    /// Octets written since it was written anew.
    bytes: u64,
    /// Held as long as the journal is open.
    #[expect(dead_code, reason = "the lock goes when the file is closed")]
    lock: File,
}

impl Journal {
    /// Opens or makes the file, and writes it anew without what is settled. A second client of the
    /// same device is refused.
    pub fn open(path: &Path) -> io::Result<(Self, Remembered)> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.with_extension("lock"))?;
        lock.try_lock().map_err(io::Error::from)?;
        let (file, remembered) = rewrite(path)?;
        let journal = Self {
            file,
            path: path.to_owned(),
            bytes: 0,
            lock,
        };
        Ok((journal, remembered))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A post was written; it is on the disk when this returns.
    pub fn posted(&mut self, post: &Post) -> io::Result<()> {
        self.write([Line::Post(Box::new(post.clone()))])?;
        self.file.sync_data()
    }

    /// Conversations are going to be shown up to these places, and it is known what became of these
    /// posts. Survives the end of the process, and after [`sync`](Self::sync) that of the machine. Who
    /// forgets what became of a post sends it again, which changes nothing.
    pub fn showing(&mut self, positions: &[Position], settled: &[MessageId]) -> io::Result<()> {
        let settled = settled.iter().copied().map(Line::Settled);
        self.write(settled.chain(positions.iter().cloned().map(Line::Shown)))
    }

    /// What was written is on the disk when this returns: to be called before deliveries are
    /// acknowledged.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.bytes > BYTES_MAX {
            (self.file, _) = rewrite(&self.path)?;
            self.bytes = 0;
        }
        self.file.sync_data()
    }

    fn write(&mut self, lines: impl IntoIterator<Item = Line>) -> io::Result<()> {
        let bytes = encode(lines)?;
        self.bytes += bytes.len() as u64;
        self.file.write_all(&bytes)
    }
}

/// A journal for async programs: calls are made on threads that may block, one after the other.
#[derive(Clone, Debug)]
pub struct AsyncJournal(Arc<Mutex<Journal>>);

impl AsyncJournal {
    /// [Opens](Journal::open) it. Must be called within a tokio runtime, as everything here.
    pub async fn open(path: &Path) -> io::Result<(Self, Remembered)> {
        let path = path.to_owned();
        let opened = spawn_blocking(move || Journal::open(&path)).await;
        let (journal, remembered) = opened.map_err(io::Error::other)??;
        Ok((Self(Arc::new(Mutex::new(journal))), remembered))
    }

    /// Does something with it. What was begun is done, even if nobody waits for it any more.
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Journal) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let journal = self.0.clone();
        let done = spawn_blocking(move || work(&mut journal.lock())).await;
        done.map_err(io::Error::other)?
    }
}

/// Reads the file, and writes it anew without what is settled.
fn rewrite(path: &Path) -> io::Result<(File, Remembered)> {
    let remembered = match File::open(path) {
        Ok(file) => read(file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Remembered::default(),
        Err(error) => return Err(error),
    };
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    let posts = remembered.posts.iter().cloned();
    let lines = posts.map(|post| Line::Post(Box::new(post)));
    let lines = lines.chain(remembered.positions.iter().cloned().map(Line::Shown));
    file.write_all(&encode(lines)?)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok((file, remembered))
}

fn encode(lines: impl IntoIterator<Item = Line>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, &line)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

fn read(file: File) -> io::Result<Remembered> {
    let mut posts: Vec<Post> = Vec::new();
    let mut positions: HashMap<ConversationId, Seq> = HashMap::new();
    let mut broken_lines = 0;
    let mut reader = BufReader::new(file);
    let mut text = Vec::new();
    while reader.read_until(b'\n', &mut text)? > 0 {
        let is_whole = text.ends_with(b"\n");
        match serde_json::from_slice(&text) {
            Ok(Line::Post(post)) => posts.push(*post),
            Ok(Line::Settled(id)) => posts.retain(|post| post.id != id),
            Ok(Line::Shown(position)) => {
                let seq = positions.entry(position.conv).or_default();
                *seq = position.after.max(*seq);
            }
            Err(_) if is_whole => broken_lines += 1,
            Err(_) => {}
        }
        text.clear();
    }
    let positions = positions.into_iter();
    Ok(Remembered {
        posts,
        positions: positions
            .map(|(conv, after)| Position { conv, after })
            .collect(),
        broken_lines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Body, Timestamp};

    fn post() -> Post {
        Post::to_group(
            &"g_ops".parse().unwrap(),
            &"uana".parse().unwrap(),
            &"dterm".parse().unwrap(),
            Body::text("oi"),
            Timestamp::now(),
        )
    }

    #[test]
    fn a_client_that_was_killed_finds_what_it_had_written_and_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/ana.journal");
        let (kept, gone) = (post(), post());
        let position = Position {
            conv: kept.conv.clone(),
            after: Seq(7),
        };
        {
            let (mut journal, remembered) = Journal::open(&path).unwrap();
            assert!(remembered.posts.is_empty());
            journal.posted(&gone).unwrap();
            journal.posted(&kept).unwrap();
            journal.showing(&[], &[gone.id]).unwrap();
            journal
                .showing(std::slice::from_ref(&position), &[])
                .unwrap();
            journal.sync().unwrap();
        }
        // The last line was cut short, another was damaged.
        let mut text = fs::read(&path).unwrap();
        text.extend(b"{\"po\n{\"shown\":{\"conv\":");
        fs::write(&path, text).unwrap();
        for broken_lines in [1, 0] {
            let (journal, remembered) = Journal::open(&path).unwrap();
            assert_eq!(remembered.posts, std::slice::from_ref(&kept));
            assert_eq!(remembered.positions, std::slice::from_ref(&position));
            assert_eq!(remembered.broken_lines, broken_lines);
            assert!(Journal::open(&path).is_err(), "one client at a time");
            drop(journal);
        }
    }
}
