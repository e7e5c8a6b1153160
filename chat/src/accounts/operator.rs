//! What whoever runs the service may do with accounts, without being one of them.

use std::sync::Arc;

use super::{AccountError, Accounts, Hashing, NewAccount, check_name, secret};
use crate::store::{AddedUser, ChatStore, User, UserChange};
use leveret_client::message::{Timestamp, Toggle, UserId};

/// Characters of a password that is made here: 80 bits.
const PASSWORD_CHARACTERS: usize = 16;

/// A password that nobody guesses.
#[must_use]
pub fn random_password() -> String {
    let mut password = secret();
    password.truncate(PASSWORD_CHARACTERS);
    password
}

/// Makes an account. The very first one is an administrator.
pub async fn add(store: &Arc<dyn ChatStore>, account: NewAccount) -> Result<User, AccountError> {
    add_with(store, &Hashing::new(), account).await
}

pub(super) async fn add_with(
    store: &Arc<dyn ChatStore>,
    hashing: &Hashing,
    account: NewAccount,
) -> Result<User, AccountError> {
    check_name(&account.name)?;
    let user = User {
        id: UserId::random(),
        handle: account.handle,
        name: account.name,
        password: Some(hashing.hash(account.password).await?),
        bot: account.bot,
        administrator: store.users(None, 1).await?.is_empty(),
        receipts: Toggle::On,
        created: Timestamp::now(),
        deleted: None,
    };
    match store.add_user(user.clone()).await? {
        AddedUser::Added => Ok(user),
        AddedUser::Taken => Err(AccountError::Taken),
    }
}

impl Accounts {
    /// A new password; all devices are logged out.
    pub async fn set_password(&self, user: &User, new: String) -> Result<(), AccountError> {
        let hash = self.hashing.hash(new).await?;
        let change = UserChange::Password(Some(hash));
        self.store.change_user(&user.id, change).await?;
        for device in self.store.devices(&user.id).await? {
            self.remove_device(&user.id, &device.id).await?;
        }
        Ok(())
    }
}
