//! `/api/queues`: queues to be listed, made, emptied and removed (spec 10.2).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::connections::{ends, no_erlang};
use super::history::{Ranges, Subject, insert};
use super::list::View;
use super::request::{Host, HostToChange, JsonBody, Query, Segments};
use super::routes::{Gate, Methods, Routes};
use super::time::timestamp;
use super::{Management, Refusal, Shared, table};
use crate::engine::{CloseCondition, Counts, Queue, QueueDeclaration, Shown, VirtualHost};
use crate::model::{QueueDefinition, QueueName, Resource, Verb};
use crate::wire::Properties;

/// The connection that requests count as: none, so that no exclusive queue is theirs.
pub(super) const NO_CONNECTION: u64 = 0;

/// Bytes of a body that is read back to tell how old it is.
const HEAD_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a name, as in AMQP.
const NAME_BYTES_MAX: usize = 255;

pub(super) fn routes(routes: Routes) -> Routes {
    let lists = || Methods::new().get(Gate::Management, list);
    let lists_of_host = || Methods::new().get(Gate::Visible, list_of_host);
    routes
        .at("/api/queues", lists())
        .at("/api/queues/detailed", lists())
        .at("/api/queues/{vhost}", lists_of_host())
        .at(
            "/api/queues/{vhost}/{queue}",
            Methods::new()
                .get(Gate::Visible, show)
                .put(Gate::Management, declare)
                .delete(Gate::Management, delete),
        )
        .at(
            "/api/queues/{vhost}/{queue}/contents",
            Methods::new().delete(Gate::Management, purge),
        )
        .at(
            "/api/queues/{vhost}/{queue}/actions",
            Methods::new().post(Gate::Administrator, act),
        )
}

type Listed = (Arc<VirtualHost>, Arc<Queue>);

async fn list(State(management): Shared, caller: Caller, view: View) -> Result<Response, Refusal> {
    management
        .blocking(move |management| {
            let hosts = management.hosts_for(&caller);
            management.queue_list(hosts, &view)
        })
        .await?
}

async fn list_of_host(
    State(management): Shared,
    Host(host): Host,
    view: View,
) -> Result<Response, Refusal> {
    management
        .blocking(move |management| management.queue_list(vec![host], &view))
        .await?
}

async fn show(
    State(management): Shared,
    Host(host): Host,
    Segments((_, name)): Segments<(String, String)>,
    view: View,
) -> Result<Response, Refusal> {
    let queue = host.queue(&name).ok_or_else(Refusal::not_found)?;
    let ranges = Ranges::read(view.query())?;
    let head_timestamp = management.head_timestamp(&queue).await;
    let mut row = management
        .blocking(move |management| management.queue_portrait(&host, &queue, &ranges))
        .await?;
    row.insert("head_message_timestamp".to_owned(), head_timestamp.into());
    Ok(view.object(Value::Object(row)))
}

async fn declare(
    State(management): Shared,
    caller: Caller,
    HostToChange(host): HostToChange,
    Segments((_, name)): Segments<(String, String)>,
    body: JsonBody,
) -> Result<StatusCode, Refusal> {
    check_name("queue", &name)?;
    if let Some(node) = body.text("node")?
        && node != management.engine.settings().node_name
    {
        let reason = format!("Node {node} is not a cluster member");
        return Err(Refusal::bad_request(reason));
    }
    let definition = QueueDefinition {
        name: QueueName::from(name.as_str()),
        durable: body.truth("durable", false)?,
        auto_delete: body.truth("auto_delete", false)?,
        exclusive: false,
        arguments: table::arguments(body.0.get("arguments"))?,
    };
    let declaration = QueueDeclaration {
        definition,
        connection: NO_CONNECTION,
        rights: management.rights(&caller, host.name()),
    };
    let (existed, ticket) = Arc::clone(&management)
        .blocking(move |management| {
            let existed = host.queue(&name).is_some();
            let declared = host.declare_queue(&management.engine, declaration)?;
            Ok::<_, Refusal>((existed, declared.ticket))
        })
        .await??;
    management.durable(ticket).await?;
    Ok(made(existed))
}

