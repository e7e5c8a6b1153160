//! The handle to an open log.

use std::{
    fmt,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle, ThreadId},
    time::Duration,
};

use parking_lot::Mutex;

use crate::{
    author::Author,
    checkpoint::{Checkpoint, CheckpointDone},
    commit::{Committer, Shared},
    disk::Disk,
    error::{CommitError, OpenError, ReadError, WaitError},
    id::{Location, Lsn, SegmentId, Ticket},
    options::{Durability, Options},
    progress::{Board, Progress},
    queue::{Queue, Request},
    read::{self, Reader},
    record,
    recovery::{self, Recovered},
    replay::Replay,
    report::Report,
    table::{SegmentInfo, Table},
    visit::{self, VisitedRecord},
};

/// An open log. Clones are handles to the same one; when the last is dropped, what was submitted is
/// still written and synced, but nobody waits for it: see [`Log::shutdown`].
pub struct Log<A: Author> {
    shared: Arc<Shared<A>>,
    table: Arc<Table>,
    durability: Durability,
    thread: Arc<Thread<A>>,
}

struct Thread<A: Author> {
    shared: Arc<Shared<A>>,
    id: ThreadId,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl<A: Author> Drop for Thread<A> {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl<A: Author> Clone for Log<A> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            table: self.table.clone(),
            durability: self.durability,
            thread: self.thread.clone(),
        }
    }
}

impl<A: Author> fmt::Debug for Log<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Log")
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}

impl<A: Author> Log<A> {
    /// Opens the log, or makes an empty one, and starts its commit thread.
    ///
    /// The chain of groups is judged; a torn tail is cut, damage is copied to the quarantine; every
    /// segment that was read and the folder are synced; all good records that the owner's index
    /// lacks are handed to `replay`; a group of the log's own is written and synced. Then `author`
    /// makes the author out of what the replay brought.
    pub fn open<R: Replay + ?Sized>(
        disk: Arc<dyn Disk>,
        options: Options,
        author: impl FnOnce(&mut R) -> A,
        replay: &mut R,
    ) -> Result<(Self, Report), OpenError> {
        let Recovered { writer, report } = recovery::recover(disk, &options, replay)?;
        let table = writer.table.clone();
        let shared = Arc::new(Shared {
            queue: Queue::new(),
            board: Board::default(),
        });
        let durability = options.durability;
        let thread_name = options.thread_name.clone();
        let mut committer = Committer::new(shared.clone(), author(replay), writer, options);
        committer.write_own(record::OPENING, &[])?;
        let handle = thread::Builder::new()
            .name(thread_name)
            .spawn(move || committer.run())
            .map_err(|source| OpenError::Thread { source })?;
        let thread = Thread {
            shared: shared.clone(),
            id: handle.thread().id(),
            handle: Mutex::new(Some(handle)),
        };
        Ok((
            Self {
                shared,
                table,
                durability,
                thread: Arc::new(thread),
            },
            report,
        ))
    }

    /// Reads and judges a log as opening it would, and changes nothing.
    pub fn inspect<R: Replay + ?Sized>(
        disk: Arc<dyn Disk>,
        options: &Options,
        replay: &mut R,
    ) -> Result<Report, OpenError> {
        recovery::inspect(disk, options, replay)
    }

    /// Hands operations over and leaves the vector empty; gives the number of the last one. Never
    /// blocks on the disk. Operations of one call may be split over turns, one operation never is.
    ///
    /// After [`Log::shutdown`] they are dropped, and [`Log::wait_durable`] says so.
    pub fn submit(&self, operations: &mut Vec<A::Operation>) -> Ticket {
        self.shared.queue.submit(operations)
    }

    /// Bytes submitted and not yet written, as the author estimates them. The owner holds back
    /// whatever feeds it while this is too much; the log does not.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.shared.queue.bytes()
    }

    /// How far the log has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.shared.board.progress()
    }

    /// What is meant by durable here.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// The last record that was written.
    #[must_use]
    pub fn last_written_lsn(&self) -> Lsn {
        self.shared.board.written_lsn()
    }

    /// The last record that was really synced, whatever the log's [`Durability`].
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.shared.board.durable_lsn()
    }

    /// Waits until the operation is durable, in the sense of the log's [`Durability`].
    pub fn wait_durable(&self, ticket: Ticket, timeout: Duration) -> Result<(), WaitError> {
        self.shared.board.wait(ticket, timeout)
    }

    /// Waits until everything submitted so far is written and synced, whatever the log's
    /// [`Durability`]; gives the last record that is. Not to be called by the author.
    pub fn sync(&self) -> Result<Lsn, CommitError> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.ask(Request::Sync { reply }, &answer)
    }

    /// Waits until all records up to this one are synced, whatever the log's [`Durability`]. Not
    /// to be called by the author.
    pub fn sync_up_to(&self, lsn: Lsn) -> Result<(), CommitError> {
        if self.durable_lsn() >= lsn {
            return Ok(());
        }
        match self.sync()? {
            last if last >= lsn => Ok(()),
            last => Err(CommitError::NotWritten { lsn, last }),
        }
    }

    /// Writes down what the owner's index holds and frees what is no longer needed.
    ///
    /// On the commit thread, between two turns: everything written is synced; each segment wholly
    /// below `checkpoint.below` is shown to `keep`, which says whether it still holds something
    /// live (all others remain); the list of those that remain is written and synced; only then are
    /// the others freed. A segment being read is recycled once it no longer is. Blocks; not to be
    /// called by the author.
    pub fn checkpoint(
        &self,
        checkpoint: Checkpoint,
        keep: impl FnMut(&mut A, &SegmentInfo) -> bool + Send + 'static,
    ) -> Result<CheckpointDone, CommitError> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.ask(
            Request::Checkpoint {
                checkpoint,
                keep: Box::new(keep),
                reply,
            },
            &answer,
        )
    }

    /// Reads a payload back; its checksum is verified.
    pub fn read(&self, location: Location) -> Result<Vec<u8>, ReadError> {
        read::read(&self.table, location)
    }

    /// For reading many payloads that lie close together: reads 256 KiB at a time.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(self.table.clone())
    }

    /// Visits the owner's records in a segment in the order of writing; of damaged groups those that
    /// hold by themselves. All of the segment is read, a window at a time, and it is pinned meanwhile.
    /// Pages that cannot be read make it an error, told after what the others hold was shown.
    pub fn visit(
        &self,
        segment: SegmentId,
        visitor: impl FnMut(VisitedRecord<'_>),
    ) -> Result<(), ReadError> {
        visit::visit(&self.table, segment, visitor)
    }

    /// The segments, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.table.all()
    }

    /// Writes and syncs what was submitted, ends the commit thread and waits for it. What is
    /// submitted afterwards is dropped.
    pub fn shutdown(&self) {
        self.shared.queue.close();
        if thread::current().id() == self.thread.id {
            return;
        }
        // Whoever comes second waits here until the thread has ended.
        let mut handle = self.thread.handle.lock();
        if let Some(handle) = handle.take() {
            // The thread catches panics; if one came through, it has ended all the same.
            drop(handle.join());
        }
    }

    fn ask<T>(
        &self,
        request: Request<A>,
        answer: &mpsc::Receiver<Result<T, CommitError>>,
    ) -> Result<T, CommitError> {
        if !self.shared.queue.request(request) {
            return Err(CommitError::Closed);
        }
        answer.recv().unwrap_or(Err(CommitError::Closed))
    }
}
