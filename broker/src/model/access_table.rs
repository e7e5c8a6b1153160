//! Everybody and all rights, as one value.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::access::{HashAlgorithm, LoginRequest, PasswordHash, Permission, TopicPermission, User};
use super::entity::{Entity, EntityChange, EntityKey};
use super::name::{ExchangeName, UserName, VirtualHostName};

/// What one user may do in one virtual host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRow {
    /// What by name; without it the user cannot come in.
    pub permission: Option<Permission>,
    /// What by key, on some topic exchanges.
    pub topics: BTreeMap<ExchangeName, TopicPermission>,
}

impl AccessRow {
    fn is_empty(&self) -> bool {
        self.permission.is_none() && self.topics.is_empty()
    }
}

/// All users and rights. Cloning it copies no user and no right.
#[derive(Clone, Debug, Default)]
pub struct AccessTable {
    users: BTreeMap<UserName, Arc<User>>,
    /// How many users' passwords are hashed with each algorithm.
    algorithms: BTreeMap<HashAlgorithm, usize>,
    rows: BTreeMap<VirtualHostName, BTreeMap<UserName, Arc<AccessRow>>>,
}

impl AccessTable {
    /// Whether nobody is known and nobody may do anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.rows.is_empty()
    }

    /// The user of that name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// What a user may do in a virtual host.
    #[must_use]
    pub fn row(&self, host: &str, user: &str) -> Option<&Arc<AccessRow>> {
        self.rows.get(host)?.get(user)
    }

    /// All rights, by virtual host and user.
    pub fn rows(&self) -> impl Iterator<Item = (&VirtualHostName, &UserName, &Arc<AccessRow>)> {
        self.rows
            .iter()
            .flat_map(|(host, rows)| rows.iter().map(move |(user, row)| (host, user, row)))
    }

    /// Takes a change over; changes of anything else do nothing here.
    pub fn apply(&mut self, change: &EntityChange) {
        match change {
            EntityChange::Put(entity) => self.put(entity),
            EntityChange::Remove(key) => self.remove(key),
        }
    }

    /// Takes an entity over.
    pub fn put(&mut self, entity: &Entity) {
        match entity {
            Entity::User { user } => {
                *self
                    .algorithms
                    .entry(user.password.algorithm())
                    .or_default() += 1;
                let before = self.users.insert(user.name.clone(), Arc::new(user.clone()));
                self.forget_algorithm(before);
            }
            Entity::Permission {
                virtual_host,
                user,
                permission,
            } => self.change_row(virtual_host, user, |row| {
                row.permission = Some(permission.clone());
            }),
            Entity::TopicPermission {
                virtual_host,
                user,
                exchange,
                permission,
            } => self.change_row(virtual_host, user, |row| {
                row.topics.insert(exchange.clone(), permission.clone());
            }),
            Entity::VirtualHost { .. }
            | Entity::Exchange { .. }
            | Entity::Queue { .. }
            | Entity::Delay { .. }
            | Entity::Binding { .. }
            | Entity::Policy { .. }
            | Entity::Parameter { .. }
            | Entity::GlobalParameter { .. } => {}
        }
    }

    fn remove(&mut self, key: &EntityKey) {
        match key {
            EntityKey::User { name } => {
                let before = self.users.remove(name);
                self.forget_algorithm(before);
            }
            EntityKey::Permission { virtual_host, user } => {
                self.change_row(virtual_host, user, |row| row.permission = None);
            }
            EntityKey::TopicPermission {
                virtual_host,
                user,
                exchange,
            } => self.change_row(virtual_host, user, |row| {
                row.topics.remove(exchange.as_str());
            }),
            EntityKey::VirtualHost { .. }
            | EntityKey::Exchange { .. }
            | EntityKey::Queue { .. }
            | EntityKey::Binding { .. }
            | EntityKey::Policy { .. }
            | EntityKey::Parameter { .. }
            | EntityKey::GlobalParameter { .. } => {}
        }
    }

    fn forget_algorithm(&mut self, before: Option<Arc<User>>) {
        let Some(algorithm) = before.map(|user| user.password.algorithm()) else {
            return;
        };
        if let Some(count) = self.algorithms.get_mut(&algorithm) {
            *count -= 1;
            if *count == 0 {
                self.algorithms.remove(&algorithm);
            }
        }
    }

    fn change_row(
        &mut self,
        host: &VirtualHostName,
        user: &UserName,
        change: impl FnOnce(&mut AccessRow),
    ) {
        let rows = self.rows.entry(host.clone()).or_default();
        let row = rows.entry(user.clone()).or_default();
        change(Arc::make_mut(row));
        if row.is_empty() {
            rows.remove(user);
        }
        if rows.is_empty() {
            self.rows.remove(host);
        }
    }

    /// What goes when a user goes.
    #[must_use]
    pub fn user_removal(&self, name: &UserName) -> Vec<EntityChange> {
        let rows = self.rows().filter(|(_, user, _)| *user == name);
        let mut removal: Vec<EntityChange> = rows.flat_map(row_removal).collect();
        removal.push(EntityChange::Remove(EntityKey::User { name: name.clone() }));
        removal
    }

    /// The rights that go when a virtual host goes.
    #[must_use]
    pub fn host_removal(&self, host: &VirtualHostName) -> Vec<EntityChange> {
        let rows = self.rows().filter(|(name, ..)| *name == host);
        rows.flat_map(row_removal).collect()
    }

    /// Who may be behind a login, and all the work that a check takes, whoever it is. `usual` is what
    /// new passwords are hashed with.
    #[must_use]
    pub fn candidate(&self, request: LoginRequest, usual: HashAlgorithm) -> Candidate {
        let user = self.user(&request.user).cloned();
        let own = user.as_ref().map(|user| user.password.algorithm());
        let mut others: Vec<HashAlgorithm> = self.algorithms.keys().copied().collect();
        if !others.contains(&usual) {
            others.push(usual);
        }
        others.retain(|algorithm| Some(*algorithm) != own);
        Candidate {
            user,
            decoys: others.into_iter().map(PasswordHash::decoy).collect(),
            request,
        }
    }
}

