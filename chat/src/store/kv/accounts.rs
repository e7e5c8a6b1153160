//! Accounts, their devices and sessions.

use leveret_client::message::{DeviceId, Handle, UserId};

use super::view::{self, Direction, Range, Step, Transaction, View};
use super::{history, key};
use crate::store::{AddedUser, Device, Session, StoreError, TokenHash, User, UserChange};

pub(super) fn add(changes: &mut Transaction<'_>, user: &User) -> Result<AddedUser, StoreError> {
    let handle = key::handle(&user.handle);
    let id = key::user(&user.id);
    if changes.get(&handle)?.is_some() || changes.get(&id)?.is_some() {
        return Ok(AddedUser::Taken);
    }
    changes.put(handle, &user.id);
    changes.put(id, user);
    Ok(AddedUser::Added)
}

pub(super) fn by_handle(view: &dyn View, handle: &Handle) -> Result<Option<User>, StoreError> {
    let Some(id) = view::read::<UserId>(view, &key::handle(handle))? else {
        return Ok(None);
    };
    view::read(view, &key::user(&id))
}

pub(super) fn change(
    changes: &mut Transaction<'_>,
    id: &UserId,
    change: UserChange,
) -> Result<Option<User>, StoreError> {
    let Some(mut user) = view::read::<User>(changes, &key::user(id))? else {
        return Ok(None);
    };
    match change {
        UserChange::Name(name) => user.name = name,
        UserChange::Password(password) => user.password = password,
        UserChange::Administrator(administrator) => user.administrator = administrator,
        UserChange::Receipts(receipts) => user.receipts = receipts,
        UserChange::Delete(at) => delete(changes, &mut user, at)?,
    }
    changes.put(key::user(id), &user);
    Ok(Some(user))
}

fn delete(
    changes: &mut Transaction<'_>,
    user: &mut User,
    at: leveret_client::message::Timestamp,
) -> Result<(), StoreError> {
    if user.deleted.is_some() {
        return Ok(());
    }
    changes.remove(key::handle(&user.handle));
    user.deleted = Some(at);
    user.password = None;
    user.administrator = false;
    let devices: Vec<Device> = history::page(changes, &key::devices(&user.id), None, usize::MAX)?;
    for device in devices {
        remove_device(changes, &user.id, &device.id)?;
    }
    Ok(())
}

pub(super) fn remove_device(
    changes: &mut Transaction<'_>,
    user: &UserId,
    id: &DeviceId,
) -> Result<Option<Device>, StoreError> {
    let mut tokens = Vec::new();
    let range = Range::prefix(&key::device_sessions(user, id));
    changes.scan(&range, Direction::Forward, &mut |found, _| {
        tokens.extend(key::last_token(found));
        Ok(Step::Next)
    })?;
    for token in tokens {
        remove_session(changes, &token)?;
    }
    let device: Option<Device> = view::read(changes, &key::device(user, id))?;
    if device.is_some() {
        changes.remove(key::device(user, id));
    }
    Ok(device)
}

pub(super) fn remove_session(
    changes: &mut Transaction<'_>,
    token: &TokenHash,
) -> Result<(), StoreError> {
    if let Some(session) = view::read::<Session>(changes, &key::session(token))? {
        changes.remove(key::session(token));
        changes.remove(key::device_session(&session.user, &session.device, token));
    }
    Ok(())
}
