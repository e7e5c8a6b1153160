//! Appending and reading back.

use std::sync::Arc;

use leveret_client::message::{
    Body, ConversationId, Erasure, Format, HistoryRange, MessageId, Post, RejectionCode, Seq,
    Timestamp, UserId,
};

use super::scene::{Scene, add, titled};
use crate::store::{Append, Appended, ChatStore, Deployment};

pub(super) async fn check(open: &impl AsyncFn() -> Arc<dyn ChatStore>) {
    numbers_have_no_gaps_and_time_does_not_run_back(&Scene::new(open).await).await;
    appending_again_changes_nothing(&Scene::new(open).await).await;
    what_was_refused_for_good_stays_refused(&Scene::new(open).await).await;
    what_is_to_follow_a_message_is_not_taken_before_it(&Scene::new(open).await).await;
    a_direct_conversation_begins_with_its_first_message(&Scene::new(open).await).await;
    a_batch_is_as_good_as_one_by_one(&Scene::new(open).await).await;
    history_is_read_in_pieces(&Scene::new(open).await).await;
    edits_and_deletions_are_for_those_who_may(&Scene::new(open).await).await;
    what_is_erased_keeps_its_place(&Scene::new(open).await).await;
    a_chat_is_set_up_once(&Scene::new(open).await).await;
}

async fn numbers_have_no_gaps_and_time_does_not_run_back(scene: &Scene) {
    let group = scene
        .group(titled("ops"), &[&scene.ana, &scene.bruno])
        .await;
    let mut post = scene.post(&group, &scene.ana, Body::text("from the past"));
    for number in 2..6 {
        post.id = MessageId::new(scene.now());
        // The service's clock was set back.
        let at = Timestamp::from_milliseconds(1_000);
        let append = Append {
            post: post.clone(),
            at,
        };
        let appended = scene
            .store
            .append(vec![append])
            .await
            .expect("it works")
            .outcomes;
        let [Appended::Stored(message)] = &appended[..] else {
            panic!("not stored: {appended:?}");
        };
        assert_eq!(message.seq, Seq(number));
        assert!(message.ts > at);
        assert_eq!((message.id, message.sent_at), (post.id, post.sent_at));
    }
    assert_eq!(scene.conversation(&group).await.last_seq, Seq(5));
}

async fn appending_again_changes_nothing(scene: &Scene) {
    let group = scene
        .group(titled("ops"), &[&scene.ana, &scene.bruno])
        .await;
    let post = scene.post(&group, &scene.ana, Body::text("once"));
    let Appended::Stored(first) = scene.append(&post).await else {
        panic!("not stored");
    };
    scene.says(&group, &scene.bruno, Body::text("later")).await;
    assert_eq!(
        scene.append(&post).await,
        Appended::Duplicate(first.clone())
    );
    // The sender has left in between; what it sent before is there all the same.
    let leave = super::scene::member(&scene.ana, leveret_client::message::MemberChange::Leave);
    scene.says(&group, &scene.ana, leave).await;
    assert_eq!(
        scene.append(&post).await,
        Appended::Duplicate(first.clone())
    );
    let found = scene.store.message_of(&scene.ana, post.id).await;
    assert_eq!(found, Ok(Some(first)));
    // Ids are each sender's own, and good for one conversation.
    let mut other = scene.post(&group, &scene.bruno, Body::text("another"));
    other.id = post.id;
    assert!(matches!(scene.append(&other).await, Appended::Stored(_)));
    let mut elsewhere = scene.direct(&scene.ana, &scene.bruno, "elsewhere");
    elsewhere.id = post.id;
    let denied = Appended::Denied(RejectionCode::IdReused);
    assert_eq!(scene.append(&elsewhere).await, denied);
    assert_eq!(scene.conversation(&group).await.last_seq, Seq(5));
    // Once forgotten, the id is as good as new.
    let forgotten = scene.store.forget_ids(scene.now()).await;
    assert!(forgotten.expect("it works") >= 3);
    assert_eq!(scene.store.message_of(&scene.ana, post.id).await, Ok(None));
}

