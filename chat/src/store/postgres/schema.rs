//! The tables, made and brought up to date when a store is opened.

use tokio_postgres::{Client, Transaction};

use super::PostgresOpenError;

/// What leads from each version to the next, from nothing on.
const SCRIPTS: &[&str] = &[include_str!("schema-1.sql")];

/// Makes the tables, or brings them up to date. Of several processes one does it, the others wait.
pub(super) async fn migrate(client: &mut Client) -> Result<(), PostgresOpenError> {
    let transaction = client.transaction().await?;
    let have = version(&transaction).await?;
    let known = SCRIPTS.len();
    let Some(missing) = SCRIPTS.get(have..) else {
        return Err(PostgresOpenError::Newer { have, known });
    };
    for (number, script) in (have + 1..).zip(missing) {
        tracing::info!(version = number, "making the tables");
        transaction.batch_execute(script).await?;
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        let note = "INSERT INTO leveret_chat_versions (version) VALUES ($1)";
        transaction.execute(note, &[&number]).await?;
    }
    Ok(transaction.commit().await?)
}

/// The version that is there, held until the transaction ends.
async fn version(transaction: &Transaction<'_>) -> Result<usize, PostgresOpenError> {
    let lock =
        "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' leveret-chat', 0))";
    transaction.batch_execute(lock).await?;
    let table = "CREATE TABLE IF NOT EXISTS leveret_chat_versions (
        version int PRIMARY KEY, made timestamptz NOT NULL DEFAULT now())";
    transaction.batch_execute(table).await?;
    let last = "SELECT coalesce(max(version), 0) FROM leveret_chat_versions";
    let row = transaction.query_one(last, &[]).await?;
    Ok(usize::try_from(row.get::<_, i32>(0)).unwrap_or_default())
}
