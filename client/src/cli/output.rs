//! Words for people, lines of JSON for programs.

use std::io::{self, Write as _};

use leveret_client::message::{
    Body, ConversationSummary, GroupChange, MemberChange, MemberSummary, Message, MessageStatus,
};
use serde::Serialize;

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
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

/// Without what would change the terminal.
fn plain(text: &str) -> String {
    let visible = |letter: char| match letter {
        '\n' | '\t' => letter,
        letter if letter.is_control() => '\u{fffd}',
        letter => letter,
    };
    text.chars().map(visible).collect()
}

fn words(body: &Body) -> String {
    match body {
        Body::Text(text) => text.text.clone(),
        Body::Edit { target, text, .. } => format!("[{target} now reads] {text}"),
        Body::Delete { target } => format!("[{target} is deleted]"),
        Body::React { target, emoji, .. } => format!("[{emoji} to {target}]"),
        Body::Member { user, change } => {
            let change = match change {
                MemberChange::Join => "has come",
                MemberChange::Leave => "has left",
                MemberChange::Add { .. } => "was brought in",
                MemberChange::Remove => "was sent out",
                MemberChange::Ban => "was banned",
                MemberChange::Unban => "may come back",
                MemberChange::Role { .. } => "has another role",
                MemberChange::Silence { .. } => "was silenced",
            };
            format!("[{user} {change}]")
        }
        Body::Group(GroupChange::Create { settings, .. }) => format!("[#{}]", settings.title),
        Body::Group(GroupChange::Settings { settings }) => {
            format!("[the group is #{} now]", settings.title)
        }
        Body::Erased { .. } => "[gone]".to_owned(),
        Body::Unknown => "[something that this version does not know]".to_owned(),
    }
}
