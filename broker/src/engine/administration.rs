//! Changing users, rights and limits (spec 7.8.2, 8).
//!
//! A change is handed to the store and then applied, under the administration lock; the answer waits
//! for the returned ticket. Connections notice at their next method, by the table's generation.

use super::Engine;
use super::definitions::Changes;
use crate::model::{
    Entity, EntityChange, EntityKey, ExchangeName, Permission, Secret, Tags, TopicPermission, User,
    UserLimits, UserName, VirtualHostLimits, VirtualHostMetadata, VirtualHostName,
};
use crate::store::Ticket;

/// The user and the virtual host that an empty broker starts with (spec 8.3.3).
#[derive(Debug)]
pub(crate) struct DefaultUser {
    /// The user's name.
    pub(crate) name: UserName,
    /// The user's password.
    pub(crate) password: Secret,
    /// The virtual host, where the user may do everything.
    pub(crate) virtual_host: VirtualHostName,
}

/// Whether something was made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is new.
    Created,
    /// It was there.
    Updated,
}

/// A change, and what its answer waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changed {
    /// What became of it.
    pub(crate) change: Change,
    /// The answer must wait until this is durable.
    pub(crate) ticket: Ticket,
}

/// Why a right is not given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrantError {
    /// The virtual host or the user does not exist.
    #[error("vhost_or_user_not_found")]
    NoHostOrUser,
    /// The exchange does not exist.
    #[error("no_such_exchange")]
    NoExchange(ExchangeName),
}

impl Engine {
    /// Makes the default user and virtual host, if there never was any user or virtual host. Hashes:
    /// not for an asynchronous worker.
    pub(crate) fn create_defaults(&self, default: DefaultUser) -> Ticket {
        const DESCRIPTION: &str = "Default virtual host";
        if !self.is_new {
            return Ticket::default();
        }
        let user = User {
            password: self.access.hash(&default.password),
            tags: Tags::parse("administrator").unwrap_or_default(),
            limits: UserLimits::default(),
            name: default.name,
        };
        let _administration = self.administration.lock();
        let host = self.ensure_virtual_host(&default.virtual_host);
        host.describe(VirtualHostMetadata {
            description: DESCRIPTION.to_owned(),
            ..VirtualHostMetadata::default()
        });
        // Older versions knew one virtual host and did not write it down.
        let hosts = self.virtual_hosts().into_iter();
        let mut changes: Vec<EntityChange> =
            hosts.map(|host| EntityChange::Put(host.entity())).collect();
        changes.push(EntityChange::Put(Entity::Permission {
            virtual_host: default.virtual_host,
            user: user.name.clone(),
            permission: Permission::everything(),
        }));
        changes.push(EntityChange::Put(Entity::User { user }));
        self.change_access(changes)
    }

    /// Makes a user, or replaces password and tags of one that exists.
    pub(crate) fn put_user(&self, mut user: User) -> Changed {
        let _administration = self.administration.lock();
        let table = self.access.table();
        let existing = table.user(user.name.as_str());
        if let Some(existing) = existing {
            user.limits = existing.limits;
        }
        let change = existing.map_or(Change::Created, |_| Change::Updated);
        let ticket = self.change_access(vec![EntityChange::Put(Entity::User { user })]);
        Changed { change, ticket }
    }

    /// Deletes a user with all its rights and closes its connections; `None` if there is none.
    pub(crate) fn delete_user(&self, name: &UserName) -> Option<Ticket> {
        let _administration = self.administration.lock();
        let table = self.access.table();
        table.user(name.as_str())?;
        let ticket = self.change_access(table.user_removal(name));
        self.clients.close_where(
            |facts| facts.user == *name,
            &format!("user '{name}' is deleted"),
        );
        Some(ticket)
    }

    /// Changes what a user is held to; `None` if there is no such user.
    pub(crate) fn limit_user(
        &self,
        name: &str,
        change: impl FnOnce(&mut UserLimits),
    ) -> Option<Ticket> {
        let _administration = self.administration.lock();
        let mut user = User::clone(self.access.table().user(name)?);
        change(&mut user.limits);
        Some(self.change_access(vec![EntityChange::Put(Entity::User { user })]))
    }

