//! What is kept, as clients see it.

use leveret_client::message::{
    ConversationId, ConversationKind, ConversationSummary, Cursor, CursorSummary, HistoryRange,
    MemberSummary, RejectionCode, Reply, Seq, Toggle, UserId, UserSummary,
};

use super::{Desk, Readable};
use crate::store::{StoreError, User};

/// Users that one answer names, at most.
const USERS_MAX: usize = 500;

/// An account as others see it.
pub(super) fn user(user: &User) -> UserSummary {
    UserSummary {
        user: user.id.clone(),
        handle: user.handle.clone(),
        name: user.name.clone(),
        bot: user.bot,
        deleted: user.deleted.is_some(),
    }
}

impl Desk {
    pub(super) async fn users(
        &self,
        ids: &[UserId],
    ) -> Result<Result<Reply, RejectionCode>, StoreError> {
        if ids.len() > USERS_MAX {
            return Ok(Err(RejectionCode::TooLarge));
        }
        let mut users = Vec::new();
        for id in ids {
            users.extend(self.store.user(id).await?.as_ref().map(user));
        }
        Ok(Ok(Reply::Users { users }))
    }

    pub(super) async fn conversations(
        &self,
        asker: &UserId,
    ) -> Result<Vec<ConversationSummary>, StoreError> {
        let mut summaries = Vec::new();
        for id in self.store.conversations_of(asker).await? {
            if let Some(readable) = self.present(asker, &id).await? {
                summaries.push(self.summary(asker, readable).await?);
            }
        }
        summaries.sort_by_key(|summary| {
            let last = summary.last.as_ref().map(|message| message.ts);
            std::cmp::Reverse(last)
        });
        Ok(summaries)
    }

    async fn summary(
        &self,
        asker: &UserId,
        readable: Readable,
    ) -> Result<ConversationSummary, StoreError> {
        let last = self.piece(&readable, HistoryRange::NEWEST, 1).await?.pop();
        let Readable {
            conversation,
            member,
        } = readable;
        let cursor = self.store.cursor(&conversation.id, asker).await?;
        let (delivered, read) = cursor.map_or((Seq::NONE, Seq::NONE), |cursor| {
            (cursor.delivered, cursor.read)
        });
        let peer = match conversation.kind() {
            ConversationKind::Group => None,
            ConversationKind::Direct => self.peer(asker, &conversation.id).await?,
        };
        Ok(ConversationSummary {
            kind: conversation.kind(),
            settings: conversation.settings,
            peer,
            members: conversation.members,
            role: member.role,
            last_seq: conversation.last_seq,
            last,
            delivered,
            read,
            unread: conversation.last_seq.since(read),
            muted: member.muted,
            conv: conversation.id,
        })
    }

    /// The other member of a direct conversation; of one's own, oneself.
    async fn peer(
        &self,
        asker: &UserId,
        id: &ConversationId,
    ) -> Result<Option<UserSummary>, StoreError> {
        let members = self.store.members(id).await?;
        let other = members.iter().find(|member| member.user != *asker);
        let other = other.map_or(asker, |member| &member.user);
        Ok(self.store.user(other).await?.as_ref().map(user))
    }

    pub(super) async fn members(
        &self,
        id: &ConversationId,
    ) -> Result<Vec<MemberSummary>, StoreError> {
        let mut members = Vec::new();
        for member in self.store.members(id).await? {
            if let Some(account) = self.store.user(&member.user).await? {
                members.push(MemberSummary {
                    user: user(&account),
                    role: member.role,
                    silenced_until: member.silenced_until,
                });
            }
        }
        members.sort_by(|one, other| one.user.handle.cmp(&other.user.handle));
        Ok(members)
    }

    /// Everybody's cursor; how far somebody has read is left out if that is its own business.
    pub(super) async fn cursors(
        &self,
        asker: &UserId,
        id: &ConversationId,
    ) -> Result<Vec<CursorSummary>, StoreError> {
        let mut cursors = Vec::new();
        for at in self.store.cursors(id).await? {
            let is_visible = at.user == *asker || {
                let account = self.store.user(&at.user).await?;
                account.is_some_and(|account| account.receipts == Toggle::On)
            };
            cursors.push(CursorSummary {
                at: at.at,
                cursor: Cursor {
                    conv: id.clone(),
                    user: at.user,
                    delivered: at.delivered,
                    read: if is_visible { at.read } else { Seq::NONE },
                },
            });
        }
        Ok(cursors)
    }
}
