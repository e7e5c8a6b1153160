//! `chat export`: everything that somebody may read, as lines of JSON, each with its `type`:
//! `me`, `conversation`, `member`, `message`.

use std::io::{self, Write as _};

use leveret_client::message::{
    ConversationKind, ConversationSummary, HistoryRange, Reply, Request, Seq,
};
use serde::Serialize;

use super::Failure;
use super::person::{Person, unexpected};

/// Messages of one answer.
const PAGE: u32 = 500;

#[derive(Serialize)]
struct Line<'a, T> {
    r#type: &'static str,
    #[serde(flatten)]
    value: &'a T,
}

fn line(r#type: &'static str, value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &Line { r#type, value })?;
    out.write_all(b"\n")
}

pub(crate) async fn export(person: &Person) -> Result<(), Failure> {
    match person.ask(Request::Me).await? {
        Reply::Me { user, .. } => line("me", &user)?,
        other => return Err(unexpected(&other)),
    }
    for summary in person.conversations().await? {
        line("conversation", &summary)?;
        conversation(person, &summary).await?;
    }
    Ok(io::stdout().flush()?)
}

async fn conversation(person: &Person, summary: &ConversationSummary) -> Result<(), Failure> {
    let conv = summary.conv.clone();
    if summary.kind == ConversationKind::Group {
        match person.ask(Request::Members { conv: conv.clone() }).await? {
            Reply::Members { members } => {
                for member in &members {
                    line("member", member)?;
                }
            }
            other => return Err(unexpected(&other)),
        }
    }
    let mut after = Seq::NONE;
    loop {
        let request = Request::History {
            conv: conv.clone(),
            range: HistoryRange::After(after),
            limit: PAGE,
        };
        let messages = person.messages(request).await?;
        let Some(last) = messages.last() else {
            return Ok(());
        };
        after = last.seq;
        for message in &messages {
            line("message", message)?;
        }
    }
}
