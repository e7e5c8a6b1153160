//! The policies of a virtual host, and which of them hold for an object (spec 7.7.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::bytes::Regex;

use super::definition::PolicyDefinition;
use super::merge::{Settings, merged};
use super::scope::{AppliesTo, PolicyScope};
use super::setting::Setting;
use crate::model::QueueType;

/// What a policy may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A queue.
    Queue {
        /// Its name.
        name: &'a str,
        /// Its type.
        queue_type: QueueType,
    },
    /// An exchange.
    Exchange {
        /// Its name.
        name: &'a str,
    },
}

/// What holds for an object.
#[derive(Clone, Debug, Default)]
pub struct Governed {
    /// The policy.
    pub policy: Option<Arc<PolicyDefinition>>,
    /// The operator policy.
    pub operator_policy: Option<Arc<PolicyDefinition>>,
}

impl Governed {
    /// What both say together.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let of = |policy: &Option<Arc<PolicyDefinition>>| {
            policy
                .as_ref()
                .map_or_else(Settings::new, |policy| policy.definition.clone())
        };
        merged(of(&self.policy), of(&self.operator_policy))
    }

    /// Whether nothing holds.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.policy.is_none() && self.operator_policy.is_none()
    }
}

#[derive(Clone, Debug)]
struct Compiled {
    definition: Arc<PolicyDefinition>,
    /// `None` matches nothing.
    pattern: Option<Regex>,
}

/// The policies of one virtual host.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    policies: BTreeMap<(PolicyScope, String), Compiled>,
}

impl PolicySet {
    /// Adds a policy, or puts it in the place of the one of that name; says whether there was one.
    pub fn put(&mut self, scope: PolicyScope, definition: PolicyDefinition) -> bool {
        let compiled = Compiled {
            pattern: definition.compile(),
            definition: Arc::new(definition),
        };
        let key = (scope, compiled.definition.name.clone());
        self.policies.insert(key, compiled).is_some()
    }

    /// Removes a policy; says whether there was one.
    pub fn remove(&mut self, scope: PolicyScope, name: &str) -> bool {
        self.policies.remove(&(scope, name.to_owned())).is_some()
    }

    /// The policy of that name.
    #[must_use]
    pub fn find(&self, scope: PolicyScope, name: &str) -> Option<Arc<PolicyDefinition>> {
        let found = self.policies.get(&(scope, name.to_owned()))?;
        Some(Arc::clone(&found.definition))
    }

    /// All policies of that kind, by name.
    pub fn all(&self, scope: PolicyScope) -> impl Iterator<Item = &Arc<PolicyDefinition>> {
        self.policies
            .iter()
            .filter(move |((of, _), _)| *of == scope)
            .map(|(_, compiled)| &compiled.definition)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// What holds for an object. Operator policies are about queues alone.
    #[must_use]
    pub fn governing(&self, subject: Subject<'_>) -> Governed {
        Governed {
            policy: self.highest(PolicyScope::User, subject),
            operator_policy: match subject {
                Subject::Queue { .. } => self.highest(PolicyScope::Operator, subject),
                Subject::Exchange { .. } => None,
            },
        }
    }

    /// Of equal priorities, the first by name holds.
    fn highest(&self, scope: PolicyScope, subject: Subject<'_>) -> Option<Arc<PolicyDefinition>> {
        let mut highest: Option<(f64, &Compiled)> = None;
        let matching = self
            .policies
            .iter()
            .filter(|((of, _), compiled)| *of == scope && compiled.governs(subject));
        for (_, compiled) in matching {
            let priority = compiled.definition.priority.as_f64().unwrap_or(0.0);
            if highest.is_none_or(|(so_far, _)| priority > so_far) {
                highest = Some((priority, compiled));
            }
        }
        highest.map(|(_, compiled)| Arc::clone(&compiled.definition))
    }
}

impl Compiled {
    /// A policy with a setting that means nothing to a queue's type does not hold for it at all
    /// (spec 7.7.3).
    fn governs(&self, subject: Subject<'_>) -> bool {
        let (name, is_meant) = match subject {
            Subject::Queue { name, queue_type } => (name, self.is_about(queue_type)),
            Subject::Exchange { name } => {
                let applies_to = self.definition.applies_to;
                let is_meant = matches!(applies_to, AppliesTo::All | AppliesTo::Exchanges);
                (name, is_meant)
            }
        };
        is_meant
            && self
                .pattern
                .as_ref()
                .is_some_and(|pattern| pattern.is_match(name.as_bytes()))
    }

