//! Pieces of history, within what the asker may read and an answer may hold.

use std::ops::RangeInclusive;

use leveret_client::message::{
    Body, ConversationId, HistoryRange, Message, Position, RejectionCode, Reply, Seq, SyncPage,
    UserId,
};

use super::{Desk, Readable};
use crate::store::StoreError;

/// Messages that one read of a search takes.
const SEARCH_PAGE: usize = 200;

impl Readable {
    pub(super) fn visible(&self) -> RangeInclusive<Seq> {
        self.member.visible(&self.conversation)
    }
}

/// What is left of an answer's room.
struct Room {
    messages: usize,
    bytes: usize,
}

impl Room {
    /// Whether the message fits; the first always does.
    fn take(&mut self, message: &Message, is_first: bool) -> bool {
        let bytes = weight(message);
        if self.messages == 0 || (self.bytes < bytes && !is_first) {
            return false;
        }
        self.messages -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

/// About how long a message is on the wire.
fn weight(message: &Message) -> usize {
    let body = match &message.body {
        Body::Text(text) => text.text.len() + text.attach.len() * 200 + text.mentions.len() * 20,
        Body::Edit { text, .. } => text.len(),
        Body::Group(_) => 1_000,
        Body::Delete { .. }
        | Body::React { .. }
        | Body::Member { .. }
        | Body::Erased { .. }
        | Body::Unknown => 100,
    };
    body + 300
}

impl Desk {
    fn room(&self, limit: u32) -> Room {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Room {
            messages: limit.clamp(1, self.settings.page_messages_max),
            bytes: self.settings.page_bytes_max,
        }
    }

    /// A piece of what may be read, oldest first.
    pub(super) async fn piece(
        &self,
        readable: &Readable,
        range: HistoryRange,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        let visible = readable.visible();
        let (from, to) = (*visible.start(), *visible.end());
        let range = match range {
            HistoryRange::Before(seq) => HistoryRange::Before(seq.min(to.next())),
            HistoryRange::After(seq) => HistoryRange::After(seq.max(from.before())),
        };
        let mut room = self.room(limit);
        let id = &readable.conversation.id;
        let mut messages = self.store.history(id, range, room.messages).await?;
        messages.retain(|message| visible.contains(&message.seq));
        let mut taken = 0;
        match range {
            HistoryRange::After(_) => {
                for message in &messages {
                    if !room.take(message, taken == 0) {
                        break;
                    }
                    taken += 1;
                }
                messages.truncate(taken);
            }
            HistoryRange::Before(_) => {
                for message in messages.iter().rev() {
                    if !room.take(message, taken == 0) {
                        break;
                    }
                    taken += 1;
                }
                messages.drain(..messages.len() - taken);
            }
        }
        Ok(messages)
    }

    /// Everything after these places, as far as it fits.
    pub(super) async fn sync(
        &self,
        asker: &UserId,
        positions: Vec<Position>,
        limit: u32,
    ) -> Result<SyncPage, StoreError> {
        let mut room = self.room(limit);
        let mut page = SyncPage::default();
        for position in positions {
            // Who may not read it is not told whether there is such a conversation.
            let Some(readable) = self.readable(asker, &position.conv).await? else {
                continue;
            };
            let visible = readable.visible();
            let before = visible.start().before();
            if position.after < before {
                page.hidden.push(Position {
                    conv: position.conv.clone(),
                    after: before,
                });
            }
            let mut last = position.after.max(before);
            if room.messages > 0 {
                let range = HistoryRange::After(last);
                let wanted = u32::try_from(room.messages).unwrap_or(u32::MAX);
                for message in self.piece(&readable, range, wanted).await? {
                    if !room.take(&message, page.messages.is_empty()) {
                        break;
                    }
                    last = message.seq;
                    page.messages.push(message);
                }
            }
            if last < *visible.end() {
                page.more.push(position.conv);
            }
        }
        Ok(page)
    }

    /// Messages with all these words, and with what stands in quotation marks as it stands there; newest
    /// first, among the newest that one search looks at.
    pub(super) async fn search(
        &self,
        asker: &UserId,
        text: &str,
        conversation: Option<&ConversationId>,
        limit: u32,
    ) -> Result<Result<Reply, RejectionCode>, StoreError> {
        let words = sought(text);
        if words.is_empty() {
            return Ok(Err(RejectionCode::Malformed));
        }
        let ids = match conversation {
            Some(id) => vec![id.clone()],
            None => self.store.conversations_of(asker).await?,
        };
        let mut found = Vec::new();
        let mut left = self.settings.search_messages_max;
        for id in ids {
            let Some(readable) = self.readable(asker, &id).await? else {
                if conversation.is_some() {
                    return Ok(Err(RejectionCode::NotMember));
                }
                continue;
            };
            let mut before = readable.visible().end().next();
            while left > 0 {
                let range = HistoryRange::Before(before);
                let page = self
                    .piece(&readable, range, u32::try_from(SEARCH_PAGE).unwrap_or(100))
                    .await?;
                let Some(first) = page.first() else { break };
                before = first.seq;
                left = left.saturating_sub(page.len());
                found.extend(page.into_iter().filter(|message| has_all(message, &words)));
            }
        }
        found.sort_by_key(|message| std::cmp::Reverse((message.ts, message.seq)));
        let mut room = self.room(limit);
        let mut messages = Vec::new();
        for message in found {
            if !room.take(&message, messages.is_empty()) {
                break;
            }
            messages.push(message);
        }
        Ok(Ok(Reply::Messages { messages }))
    }
}

/// What a message must hold, in lower case: words, and what stands between quotation marks.
fn sought(text: &str) -> Vec<String> {
    let mut sought = Vec::new();
    for (number, piece) in text.to_lowercase().split('"').enumerate() {
        if number % 2 == 0 {
            sought.extend(piece.split_whitespace().map(str::to_owned));
        } else if !piece.trim().is_empty() {
            sought.push(piece.trim().to_owned());
        }
    }
    sought
}

fn has_all(message: &Message, words: &[String]) -> bool {
    let text = match &message.body {
        Body::Text(text) => &text.text,
        Body::Edit { text, .. } => text,
        Body::Delete { .. }
        | Body::React { .. }
        | Body::Member { .. }
        | Body::Group(_)
        | Body::Erased { .. }
        | Body::Unknown => return false,
    };
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::sought;

    #[test]
    fn words_in_quotation_marks_stand_together() {
        assert_eq!(sought("Uma casa"), ["uma", "casa"]);
        assert_eq!(sought("a \"Uma  Casa\" b"), ["a", "uma  casa", "b"]);
        assert_eq!(sought("\"never closed"), ["never closed"]);
        assert!(sought(" \"\" ").is_empty());
    }
}
