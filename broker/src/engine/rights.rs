//! What one user may do in one virtual host, compiled (spec 8.1, 8.2).

use std::sync::Arc;

use ahash::AHashMap;

use crate::model::{
    AccessRow, AmqpError, ExchangeName, Permission, Resource, Tags, TopicRules, TopicVariables,
    User, UserName, Verb, VerbRules, VirtualHostName,
};

/// The answers to "may this user do that with this here?".
#[derive(Debug)]
pub(crate) struct Rights {
    name: UserName,
    host: VirtualHostName,
    /// `None` once the user is gone.
    user: Option<Arc<User>>,
    row: Option<Arc<AccessRow>>,
    rules: Option<VerbRules>,
    topics: AHashMap<ExchangeName, TopicRules>,
}

impl Rights {
    pub(super) fn new(
        name: &UserName,
        host: &VirtualHostName,
        user: Option<&Arc<User>>,
        row: Option<&Arc<AccessRow>>,
    ) -> Self {
        // Who is gone has no rights, whatever rows there are.
        let row = row.filter(|_| user.is_some());
        let permission = row.and_then(|row| row.permission.as_ref());
        let variables = TopicVariables {
            username: name.as_str(),
            virtual_host: host.as_str(),
        };
        let topics = row.map(|row| row.topics.iter()).into_iter().flatten();
        Self {
            name: name.clone(),
            host: host.clone(),
            rules: permission.map(|permission| permission.rules()),
            topics: topics
                .map(|(exchange, permission)| (exchange.clone(), permission.rules(variables)))
                .collect(),
            user: user.cloned(),
            row: row.cloned(),
        }
    }

    /// All rights, for what the broker does of its own accord.
    pub(crate) fn of_the_broker(host: &VirtualHostName) -> Self {
        Self {
            name: UserName::from("the broker"),
            host: host.clone(),
            user: None,
            row: None,
            rules: Some(Permission::everything().rules()),
            topics: AHashMap::default(),
        }
    }

    /// Whether the same user and the same row would make the same rights.
    pub(super) fn is_made_of(
        &self,
        user: Option<&Arc<User>>,
        row: Option<&Arc<AccessRow>>,
    ) -> bool {
        let same_user = match (&self.user, user) {
            (Some(own), Some(user)) => Arc::ptr_eq(own, user),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let same_row = match (&self.row, row.filter(|_| user.is_some())) {
            (Some(own), Some(row)) => Arc::ptr_eq(own, row),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_user && same_row
    }

    /// The user's name.
    pub(crate) const fn name(&self) -> &UserName {
        &self.name
    }

    /// The virtual host.
    pub(crate) const fn host(&self) -> &VirtualHostName {
        &self.host
    }

    /// The user, unless it is gone.
    pub(crate) const fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// Whether the user may use the virtual host at all.
    pub(crate) const fn may_enter(&self) -> bool {
        self.rules.is_some()
    }

    /// Whether the user may publish in other users' names (spec 5.1.7).
    pub(crate) fn may_impersonate(&self) -> bool {
        let tags = self.user.as_ref().map(|user| &user.tags);
        tags.is_some_and(Tags::is_impersonator)
    }

    fn allow(&self, verb: Verb, resource: Resource<'_>) -> bool {
        let rules = self.rules.as_ref();
        rules.is_some_and(|rules| rules.allow(verb, resource.name()))
    }

    /// Whether the user may do `verb` with `resource`, or the 403 that says no (spec 8.1.1).
    pub(crate) fn check(&self, verb: Verb, resource: Resource<'_>) -> Result<(), AmqpError> {
        if self.allow(verb, resource) {
            return Ok(());
        }
        Err(AmqpError::access_refused(
            verb, resource, &self.host, &self.name,
        ))
    }

    /// Whether the user may do anything at all with `resource`, which is what it takes to look at it
    /// (spec 3.1.5).
    pub(crate) fn check_any(&self, resource: Resource<'_>) -> Result<(), AmqpError> {
        let any = [Verb::Configure, Verb::Write, Verb::Read];
        if any.into_iter().any(|verb| self.allow(verb, resource)) {
            return Ok(());
        }
        self.check(Verb::Configure, resource)
    }

    /// Whether the user may use `key` with a topic exchange (spec 8.2.1). Without a row for the
    /// exchange, every key.
    pub(crate) fn check_topic(
        &self,
        verb: Verb,
        exchange: &ExchangeName,
        key: &[u8],
    ) -> Result<(), AmqpError> {
        let rules = self.topics.get(exchange.as_str());
        if rules.is_none_or(|rules| rules.allow(verb, key)) {
            return Ok(());
        }
        let key = String::from_utf8_lossy(key);
        Err(AmqpError::topic_refused(
            verb, &key, exchange, &self.host, &self.name,
        ))
    }
}
