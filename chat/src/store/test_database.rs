//! A PostgreSQL for tests, `LEVERET_POSTGRES_URL`; `.ci/postgres` starts one.

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::NoTls;

/// A database for tests, if there is one; schemas of its own are made in it and dropped.
pub(crate) struct Database {
    url: String,
    number: AtomicU32,
}

impl Database {
    pub(crate) fn find() -> Option<Self> {
        if let Ok(url) = std::env::var("LEVERET_POSTGRES_URL") {
            let number = AtomicU32::new(0);
            return Some(Self { url, number });
        }
        assert!(
            std::env::var_os("LEVERET_REQUIRE_POSTGRES").is_none(),
            "LEVERET_REQUIRE_POSTGRES is set, LEVERET_POSTGRES_URL is not"
        );
        // Past the test harness's capture, so that nobody takes it for a pass.
        let line = b"SKIPPED: no PostgreSQL, LEVERET_POSTGRES_URL is not set\n";
        std::io::stderr().write_all(line).expect("written");
        None
    }

    async fn execute(&self, sql: &str) {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls)
            .await
            .expect("connects");
        let running = tokio::spawn(connection);
        client.batch_execute(sql).await.expect("it is done");
        drop(client);
        running.await.expect("runs").expect("ends");
    }

    /// The URL of an empty schema.
    pub(crate) async fn schema(&self, test: &str) -> String {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{test}_{}_{number}", std::process::id());
        self.execute(&format!("CREATE SCHEMA {name}")).await;
        let separator = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{separator}options=-csearch_path%3D{name}", self.url)
    }

    /// Drops all schemas of a test.
    pub(crate) async fn clean(&self, test: &str) {
        for number in 0..self.number.load(Ordering::Relaxed) {
            let name = format!("test_{test}_{}_{number}", std::process::id());
            // Each is a transaction of its own: dropping 64 partitions takes many locks.
            self.execute(&format!("DROP SCHEMA {name} CASCADE")).await;
        }
    }
}
