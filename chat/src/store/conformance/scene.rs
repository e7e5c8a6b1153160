//! Three people, and short words for what they do.

use std::sync::Arc;
use std::time::Duration;

use leveret_client::message::{
    Body, ConversationId, DeviceId, GroupChange, GroupSettings, HistoryRange, MemberChange,
    Message, Post, RejectionCode, Role, Seq, Timestamp, Toggle, UserId,
};

use crate::store::{
    AddedUser, Advance, Append, Appended, ChatStore, Conversation, CursorAt, Member, User,
};

/// A store with three people in it.
pub(super) struct Scene {
    pub(super) store: Arc<dyn ChatStore>,
    pub(super) ana: UserId,
    pub(super) bruno: UserId,
    pub(super) carla: UserId,
    now: std::cell::Cell<Timestamp>,
}

pub(super) fn user(id: &UserId, handle: &str, now: Timestamp) -> User {
    User {
        id: id.clone(),
        handle: handle.parse().expect("a good name"),
        name: handle.to_owned(),
        password: None,
        bot: false,
        administrator: false,
        receipts: Toggle::On,
        created: now,
        deleted: None,
    }
}

impl Scene {
    pub(super) async fn new(open: impl AsyncFn() -> Arc<dyn ChatStore>) -> Self {
        let scene = Self {
            store: open().await,
            ana: UserId::random(),
            bruno: UserId::random(),
            carla: UserId::random(),
            now: Timestamp::from_milliseconds(1_764_000_000_000).into(),
        };
        for (id, handle) in [
            (&scene.ana, "ana"),
            (&scene.bruno, "bruno"),
            (&scene.carla, "carla"),
        ] {
            let added = scene.store.add_user(user(id, handle, scene.now())).await;
            assert_eq!(added, Ok(AddedUser::Added));
        }
        scene
    }

    /// A second later each time.
    pub(super) fn now(&self) -> Timestamp {
        self.now.set(self.now.get().plus(Duration::from_secs(1)));
        self.now.get()
    }

    pub(super) fn post(&self, group: &ConversationId, from: &UserId, body: Body) -> Post {
        let device: DeviceId = "dterm".parse().expect("a good id");
        Post::to_group(group, from, &device, body, self.now())
    }

    pub(super) fn direct(&self, from: &UserId, to: &UserId, text: &str) -> Post {
        let device: DeviceId = "dterm".parse().expect("a good id");
        Post::to_user(to, from, &device, Body::text(text), self.now())
    }

    pub(super) async fn append(&self, post: &Post) -> Appended {
        let append = Append {
            post: post.clone(),
            at: self.now(),
        };
        let mut appended = self
            .store
            .append(vec![append])
            .await
            .expect("it works")
            .outcomes;
        assert_eq!(appended.len(), 1);
        appended.remove(0)
    }

    /// Says it, and it is stored.
    pub(super) async fn says(&self, group: &ConversationId, from: &UserId, body: Body) -> Message {
        let post = self.post(group, from, body);
        match self.append(&post).await {
            Appended::Stored(message) => message,
            other => panic!("not stored: {other:?}"),
        }
    }

    /// Says it, and is refused.
    pub(super) async fn refused(
        &self,
        group: &ConversationId,
        from: &UserId,
        body: Body,
    ) -> RejectionCode {
        let post = self.post(group, from, body);
        match self.append(&post).await {
            Appended::Denied(code) => code,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// A group with these in it, made by the first.
    pub(super) async fn group(
        &self,
        settings: GroupSettings,
        members: &[&UserId],
    ) -> ConversationId {
        let id = ConversationId::random_group();
        let create = Body::Group(GroupChange::Create {
            settings,
            members: members[1..].iter().copied().cloned().collect(),
        });
        self.says(&id, members[0], create).await;
        id
    }

    pub(super) async fn conversation(&self, id: &ConversationId) -> Conversation {
        let found = self.store.conversation(id).await.expect("it works");
        found.expect("the conversation is there")
    }

    pub(super) async fn member(&self, id: &ConversationId, user: &UserId) -> Member {
        let found = self.store.member(id, user).await.expect("it works");
        found.expect("the member is there")
    }

    pub(super) async fn member_ids(&self, id: &ConversationId) -> Vec<UserId> {
        let members = self.store.members(id).await.expect("it works");
        members.into_iter().map(|member| member.user).collect()
    }

    pub(super) async fn messages(
        &self,
        id: &ConversationId,
        range: HistoryRange,
        limit: usize,
    ) -> Vec<Message> {
        let messages = self.store.history(id, range, limit).await;
        messages.expect("it works")
    }

    pub(super) async fn advance(
        &self,
        id: &ConversationId,
        user: &UserId,
        delivered: u64,
        read: u64,
    ) -> Option<(Seq, Seq)> {
        let advance = Advance {
            conv: id.clone(),
            user: user.clone(),
            delivered: Seq(delivered),
            read: Seq(read),
            at: self.now(),
        };
        let moved = self.store.advance(vec![advance]).await.expect("it works");
        moved.into_iter().flatten().next().map(|cursor| {
            assert_eq!(cursor.user, *user);
            (cursor.delivered, cursor.read)
        })
    }

    pub(super) async fn cursor(&self, id: &ConversationId, user: &UserId) -> CursorAt {
        let cursor = self.store.cursor(id, user).await.expect("it works");
        cursor.expect("the cursor is there")
    }
}

pub(super) fn titled(title: &str) -> GroupSettings {
    GroupSettings {
        title: title.to_owned(),
        ..GroupSettings::default()
    }
}

pub(super) fn member(user: &UserId, change: MemberChange) -> Body {
    Body::Member {
        user: user.clone(),
        change,
    }
}

pub(super) fn add(user: &UserId) -> Body {
    member(user, MemberChange::Add { role: Role::Member })
}
