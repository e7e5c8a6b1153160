//! `/api/permissions` and `/api/topic-permissions`: who may do what (spec 8.1, 8.2, 10.2).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::list::View;
use super::request::{Host, JsonBody, Segments};
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared, status};
use crate::engine::GrantError;
use crate::model::{
    AccessRow, AccessTable, ExchangeName, Permission, PermissionError, TopicPermission, UserName,
    VirtualHostName,
};

pub(super) fn routes(routes: Routes) -> Routes {
    let admin = Gate::Administrator;
    routes
        .at("/api/permissions", Methods::new().get(admin, list))
        .at(
            "/api/permissions/{vhost}/{user}",
            Methods::new()
                .get(admin, show)
                .put(admin, put)
                .delete(admin, delete),
        )
        .at(
            "/api/vhosts/{vhost}/permissions",
            Methods::new().get(admin, list_of_host),
        )
        .at(
            "/api/users/{user}/permissions",
            Methods::new().get(admin, list_of_user),
        )
        .at("/api/topic-permissions", Methods::new().get(admin, topics))
        .at(
            "/api/topic-permissions/{vhost}/{user}",
            Methods::new()
                .get(admin, topics_shown)
                .put(admin, topic_put)
                .delete(admin, topics_delete),
        )
        .at(
            "/api/topic-permissions/{vhost}/{user}/{exchange}",
            Methods::new().delete(admin, topic_delete),
        )
        .at(
            "/api/vhosts/{vhost}/topic-permissions",
            Methods::new().get(admin, topics_of_host),
        )
        .at(
            "/api/users/{user}/topic-permissions",
            Methods::new().get(admin, topics_of_user),
        )
}

/// Which rights a list is of.
#[derive(Clone, Copy, Debug, Default)]
struct Of<'a> {
    host: Option<&'a str>,
    user: Option<&'a str>,
}

type Place<'a> = (&'a VirtualHostName, &'a UserName, &'a Arc<AccessRow>);

impl Of<'_> {
    fn rows(self, table: &AccessTable) -> impl Iterator<Item = Place<'_>> {
        table.rows().filter(move |(host, user, _)| {
            self.host.is_none_or(|wanted| wanted == host.as_str())
                && self.user.is_none_or(|wanted| wanted == user.as_str())
        })
    }

    fn permissions(self, management: &Management, view: &View) -> Response {
        let table = management.engine.access.table();
        let rows: Vec<Value> = self
            .rows(&table)
            .filter_map(|(host, user, row)| Some(shown(host, user, row.permission.as_ref()?)))
            .collect();
        view.whole(&rows, Value::clone)
    }

    fn topics(self, management: &Management, view: &View) -> Response {
        let table = management.engine.access.table();
        let rows: Vec<Value> = self.rows(&table).flat_map(topics_of).collect();
        view.whole(&rows, Value::clone)
    }
}

fn shown(host: &VirtualHostName, user: &UserName, permission: &Permission) -> Value {
    json!({
        "user": user,
        "vhost": host,
        "configure": permission.configure,
        "write": permission.write,
        "read": permission.read,
    })
}

fn topics_of((host, user, row): Place<'_>) -> Vec<Value> {
    let topics = row.topics.iter().map(|(exchange, permission)| {
        json!({
            "user": user,
            "vhost": host,
            "exchange": exchange,
            "write": permission.write,
            "read": permission.read,
        })
    });
    topics.collect()
}

fn known_user(management: &Management, user: &str) -> Result<(), Refusal> {
    let table = management.engine.access.table();
    table.user(user).map(drop).ok_or_else(Refusal::not_found)
}

async fn list(State(management): Shared, view: View) -> Response {
    Of::default().permissions(&management, &view)
}

async fn list_of_host(State(management): Shared, Host(host): Host, view: View) -> Response {
    let of = Of {
        host: Some(host.name().as_str()),
        user: None,
    };
    of.permissions(&management, &view)
}

async fn list_of_user(
    State(management): Shared,
    Segments(user): Segments<String>,
    view: View,
) -> Result<Response, Refusal> {
    known_user(&management, &user)?;
    let of = Of {
        host: None,
        user: Some(&user),
    };
    Ok(of.permissions(&management, &view))
}

async fn show(
    State(management): Shared,
    Segments((host, user)): Segments<(String, String)>,
    view: View,
) -> Result<Response, Refusal> {
    let table = management.engine.access.table();
    let row = table.row(&host, &user);
    let permission = row.and_then(|row| row.permission.as_ref());
    let permission = permission.ok_or_else(Refusal::not_found)?;
    let (host, user) = (VirtualHostName::from(host), UserName::from(user));
    Ok(view.object(shown(&host, &user, permission)))
}