    fn is_about(&self, queue_type: QueueType) -> bool {
        let is_meant = match self.definition.applies_to {
            AppliesTo::All | AppliesTo::Queues => true,
            AppliesTo::ClassicQueues => queue_type == QueueType::Classic,
            AppliesTo::QuorumQueues => queue_type == QueueType::Quorum,
            AppliesTo::Streams | AppliesTo::Exchanges => false,
        };
        let mut settings = self.definition.definition.keys();
        is_meant
            && settings.all(|name| {
                Setting::find(name, PolicyScope::User)
                    .is_none_or(|setting| setting.concerns(queue_type))
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CLASSIC: Subject<'_> = Subject::Queue {
        name: "orders.new",
        queue_type: QueueType::Classic,
    };
    const QUORUM: Subject<'_> = Subject::Queue {
        name: "orders.new",
        queue_type: QueueType::Quorum,
    };
    const EXCHANGE: Subject<'_> = Subject::Exchange { name: "orders.new" };

    fn set(policies: &[(&str, Value)]) -> PolicySet {
        let mut set = PolicySet::default();
        for (name, body) in policies {
            let mut body = body.as_object().unwrap().clone();
            body.entry("pattern").or_insert(json!("^orders"));
            body.entry("definition")
                .or_insert(json!({ "max-length": 1 }));
            let policy = PolicyDefinition::parse(PolicyScope::User, name, &body).unwrap();
            set.put(PolicyScope::User, policy);
        }
        set
    }

    fn check(policies: &[(&str, Value)], subject: Subject<'_>, expected: Option<&str>) {
        let governed = set(policies).governing(subject);
        let name = governed.policy.map(|policy| policy.name.clone());
        assert_eq!(name.as_deref(), expected, "{policies:?}");
    }

    #[test]
    fn the_highest_priority_holds_and_the_first_name_of_equals() {
        let equal = [("b", json!({})), ("a", json!({}))];
        check(&equal, CLASSIC, Some("a"));
        let higher = [("a", json!({})), ("b", json!({ "priority": 1 }))];
        check(&higher, CLASSIC, Some("b"));
        let fraction = [
            ("a", json!({ "priority": 1 })),
            ("b", json!({ "priority": 1.5 })),
        ];
        check(&fraction, CLASSIC, Some("b"));
    }

    #[test]
    fn patterns_are_searched_for_and_not_anchored() {
        check(&[("p", json!({ "pattern": "ers" }))], CLASSIC, Some("p"));
        check(&[("p", json!({ "pattern": "" }))], CLASSIC, Some("p"));
        check(&[("p", json!({ "pattern": "^new" }))], CLASSIC, None);
    }

    #[test]
    fn policies_are_about_what_they_say() {
        for (applies_to, classic, quorum, exchange) in [
            ("all", true, true, true),
            ("queues", true, true, false),
            ("classic_queues", true, false, false),
            ("quorum_queues", false, true, false),
            ("streams", false, false, false),
            ("exchanges", false, false, true),
        ] {
            let policies = [("p", json!({ "apply-to": applies_to }))];
            for (subject, applies) in [(CLASSIC, classic), (QUORUM, quorum), (EXCHANGE, exchange)] {
                check(&policies, subject, applies.then_some("p"));
            }
        }
    }

    #[test]
    fn a_setting_that_a_type_does_not_have_keeps_the_whole_policy_away() {
        let limit =
            json!({ "definition": { "delivery-limit": 3, "max-length": 1 }, "priority": 5 });
        let policies = [("a", limit), ("b", json!({}))];
        check(&policies, CLASSIC, Some("b"));
        check(&policies, QUORUM, Some("a"));
        let lazy = [("a", json!({ "definition": { "queue-mode": "lazy" } }))];
        check(&lazy, CLASSIC, Some("a"));
        check(&lazy, QUORUM, None);
    }
}
