//! `/api/parameters` and `/api/global-parameters` (spec 7.8.1, 10.2).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::caller::Caller;
use super::list::View;
use super::queues::made;
use super::request::{Host, HostToChange, JsonBody, Segments};
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared};
use crate::engine::{ParameterError, VirtualHost};

/// The names in the path of one parameter.
type Named = Segments<(String, String, String)>;

pub(super) fn routes(routes: Routes) -> Routes {
    let gate = Gate::PolicyMaker;
    routes
        .at("/api/parameters", Methods::new().get(gate, list))
        .at(
            "/api/parameters/{component}",
            Methods::new().get(gate, list_of_component),
        )
        .at(
            "/api/parameters/{component}/{vhost}",
            Methods::new().get(gate, list_of_host),
        )
        .at(
            "/api/parameters/{component}/{vhost}/{name}",
            Methods::new()
                .get(gate, show)
                .put(gate, put)
                .delete(gate, delete),
        )
        .at(
            "/api/global-parameters",
            Methods::new().get(gate, list_global),
        )
        .at(
            "/api/global-parameters/{name}",
            Methods::new()
                .get(gate, show_global)
                .put(gate, put_global)
                .delete(gate, delete_global),
        )
}

/// A parameter as it is listed.
#[derive(Debug)]
struct Parameter {
    host: String,
    component: String,
    name: String,
    value: Value,
}

impl Parameter {
    fn row(&self) -> Value {
        json!({
            "value": self.value,
            "vhost": self.host,
            "component": self.component,
            "name": self.name,
        })
    }
}

fn parameters_of(hosts: &[Arc<VirtualHost>]) -> Vec<Parameter> {
    let of_host = |host: &Arc<VirtualHost>| {
        let name = host.name().as_str().to_owned();
        let parameters = host.all_parameters().into_iter();
        parameters.map(move |parameter| Parameter {
            host: name.clone(),
            component: parameter.component,
            name: parameter.name,
            value: parameter.value,
        })
    };
    hosts.iter().flat_map(of_host).collect()
}

fn seen_hosts(management: &Management, caller: &Caller) -> Vec<Arc<VirtualHost>> {
    let hosts = management.engine.virtual_hosts().into_iter();
    hosts
        .filter(|host| caller.sees(host.name().as_str()))
        .collect()
}

fn answer(parameters: Vec<Parameter>, view: &View) -> Result<Response, Refusal> {
    view.list(parameters, |parameter| &parameter.name, Parameter::row)
}

async fn list(State(management): Shared, caller: Caller, view: View) -> Result<Response, Refusal> {
    answer(parameters_of(&seen_hosts(&management, &caller)), &view)
}

async fn list_of_component(
    State(management): Shared,
    caller: Caller,
    Segments(component): Segments<String>,
    view: View,
) -> Result<Response, Refusal> {
    let mut parameters = parameters_of(&seen_hosts(&management, &caller));
    parameters.retain(|parameter| parameter.component == component);
    answer(parameters, &view)
}

async fn list_of_host(
    Host(host): Host,
    Segments((component, _)): Segments<(String, String)>,
    view: View,
) -> Result<Response, Refusal> {
    let mut parameters = parameters_of(&[host]);
    parameters.retain(|parameter| parameter.component == component);
    answer(parameters, &view)
}

async fn show(
    Host(host): Host,
    Segments((component, _, name)): Named,
    view: View,
) -> Result<Response, Refusal> {
    parameters_of(&[host])
        .into_iter()
        .find(|parameter| parameter.component == component && parameter.name == name)
        .map(|parameter| view.object(parameter.row()))
        .ok_or_else(Refusal::not_found)
}

async fn put(
    State(management): Shared,
    HostToChange(host): HostToChange,
    Segments((component, _, name)): Named,
    body: JsonBody,
) -> Result<StatusCode, Refusal> {
    body.require(&["value"])?;
    if component == "policy" {
        // RabbitMQ lets only operator policies be set as parameters.
        let reason = "policies may not be set using this method";
        return Err(Refusal::bad_request(reason));
    }
    let value = body.0.get("value").cloned().unwrap_or_default();
    let put = Arc::clone(&management)
        .blocking(move |management| {
            host.put_any_parameter(&management.engine, &component, &name, value)
        })
        .await??;
    management.durable(put.ticket).await?;
    Ok(made(put.existed))
}

async fn delete(
    State(management): Shared,
    Host(host): Host,
    Segments((component, _, name)): Named,
) -> Result<StatusCode, Refusal> {
    let removed = Arc::clone(&management)
        .blocking(move |management| {
            host.remove_any_parameter(&management.engine, &component, &name)
        })
        .await?;
    let ticket = removed.ok_or_else(Refusal::not_found)?;
    management.durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<ParameterError> for Refusal {
    fn from(error: ParameterError) -> Self {
        Self::bad_request(error.to_string())
    }
}

fn global_row((name, value): (String, Value)) -> Value {
    json!({ "name": name, "value": value })
}

async fn list_global(State(management): Shared, view: View) -> Result<Response, Refusal> {
    let parameters = management.global_parameters();
    view.list(
        parameters,
        |(name, _)| name,
        |(name, value)| global_row((name.clone(), value.clone())),
    )
}

async fn show_global(
    State(management): Shared,
    Segments(name): Segments<String>,
    view: View,
) -> Result<Response, Refusal> {
    let parameters = management.global_parameters().into_iter();
    parameters
        .into_iter()
        .find(|(found, _)| *found == name)
        .map(|parameter| view.object(global_row(parameter)))
        .ok_or_else(Refusal::not_found)
}

async fn put_global(
    State(management): Shared,
    Segments(name): Segments<String>,
    body: JsonBody,
) -> Result<StatusCode, Refusal> {
    body.require(&["value"])?;
    let value = body.0.get("value").cloned().unwrap_or_default();
    let put = management.engine.put_global_parameter(&name, value);
    management.durable(put.ticket).await?;
    Ok(made(put.existed))
}

async fn delete_global(
    State(management): Shared,
    Segments(name): Segments<String>,
) -> Result<StatusCode, Refusal> {
    let removed = management.engine.remove_global_parameter(&name);
    let ticket = removed.ok_or_else(Refusal::not_found)?;
    management.durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Management {
    /// All parameters of the whole broker, by name; its own name is one of them.
    fn global_parameters(&self) -> Vec<(String, Value)> {
        let mut parameters = self.engine.global_parameters();
        parameters
            .entry("cluster_name".to_owned())
            .or_insert_with(|| self.settings.cluster_name.as_str().into());
        parameters.into_iter().collect()
    }
}
