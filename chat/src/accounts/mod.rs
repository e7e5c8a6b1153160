//! Accounts: who may log in, on which devices, and with which rights on the broker.

mod hooks;
mod operator;
mod password;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{
    Body, Command, ConversationKind, DeviceId, Erasure, Handle, HistoryRange, MemberChange, Post,
    Seq, ShardCount, Timestamp, UserId,
};
use parking_lot::Mutex;

pub use self::operator::{add, random_password};
use self::password::{Hashing, secret, token_hash};
use crate::amqp::{LinkError, Published};
use crate::courier::Courier;
use crate::directory::Control;
use crate::links::Links;
use crate::management::{Management, ManagementError};
use crate::news::announce;
use crate::rate::Rates;
use crate::store::{ChatStore, Device, DeviceKind, Session, StoreError, User, UserChange};
use crate::topology;

/// Wrong passwords for one name at once: more than anybody mistypes.
const FAILURES_MAX: u32 = 10;
/// Then one try in so long: 1,500 a day, at which nobody guesses a password of eight characters.
const FAILURE_INTERVAL: Duration = Duration::from_secs(60);
/// How long a login lasts.
const SESSION: Duration = Duration::from_secs(90 * 86_400);
/// How long the name of a person or device may be, in characters.
const NAME_CHARACTERS_MAX: usize = 100;
/// Devices of a user, at most: each may have a queue.
const DEVICES_MAX: usize = 20;
/// How long leaving all groups may take when an account is deleted.
const LEAVING_PATIENCE: Duration = Duration::from_secs(10);
/// Messages looked at in one step when all texts of an account are erased.
const ERASE_PAGE: usize = 200;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Somebody has that name.
    #[error("this name is taken")]
    Taken,
    /// Nobody may register but by an administrator.
    #[error("ask an administrator for an account")]
    Closed,
    /// Name or password are wrong; which of them is not said.
    #[error("wrong name or password")]
    Wrong,
    /// Too many wrong passwords.
    #[error("too many wrong passwords; wait a minute")]
    Throttled,
    /// The token is none, or no longer.
    #[error("log in again")]
    NotLoggedIn,
    /// It needs an administrator.
    #[error("only administrators may do this")]
    Forbidden,
    /// A password that is too short, or far too long.
    #[error("a password has at least {min} characters")]
    BadPassword {
        /// Characters, at least.
        min: usize,
    },
    /// A name that is empty or too long.
    #[error("a name has 1 to 100 characters")]
    BadName,
    /// There is no such account, or device.
    #[error("there is no such account or device")]
    NotFound,
    /// The user has too many devices.
    #[error("too many devices; remove one")]
    TooManyDevices,
    /// The service cannot do it now.
    #[error("the service cannot do this at the moment")]
    Unavailable,
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "accounts");
        Self::Unavailable
    }
}

impl From<ManagementError> for AccountError {
    fn from(error: ManagementError) -> Self {
        tracing::warn!(%error, "accounts");
        Self::Unavailable
    }
}

impl From<LinkError> for AccountError {
    fn from(error: LinkError) -> Self {
        tracing::warn!(%error, "accounts");
        Self::Unavailable
    }
}

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// Everybody.
    #[default]
    Open,
    /// The first one, who is the administrator; then only whom an administrator registers.
    Closed,
}

/// An account that is to be made.
#[derive(Clone)]
pub struct NewAccount {
    /// The name to log in with.
    pub handle: Handle,
    /// The name to show.
    pub name: String,
    /// The password.
    pub password: String,
    /// Whether it is a program.
    pub bot: bool,
}

impl fmt::Debug for NewAccount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NewAccount")
            .field("handle", &self.handle)
            .field("bot", &self.bot)
            .finish_non_exhaustive()
    }
}

/// A login. The token is shown once and kept nowhere.
#[derive(Clone)]
pub struct Login {
    /// To be given with every request.
    pub token: String,
    /// Who.
    pub user: User,
    /// The device.
    pub device: DeviceId,
    /// Until when.
    pub expires: Timestamp,
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Login")
            .field("user", &self.user.id)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// What a device needs to speak AMQP itself. The password is shown once and kept nowhere.
#[derive(Clone)]
pub struct AmqpLogin {
    /// The device, which is also its user's name on the broker.
    pub device: BrokerUser,
    /// The password.
    pub password: String,
    /// How many send shards there are.
    pub shards: ShardCount,
}

impl fmt::Debug for AmqpLogin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AmqpLogin")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// What becomes of what a deleted account has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts {
    /// It stays in its conversations, under the name of a deleted account.
    Keep,
    /// It is erased; that something was there stays visible.
    Erase,
}

/// Accounts.
#[derive(Debug)]
pub struct Accounts {
    store: Arc<dyn ChatStore>,
    links: Arc<Links>,
    management: Management,
    shards: ShardCount,
    registration: Registration,
    hashing: Hashing,
    failures: Mutex<Rates<Handle>>,
}

