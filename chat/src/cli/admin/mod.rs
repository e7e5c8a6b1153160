//! `leveret-chat admin`.

mod dead;
mod rows;
mod users;
mod verify;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use leveret_chat::amqp::Link;
use leveret_chat::operator;
use leveret_chat::store::{ChatStore, Deployment};
use leveret_client::message::{ConversationId, ConversationKind};
use serde_json::json;

use self::rows::Rows;
use super::admin_options::{AdminCommand, AdminOptions, GroupCommand};
use super::open::open_store;
use super::run::Connected;
use super::transfer;

/// Groups read at once.
const PAGE: usize = 200;

/// Does what is asked; the store is closed afterwards, whatever came of it.
pub(crate) async fn run(options: AdminOptions) -> Result<()> {
    let store = open_store(&options.broker.place).await?;
    let done = command(&options, &store).await;
    store.close().await;
    done
}

async fn command(options: &AdminOptions, store: &Arc<dyn ChatStore>) -> Result<()> {
    let rows = Rows::new(options.json);
    match &options.command {
        AdminCommand::User(command) => users::run(options, store, command, rows).await,
        AdminCommand::Group(GroupCommand::List) => groups(store, rows).await,
        AdminCommand::Group(GroupCommand::Show { id }) => group(store, id, rows).await,
        AdminCommand::Dead(command) => dead::run(options, store, command, rows).await,
        AdminCommand::Shards => shards(options, store, rows).await,
        AdminCommand::Verify(verify) => verify::run(store, verify, rows).await,
        AdminCommand::Backup { file } => transfer::export(store, Some(file)).await,
    }
}

/// How the chat is set up; it is, or there is nothing to be looked at.
async fn deployment(store: &Arc<dyn ChatStore>) -> Result<Deployment> {
    let deployment = store.deployment().await?;
    deployment.context("the chat is not set up yet: leveret-chat init")
}

async fn groups(store: &Arc<dyn ChatStore>, rows: Rows) -> Result<()> {
    let mut last: Option<ConversationId> = None;
    loop {
        let page = store.conversation_ids(last.as_ref(), PAGE).await?;
        let Some(end) = page.last() else {
            return Ok(());
        };
        last = Some(end.clone());
        for id in page {
            let Some(conversation) = store.conversation(&id).await? else {
                continue;
            };
            if conversation.kind() == ConversationKind::Direct {
                continue;
            }
            let settings = conversation.settings.unwrap_or_default();
            rows.put(&[
                ("id", json!(id)),
                ("title", json!(settings.title)),
                ("members", json!(conversation.members)),
                ("last_seq", json!(conversation.last_seq)),
                ("retention_days", json!(settings.retention_days)),
                ("created", json!(conversation.created)),
            ])?;
        }
    }
}

async fn group(store: &Arc<dyn ChatStore>, id: &ConversationId, rows: Rows) -> Result<()> {
    let found = store.conversation(id).await?;
    found.with_context(|| format!("there is no {id}"))?;
    let cursors = store.cursors(id).await?;
    for member in store.members(id).await? {
        let user = store.user(&member.user).await?;
        let cursor = cursors.iter().find(|cursor| cursor.user == member.user);
        rows.put(&[
            ("handle", json!(user.map(|user| user.handle))),
            ("user", json!(member.user)),
            ("role", json!(member.role)),
            ("joined", json!(member.joined)),
            ("delivered", json!(cursor.map(|cursor| cursor.delivered))),
            ("read", json!(cursor.map(|cursor| cursor.read))),
        ])?;
    }
    Ok(())
}

async fn shards(options: &AdminOptions, store: &Arc<dyn ChatStore>, rows: Rows) -> Result<()> {
    let deployment = deployment(store).await?;
    let broker = Connected::new(&options.broker).await?;
    let link = Link::open(&broker.url, "leveret-chat admin").await?;
    let depths = operator::shards(&link, deployment.shards).await;
    link.close().await;
    broker.end().await?;
    for (queue, depth) in depths? {
        rows.put(&[
            ("queue", json!(queue)),
            ("ready", json!(depth.ready)),
            ("routers", json!(depth.consumers)),
        ])?;
    }
    Ok(())
}
