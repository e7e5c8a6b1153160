//! Making and deleting virtual hosts (spec 7.8.3).

use std::sync::Arc;

use super::Engine;
use super::administration::{Change, Changed};
use super::definitions::Changes;
use super::exchange::Destination;
use super::queue::CloseCondition;
use super::virtual_host::VirtualHost;
use crate::model::{
    Entity, EntityChange, EntityKey, Permission, UserName, VirtualHostMetadata, VirtualHostName,
};
use crate::store::Ticket;

/// Why a virtual host is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostRefusal {
    /// There are as many as there may be.
    #[error("virtual host limit of {0} is reached")]
    TooMany(usize),
}

/// Why a virtual host is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostDeletionRefusal {
    /// There is none of that name.
    #[error("there is no such virtual host")]
    Missing,
    /// An operator said that it may not be.
    #[error("the virtual host is protected from deletion")]
    Protected,
}

impl Engine {
    /// Makes a virtual host in which `creator` may do everything, or says something else of one that
    /// exists.
    pub(crate) fn put_virtual_host(
        &self,
        name: &VirtualHostName,
        mut metadata: VirtualHostMetadata,
        creator: Option<&UserName>,
    ) -> Result<Changed, HostRefusal> {
        let _administration = self.administration.lock();
        let existing = self.virtual_host(name.as_str());
        if let Some(host) = existing {
            // Protection has its own switch.
            metadata.protected_from_deletion = host.metadata().protected_from_deletion;
            let ticket = self.describe_virtual_host(&host, metadata);
            let change = Change::Updated;
            return Ok(Changed { change, ticket });
        }
        let max = self.settings.virtual_hosts_max;
        if max > 0 && self.virtual_hosts().len() >= max {
            return Err(HostRefusal::TooMany(max));
        }
        let host = Arc::new(VirtualHost::new(name.clone()));
        host.describe(metadata);
        let mut changes = vec![EntityChange::Put(host.entity())];
        changes.extend(creator.map(|user| {
            EntityChange::Put(Entity::Permission {
                virtual_host: name.clone(),
                user: user.clone(),
                permission: Permission::everything(),
            })
        }));
        // The record goes first: what is declared in the host must follow it in the log.
        let ticket = self.change_access(changes);
        self.insert_virtual_host(host);
        let change = Change::Created;
        Ok(Changed { change, ticket })
    }

    /// Says whether a virtual host may be deleted; `None` if there is no such host.
    pub(crate) fn protect_virtual_host(&self, name: &str, protected: bool) -> Option<Ticket> {
        let _administration = self.administration.lock();
        let host = self.virtual_host(name)?;
        let mut metadata = host.metadata();
        metadata.protected_from_deletion = Some(protected);
        Some(self.describe_virtual_host(&host, metadata))
    }

    fn describe_virtual_host(&self, host: &VirtualHost, metadata: VirtualHostMetadata) -> Ticket {
        host.describe(metadata);
        let mut changes = Changes::default();
        changes.put(host.entity());
        changes.submit(self)
    }

    /// Deletes a virtual host with everything in it, and closes its connections.
    pub(crate) fn delete_virtual_host(
        self: &Arc<Self>,
        name: &VirtualHostName,
    ) -> Result<Ticket, HostDeletionRefusal> {
        let _administration = self.administration.lock();
        let host = self
            .virtual_host(name.as_str())
            .ok_or(HostDeletionRefusal::Missing)?;
        if host.metadata().protected_from_deletion == Some(true) {
            return Err(HostDeletionRefusal::Protected);
        }
        self.forget_virtual_host(name);
        let rights = self.access.table().host_removal(name);
        self.access.apply(&rights);
        let reason = format!("vhost '{name}' is deleted");
        self.clients
            .close_where(|facts| facts.virtual_host == *name, &reason);
        let mut changes = Changes::default();
        host.demolish(self, &mut changes);
        changes.extend(&rights);
        changes.remove(EntityKey::VirtualHost { name: name.clone() });
        // One record for all of it: no crash leaves half a virtual host.
        Ok(changes.submit(self))
    }
}

impl VirtualHost {
    /// Removes everything that is in it; nothing can be made in it from now on.
    fn demolish(&self, engine: &Arc<Engine>, changes: &mut Changes) {
        let mut definitions = self.definitions.lock();
        definitions.bury();
        self.drop_policies(changes);
        self.drop_parameters(changes);
        for queue in self.all_queues() {
            // Without a condition nothing is refused; what is closed already is gone.
            let _ = queue.close(engine, CloseCondition::default());
            self.forget_queue(queue.name());
            if let Some(connection) = queue.owner() {
                definitions.disowned(connection, &queue);
            }
            let destination = Destination::Queue(Arc::clone(&queue));
            self.detach(&mut definitions, &destination, changes);
            if queue.is_durable() {
                changes.remove(EntityKey::Queue { id: queue.id().0 });
            }
            engine.counters.queues_deleted.add(1);
        }
        for exchange in self.all_exchanges() {
            if !Self::is_predeclared(exchange.definition.name.as_str()) {
                self.drop_exchange(&mut definitions, &exchange, changes);
            }
            let destination = Destination::Exchange(exchange);
            self.detach(&mut definitions, &destination, changes);
        }
    }
}
