//! The store in PostgreSQL, for any number of processes.
//!
//! What is decided about a message is decided by the same code as in the other stores. A write is one
//! transaction: it takes for itself what it is about (advisory locks, in one order), fetches what it will
//! read, decides, writes, and commits synced. So two routers that both believe they have a shard still
//! number its messages one after the other, and a message that was committed by one that died before it
//! could say so is found again by the next.
//!
//! A process that is stopped in the middle of a transaction would keep what it has locked: the server
//! ends such a transaction after [`IDLE_MAX`].

mod schema;
mod tables;
mod view;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError,
    RecyclingMethod, Runtime, Timeouts,
};
use futures_util::future::try_join;
use tokio::runtime::Handle;
use tokio_postgres::{Config, NoTls};

use self::tables::Found;
use self::view::DatabaseView;
use super::kv::scope::Scope;
use super::kv::view::{Transaction, View};
use super::kv::{Engine, KeyValueStore};
use super::{ChatStore, StoreError};

/// Connections of a process, at most; further calls wait. Servers take 100 in all, if nothing is said.
const CONNECTIONS_MAX: usize = 16;
/// How long a call waits for a connection.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(10);
/// How long a transaction may wait for its client before the server ends it: more than any pause of a
/// process that works, less than people notice.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// How long a statement may take.
const STATEMENT_MAX: Duration = Duration::from_secs(30);

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum PostgresOpenError {
    /// The URL is none, or asks for what there is not.
    #[error("not the URL of a PostgreSQL database: {0}")]
    Url(String),
    /// The database does not answer as it should.
    #[error("the database fails: {}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    /// It would lose what it has said it has.
    #[error("the database does not sync what it commits (fsync=off): switch that on")]
    Unsynced,
    /// Its tables were made by a later version.
    #[error("the database has tables of version {have}, and this program knows {known}")]
    Newer {
        /// The version there.
        have: usize,
        /// The last version known here.
        known: usize,
    },
    /// The pool of connections cannot be made.
    #[error("no connections: {0}")]
    Pool(String),
}

/// What the server says; the library says "db error" alone.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(database) => format!("{} ({})", database.message(), database.code().code()),
        None => error.to_string(),
    }
}

fn unavailable(error: tokio_postgres::Error) -> StoreError {
    StoreError::Unavailable(describe(&error))
}

/// Opens stores in PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub struct PostgresStore;

impl PostgresStore {
    /// Opens the store in this database, `postgres://user:password@host/database`, and makes its tables
    /// or brings them up to date. They lie in the first schema of the search path, which the URL may set:
    /// `?options=-csearch_path%3Dchat`.
    pub async fn open(url: &str) -> Result<Arc<dyn ChatStore>, PostgresOpenError> {
        let mut config: Config = url
            .parse()
            .map_err(|error: tokio_postgres::Error| PostgresOpenError::Url(error.to_string()))?;
        if config.get_ssl_mode() == tokio_postgres::config::SslMode::Require {
            let text = "TLS is not spoken here; reach the database over a tunnel";
            return Err(PostgresOpenError::Url(text.to_owned()));
        }
        config
            .application_name("leveret-chat")
            .connect_timeout(CONNECTION_PATIENCE)
            .keepalives_idle(Duration::from_secs(10));
        let (mut client, connection) = config.connect(NoTls).await?;
        let running = tokio::spawn(connection);
        let ready = prepare(&mut client).await;
        drop(client);
        // What went wrong with the connection went wrong with what was asked over it.
        let _ = running.await;
        ready?;
        let pool = pool(config).map_err(|error| PostgresOpenError::Pool(error.to_string()))?;
        Ok(Arc::new(KeyValueStore(PostgresEngine { pool })))
    }
}

async fn prepare(client: &mut tokio_postgres::Client) -> Result<(), PostgresOpenError> {
    let row = client.query_one("SHOW fsync", &[]).await?;
    if row.get::<_, &str>(0) != "on" {
        return Err(PostgresOpenError::Unsynced);
    }
    schema::migrate(client).await
}