fn row_removal(
    (host, user, row): (&VirtualHostName, &UserName, &Arc<AccessRow>),
) -> Vec<EntityChange> {
    let topics = row
        .topics
        .keys()
        .map(|exchange| EntityKey::TopicPermission {
            virtual_host: host.clone(),
            user: user.clone(),
            exchange: exchange.clone(),
        });
    let permission = row.permission.iter().map(|_| EntityKey::Permission {
        virtual_host: host.clone(),
        user: user.clone(),
    });
    topics.chain(permission).map(EntityChange::Remove).collect()
}

/// A login that is to be checked, away from all locks and tables.
#[derive(Debug)]
pub struct Candidate {
    user: Option<Arc<User>>,
    /// One hash for each algorithm that is used and not the user's own.
    decoys: Vec<PasswordHash>,
    request: LoginRequest,
}

impl Candidate {
    /// The user, if the password is right (spec 1.3.7, 1.3.8).
    ///
    /// Every algorithm in use is worked through exactly once, so that it takes as long for an unknown
    /// name as for a wrong password. Slow: not for an asynchronous worker.
    #[must_use]
    pub fn verified(self) -> Option<Arc<User>> {
        let password = &self.request.password;
        for decoy in &self.decoys {
            std::hint::black_box(decoy.accepts(password));
        }
        let own = self.user.as_ref();
        let is_right = own.is_some_and(|user| user.password.accepts(password));
        (is_right & !password.is_empty())
            .then_some(self.user)
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Secret, Tags};

    fn user(name: &str, password: &[u8], algorithm: HashAlgorithm) -> Entity {
        let user = User {
            name: UserName::from(name),
            password: PasswordHash::new(algorithm, [7; 16], &Secret::new(password)),
            tags: Tags::default(),
            limits: Default::default(),
        };
        Entity::User { user }
    }

    fn permission(host: &str, user: &str) -> Entity {
        Entity::Permission {
            virtual_host: VirtualHostName::from(host),
            user: UserName::from(user),
            permission: Permission::everything(),
        }
    }

    fn topic(host: &str, user: &str) -> Entity {
        Entity::TopicPermission {
            virtual_host: VirtualHostName::from(host),
            user: UserName::from(user),
            exchange: ExchangeName::from("t"),
            permission: TopicPermission::default(),
        }
    }

    fn logs_in(table: &AccessTable, name: &str, password: &[u8]) -> bool {
        let request = LoginRequest {
            user: name.to_owned(),
            password: Secret::new(password),
        };
        let candidate = table.candidate(request, HashAlgorithm::Sha512);
        // Whoever it is, each algorithm is worked through once.
        let own = candidate.user.iter().map(|user| user.password.algorithm());
        let decoys = candidate.decoys.iter().map(PasswordHash::algorithm);
        let mut worked: Vec<HashAlgorithm> = own.chain(decoys).collect();
        worked.sort();
        let all = [
            HashAlgorithm::Sha256,
            HashAlgorithm::Sha512,
            HashAlgorithm::Md5,
        ];
        assert_eq!(worked, all);
        candidate.verified().is_some()
    }

    #[test]
    fn only_the_right_name_with_the_right_password_is_let_in() {
        let mut table = AccessTable::default();
        table.put(&user("guest", b"guest", HashAlgorithm::Sha256));
        table.put(&user("old", b"old", HashAlgorithm::Md5));
        table.put(&user("open", b"", HashAlgorithm::Sha256));
        assert!(logs_in(&table, "guest", b"guest") && logs_in(&table, "old", b"old"));
        for (name, password) in [("guest", "guess"), ("guests", "guest"), ("open", "")] {
            assert!(!logs_in(&table, name, password.as_bytes()), "{name}");
        }
        assert!(!logs_in(&table, "nobody", b""));
    }

    #[test]
    fn a_user_takes_its_rights_along_and_so_does_a_virtual_host() {
        let mut table = AccessTable::default();
        table.put(&user("u", b"u", HashAlgorithm::Sha256));
        table.put(&user("v", b"v", HashAlgorithm::Sha256));
        for entity in [
            permission("/", "u"),
            permission("h", "u"),
            topic("h", "u"),
            permission("h", "v"),
        ] {
            table.put(&entity);
        }
        let mut without_user = table.clone();
        for change in table.user_removal(&UserName::from("u")) {
            without_user.apply(&change);
        }
        assert!(without_user.user("u").is_none() && without_user.row("h", "u").is_none());
        assert_eq!(without_user.rows().count(), 1);
        for change in table.host_removal(&VirtualHostName::from("h")) {
            table.apply(&change);
        }
        assert_eq!(table.rows().count(), 1);
        assert!(table.row("/", "u").is_some());
    }
}
