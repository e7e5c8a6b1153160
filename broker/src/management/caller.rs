//! Who asks, and what that lets them see and do (spec 8.3.1, 10.2).

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::{Management, Refusal};
use crate::engine::Rights;
use crate::model::{AccessTable, Tags, User, UserName, VirtualHostName};

/// A user who is logged in.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    user: Arc<User>,
    /// Users and rights as they were when the request came.
    table: Arc<AccessTable>,
}

impl Caller {
    /// The user who logged in.
    pub(super) const fn new(user: Arc<User>, table: Arc<AccessTable>) -> Self {
        Self { user, table }
    }

    /// The user's name.
    pub(super) fn name(&self) -> &UserName {
        &self.user.name
    }

    /// The tags, as they were given to the user.
    pub(super) fn tags(&self) -> &Tags {
        &self.user.tags
    }

    /// May use the API at all.
    pub(super) fn is_manager(&self) -> bool {
        self.tags().is_management()
    }

    /// May look at everything.
    pub(super) fn is_monitor(&self) -> bool {
        self.tags().is_monitor()
    }

    /// May set policies and parameters.
    pub(super) fn is_policy_maker(&self) -> bool {
        self.tags().is_policymaker()
    }

    /// May do everything.
    pub(super) fn is_administrator(&self) -> bool {
        self.tags().is_administrator()
    }

    /// Whether the user has rights in that virtual host.
    pub(super) fn may_enter(&self, host: &str) -> bool {
        let row = self.table.row(host, self.name().as_str());
        row.is_some_and(|row| row.permission.is_some())
    }

    /// Whether what is in that virtual host may be shown to the user.
    pub(super) fn sees(&self, host: &str) -> bool {
        self.is_administrator() || self.may_enter(host)
    }

    /// Whether how that virtual host does, and who consumes there, may be shown to the user.
    pub(super) fn watches(&self, host: &str) -> bool {
        self.is_monitor() || self.may_enter(host)
    }
}

impl Management {
    /// What the caller may do in a virtual host.
    pub(super) fn rights(&self, caller: &Caller, host: &VirtualHostName) -> Arc<Rights> {
        self.engine.access.rights(caller.name(), host)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        // Put there by `access::require`, through which every route leads.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(Refusal::unauthenticated)
    }
}
