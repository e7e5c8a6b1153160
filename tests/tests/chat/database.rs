//! A PostgreSQL, `LEVERET_POSTGRES_URL`, and a schema of a test's own in it.

use std::io::Write as _;

use anyhow::{Result, bail};
use tokio_postgres::NoTls;

/// A schema of its own.
pub(crate) struct Database {
    server: String,
    schema: String,
    /// As services are told of it.
    pub(crate) url: String,
}

impl Database {
    /// An empty schema; `None` if there is no database, which is said, or fails if there should be one.
    pub(crate) async fn new(name: &str) -> Result<Option<Self>> {
        let Ok(server) = std::env::var("LEVERET_POSTGRES_URL") else {
            if std::env::var_os("LEVERET_REQUIRE_POSTGRES").is_some() {
                bail!("LEVERET_REQUIRE_POSTGRES is set, LEVERET_POSTGRES_URL is not");
            }
            // Past the test harness's capture, so that nobody takes it for a pass.
            let line = b"SKIPPED: no PostgreSQL, LEVERET_POSTGRES_URL is not set\n";
            std::io::stderr().write_all(line)?;
            return Ok(None);
        };
        let schema = format!("test_{name}_{:08x}", rand::random::<u32>());
        execute(&server, &format!("CREATE SCHEMA {schema}")).await?;
        let separator = if server.contains('?') { '&' } else { '?' };
        Ok(Some(Self {
            url: format!("{server}{separator}options=-csearch_path%3D{schema}"),
            server,
            schema,
        }))
    }

    pub(crate) async fn drop_schema(self) -> Result<()> {
        let schema = &self.schema;
        execute(&self.server, &format!("DROP SCHEMA {schema} CASCADE")).await
    }
}

async fn execute(server: &str, sql: &str) -> Result<()> {
    let (client, connection) = tokio_postgres::connect(server, NoTls).await?;
    let running = tokio::spawn(connection);
    client.batch_execute(sql).await?;
    drop(client);
    Ok(running.await??)
}
