//! `admin verify`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use leveret_chat::store::{ChatStore, Record};
use leveret_chat::transfer::{Check, Export};
use serde_json::json;

use super::rows::Rows;
use crate::cli::admin_options::VerifyOptions;
use crate::cli::transfer::Lines;

pub(super) async fn run(
    store: &Arc<dyn ChatStore>,
    options: &VerifyOptions,
    rows: Rows,
) -> Result<()> {
    let mut check = match &options.against {
        Some(file) => Check::against(cursors(file).await?),
        None => Check::default(),
    };
    let mut export = Export::new(store.clone());
    while let Some(records) = export.next().await? {
        for record in &records {
            check.record(record);
            if let Record::Message(message) = record {
                // By its id it must be found where it lies, as long as ids are remembered.
                let found = store.message_of(&message.from, message.id).await?;
                if found.is_some_and(|found| found.seq != message.seq || found.conv != message.conv)
                {
                    check.find(format!("the id {} leads elsewhere", message.id));
                }
            }
        }
    }
    let (counts, findings) = check.finish();
    for finding in &findings {
        rows.put(&[("finding", json!(finding.to_string()))])?;
    }
    rows.put(&[
        ("users", json!(counts.users)),
        ("conversations", json!(counts.conversations)),
        ("messages", json!(counts.messages)),
        ("cursors", json!(counts.cursors)),
        ("findings", json!(counts.findings)),
    ])?;
    if counts.findings > 0 {
        bail!("{} findings", counts.findings);
    }
    Ok(())
}

/// What an earlier backup says of cursors.
async fn cursors(file: &Path) -> Result<Vec<Record>> {
    let mut lines = Lines::open(file).await?;
    let mut cursors = Vec::new();
    while let Some(page) = lines.next().await? {
        for line in page {
            let record = serde_json::from_str(&line)?;
            if matches!(record, Record::Cursor { .. }) {
                cursors.push(record);
            }
        }
    }
    Ok(cursors)
}
