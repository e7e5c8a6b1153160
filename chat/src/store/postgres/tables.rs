//! Keys as rows. Messages lie in a table by conversation and place, everything else by its key.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use deadpool_postgres::ClientWrapper;
use futures_util::future::{try_join, try_join_all};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::unavailable;
use crate::store::StoreError;
use crate::store::kv::key;
use crate::store::kv::view::{Changes, Direction, Range};

/// Keys and their values; `None` where there is nothing.
pub(super) type Found = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

type Entry = (Vec<u8>, Vec<u8>);

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}

fn table(key: &[u8]) -> Result<&'static str, StoreError> {
    let kind = key.first();
    let found = key::KINDS.iter().find(|(letter, _)| Some(letter) == kind);
    let (_, name) = found.ok_or_else(|| damaged("a key of no kind"))?;
    Ok(name)
}

fn message_parts(key: &[u8]) -> Result<(&str, i64), StoreError> {
    let (conversation, seq) =
        key::message_parts(key).ok_or_else(|| damaged("a message's key is none"))?;
    // The ends of ranges go beyond every message.
    Ok((conversation, i64::try_from(seq.0).unwrap_or(i64::MAX)))
}

/// What is empty here is NULL there.
fn value(row: &Row, column: usize) -> Result<Vec<u8>, StoreError> {
    let text: Option<String> = row.try_get(column).map_err(unavailable)?;
    Ok(text.unwrap_or_default().into_bytes())
}

fn text(value: Vec<u8>) -> Result<Option<String>, StoreError> {
    if value.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(value).map_err(|_| damaged("a value is no text"))?;
    Ok(Some(text))
}

async fn query(
    client: &ClientWrapper,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, StoreError> {
    let statement = client.prepare_cached(sql).await.map_err(unavailable)?;
    client
        .query(&statement, parameters)
        .await
        .map_err(unavailable)
}

async fn execute(
    client: &ClientWrapper,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<(), StoreError> {
    query(client, sql, parameters).await.map(drop)
}

/// Takes these names for this transaction alone; in one order, so that nobody waits in a circle. Their
/// hashes may be one and the same, which costs time alone.
pub(super) async fn lock(client: &ClientWrapper, names: &[Vec<u8>]) -> Result<(), StoreError> {
    let sql = "SELECT pg_advisory_xact_lock(hash) FROM (
        SELECT DISTINCT hashtextextended(current_schema() || ' ' || encode(name, 'hex'), 0) AS hash
        FROM unnest($1::bytea[]) AS name ORDER BY hash) AS names";
    execute(client, sql, &[&names]).await
}

/// Reads all of these, with one query for each table, all on their way at once.
pub(super) async fn fetch<'k>(
    client: &ClientWrapper,
    keys: impl IntoIterator<Item = &'k Vec<u8>>,
) -> Result<Found, StoreError> {
    let mut found = Found::new();
    let mut messages = (Vec::new(), Vec::new());
    let mut others: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    for key in keys {
        if key::is_message(key) {
            let (conversation, seq) = message_parts(key)?;
            messages.0.push(conversation);
            messages.1.push(seq);
        } else {
            others.entry(table(key)?).or_default().push(key);
        }
        found.insert(key.clone(), None);
    }
    let rows = others.iter().map(|(table, keys)| async move {
        let sql = format!("SELECT key, value::text FROM {table} WHERE key = ANY($1::bytea[])");
        query(client, &sql, &[keys]).await
    });
    for row in try_join_all(rows).await?.into_iter().flatten() {
        let key = row.try_get(0).map_err(unavailable)?;
        found.insert(key, Some(value(&row, 1)?));
    }
    let (conversations, seqs) = messages;
    if !conversations.is_empty() {
        let sql = "SELECT conv, seq, value::text FROM messages
            JOIN unnest($1::text[], $2::bigint[]) AS wanted (conv, seq) USING (conv, seq)";
        for row in query(client, sql, &[&conversations, &seqs]).await? {
            let (key, value) = message(&row)?;
            found.insert(key, Some(value));
        }
    }
    Ok(found)
}

