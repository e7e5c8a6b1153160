//! Hooks: bots without a password, whose token may write and nothing else.

use std::time::Duration;

use leveret_client::message::{DeviceId, Handle, Timestamp, Toggle, UserId};

use super::password::{secret, token_hash};
use super::{AccountError, Accounts, check_name};
use crate::store::{AddedUser, Device, DeviceKind, Session, User};

/// A hook works until its bot is sent out of the group: what posts to it is set up once and forgotten.
const HOOK: Duration = Duration::from_secs(100 * 365 * 86_400);
/// Characters of the random part of a hook's name.
const NAME_CHARACTERS: usize = 10;

/// What is hashed of a hook's token. No token of a login has a dot, so that neither opens the other's door.
fn hook_token(token: &str) -> String {
    format!("hook.{token}")
}

impl Accounts {
    /// Makes a bot for a hook, and the hook's token, which is shown once and kept nowhere.
    pub async fn make_hook(&self, name: String) -> Result<(User, String), AccountError> {
        check_name(&name)?;
        let random = secret();
        let handle = format!("hook-{}", &random[..NAME_CHARACTERS]);
        let now = Timestamp::now();
        let user = User {
            id: UserId::random(),
            handle: Handle::try_from(handle).map_err(|_| AccountError::BadName)?,
            name,
            password: None,
            bot: true,
            administrator: false,
            receipts: Toggle::Off,
            created: now,
            deleted: None,
        };
        match self.store.add_user(user.clone()).await? {
            AddedUser::Added => {}
            AddedUser::Taken => return Err(AccountError::Taken),
        }
        let device = Device {
            user: user.id.clone(),
            id: DeviceId::random(),
            name: "hook".to_owned(),
            kind: DeviceKind::Gateway,
            behind: false,
            created: now,
        };
        self.store.put_device(device.clone()).await?;
        let session = Session {
            user: user.id.clone(),
            device: device.id,
            created: now,
            expires: now.plus(HOOK),
        };
        let token = secret();
        let hash = token_hash(&hook_token(&token));
        self.store.put_session(hash, session).await?;
        Ok((user, token))
    }

    /// Which bot has this hook's token.
    pub async fn authenticate_hook(&self, token: &str) -> Result<Session, AccountError> {
        let session = self.store.session(&token_hash(&hook_token(token))).await?;
        session.ok_or(AccountError::NotFound)
    }
}
