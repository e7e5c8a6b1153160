//! The commit thread: one turn after another, each one group, one write and one sync.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use crate::{
    author::{Author, TurnOutcome, Written},
    checkpoint::{Checkpoint, CheckpointDone, CheckpointRecord},
    error::CommitError,
    group::Group,
    id::{Lsn, SegmentId, Ticket},
    options::{Durability, Options},
    progress::{Board, Failure},
    queue::{Batch, Queue, Request},
    record,
    table::SegmentInfo,
    writer::{Purpose, Writer},
};

/// What the commit thread shares with the handles.
pub(crate) struct Shared<A: Author> {
    pub(crate) queue: Queue<A>,
    pub(crate) board: Board,
}

pub(crate) struct Committer<A: Author> {
    shared: Arc<Shared<A>>,
    author: A,
    writer: Writer,
    group: Group,
    options: Options,
    poisoned: Option<CommitError>,
    /// The last operation whose outcome was announced.
    settled: Ticket,
    /// When the first write after the last sync was made.
    dirty_since: Option<Instant>,
}

impl<A: Author> Committer<A> {
    pub(crate) fn new(shared: Arc<Shared<A>>, author: A, writer: Writer, options: Options) -> Self {
        Self {
            shared,
            author,
            writer,
            group: Group::new(),
            options,
            poisoned: None,
            settled: Ticket(0),
            dirty_since: None,
        }
    }

    pub(crate) fn run(mut self) {
        loop {
            let batch = self.shared.queue.take(self.sync_due());
            let Batch {
                operations,
                last,
                requests,
                closing,
            } = batch;
            self.turns(operations, last);
            for request in requests {
                self.serve(request);
            }
            if self.sync_due().is_some_and(|due| due <= Instant::now()) {
                // Its failure is kept in `poisoned`, and everybody is told by the next turn.
                drop(self.guarded(Self::sync));
            }
            if closing && self.shared.queue.finish() {
                break;
            }
        }
        drop(self.guarded(Self::close));
        // The segments and the lock are released before anybody is told.
        let Self {
            shared,
            author,
            writer,
            ..
        } = self;
        drop((author, writer));
        shared.board.close();
    }

    /// When the interval asks for the next sync; `None` if nothing waits for one.
    fn sync_due(&self) -> Option<Instant> {
        match self.options.durability {
            Durability::Interval(interval) if self.poisoned.is_none() => {
                self.dirty_since?.checked_add(interval)
            }
            Durability::Interval(_) | Durability::Commit | Durability::Os => None,
        }
    }

    /// Cuts what waits into turns.
    fn turns(&mut self, operations: Vec<A::Operation>, last: Ticket) {
        let mut ticket = last.0 - operations.len() as u64;
        let mut bytes = 0usize;
        let mut turn_bytes = 0usize;
        let whole = operations.len() <= self.options.turn_operations_max && {
            let of = |operation| A::operation_bytes(operation);
            turn_bytes = operations.iter().map(of).fold(0, usize::saturating_add);
            turn_bytes <= self.options.turn_bytes_max
        };
        if whole {
            self.turn(operations, turn_bytes, last);
            return;
        }
        let mut turn = Vec::new();
        for operation in operations {
            let more = A::operation_bytes(&operation);
            let full = turn.len() >= self.options.turn_operations_max
                || bytes.saturating_add(more) > self.options.turn_bytes_max;
            if full && !turn.is_empty() {
                self.turn(std::mem::take(&mut turn), bytes, Ticket(ticket));
                bytes = 0;
            }
            turn.push(operation);
            ticket += 1;
            bytes = bytes.saturating_add(more);
        }
        self.turn(turn, bytes, Ticket(ticket));
    }

    /// One turn, up to the operation `last`, whatever happens in it.
    fn turn(&mut self, turn: Vec<A::Operation>, bytes: usize, last: Ticket) {
        if turn.is_empty() {
            return;
        }
        let result = match &self.poisoned {
            Some(error) => Err(error.clone()),
            None => catch_unwind(AssertUnwindSafe(|| self.commit(turn, last)))
                .unwrap_or_else(|panic| Err(panicked(&*panic))),
        };
        // Whoever waits for room is woken by the outcome, and must find the room.
        self.shared.queue.release_bytes(bytes);
        match result {
            Ok(()) => self.settle(last),
            Err(error) => self.fail(last, error),
        }
        self.shared.board.announce(last);
    }

    fn commit(&mut self, turn: Vec<A::Operation>, last: Ticket) -> Result<(), CommitError> {
        self.writer.begin(&mut self.group);
        self.author.compose(turn, &mut self.group);
        if self.group.records() > 0 {
            let place = self.writer.write(&mut self.group, Purpose::Owner)?;
            self.dirty_since.get_or_insert_with(Instant::now);
            self.shared
                .board
                .set_written_lsn(self.writer.next_lsn().before());
            self.shared.board.set_written(last);
            self.author.written(&Written::new(place, &self.group));
        }
        self.shared.board.set_written(last);
        let always = self.options.durability == Durability::Commit;
        if (always || self.group.sync_required()) && self.writer.dirty() {
            self.sync()?;
        }
        Ok(())
    }