async fn what_is_to_follow_a_message_is_not_taken_before_it(scene: &Scene) {
    let group = scene.group(titled("ops"), &[&scene.ana]).await;
    let mut posts: Vec<_> = (0..4)
        .map(|number| scene.post(&group, &scene.ana, Body::text(&number.to_string())))
        .collect();
    for number in 1..posts.len() {
        posts[number].after = Some(posts[number - 1].id);
    }
    let early = Appended::Denied(RejectionCode::OutOfTurn);
    assert_eq!(scene.append(&posts[1]).await, early);
    // It did not become anything by that.
    assert_eq!(scene.append(&posts[2]).await, early);
    let at = scene.now();
    let append = |post: &Post| Append {
        post: post.clone(),
        at,
    };
    // Within one batch, too.
    let batch = [1, 0, 1, 2].map(|number| append(&posts[number])).to_vec();
    let appended = scene.store.append(batch).await.expect("it works");
    assert_eq!(
        appended.conversations,
        [scene.conversation(&group).await],
        "as they are afterwards"
    );
    let appended = appended.outcomes;
    let seqs = appended.iter().map(|appended| match appended {
        Appended::Stored(message) => Some(message.seq),
        _ => None,
    });
    let seqs: Vec<_> = seqs.collect();
    assert_eq!(seqs, [None, Some(Seq(2)), Some(Seq(3)), Some(Seq(4))]);
    assert_eq!(appended[0], early);
    // What was refused for good is not waited for, nor is what may be forgotten.
    let (stranger, refused) = (&scene.bruno, RejectionCode::NotMember);
    let first = scene.post(&group, stranger, Body::text("may I?"));
    assert_eq!(scene.append(&first).await, Appended::Denied(refused));
    scene.says(&group, &scene.ana, add(stranger)).await;
    let mut second = scene.post(&group, stranger, Body::text("now I may"));
    second.after = Some(first.id);
    assert!(matches!(scene.append(&second).await, Appended::Stored(_)));
    posts[3].after = Some(MessageId::new(Timestamp::from_milliseconds(1_000)));
    assert!(matches!(scene.append(&posts[3]).await, Appended::Stored(_)));
}

async fn what_was_refused_for_good_stays_refused(scene: &Scene) {
    let group = scene.group(titled("ops"), &[&scene.ana]).await;
    let post = scene.post(&group, &scene.bruno, Body::text("may I?"));
    let denied = Appended::Denied(RejectionCode::NotMember);
    assert_eq!(scene.append(&post).await, denied);
    scene.says(&group, &scene.ana, add(&scene.bruno)).await;
    // Its sender was told that it was not taken: its second copy is not, either.
    assert_eq!(scene.append(&post).await, denied);
    assert_eq!(
        scene.store.message_of(&scene.bruno, post.id).await,
        Ok(None)
    );
    let mut elsewhere = scene.direct(&scene.bruno, &scene.ana, "elsewhere");
    elsewhere.id = post.id;
    let reused = Appended::Denied(RejectionCode::IdReused);
    assert_eq!(scene.append(&elsewhere).await, reused);
    scene
        .says(&group, &scene.bruno, Body::text("now I may"))
        .await;
    // For reasons of the caller's: for good, for the moment, or not at all if it is there already.
    let refuse = async |post: &Post, code| {
        let append = Append {
            post: post.clone(),
            at: scene.now(),
        };
        let refused = scene.store.refuse(vec![(append, code)]).await;
        refused.expect("it works").remove(0)
    };
    let late = scene.post(&group, &scene.bruno, Body::text("late"));
    let clock = Appended::Denied(RejectionCode::Clock);
    assert_eq!(refuse(&late, RejectionCode::Clock).await, clock);
    assert_eq!(scene.append(&late).await, clock);
    let fast = scene.post(&group, &scene.bruno, Body::text("fast"));
    let limited = Appended::Denied(RejectionCode::RateLimited);
    assert_eq!(refuse(&fast, RejectionCode::RateLimited).await, limited);
    let Appended::Stored(stored) = scene.append(&fast).await else {
        panic!("a passing reason has passed");
    };
    assert_eq!(
        refuse(&fast, RejectionCode::Clock).await,
        Appended::Duplicate(stored)
    );
    // Forgotten with all ids of its time.
    let forgotten = scene.store.forget_ids(scene.now()).await;
    assert!(forgotten.expect("it works") >= 4);
    assert!(matches!(scene.append(&post).await, Appended::Stored(_)));
}

