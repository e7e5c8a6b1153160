//! Who is in a conversation, and who may change that.

use leveret_client::message::{
    ConversationId, GroupAccess, MemberChange, RejectionCode, Role, Seq, Timestamp, Toggle, UserId,
};

use super::key;
use super::view::{self, Direction, Range, Step, Transaction, View};
use crate::store::{Conversation, Member, Membership, StoreError, User};

/// Those in it now, in the order of their ids.
pub(super) fn present(view: &dyn View, id: &ConversationId) -> Result<Vec<Member>, StoreError> {
    let mut members = Vec::new();
    let range = Range::prefix(&key::members(id));
    view.scan(&range, Direction::Forward, &mut |_, value| {
        let member: Member = view::decode(value)?;
        if member.is_present() {
            members.push(member);
        }
        Ok(Step::Next)
    })?;
    Ok(members)
}

/// Conversations of which a user is, or was, a member.
pub(super) fn conversations_of(
    view: &dyn View,
    user: &UserId,
) -> Result<Vec<ConversationId>, StoreError> {
    let mut conversations = Vec::new();
    let prefix = key::all_of(user);
    view.scan(
        &Range::prefix(&prefix),
        Direction::Forward,
        &mut |found, _| {
            let id = key::rest(found, &prefix).and_then(|text| text.parse().ok());
            conversations.push(id.ok_or_else(|| {
                StoreError::Damaged("a user's conversation has no id".to_owned())
            })?);
            Ok(Step::Next)
        },
    )?;
    Ok(conversations)
}

/// Whether there is an account that takes part.
pub(super) fn is_user(view: &dyn View, user: &UserId) -> Result<bool, StoreError> {
    let user: Option<User> = view::read(view, &key::user(user))?;
    Ok(user.is_some_and(|user| user.deleted.is_none()))
}

/// Writes a member down.
pub(super) fn put(changes: &mut Transaction<'_>, id: &ConversationId, member: &Member) {
    changes.put(key::member(id, &member.user), member);
    changes.mark(key::belongs(&member.user, id));
}

/// A member that comes with the message of this place.
pub(super) fn newcomer(user: &UserId, role: Role, joined: Seq) -> Member {
    Member {
        user: user.clone(),
        role,
        membership: Membership::Present,
        joined,
        silenced_until: None,
        muted: Toggle::Off,
    }
}

/// What a change of membership comes to; decided before anything is written.
#[derive(Debug)]
pub(super) enum Verdict {
    Denied(RejectionCode),
    /// These are members as they will be.
    Members(Vec<Member>),
}

/// What is known when a membership is to change.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) conversation: &'a Conversation,
    /// The sender, if it is in the conversation.
    pub(super) sender: Option<&'a Member>,
    pub(super) from: &'a UserId,
    /// Whose membership.
    pub(super) subject: &'a UserId,
    /// The subject's membership so far.
    pub(super) member: Option<Member>,
    /// The place that the message will have.
    pub(super) seq: Seq,
    /// The service's time.
    pub(super) at: Timestamp,
}

