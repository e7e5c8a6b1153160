//! `admin dead`.

use std::sync::Arc;

use anyhow::{Result, bail};
use leveret_chat::amqp::Link;
use leveret_chat::operator::{self, DeadLetter, Verdict};
use leveret_chat::store::ChatStore;
use leveret_client::message::MessageId;
use serde_json::json;

use super::rows::Rows;
use crate::cli::admin_options::{AdminOptions, DeadCommand, WhichDead};
use crate::cli::run::Connected;

pub(super) async fn run(
    options: &AdminOptions,
    store: &Arc<dyn ChatStore>,
    command: &DeadCommand,
    rows: Rows,
) -> Result<()> {
    let deployment = super::deployment(store).await?;
    let broker = Connected::new(&options.broker).await?;
    let link = Link::open(&broker.url, "leveret-chat admin").await?;
    let mut seen = Vec::new();
    let decide = |letter: &DeadLetter| {
        let verdict = verdict(command, letter.id);
        let shows = match command {
            DeadCommand::List => true,
            DeadCommand::Show { id } => letter.id == Some(*id),
            DeadCommand::Replay(_) | DeadCommand::Drop(_) => verdict != Verdict::Keep,
        };
        if shows {
            seen.push(letter.clone());
        }
        verdict
    };
    let outcome = operator::dead_letters(&link, &broker.url, deployment.shards, decide).await;
    link.close().await;
    broker.end().await?;
    let outcome = outcome?;
    for letter in &seen {
        show(letter, command, rows)?;
    }
    match command {
        DeadCommand::List => Ok(()),
        DeadCommand::Show { id } if seen.is_empty() => bail!("there is no dead letter {id}"),
        DeadCommand::Show { .. } => Ok(()),
        DeadCommand::Replay(_) | DeadCommand::Drop(_) => {
            rows.put(&[
                ("replayed", json!(outcome.replayed)),
                ("dropped", json!(outcome.dropped)),
                ("kept", json!(outcome.kept)),
                ("failed", json!(outcome.failed)),
            ])?;
            if outcome.failed > 0 {
                bail!(
                    "{} could not be sent again: nobody attests who sent them, or the broker did not take them",
                    outcome.failed
                );
            }
            Ok(())
        }
    }
}

fn verdict(command: &DeadCommand, id: Option<MessageId>) -> Verdict {
    let is_meant = |which: &WhichDead| which.all || id.is_some_and(|id| which.ids.contains(&id));
    match command {
        DeadCommand::Replay(which) if is_meant(which) => Verdict::Replay,
        DeadCommand::Drop(which) if is_meant(which) => Verdict::Drop,
        DeadCommand::List
        | DeadCommand::Show { .. }
        | DeadCommand::Replay(_)
        | DeadCommand::Drop(_) => Verdict::Keep,
    }
}

fn show(letter: &DeadLetter, command: &DeadCommand, rows: Rows) -> Result<()> {
    let sender = letter.sender.as_ref();
    let mut row = vec![
        ("id", json!(letter.id)),
        ("queue", json!(letter.queue)),
        ("conversation", json!(letter.conversation)),
        ("user", json!(sender.map(|sender| &sender.user))),
        ("device", json!(sender.map(|sender| &sender.device))),
        ("octets", json!(letter.body.len())),
    ];
    // What people have written is shown only to whoever asks for it.
    if matches!(command, DeadCommand::Show { .. }) {
        row.push(("body", json!(String::from_utf8_lossy(&letter.body))));
    }
    rows.put(&row)
}
