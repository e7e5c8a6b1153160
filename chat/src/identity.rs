//! Who a message really comes from.
//!
//! The broker checks the property `user_id` against the login of whoever publishes, but lets messages
//! without one pass, and does not check again what it dead-letters. So: no `user_id`, no author; dead
//! letters are believed in nothing; and a service's word for somebody else counts only if it is one of
//! ours.

use std::collections::BTreeSet;

use leveret_client::message::properties::BrokerUser;

/// The broker's users that services log in as.
#[derive(Clone, Debug)]
pub(crate) struct Services(BTreeSet<String>);

impl Services {
    pub(crate) fn new(users: impl IntoIterator<Item = String>) -> Self {
        Self(users.into_iter().collect())
    }

    /// The author of a message, as far as the broker or a service vouches for it.
    pub(crate) fn author(&self, claims: &Claims<'_>) -> Option<BrokerUser> {
        let user = claims.user_id?;
        if claims.was_dead_lettered {
            return None;
        }
        if self.0.contains(user) {
            return claims.sender.cloned();
        }
        BrokerUser::parse(user)
    }
}

/// What a delivery says of where it comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claims<'a> {
    pub(crate) user_id: Option<&'a str>,
    pub(crate) sender: Option<&'a BrokerUser>,
    pub(crate) was_dead_lettered: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_broker_and_services_are_believed() {
        let services = Services::new(["chat-service".to_owned()]);
        let ana = BrokerUser::parse("c.uana.dterm").unwrap();
        let author = |user_id, sender, was_dead_lettered| {
            services.author(&Claims {
                user_id,
                sender,
                was_dead_lettered,
            })
        };
        assert_eq!(author(Some("c.uana.dterm"), None, false), Some(ana.clone()));
        assert_eq!(
            author(Some("chat-service"), Some(&ana), false),
            Some(ana.clone())
        );
        // A client that says it speaks for another is taken for itself.
        let mallory = BrokerUser::parse("c.umallory.dterm");
        assert_eq!(author(Some("c.umallory.dterm"), Some(&ana), false), mallory);
        assert_eq!(author(None, Some(&ana), false), None);
        assert_eq!(author(Some("c.uana.dterm"), None, true), None);
        assert_eq!(author(Some("chat-service"), None, false), None);
        assert_eq!(author(Some("guest"), Some(&ana), false), None);
    }
}