impl Question<'_> {
    /// Decides. `view` is asked for the other members only if the last owner goes.
    pub(super) fn answer(
        self,
        change: MemberChange,
        view: &dyn View,
    ) -> Result<Verdict, StoreError> {
        let denied = |code| Ok(Verdict::Denied(code));
        match change {
            MemberChange::Join => self.join(),
            MemberChange::Leave => self.leave(view),
            MemberChange::Add { role } => {
                if let Err(code) = self.needs(Role::Moderator.max(above_member(role))) {
                    return denied(code);
                }
                if !is_user(view, self.subject)? {
                    return denied(RejectionCode::NoSuchUser);
                }
                match self.member.as_ref().map(|member| member.membership) {
                    Some(Membership::Present) => denied(RejectionCode::Exists),
                    Some(Membership::Banned { .. }) => denied(RejectionCode::Banned),
                    Some(Membership::Left { .. }) | None => Ok(self.comes(role)),
                }
            }
            MemberChange::Remove => Ok(self.over_another(|member, seq, _| {
                if !member.is_present() {
                    return Err(RejectionCode::NoSuchUser);
                }
                member.membership = Membership::Left { at: seq };
                Ok(())
            })),
            MemberChange::Ban => {
                if self.member.is_none() && !is_user(view, self.subject)? {
                    return denied(RejectionCode::NoSuchUser);
                }
                Ok(self.over_another(|member, seq, _| {
                    let at = match member.membership {
                        Membership::Present => seq,
                        Membership::Left { at } | Membership::Banned { at } => at,
                    };
                    member.membership = Membership::Banned { at };
                    member.role = Role::Member;
                    Ok(())
                }))
            }
            MemberChange::Unban => Ok(self.over_another(|member, _, _| {
                let Membership::Banned { at } = member.membership else {
                    return Err(RejectionCode::NoSuchUser);
                };
                member.membership = Membership::Left { at };
                Ok(())
            })),
            MemberChange::Role { role } => Ok(self.role(role)),
            MemberChange::Silence { until } => Ok(self.over_another(|member, _, at| {
                if !member.is_present() {
                    return Err(RejectionCode::NoSuchUser);
                }
                member.silenced_until = (until > at).then_some(until);
                Ok(())
            })),
        }
    }

    /// The sender has at least this role.
    fn needs(&self, role: Role) -> Result<&Member, RejectionCode> {
        let sender = self.sender.ok_or(RejectionCode::NotMember)?;
        if sender.role < role {
            return Err(RejectionCode::Forbidden);
        }
        Ok(sender)
    }

    fn comes(self, role: Role) -> Verdict {
        let mut member = newcomer(self.subject, role, self.seq);
        // A silence is not lifted by going and coming back.
        if let Some(before) = self.member {
            member.silenced_until = before.silenced_until;
            member.muted = before.muted;
        }
        Verdict::Members(vec![member])
    }

    fn join(self) -> Result<Verdict, StoreError> {
        let settings = self.conversation.settings.as_ref();
        let is_open = settings.is_some_and(|settings| settings.access == GroupAccess::Open);
        let code = match self.member.as_ref().map(|member| member.membership) {
            Some(Membership::Present) => RejectionCode::Exists,
            Some(Membership::Banned { .. }) => RejectionCode::Banned,
            Some(Membership::Left { .. }) | None => {
                if is_open && self.from == self.subject {
                    return Ok(self.comes(Role::Member));
                }
                // Whether there is such a group is not for everybody to know.
                RejectionCode::NotMember
            }
        };
        Ok(Verdict::Denied(code))
    }

    fn leave(self, view: &dyn View) -> Result<Verdict, StoreError> {
        if self.from != self.subject {
            return Ok(Verdict::Denied(RejectionCode::Malformed));
        }
        let Some(sender) = self.sender else {
            return Ok(Verdict::Denied(RejectionCode::NotMember));
        };
        let mut goes = sender.clone();
        goes.membership = Membership::Left { at: self.seq };
        let was_owner = goes.role == Role::Owner;
        goes.role = Role::Member;
        let mut changed = vec![goes];
        if was_owner {
            changed.extend(heir(view, self.conversation, self.subject)?);
        }
        Ok(Verdict::Members(changed))
    }

    fn role(self, role: Role) -> Verdict {
        if let Err(code) = self.needs(Role::Owner) {
            return Verdict::Denied(code);
        }
        // An owner does not step down alone: another owner does it, or it leaves.
        if self.from == self.subject {
            return Verdict::Denied(RejectionCode::Forbidden);
        }
        match self.member {
            Some(mut member) if member.is_present() => {
                member.role = role;
                Verdict::Members(vec![member])
            }
            Some(_) | None => Verdict::Denied(RejectionCode::NoSuchUser),
        }
    }

    /// A change by a moderator of somebody of lower rank.
    fn over_another(
        self,
        change: impl FnOnce(&mut Member, Seq, Timestamp) -> Result<(), RejectionCode>,
    ) -> Verdict {
        let rank = self
            .member
            .as_ref()
            .map_or(Role::Member, |member| member.role);
        let sender = match self.needs(Role::Moderator) {
            Ok(sender) => sender,
            Err(code) => return Verdict::Denied(code),
        };
        if self.from == self.subject || (rank >= sender.role && rank > Role::Member) {
            return Verdict::Denied(RejectionCode::Forbidden);
        }
        let mut member = self.member.unwrap_or_else(|| Member {
            membership: Membership::Left { at: Seq::NONE },
            ..newcomer(self.subject, Role::Member, Seq::NONE)
        });
        match change(&mut member, self.seq, self.at) {
            Ok(()) => Verdict::Members(vec![member]),
            Err(code) => Verdict::Denied(code),
        }
    }
}

/// Only owners give more than [`Role::Member`].
fn above_member(role: Role) -> Role {
    match role {
        Role::Member => Role::Moderator,
        Role::Moderator | Role::Owner => Role::Owner,
    }
}

/// Who becomes owner when the last one goes: the highest in rank, and of those the longest there.
fn heir(
    view: &dyn View,
    conversation: &Conversation,
    goes: &UserId,
) -> Result<Option<Member>, StoreError> {
    let mut others = present(view, &conversation.id)?;
    others.retain(|member| member.user != *goes);
    if others.iter().any(|member| member.role == Role::Owner) {
        return Ok(None);
    }
    let rank = |member: &Member| (std::cmp::Reverse(member.role), member.joined);
    let heir = others.into_iter().min_by_key(rank);
    Ok(heir.map(|mut heir| {
        heir.role = Role::Owner;
        heir
    }))
}
