//! `/api/queues`: queues to be listed, made and removed (spec 10.2).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::caller::Caller;
use super::list::View;
use super::request::{Host, JsonBody, Query, Segments};
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared, table};
use crate::engine::{CloseCondition, Queue, QueueDeclaration, VirtualHost};
use crate::model::{QueueDefinition, QueueName, Resource, Verb};

/// The connection that requests count as: none, so that no exclusive queue is theirs.
pub(super) const NO_CONNECTION: u64 = 0;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .at("/api/queues", Methods::new().get(Gate::Management, list))
        .at(
            "/api/queues/{vhost}",
            Methods::new().get(Gate::Visible, list_of_host),
        )
        .at(
            "/api/queues/{vhost}/{queue}",
            Methods::new()
                .get(Gate::Visible, show)
                .put(Gate::Management, declare)
                .delete(Gate::Management, delete),
        )
}

type Listed = (Arc<VirtualHost>, Arc<Queue>);

async fn list(State(management): Shared, caller: Caller, view: View) -> Result<Response, Refusal> {
    management
        .blocking(move |management| {
            let hosts = management.engine.virtual_hosts();
            let seen = hosts
                .into_iter()
                .filter(|host| caller.sees(host.name().as_str()));
            management.queue_list(seen.collect(), &view)
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
    let row = management
        .blocking(move |management| management.queue_row(&(host, queue)))
        .await?;
    Ok(view.object(row))
}

async fn declare(
    State(management): Shared,
    caller: Caller,
    Host(host): Host,
    Segments((_, name)): Segments<(String, String)>,
    body: JsonBody,
) -> Result<StatusCode, Refusal> {
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

/// What a declaration is answered with (spec 10.1.3).
pub(super) const fn made(existed: bool) -> StatusCode {
    if existed {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::CREATED
    }
}

impl Management {
    fn queue_list(&self, hosts: Vec<Arc<VirtualHost>>, view: &View) -> Result<Response, Refusal> {
        let mut queues: Vec<Listed> = hosts
            .into_iter()
            .flat_map(|host| {
                let queues = host.all_queues();
                queues
                    .into_iter()
                    .map(move |queue| (Arc::clone(&host), queue))
            })
            .collect();
        queues.sort_by(|(left_host, left), (right_host, right)| {
            let hosts = left_host.name().cmp(right_host.name());
            hosts.then_with(|| left.name().cmp(right.name()))
        });
        view.list(
            queues,
            |(_, queue)| queue.name().as_str(),
            |listed| self.queue_row(listed),
        )
    }

    fn queue_row(&self, (host, queue): &Listed) -> Value {
        let definition = queue.definition();
        let counts = queue.counts();
        let governed = host.governing_queue(queue);
        json!({
            "name": queue.name().as_str(),
            "vhost": host.name().as_str(),
            "type": queue.arguments().queue_type().as_str(),
            "durable": definition.durable,
            "auto_delete": definition.auto_delete,
            "exclusive": definition.exclusive,
            "arguments": table::to_json(definition.arguments.fields()),
            "node": self.engine.settings().node_name,
            "policy": governed.policy.as_ref().map(|policy| &policy.name),
            "operator_policy": governed.operator_policy.as_ref().map(|policy| &policy.name),
            "effective_policy_definition": governed.settings(),
            "state": "running",
            "messages": counts.ready + counts.unacked,
            "messages_ready": counts.ready,
            "messages_unacknowledged": counts.unacked,
            "consumers": counts.consumers,
        })
    }
}
