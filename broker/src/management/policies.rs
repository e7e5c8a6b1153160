//! `/api/policies` and `/api/operator-policies` (spec 7.7, 10.2).

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
use crate::engine::VirtualHost;
use crate::model::VirtualHostName;
use crate::model::policy::{PolicyDefinition, PolicyScope};

/// The names in the path of one policy.
type Named = Segments<(String, String)>;

pub(super) fn routes(routes: Routes) -> Routes {
    let user = [
        "/api/policies",
        "/api/policies/{vhost}",
        "/api/policies/{vhost}/{policy}",
    ];
    let operator = [
        "/api/operator-policies",
        "/api/operator-policies/{vhost}",
        "/api/operator-policies/{vhost}/{policy}",
    ];
    let routes = routes_of(routes, PolicyScope::User, Gate::PolicyMaker, user);
    routes_of(routes, PolicyScope::Operator, Gate::Administrator, operator)
}

fn routes_of(
    routes: Routes,
    scope: PolicyScope,
    setting: Gate,
    [all, of_host, one]: [&'static str; 3],
) -> Routes {
    let list_all = move |State(management): Shared, caller: Caller, view: View| async move {
        let hosts = management.engine.virtual_hosts().into_iter();
        let seen = hosts.filter(|host| caller.sees(host.name().as_str()));
        list(scope, seen.collect(), &view)
    };
    let list_one =
        move |Host(host): Host, view: View| async move { list(scope, vec![host], &view) };
    let show_one = move |Host(host): Host, Segments((_, name)): Named, view: View| async move {
        let policy = host.policy(scope, &name).ok_or_else(Refusal::not_found)?;
        Ok::<_, Refusal>(view.object(row(host.name(), &policy)))
    };
    let put_one =
        move |State(management): Shared,
              HostToChange(host): HostToChange,
              Segments((_, name)): Named,
              body: JsonBody| async move { put(scope, management, host, name, body).await };
    let delete_one =
        move |State(management): Shared, Host(host): Host, Segments((_, name)): Named| async move {
            delete(scope, management, host, name).await
        };
    routes
        .at(all, Methods::new().get(Gate::Management, list_all))
        .at(of_host, Methods::new().get(Gate::Visible, list_one))
        .at(
            one,
            Methods::new()
                .get(setting, show_one)
                .put(setting, put_one)
                .delete(setting, delete_one),
        )
}

fn list(
    scope: PolicyScope,
    hosts: Vec<Arc<VirtualHost>>,
    view: &View,
) -> Result<Response, Refusal> {
    let mut policies: Vec<(VirtualHostName, Arc<PolicyDefinition>)> = hosts
        .iter()
        .flat_map(|host| {
            let policies = host.policies(scope).into_iter();
            policies.map(|policy| (host.name().clone(), policy))
        })
        .collect();
    policies.sort_by(|(left, _), (right, _)| left.cmp(right));
    view.list(
        policies,
        |(_, policy)| policy.name.as_str(),
        |(host, policy)| row(host, policy),
    )
}

fn row(host: &VirtualHostName, policy: &PolicyDefinition) -> Value {
    json!({
        "vhost": host.as_str(),
        "name": policy.name,
        "pattern": policy.pattern,
        "apply-to": policy.applies_to,
        "definition": policy.definition,
        "priority": policy.priority,
    })
}

async fn put(
    scope: PolicyScope,
    management: Arc<Management>,
    host: Arc<VirtualHost>,
    name: String,
    body: JsonBody,
) -> Result<StatusCode, Refusal> {
    let policy = PolicyDefinition::parse(scope, &name, &body.0)?;
    let put = Arc::clone(&management)
        .blocking(move |management| host.put_policy(&management.engine, scope, policy))
        .await?;
    management.durable(put.ticket).await?;
    Ok(made(put.existed))
}

async fn delete(
    scope: PolicyScope,
    management: Arc<Management>,
    host: Arc<VirtualHost>,
    name: String,
) -> Result<StatusCode, Refusal> {
    let removed = Arc::clone(&management)
        .blocking(move |management| host.remove_policy(&management.engine, scope, &name))
        .await?;
    let ticket = removed.ok_or_else(Refusal::not_found)?;
    management.durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}