    /// Changes what a virtual host is held to; `None` if there is no such host.
    pub(crate) fn limit_virtual_host(
        &self,
        name: &str,
        change: impl FnOnce(&mut VirtualHostLimits),
    ) -> Option<Ticket> {
        let _administration = self.administration.lock();
        let host = self.virtual_host(name)?;
        let mut limits = host.limits();
        change(&mut limits);
        host.limit(limits);
        let mut changes = Changes::default();
        changes.put(host.entity());
        Some(changes.submit(self))
    }

    /// Gives a user rights in a virtual host.
    pub(crate) fn set_permission(
        &self,
        host: &VirtualHostName,
        user: &UserName,
        permission: Permission,
    ) -> Result<Changed, GrantError> {
        let _administration = self.administration.lock();
        self.check_grantable(host, user)?;
        let table = self.access.table();
        let row = table.row(host.as_str(), user.as_str());
        let existing = row.and_then(|row| row.permission.as_ref());
        let change = existing.map_or(Change::Created, |_| Change::Updated);
        let entity = Entity::Permission {
            virtual_host: host.clone(),
            user: user.clone(),
            permission,
        };
        let ticket = self.change_access(vec![EntityChange::Put(entity)]);
        Ok(Changed { change, ticket })
    }

    /// Takes a user's rights in a virtual host away; `None` if it had none.
    pub(crate) fn clear_permission(
        &self,
        host: &VirtualHostName,
        user: &UserName,
    ) -> Option<Ticket> {
        let _administration = self.administration.lock();
        let table = self.access.table();
        table
            .row(host.as_str(), user.as_str())?
            .permission
            .as_ref()?;
        let key = EntityKey::Permission {
            virtual_host: host.clone(),
            user: user.clone(),
        };
        Some(self.change_access(vec![EntityChange::Remove(key)]))
    }

    /// Says which keys a user may use with a topic exchange.
    pub(crate) fn set_topic_permission(
        &self,
        host: &VirtualHostName,
        user: &UserName,
        exchange: &ExchangeName,
        permission: TopicPermission,
    ) -> Result<Changed, GrantError> {
        let _administration = self.administration.lock();
        self.check_grantable(host, user)?;
        let lives = self
            .virtual_host(host.as_str())
            .is_some_and(|host| host.exchange(exchange.as_str()).is_some());
        if !lives {
            return Err(GrantError::NoExchange(exchange.clone()));
        }
        let table = self.access.table();
        let row = table.row(host.as_str(), user.as_str());
        let existing = row.and_then(|row| row.topics.get(exchange.as_str()));
        let change = existing.map_or(Change::Created, |_| Change::Updated);
        let entity = Entity::TopicPermission {
            virtual_host: host.clone(),
            user: user.clone(),
            exchange: exchange.clone(),
            permission,
        };
        let ticket = self.change_access(vec![EntityChange::Put(entity)]);
        Ok(Changed { change, ticket })
    }

    /// Lifts what was said of a user's keys, for one exchange or for all; `None` if nothing was.
    pub(crate) fn clear_topic_permissions(
        &self,
        host: &VirtualHostName,
        user: &UserName,
        exchange: Option<&ExchangeName>,
    ) -> Option<Ticket> {
        let _administration = self.administration.lock();
        let table = self.access.table();
        let row = table.row(host.as_str(), user.as_str())?;
        let lifted = row
            .topics
            .keys()
            .filter(|name| exchange.is_none_or(|exchange| exchange == *name));
        let changes: Vec<EntityChange> = lifted
            .map(|exchange| {
                EntityChange::Remove(EntityKey::TopicPermission {
                    virtual_host: host.clone(),
                    user: user.clone(),
                    exchange: exchange.clone(),
                })
            })
            .collect();
        (!changes.is_empty()).then(|| self.change_access(changes))
    }

    /// Whether there is such a virtual host and such a user, between whom there may be rights.
    pub(crate) fn check_grantable(
        &self,
        host: &VirtualHostName,
        user: &UserName,
    ) -> Result<(), GrantError> {
        let known = self.access.table().user(user.as_str()).is_some()
            && self.virtual_host(host.as_str()).is_some();
        known.then_some(()).ok_or(GrantError::NoHostOrUser)
    }

    /// Records changes of users and rights, and lets everybody see them.
    pub(super) fn change_access(&self, changes: Vec<EntityChange>) -> Ticket {
        let mut recorded = Changes::default();
        recorded.extend(&changes);
        let ticket = recorded.submit(self);
        self.access.apply(&changes);
        ticket
    }
}
