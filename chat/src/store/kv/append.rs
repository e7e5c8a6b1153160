//! An append: everything that is decided about a message, and everything that it changes.

use std::collections::BTreeSet;

use leveret_client::message::{
    Body, ConversationId, ConversationKind, Erasure, GroupChange, MemberChange, Message, Post,
    RejectionCode, Role, Seq, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};

use super::members::{self, Question, Verdict};
use super::view::{self, Direction, Range, Step, Transaction, View};
use super::{cursors, history, key};
use crate::store::{Append, Appended, Appends, Conversation, CursorAt, Member, StoreError};

/// Where the message with a sender's id is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) conv: ConversationId,
    pub(super) seq: Seq,
}

/// What became of the message with a sender's id.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Fate {
    Stored(Place),
    /// It was refused, and its sender told so. What the sender did not know to be confirmed it has sent a
    /// second time; by then the reason may be gone, and the answer must stay what it was.
    Refused {
        conv: ConversationId,
        refused: RejectionCode,
    },
}

/// The message that an id leads to.
pub(super) fn message_of(view: &dyn View, id_key: &[u8]) -> Result<Option<Message>, StoreError> {
    match view::read::<Fate>(view, id_key)? {
        Some(Fate::Stored(place)) => message_at(view, place).map(Some),
        Some(Fate::Refused { .. }) | None => Ok(None),
    }
}

fn message_at(view: &dyn View, place: Place) -> Result<Message, StoreError> {
    let message = view::read(view, &key::message(&place.conv, place.seq))?;
    message.ok_or_else(|| {
        let (conv, seq) = (place.conv, place.seq);
        StoreError::Damaged(format!("message {seq} of {conv} is not there"))
    })
}

/// What is said of a message whose id was there before.
fn again(view: &dyn View, post: &Post, fate: Fate) -> Result<Appended, StoreError> {
    let (conv, answer) = match fate {
        Fate::Stored(place) => (place.conv.clone(), Ok(place)),
        Fate::Refused { conv, refused } => (conv, Err(refused)),
    };
    if conv != post.conv {
        return Ok(Appended::Denied(RejectionCode::IdReused));
    }
    match answer {
        Ok(place) => message_at(view, place).map(Appended::Duplicate),
        Err(code) => Ok(Appended::Denied(code)),
    }
}

/// Refuses a message that is not in the history; for good, if its sender is told that it is.
pub(super) fn refuse(
    changes: &mut Transaction<'_>,
    post: &Post,
    code: RejectionCode,
) -> Result<Appended, StoreError> {
    let id_key = key::message_id(&post.from, post.id);
    if let Some(fate) = view::read::<Fate>(changes, &id_key)? {
        return again(changes, post, fate);
    }
    if !code.is_temporary() {
        let refused = Fate::Refused {
            conv: post.conv.clone(),
            refused: code,
        };
        changes.put(id_key, &refused);
    }
    Ok(Appended::Denied(code))
}

/// Whether it is known what became of the message before it, if it names one. Of one whose id may be forgotten
/// that is not asked.
fn is_its_turn(view: &dyn View, append: &Append) -> Result<bool, StoreError> {
    let Some(before) = append.post.after else {
        return Ok(true);
    };
    if append.at.since(before.time()) > Post::AGE_MAX {
        return Ok(true);
    }
    let id_key = key::message_id(&append.post.from, before);
    Ok(view::read::<Fate>(view, &id_key)?.is_some())
}

/// Ids forgotten by one call, at most.
const FORGOTTEN_MAX: usize = 5_000;

/// Where ids of messages made before this time are, some of them.
pub(super) fn old_ids(view: &dyn View, before: Timestamp) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut old = Vec::new();
    let range = Range::prefix(key::MESSAGE_IDS);
    view.scan(&range, Direction::Forward, &mut |found, _| {
        let id = found.last_chunk::<16>().copied().map(uuid_time);
        if id.is_some_and(|time| time < before) {
            old.push(found.to_vec());
        }
        Ok(if old.len() < FORGOTTEN_MAX {
            Step::Next
        } else {
            Step::Stop
        })
    })?;
    Ok(old)
}

/// The time in the octets of a [`MessageId`].
fn uuid_time(octets: [u8; 16]) -> Timestamp {
    let mut milliseconds = [0; 8];
    milliseconds[2..].copy_from_slice(&octets[..6]);
    Timestamp::from_milliseconds(u64::from_be_bytes(milliseconds))
}

/// What a message comes to, before anything is written.
#[derive(Debug, Default)]
struct Effects {
    /// Members as they will be.
    members: Vec<Member>,
    settings: Option<leveret_client::message::GroupSettings>,
    /// What this message takes away.
    erase: Option<Seq>,
    /// What this message edits.
    edits: Option<Seq>,
}

