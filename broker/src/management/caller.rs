//! Who asks, and what that lets them see and do (spec 8.3.1, 10.2).

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::{Management, Refusal};
use crate::model::LoginRequest;

/// A user who is logged in.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The user's name.
    pub(super) name: Arc<str>,
    tags: Arc<[String]>,
}

impl Caller {
    /// The tags, as they were given to the user.
    pub(super) fn tags(&self) -> &[String] {
        &self.tags
    }

    fn has(&self, tags: &[&str]) -> bool {
        self.tags.iter().any(|tag| tags.contains(&tag.as_str()))
    }

    /// May use the API at all.
    pub(super) fn is_manager(&self) -> bool {
        self.has(&["management", "monitoring", "policymaker", "administrator"])
    }

    /// May look at everything.
    pub(super) fn is_monitor(&self) -> bool {
        self.has(&["monitoring", "administrator"])
    }

    /// May set policies and parameters.
    pub(super) fn is_policy_maker(&self) -> bool {
        self.has(&["policymaker", "administrator"])
    }

    /// May do everything.
    pub(super) fn is_administrator(&self) -> bool {
        self.has(&["administrator"])
    }

    /// Whether the user has rights in that virtual host.
    ///
    /// Every user that there is has all rights everywhere.
    #[allow(
        clippy::unused_self,
        reason = "the one user there is may do everything"
    )]
    pub(super) fn may_enter(&self, _host: &str) -> bool {
        true
    }

    /// Whether what is in that virtual host may be shown to the user.
    pub(super) fn sees(&self, host: &str) -> bool {
        self.is_monitor() || self.may_enter(host)
    }
}

impl Management {
    /// The user that the login belongs to. Hashes: not for an asynchronous worker.
    ///
    /// The default user, the only one there is, is an administrator.
    pub(super) fn identify(&self, login: &LoginRequest, from_loopback: bool) -> Option<Caller> {
        self.credentials
            .accept(login, from_loopback)
            .then(|| Caller {
                name: Arc::from(login.user.as_str()),
                tags: Arc::from(["administrator".to_owned()]),
            })
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
