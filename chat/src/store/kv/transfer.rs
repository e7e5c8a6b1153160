//! Everything, record by record, as it leaves one store and enters another.

use leveret_client::message::{Body, ConversationId, UserId};

use super::append::Place;
use super::view::{self, Direction, Range, Step, Transaction, View};
use super::{cursors, history, key, members};
use crate::store::{Conversation, CursorAt, Device, Member, Record, Session, StoreError, User};

/// Accounts after this one, each with its devices and logins.
pub(super) fn accounts(
    view: &dyn View,
    after: Option<Vec<u8>>,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    for user in history::page::<User>(view, key::USERS, after, limit)? {
        let id = user.id.clone();
        records.push(Record::User(user));
        let devices = history::page::<Device>(view, &key::devices(&id), None, usize::MAX)?;
        for device in devices {
            let sessions = Range::prefix(&key::device_sessions(&id, &device.id));
            records.push(Record::Device(device));
            let mut tokens = Vec::new();
            view.scan(&sessions, Direction::Forward, &mut |found, _| {
                tokens.extend(key::last_token(found));
                Ok(Step::Next)
            })?;
            for token in tokens {
                if let Some(session) = view::read::<Session>(view, &key::session(&token))? {
                    records.push(Record::Session { token, session });
                }
            }
        }
    }
    Ok(records)
}

/// A conversation without its messages: itself, whoever is or was or must not be in it, and how far they
/// have come.
pub(super) fn conversation(
    view: &dyn View,
    id: &ConversationId,
) -> Result<Vec<Record>, StoreError> {
    let Some(conversation) = view::read::<Conversation>(view, &key::conversation(id))? else {
        return Ok(Vec::new());
    };
    let members: Vec<Member> = history::page(view, &key::members(id), None, usize::MAX)?;
    let cursors: Vec<CursorAt> = history::page(view, &key::cursors(id), None, usize::MAX)?;
    let mut records = vec![Record::Conversation(conversation)];
    records.extend(members.into_iter().map(|member| Record::Member {
        conv: id.clone(),
        member,
    }));
    records.extend(cursors.into_iter().map(|cursor| Record::Cursor {
        conv: id.clone(),
        cursor,
    }));
    Ok(records)
}

/// Puts a record in, with everything that is found by it.
pub(super) fn restore(changes: &mut Transaction<'_>, record: Record) {
    match record {
        Record::Deployment(deployment) => changes.put(key::DEPLOYMENT.to_vec(), &deployment),
        Record::User(user) => {
            if user.deleted.is_none() {
                changes.put(key::handle(&user.handle), &user.id);
            }
            changes.put(key::user(&user.id), &user);
        }
        Record::Device(device) => changes.put(key::device(&device.user, &device.id), &device),
        Record::Session { token, session } => {
            changes.mark(key::device_session(&session.user, &session.device, &token));
            changes.put(key::session(&token), &session);
        }
        Record::Conversation(conversation) => {
            changes.put(key::conversation(&conversation.id), &conversation);
        }
        Record::Member { conv, member } => members::put(changes, &conv, &member),
        Record::Cursor { conv, cursor } => cursors::put(changes, &conv, &cursor),
        Record::Message(message) => {
            let (conv, seq) = (message.conv.clone(), message.seq);
            if let Body::Edit { target, .. } = &message.body {
                changes.mark(key::edit(&conv, *target, seq));
            }
            let id = key::message_id(&message.from, message.id);
            changes.put(key::message(&conv, seq), &message);
            changes.put(id, &Place { conv, seq });
        }
        Record::Export { .. } | Record::End { .. } => {}
    }
}

/// Where the accounts after this one begin.
pub(super) fn after(user: Option<&UserId>) -> Option<Vec<u8>> {
    user.map(key::user)
}
