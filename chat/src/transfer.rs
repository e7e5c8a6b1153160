//! From one store to another: everything out as [`Record`]s, in an order in which it can be put in again,
//! and looked over on the way.

mod check;

use std::collections::VecDeque;
use std::sync::Arc;

use leveret_client::message::{ConversationId, HistoryRange, Seq, UserId};

pub use self::check::{Check, Counts, Finding};
use crate::store::{ChatStore, EXPORT_VERSION, Record, StoreError};

/// Accounts, and conversations, read at once.
const PAGE: usize = 200;
/// Messages read at once, of up to 64 KiB each.
const MESSAGES_PAGE: usize = 200;
/// Octets of lines that are put in at once, about.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Lines that are put in at once, at most.
const BATCH_RECORDS_MAX: usize = 500;

/// Why something was not transferred.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A line is none.
    #[error("line {line} cannot be read: {reason}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// It is of a later version, or no export.
    #[error("this is no export that this version can read (line 1)")]
    Version,
    /// The last line is missing.
    #[error("the export ends in the middle, after {0} lines")]
    Truncated(u64),
    /// There is something in the store already.
    #[error("the store is not empty: an import goes into an empty one")]
    NotEmpty,
}

/// Reads everything. A conversation is as it was at one moment; two may be of different moments if the
/// chat is being used.
#[derive(Debug)]
pub struct Export {
    store: Arc<dyn ChatStore>,
    stage: Stage,
    records: u64,
}

#[derive(Debug)]
enum Stage {
    Head,
    Accounts(Option<UserId>),
    Conversations {
        last: Option<ConversationId>,
        page: VecDeque<ConversationId>,
    },
    Messages {
        id: ConversationId,
        after: Seq,
        end: Seq,
        page: VecDeque<ConversationId>,
    },
    End,
    Done,
}

impl Export {
    /// Of this store.
    #[must_use]
    pub fn new(store: Arc<dyn ChatStore>) -> Self {
        Self {
            store,
            stage: Stage::Head,
            records: 0,
        }
    }

    /// The next records, in their order; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>, StoreError> {
        loop {
            let stage = std::mem::replace(&mut self.stage, Stage::Done);
            let (records, next) = self.step(stage).await?;
            self.stage = next;
            self.records += records.len() as u64;
            if !records.is_empty() {
                return Ok(Some(records));
            }
            if matches!(self.stage, Stage::Done) {
                return Ok(None);
            }
        }
    }

    async fn step(&self, stage: Stage) -> Result<(Vec<Record>, Stage), StoreError> {
        Ok(match stage {
            Stage::Head => {
                let version = EXPORT_VERSION;
                let mut records = vec![Record::Export { version }];
                records.extend(self.store.deployment().await?.map(Record::Deployment));
                (records, Stage::Accounts(None))
            }
            Stage::Accounts(after) => {
                let records = self.store.account_records(after.as_ref(), PAGE).await?;
                let last = records.iter().rev().find_map(|record| match record {
                    Record::User(user) => Some(user.id.clone()),
                    _ => None,
                });
                let next = match last {
                    Some(last) => Stage::Accounts(Some(last)),
                    None => Stage::Conversations {
                        last: None,
                        page: VecDeque::new(),
                    },
                };
                (records, next)
            }
            Stage::Conversations { last, page } => self.conversations(last, page).await?,
            Stage::Messages {
                id,
                after,
                end,
                page,
            } => self.messages(id, after, end, page).await?,
            Stage::End => {
                let records = self.records;
                (vec![Record::End { records }], Stage::Done)
            }
            Stage::Done => (Vec::new(), Stage::Done),
        })
    }

    async fn conversations(
        &self,
        last: Option<ConversationId>,
        mut page: VecDeque<ConversationId>,
    ) -> Result<(Vec<Record>, Stage), StoreError> {
        if page.is_empty() {
            page = self
                .store
                .conversation_ids(last.as_ref(), PAGE)
                .await?
                .into();
        }
        let Some(id) = page.pop_front() else {
            return Ok((Vec::new(), Stage::End));
        };
        let records = self.store.conversation_records(&id).await?;
        let end = match records.first() {
            Some(Record::Conversation(conversation)) => conversation.last_seq,
            _ => Seq::NONE,
        };
        let next = Stage::Messages {
            id,
            after: Seq::NONE,
            end,
            page,
        };
        Ok((records, next))
    }

    async fn messages(
        &self,
        id: ConversationId,
        after: Seq,
        end: Seq,
        page: VecDeque<ConversationId>,
    ) -> Result<(Vec<Record>, Stage), StoreError> {
        let range = HistoryRange::After(after);
        let mut messages = self.store.history(&id, range, MESSAGES_PAGE).await?;
        // What was said since then is not in what was said of the conversation.
        messages.retain(|message| message.seq <= end);
        let next = match messages.last() {
            Some(last) => Stage::Messages {
                id,
                after: last.seq,
                end,
                page,
            },
            None => Stage::Conversations {
                last: Some(id),
                page,
            },
        };
        Ok((messages.into_iter().map(Record::Message).collect(), next))
    }
}

/// Puts everything in.
#[derive(Debug)]
pub struct Import {
    store: Arc<dyn ChatStore>,
    lines: u64,
    batch: Vec<Record>,
    batch_bytes: usize,
    ended: bool,
}

impl Import {
    /// Into this store, which must be empty.
    pub async fn begin(store: Arc<dyn ChatStore>) -> Result<Self, TransferError> {
        let is_empty = store.deployment().await?.is_none()
            && store.users(None, 1).await?.is_empty()
            && store.conversation_ids(None, 1).await?.is_empty();
        if !is_empty {
            return Err(TransferError::NotEmpty);
        }
        Ok(Self {
            store,
            lines: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            ended: false,
        })
    }

    /// The next line.
    pub async fn line(&mut self, line: &str) -> Result<(), TransferError> {
        let record = serde_json::from_str(line).map_err(|error| TransferError::Line {
            line: self.lines + 1,
            reason: error.to_string(),
        });
        match (self.lines, record) {
            (0, Ok(Record::Export { version })) if version <= EXPORT_VERSION => {}
            (0, _) => return Err(TransferError::Version),
            (_, record) => self.take(record?, line.len()).await?,
        }
        self.lines += 1;
        Ok(())
    }

    async fn take(&mut self, record: Record, bytes: usize) -> Result<(), TransferError> {
        match record {
            Record::End { records } if records == self.lines => self.ended = true,
            Record::End { .. } => return Err(TransferError::Truncated(self.lines)),
            Record::Export { .. } => {
                return Err(TransferError::Line {
                    line: self.lines + 1,
                    reason: "a second beginning".to_owned(),
                });
            }
            record => {
                self.batch.push(record);
                self.batch_bytes += bytes;
            }
        }
        if self.batch_bytes >= BATCH_BYTES_MAX || self.batch.len() >= BATCH_RECORDS_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.store.restore(batch).await
    }

    /// The end; gives how many lines there were.
    pub async fn finish(mut self) -> Result<u64, TransferError> {
        self.flush().await?;
        if !self.ended {
            return Err(TransferError::Truncated(self.lines));
        }
        Ok(self.lines)
    }
}

#[cfg(test)]
mod tests;