async fn put(
    State(management): Shared,
    Segments((host, user)): Segments<(String, String)>,
    body: JsonBody,
) -> Result<StatusCode, Refusal> {
    let (host, user) = (VirtualHostName::from(host), UserName::from(user));
    management.engine.check_grantable(&host, &user)?;
    body.require(&["configure", "write", "read"])?;
    let pattern = |verb: &str| Ok::<_, Refusal>(body.text(verb)?.unwrap_or_default().to_owned());
    let permission = Permission {
        configure: pattern("configure")?,
        write: pattern("write")?,
        read: pattern("read")?,
    };
    permission.check()?;
    let changed = management.engine.set_permission(&host, &user, permission)?;
    management.durable(changed.ticket).await?;
    Ok(status(changed.change))
}

async fn delete(
    State(management): Shared,
    Segments((host, user)): Segments<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let (host, user) = (VirtualHostName::from(host), UserName::from(user));
    let ticket = management.engine.clear_permission(&host, &user);
    management
        .durable(ticket.ok_or_else(Refusal::not_found)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn topics(State(management): Shared, view: View) -> Response {
    Of::default().topics(&management, &view)
}

async fn topics_of_host(State(management): Shared, Host(host): Host, view: View) -> Response {
    let of = Of {
        host: Some(host.name().as_str()),
        user: None,
    };
    of.topics(&management, &view)
}

async fn topics_of_user(
    State(management): Shared,
    Segments(user): Segments<String>,
    view: View,
) -> Result<Response, Refusal> {
    known_user(&management, &user)?;
    let of = Of {
        host: None,
        user: Some(&user),
    };
    Ok(of.topics(&management, &view))
}

async fn topics_shown(
    State(management): Shared,
    Segments((host, user)): Segments<(String, String)>,
    view: View,
) -> Result<Response, Refusal> {
    let table = management.engine.access.table();
    let row = table.row(&host, &user);
    if row.is_none_or(|row| row.topics.is_empty()) {
        return Err(Refusal::not_found());
    }
    let of = Of {
        host: Some(&host),
        user: Some(&user),
    };
    Ok(of.topics(&management, &view))
}

async fn topic_put(
    State(management): Shared,
    Segments((host, user)): Segments<(String, String)>,
    body: JsonBody,
) -> Result<StatusCode, Refusal> {
    let (host, user) = (VirtualHostName::from(host), UserName::from(user));
    management.engine.check_grantable(&host, &user)?;
    body.require(&["exchange", "write", "read"])?;
    let text = |name: &str| Ok::<_, Refusal>(body.text(name)?.unwrap_or_default().to_owned());
    let exchange = ExchangeName::from(text("exchange")?);
    let permission = TopicPermission {
        write: text("write")?,
        read: text("read")?,
    };
    permission.check()?;
    let changed = management
        .engine
        .set_topic_permission(&host, &user, &exchange, permission)?;
    management.durable(changed.ticket).await?;
    Ok(status(changed.change))
}

async fn topics_delete(
    State(management): Shared,
    Segments((host, user)): Segments<(String, String)>,
) -> Result<StatusCode, Refusal> {
    lift(&management, (host, user), None).await
}

async fn topic_delete(
    State(management): Shared,
    Segments((host, user, exchange)): Segments<(String, String, String)>,
) -> Result<StatusCode, Refusal> {
    let exchange = ExchangeName::from(exchange);
    lift(&management, (host, user), Some(&exchange)).await
}

async fn lift(
    management: &Management,
    (host, user): (String, String),
    exchange: Option<&ExchangeName>,
) -> Result<StatusCode, Refusal> {
    let (host, user) = (VirtualHostName::from(host), UserName::from(user));
    let ticket = management
        .engine
        .clear_topic_permissions(&host, &user, exchange);
    management
        .durable(ticket.ok_or_else(Refusal::not_found)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<GrantError> for Refusal {
    fn from(error: GrantError) -> Self {
        match &error {
            GrantError::NoHostOrUser => Self::bad_request(error.to_string()),
            GrantError::NoExchange(exchange) => {
                Self::bad_value("no_such_exchange", &json!(exchange))
            }
        }
    }
}

impl From<PermissionError> for Refusal {
    fn from(error: PermissionError) -> Self {
        Self::bad_value(
            "invalid_regexp",
            &json!([error.pattern, error.source.to_string()]),
        )
    }
}
