//! `/api/user-limits` and `/api/vhost-limits`: what users and virtual hosts are held to (spec 7.8.2,
//! 10.2).

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::caller::Caller;
use super::list::View;
use super::request::{JsonBody, Segments};
use super::routes::{Gate, Methods, Routes};
use super::{Refusal, Shared};
use crate::model::{UserLimits, VirtualHostLimits};

pub(super) fn routes(routes: Routes) -> Routes {
    let admin = Gate::Administrator;
    routes
        .at("/api/user-limits", Methods::new().get(admin, of_users))
        .at(
            "/api/user-limits/{user}",
            Methods::new().get(Gate::Management, of_user),
        )
        .at(
            "/api/user-limits/{user}/{limit}",
            Methods::new().put(admin, put_user).delete(admin, lift_user),
        )
        .at(
            "/api/vhost-limits",
            Methods::new().get(Gate::Management, of_hosts),
        )
        .at(
            // Whoever may not see the host is told that there is none.
            "/api/vhost-limits/{host}",
            Methods::new().get(Gate::Management, of_host),
        )
        .at(
            "/api/vhost-limits/{host}/{limit}",
            Methods::new().put(admin, put_host).delete(admin, lift_host),
        )
}

async fn of_users(State(management): Shared, view: View) -> Response {
    let table = management.engine.access.table();
    let rows: Vec<Value> = table
        .users()
        .filter(|user| !user.limits.is_empty())
        .map(|user| json!({ "user": user.name, "value": user.limits }))
        .collect();
    view.whole(&rows, Value::clone)
}

async fn of_user(
    State(management): Shared,
    caller: Caller,
    Segments(name): Segments<String>,
    view: View,
) -> Result<Response, Refusal> {
    if !caller.is_monitor() && caller.name().as_str() != name {
        return Err(Refusal::not_authorised(
            "User not authorised to access object",
        ));
    }
    let table = management.engine.access.table();
    let user = table.user(&name).ok_or_else(Refusal::not_found)?;
    let limits = (!user.limits.is_empty()).then_some(user.limits);
    let rows: Vec<Value> = limits
        .iter()
        .map(|limits| json!({ "user": user.name, "value": limits }))
        .collect();
    Ok(view.whole(&rows, Value::clone))
}

async fn put_user(
    State(management): Shared,
    Segments((name, limit)): Segments<(String, String)>,
    body: JsonBody,
) -> Result<StatusCode, Refusal> {
    let given = Given::read(&limit, &body)?;
    if management.engine.access.table().user(&name).is_none() {
        return Err(Refusal::bad_value("no_such_user", &json!(name)));
    }
    if UserLimits::default().named(&limit).is_none() {
        return Err(Refusal::bad_request(given.unrecognised("user-limits")));
    }
    let value = given
        .number()
        .ok_or_else(|| Refusal::bad_request(given.no_number()))?;
    let ticket = management.engine.limit_user(&name, |limits| {
        if let Some(known) = limits.named(&limit) {
            *known = Some(value);
        }
    });
    management
        .durable(ticket.ok_or_else(Refusal::not_found)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn lift_user(
    State(management): Shared,
    Segments((name, limit)): Segments<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let ticket = management.engine.limit_user(&name, |limits| {
        if let Some(known) = limits.named(&limit) {
            *known = None;
        }
    });
    // RabbitMQ has one answer for both of its kinds of limits.
    let ticket = ticket.ok_or_else(|| Refusal::no_such("vhost_not_found"))?;
    management.durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn of_hosts(State(management): Shared, caller: Caller, view: View) -> Response {
    let mut hosts = management.engine.virtual_hosts();
    hosts.sort_by(|left, right| left.name().cmp(right.name()));
    let rows: Vec<Value> = hosts
        .iter()
        .filter(|host| caller.watches(host.name().as_str()) && !host.limits().is_empty())
        .map(|host| json!({ "vhost": host.name(), "value": host.limits() }))
        .collect();
    view.whole(&rows, Value::clone)
}

async fn of_host(
    State(management): Shared,
    caller: Caller,
    Segments(name): Segments<String>,
    view: View,
) -> Result<Response, Refusal> {
    if !caller.watches(&name) {
        return Err(Refusal::no_such("Not Found"));
    }
    let host = management.engine.virtual_host(&name);
    let host = host.ok_or_else(Refusal::not_found)?;
    let limits = Some(host.limits()).filter(|limits| !limits.is_empty());
    let rows: Vec<Value> = limits
        .iter()
        .map(|limits| json!({ "vhost": host.name(), "value": limits }))
        .collect();
    Ok(view.whole(&rows, Value::clone))
}

async fn put_host(
    State(management): Shared,
    Segments((name, limit)): Segments<(String, String)>,
    body: JsonBody,
) -> Result<StatusCode, Refusal> {
    let no_host = || Refusal::no_such("vhost_not_found");
    management.engine.virtual_host(&name).ok_or_else(no_host)?;
    let given = Given::read(&limit, &body)?;
    let refuse = |flaw: String| Refusal::bad_request(format!("Validation failed\n\n{flaw}\n"));
    if VirtualHostLimits::default().named(&limit).is_none() {
        return Err(refuse(given.unrecognised("limits")));
    }
    let value = given.number().ok_or_else(|| refuse(given.no_number()))?;
    let ticket = management.engine.limit_virtual_host(&name, |limits| {
        if let Some(known) = limits.named(&limit) {
            *known = Some(value);
        }
    });
    management.durable(ticket.ok_or_else(no_host)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn lift_host(
    State(management): Shared,
    Segments((name, limit)): Segments<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let ticket = management.engine.limit_virtual_host(&name, |limits| {
        if let Some(known) = limits.named(&limit) {
            *known = None;
        }
    });
    let ticket = ticket.ok_or_else(|| Refusal::no_such("vhost_not_found"))?;
    management.durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A limit as a request gives it.
struct Given<'a> {
    name: &'a str,
    value: &'a Value,
}

impl<'a> Given<'a> {
    fn read(name: &'a str, body: &'a JsonBody) -> Result<Self, Refusal> {
        body.require(&["value"])?;
        let value = body.0.get("value").unwrap_or(&Value::Null);
        Ok(Self { name, value })
    }

    fn number(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// The value as RabbitMQ prints it.
    fn term(&self) -> String {
        match self.value {
            Value::String(text) => format!("<<\"{text}\">>"),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => self.value.to_string(),
        }
    }

    fn no_number(&self) -> String {
        format!(
            "{} should be a number, actually was {}",
            self.name,
            self.term()
        )
    }

    fn unrecognised(&self, kind: &str) -> String {
        let (name, term) = (self.name, self.term());
        format!("Unrecognised terms [{{<<\"{name}\">>,{term}}}] in {kind}")
    }
}
