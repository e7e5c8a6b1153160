//! `/api/vhosts`: virtual hosts to be listed, made and removed (spec 7.8.3, 10.2).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::list::View;
use super::request::{Host, JsonBody, Segments};
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared, status};
use crate::engine::{HostDeletionRefusal, VirtualHost};
use crate::model::{QueueType, VirtualHostMetadata, VirtualHostName};

pub(super) fn routes(routes: Routes) -> Routes {
    let admin = Gate::Administrator;
    routes
        .at("/api/vhosts", Methods::new().get(Gate::Management, list))
        .at(
            "/api/vhosts/{vhost}",
            Methods::new()
                .get(admin, show)
                .put(admin, put)
                .delete(admin, delete),
        )
        .at(
            "/api/vhosts/{vhost}/deletion/protection",
            Methods::new().post(admin, protect).delete(admin, release),
        )
        .at(
            "/api/vhosts/{vhost}/start/{node}",
            Methods::new().post(admin, start),
        )
}

async fn list(State(management): Shared, caller: Caller, view: View) -> Result<Response, Refusal> {
    management
        .blocking(move |management| {
            let mut hosts: Vec<Arc<VirtualHost>> = management
                .engine
                .virtual_hosts()
                .into_iter()
                .filter(|host| caller.watches(host.name().as_str()))
                .collect();
            hosts.sort_by(|left, right| left.name().cmp(right.name()));
            let row = |host: &Arc<VirtualHost>| management.virtual_host_row(host);
            view.list(hosts, |host| host.name().as_str(), row)
        })
        .await?
}

async fn show(
    State(management): Shared,
    Host(host): Host,
    view: View,
) -> Result<Response, Refusal> {
    let row = management
        .blocking(move |management| management.virtual_host_row(&host))
        .await?;
    Ok(view.object(row))
}

impl Management {
    fn virtual_host_row(&self, host: &VirtualHost) -> Value {
        let metadata = metadata_row(&host.metadata());
        let mut row = json!({
            "name": host.name(),
            "description": metadata["description"],
            "tags": metadata["tags"],
            "default_queue_type": metadata["default_queue_type"],
            "protected_from_deletion": host.metadata().protected_from_deletion.unwrap_or(false),
            "metadata": metadata,
            "tracing": false,
            "cluster_state": { self.engine.settings().node_name.as_str(): "running" },
        });
        let queues = host.all_queues();
        if queues.is_empty() {
            return row;
        }
        let (ready, unacknowledged) = queues.iter().fold((0, 0), |(ready, unacked), queue| {
            let counts = queue.counts();
            (ready + counts.ready, unacked + counts.unacked)
        });
        row["messages"] = json!(ready + unacknowledged);
        row["messages_ready"] = json!(ready);
        row["messages_unacknowledged"] = json!(unacknowledged);
        row
    }
}

/// What is said of a virtual host, as definitions have it, too.
fn metadata_row(metadata: &VirtualHostMetadata) -> Value {
    let kind = metadata.default_queue_type.unwrap_or_default();
    let mut row = Map::new();
    row.insert("description".to_owned(), json!(metadata.description));
    row.insert("tags".to_owned(), json!(metadata.tags));
    row.insert("default_queue_type".to_owned(), json!(kind.as_str()));
    if let Some(protected) = metadata.protected_from_deletion {
        row.insert("protected_from_deletion".to_owned(), json!(protected));
    }
    Value::Object(row)
}

async fn put(
    State(management): Shared,
    caller: Caller,
    Segments(name): Segments<String>,
    body: JsonBody,
) -> Result<StatusCode, Refusal> {
    let name =
        VirtualHostName::checked(&name).ok_or_else(|| Refusal::bad_request("name too long"))?;
    let metadata = VirtualHostMetadata {
        description: body.text("description")?.unwrap_or_default().to_owned(),
        tags: tags(&body)?,
        default_queue_type: default_queue_type(&body)?,
        protected_from_deletion: None,
    };
    let changed = management
        .engine
        .put_virtual_host(&name, metadata, Some(caller.name()))
        .map_err(|refusal| Refusal::bad_request(refusal.to_string()))?;
    management.durable(changed.ticket).await?;
    Ok(status(changed.change))
}

fn tags(body: &JsonBody) -> Result<Vec<String>, Refusal> {
    const TAGS_MAX: usize = 64;
    let tags: Vec<String> = match body.0.get("tags") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => text.split(',').map(|tag| tag.trim().to_owned()).collect(),
        Some(Value::Array(list)) => {
            let texts: Option<Vec<String>> = list
                .iter()
                .map(|tag| tag.as_str().map(str::to_owned))
                .collect();
            texts.ok_or_else(|| Refusal::bad_request("tags_must_be_strings"))?
        }
        Some(other) => return Err(Refusal::bad_value("not_string", other)),
    };
    if tags.len() > TAGS_MAX {
        return Err(Refusal::bad_request("too many tags"));
    }
    Ok(tags.into_iter().filter(|tag| !tag.is_empty()).collect())
}

fn default_queue_type(body: &JsonBody) -> Result<Option<QueueType>, Refusal> {
    match body.text("default_queue_type")? {
        None | Some("undefined") => Ok(None),
        Some("") => Err(Refusal::bad_request(
            "default_queue_type must not be an empty string",
        )),
        Some(name) => QueueType::named(name)
            .map(Some)
            .ok_or_else(|| Refusal::bad_request(format!("{name} is not a valid queue type"))),
    }
}

async fn delete(
    State(management): Shared,
    Segments(name): Segments<String>,
) -> Result<StatusCode, Refusal> {
    let name = VirtualHostName::from(name);
    let ticket = Arc::clone(&management)
        .blocking(move |management| {
            management
                .engine
                .delete_virtual_host(&name)
                .map_err(|refusal| match refusal {
                    HostDeletionRefusal::Missing => Refusal::not_found(),
                    HostDeletionRefusal::Protected => Refusal::precondition_failed(format!(
                        "Refusing to delete virtual host '{name}' because it is protected from \
                         deletion"
                    )),
                })
        })
        .await??;
    management.durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn protect(
    State(management): Shared,
    Segments(name): Segments<String>,
) -> Result<StatusCode, Refusal> {
    let ticket = management.engine.protect_virtual_host(&name, true);
    let ticket = ticket.ok_or_else(|| {
        Refusal::no_such(format!(
            "Cannot enable deletion protection of virtual host '{name}' because it does not exist"
        ))
    })?;
    management.durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn release(
    State(management): Shared,
    Segments(name): Segments<String>,
) -> Result<StatusCode, Refusal> {
    let ticket = management.engine.protect_virtual_host(&name, false);
    management
        .durable(ticket.ok_or_else(Refusal::not_found)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A virtual host runs from the moment that it exists.
async fn start(
    State(management): Shared,
    Segments((name, node)): Segments<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let own = management.engine.settings().node_name.as_str();
    if node != own {
        return Err(Refusal::bad_request(format!("Unknown node: {node}")));
    }
    if management.engine.virtual_host(&name).is_none() {
        let reason = format!("Request to node {node} failed with {{no_such_vhost,<<\"{name}\">>}}");
        return Err(Refusal::bad_request(reason));
    }
    Ok(StatusCode::NO_CONTENT)
}