type Decision = Result<Effects, RejectionCode>;

/// Appends one after the other.
pub(super) fn append_all(
    changes: &mut Transaction<'_>,
    batch: &[Append],
) -> Result<Appends, StoreError> {
    let mut appends = Appends::default();
    let mut touched = BTreeSet::new();
    for one in batch {
        let outcome = append(changes, one)?;
        if !matches!(outcome, Appended::Denied(_)) {
            touched.insert(&one.post.conv);
        }
        appends.outcomes.push(outcome);
    }
    for id in touched {
        let conversation = view::read(changes, &key::conversation(id))?;
        appends.conversations.extend(conversation);
    }
    Ok(appends)
}

/// Appends one message, or says why not.
fn append(changes: &mut Transaction<'_>, append: &Append) -> Result<Appended, StoreError> {
    let post = &append.post;
    let id_key = key::message_id(&post.from, post.id);
    if let Some(fate) = view::read::<Fate>(changes, &id_key)? {
        return again(changes, post, fate);
    }
    if !members::is_user(changes, &post.from)? {
        return Ok(Appended::Denied(RejectionCode::NoSuchUser));
    }
    if !is_its_turn(changes, append)? {
        return Ok(Appended::Denied(RejectionCode::OutOfTurn));
    }
    let found: Option<Conversation> = view::read(changes, &key::conversation(&post.conv))?;
    let (conversation, decision) = match found {
        Some(conversation) => {
            let decision = decide(changes, append, &conversation)?;
            (conversation, decision)
        }
        None => {
            let conversation = Conversation {
                id: post.conv.clone(),
                last_seq: Seq::NONE,
                last_ts: append.at,
                member_version: 0,
                members: 0,
                settings: None,
                created: append.at,
            };
            (conversation, begin(changes, post)?)
        }
    };
    match decision {
        Err(code) => refuse(changes, post, code),
        Ok(effects) => write(changes, append, conversation, effects, id_key),
    }
}

/// The first message of a conversation.
fn begin(view: &dyn View, post: &Post) -> Result<Decision, StoreError> {
    let first = Seq(1);
    match (post.conv.kind(), &post.body) {
        (ConversationKind::Direct, Body::Text(_)) => {
            let Some(to) = &post.to else {
                return Ok(Err(RejectionCode::Malformed));
            };
            if !members::is_user(view, to)? {
                return Ok(Err(RejectionCode::NoSuchUser));
            }
            let mut both = vec![members::newcomer(&post.from, Role::Member, first)];
            if *to != post.from {
                both.push(members::newcomer(to, Role::Member, first));
            }
            Ok(Ok(Effects {
                members: both,
                ..Effects::default()
            }))
        }
        (ConversationKind::Direct, _) => Ok(Err(RejectionCode::NoSuchMessage)),
        (ConversationKind::Group, Body::Group(GroupChange::Create { settings, members })) => {
            let mut all = vec![members::newcomer(&post.from, Role::Owner, first)];
            for user in members {
                if !members::is_user(view, user)? {
                    return Ok(Err(RejectionCode::NoSuchUser));
                }
                if all.iter().all(|member| member.user != *user) {
                    all.push(members::newcomer(user, Role::Member, first));
                }
            }
            Ok(Ok(Effects {
                members: all,
                settings: Some(settings.clone()),
                ..Effects::default()
            }))
        }
        (ConversationKind::Group, _) => Ok(Err(RejectionCode::NotMember)),
    }
}

