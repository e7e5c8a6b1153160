//! Out of one store, into another, and back: nothing is lost and nothing is added.

use leveret_client::message::{
    Body, DeviceId, Erasure, GroupChange, GroupSettings, MemberChange, Post, ShardCount, Timestamp,
    Toggle,
};

use super::*;
use crate::store::{
    AddedUser, Advance, Append, Appended, Deployment, Device, DeviceKind, EmbeddedStore,
    MemoryStore, PasswordHash, PostgresStore, Session, TokenHash, User, UserChange,
};

fn user(handle: &str) -> User {
    User {
        id: UserId::random(),
        handle: handle.parse().expect("a good name"),
        name: handle.to_owned(),
        password: Some(PasswordHash("a hash".to_owned())),
        bot: false,
        administrator: handle == "ana",
        receipts: Toggle::On,
        created: Timestamp::now(),
        deleted: None,
    }
}

async fn say(store: &dyn ChatStore, post: Post) -> Append {
    let append = Append {
        post,
        at: Timestamp::now(),
    };
    let appended = store.append(vec![append.clone()]).await.expect("it works");
    assert!(
        matches!(&appended.outcomes[..], [Appended::Stored(_)]),
        "{appended:?}"
    );
    append
}

/// Some of everything; gives a message that was sent.
async fn fill(store: &dyn ChatStore) -> Append {
    let now = Timestamp::now();
    let shards = ShardCount::default();
    let deployment = Deployment {
        shards,
        created: now,
    };
    store.set_up(deployment).await.expect("it works");
    let people = [user("ana"), user("bruno"), user("carla"), user("dora")];
    let device: DeviceId = "dterm".parse().expect("a good id");
    for person in &people {
        assert_eq!(store.add_user(person.clone()).await, Ok(AddedUser::Added));
        let put = store.put_device(Device {
            user: person.id.clone(),
            id: device.clone(),
            name: "a terminal".to_owned(),
            kind: DeviceKind::Inbox,
            behind: false,
            created: now,
        });
        put.await.expect("it works");
    }
    let [ana, bruno, carla, dora] = people.map(|person| person.id);
    let session = Session {
        user: ana.clone(),
        device: device.clone(),
        created: now,
        expires: now,
    };
    let put = store.put_session(TokenHash([7; 32]), session);
    put.await.expect("it works");

    let group = ConversationId::random_group();
    let in_group = |from: &UserId, body| Post::to_group(&group, from, &device, body, now);
    let settings = GroupSettings {
        title: "ops".to_owned(),
        ..GroupSettings::default()
    };
    let members = vec![bruno.clone(), carla.clone()];
    let create = Body::Group(GroupChange::Create { settings, members });
    say(store, in_group(&ana, create)).await;
    for number in 0..450 {
        say(store, in_group(&bruno, Body::text(&number.to_string()))).await;
    }
    let edit = Body::Edit {
        target: Seq(2),
        text: "zero \u{0}".to_owned(),
        format: leveret_client::message::Format::Plain,
    };
    say(store, in_group(&bruno, edit)).await;
    let erased = store.erase(&group, vec![Seq(3)], Erasure::Expired).await;
    assert_eq!(erased, Ok(1));
    for (who, change) in [(&carla, MemberChange::Remove), (&dora, MemberChange::Ban)] {
        let user = who.clone();
        say(store, in_group(&ana, Body::Member { user, change })).await;
    }
    let direct = Post::to_user(&bruno, &ana, &device, Body::text("oi!"), now);
    let sent = say(store, direct).await;
    let advance = Advance {
        conv: sent.post.conv.clone(),
        user: bruno,
        delivered: Seq(1),
        read: Seq(1),
        at: now,
    };
    store.advance(vec![advance]).await.expect("it works");
    let deleted = store.change_user(&dora, UserChange::Delete(now)).await;
    assert!(deleted.expect("it works").is_some());
    sent
}

async fn lines(store: &Arc<dyn ChatStore>) -> Vec<String> {
    let mut export = Export::new(store.clone());
    let mut lines = Vec::new();
    while let Some(records) = export.next().await.expect("it works") {
        let text = |record| serde_json::to_string(record).expect("it is text");
        lines.extend(records.iter().map(text));
    }
    lines
}

async fn put(store: &Arc<dyn ChatStore>, lines: &[String]) -> Result<u64, TransferError> {
    let mut import = Import::begin(store.clone()).await?;
    for line in lines {
        import.line(line).await?;
    }
    import.finish().await
}

fn check(lines: &[String], mut check: Check) -> (Counts, Vec<String>) {
    for line in lines {
        check.record(&serde_json::from_str(line).expect("a record"));
    }
    let (counts, findings) = check.finish();
    (counts, findings.iter().map(ToString::to_string).collect())
}