async fn a_direct_conversation_begins_with_its_first_message(scene: &Scene) {
    let post = scene.direct(&scene.ana, &scene.bruno, "oi");
    let id = ConversationId::direct(&scene.bruno, &scene.ana);
    assert_eq!(scene.store.conversation(&id).await, Ok(None));
    assert!(matches!(scene.append(&post).await, Appended::Stored(_)));
    assert_eq!(scene.conversation(&id).await.members, 2);
    for user in [&scene.ana, &scene.bruno] {
        let conversations = scene.store.conversations_of(user).await;
        assert_eq!(conversations, Ok(vec![id.clone()]));
    }
    let answer = scene.direct(&scene.bruno, &scene.ana, "oi!");
    assert!(matches!(scene.append(&answer).await, Appended::Stored(_)));
    let to_nobody = scene.direct(&scene.ana, &UserId::random(), "hello?");
    let denied = Appended::Denied(RejectionCode::NoSuchUser);
    assert_eq!(scene.append(&to_nobody).await, denied);
    // A guess does not let anybody else in.
    let text = Body::text("let me in");
    let code = scene.refused(&id, &scene.carla, text).await;
    assert_eq!(code, RejectionCode::NotMember);
    let join = super::scene::member(&scene.carla, leveret_client::message::MemberChange::Join);
    let code = scene.refused(&id, &scene.carla, join).await;
    assert_eq!(code, RejectionCode::Forbidden);
    let to_itself = scene.direct(&scene.ana, &scene.ana, "a note");
    assert!(matches!(
        scene.append(&to_itself).await,
        Appended::Stored(_)
    ));
}

async fn a_batch_is_as_good_as_one_by_one(scene: &Scene) {
    let group = scene
        .group(titled("ops"), &[&scene.ana, &scene.bruno])
        .await;
    let mut batch = Vec::new();
    for number in 0..5 {
        let post = scene.post(&group, &scene.ana, Body::text(&number.to_string()));
        let at = scene.now();
        batch.push(Append { post, at });
    }
    batch.push(batch[0].clone());
    let outside = scene.post(&group, &scene.carla, Body::text("let me in"));
    let at = scene.now();
    batch.push(Append { post: outside, at });
    let appended = scene.store.append(batch).await.expect("it works").outcomes;
    let mut seqs = Vec::new();
    for one in &appended[..5] {
        let Appended::Stored(message) = one else {
            panic!("not stored: {one:?}");
        };
        seqs.push(message.seq.0);
    }
    assert_eq!(seqs, [2, 3, 4, 5, 6]);
    assert!(matches!(&appended[5], Appended::Duplicate(message) if message.seq == Seq(2)));
    assert_eq!(appended[6], Appended::Denied(RejectionCode::NotMember));
}

async fn history_is_read_in_pieces(scene: &Scene) {
    let group = scene.group(titled("ops"), &[&scene.ana]).await;
    // Another whose keys lie next to it.
    let other = scene.group(titled("dev"), &[&scene.ana]).await;
    for number in 0..300 {
        scene
            .says(&group, &scene.ana, Body::text(&number.to_string()))
            .await;
    }
    scene.says(&other, &scene.ana, Body::text("not here")).await;
    let seqs = async |range, limit| {
        let messages = scene.messages(&group, range, limit).await;
        assert!(messages.iter().all(|message| message.conv == group));
        let seqs = messages.into_iter().map(|message| message.seq.0);
        seqs.collect::<Vec<_>>()
    };
    assert_eq!(seqs(HistoryRange::NEWEST, 3).await, [299, 300, 301]);
    assert_eq!(seqs(HistoryRange::Before(Seq(4)), 10).await, [1, 2, 3]);
    assert_eq!(seqs(HistoryRange::After(Seq(255)), 2).await, [256, 257]);
    assert_eq!(seqs(HistoryRange::After(Seq(300)), 10).await, [301]);
    assert!(seqs(HistoryRange::After(Seq(301)), 10).await.is_empty());
    assert!(seqs(HistoryRange::After(Seq::NONE), 0).await.is_empty());
    let all = seqs(HistoryRange::After(Seq::NONE), 1_000).await;
    assert!(all.into_iter().eq(1..=301));
}