impl Accounts {
    /// Over this store and broker.
    #[must_use]
    pub fn new(
        store: Arc<dyn ChatStore>,
        links: Arc<Links>,
        management: Management,
        shards: ShardCount,
        registration: Registration,
    ) -> Self {
        Self {
            store,
            links,
            management,
            shards,
            registration,
            hashing: Hashing::new(),
            failures: Mutex::new(Rates::every(FAILURE_INTERVAL, FAILURES_MAX)),
        }
    }

    /// Makes an account; `by` is who asks, if it is logged in. The very first one is an administrator.
    pub async fn register(
        &self,
        account: NewAccount,
        by: Option<&UserId>,
    ) -> Result<User, AccountError> {
        let is_first = self.store.users(None, 1).await?.is_empty();
        if self.registration == Registration::Closed && !is_first {
            match by {
                Some(by) => self.need_administrator(by).await?,
                None => return Err(AccountError::Closed),
            }
        }
        operator::add_with(&self.store, &self.hashing, account).await
    }

    async fn need_administrator(&self, user: &UserId) -> Result<(), AccountError> {
        let user = self.store.user(user).await?;
        if user.is_some_and(|user| user.administrator) {
            return Ok(());
        }
        Err(AccountError::Forbidden)
    }

    /// Whether it is the user's password. Every wrong one counts.
    async fn check_password(
        &self,
        handle: &Handle,
        password: String,
    ) -> Result<User, AccountError> {
        let user = self.store.user_by_handle(handle).await?;
        if !self.failures.lock().take(handle.clone(), Instant::now()) {
            return Err(AccountError::Throttled);
        }
        let hash = user.as_ref().and_then(|user| user.password.clone());
        let is_right = self.hashing.is_right(password, hash).await?;
        match user {
            Some(user) if is_right => {
                self.failures.lock().give_back(handle);
                Ok(user)
            }
            Some(_) | None => Err(AccountError::Wrong),
        }
    }

    /// Logs in, on a device that is there already or on a new one of this name.
    pub async fn login(
        &self,
        handle: &Handle,
        password: String,
        device: Option<DeviceId>,
        device_name: &str,
    ) -> Result<Login, AccountError> {
        check_name(device_name)?;
        let user = self.check_password(handle, password).await?;
        let devices = self.store.devices(&user.id).await?;
        let known = device.filter(|id| devices.iter().any(|device| device.id == *id));
        let device = match known {
            Some(id) => id,
            None => {
                if devices.len() >= DEVICES_MAX {
                    return Err(AccountError::TooManyDevices);
                }
                let device = Device {
                    user: user.id.clone(),
                    id: DeviceId::random(),
                    name: device_name.to_owned(),
                    kind: DeviceKind::Gateway,
                    behind: false,
                    created: Timestamp::now(),
                };
                self.store.put_device(device.clone()).await?;
                device.id
            }
        };
        let token = secret();
        let created = Timestamp::now();
        let session = Session {
            user: user.id.clone(),
            device: device.clone(),
            created,
            expires: created.plus(SESSION),
        };
        let expires = session.expires;
        self.store.put_session(token_hash(&token), session).await?;
        Ok(Login {
            token,
            user,
            device,
            expires,
        })
    }

    /// Who has this token.
    pub async fn authenticate(&self, token: &str) -> Result<Session, AccountError> {
        if token.contains('.') {
            return Err(AccountError::NotLoggedIn);
        }
        let session = self.store.session(&token_hash(token)).await?;
        let is_valid = |session: &Session| session.expires > Timestamp::now();
        session.filter(is_valid).ok_or(AccountError::NotLoggedIn)
    }

    /// Ends a login. The device stays, with what waits for it.
    pub async fn logout(&self, token: &str) -> Result<(), AccountError> {
        Ok(self.store.remove_session(&token_hash(token)).await?)
    }

    /// A user's devices.
    pub async fn devices(&self, user: &UserId) -> Result<Vec<Device>, AccountError> {
        Ok(self.store.devices(user).await?)
    }

    /// Lets a device speak AMQP itself: a queue, and a user on the broker with a new password. May be
    /// called again, for a device that has lost its password, or whose queue has expired.
    pub async fn provision(&self, user: &UserId, id: &DeviceId) -> Result<AmqpLogin, AccountError> {
        let devices = self.store.devices(user).await?;
        let found = devices.into_iter().find(|device| device.id == *id);
        let mut found = found.ok_or(AccountError::NotFound)?;
        let device = BrokerUser {
            user: user.clone(),
            device: id.clone(),
        };
        let link = self.links.current().await?;
        link.declare_queue(&topology::inbox(device.inbox())).await?;
        let password = secret();
        self.management.put_device(&device, &password).await?;
        found.kind = DeviceKind::Inbox;
        found.behind = false;
        self.store.put_device(found).await?;
        self.changed_devices(user).await?;
        Ok(AmqpLogin {
            device,
            password,
            shards: self.shards,
        })
    }