async fn delete(
    State(management): Shared,
    caller: Caller,
    Host(host): Host,
    Segments((_, name)): Segments<(String, String)>,
    query: Query,
) -> Result<StatusCode, Refusal> {
    let condition = CloseCondition {
        if_empty: query.is_true("if-empty"),
        if_unused: query.is_true("if-unused"),
        ..CloseCondition::default()
    };
    let ticket = Arc::clone(&management)
        .blocking(move |management| {
            if host.queue(&name).is_none() {
                return Err(Refusal::not_found());
            }
            let name = QueueName::from(name.as_str());
            let rights = management.rights(&caller, host.name());
            rights.check(Verb::Configure, Resource::Queue(name.as_str()))?;
            let deleted = host.delete_queue(&management.engine, &name, NO_CONNECTION, condition)?;
            Ok(deleted.ticket)
        })
        .await??;
    management.durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn purge(
    State(management): Shared,
    caller: Caller,
    Host(host): Host,
    Segments((_, name)): Segments<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let ticket = Arc::clone(&management)
        .blocking(move |management| {
            if host.queue(&name).is_none() {
                return Err(Refusal::not_found());
            }
            let name = QueueName::from(name.as_str());
            let rights = management.rights(&caller, host.name());
            rights.check(Verb::Read, Resource::Queue(name.as_str()))?;
            let queue = host.usable_queue(&name, NO_CONNECTION)?;
            Ok(queue.purge(&management.engine).1)
        })
        .await??;
    management.durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What could be done to a queue of a cluster. There is none, and so nothing to be done.
async fn act(
    Host(host): Host,
    Segments((_, name)): Segments<(String, String)>,
    body: JsonBody,
) -> Result<StatusCode, Refusal> {
    body.require(&["action"])?;
    if host.queue(&name).is_none() {
        return Err(Refusal::not_found());
    }
    let action = body.0.get("action").unwrap_or(&Value::Null);
    Err(Refusal::bad_value("unknown", action))
}

/// What a declaration is answered with (spec 10.1.3).
pub(super) const fn made(existed: bool) -> StatusCode {
    if existed {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::CREATED
    }
}

/// Refuses a name that AMQP could not carry (spec 13.5).
pub(super) fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    if name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    let length = name.len();
    let reason = format!("{what} should be less than 255 bytes, actually was {length}\n");
    Err(Refusal::bad_request(reason))
}

impl Management {
    /// The virtual hosts whose content the caller may see, in the order of their names.
    pub(super) fn hosts_for(&self, caller: &Caller) -> Vec<Arc<VirtualHost>> {
        let mut hosts = self.engine.virtual_hosts();
        hosts.retain(|host| caller.sees(host.name().as_str()));
        hosts.sort_by(|left, right| left.name().cmp(right.name()));
        hosts
    }

    /// The virtual hosts whose consumers the caller may see, in the order of their names.
    pub(super) fn hosts_watched_by(&self, caller: &Caller) -> Vec<Arc<VirtualHost>> {
        let mut hosts = self.engine.virtual_hosts();
        hosts.retain(|host| caller.watches(host.name().as_str()));
        hosts.sort_by(|left, right| left.name().cmp(right.name()));
        hosts
    }

    fn queue_list(&self, hosts: Vec<Arc<VirtualHost>>, view: &View) -> Result<Response, Refusal> {
        let ranges = Ranges::read(view.query())?;
        let mut all: Vec<Listed> = Vec::new();
        for host in hosts {
            let mut queues = host.all_queues();
            queues.sort_by(|left, right| left.name().cmp(right.name()));
            let queues = queues.into_iter();
            all.extend(queues.map(|queue| (Arc::clone(&host), queue)));
        }
        view.list(
            all,
            |(_, queue)| queue.name().as_str(),
            |(host, queue)| Value::Object(self.queue_row(host, queue, &ranges)),
        )
    }

    /// A queue as lists show it.
    fn queue_row(&self, host: &VirtualHost, queue: &Queue, ranges: &Ranges) -> Map<String, Value> {
        let counts = queue.counts();
        let (lengths, stats) = self.queue_details(queue, &counts, ranges);
        let mut row = no_erlang();
        row.remove("garbage_collection");
        insert(&mut row, lengths);
        if let Some(stats) = stats {
            row.insert("message_stats".to_owned(), stats);
        }
        let since = self.history.idle_since_ms(Subject::Queue(queue.number()));
        if let Some(since) = since {
            row.insert("idle_since".to_owned(), timestamp(since).into());
        }
        let keeps_up = keeps_up(&counts);
        let governed = host.governing_queue(queue);
        let definition = queue.definition();
        let facts = json!({
            "name": queue.name().as_str(),
            "vhost": host.name().as_str(),
            "type": queue.arguments().queue_type().as_str(),
            "durable": definition.durable,
            "auto_delete": definition.auto_delete,
            "exclusive": definition.exclusive,
            "internal": false,
            "internal_owner": false,
            "arguments": self.shown_arguments(queue),
            "node": self.engine.settings().node_name,
            "policy": governed.policy.as_ref().map(|policy| &policy.name),
            "operator_policy": governed.operator_policy.as_ref().map(|policy| &policy.name),
            "effective_policy_definition": governed.settings(),
            "state": if queue.is_running() { "running" } else { "crashed" },
            "consumers": counts.consumers,
            "consumer_capacity": keeps_up,
            "consumer_utilisation": keeps_up,
            "memory": counts.resident_bytes + counts.key_bytes,
            "message_bytes": counts.ready_bytes + counts.unacked_bytes,
            "message_bytes_ready": counts.ready_bytes,
            "message_bytes_unacknowledged": counts.unacked_bytes,
        });
        if let Value::Object(facts) = facts {
            row.extend(facts);
        }
        row
    }

    /// The arguments, with the type that RabbitMQ adds (spec 4.1.7).
    fn shown_arguments(&self, queue: &Queue) -> Value {
        let mut arguments = table::to_json(queue.definition().arguments.fields());
        if let Value::Object(arguments) = &mut arguments {
            let queue_type = queue.arguments().queue_type().as_str();
            arguments
                .entry("x-queue-type")
                .or_insert_with(|| queue_type.into());
        }
        arguments
    }

    /// A queue by itself, with what lists leave out.
    fn queue_portrait(
        &self,
        host: &VirtualHost,
        queue: &Queue,
        ranges: &Ranges,
    ) -> Map<String, Value> {
        let mut row = self.queue_row(host, queue, ranges);
        row.extend(no_erlang());
        let consumers = queue.consumers();
        let tag_of = |is_meant: &dyn Fn(&crate::engine::ConsumerFacts) -> bool| {
            let meant = consumers.iter().find(|facts| is_meant(facts));
            meant.map(|facts| facts.link.tag.as_str().to_owned())
        };
        let single_active = tag_of(&|facts| facts.activity.as_str() == "single_active");
        let facts = json!({
            "exclusive_consumer_tag": tag_of(&|facts| facts.exclusive),
            "single_active_consumer_tag": single_active,
            "consumer_details": self.consumers_on(host, queue),
            "incoming": [],
            "deliveries": [],
        });
        if let Value::Object(facts) = facts {
            row.extend(facts);
        }
        if let Some(owner) = queue.owner() {
            let client = self.engine.clients.client(owner);
            let (peer_host, peer_port) = ends(client.as_deref());
            let name = client.map(|client| client.title()).unwrap_or_default();
            let details = json!({ "name": name, "peer_host": peer_host, "peer_port": peer_port });
            row.insert("owner_pid_details".to_owned(), details);
        }
        row
    }

    /// The property `timestamp` of the message that is delivered next, which may have to be read from disk;
    /// `None` for a body that is too large to be read for that.
    async fn head_timestamp(&self, queue: &Arc<Queue>) -> Option<u64> {
        let look = queue.peek(&self.engine, Shown::Ready, (0, 1), HEAD_BYTES_MAX);
        let seen = tokio::time::timeout(self.settings.timeout, look).await;
        let message = seen.ok()?.ok()?.into_iter().next()?.message;
        Properties::new(message.header().get(12..)?).timestamp()
    }
}

/// Whether consumers take what comes as fast as it does: 1 if nothing waits for them.
fn keeps_up(counts: &Counts) -> f64 {
    if counts.consumers > 0 && counts.ready == 0 {
        1.0
    } else {
        0.0
    }
}
