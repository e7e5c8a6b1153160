//! `/api/exchanges`: exchanges to be listed, made and removed (spec 10.2).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::history::{Detailed, Ranges, Subject, insert};
use super::list::View;
use super::queues::{check_name, made};
use super::request::{Host, HostToChange, JsonBody, Query, Segments};
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared, stats, table};
use crate::engine::{Exchange, VirtualHost};
use crate::model::{AmqpError, ExchangeArguments, ExchangeDefinition, ExchangeKind, ExchangeName};

/// The name by which paths mean the default exchange.
const DEFAULT: &str = "amq.default";

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .at("/api/exchanges", Methods::new().get(Gate::Management, list))
        .at(
            "/api/exchanges/{vhost}",
            Methods::new().get(Gate::Visible, list_of_host),
        )
        .at(
            "/api/exchanges/{vhost}/{exchange}",
            Methods::new()
                .get(Gate::Visible, show)
                .put(Gate::Management, declare)
                .delete(Gate::Management, delete),
        )
}

/// The exchange that a path names.
pub(super) fn exchange_name(segment: &str) -> ExchangeName {
    ExchangeName::from(if segment == DEFAULT { "" } else { segment })
}

type Listed = (Arc<VirtualHost>, Arc<Exchange>);

async fn list(State(management): Shared, caller: Caller, view: View) -> Result<Response, Refusal> {
    management
        .blocking(move |management| {
            let hosts = management.hosts_for(&caller);
            management.exchange_list(hosts, &view)
        })
        .await?
}

async fn list_of_host(
    State(management): Shared,
    Host(host): Host,
    view: View,
) -> Result<Response, Refusal> {
    management
        .blocking(move |management| management.exchange_list(vec![host], &view))
        .await?
}

async fn show(
    State(management): Shared,
    Host(host): Host,
    Segments((_, name)): Segments<(String, String)>,
    view: View,
) -> Result<Response, Refusal> {
    let name = exchange_name(&name);
    let exchange = host
        .exchange(name.as_str())
        .ok_or_else(Refusal::not_found)?;
    let mut row = management.exchange_row(&host, &exchange, &Ranges::read(view.query())?);
    row.insert("incoming".to_owned(), json!([]));
    row.insert("outgoing".to_owned(), json!([]));
    Ok(view.object(Value::Object(row)))
}

async fn declare(
    State(management): Shared,
    caller: Caller,
    HostToChange(host): HostToChange,
    Segments((_, name)): Segments<(String, String)>,
    body: JsonBody,
) -> Result<StatusCode, Refusal> {
    check_name("exchange", &name)?;
    let name = exchange_name(&name);
    let kind = body.text("type")?.unwrap_or("direct");
    let kind = ExchangeKind::parse(kind).ok_or_else(|| AmqpError::unknown_exchange_type(kind))?;
    let arguments = table::arguments(body.0.get("arguments"))?;
    let parsed = ExchangeArguments::parse(kind, arguments.fields())
        .map_err(|error| error.for_exchange(&name, host.name()))?;
    let definition = ExchangeDefinition {
        kind,
        durable: body.truth("durable", false)?,
        auto_delete: body.truth("auto_delete", false)?,
        internal: body.truth("internal", false)?,
        alternate: parsed.alternate,
        name,
        arguments,
    };
    let (existed, ticket) = Arc::clone(&management)
        .blocking(move |management| {
            let existed = host.exchange(definition.name.as_str()).is_some();
            let rights = management.rights(&caller, host.name());
            let ticket = host.declare_exchange(&management.engine, &rights, definition)?;
            Ok::<_, Refusal>((existed, ticket))
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
    let if_unused = query.is_true("if-unused");
    let ticket = Arc::clone(&management)
        .blocking(move |management| {
            let name = exchange_name(&name);
            if host.exchange(name.as_str()).is_none() {
                return Err(Refusal::not_found());
            }
            let rights = management.rights(&caller, host.name());
            Ok(host.delete_exchange(&management.engine, &rights, &name, if_unused)?)
        })
        .await??;
    management.durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Management {
    fn exchange_list(
        &self,
        hosts: Vec<Arc<VirtualHost>>,
        view: &View,
    ) -> Result<Response, Refusal> {
        let ranges = Ranges::read(view.query())?;
        let mut all: Vec<Listed> = Vec::new();
        for host in hosts {
            let mut exchanges = host.all_exchanges();
            exchanges.sort_by(|left, right| left.definition.name.cmp(&right.definition.name));
            let exchanges = exchanges.into_iter();
            all.extend(exchanges.map(|exchange| (Arc::clone(&host), exchange)));
        }
        view.list(
            all,
            |(_, exchange)| exchange.definition.name.as_str(),
            |(host, exchange)| Value::Object(self.exchange_row(host, exchange, &ranges)),
        )
    }

    fn exchange_row(
        &self,
        host: &VirtualHost,
        exchange: &Exchange,
        ranges: &Ranges,
    ) -> Map<String, Value> {
        let definition = &exchange.definition;
        let mut row = Map::new();
        let facts = json!({
            "name": definition.name.as_str(),
            "vhost": host.name().as_str(),
            "type": definition.kind.as_str(),
            "durable": definition.durable,
            "auto_delete": definition.auto_delete,
            "internal": definition.internal,
            "arguments": table::to_json(definition.arguments.fields()),
        });
        if let Value::Object(facts) = facts {
            row.extend(facts);
        }
        let counts = stats::exchange_counts(exchange);
        let subject = Subject::Exchange(exchange.number());
        let mut detailed = self
            .history
            .detailed(self.now_ms(), subject, &counts, ranges);
        detailed.retain(|Detailed { count, .. }| count.value > 0);
        if !detailed.is_empty() {
            let mut stats = Map::new();
            insert(&mut stats, detailed);
            row.insert("message_stats".to_owned(), Value::Object(stats));
        }
        row
    }
}