    /// Takes a device away: its logins, its user on the broker, its queue.
    pub async fn remove_device(&self, user: &UserId, id: &DeviceId) -> Result<(), AccountError> {
        let device = self.store.remove_device(user, id).await?;
        let device = device.ok_or(AccountError::NotFound)?;
        self.changed_devices(user).await?;
        match device.kind {
            DeviceKind::Gateway => Ok(()),
            DeviceKind::Inbox => self.shut_out(user, id).await,
        }
    }

    async fn shut_out(&self, user: &UserId, id: &DeviceId) -> Result<(), AccountError> {
        let device = BrokerUser {
            user: user.clone(),
            device: id.clone(),
        };
        self.management.remove_device(&device).await?;
        let link = self.links.current().await?;
        link.delete_queue(&device.inbox()).await?;
        Ok(())
    }

    async fn changed_devices(&self, user: &UserId) -> Result<(), AccountError> {
        let link = self.links.current().await?;
        let user = user.clone();
        announce(&link, &Control::Devices { user }).await?;
        Ok(())
    }

    /// A new password, by whoever knows the old one. Other logins stay.
    pub async fn change_password(
        &self,
        handle: &Handle,
        old: String,
        new: String,
    ) -> Result<(), AccountError> {
        let user = self.check_password(handle, old).await?;
        let hash = self.hashing.hash(new).await?;
        let change = UserChange::Password(Some(hash));
        self.store.change_user(&user.id, change).await?;
        Ok(())
    }

    /// A new password for somebody else, by an administrator. All devices of it are logged out.
    pub async fn reset_password(
        &self,
        by: &UserId,
        handle: &Handle,
        new: String,
    ) -> Result<(), AccountError> {
        self.need_administrator(by).await?;
        let user = self.store.user_by_handle(handle).await?;
        let user = user.ok_or(AccountError::NotFound)?;
        self.set_password(&user, new).await
    }

    /// Deletes an account: it leaves its groups, its devices are shut out, its name is free for others.
    /// Direct conversations stay with whoever it spoke with.
    pub async fn delete(&self, user: &UserId, texts: Texts) -> Result<(), AccountError> {
        let found = self.store.user(user).await?;
        found.ok_or(AccountError::NotFound)?;
        self.leave_groups(user).await?;
        if texts == Texts::Erase {
            self.erase_texts(user).await?;
        }
        for device in self.store.devices(user).await? {
            self.remove_device(user, &device.id).await?;
        }
        let change = UserChange::Delete(Timestamp::now());
        self.store.change_user(user, change).await?;
        Ok(())
    }

    /// By messages, as everything that changes a conversation; then waits until they are appended.
    async fn leave_groups(&self, user: &UserId) -> Result<(), AccountError> {
        let device = DeviceId::random();
        let mut groups = Vec::new();
        for conversation in self.store.conversations_of(user).await? {
            let member = self.store.member(&conversation, user).await?;
            let is_present = member.is_some_and(|member| member.is_present());
            if conversation.kind() == ConversationKind::Group && is_present {
                groups.push(conversation);
            }
        }
        for group in &groups {
            let body = Body::Member {
                user: user.clone(),
                change: MemberChange::Leave,
            };
            let post = Post::to_group(group, user, &device, body, Timestamp::now());
            self.publish_for(&Command::Send(post)).await?;
        }
        let deadline = Instant::now() + LEAVING_PATIENCE;
        for group in &groups {
            loop {
                let member = self.store.member(group, user).await?;
                if !member.is_some_and(|member| member.is_present()) {
                    break;
                }
                if Instant::now() > deadline {
                    return Err(AccountError::Unavailable);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Publishes a command of a user, for whom this service vouches.
    async fn publish_for(&self, command: &Command) -> Result<(), AccountError> {
        let courier = Courier::new(self.links.clone(), self.shards);
        match courier.publish(command).await?.wait().await? {
            Published::Confirmed => Ok(()),
            Published::Refused | Published::Unroutable => Err(AccountError::Unavailable),
        }
    }

    async fn erase_texts(&self, user: &UserId) -> Result<(), AccountError> {
        for conversation in self.store.conversations_of(user).await? {
            let mut after = Seq::NONE;
            loop {
                let range = HistoryRange::After(after);
                let page = self.store.history(&conversation, range, ERASE_PAGE).await?;
                let Some(last) = page.last() else { break };
                after = last.seq;
                let own = page.iter().filter(|message| message.from == *user);
                let seqs: Vec<_> = own.map(|message| message.seq).collect();
                if !seqs.is_empty() {
                    self.store
                        .erase(&conversation, seqs, Erasure::Account)
                        .await?;
                }
            }
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), AccountError> {
    if name.trim().is_empty() || name.chars().count() > NAME_CHARACTERS_MAX {
        return Err(AccountError::BadName);
    }
    Ok(())
}