fn records(lines: &[String]) -> Vec<Record> {
    let record = |line: &String| serde_json::from_str(line).expect("a record");
    lines.iter().map(record).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_goes_through_all_kinds_of_stores_and_comes_out_the_same() {
    let first = MemoryStore::open();
    let sent = fill(&*first).await;
    let all = lines(&first).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (embedded, _) = EmbeddedStore::open(folder.path()).expect("opens");
    let mut others = vec![embedded, MemoryStore::open()];
    let database = crate::store::test_database::Database::find();
    if let Some(database) = &database {
        let url = database.schema("transfer").await;
        others.insert(1, PostgresStore::open(&url).await.expect("opens"));
    }
    let mut before = all.clone();
    for store in &others {
        assert_eq!(
            put(store, &before).await.expect("it goes in"),
            all.len() as u64
        );
        before = lines(store).await;
        assert_eq!(before, all);
        // What is found by something else was put in, too.
        let again = store.append(vec![sent.clone()]).await.expect("it works");
        assert!(
            matches!(&again.outcomes[..], [Appended::Duplicate(_)]),
            "{again:?}"
        );
        let ana = store.user_by_handle(&"ana".parse().expect("a name")).await;
        let ana = ana.expect("it works").expect("she is there");
        assert_eq!(store.devices(&ana.id).await.expect("it works").len(), 1);
        let group = store.conversations_of(&ana.id).await.expect("it works");
        let group = group.iter().find(|id| id.as_str().starts_with("g_"));
        let group = group.expect("she is in it").clone();
        let erased = store.erase(&group, vec![Seq(2)], Erasure::Deleted).await;
        assert_eq!(erased, Ok(1));
        let edit = store
            .history(&group, HistoryRange::After(Seq(451)), 1)
            .await;
        assert!(matches!(
            edit.expect("it works")[0].body,
            Body::Erased { .. }
        ));
        let session = store.session(&TokenHash([7; 32])).await;
        assert!(session.expect("it works").is_some());
    }
    for store in others {
        store.close().await;
    }
    if let Some(database) = database {
        database.clean("transfer").await;
    }
}

#[tokio::test]
async fn an_export_that_is_cut_off_or_none_is_not_taken_for_whole() {
    let store = MemoryStore::open();
    fill(&*store).await;
    let all = lines(&store).await;
    let cut = put(&MemoryStore::open(), &all[..all.len() - 1]).await;
    assert!(matches!(cut, Err(TransferError::Truncated(_))), "{cut:?}");
    let mut hole = all.clone();
    hole.remove(10);
    let cut = put(&MemoryStore::open(), &hole).await;
    assert!(matches!(cut, Err(TransferError::Truncated(_))), "{cut:?}");
    let none = put(&MemoryStore::open(), &all[1..]).await;
    assert!(matches!(none, Err(TransferError::Version)), "{none:?}");
    let later = [r#"{"type":"export","version":2}"#.to_owned()];
    let later = put(&MemoryStore::open(), &later).await;
    assert!(matches!(later, Err(TransferError::Version)), "{later:?}");
    let mut damaged = all.clone();
    damaged[5].pop();
    let damaged = put(&MemoryStore::open(), &damaged).await;
    assert!(
        matches!(damaged, Err(TransferError::Line { line: 6, .. })),
        "{damaged:?}"
    );
    let full = put(&store, &all).await;
    assert!(matches!(full, Err(TransferError::NotEmpty)), "{full:?}");
}

#[tokio::test]
async fn a_check_finds_nothing_in_order_and_every_planted_fault() {
    let store = MemoryStore::open();
    fill(&*store).await;
    let all = lines(&store).await;
    let (counts, findings) = check(&all, Check::default());
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!((counts.users, counts.conversations), (4, 2));
    assert_eq!(counts.messages, 450 + 1 + 1 + 2 + 1);
    let (_, findings) = check(&all, Check::against(records(&all)));
    assert_eq!(findings, Vec::<String>::new());

    let without = |pattern: &str| {
        let mut lines = all.clone();
        let found = lines.iter().position(|line| line.contains(pattern));
        lines.remove(found.expect("it is there"));
        check(&lines, Check::default()).1
    };
    for (pattern, what) in [
        (r#""seq":7,"#, "goes on with"),
        (r#""type":"cursor""#, "has no cursor"),
        (r#""handle":"bruno""#, "nobody"),
        (r#""state":"present""#, "members and has"),
    ] {
        let findings = without(pattern);
        assert!(
            findings.iter().any(|finding| finding.contains(what)),
            "{what}: {findings:?}"
        );
    }
    let mut back = all.clone();
    for line in &mut back {
        *line = line.replace(r#""delivered":1,"read":1"#, r#""delivered":1,"read":0"#);
    }
    let (_, findings) = check(&back, Check::against(records(&all)));
    assert!(
        findings
            .iter()
            .all(|finding| finding.contains("has gone back"))
    );
    assert!(!findings.is_empty());
    let (_, findings) = check(&all[..all.len() - 2], Check::default());
    assert!(
        findings.iter().any(|finding| finding.contains("ends at")),
        "{findings:?}"
    );
}
