//! The store in PostgreSQL: what it promises, and what several processes do to it at once. They need a
//! database, `LEVERET_POSTGRES_URL`; `.ci/postgres` starts one.

use leveret_client::message::{
    Body, ConversationId, HistoryRange, Post, Seq, Timestamp, Toggle, UserId,
};
use tokio_postgres::NoTls;

use super::*;
use crate::store::test_database::Database;
use crate::store::{AddedUser, Append, Appended, User, conformance};

async fn open(url: &str) -> Arc<dyn ChatStore> {
    PostgresStore::open(url).await.expect("opens")
}

async fn person(store: &dyn ChatStore, handle: &str) -> UserId {
    let user = User {
        id: UserId::random(),
        handle: handle.parse().expect("a good name"),
        name: handle.to_owned(),
        password: None,
        bot: false,
        administrator: false,
        receipts: Toggle::On,
        created: Timestamp::now(),
        deleted: None,
    };
    assert_eq!(store.add_user(user.clone()).await, Ok(AddedUser::Added));
    user.id
}

fn append(from: &UserId, to: &UserId, text: &str) -> Append {
    let device = "dterm".parse().expect("a good id");
    let at = Timestamp::now();
    let post = Post::to_user(to, from, &device, Body::text(text), at);
    Append { post, at }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_in_postgresql_keeps_what_stores_promise() {
    let Some(database) = Database::find() else {
        return;
    };
    conformance::check(async || open(&database.schema("promise").await).await).await;
    database.clean("promise").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_that_append_at_once_number_messages_without_gaps() {
    const PROCESSES: usize = 4;
    const EACH: usize = 40;
    let Some(database) = Database::find() else {
        return;
    };
    let url = database.schema("several").await;
    let first = open(&url).await;
    let (ana, bruno) = (person(&*first, "ana").await, person(&*first, "bruno").await);
    // The same messages by all of them, as routers do that all believe the shard is theirs.
    let appends: Vec<_> = (0..EACH)
        .map(|number| append(&ana, &bruno, &number.to_string()))
        .collect();
    let mut processes = Vec::new();
    for number in 0..PROCESSES {
        let (store, ana, bruno) = (open(&url).await, ana.clone(), bruno.clone());
        let shared = appends.clone();
        processes.push(tokio::spawn(async move {
            let mut stored = 0;
            for one in shared {
                let own = append(&bruno, &ana, &format!("{number}"));
                let appended = store
                    .append(vec![one, own])
                    .await
                    .expect("it works")
                    .outcomes;
                for appended in appended {
                    match appended {
                        Appended::Stored(_) => stored += 1,
                        Appended::Duplicate(_) => {}
                        Appended::Denied(code) => panic!("denied: {code}"),
                    }
                }
            }
            store.close().await;
            stored
        }));
    }
    let mut stored = 0;
    for process in processes {
        stored += process.await.expect("it ends");
    }
    assert_eq!(stored, EACH + PROCESSES * EACH);
    let conversation = ConversationId::direct(&ana, &bruno);
    let history = first.history(&conversation, HistoryRange::After(Seq::NONE), 10_000);
    let history = history.await.expect("it works");
    let seqs: Vec<_> = history.iter().map(|message| message.seq.0).collect();
    assert_eq!(seqs, (1..=stored as u64).collect::<Vec<_>>());
    first.close().await;
    database.clean("several").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_committed_by_one_that_died_is_found_by_the_next() {
    let Some(database) = Database::find() else {
        return;
    };
    let url = database.schema("died").await;
    let store = open(&url).await;
    let (ana, bruno) = (person(&*store, "ana").await, person(&*store, "bruno").await);
    let append = append(&ana, &bruno, "oi\u{0}!");
    let appended = store
        .append(vec![append.clone()])
        .await
        .expect("it works")
        .outcomes;
    let [Appended::Stored(message)] = &appended[..] else {
        panic!("not stored: {appended:?}");
    };
    // It dies before it acknowledges; another one gets the message.
    store.close().await;
    assert_eq!(store.deployment().await, Err(StoreError::Closed));
    let store = open(&url).await;
    let again = store.append(vec![append]).await.expect("it works").outcomes;
    assert_eq!(again, [Appended::Duplicate(message.clone())]);
    store.close().await;
    database.clean("died").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stops_in_the_middle_of_a_write_does_not_stop_the_others() {
    let Some(database) = Database::find() else {
        return;
    };
    let url = database.schema("stops").await;
    let store = open(&url).await;
    let (ana, bruno) = (person(&*store, "ana").await, person(&*store, "bruno").await);
    let append = append(&ana, &bruno, "oi!");
    let pool = pool(url.parse().expect("a good URL")).expect("a pool");
    let stuck = pool.get().await.expect("connects");
    let scope = Scope {
        alone: [super::super::kv::key::conversation(&append.post.conv)].into(),
        ahead: [].into(),
    };
    begin(&stuck, &scope).await.expect("begins");
    let appended = store.append(vec![append]).await.expect("it works").outcomes;
    assert!(matches!(&appended[..], [Appended::Stored(_)]));
    // What it had in hand comes to nothing.
    assert!(stuck.batch_execute("COMMIT").await.is_err());
    store.close().await;
    database.clean("stops").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_later_version_are_left_alone() {
    let Some(database) = Database::find() else {
        return;
    };
    let url = database.schema("later").await;
    open(&url).await.close().await;
    let mut config: Config = url.parse().expect("a good URL");
    let (client, connection) = config.connect(NoTls).await.expect("connects");
    tokio::spawn(connection);
    let note = "INSERT INTO leveret_chat_versions (version) VALUES (99)";
    client.batch_execute(note).await.expect("it is done");
    let opened = PostgresStore::open(&url).await;
    assert!(matches!(
        opened,
        Err(PostgresOpenError::Newer { have: 99, .. })
    ));
    config.ssl_mode(tokio_postgres::config::SslMode::Require);
    let secure = format!("{url}&sslmode=require");
    let opened = PostgresStore::open(&secure).await;
    assert!(matches!(opened, Err(PostgresOpenError::Url(_))));
    drop(client);
    database.clean("later").await;
}