    /// Announces that everything up to `last` is as durable as was asked for.
    fn settle(&mut self, last: Ticket) {
        self.settled = last;
        self.shared.board.set_durable(last);
        self.tell(&TurnOutcome::Durable { up_to: last });
    }

    fn tell(&mut self, outcome: &TurnOutcome) {
        let told = catch_unwind(AssertUnwindSafe(|| self.author.settled(outcome)));
        if let Err(panic) = told {
            self.poisoned.get_or_insert_with(|| panicked(&*panic));
        }
    }

    /// Announces that everything not yet settled up to `last` failed.
    fn fail(&mut self, last: Ticket, error: CommitError) {
        let from = Ticket(self.settled.0 + 1);
        if matches!(error, CommitError::Poisoned { .. }) && self.poisoned.is_none() {
            tracing::error!(%error, "nothing is durable any more until the log is opened again");
            self.poisoned = Some(error.clone());
        }
        if from > last {
            return;
        }
        self.settled = last;
        self.shared.board.fail(Failure {
            from,
            to: last,
            error: error.clone(),
        });
        self.tell(&TurnOutcome::Failed {
            from,
            to: last,
            error,
        });
    }

    fn sync(&mut self) -> Result<(), CommitError> {
        self.writer.sync()?;
        self.dirty_since = None;
        self.shared.board.set_durable_lsn(self.writer.durable());
        Ok(())
    }

    /// Does something that belongs to no turn; its failure poisons the log all the same.
    fn guarded<T>(
        &mut self,
        action: impl FnOnce(&mut Self) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        if let Some(error) = &self.poisoned {
            return Err(error.clone());
        }
        let result = catch_unwind(AssertUnwindSafe(|| action(self)))
            .unwrap_or_else(|panic| Err(panicked(&*panic)));
        if let Err(error) = &result {
            self.fail(self.settled, error.clone());
        }
        result
    }

    fn serve(&mut self, request: Request<A>) {
        match request {
            Request::Sync { reply } => {
                let result = self.guarded(|this| {
                    this.sync()?;
                    Ok(this.writer.durable())
                });
                // Whoever asked may have gone.
                drop(reply.send(result));
            }
            Request::Checkpoint {
                checkpoint,
                mut keep,
                reply,
            } => {
                let result = self.guarded(|this| this.checkpoint(checkpoint, &mut keep));
                drop(reply.send(result));
            }
        }
    }

    fn checkpoint(
        &mut self,
        checkpoint: Checkpoint,
        keep: &mut (dyn FnMut(&mut A, &SegmentInfo) -> bool + Send),
    ) -> Result<CheckpointDone, CommitError> {
        // Nothing that the owner's index holds may be lost behind its back.
        self.sync()?;
        let below = checkpoint.below.min(self.writer.durable().next());
        let mut kept = Vec::new();
        let mut freed = Vec::new();
        for segment in self.writer.table.all() {
            let remains =
                segment.active || segment.last_lsn >= below || keep(&mut self.author, &segment);
            match self.writer.table.extent(segment.id) {
                Some(extent) if remains => kept.push(extent),
                _ => freed.push(segment.id),
            }
        }
        let newest = self.writer.active();
        let checkpoint = Checkpoint {
            below,
            ..checkpoint
        };
        let list = CheckpointRecord {
            checkpoint,
            newest,
            kept,
        };
        let lsn = self.write_own(record::CHECKPOINT, &list.encode())?;
        self.writer.free(&freed);
        let kept = list
            .kept
            .iter()
            .map(|extent| extent.segment)
            .collect::<Vec<SegmentId>>();
        Ok(CheckpointDone { lsn, kept, freed })
    }

    fn close(&mut self) -> Result<(), CommitError> {
        // With it, damage to the last of the owner's records is told from a torn write.
        self.write_own(record::CLOSING, &[]).map(drop)
    }

    /// Writes a record of the log itself and syncs, in every mode.
    pub(crate) fn write_own(&mut self, kind: u8, payload: &[u8]) -> Result<Lsn, CommitError> {
        // First what it is to follow: its group claims that all before it is durable.
        if self.writer.dirty() {
            self.sync()?;
        }
        self.writer.begin(&mut self.group);
        let index = self.group.add(kind, 0, &[payload]);
        let lsn = self.group.lsn(index);
        self.writer.write(&mut self.group, Purpose::Own)?;
        self.shared.board.set_written_lsn(lsn);
        self.sync()?;
        Ok(lsn)
    }
}

fn panicked(panic: &(dyn Any + Send)) -> CommitError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    CommitError::Poisoned {
        reason: format!("the commit thread panicked: {text}").into(),
    }
}