/// A message to a conversation that is there.
fn decide(
    view: &dyn View,
    append: &Append,
    conversation: &Conversation,
) -> Result<Decision, StoreError> {
    let post = &append.post;
    let id = &conversation.id;
    let sender: Option<Member> = view::read(view, &key::member(id, &post.from))?;
    let present = sender.as_ref().filter(|member| member.is_present());
    if let Body::Member { user, change } = &post.body {
        return change_membership(view, append, conversation, present, user, *change);
    }
    let Some(sender) = present else {
        let was_banned = sender.is_some_and(|member| {
            matches!(member.membership, crate::store::Membership::Banned { .. })
        });
        return Ok(Err(if was_banned {
            RejectionCode::Banned
        } else {
            RejectionCode::NotMember
        }));
    };
    if sender.silenced_until.is_some_and(|until| until > append.at) {
        return Ok(Err(RejectionCode::Silenced));
    }
    let visible = sender.visible(conversation);
    let target = |seq: Seq| -> Result<Option<Message>, StoreError> {
        if !visible.contains(&seq) {
            return Ok(None);
        }
        view::read(view, &key::message(id, seq))
    };
    let mut effects = Effects::default();
    match &post.body {
        Body::Text(text) => {
            let referred = [text.reply_to, text.thread];
            let exists = |seq: &Seq| (Seq(1)..=conversation.last_seq).contains(seq);
            if !referred.iter().flatten().all(exists) {
                return Ok(Err(RejectionCode::NoSuchMessage));
            }
        }
        Body::Edit { target: seq, .. } => match target(*seq)? {
            Some(message) if !matches!(message.body, Body::Text(_)) => {
                return Ok(Err(RejectionCode::NoSuchMessage));
            }
            Some(message) if message.from != post.from => {
                return Ok(Err(RejectionCode::Forbidden));
            }
            Some(_) => effects.edits = Some(*seq),
            None => return Ok(Err(RejectionCode::NoSuchMessage)),
        },
        Body::Delete { target: seq } => match target(*seq)? {
            Some(message) if message.from != post.from && sender.role < Role::Moderator => {
                return Ok(Err(RejectionCode::Forbidden));
            }
            Some(_) => effects.erase = Some(*seq),
            None => return Ok(Err(RejectionCode::NoSuchMessage)),
        },
        Body::React { target: seq, .. } => match target(*seq)? {
            Some(message) if matches!(message.body, Body::Text(_)) => {}
            Some(_) | None => return Ok(Err(RejectionCode::NoSuchMessage)),
        },
        Body::Group(GroupChange::Create { .. }) => return Ok(Err(RejectionCode::Exists)),
        Body::Group(GroupChange::Settings { settings }) => {
            if conversation.kind() == ConversationKind::Direct || sender.role < Role::Owner {
                return Ok(Err(RejectionCode::Forbidden));
            }
            effects.settings = Some(settings.clone());
        }
        Body::Member { .. } | Body::Erased { .. } | Body::Unknown => {
            return Ok(Err(RejectionCode::Unsupported));
        }
    }
    Ok(Ok(effects))
}

fn change_membership(
    view: &dyn View,
    append: &Append,
    conversation: &Conversation,
    sender: Option<&Member>,
    subject: &UserId,
    change: MemberChange,
) -> Result<Decision, StoreError> {
    if conversation.kind() == ConversationKind::Direct {
        return Ok(Err(RejectionCode::Forbidden));
    }
    let question = Question {
        conversation,
        sender,
        from: &append.post.from,
        subject,
        member: view::read(view, &key::member(&conversation.id, subject))?,
        seq: conversation.last_seq.next(),
        at: append.at,
    };
    Ok(match question.answer(change, view)? {
        Verdict::Denied(code) => Err(code),
        Verdict::Members(members) => Ok(Effects {
            members,
            ..Effects::default()
        }),
    })
}

/// Everything that the message changes, together.
fn write(
    changes: &mut Transaction<'_>,
    append: &Append,
    mut conversation: Conversation,
    effects: Effects,
    id_key: Vec<u8>,
) -> Result<Appended, StoreError> {
    let post = &append.post;
    let seq = conversation.last_seq.next();
    conversation.last_seq = seq;
    // The clock may have been set back.
    conversation.last_ts = conversation.last_ts.max(append.at);
    let message = Message {
        id: post.id,
        conv: post.conv.clone(),
        seq,
        from: post.from.clone(),
        ts: conversation.last_ts,
        sent_at: post.sent_at,
        body: post.body.clone(),
    };
    if !effects.members.is_empty() {
        conversation.member_version += 1;
    }
    for member in &effects.members {
        let before: Option<Member> = view::read(changes, &key::member(&post.conv, &member.user))?;
        let was_present = before.is_some_and(|before| before.is_present());
        match (was_present, member.is_present()) {
            (false, true) => {
                conversation.members += 1;
                // What was said before does not count as unread.
                cursors::put(
                    changes,
                    &post.conv,
                    &at_place(&member.user, seq.before(), append.at),
                );
            }
            (true, false) => conversation.members = conversation.members.saturating_sub(1),
            (true, true) | (false, false) => {}
        }
        members::put(changes, &post.conv, member);
    }
    if let Some(settings) = effects.settings {
        conversation.settings = Some(settings);
    }
    if let Some(target) = effects.erase {
        history::erase(changes, &post.conv, target, Erasure::Deleted)?;
    }
    if let Some(target) = effects.edits {
        changes.mark(key::edit(&post.conv, target, seq));
    }
    changes.put(key::message(&post.conv, seq), &message);
    let place = Place {
        conv: post.conv.clone(),
        seq,
    };
    changes.put(id_key, &place);
    changes.put(key::conversation(&post.conv), &conversation);
    // Who writes has read what is there.
    cursors::raise(changes, &post.conv, &at_place(&post.from, seq, append.at))?;
    Ok(Appended::Stored(message))
}

fn at_place(user: &UserId, seq: Seq, at: Timestamp) -> CursorAt {
    CursorAt {
        user: user.clone(),
        delivered: seq,
        read: seq,
        at,
    }
}