fn pool(config: Config) -> Result<Pool, deadpool_postgres::BuildError> {
    let manager = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let prepared = Hook::async_fn(|client: &mut ClientWrapper, _| {
        Box::pin(async move {
            let settings = session_settings();
            let set = client.batch_execute(&settings).await;
            set.map_err(|error| HookError::message(describe(&error)))
        })
    });
    Pool::builder(Manager::from_config(config, NoTls, manager))
        .max_size(CONNECTIONS_MAX)
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts {
            wait: Some(CONNECTION_PATIENCE),
            create: Some(CONNECTION_PATIENCE),
            recycle: Some(CONNECTION_PATIENCE),
        })
        .post_create(prepared)
        .build()
}

/// A commit is synced, whatever is usual in this database; an operator may ask for more than that.
fn session_settings() -> String {
    format!(
        "SELECT set_config('synchronous_commit', 'on', false)
         WHERE current_setting('synchronous_commit') IN ('off', 'local');
         SET default_transaction_isolation = 'read committed';
         SET idle_in_transaction_session_timeout = {};
         SET statement_timeout = {};",
        IDLE_MAX.as_millis(),
        STATEMENT_MAX.as_millis(),
    )
}

/// The engine of [`PostgresStore::open`].
struct PostgresEngine {
    pool: Pool,
}

impl fmt::Debug for PostgresEngine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The pool knows the password.
        formatter.write_str("PostgresEngine")
    }
}

impl PostgresEngine {
    async fn client(&self) -> Result<Object, StoreError> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Closed => StoreError::Closed,
            PoolError::Backend(error) => unavailable(error),
            PoolError::Timeout(_)
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => StoreError::Unavailable(error.to_string()),
        })
    }

    /// Does it where blocking is allowed. The connection is used again only if all went well: a
    /// transaction that it is in the middle of ends with it.
    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&ClientWrapper, Handle) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let client = self.client().await?;
        let runtime = Handle::current();
        let done = tokio::task::spawn_blocking(move || {
            let lease = Lease(Some(client));
            let result = work(lease.client(), runtime)?;
            lease.give_back();
            Ok(result)
        });
        // It fails if the runtime is shut down, or if the work panics, and then the connection is lost.
        done.await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?
    }
}

/// A connection that ends with whatever went wrong on it.
struct Lease(Option<Object>);

impl Lease {
    fn client(&self) -> &ClientWrapper {
        self.0.as_ref().expect("it is given back by value")
    }

    fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}

async fn begin(client: &ClientWrapper, scope: &Scope) -> Result<Found, StoreError> {
    let names: Vec<_> = scope.alone.iter().cloned().collect();
    // Both are on their way at once, and are done in this order.
    let begun = async { client.batch_execute("BEGIN").await.map_err(unavailable) };
    try_join(begun, tables::lock(client, &names)).await?;
    tables::fetch(client, &scope.ahead).await
}

impl Engine for PostgresEngine {
    async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn View) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.blocking(move |client, runtime| {
            work(&DatabaseView::new(client, runtime, Found::new()))
        })
        .await
    }

    async fn write<R: Send + 'static>(
        &self,
        scope: Scope,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.blocking(move |client, runtime| {
            let ahead = runtime.block_on(begin(client, &scope))?;
            let view = DatabaseView::new(client, runtime.clone(), ahead);
            let mut transaction = Transaction::new(&view);
            let result = work(&mut transaction)?;
            let changes = transaction.into_changes();
            runtime.block_on(async {
                tables::change(client, changes).await?;
                client.batch_execute("COMMIT").await.map_err(unavailable)
            })?;
            Ok(result)
        })
        .await
    }

    async fn close(&self) {
        self.pool.close();
    }
}

#[cfg(test)]
mod tests;
