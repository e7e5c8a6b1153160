//! Reading in order, and taking away what messages say.

use leveret_client::message::{Body, ConversationId, Erasure, HistoryRange, Message, Seq};
use serde::de::DeserializeOwned;

use super::key;
use super::view::{self, Direction, Range, Step, Transaction, View};
use crate::store::StoreError;

/// The values under a prefix, after this key.
pub(super) fn page<T: DeserializeOwned>(
    view: &dyn View,
    prefix: &[u8],
    after: Option<Vec<u8>>,
    limit: usize,
) -> Result<Vec<T>, StoreError> {
    let mut range = Range::prefix(prefix);
    if let Some(mut after) = after {
        after.push(0);
        range.from = after;
    }
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    view.scan(&range, Direction::Forward, &mut |_, value| {
        found.push(view::decode(value)?);
        Ok(if found.len() < limit {
            Step::Next
        } else {
            Step::Stop
        })
    })?;
    Ok(found)
}

/// A piece of a conversation, oldest first.
pub(super) fn messages(
    view: &dyn View,
    id: &ConversationId,
    range: HistoryRange,
    limit: usize,
) -> Result<Vec<Message>, StoreError> {
    let (from, to, direction) = match range {
        HistoryRange::Before(seq) => (Seq::NONE, seq, Direction::Backward),
        HistoryRange::After(seq) => (seq.next(), Seq(u64::MAX), Direction::Forward),
    };
    let range = Range {
        from: key::message(id, from),
        to: Some(key::message(id, to)),
    };
    let mut found: Vec<Message> = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    view.scan(&range, direction, &mut |_, value| {
        found.push(view::decode(value)?);
        Ok(if found.len() < limit {
            Step::Next
        } else {
            Step::Stop
        })
    })?;
    if direction == Direction::Backward {
        found.reverse();
    }
    Ok(found)
}

/// Takes away what a message says, and what its edits say; whether it said anything.
pub(super) fn erase(
    changes: &mut Transaction<'_>,
    id: &ConversationId,
    seq: Seq,
    reason: Erasure,
) -> Result<bool, StoreError> {
    let mut edits = Vec::new();
    let range = Range::prefix(&key::edits(id, seq));
    changes.scan(&range, Direction::Forward, &mut |found, _| {
        edits.extend(key::last_seq(found));
        Ok(Step::Next)
    })?;
    for edit in edits {
        replace_body(changes, id, edit, reason)?;
        changes.remove(key::edit(id, seq, edit));
    }
    replace_body(changes, id, seq, reason)
}

fn replace_body(
    changes: &mut Transaction<'_>,
    id: &ConversationId,
    seq: Seq,
    reason: Erasure,
) -> Result<bool, StoreError> {
    let key = key::message(id, seq);
    let Some(mut message) = view::read::<Message>(changes, &key)? else {
        return Ok(false);
    };
    let says_something = match message.body {
        Body::Text(_) | Body::Edit { .. } | Body::React { .. } | Body::Unknown => true,
        // Who came and went is no text of anybody's, and clients need it to know the members.
        Body::Delete { .. } | Body::Member { .. } | Body::Group(_) | Body::Erased { .. } => false,
    };
    if says_something {
        message.body = Body::Erased { reason };
        changes.put(key, &message);
    }
    Ok(says_something)
}
