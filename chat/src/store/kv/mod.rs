//! [`ChatStore`] on keys and values, once for every engine that has them: what is decided lives here,
//! and an engine only reads, and makes changes durable.

mod accounts;
mod append;
mod cursors;
mod history;
pub(crate) mod key;
mod members;
pub(crate) mod scope;
mod transfer;
pub(crate) mod view;

use std::fmt;

use async_trait::async_trait;
use leveret_client::message::{
    ConversationId, DeviceId, Erasure, Handle, HistoryRange, Message, MessageId, RejectionCode,
    Seq, Timestamp, Toggle, UserId,
};

use self::scope::Scope;
use self::view::{Transaction, View};
use super::{
    AddedUser, Advance, Append, Appended, Appends, ChatStore, Conversation, CursorAt, Deployment,
    Device, Member, Record, Session, StoreError, TokenHash, User, UserChange,
};

/// Keeps keys and values.
pub(crate) trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Reads what is durable.
    fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn View) -> Result<R, StoreError> + Send + 'static,
    ) -> impl Future<Output = Result<R, StoreError>> + Send;

    /// Reads and changes, one after the other; returns when the changes are durable. If `work` fails,
    /// nothing is changed. While it runs nobody else changes what is in its scope.
    fn write<R: Send + 'static>(
        &self,
        scope: Scope,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<R, StoreError> + Send + 'static,
    ) -> impl Future<Output = Result<R, StoreError>> + Send;

    /// Ends in order.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// A store on an engine.
#[derive(Debug)]
pub(crate) struct KeyValueStore<E>(pub(crate) E);

#[async_trait]
impl<E: Engine> ChatStore for KeyValueStore<E> {
    async fn deployment(&self) -> Result<Option<Deployment>, StoreError> {
        let read = |view: &dyn View| view::read(view, key::DEPLOYMENT);
        self.0.read(read).await
    }

