//! Words for people, lines of JSON for programs.

use std::collections::HashMap;
use std::io::{self, Write as _};

use leveret_client::message::{
    ConversationSummary, MemberSummary, Message, MessageStatus, Post, UserId,
};
use leveret_client::words::{plain, words};
use serde::Serialize;

use super::Failure;

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    fn line(&self, value: &impl Serialize, words: impl FnOnce() -> String) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, value)?;
            out.write_all(b"\n")?;
        } else {
            writeln!(out, "{}", words())?;
        }
        out.flush()
    }

    /// A message, with its sender's name.
    pub(crate) fn message(&self, message: &Message, from: &str) -> io::Result<()> {
        self.line(message, || {
            let text = plain(&words(&message.body));
            format!("{} {} @{from}: {text}", message.ts, message.seq)
        })
    }

    /// Messages, with their senders' names.
    pub(crate) fn messages(
        &self,
        messages: &[Message],
        names: &HashMap<UserId, String>,
    ) -> Result<(), Failure> {
        for message in messages {
            let from = names.get(&message.from).map_or("?", String::as_str);
            self.message(message, from)?;
        }
        Ok(())
    }

    /// A message that could not be sent yet.
    pub(crate) fn post(&self, post: &Post) -> io::Result<()> {
        self.line(post, || {
            let text = plain(&words(&post.body));
            format!("{} {} {}: {text}", post.sent_at, post.id, post.conv)
        })
    }

    /// How far somebody has come with a message.
    pub(crate) fn receipt(&self, name: &str, is_delivered: bool, is_read: bool) -> io::Result<()> {
        let value = serde_json::json!({"handle": name, "delivered": is_delivered, "read": is_read});
        self.line(&value, || {
            let state = match (is_delivered, is_read) {
                (_, true) => "read",
                (true, false) => "delivered",
                (false, false) => "not delivered",
            };
            format!("@{name}\t{state}")
        })
    }

    pub(crate) fn id(&self, id: &impl ToString) -> io::Result<()> {
        let id = id.to_string();
        self.line(&serde_json::json!({ "id": id }), || id.clone())
    }

    pub(crate) fn status(&self, status: &MessageStatus) -> io::Result<()> {
        self.line(status, || match status {
            MessageStatus::Unknown => "the service does not have it".to_owned(),
            MessageStatus::Stored {
                message,
                recipients,
                delivered,
                read,
            } => format!(
                "seq {}, delivered {delivered}/{recipients}, read {read}/{recipients}",
                message.seq
            ),
        })
    }

    pub(crate) fn conversation(&self, summary: &ConversationSummary) -> io::Result<()> {
        self.line(summary, || {
            let name = name(summary);
            let (unread, members) = (summary.unread, summary.members);
            format!(
                "{name}\t{}\tunread {unread}\tmembers {members}",
                summary.conv
            )
        })
    }

    pub(crate) fn member(&self, member: &MemberSummary) -> io::Result<()> {
        self.line(member, || {
            let role = format!("{:?}", member.role).to_lowercase();
            format!(
                "@{}\t{role}\t{}",
                member.user.handle,
                plain(&member.user.name)
            )
        })
    }
}

/// How a conversation is called.
pub(crate) fn name(summary: &ConversationSummary) -> String {
    match (&summary.settings, &summary.peer) {
        (Some(settings), _) => format!("#{}", plain(&settings.title)),
        (None, Some(peer)) => format!("@{}", peer.handle),
        (None, None) => summary.conv.to_string(),
    }
}
