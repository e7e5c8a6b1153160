//! Policies at run time: kept by each virtual host, applied to what is there and to what comes
//! (spec 7.7).
//!
//! A policy is changed under the host's `definitions` lock, like everything that is declared in it.
//! Applying the change to what is there takes one queue after another, with that lock released; a
//! lock of its own keeps a slower change from undoing a later one.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::Engine;
use super::definitions::Changes;
use super::exchange::Exchange;
use super::queue::Queue;
use super::virtual_host::VirtualHost;
use crate::model::policy::{
    Governed, PolicyDefinition, PolicyScope, PolicySet, Subject, alternate_exchange,
};
use crate::model::{Entity, EntityKey, QueueArguments, QueueName, QueueTerms};
use crate::store::Ticket;

/// The policies of a virtual host.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    set: RwLock<Arc<PolicySet>>,
    /// Held while a change is applied. Comes before a queue's lock, and never beside `definitions`.
    applying: Mutex<()>,
}

/// A policy that was set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicyPut {
    /// Whether there was one of that name.
    pub(crate) existed: bool,
    /// The answer must wait until this is durable.
    pub(crate) ticket: Ticket,
}

impl Policies {
    fn set(&self) -> Arc<PolicySet> {
        Arc::clone(&self.set.read())
    }

    fn change<T>(&self, change: impl FnOnce(&mut PolicySet) -> T) -> T {
        change(Arc::make_mut(&mut self.set.write()))
    }
}

impl VirtualHost {
    /// The policies of that kind, by name.
    pub(crate) fn policies(&self, scope: PolicyScope) -> Vec<Arc<PolicyDefinition>> {
        self.policies.set().all(scope).cloned().collect()
    }

    /// The policy of that name.
    pub(crate) fn policy(&self, scope: PolicyScope, name: &str) -> Option<Arc<PolicyDefinition>> {
        self.policies.set().find(scope, name)
    }

    /// Sets a policy and applies it. Takes the lock of every queue that it changes: not for an
    /// asynchronous worker.
    pub(crate) fn put_policy(
        &self,
        engine: &Arc<Engine>,
        scope: PolicyScope,
        policy: PolicyDefinition,
    ) -> PolicyPut {
        let put = {
            let _definitions = self.definitions.lock();
            let mut changes = Changes::default();
            changes.put(Entity::Policy {
                virtual_host: self.name().clone(),
                scope,
                policy: policy.clone(),
            });
            let ticket = changes.submit(engine);
            let existed = self.policies.change(|set| set.put(scope, policy));
            PolicyPut { existed, ticket }
        };
        self.apply_policies(engine);
        put
    }

    /// Removes a policy and undoes what it did; `None` if there is no such policy. Takes locks as
    /// [`put_policy`](Self::put_policy) does.
    pub(crate) fn remove_policy(
        &self,
        engine: &Arc<Engine>,
        scope: PolicyScope,
        name: &str,
    ) -> Option<Ticket> {
        let ticket = {
            let _definitions = self.definitions.lock();
            if !self.policies.change(|set| set.remove(scope, name)) {
                return None;
            }
            let mut changes = Changes::default();
            changes.remove(self.policy_key(scope, name));
            changes.submit(engine)
        };
        self.apply_policies(engine);
        Some(ticket)
    }

    /// Takes over a policy that is on disk already, without applying it.
    pub(super) fn restore_policy(&self, scope: PolicyScope, policy: PolicyDefinition) {
        self.policies.change(|set| set.put(scope, policy));
    }

    /// Removes all policies, with a host that goes.
    pub(super) fn drop_policies(&self, changes: &mut Changes) {
        for scope in [PolicyScope::User, PolicyScope::Operator] {
            for policy in self.policies(scope) {
                changes.remove(self.policy_key(scope, &policy.name));
            }
        }
        self.policies.change(|set| *set = PolicySet::default());
    }

    fn policy_key(&self, scope: PolicyScope, name: &str) -> EntityKey {
        EntityKey::Policy {
            virtual_host: self.name().clone(),
            scope,
            name: name.to_owned(),
        }
    }

    /// The policies that hold for a queue.
    pub(crate) fn governing_queue(&self, queue: &Queue) -> Governed {
        self.policies
            .set()
            .governing(subject(queue.name(), queue.arguments()))
    }

    /// The policy that holds for an exchange.
    pub(crate) fn governing_exchange(&self, exchange: &Exchange) -> Governed {
        let name = exchange.definition.name.as_str();
        self.policies.set().governing(Subject::Exchange { name })
    }

    /// The terms of a queue that is about to be, or is.
    pub(super) fn terms(&self, name: &QueueName, arguments: &QueueArguments) -> QueueTerms {
        let set = self.policies.set();
        if set.is_empty() {
            return QueueTerms::of(arguments);
        }
        QueueTerms::under(
            arguments,
            &set.governing(subject(name, arguments)).settings(),
        )
    }

    /// Tells an exchange what its policy says. The caller announces the change of routes.
    pub(super) fn govern_exchange(&self, exchange: &Exchange) -> bool {
        // The default exchange can have no alternate (spec 3.4.3).
        if exchange.definition.name.is_default() {
            return false;
        }
        let settings = self.governing_exchange(exchange).settings();
        exchange.set_policy_alternate(alternate_exchange(&settings))
    }

    /// Applies the policies to everything that is there.
    pub(super) fn apply_policies(&self, engine: &Arc<Engine>) {
        let _applying = self.policies.applying.lock();
        let mut changed = false;
        for exchange in self.all_exchanges() {
            changed |= self.govern_exchange(&exchange);
        }
        if changed {
            self.changed();
        }
        for queue in self.all_queues() {
            let terms = self.terms(queue.name(), queue.arguments());
            if *queue.terms() != terms {
                queue.set_terms(engine, terms);
            }
        }
    }
}

fn subject<'a>(name: &'a QueueName, arguments: &QueueArguments) -> Subject<'a> {
    Subject::Queue {
        name: name.as_str(),
        queue_type: arguments.queue_type(),
    }
}
