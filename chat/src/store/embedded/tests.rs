//! The store on disk: what it promises, and what is left of it after every kind of end.

use super::*;
use crate::store::{AddedUser, Append, Appended, Deployment};
use leveret_client::message::{Body, HistoryRange, Post, Seq, Timestamp, Toggle, UserId};

fn open(directory: &Path) -> Arc<dyn ChatStore> {
    EmbeddedStore::open(directory).expect("opens").0
}

fn user(handle: &str) -> crate::store::User {
    crate::store::User {
        id: UserId::random(),
        handle: handle.parse().expect("a good name"),
        name: handle.to_owned(),
        password: None,
        bot: false,
        administrator: false,
        receipts: Toggle::On,
        created: Timestamp::now(),
        deleted: None,
    }
}

async fn send(store: &dyn ChatStore, from: &UserId, to: &UserId, text: &str) -> Post {
    let device = "dterm".parse().expect("a good id");
    let post = Post::to_user(to, from, &device, Body::text(text), Timestamp::now());
    let append = Append {
        post: post.clone(),
        at: Timestamp::now(),
    };
    let appended = store.append(vec![append]).await.expect("it works").outcomes;
    assert!(matches!(&appended[..], [Appended::Stored(_)]));
    post
}

/// Two people and some messages, one of them long.
async fn fill(store: &dyn ChatStore) -> (UserId, UserId, Vec<Post>) {
    let (ana, bruno) = (user("ana"), user("bruno"));
    for user in [&ana, &bruno] {
        let added = store.add_user(user.clone()).await;
        assert_eq!(added, Ok(AddedUser::Added));
    }
    let mut posts = Vec::new();
    for number in 0..50 {
        posts.push(send(store, &ana.id, &bruno.id, &number.to_string()).await);
    }
    posts.push(send(store, &ana.id, &bruno.id, &"x".repeat(60_000)).await);
    (ana.id, bruno.id, posts)
}

async fn assert_full(store: &dyn ChatStore, posts: &[Post]) {
    let conversation = &posts[0].conv;
    let history = store.history(conversation, HistoryRange::After(Seq::NONE), 1_000);
    let history = history.await.expect("it works");
    let found: Vec<_> = history.iter().map(|message| message.id).collect();
    let sent: Vec<_> = posts.iter().map(|post| post.id).collect();
    assert_eq!(found, sent);
    assert_eq!(
        history.last().expect("there").body,
        posts.last().expect("there").body
    );
    for (number, message) in history.iter().enumerate() {
        assert_eq!(message.seq.0, number as u64 + 1);
    }
}

#[tokio::test]
async fn the_store_on_disk_keeps_what_stores_promise() {
    let folder = tempfile::tempdir().expect("a folder");
    let number = std::sync::atomic::AtomicU32::new(0);
    let open_next = async || {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        open(&folder.path().join(number.to_string()))
    };
    crate::store::conformance::check(open_next).await;
}

#[tokio::test]
async fn what_was_stored_is_there_after_closing_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let (ana, bruno, mut posts) = fill(&*store).await;
    store.close().await;
    assert_eq!(store.deployment().await, Ok(None));
    let late = store.set_up(Deployment {
        shards: leveret_client::message::ShardCount::default(),
        created: Timestamp::now(),
    });
    assert_eq!(late.await, Err(StoreError::Closed));
    drop(store);
    let store = open(folder.path());
    assert_full(&*store, &posts).await;
    posts.push(send(&*store, &bruno, &ana, "later").await);
    assert_full(&*store, &posts).await;
}

#[tokio::test]
async fn an_index_that_is_lost_behind_or_damaged_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("store");
    let store = open(&directory);
    let (ana, bruno, mut posts) = fill(&*store).await;
    store.close().await;
    drop(store);
    let index = directory.join("index");
    let old = folder.path().join("old-index");
    copy(&index, &old);
    let store = open(&directory);
    posts.push(send(&*store, &ana, &bruno, "more").await);
    store.close().await;
    drop(store);

    // Behind: as when sled had written only a part.
    fs::remove_dir_all(&index).expect("removed");
    copy(&old, &index);
    let store = open(&directory);
    assert_full(&*store, &posts).await;
    store.close().await;
    drop(store);
    // Lost.
    fs::remove_dir_all(&index).expect("removed");
    let store = open(&directory);
    assert_full(&*store, &posts).await;
    store.close().await;
    drop(store);
    // Damaged, and nobody noticed before.
    fs::write(index.join("db"), b"not sled's").expect("written");
    fs::write(index.join("conf"), b"not sled's").expect("written");
    let store = open(&directory);
    assert_full(&*store, &posts).await;
    store.close().await;
    drop(store);
    // Not to be trusted, since the machine was started anew in between.
    fs::write(directory.join("trust"), b"another start").expect("written");
    let store = open(&directory);
    assert_full(&*store, &posts).await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("read") {
        let entry = entry.expect("read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[tokio::test]
async fn two_processes_cannot_have_one_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let second = EmbeddedStore::open(folder.path()).map(drop);
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    store.close().await;
}