async fn edits_and_deletions_are_for_those_who_may(scene: &Scene) {
    let group = scene
        .group(titled("ops"), &[&scene.ana, &scene.bruno])
        .await;
    let message = scene.says(&group, &scene.bruno, Body::text("teh")).await;
    let edit = |text: &str| Body::Edit {
        target: message.seq,
        text: text.to_owned(),
        format: Format::Plain,
    };
    let delete = Body::Delete {
        target: message.seq,
    };
    let code = scene.refused(&group, &scene.ana, edit("not mine")).await;
    assert_eq!(code, RejectionCode::Forbidden);
    let edited = scene.says(&group, &scene.bruno, edit("the secret")).await;
    let nothing = Body::Delete { target: Seq(99) };
    let code = scene.refused(&group, &scene.bruno, nothing).await;
    assert_eq!(code, RejectionCode::NoSuchMessage);
    // The owner may delete what others said, and then it is gone with its edits.
    scene.says(&group, &scene.ana, delete.clone()).await;
    let messages = scene.messages(&group, HistoryRange::NEWEST, 100).await;
    for seq in [message.seq, edited.seq] {
        let index = usize::try_from(seq.0 - 1).expect("small");
        let reason = Erasure::Deleted;
        assert_eq!(messages[index].body, Body::Erased { reason });
    }
    let code = scene.refused(&group, &scene.bruno, edit("again")).await;
    assert_eq!(code, RejectionCode::NoSuchMessage);
    let owners = scene.says(&group, &scene.ana, Body::text("mine")).await;
    let delete = Body::Delete { target: owners.seq };
    let code = scene.refused(&group, &scene.bruno, delete).await;
    assert_eq!(code, RejectionCode::Forbidden);
}

async fn what_is_erased_keeps_its_place(scene: &Scene) {
    let group = scene.group(titled("ops"), &[&scene.ana]).await;
    let first = scene.says(&group, &scene.ana, Body::text("old")).await;
    scene.says(&group, &scene.ana, Body::text("new")).await;
    let seqs = vec![Seq(1), first.seq, Seq(77)];
    let erased = scene
        .store
        .erase(&group, seqs.clone(), Erasure::Expired)
        .await;
    // The first message made the group: that is not forgotten.
    assert_eq!(erased, Ok(1));
    let again = scene.store.erase(&group, seqs, Erasure::Expired).await;
    assert_eq!(again, Ok(0));
    let messages = scene.messages(&group, HistoryRange::NEWEST, 100).await;
    assert_eq!(messages.len(), 3);
    let reason = Erasure::Expired;
    assert_eq!(messages[1].body, Body::Erased { reason });
    assert_eq!(messages[1].id, first.id);
    assert_eq!(messages[2].body, Body::text("new"));
}

async fn a_chat_is_set_up_once(scene: &Scene) {
    assert_eq!(scene.store.deployment().await, Ok(None));
    let deployment = |shards: u16| Deployment {
        shards: shards.try_into().expect("a good number"),
        created: scene.now(),
    };
    let first = deployment(8);
    assert_eq!(scene.store.set_up(first.clone()).await, Ok(first.clone()));
    assert_eq!(scene.store.set_up(deployment(9)).await, Ok(first.clone()));
    assert_eq!(scene.store.deployment().await, Ok(Some(first)));
}