    async fn set_up(&self, deployment: Deployment) -> Result<Deployment, StoreError> {
        let write = move |changes: &mut Transaction<'_>| {
            if let Some(before) = view::read(changes, key::DEPLOYMENT)? {
                return Ok(before);
            }
            changes.put(key::DEPLOYMENT.to_vec(), &deployment);
            Ok(deployment)
        };
        self.0.write(Scope::deployment(), write).await
    }

    async fn append(&self, batch: Vec<Append>) -> Result<Appends, StoreError> {
        let scope = Scope::of_appends(&batch);
        let write = move |changes: &mut Transaction<'_>| append::append_all(changes, &batch);
        self.0.write(scope, write).await
    }

    async fn refuse(
        &self,
        batch: Vec<(Append, RejectionCode)>,
    ) -> Result<Vec<Appended>, StoreError> {
        let scope = Scope::of_appends(batch.iter().map(|(append, _)| append));
        let write = move |changes: &mut Transaction<'_>| {
            let refused = batch
                .iter()
                .map(|(append, code)| append::refuse(changes, &append.post, *code));
            refused.collect()
        };
        self.0.write(scope, write).await
    }

    async fn conversation(&self, id: &ConversationId) -> Result<Option<Conversation>, StoreError> {
        let key = key::conversation(id);
        let read = move |view: &dyn View| view::read(view, &key);
        self.0.read(read).await
    }

    async fn conversation_ids(
        &self,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<ConversationId>, StoreError> {
        let after = after.map(key::conversation);
        let read = move |view: &dyn View| {
            let page = history::page::<Conversation>(view, key::CONVERSATIONS, after, limit)?;
            Ok(page.into_iter().map(|found| found.id).collect())
        };
        self.0.read(read).await
    }

    async fn members(&self, id: &ConversationId) -> Result<Vec<Member>, StoreError> {
        let id = id.clone();
        let read = move |view: &dyn View| members::present(view, &id);
        self.0.read(read).await
    }

    async fn member(
        &self,
        id: &ConversationId,
        user: &UserId,
    ) -> Result<Option<Member>, StoreError> {
        let key = key::member(id, user);
        let read = move |view: &dyn View| view::read(view, &key);
        self.0.read(read).await
    }

    async fn conversations_of(&self, user: &UserId) -> Result<Vec<ConversationId>, StoreError> {
        let user = user.clone();
        let read = move |view: &dyn View| members::conversations_of(view, &user);
        self.0.read(read).await
    }

    async fn history(
        &self,
        id: &ConversationId,
        range: HistoryRange,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let id = id.clone();
        let read = move |view: &dyn View| history::messages(view, &id, range, limit);
        self.0.read(read).await
    }

    async fn message_of(
        &self,
        sender: &UserId,
        id: MessageId,
    ) -> Result<Option<Message>, StoreError> {
        let key = key::message_id(sender, id);
        let read = move |view: &dyn View| append::message_of(view, &key);
        self.0.read(read).await
    }

    async fn advance(&self, batch: Vec<Advance>) -> Result<Vec<Option<CursorAt>>, StoreError> {
        let scope = Scope::of_advances(&batch);
        let write = move |changes: &mut Transaction<'_>| {
            let moved = batch
                .iter()
                .map(|advance| cursors::advance(changes, advance));
            moved.collect()
        };
        self.0.write(scope, write).await
    }

    async fn cursors(&self, id: &ConversationId) -> Result<Vec<CursorAt>, StoreError> {
        let id = id.clone();
        let read = move |view: &dyn View| cursors::of_members(view, &id);
        self.0.read(read).await
    }

    async fn cursor(
        &self,
        id: &ConversationId,
        user: &UserId,
    ) -> Result<Option<CursorAt>, StoreError> {
        let key = key::cursor(id, user);
        let read = move |view: &dyn View| view::read(view, &key);
        self.0.read(read).await
    }

    async fn set_muted(
        &self,
        id: &ConversationId,
        user: &UserId,
        muted: Toggle,
    ) -> Result<bool, StoreError> {
        let key = key::member(id, user);
        let write = move |changes: &mut Transaction<'_>| {
            let Some(mut member) = view::read::<Member>(changes, &key)? else {
                return Ok(false);
            };
            member.muted = muted;
            let is_present = member.is_present();
            changes.put(key, &member);
            Ok(is_present)
        };
        self.0.write(Scope::conversation(id), write).await
    }

    async fn erase(
        &self,
        id: &ConversationId,
        seqs: Vec<Seq>,
        reason: Erasure,
    ) -> Result<usize, StoreError> {
        let id = id.clone();
        let scope = Scope::conversation(&id);
        let write = move |changes: &mut Transaction<'_>| {
            let mut erased = 0;
            for seq in seqs {
                erased += usize::from(history::erase(changes, &id, seq, reason)?);
            }
            Ok(erased)
        };
        self.0.write(scope, write).await
    }

    async fn add_user(&self, user: User) -> Result<AddedUser, StoreError> {
        let scope = Scope::new_user(&user);
        let write = move |changes: &mut Transaction<'_>| accounts::add(changes, &user);
        self.0.write(scope, write).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let key = key::user(id);
        let read = move |view: &dyn View| view::read(view, &key);
        self.0.read(read).await
    }

    async fn user_by_handle(&self, handle: &Handle) -> Result<Option<User>, StoreError> {
        let handle = handle.clone();
        let read = move |view: &dyn View| accounts::by_handle(view, &handle);
        self.0.read(read).await
    }

    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        let after = after.map(key::user);
        let read = move |view: &dyn View| history::page(view, key::USERS, after, limit);
        self.0.read(read).await
    }

    async fn change_user(
        &self,
        id: &UserId,
        change: UserChange,
    ) -> Result<Option<User>, StoreError> {
        let id = id.clone();
        let scope = Scope::user(&id);
        let write = move |changes: &mut Transaction<'_>| accounts::change(changes, &id, change);
        self.0.write(scope, write).await
    }

    async fn put_device(&self, device: Device) -> Result<(), StoreError> {
        let scope = Scope::user(&device.user);
        let write = move |changes: &mut Transaction<'_>| {
            changes.put(key::device(&device.user, &device.id), &device);
            Ok(())
        };
        self.0.write(scope, write).await
    }

    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, StoreError> {
        let prefix = key::devices(user);
        let read = move |view: &dyn View| history::page(view, &prefix, None, usize::MAX);
        self.0.read(read).await
    }

    async fn remove_device(
        &self,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<Option<Device>, StoreError> {
        let (user, device) = (user.clone(), device.clone());
        let scope = Scope::user(&user);
        let write =
            move |changes: &mut Transaction<'_>| accounts::remove_device(changes, &user, &device);
        self.0.write(scope, write).await
    }

    async fn put_session(&self, token: TokenHash, session: Session) -> Result<(), StoreError> {
        let scope = Scope::user(&session.user);
        let write = move |changes: &mut Transaction<'_>| {
            let of_device = key::device_session(&session.user, &session.device, &token);
            changes.mark(of_device);
            changes.put(key::session(&token), &session);
            Ok(())
        };
        self.0.write(scope, write).await
    }

    async fn session(&self, token: &TokenHash) -> Result<Option<Session>, StoreError> {
        let key = key::session(token);
        let read = move |view: &dyn View| view::read(view, &key);
        self.0.read(read).await
    }

    async fn remove_session(&self, token: &TokenHash) -> Result<(), StoreError> {
        let token = *token;
        let write = move |changes: &mut Transaction<'_>| accounts::remove_session(changes, &token);
        self.0.write(Scope::default(), write).await
    }

    async fn forget_ids(&self, before: Timestamp) -> Result<usize, StoreError> {
        // Looking takes long and holds nobody up; so old an id comes into no message any more.
        let read = move |view: &dyn View| append::old_ids(view, before);
        let old = self.0.read(read).await?;
        let count = old.len();
        let write = move |changes: &mut Transaction<'_>| {
            for key in old {
                changes.remove(key);
            }
            Ok(count)
        };
        self.0.write(Scope::default(), write).await
    }

    async fn account_records(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let after = transfer::after(after);
        let read = move |view: &dyn View| transfer::accounts(view, after, limit);
        self.0.read(read).await
    }

    async fn conversation_records(&self, id: &ConversationId) -> Result<Vec<Record>, StoreError> {
        let scope = Scope::conversation(id);
        let id = id.clone();
        // Nothing is changed; but nobody else changes it meanwhile.
        let write = move |changes: &mut Transaction<'_>| transfer::conversation(changes, &id);
        self.0.write(scope, write).await
    }

    async fn restore(&self, records: Vec<Record>) -> Result<(), StoreError> {
        let write = move |changes: &mut Transaction<'_>| {
            for record in records {
                transfer::restore(changes, record);
            }
            Ok(())
        };
        self.0.write(Scope::default(), write).await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}
