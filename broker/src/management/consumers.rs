//! `/api/consumers`: who consumes from what (spec 10.2).

use std::sync::Arc;

use ahash::AHashMap;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::caller::Caller;
use super::channels::channel_name;
use super::connections::ends;
use super::list::View;
use super::request::Host;
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared, table};
use crate::engine::{Client, ConsumerFacts, Queue, VirtualHost};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .at("/api/consumers", Methods::new().get(Gate::Management, list))
        .at(
            "/api/consumers/{vhost}",
            Methods::new().get(Gate::Watched, list_of_host),
        )
}

async fn list(State(management): Shared, caller: Caller, view: View) -> Result<Response, Refusal> {
    management
        .blocking(move |management| {
            let hosts = management.hosts_watched_by(&caller);
            Ok(view.whole(&management.consumer_rows(&hosts), Value::clone))
        })
        .await?
}

async fn list_of_host(
    State(management): Shared,
    Host(host): Host,
    view: View,
) -> Result<Response, Refusal> {
    management
        .blocking(
            move |management| Ok(view.whole(&management.consumer_rows(&[host]), Value::clone)),
        )
        .await?
}

/// Connections by their numbers.
type Clients = AHashMap<u64, Arc<Client>>;

impl Management {
    fn clients_by_number(&self) -> Clients {
        let clients = self.engine.clients.all().into_iter();
        clients
            .map(|client| (client.facts.number, client))
            .collect()
    }

    fn consumer_rows(&self, hosts: &[Arc<VirtualHost>]) -> Vec<Value> {
        let clients = self.clients_by_number();
        let mut rows = Vec::new();
        for host in hosts {
            let mut queues = host.all_queues();
            queues.sort_by(|left, right| left.name().cmp(right.name()));
            for queue in queues {
                let consumers = sorted(queue.consumers()).into_iter();
                rows.extend(
                    consumers.map(|facts| self.consumer_row(host, &queue, &facts, &clients)),
                );
            }
        }
        rows
    }

    /// The consumers of one queue.
    pub(super) fn consumers_on(&self, host: &VirtualHost, queue: &Queue) -> Vec<Value> {
        let clients = self.clients_by_number();
        let consumers = sorted(queue.consumers()).into_iter();
        consumers
            .map(|facts| self.consumer_row(host, queue, &facts, &clients))
            .collect()
    }

    /// The consumers of one channel.
    pub(super) fn consumers_of(&self, client: &Arc<Client>, channel: u16) -> Vec<Value> {
        let number = client.facts.number;
        let clients = Clients::from([(number, Arc::clone(client))]);
        let Some(host) = self.engine.virtual_host(client.facts.virtual_host.as_str()) else {
            return Vec::new();
        };
        let mut rows = Vec::new();
        for queue in host.all_queues() {
            let mut consumers = queue.consumers();
            consumers
                .retain(|facts| facts.link.connection == number && facts.link.channel == channel);
            let consumers = sorted(consumers).into_iter();
            rows.extend(consumers.map(|facts| self.consumer_row(&host, &queue, &facts, &clients)));
        }
        rows
    }

    fn consumer_row(
        &self,
        host: &VirtualHost,
        queue: &Queue,
        facts: &ConsumerFacts,
        clients: &Clients,
    ) -> Value {
        let link = &facts.link;
        let client = clients.get(&link.connection);
        let connection = client.map(|client| client.title()).unwrap_or_default();
        let (peer_host, peer_port) = ends(client.map(|client| &**client));
        json!({
            "consumer_tag": link.tag.as_str(),
            "active": facts.activity.is_active(),
            "activity_status": facts.activity.as_str(),
            "ack_required": !link.no_ack,
            "prefetch_count": facts.prefetch,
            "exclusive": facts.exclusive,
            "arguments": table::to_json(link.arguments.fields()),
            // Consumers may take as long as they like; clients read a whole number.
            "consumer_timeout": i64::MAX,
            "queue": { "name": queue.name().as_str(), "vhost": host.name().as_str() },
            "channel_details": {
                "name": channel_name(&connection, link.channel),
                "number": link.channel,
                "connection_name": connection,
                "node": self.engine.settings().node_name,
                "peer_host": peer_host,
                "peer_port": peer_port,
                "user": client.map_or("", |client| client.facts.user.as_str()),
            },
        })
    }
}

fn sorted(mut consumers: Vec<ConsumerFacts>) -> Vec<ConsumerFacts> {
    consumers.sort_by_key(|facts| facts.link.key);
    consumers
}
