//! Who is who, and who may do what: one table that is swapped whole (spec 8).
//!
//! A session asks for its [`Rights`] again when the table's generation has changed. They are compiled
//! once for each user and virtual host that somebody uses, and go with the last who does.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use ahash::AHashMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use super::Engine;
use super::counters::Counter;
use super::rights::Rights;
use super::settings::AccessSettings;
use crate::model::{
    AccessTable, Candidate, EntityChange, LoginRequest, PasswordHash, Secret, User, UserName,
    VirtualHostName,
};

/// Password checks under way; more would take the threads from other blocking work.
const LOGINS_AT_ONCE: usize = 4;

/// Why somebody is not let in. Peers of AMQP are never told which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoginRefusal {
    /// There is no such user, or the password is another.
    #[error("user name or password are wrong")]
    Credentials,
    /// They are right, but the user may log in from this machine only.
    #[error("the user may only log in from the broker's own machine")]
    NotFromLoopback,
    /// The check itself failed.
    #[error("the login could not be checked")]
    Unchecked,
}

/// A new password has fewer bytes than it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("minimum required password length is {0}")]
pub(crate) struct PasswordTooShort(usize);

/// By which protocol somebody logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// AMQP.
    Amqp,
    /// The HTTP API.
    Http,
}

impl Entrance {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Amqp, Self::Http];

    /// RabbitMQ's name for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Amqp => "amqp091",
            Self::Http => "http",
        }
    }
}

/// How many logins ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logins {
    /// Let in.
    pub(crate) succeeded: u64,
    /// Not let in.
    pub(crate) failed: u64,
}

#[derive(Debug, Default)]
struct LoginCounters {
    succeeded: Counter,
    failed: Counter,
}

/// Users and rights.
#[derive(Debug)]
pub(crate) struct Access {
    counters: [LoginCounters; Entrance::ALL.len()],
    settings: AccessSettings,
    table: RwLock<Arc<AccessTable>>,
    /// Counts every change of the table.
    generation: AtomicU64,
    rights: Mutex<RightsInUse>,
    turns: Semaphore,
}

/// The rights that somebody uses, and those of who has just left.
#[derive(Debug, Default)]
struct RightsInUse {
    by_user: AHashMap<(VirtualHostName, UserName), Weak<Rights>>,
    /// How many there may be before those that nobody uses are thrown out.
    sweep_at: usize,
}

impl RightsInUse {
    fn insert(&mut self, key: (VirtualHostName, UserName), rights: &Arc<Rights>) {
        const SWEEP_AT_LEAST: usize = 64;
        self.by_user.insert(key, Arc::downgrade(rights));
        if self.by_user.len() > self.sweep_at {
            self.by_user.retain(|_, rights| rights.strong_count() > 0);
            self.sweep_at = (self.by_user.len() * 2).max(SWEEP_AT_LEAST);
        }
    }
}

impl Access {
    pub(super) fn new(settings: AccessSettings) -> Self {
        Self {
            counters: Default::default(),
            settings,
            table: RwLock::default(),
            generation: AtomicU64::new(1),
            rights: Mutex::default(),
            turns: Semaphore::new(LOGINS_AT_ONCE),
        }
    }

    /// All users and rights, as they are at this moment.
    pub(crate) fn table(&self) -> Arc<AccessTable> {
        Arc::clone(&self.table.read())
    }

    /// The number of the table's state; rights that were asked for in another may be others now.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Takes changes over, all at once.
    pub(super) fn apply(&self, changes: &[EntityChange]) {
        {
            let mut table = self.table.write();
            // Copies the maps if somebody looks at the table just now, and nothing otherwise.
            let table = Arc::make_mut(&mut table);
            for change in changes {
                table.apply(change);
            }
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// What a user may do in a virtual host, as of now.
    pub(crate) fn rights(&self, user: &UserName, host: &VirtualHostName) -> Arc<Rights> {
        let table = self.table();
        let (who, row) = (
            table.user(user.as_str()),
            table.row(host.as_str(), user.as_str()),
        );
        let key = (host.clone(), user.clone());
        let mut rights = self.rights.lock();
        let known = rights.by_user.get(&key).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.is_made_of(who, row)) {
            return known;
        }
        let fresh = Arc::new(Rights::new(user, host, who, row));
        rights.insert(key, &fresh);
        fresh
    }

    /// The logins of one kind so far.
    pub(crate) fn logins(&self, entrance: Entrance) -> Logins {
        let counters = &self.counters[entrance as usize];
        Logins {
            succeeded: counters.succeeded.value(),
            failed: counters.failed.value(),
        }
    }

    /// Refuses a password that is too short for a user to have.
    pub(crate) fn check_password(&self, password: &Secret) -> Result<(), PasswordTooShort> {
        let bytes_min = self.settings.password_bytes_min;
        if password.byte_count() < bytes_min {
            return Err(PasswordTooShort(bytes_min));
        }
        Ok(())
    }

    /// Hashes a password in the configured way. Slow: not for an asynchronous worker.
    pub(crate) fn hash(&self, password: &Secret) -> PasswordHash {
        PasswordHash::new(self.settings.hashing, super::random(), password)
    }

    fn is_loopback_only(&self, user: &User) -> bool {
        let names = &self.settings.loopback_users;
        names.iter().any(|name| name == user.name.as_str())
    }
}

/// Whether a peer is on this machine; one inside the process, which has no address, is. It is the
/// peer's own address that counts, never the listener's (spec 1.3.9).
fn is_local(peer: Option<SocketAddr>) -> bool {
    peer.is_none_or(|peer| peer.ip().to_canonical().is_loopback())
}

impl Engine {
    /// The user behind a login from `peer`; `None` is a peer inside the process.
    ///
    /// Takes as long for an unknown name as for a wrong password, and does the hashing where it holds
    /// nobody up (spec 1.3.7). The brake on guessing is the caller's: see `refusal_delay_ms`.
    pub(crate) async fn authenticate(
        &self,
        request: LoginRequest,
        peer: Option<SocketAddr>,
        entrance: Entrance,
    ) -> Result<Arc<User>, LoginRefusal> {
        let user = self.access.identify(request, peer).await;
        let counters = &self.access.counters[entrance as usize];
        match user {
            Ok(_) => counters.succeeded.add(1),
            Err(_) => counters.failed.add(1),
        }
        user
    }
}

impl Access {
    async fn identify(
        &self,
        request: LoginRequest,
        peer: Option<SocketAddr>,
    ) -> Result<Arc<User>, LoginRefusal> {
        let turn = self.turns.acquire().await;
        let _turn = turn.map_err(|_| LoginRefusal::Unchecked)?;
        let candidate = self.table().candidate(request, self.settings.hashing);
        let verified = tokio::task::spawn_blocking(move || Candidate::verified(candidate))
            .await
            .map_err(|_| LoginRefusal::Unchecked)?;
        let user = verified.ok_or(LoginRefusal::Credentials)?;
        if !is_local(peer) && self.is_loopback_only(&user) {
            return Err(LoginRefusal::NotFromLoopback);
        }
        Ok(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_local_by_its_own_address_however_that_is_written() {
        let local = |address: &str| is_local(Some(address.parse().expect("an address")));
        for address in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(local(address), "{address}");
        }
        for address in [
            "192.168.0.7:1",
            "10.0.0.1:1",
            "[fe80::1]:1",
            "[::ffff:10.0.0.1]:1",
            "0.0.0.0:1",
        ] {
            assert!(!local(address), "{address}");
        }
        assert!(is_local(None));
    }
}