fn message(row: &Row) -> Result<Entry, StoreError> {
    let conversation: &str = row.try_get(0).map_err(unavailable)?;
    let seq: i64 = row.try_get(1).map_err(unavailable)?;
    let seq = u64::try_from(seq).map_err(|_| damaged("a message's place is negative"))?;
    Ok((key::message_at(conversation, seq), value(row, 2)?))
}

/// Some of what lies in a range, from its beginning or from its end.
pub(super) async fn page(
    client: &ClientWrapper,
    range: &Range,
    direction: Direction,
    limit: i64,
) -> Result<Vec<Entry>, StoreError> {
    let order = match direction {
        Direction::Forward => "",
        Direction::Backward => " DESC",
    };
    if key::is_message(&range.from) && range.from.len() > 1 {
        let (conversation, from) = message_parts(&range.from)?;
        let end = range.to.as_deref().map(message_parts).transpose()?;
        let to = match end {
            Some((of, to)) if of == conversation => to,
            Some(_) | None => return Err(damaged("a range of messages of several conversations")),
        };
        let sql = format!(
            "SELECT conv, seq, value::text FROM messages
             WHERE conv = $1::text AND seq >= $2 AND seq < $3 ORDER BY seq{order} LIMIT $4"
        );
        let rows = query(client, &sql, &[&conversation, &from, &to, &limit]).await?;
        return rows.iter().map(message).collect();
    }
    let mut sql = format!(
        "SELECT key, value::text FROM {} WHERE key >= $1::bytea",
        table(&range.from)?
    );
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&range.from];
    if let Some(to) = &range.to {
        sql.push_str(" AND key < $2::bytea");
        parameters.push(to);
    }
    parameters.push(&limit);
    // Writing to a text cannot fail.
    let _ = write!(sql, " ORDER BY key{order} LIMIT ${}", parameters.len());
    let rows = query(client, &sql, &parameters).await?;
    let entry = |row: &Row| Ok((row.try_get(0).map_err(unavailable)?, value(row, 1)?));
    rows.iter().map(entry).collect()
}

#[derive(Default)]
struct TableChanges {
    keys: Vec<Vec<u8>>,
    values: Vec<Option<String>>,
    removed: Vec<Vec<u8>>,
}

/// Makes changes: a few statements, all on their way at once.
pub(super) async fn change(client: &ClientWrapper, changes: Changes) -> Result<(), StoreError> {
    let mut messages = (Vec::new(), Vec::new(), Vec::new());
    let mut others: BTreeMap<&str, TableChanges> = BTreeMap::new();
    for (key, change) in changes {
        if key::is_message(&key) {
            let (conversation, seq) = message_parts(&key)?;
            let value = change.ok_or_else(|| damaged("a message cannot be taken away"))?;
            messages.0.push(conversation.to_owned());
            messages.1.push(seq);
            messages.2.push(text(value)?);
            continue;
        }
        let table = others.entry(table(&key)?).or_default();
        match change {
            Some(value) => {
                table.keys.push(key);
                table.values.push(text(value)?);
            }
            None => table.removed.push(key),
        }
    }
    let others = others.iter().map(|(table, changes)| async move {
        if !changes.keys.is_empty() {
            let sql = format!(
                "INSERT INTO {table} (key, value)
                 SELECT key, value::json FROM unnest($1::bytea[], $2::text[]) AS new (key, value)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            );
            execute(client, &sql, &[&changes.keys, &changes.values]).await?;
        }
        if !changes.removed.is_empty() {
            let sql = format!("DELETE FROM {table} WHERE key = ANY($1::bytea[])");
            execute(client, &sql, &[&changes.removed]).await?;
        }
        Ok(())
    });
    let messages = async {
        let (conversations, seqs, values) = &messages;
        if conversations.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO messages (conv, seq, value)
            SELECT conv, seq, value::json
            FROM unnest($1::text[], $2::bigint[], $3::text[]) AS new (conv, seq, value)
            ON CONFLICT (conv, seq) DO UPDATE SET value = excluded.value";
        execute(client, sql, &[conversations, seqs, values]).await
    };
    try_join(messages, try_join_all(others)).await?;
    Ok(())
}
